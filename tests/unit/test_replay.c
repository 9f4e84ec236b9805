/* Which shapes are run, recorded and replayed, over a backend that only counts; what makes shapes repeat. */
#include "model/feed.h"
#include "model/replay.h"

#include <criterion/criterion.h>

struct lrc_graph {
    int64_t n_tokens; /* what was launched between begin and end */
};

static struct {
    int              n_launched, n_recorded, n_replayed, n_freed;
    int              is_recording, refuses, launch_fails;
    int64_t          n_tokens; /* of the last launch */
    int64_t          replayed; /* of the last graph */
    struct lrc_graph graphs[64];
} count;

static enum lrc_status stream_new(struct lrc_stream **stream, struct lrc_error *err)
{
    static int place;
    (void)err;
    *stream = (struct lrc_stream *)(void *)&place;
    return LRC_STATUS_OK;
}

static void stream_free(struct lrc_stream *stream)
{
    cr_expect_not_null(stream);
}

static enum lrc_status graph_begin(struct lrc_stream *stream, struct lrc_error *err)
{
    cr_expect_not_null(stream);
    count.is_recording = !count.refuses;
    return count.refuses ? lrc_fail(err, LRC_STATUS_DEVICE, "no graphs today") : LRC_STATUS_OK;
}

static enum lrc_status graph_end(struct lrc_graph **graph, struct lrc_stream *stream, struct lrc_error *err)
{
    (void)stream;
    (void)err;
    cr_expect(count.is_recording);
    count.is_recording = 0;
    *graph = NULL;
    if (count.launch_fails)
        return LRC_STATUS_OK;
    *graph = &count.graphs[count.n_recorded++];
    (*graph)->n_tokens = count.n_tokens;
    return LRC_STATUS_OK;
}

static enum lrc_status graph_replay(struct lrc_graph *graph, struct lrc_stream *stream, struct lrc_error *err)
{
    (void)stream;
    (void)err;
    cr_expect_not(count.is_recording);
    count.n_replayed++;
    count.replayed = graph->n_tokens;
    return LRC_STATUS_OK;
}

static void graph_free(struct lrc_graph *graph)
{
    cr_assert_not_null(graph);
    graph->n_tokens = -1;
    count.n_freed++;
}

static const struct lrc_backend backend = { .stream_new = stream_new,
                                            .stream_free = stream_free,
                                            .graph_begin = graph_begin,
                                            .graph_end = graph_end,
                                            .graph_replay = graph_replay,
                                            .graph_free = graph_free };

static enum lrc_status launch(void *context, struct lrc_stream *stream, struct lrc_error *err)
{
    cr_expect_eq(stream != NULL, count.is_recording);
    count.n_launched++;
    count.n_tokens = *(int64_t *)context;
    return count.launch_fails && count.is_recording ? lrc_fail(err, LRC_STATUS_DEVICE, "cannot")
                                                    : LRC_STATUS_OK;
}

static void run(struct lrc_replay *replay, int64_t n_tokens)
{
    struct lrc_error              err;
    const struct lrc_replay_shape shape = { .n_tokens = n_tokens, .n_docs = 1, .n_trained = 64 };
    cr_assert_eq(lrc_replay_run(replay, &shape, launch, &n_tokens, NULL, &err), LRC_STATUS_OK);
}

static struct lrc_replay replay_new(void)
{
    struct lrc_error  err;
    struct lrc_replay replay;
    memset(&count, 0, sizeof count);
    cr_assert_eq(lrc_replay_commit(&replay, &backend, &err), LRC_STATUS_OK);
    return replay;
}

Test(replay, a_shape_is_run_then_recorded_then_replayed)
{
    struct lrc_replay replay = replay_new();
    run(&replay, 64);
    cr_expect(count.n_launched == 1 && count.n_recorded == 0 && count.n_replayed == 0);
    run(&replay, 64);
    cr_expect(count.n_launched == 2 && count.n_recorded == 1 && count.n_replayed == 1);
    run(&replay, 128);
    run(&replay, 64);
    cr_expect(count.n_launched == 3 && count.n_recorded == 1 && count.n_replayed == 2);
    cr_expect_eq(count.replayed, 64);
    lrc_replay_release(&replay);
    cr_expect_eq(count.n_freed, 1);
}

Test(replay, the_shape_met_longest_ago_makes_room)
{
    struct lrc_replay replay = replay_new();
    for (int64_t n = 1; n <= LRC_REPLAY_MAX; n++) {
        run(&replay, n);
        run(&replay, n);
    }
    run(&replay, 1);   /* 2 is the oldest now */
    run(&replay, 100); /* in the place of 2 */
    cr_expect_eq(count.n_freed, 1);
    const int n_launched = count.n_launched;
    run(&replay, 1);
    cr_expect(count.n_launched == n_launched && count.replayed == 1);
    run(&replay, 2); /* run again, in the place of 3 */
    cr_expect(count.n_launched == n_launched + 1 && count.n_freed == 2);
    lrc_replay_release(&replay);
    cr_expect_eq(count.n_freed, count.n_recorded);
}

Test(replay, what_cannot_be_recorded_is_run_from_then_on)
{
    for (int fails_late = 0; fails_late < 2; fails_late++) {
        struct lrc_replay replay = replay_new();
        run(&replay, 64);
        run(&replay, 64);
        count.refuses = !fails_late;
        count.launch_fails = fails_late;
        run(&replay, 128);
        run(&replay, 128);
        cr_expect(!count.is_recording && count.n_freed == 1, "and what was recorded is dropped");
        const int n_launched = count.n_launched;
        run(&replay, 64);
        cr_expect(count.n_launched == n_launched + 1 && count.n_replayed == 1);
        lrc_replay_release(&replay);
    }
}

Test(replay, numbers_are_filled_up_to_a_short_list)
{
    static const int64_t docs[][2] = { { 0, 1 }, { 1, 1 }, { 2, 16 }, { 16, 16 }, { 17, 32 }, { 500, 512 } };
    static const int64_t trained[][2] = { { 0, 0 },       { 1, 64 },      { 64, 64 },     { 65, 128 },
                                          { 2048, 2048 }, { 2049, 2176 }, { 4097, 4352 }, { 8191, 8192 } };
    for (size_t i = 0; i < sizeof docs / sizeof docs[0]; i++)
        cr_expect_eq(lrc_feed_docs(docs[i][0]), docs[i][1]);
    for (size_t i = 0; i < sizeof trained / sizeof trained[0]; i++)
        cr_expect_eq(lrc_feed_trained(trained[i][0], 8192), trained[i][1]);
    cr_expect_eq(lrc_feed_trained(7, 10), 10, "never more than tokens");
    int64_t n_shapes = 0;
    for (int64_t n = 1025, before = 0; n <= 16384; n++) {
        const int64_t filled = lrc_feed_trained(n, 16384);
        cr_assert(filled >= n && filled >= before && (filled - n) * 16 < n);
        cr_assert_eq(lrc_feed_trained(filled, 16384), filled);
        n_shapes += filled != before;
        before = filled;
    }
    cr_expect_lt(n_shapes, 80);
}
