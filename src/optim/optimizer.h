/* An optimizer: the state tensors it keeps per trainable, and one update. */
#ifndef LRC_OPTIM_OPTIMIZER_H
#define LRC_OPTIM_OPTIMIZER_H

#include "backend.h"

enum { LRC_OPTIMIZER_STATES_MAX = 2 };

struct lrc_trainable;
struct lrc_optimizer_options;

struct lrc_optimizer {
    const char *name;    /* the config's spelling */
    int         n_states;
    /* in state.h5; every state is float32 and shaped like its tensor */
    const char *state_names[LRC_OPTIMIZER_STATES_MAX];
    enum lrc_status (*step)(const struct lrc_backend *backend, struct lrc_stream *stream,
                            struct lrc_trainable *row, const struct lrc_step_scalars *scalars,
                            const struct lrc_optimizer_options *options, struct lrc_error *err);
};

extern const struct lrc_optimizer *const lrc_optimizer_all[]; /* generated; NULL-terminated */
const struct lrc_optimizer *lrc_optimizer_find(const char *name);

#endif
