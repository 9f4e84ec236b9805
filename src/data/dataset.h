/* Rows read, tokenized and accounted for; kept in memory as flat tokens. */
#ifndef LRC_DATA_DATASET_H
#define LRC_DATA_DATASET_H

#include "base/hash.h"
#include "base/problems.h"
#include "data/data_format.h"

/* What became of an input row. */
#define LRC_ROW_FATE_MAP(XX)                                            \
    XX(KEPT,      "kept")                                               \
    XX(TRUNCATED, "truncated to sequence_len")                          \
    XX(SPLIT,     "split at sequence_len")                              \
    XX(TOO_LONG,  "dropped: longer than sequence_len")                  \
    XX(NO_TARGET, "dropped: no trained token")                          \
    XX(EMPTY,     "dropped: empty")                                     \
    XX(DUPLICATE, "dropped: duplicate")

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
    int64_t           n_tokens; /* before anything was cut off or dropped */
    int64_t           n_kept, n_trained; /* over the row's examples; 0 when it was dropped */
    int64_t           n_examples;
};

struct lrc_example {
    int64_t  first;     /* into ids and targets */
    int64_t  n_tokens;
    int64_t  n_trained; /* targets that are not -1 */
    /* counts all input rows of all files, dropped ones too; the pieces of a split row share it */
    uint32_t row_id;
};

struct lrc_dataset {
    int32_t            *ids;     /* all examples, one after another */
    /* targets[i]: the token after i when it is trained, else -1; always -1 at an example's end */
    int32_t            *targets;
    int64_t             n_ids;
    /* a held-out part: ids and targets belong to the dataset it was split from */
    int                 borrows_ids;
    struct lrc_example *examples;
    int64_t             n_examples;
    int64_t             longest; /* tokens */
    int64_t             tally[LRC_ROW_FATE_COUNT];
    int64_t             n_rows;
    struct lrc_row_record *rows;  /* (n_rows) by row id; NULL in a held-out part that was split off */
    char              **files;    /* names of the files read */
    int64_t             n_files;
    int64_t             n_tokens, n_trained; /* of kept rows */
    char                hash[LRC_HASH_HEX_MAX]; /* over the names' order and bytes of all files read */
};

/* SPLIT: consecutive pieces of at most sequence_len tokens, each a document of its own; pieces without a
 * target are left out. */
enum lrc_excess { LRC_EXCESS_DROP, LRC_EXCESS_TRUNCATE, LRC_EXCESS_RAISE, LRC_EXCESS_SPLIT };

struct lrc_dataset_options {
    const struct lrc_tokenizer *tokenizer; /* NULL when every type is `tokenized` */
    const struct lrc_template  *template;  /* NULL: a type that needs one fails */
    int64_t                     sequence_len;
    enum lrc_excess             excess;
    int                         last_turn_only; /* of a conversation */
    /* 1: never an error; rows dropped (but duplicates) or truncated count as lost */
    double max_lost_rows_fraction;
    int    check_masks;            /* more than half of the rows without a trained token are an error */
    int                         train_on_inputs;
    const struct lrc_string_list *roles_to_train; /* NULL or none: assistant */
    int                         drop_duplicates; /* rows with the ids and targets of an earlier one */
    /* rows without a trained token are kept: scoring wants every row */
    int                         keep_untrained;
    int64_t                     vocab_size;
    void (*progress)(int64_t done, int64_t total); /* rows of the file being read; may be NULL */
};

/* Read the files of all specs (file_list.h, row_file.h), encode all rows on all threads, count fates, log one
 * line per spec.
 *
 * dataset:   row ids go on from file to file.
 * problems:  broken lines, wrong types, invalid UTF-8, ids outside the vocabulary: "<file>:<line>: ..." each;
 *            all of them.
 * errors:    DATA when there were problems, when nothing is left to train on, when more than
 *            max_lost_rows_fraction is lost or check_masks finds fault, or a row is too long under RAISE;
 *            CONFIG for an unknown type; UNSUPPORTED for preference data and Parquet; IO; NOMEM.
 * ownership: lrc_dataset_release(). */
enum lrc_status lrc_dataset_load(struct lrc_dataset *dataset, const struct lrc_dataset_spec *specs,
                                 int n_specs, const struct lrc_dataset_options *options,
                                 struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_dataset_release(struct lrc_dataset *dataset);

/* Does any of the specs need a tokenizer, a template? Types left out are found from the first row.
 * errors: as lrc_dataset_load(). */
enum lrc_status lrc_dataset_needs(int *tokenizer, int *template, const struct lrc_dataset_spec *specs,
                                  int n_specs, struct lrc_problems *problems,
                                  struct lrc_error *err) LRC_MUST_CHECK;

/* Move the last n_held_out rows with their examples (fraction < 1: ceil(n * fraction); >= 1: a count) of the
 * shuffled order, or of the file's order when shuffle is 0, into *held_out, whose ids and targets borrow from
 * dataset.
 * errors: CONFIG when nothing would be left for training. */
enum lrc_status lrc_dataset_split(struct lrc_dataset *dataset, struct lrc_dataset *held_out,
                                  double val_set_size, int shuffle, uint64_t seed,
                                  struct lrc_error *err) LRC_MUST_CHECK;

#endif
