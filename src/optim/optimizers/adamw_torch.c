#include "optim/optim.h"

static enum lrc_status step(const struct lrc_backend *backend, struct lrc_stream *stream,
                            struct lrc_trainable *row, const struct lrc_step_scalars *scalars,
                            const struct lrc_optimizer_options *options, struct lrc_error *err)
{
    const struct lrc_adamw_args args = {
        .param = row->value,
        .grad = row->grad,
        .m = row->state[0],
        .v = row->state[1],
        .scalars = scalars,
        .beta1 = options->beta1,
        .beta2 = options->beta2,
        .eps = options->eps,
        .weight_decay = row->decays ? options->weight_decay : 0.0,
        .lr_ratio = 1.0,
    };
    return lrc_adamw(backend, stream, &args, err);
}

const struct lrc_optimizer lrc_optimizer_adamw_torch = {
    .name = "adamw_torch",
    .n_states = 2,
    .state_names = { "exp_avg", "exp_avg_sq" },
    .step = step,
};
