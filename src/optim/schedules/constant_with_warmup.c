#include "optim/schedule.h"

static double factor(const struct lrc_schedule_options *options, int64_t step)
{
    const double warmup = lrc_schedule_warmup(options, step);
    return warmup >= 0.0 ? warmup : 1.0;
}

const struct lrc_schedule lrc_schedule_constant_with_warmup = { "constant_with_warmup", factor };
