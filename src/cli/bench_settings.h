/* What `lorica bench` runs: from its options, a run's config file, and defaults, in that order. */
#ifndef LRC_CLI_BENCH_SETTINGS_H
#define LRC_CLI_BENCH_SETTINGS_H

#include "cli/command.h"
#include "formats/peft.h"
#include "model/synthetic.h"

enum { LRC_BENCH_STEPS_MAX = 1000 };

/* What checkpointing keeps, and then what else, lies in the host's memory; each beside those before it. */
enum lrc_bench_ckpt {
    LRC_BENCH_CKPT_OFF,
    LRC_BENCH_CKPT_ON,
    LRC_BENCH_CKPT_OFFLOAD,    /* layer inputs */
    LRC_BENCH_CKPT_OFFLOAD_ALL /* and embedding and optimizer's states */
};
extern const char *const lrc_bench_ckpt_words[];

struct lrc_bench_settings {
    const char            *mode, *label, *targets;
    struct lrc_model_shape shape;
    int64_t                batch, seq, rank, steps, warmup;
    enum lrc_bench_ckpt    ckpt;
};

/* No weight is opened. errors: USAGE for an option; those of the config file and of its base's config.json.
 */
enum lrc_status lrc_bench_settings_read(struct lrc_bench_settings *settings, const struct lrc_cli *cli,
                                        struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;

/* The linears of --targets, as PEFT names them. errors: USAGE. */
enum lrc_status lrc_bench_targets(struct lrc_peft_config *peft, const char *name,
                                  struct lrc_error *err) LRC_MUST_CHECK;

#endif
