/* Rows read, tokenized and accounted for: an index of examples, and their tokens in memory or on the disk. */
#ifndef LRC_DATA_DATASET_H
#define LRC_DATA_DATASET_H

#include "base/hash.h"
#include "base/problems.h"
#include "data/data_format.h"

#include <signal.h>

/* What became of an input row. */
#define LRC_ROW_FATE_MAP(XX)                                                                                 \
    XX(KEPT, "kept")                                                                                         \
    XX(TRUNCATED, "truncated to sequence_len")                                                               \
    XX(SPLIT, "split at sequence_len")                                                                       \
    XX(TOO_LONG, "dropped: longer than sequence_len")                                                        \
    XX(NO_TARGET, "dropped: no trained token")                                                               \
    XX(EMPTY, "dropped: empty")                                                                              \
    XX(DUPLICATE, "dropped: duplicate")                                                                      \
    XX(NOT_IN_SPLIT, "left out by split")                                                                    \
    XX(NOT_DRAWN, "left out by weight")

enum lrc_row_fate {
#define XX(name, words) LRC_ROW_##name,
    LRC_ROW_FATE_MAP(XX)
#undef XX
        LRC_ROW_FATE_COUNT
};

/* The ledger's line for one input row. */
struct lrc_row_record {
    int32_t           file; /* into the dataset's files */
    enum lrc_row_fate fate;
    int64_t           line;
    int64_t           n_tokens;          /* before anything was cut off or dropped */
    int64_t           n_kept, n_trained; /* over the row's examples; 0 when it was dropped */
    int64_t           n_examples;
};

struct lrc_example {
    int64_t  first; /* into ids and targets */
    int64_t  n_tokens;
    int64_t  n_trained; /* targets that are not -1 */
    uint32_t row_id;    /* counts all input rows of all files from 0, dropped ones too */
    /* keys the dropout: row_id; of a row's further examples (pieces, the rejected answer, copies by weight) a
     * number that no other example has, counting down from UINT32_MAX - LRC_EXAMPLE_ID_SPARE */
    uint32_t      id;
    enum lrc_side side;
};
enum { LRC_EXAMPLE_ID_SPARE = 1 }; /* UINT32_MAX is a batch's filler */

struct lrc_dataset {
    int32_t *ids; /* all examples, one after another; NULL when they are on the disk or were not asked for */
    /* targets[i]: the token after i when it is trained, else -1; always -1 at an example's end */
    int32_t                *targets;
    int64_t                 n_ids;
    struct lrc_token_store *store;         /* tokens on the disk (token_store.h) */
    int                    borrows_tokens; /* a held-out part: they belong to the dataset it was split from */
    struct lrc_example    *examples;
    int64_t                n_examples;
    int64_t                longest;   /* tokens */
    int64_t                n_further; /* examples beyond the first of their rows */
    int64_t                tally[LRC_ROW_FATE_COUNT];
    int64_t                n_rows;
    struct lrc_row_record *rows;       /* (n_rows) by row id; NULL in a held-out part that was split off */
    char                 **files;      /* names of the files read */
    int32_t               *file_specs; /* (n_files) the datasets' item that a file is of */
    char (*file_hashes)[LRC_HASH_HEX_MAX]; /* (n_files) SHA-256; NULL when read from a cache */
    int64_t n_files;
    int64_t n_tokens, n_trained;           /* of all examples */
    char    hash[LRC_HASH_HEX_MAX];        /* over the bytes of all files in their order */
    char    tokens_hash[LRC_HASH_HEX_MAX]; /* over all examples: tokens, targets, row, side */
};

/* SPLIT: consecutive pieces of at most sequence_len tokens, each a document of its own; pieces without a
 * target are left out. Pairs are not split but dropped. */
enum lrc_excess { LRC_EXCESS_DROP, LRC_EXCESS_TRUNCATE, LRC_EXCESS_RAISE, LRC_EXCESS_SPLIT };

struct lrc_load_progress {
    int64_t  n_rows;
    uint64_t bytes, bytes_all; /* of the files; bytes_all 0: unknown */
};

struct lrc_dataset_options {
    const struct lrc_tokenizer *tokenizer; /* NULL when every type is `tokenized` */
    const struct lrc_template *template;   /* NULL: a type that needs one fails */
    int64_t         sequence_len;
    enum lrc_excess excess;
    int last_turn_only; /* of a conversation */
    /* 1: never an error; rows dropped (but duplicates) or truncated count as lost */
    double max_lost_rows_fraction;
    int    check_masks; /* more than half of the rows without a trained token are an error */
    int    train_on_inputs;
    const struct lrc_string_list *roles_to_train;  /* NULL or none: assistant */
    int                           drop_duplicates; /* rows with the ids and targets of an earlier one */
    int     keep_untrained; /* rows without a trained token are kept: scoring wants every row */
    int64_t vocab_size;
    int     counts_only;                                        /* ids and targets are not kept: for plans */
    void (*progress)(const struct lrc_load_progress *progress); /* may be NULL */
    /* SIGINT or SIGTERM once that has come: what is done is kept, then it returns; may be NULL */
    const volatile sig_atomic_t *stop;
};

