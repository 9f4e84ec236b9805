/* What every command that runs a model does first: load it, with an adapter if one is given. */
#ifndef LRC_CLI_RUNNER_H
#define LRC_CLI_RUNNER_H

#include "adapter/adapter.h"
#include "cli/command.h"

struct lrc_runner {
    struct lrc_model          model;
    struct lrc_adapter        loaded;
    const struct lrc_adapter *adapter; /* &loaded, or NULL */
    const struct lrc_backend *backend;
    enum lrc_dtype            activation;
};

/* --threads; before anything runs. */
enum lrc_status lrc_runner_set_threads(const struct lrc_cli *cli, struct lrc_error *err) LRC_MUST_CHECK;

/* --device; auto where the option is not given. */
enum lrc_status lrc_runner_choose(const struct lrc_backend **backend, const struct lrc_cli *cli,
                                  struct lrc_error *err) LRC_MUST_CHECK;

/* Honours --device, --adapter, --load-in-4bit and --bf16: float32 weights compute in float32 unless told
 * otherwise. n_positions: as in lrc_model_options. */
enum lrc_status lrc_runner_load(struct lrc_runner *runner, const struct lrc_cli *cli, const char *model_dir,
                                int64_t n_positions, struct lrc_problems *problems,
                                struct lrc_error *err) LRC_MUST_CHECK;
/* A failure for want of memory gets the plan and the knobs that help; others stay as they are. rest: what
 * the memory beside the base goes with, "the longest row". */
void lrc_runner_explain(const struct lrc_runner *runner, const struct lrc_cli *cli, const char *rest,
                        struct lrc_error *err);

void lrc_runner_release(struct lrc_runner *runner); /* safe on a zeroed runner */

#endif
