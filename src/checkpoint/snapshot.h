/* What is trained, copied to host memory between two steps: what checkpoints and results are written from
 * while the next steps run, and how values get to a device.
 *
 * In place: full fine-tuning in host memory, where a copy would nearly double what the run takes. The rows
 * are then the live ones, and whoever writes them must be waited for. */
#ifndef LRC_CHECKPOINT_SNAPSHOT_H
#define LRC_CHECKPOINT_SNAPSHOT_H

#include "optim/optim.h"

struct lrc_snapshot {
    const struct lrc_backend *backend;
    int                       in_place;
    int                       n_states;
    struct lrc_arena          arena;
    float                    *memory; /* (1 + n_states, n_elems): values, then each state */
    struct lrc_trainables     rows;   /* as the live ones, in host memory; no gradients */
};

/* Plan the region; with the arena committed, bind it to the live rows. errors: NOMEM.
 * ownership: lrc_snapshot_release(). */
enum lrc_status lrc_snapshot_plan(struct lrc_snapshot *snapshot, const struct lrc_backend *backend,
                                  int64_t n_elems, const struct lrc_optimizer *type,
                                  struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_snapshot_bind(struct lrc_snapshot *snapshot, const struct lrc_trainables *live,
                                  struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_snapshot_release(struct lrc_snapshot *snapshot);

/* Live to host, and host to live; done on return. errors: DEVICE. */
enum lrc_status lrc_snapshot_take(struct lrc_snapshot *snapshot, const struct lrc_trainables *live,
                                  struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_snapshot_put(const struct lrc_snapshot *snapshot, struct lrc_trainables *live,
                                 struct lrc_error *err) LRC_MUST_CHECK;

#endif
