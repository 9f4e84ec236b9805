#include "optim/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* f = max(0, (1 + cos(pi p)) / 2), p = (s - w) / max(1, T - w);  f (1 - r) + r with r = min_lr_ratio */
static double factor(const struct lrc_schedule_options *options, int64_t step)
{
    const double warmup = lrc_schedule_warmup(options, step);
    if (warmup >= 0.0)
        return warmup;
    const int64_t all = options->n_steps - options->warmup_steps;
    const double  progress = (double)(step - options->warmup_steps) / (double)(all > 1 ? all : 1);
    const double  f = 0.5 * (1.0 + cos(pi * progress));
    return (f > 0.0 ? f : 0.0) * (1.0 - options->min_lr_ratio) + options->min_lr_ratio;
}

const struct lrc_schedule lrc_schedule_cosine = { "cosine", factor };
