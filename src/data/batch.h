/* Examples in training order, as accumulation windows of micro-batches, read ahead on a thread.
 *
 * The order is a function of (seed, epoch) alone, so a position is one number: the optimizer step. */
#ifndef LRC_DATA_BATCH_H
#define LRC_DATA_BATCH_H

#include "data/dataset.h"

/* Micro-batch: rows one after another, each a document; no padding between them. Packed, micro_batch_size
 * counts sequences, each of rows that have at most pack_tokens tokens together; a row is a document all the
 * same, so that no op sees a difference. The token count is rounded up to a multiple of
 * LRC_BATCH_ROUND_TOKENS with one more document of token 0 and no targets, so that shapes repeat. */
enum { LRC_BATCH_ROUND_TOKENS = 64 };

struct lrc_batch {
    int64_t   n_tokens;    /* rounded up */
    int64_t   n_real;      /* without the filler */
    int32_t  *tokens;      /* (n_tokens) */
    int32_t  *targets;     /* (n_tokens), -1: not trained */
    int32_t  *positions;   /* (n_tokens), from 0 in each document */
    uint32_t *row_ids;     /* (n_tokens) the id of the token's example; UINT32_MAX in the filler */
    int32_t  *doc_offsets; /* (n_docs + 1) */
    uint32_t *doc_rows;    /* (n_docs) the row that a document is of; UINT32_MAX of the filler */
    int64_t   n_docs;      /* the filler included */
    int64_t   n_trained;
    int32_t  *trained_index;  /* (n_trained) positions with a target, ascending */
    int32_t  *trained_target; /* (n_trained) */
};

/* One optimizer step's worth: its n_trained is known before the first backward pass. Windows do not cross
 * epochs; the last short micro-batch and the last short window of an epoch are kept. */
struct lrc_window {
    struct lrc_batch *batches;
    int64_t           n_batches;
    int64_t           n_trained, n_tokens; /* n_tokens: real ones */
    int64_t           step;                /* optimizer step, from 0 */
    int64_t           epoch;               /* from 0 */
    int               ends_epoch;
};

struct lrc_batch_options {
    int64_t micro_batch_size;
    int64_t accumulation_steps;
    int     shuffle;     /* 0: file order in every epoch */
    int group_by_length; /* rows of like length together (windows of 50 micro-batches sorted by length), order
                            of batches shuffled */
    int64_t  pack_tokens;   /* room of a packed sequence; 0: not packed. Wins over group_by_length. */
    int      longest_first; /* step 0 changes places with the step of epoch 0 that has the most tokens */
    uint64_t seed;
};

struct lrc_batch_stream; /* opaque */

/* borrows dataset, which must have an example. Packed, logs how full the sequences are.
 * errors:    NOMEM, DEVICE (no thread), SHAPE (a micro-batch of 2^31 tokens).
 * ownership: lrc_batch_stream_free(). */
enum lrc_status lrc_batch_stream_new(struct lrc_batch_stream **stream, const struct lrc_dataset *dataset,
                                     const struct lrc_batch_options *options,
                                     struct lrc_error               *err) LRC_MUST_CHECK;
void            lrc_batch_stream_free(struct lrc_batch_stream *stream);

int64_t lrc_batch_stream_steps_per_epoch(const struct lrc_batch_stream *stream);
/* Most tokens (rounded), documents and trained targets any micro-batch can have: what arenas are planned for.
 */
void lrc_batch_stream_limits(const struct lrc_batch_stream *stream, int64_t *n_tokens, int64_t *n_docs,
                             int64_t *n_trained);

/* What the stream holds in memory: in its arena, and of packed sequences beside it. */
size_t lrc_batch_stream_bytes(const struct lrc_batch_stream *stream);
size_t lrc_batch_stream_packing_bytes(const struct lrc_batch_stream *stream);

/* The window of an optimizer step; steps are normally asked for in order and then come read ahead; any step
 * may be asked for (resume). The window lives until the next call. errors: of lrc_dataset_read(). */
enum lrc_status lrc_batch_stream_get(struct lrc_batch_stream *stream, const struct lrc_window **window,
                                     int64_t step, struct lrc_error *err) LRC_MUST_CHECK;

/* The permutation of 0 .. n-1 for an epoch: Fisher-Yates from the counter RNG. (Epoch -1 is the split's.) */
void lrc_batch_order(int64_t *order, int64_t n, uint64_t seed, int64_t epoch);

#endif