/* Read the files of all specs (file_list.h, row_file.h), encode all rows on all threads, count fates, log one
 * line per spec.
 *
 * dataset:   row ids go on from file to file.
 * problems:  broken lines, wrong types, invalid UTF-8, ids outside the vocabulary: "<file>:<line>: ..." each;
 *            all of them.
 * errors:    DATA when there were problems, or a row is too long under RAISE; of lrc_dataset_check(); CONFIG
 *            for an unknown type; UNSUPPORTED for Parquet; INTERRUPTED, TERMINATED; IO; NOMEM.
 * ownership: lrc_dataset_release(). */
enum lrc_status lrc_dataset_load(struct lrc_dataset *dataset, const struct lrc_dataset_spec *specs,
                                 int n_specs, const struct lrc_dataset_options *options,
                                 struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_dataset_release(struct lrc_dataset *dataset);

/* Is it fit to be trained on? errors: DATA when nothing is left, when more than max_lost_rows_fraction is
 * lost, when check_masks finds fault. */
enum lrc_status lrc_dataset_check(const struct lrc_dataset         *dataset,
                                  const struct lrc_dataset_options *options,
                                  struct lrc_error                 *err) LRC_MUST_CHECK;

/* Copy an example's tokens. Any thread. errors: IO, FORMAT when they are on the disk and damaged. */
enum lrc_status lrc_dataset_read(const struct lrc_dataset *dataset, const struct lrc_example *example,
                                 int32_t *ids, int32_t *targets, struct lrc_error *err) LRC_MUST_CHECK;

/* A run of whole rows on its way to the disk or from there. */
struct lrc_token_part {
    int32_t               *ids, *targets;
    int64_t                n_ids;
    struct lrc_example    *examples; /* first: into all ids of the dataset when kept, from 0 when restored */
    int64_t                n_examples, first_id;
    struct lrc_row_record *rows;
    int64_t                n_rows;
};

/* Where parts go instead of staying in memory. */
struct lrc_token_sink {
    void *context;
    /* The parts that an earlier run kept, one by one in their order; their rows are not encoded again. 0
     * rows: there are no more. The loader releases what part holds. */
    enum lrc_status (*restore)(void *context, struct lrc_token_part *part, struct lrc_error *err);
    enum lrc_status (*keep)(void *context, const struct lrc_token_part *part, struct lrc_error *err);
};
void lrc_token_part_release(struct lrc_token_part *part);

/* lrc_dataset_load() without lrc_dataset_check(), into a sink when it is not NULL. */
enum lrc_status lrc_dataset__load(struct lrc_dataset *dataset, const struct lrc_dataset_spec *specs,
                                  int n_specs, const struct lrc_dataset_options *options,
                                  const struct lrc_token_sink *sink, struct lrc_problems *problems,
                                  struct lrc_error *err) LRC_MUST_CHECK;

/* Gives example the id of a row's further example. */
void lrc_dataset__number_further(struct lrc_dataset *dataset, struct lrc_example *example);
/* longest, n_tokens and n_trained from the examples. */
void lrc_dataset__recount(struct lrc_dataset *dataset);
void lrc_dataset__log_fates(const char *subject, int64_t n_rows, const int64_t tally[LRC_ROW_FATE_COUNT],
                            int64_t n_tokens, int64_t n_trained);

/* What the specs need. Types left out are found from the first row. */
struct lrc_dataset_needs {
    int         tokenizer, template;
    const char *preference; /* a type among them that only a preference objective reads; NULL: none */
};
/* errors: as lrc_dataset_load(). */
enum lrc_status lrc_dataset_needs(struct lrc_dataset_needs *needs, const struct lrc_dataset_spec *specs,
                                  int n_specs, struct lrc_error *err) LRC_MUST_CHECK;

/* Move the last n_held_out rows with their examples (fraction < 1: ceil(n * fraction); >= 1: a count) of the
 * shuffled order, or of the file's order when shuffle is 0, into *held_out, whose tokens are dataset's.
 * errors: CONFIG when nothing would be left for training. */
enum lrc_status lrc_dataset_split(struct lrc_dataset *dataset, struct lrc_dataset *held_out,
                                  double val_set_size, int shuffle, uint64_t seed,
                                  struct lrc_error *err) LRC_MUST_CHECK;

/* Each spec's weight: a row comes as often as its whole part says, and once more when it is drawn for the
 * rest; round(rest * rows) rows of each spec are drawn by seed. After lrc_dataset_split(). Logs.
 * errors: CONFIG when no row is left; NOMEM. */
enum lrc_status lrc_dataset_weigh(struct lrc_dataset *dataset, const struct lrc_dataset_spec *specs,
                                  int n_specs, uint64_t seed, struct lrc_error *err) LRC_MUST_CHECK;

#endif
