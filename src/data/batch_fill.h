/* Which rows an optimizer step takes, and how they are laid out; the thread and the two buffers are
 * batch.c's. */
#ifndef LRC_DATA_BATCH_FILL_H
#define LRC_DATA_BATCH_FILL_H

#include "data/batch.h"
#include "data/pack.h"

/* Room for one window; its batches point into the pools one after another. */
struct lrc_window_room {
    struct lrc_window window;
    int32_t          *tokens, *targets, *positions;
    uint32_t         *row_ids;
    uint32_t         *doc_rows;
    int32_t          *doc_offsets, *trained_index, *trained_target;
};

/* What a packed stream has beside its rows. A rank is a row's place when all stand by length. */
struct lrc_batch_packed {
    struct lrc_packing packing;
    int64_t            longest;
    int64_t           *first_rank; /* (longest + 1) of the rows of a length */
    int64_t           *next_rank;  /* (longest + 1) scratch */
    int64_t           *bin_order;  /* (n_bins) */
};

/* The order of one epoch, kept until another epoch is asked for. A unit is what micro_batch_size counts: a
 * row, or a packed sequence of rows. */
struct lrc_batch_plan {
    const struct lrc_dataset *dataset;
    struct lrc_batch_options  options;
    int64_t                   n_units, n_micro, steps_per_epoch; /* per epoch */
    int64_t                   epoch;                             /* of order; -1: none yet */
    int64_t                   largest_window;                    /* of epoch 0, under longest_first */
    int64_t                  *order;                             /* (n_examples), packed: bin after bin */
    int64_t                  *scratch;                           /* (n_examples) */
    int64_t                  *batch_order;                       /* (n_micro) */
    struct lrc_batch_packed   packed;
};

/* Per unit; packed: the most that any epoch puts into it. */
struct lrc_unit_sizes {
    int64_t *tokens, *trained, *docs; /* (n_units) */
};

/* Fill plan->packed and plan->n_units; logs. errors: NOMEM. ownership: lrc_batch__packed_release(). */
enum lrc_status lrc_batch__pack(struct lrc_batch_plan *plan, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_batch__packed_release(struct lrc_batch_packed *packed);
enum lrc_status lrc_batch__packed_sizes(struct lrc_unit_sizes *sizes, const struct lrc_batch_plan *plan,
                                        struct lrc_error *err) LRC_MUST_CHECK;

/* Put the rows of plan->scratch, in their order, into their sequences: plan->order. */
void lrc_batch__pack_order(struct lrc_batch_plan *plan);

/* Fill room with the window of an optimizer step. Tokens in memory: allocates nothing and cannot fail.
 * errors: of lrc_dataset_read(). */
enum lrc_status lrc_batch__fill(struct lrc_window_room *room, struct lrc_batch_plan *plan, int64_t step,
                                struct lrc_error *err) LRC_MUST_CHECK;

#endif
