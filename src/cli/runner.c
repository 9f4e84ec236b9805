#include "cli/runner.h"

#include "device.h"

#include <omp.h>
#include <string.h>

enum lrc_status lrc_runner_set_threads(const struct lrc_cli *cli, struct lrc_error *err)
{
    int64_t n = 0;
    LRC_TRY(lrc_cli_int(cli, "threads", &n, 1, 1024, err));
    if (n > 0)
        omp_set_num_threads((int)n);
    return LRC_STATUS_OK;
}

static enum lrc_status choose_activation(struct lrc_runner *runner, const struct lrc_cli *cli,
                                         struct lrc_error *err)
{
    const char *bf16 = lrc_cli_option(cli, "bf16");
    if (!bf16 || strcmp(bf16, "auto") == 0) {
        const int wide = runner->model.config.dtype == LRC_DTYPE_F32 && !lrc_cli_has(cli, "load-in-4bit");
        runner->activation = !wide && lrc_device_has_bf16(runner->backend) ? LRC_DTYPE_BF16 : LRC_DTYPE_F32;
        return LRC_STATUS_OK;
    }
    if (strcmp(bf16, "true") != 0 && strcmp(bf16, "false") != 0)
        return lrc_fail(err, LRC_STATUS_USAGE, "--bf16: want auto, true or false, got '%s'", bf16);
    runner->activation = strcmp(bf16, "true") == 0 ? LRC_DTYPE_BF16 : LRC_DTYPE_F32;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_runner_choose(const struct lrc_backend **backend, const struct lrc_cli *cli,
                                  struct lrc_error *err)
{
    const char *device = lrc_cli_option(cli, "device");
    return lrc_device_choose(backend, device ? device : "auto", "--device", err);
}

enum lrc_status lrc_runner_load(struct lrc_runner *runner, const struct lrc_cli *cli, const char *model_dir,
                                int64_t n_positions, struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_model_options options = {
        .load_in_4bit = lrc_cli_has(cli, "load-in-4bit"),
        .quant = { lrc_quant_type_find("nf4"), 64, 1 },
        .n_positions = n_positions,
        .plan_only = 1,
    };
    const char *adapter_dir = lrc_cli_option(cli, "adapter");

    *runner = (struct lrc_runner){ 0 };
    LRC_TRY(lrc_runner_choose(&runner->backend, cli, err));
    options.device = runner->backend;
    LRC_TRY(lrc_model_load(&runner->model, model_dir, &options, problems, err));
    if (adapter_dir) /* which may name its base */
        lrc_model_hash_start(&runner->model, LRC_HASH_KEEPS_PAGES);
    LRC_TRY(lrc_model_commit(&runner->model, &options, err));
    LRC_TRY(choose_activation(runner, cli, err));
    if (adapter_dir) {
        LRC_TRY(lrc_adapter_load(&runner->loaded, &runner->model, adapter_dir, LRC_ADAPTER_INFERENCE,
                                 problems, err));
        runner->adapter = &runner->loaded;
    }
    return LRC_STATUS_OK;
}

void lrc_runner_explain(const struct lrc_runner *runner, const struct lrc_cli *cli, const char *rest,
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

void lrc_runner_release(struct lrc_runner *runner)
{
    lrc_adapter_release(&runner->loaded);
    lrc_model_release(&runner->model);
}
