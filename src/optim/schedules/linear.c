#include "optim/schedule.h"

/* max(0, (T - s) / max(1, T - w)) */
static double factor(const struct lrc_schedule_options *options, int64_t step)
{
    const double warmup = lrc_schedule_warmup(options, step);
    if (warmup >= 0.0)
        return warmup;
    const int64_t left = options->n_steps - step, all = options->n_steps - options->warmup_steps;
    return left > 0 ? (double)left / (double)(all > 1 ? all : 1) : 0.0;
}

const struct lrc_schedule lrc_schedule_linear = { "linear", factor };
