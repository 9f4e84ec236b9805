/* Batches on their way to the device: each is packed into page-locked host memory and sent with one transfer,
 * in two sets, so that the host fills the next while the one before is on its way. Backends without memory of
 * their own read the batch where it is. */
#ifndef LRC_MODEL_FEED_H
#define LRC_MODEL_FEED_H

#include "backend.h"
#include "data/batch.h"

enum { LRC_FEED_SETS = 2 };

struct lrc_feed {
    const struct lrc_backend *backend;
    struct lrc_stream        *stream;
    int64_t                   n_tokens, n_trained; /* most of a batch */
    int32_t                  *sent[LRC_FEED_SETS]; /* on the device */
    int32_t                  *packed[LRC_FEED_SETS];
    struct lrc_event         *left[LRC_FEED_SETS]; /* the transfer is over */
    int                       in_use[LRC_FEED_SETS];
    int                       next;
};

/* Regions of both arenas; then, with the arenas committed, the events.
 * errors: NOMEM, DEVICE. ownership: lrc_feed_release(). */
enum lrc_status lrc_feed_plan(struct lrc_feed *feed, struct lrc_arena *arena, struct lrc_arena *staging,
                              struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_feed_commit(struct lrc_feed *feed, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_feed_release(struct lrc_feed *feed);

/* view: the batch with tokens, positions, row_ids, trained_index and trained_target in the backend's memory,
 * and targets NULL there; doc_offsets stay the host's. Valid until the call after the next. */
enum lrc_status lrc_feed_put(struct lrc_feed *feed, struct lrc_batch *view, const struct lrc_batch *batch,
                             struct lrc_error *err) LRC_MUST_CHECK;

#endif
