#include "model/feed.h"

#include <string.h>

enum { TOKEN_ARRAYS = 3, TRAINED_ARRAYS = 3, DOCS_MIN = 16, TRAINED_MIN = 64, TRAINED_STEPS = 32 };

int64_t lrc_feed_docs(int64_t n_docs)
{
    int64_t n = DOCS_MIN;
    while (n < n_docs)
        n *= 2;
    return n_docs <= 1 ? 1 : n;
}

int64_t lrc_feed_trained(int64_t n_trained, int64_t n_tokens)
{
    int64_t multiple = TRAINED_MIN;
    while (n_trained > TRAINED_STEPS * multiple)
        multiple *= 2;
    const int64_t n = (n_trained + multiple - 1) / multiple * multiple;
    return n < n_tokens ? n : n_tokens;
}

enum lrc_status lrc_feed_plan(struct lrc_feed *feed, struct lrc_arena *arena, struct lrc_arena *staging,
                              struct lrc_error *err)
{
    static const char *const names[LRC_FEED_SETS] = { "batch", "next batch" };
    if (!feed->backend->memory)
        return LRC_STATUS_OK;
    feed->n_docs = lrc_feed_docs(feed->n_docs);
    feed->n_trained = lrc_feed_trained(feed->n_trained, feed->n_tokens);
    const int64_t n = TOKEN_ARRAYS * feed->n_tokens + feed->n_docs + 1 + TRAINED_ARRAYS * feed->n_trained;
    LRC_TRY(lrc_arena_plan(arena, "batch", &feed->now, n, sizeof(int32_t), err));
    LRC_TRY(lrc_arena_plan(arena, "next batch", &feed->sent, n, sizeof(int32_t), err));
    for (int s = 0; s < LRC_FEED_SETS; s++)
        LRC_TRY(lrc_arena_plan(staging, names[s], &feed->packed[s], n, sizeof(int32_t), err));
    return LRC_STATUS_OK;
}

enum lrc_status lrc_feed_commit(struct lrc_feed *feed, struct lrc_error *err)
{
    if (!feed->backend->memory)
        return LRC_STATUS_OK;
    LRC_TRY(feed->backend->stream_new(&feed->copies, err));
    LRC_TRY(feed->backend->event_new(&feed->taken, err));
    for (int s = 0; s < LRC_FEED_SETS; s++)
        LRC_TRY(feed->backend->event_new(&feed->arrived[s], err));
    return LRC_STATUS_OK;
}

void lrc_feed_release(struct lrc_feed *feed)
{
    for (int s = 0; feed->backend && s < LRC_FEED_SETS; s++)
        feed->backend->event_free(feed->arrived[s]);
    if (feed->taken)
        feed->backend->event_free(feed->taken);
    if (feed->copies)
        feed->backend->stream_free(feed->copies);
    *feed = (struct lrc_feed){ 0 };
}

/* Arrays of 4-byte elements, one behind another: where the next one is packed, and where it will be. */
struct packing {
    int32_t *to, *now;
};

/* n elements of an array (NULL: of zeros), and `filler` up to n_all. Returns where they will be on the
 * device. */
static void *pack(struct packing *packing, const void *from, int64_t n, int32_t filler, int64_t n_all)
{
    void *const there = packing->now;
    int32_t    *to = packing->to;
    if (from)
        memcpy(to, from, (size_t)n * sizeof *to);
    else
        memset(to, 0, (size_t)n * sizeof *to);
    for (int64_t i = n; i < n_all; i++)
        to[i] = filler;
    packing->to += n_all;
    packing->now += n_all;
    return there;
}

static const float *pack_coef(struct packing *packing, float coef, int64_t n, int64_t n_all)
{
    float *const to = (float *)(void *)packing->to, *const there = (float *)(void *)packing->now;
    for (int64_t i = 0; i < n_all; i++)
        to[i] = i < n ? coef : 0.0f;
    packing->to += n_all;
    packing->now += n_all;
    return there;
}

static void pack_batch(struct lrc_feed_view *view, struct packing *packing, const struct lrc_batch *batch,
                       float coef)
{
    struct lrc_batch *there = &view->batch;
    const int64_t     n = batch->n_tokens, n_trained = batch->n_trained;
    there->targets = NULL;
    there->n_docs = lrc_feed_docs(batch->n_docs);
    there->n_trained = lrc_feed_trained(n_trained, n);
    there->tokens = pack(packing, batch->tokens, n, 0, n);
    there->positions = pack(packing, batch->positions, n, 0, n);
    there->row_ids = pack(packing, batch->row_ids, n, 0, n);
    there->doc_offsets = packing->to;
    view->doc_offsets_device =
        pack(packing, batch->doc_offsets, batch->n_docs + 1, (int32_t)n, there->n_docs + 1);
    there->trained_index = pack(packing, batch->trained_index, n_trained, -1, there->n_trained);
    there->trained_target = pack(packing, batch->trained_target, n_trained, 0, there->n_trained);
    view->coef = pack_coef(packing, coef, n_trained, there->n_trained);
}

/* Up by the stream of the copies when `sent` is free, and from there to `now` by the stream that computes
 * when it comes to it. */
static enum lrc_status send(struct lrc_feed *feed, int s, size_t bytes, struct lrc_error *err)
{
    const struct lrc_backend *backend = feed->backend;
    LRC_TRY(backend->stream_wait(feed->copies, feed->taken, err));
    LRC_TRY(backend->upload(feed->copies, feed->sent, feed->packed[s], bytes, err));
    LRC_TRY(backend->event_record(feed->copies, feed->arrived[s], err));
    LRC_TRY(backend->stream_wait(feed->stream, feed->arrived[s], err));
    LRC_TRY(backend->copy(feed->stream, feed->now, feed->sent, bytes, err));
    return backend->event_record(feed->stream, feed->taken, err);
}

enum lrc_status lrc_feed_put(struct lrc_feed *feed, struct lrc_feed_view *view, const struct lrc_batch *batch,
                             float coef, struct lrc_error *err)
{
    *view = (struct lrc_feed_view){ .batch = *batch };
    if (!feed->backend->memory)
        return LRC_STATUS_OK;
    const int s = feed->next;
    LRC_ASSERT(batch->n_tokens <= feed->n_tokens && lrc_feed_docs(batch->n_docs) <= feed->n_docs &&
               lrc_feed_trained(batch->n_trained, batch->n_tokens) <= feed->n_trained);
    LRC_TRY(feed->backend->event_wait(feed->arrived[s], err)); /* the set's last batch has left */
    struct packing packing = { feed->packed[s], feed->now };
    pack_batch(view, &packing, batch, coef);
    LRC_TRY(send(feed, s, (size_t)(packing.to - feed->packed[s]) * sizeof *packing.to, err));
    feed->next = (s + 1) % LRC_FEED_SETS;
    return LRC_STATUS_OK;
}
