#include "cli/model_options.h"

#include "device.h"

#include <omp.h>
#include <string.h>

enum lrc_status lrc_cli_set_threads(const struct lrc_cli *cli, struct lrc_error *err)
{
    int64_t n = 0;
    LRC_TRY(lrc_cli_int(cli, "threads", &n, 1, 1024, err));
    if (n > 0)
        omp_set_num_threads((int)n);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_cli_choose_device(const struct lrc_backend **backend, const struct lrc_cli *cli,
                                      struct lrc_error *err)
{
    const char *device = lrc_cli_option(cli, "device");
    return lrc_device_choose(backend, device ? device : "auto", "--device", err);
}

static enum lrc_status read_bf16(enum lrc_bf16 *bf16, const struct lrc_cli *cli, struct lrc_error *err)
{
    static const char *const words[] = {
        [LRC_BF16_AUTO] = "auto", [LRC_BF16_TRUE] = "true", [LRC_BF16_FALSE] = "false"
    };
    const char *word = lrc_cli_option(cli, "bf16");
    *bf16 = LRC_BF16_AUTO;
    if (!word)
        return LRC_STATUS_OK;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0) {
            *bf16 = (enum lrc_bf16)i;
            return LRC_STATUS_OK;
        }
    return lrc_fail(err, LRC_STATUS_USAGE, "--bf16: want auto, true or false, got '%s'", word);
}

enum lrc_status lrc_cli_load_model(struct lrc_runner *runner, const struct lrc_cli *cli,
                                   const char *model_dir, int64_t n_positions, struct lrc_problems *problems,
                                   struct lrc_error *err)
{
    struct lrc_runner_options options = {
        .adapter_dir = lrc_cli_option(cli, "adapter"),
        .load_in_4bit = lrc_cli_has(cli, "load-in-4bit"),
        .n_positions = n_positions,
    };
    LRC_TRY(read_bf16(&options.bf16, cli, err));
    LRC_TRY(lrc_cli_choose_device(&options.backend, cli, err));
    return lrc_runner_load(runner, model_dir, &options, problems, err);
}

void lrc_cli_explain_memory(const struct lrc_cli *cli, const struct lrc_runner *runner, const char *rest,
                            struct lrc_error *err)
{
    const struct lrc_error  why = *err;
    const struct lrc_model *model = &runner->model;
    if (why.status != LRC_STATUS_NOMEM || !runner->backend)
        return;
    const int on_device = runner->backend->memory != NULL,
              is_4bit = lrc_cli_has(cli, "load-in-4bit") || model->config.is_bnb_4bit;
    const size_t base_bytes = model->arena.size_bytes + (on_device ? 0 : model->mapped_bytes);
    (void)lrc_fail(err, LRC_STATUS_NOMEM, "%s; the base takes %.2f MB, the rest goes with %s%s%s",
                   why.message, (double)base_bytes * 1e-6, rest,
                   is_4bit ? "" : "; --load-in-4bit saves about 70 % of the base",
                   on_device ? "; --device cpu takes the host's memory instead" : "");
}
