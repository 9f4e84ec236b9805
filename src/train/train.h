/* The whole job: load, quantize, tokenize, train, save. */
#ifndef LRC_TRAIN_TRAIN_H
#define LRC_TRAIN_TRAIN_H

#include "base/problems.h"
#include "config/config.h"

#include <signal.h>

struct lrc_train_options {
    int         resume;     /* go on from a checkpoint, if there is one */
    const char *resume_dir; /* this one; NULL: the newest complete one in output_dir */
    int         dry_run;    /* everything but the steps; writes nothing */
    /* as dry_run, but no weight is read and nothing large allocated: the report's regions alone */
    int plan;
    /* SIGINT or SIGTERM once that has come: finish the step, checkpoint, return; may be NULL */
    const volatile sig_atomic_t *stop;
    void (*progress)(int64_t done, int64_t total, double tokens_per_second, double loss); /* may be NULL */
};

/* One named piece of memory; names are static. */
enum { LRC_PLAN_REGIONS_MAX = 160 };
struct lrc_plan_region {
    const char *name;
    const char *where; /* "host", "file" (mapped, in the page cache), "device", "process" (the same for
                           every run) */
    int64_t     bytes;
};

/* What a run bought, for people and for scripts. */
struct lrc_train_report {
    int64_t n_steps, n_steps_done, n_examples, n_held_out, n_trainable, n_tokens;
    double  loss_first, loss_last;
    double  eval_loss_first, eval_loss_last; /* NAN without held-out data */
    double  time_s, tokens_per_second;
    /* planned: all but the device; available -1: unknown */
    int64_t                planned_bytes, available_bytes, peak_bytes;
    int64_t                device_bytes, device_available_bytes;
    int64_t                n_regions;
    struct lrc_plan_region regions[LRC_PLAN_REGIONS_MAX];
};

/* errors: of everything it calls; INTERRUPTED or TERMINATED after a signal, with a checkpoint written. */
enum lrc_status lrc_train(const struct lrc_config *config, const struct lrc_train_options *options,
                          struct lrc_train_report *report, struct lrc_problems *problems,
                          struct lrc_error *err) LRC_MUST_CHECK;

#endif
