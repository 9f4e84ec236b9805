/* Batches on their way to the device.
 *
 *   packed[0], packed[1]   page-locked host memory: one is filled while the other is on its way
 *     -> sent              on the device, by a stream of its own, while the one that computes is at work on
 *                          the batch before
 *     -> now               what the pass reads: one place, so that what was recorded of it can be replayed
 *
 * So that shapes repeat there, documents and trained positions are filled up to a short list of numbers: with
 * empty documents at the end, and with positions of index -1 and coefficient 0. Backends without memory of
 * their own read the batch where it is. */
#ifndef LRC_MODEL_FEED_H
#define LRC_MODEL_FEED_H

#include "backend.h"
#include "data/batch.h"

enum { LRC_FEED_SETS = 2 };

struct lrc_feed {
    const struct lrc_backend *backend;
    struct lrc_stream        *stream;                      /* the one that computes */
    int64_t                   n_tokens, n_docs, n_trained; /* most of a batch, filled up */
    int32_t                  *now, *sent;                  /* on the device */
    int32_t                  *packed[LRC_FEED_SETS];
    struct lrc_stream        *copies;
    struct lrc_event         *arrived[LRC_FEED_SETS]; /* what was packed is in `sent` */
    struct lrc_event         *taken;                  /* what was in `sent` is in `now` */
    int                       next;
};

/* What a pass reads of a batch, and where. */
struct lrc_feed_view {
    struct lrc_batch batch; /* doc_offsets: the host's */
    const int32_t   *doc_offsets_device;
    const float     *coef; /* (n_trained); NULL: without a device */
};

/* Numbers that are filled up to: documents 1, 16, 32, 64 ...; trained positions multiples of 64, above 2,048
 * of 128, above 4,096 of 256 ..., but never more than tokens. From 1,024 on at most one in 16 is idle. */
int64_t lrc_feed_docs(int64_t n_docs);
int64_t lrc_feed_trained(int64_t n_trained, int64_t n_tokens);

/* Regions of both arenas; then, with the arenas committed, stream and events.
 * errors: NOMEM, DEVICE. ownership: lrc_feed_release(). */
enum lrc_status lrc_feed_plan(struct lrc_feed *feed, struct lrc_arena *arena, struct lrc_arena *staging,
                              struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_feed_commit(struct lrc_feed *feed, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_feed_release(struct lrc_feed *feed);

/* The batch to where a pass reads it; coef: d loss / d log p of each of its trained positions. view: targets
 * are NULL on a device. Valid until the next call. */
enum lrc_status lrc_feed_put(struct lrc_feed *feed, struct lrc_feed_view *view, const struct lrc_batch *batch,
                             float coef, struct lrc_error *err) LRC_MUST_CHECK;

#endif
