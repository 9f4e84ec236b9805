/* Which rows an optimizer step takes, and how they are laid out; the thread and the two buffers are
 * batch.c's. */
#ifndef LRC_DATA_BATCH_FILL_H
#define LRC_DATA_BATCH_FILL_H

#include "data/batch.h"

/* Room for one window; its batches point into the pools one after another. */
struct lrc_window_room {
    struct lrc_window window;
    int32_t          *tokens, *targets, *positions;
    uint32_t         *row_ids;
    int32_t          *doc_offsets, *trained_index, *trained_target;
};

/* The order of one epoch, kept until another epoch is asked for. */
struct lrc_batch_plan {
    const struct lrc_dataset *dataset;
    struct lrc_batch_options  options;
    int64_t                   n_micro, steps_per_epoch; /* per epoch */
    int64_t                   epoch;                    /* of order; -1: none yet */
    int64_t                  *order;                    /* (n_examples) */
    int64_t                  *scratch;                  /* (n_examples) */
    int64_t                  *batch_order;              /* (n_micro) */
};

/* Fill room with the window of an optimizer step. Allocates nothing and cannot fail. */
void lrc_batch__fill(struct lrc_window_room *room, struct lrc_batch_plan *plan, int64_t step);

#endif
