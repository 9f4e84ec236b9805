#include "model/feed.h"

#include <string.h>

enum { TOKEN_ARRAYS = 3, TRAINED_ARRAYS = 2 };

enum lrc_status lrc_feed_plan(struct lrc_feed *feed, struct lrc_arena *arena, struct lrc_arena *staging,
                              struct lrc_error *err)
{
    static const char *const names[LRC_FEED_SETS] = { "batch", "next batch" };
    const int64_t            n = TOKEN_ARRAYS * feed->n_tokens + TRAINED_ARRAYS * feed->n_trained;
    for (int s = 0; feed->backend->memory && s < LRC_FEED_SETS; s++) {
        LRC_TRY(lrc_arena_plan(arena, names[s], &feed->sent[s], n, sizeof(int32_t), err));
        LRC_TRY(lrc_arena_plan(staging, names[s], &feed->packed[s], n, sizeof(int32_t), err));
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_feed_commit(struct lrc_feed *feed, struct lrc_error *err)
{
    for (int s = 0; feed->backend->memory && s < LRC_FEED_SETS; s++)
        LRC_TRY(feed->backend->event_new(&feed->left[s], err));
    return LRC_STATUS_OK;
}

void lrc_feed_release(struct lrc_feed *feed)
{
    for (int s = 0; feed->backend && s < LRC_FEED_SETS; s++)
        feed->backend->event_free(feed->left[s]);
    *feed = (struct lrc_feed){ 0 };
}

/* n elements of an array, which may be NULL when nothing reads it. Returns where they are on the device. */
static void *pack(int32_t **to, int32_t **sent, const void *from, int64_t n)
{
    void *const here = *sent;
    if (from)
        memcpy(*to, from, (size_t)n * sizeof **to);
    else
        memset(*to, 0, (size_t)n * sizeof **to);
    *to += n;
    *sent += n;
    return here;
}

enum lrc_status lrc_feed_put(struct lrc_feed *feed, struct lrc_batch *view, const struct lrc_batch *batch,
                             struct lrc_error *err)
{
    *view = *batch;
    if (!feed->backend->memory)
        return LRC_STATUS_OK;
    const int s = feed->next;
    feed->next = (s + 1) % LRC_FEED_SETS;
    if (feed->in_use[s])
        LRC_TRY(feed->backend->event_wait(feed->left[s], err));
    int32_t *to = feed->packed[s], *sent = feed->sent[s];
    view->targets = NULL;
    view->tokens = pack(&to, &sent, batch->tokens, batch->n_tokens);
    view->positions = pack(&to, &sent, batch->positions, batch->n_tokens);
    view->row_ids = pack(&to, &sent, batch->row_ids, batch->n_tokens);
    view->trained_index = pack(&to, &sent, batch->trained_index, batch->n_trained);
    view->trained_target = pack(&to, &sent, batch->trained_target, batch->n_trained);
    LRC_TRY(feed->backend->upload(feed->stream, feed->sent[s], feed->packed[s],
                                  (size_t)(to - feed->packed[s]) * sizeof *to, err));
    feed->in_use[s] = 1;
    return feed->backend->event_record(feed->stream, feed->left[s], err);
}
