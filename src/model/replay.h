/* What a pass launches for a batch, recorded once per shape and replayed as one launch, where the backend can
 * (CUDA graphs).
 *
 *   a shape's first time    run as it is: algorithms are chosen, kernels loaded, and it may be its last
 *   its second              recorded, on a stream of its own, and replayed
 *   later                   replayed
 *
 * A recording keeps pointers, sizes and numbers: what changes between batches of one shape must lie in the
 * backend's memory. LRC_REPLAY_MAX shapes are remembered; the one that was not met for longest makes room. If
 * nothing can be recorded, everything runs as it is, and the log says so once. */
#ifndef LRC_MODEL_REPLAY_H
#define LRC_MODEL_REPLAY_H

#include "backend.h"

enum { LRC_REPLAY_MAX = 16 };

/* Everything that a recording depends on. */
struct lrc_replay_shape {
    int64_t     n_tokens, n_docs, n_trained;
    const void *adapter, *gradients;
};

struct lrc_replay {
    const struct lrc_backend *backend;
    struct lrc_stream        *recorder; /* NULL: nothing is recorded */
    struct lrc_replay_entry {
        struct lrc_replay_shape shape;
        struct lrc_graph       *graph; /* NULL: met once */
        int64_t                 met;   /* when last */
    } entries[LRC_REPLAY_MAX];
    int     n_entries;
    int64_t now;
};

/* Launches on the stream, which does not wait and allocates nothing. */
typedef enum lrc_status lrc_replay_launch(void *context, struct lrc_stream *stream, struct lrc_error *err);

/* Nothing where the backend cannot record. errors: DEVICE. ownership: lrc_replay_release(). */
enum lrc_status lrc_replay_commit(struct lrc_replay *replay, const struct lrc_backend *backend,
                                  struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_replay_release(struct lrc_replay *replay);

/* errors: of launch; DEVICE. */
enum lrc_status lrc_replay_run(struct lrc_replay *replay, const struct lrc_replay_shape *shape,
                               lrc_replay_launch *launch, void *context, struct lrc_stream *stream,
                               struct lrc_error *err) LRC_MUST_CHECK;

#endif
