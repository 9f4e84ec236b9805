/* Learning-rate schedules, equal to transformers' (optimization.py).
 *
 *   lr(step) = learning_rate * factor(step), step from 0; the factor of step 0 is 0 when there is warmup */
#ifndef LRC_OPTIM_SCHEDULE_H
#define LRC_OPTIM_SCHEDULE_H

#include <stdint.h>

struct lrc_schedule_options {
    int64_t n_steps;      /* of the whole run */
    int64_t warmup_steps;
    double  min_lr_ratio; /* cosine_min_lr_ratio */
};

struct lrc_schedule {
    const char *name; /* lr_scheduler */
    double (*factor)(const struct lrc_schedule_options *options, int64_t step);
};

extern const struct lrc_schedule *const lrc_schedule_all[]; /* generated; NULL-terminated */
const struct lrc_schedule *lrc_schedule_find(const char *name);

/* Linear warmup shared by all: step / max(1, warmup_steps) before warmup_steps, else -1. */
double lrc_schedule_warmup(const struct lrc_schedule_options *options, int64_t step);

#endif
