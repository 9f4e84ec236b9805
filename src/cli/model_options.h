/* The options that commands which run a model have in common. */
#ifndef LRC_CLI_MODEL_OPTIONS_H
#define LRC_CLI_MODEL_OPTIONS_H

#include "cli/command.h"
#include "infer/runner.h"

/* --threads; before anything runs. */
enum lrc_status lrc_cli_set_threads(const struct lrc_cli *cli, struct lrc_error *err) LRC_MUST_CHECK;

/* --device; auto where the option is not given. */
enum lrc_status lrc_cli_choose_device(const struct lrc_backend **backend, const struct lrc_cli *cli,
                                      struct lrc_error *err) LRC_MUST_CHECK;

/* lrc_runner_load() as --device, --adapter, --load-in-4bit and --bf16 say. */
enum lrc_status lrc_cli_load_model(struct lrc_runner *runner, const struct lrc_cli *cli,
                                   const char *model_dir, int64_t n_positions, struct lrc_problems *problems,
                                   struct lrc_error *err) LRC_MUST_CHECK;

/* A failure for want of memory gets the plan and the options that help; others stay as they are. rest: what
 * the memory beside the base goes with, "the longest row". */
void lrc_cli_explain_memory(const struct lrc_cli *cli, const struct lrc_runner *runner, const char *rest,
                            struct lrc_error *err);

#endif
