#include "optim/schedule.h"

/* transformers' `constant` has no warmup, whatever warmup_steps says. */
static double factor(const struct lrc_schedule_options *options, int64_t step)
{
    (void)options;
    (void)step;
    return 1.0;
}

const struct lrc_schedule lrc_schedule_constant = { "constant", factor };
