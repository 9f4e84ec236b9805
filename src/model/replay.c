#include "model/replay.h"

#include "base/log.h"

enum lrc_status lrc_replay_commit(struct lrc_replay *replay, const struct lrc_backend *backend,
                                  struct lrc_error *err)
{
    *replay = (struct lrc_replay){ .backend = backend };
    return backend->graph_begin ? backend->stream_new(&replay->recorder, err) : LRC_STATUS_OK;
}

static void forget(struct lrc_replay *replay)
{
    for (int i = 0; i < replay->n_entries; i++)
        if (replay->entries[i].graph)
            replay->backend->graph_free(replay->entries[i].graph);
    replay->n_entries = 0;
}

void lrc_replay_release(struct lrc_replay *replay)
{
    forget(replay);
    if (replay->recorder)
        replay->backend->stream_free(replay->recorder);
    *replay = (struct lrc_replay){ 0 };
}

static int is_same(const struct lrc_replay_shape *a, const struct lrc_replay_shape *b)
{
    return a->n_tokens == b->n_tokens && a->n_docs == b->n_docs && a->n_trained == b->n_trained &&
           a->adapter == b->adapter && a->gradients == b->gradients;
}

/* The shape's entry; NULL: it was not remembered, and is now. */
static struct lrc_replay_entry *meet(struct lrc_replay *replay, const struct lrc_replay_shape *shape)
{
    struct lrc_replay_entry *oldest = &replay->entries[0];
    replay->now++;
    for (int i = 0; i < replay->n_entries; i++) {
        struct lrc_replay_entry *entry = &replay->entries[i];
        if (is_same(&entry->shape, shape)) {
            entry->met = replay->now;
            return entry;
        }
        oldest = entry->met < oldest->met ? entry : oldest;
    }
    if (replay->n_entries < LRC_REPLAY_MAX)
        oldest = &replay->entries[replay->n_entries++];
    else if (oldest->graph)
        replay->backend->graph_free(oldest->graph);
    *oldest = (struct lrc_replay_entry){ .shape = *shape, .met = replay->now };
    return NULL;
}

static enum lrc_status record(const struct lrc_replay *replay, struct lrc_graph **graph,
                              lrc_replay_launch *launch, void *context, struct lrc_error *err)
{
    struct lrc_error ignored;
    LRC_TRY(replay->backend->graph_begin(replay->recorder, err));
    const enum lrc_status launched = launch(context, replay->recorder, err),
                          ended = replay->backend->graph_end(graph, replay->recorder,
                                                             launched == LRC_STATUS_OK ? err : &ignored);
    return launched == LRC_STATUS_OK ? ended : launched;
}

enum lrc_status lrc_replay_run(struct lrc_replay *replay, const struct lrc_replay_shape *shape,
                               lrc_replay_launch *launch, void *context, struct lrc_stream *stream,
                               struct lrc_error *err)
{
    struct lrc_error         why = { 0 };
    struct lrc_replay_entry *entry = replay->recorder ? meet(replay, shape) : NULL;
    if (!entry)
        return launch(context, stream, err);
    if (!entry->graph && record(replay, &entry->graph, launch, context, &why) != LRC_STATUS_OK) {
        lrc_log_warn("steps are not recorded and replayed: %s", why.message);
        forget(replay);
        replay->backend->stream_free(replay->recorder);
        replay->recorder = NULL;
        return launch(context, stream, err);
    }
    return replay->backend->graph_replay(entry->graph, stream, err);
}
