#include "infer/runner.h"

#include "device.h"

static enum lrc_dtype activation_of(const struct lrc_model *model, const struct lrc_runner_options *options)
{
    const int is_4bit = options->load_in_4bit || model->config.is_bnb_4bit;
    const int is_wide = model->config.dtype == LRC_DTYPE_F32 && !is_4bit;
    const int is_narrow = options->bf16 == LRC_BF16_AUTO ? !is_wide && lrc_device_has_bf16(options->backend)
                                                         : options->bf16 == LRC_BF16_TRUE;
    return is_narrow ? LRC_DTYPE_BF16 : LRC_DTYPE_F32;
}

enum lrc_status lrc_runner_load(struct lrc_runner *runner, const char *model_dir,
                                const struct lrc_runner_options *options, struct lrc_problems *problems,
                                struct lrc_error *err)
{
    const struct lrc_model_options how = {
        .device = options->backend,
        .load_in_4bit = options->load_in_4bit,
        .quant = { lrc_quant_type_find("nf4"), 64, 1 },
        .n_positions = options->n_positions,
        .plan_only = 1,
    };

    *runner = (struct lrc_runner){ .backend = options->backend };
    LRC_TRY(lrc_model_load(&runner->model, model_dir, &how, problems, err));
    if (options->adapter_dir) /* which may name its base */
        lrc_model_hash_start(&runner->model, LRC_HASH_KEEPS_PAGES);
    LRC_TRY(lrc_model_commit(&runner->model, &how, err));
    runner->activation = activation_of(&runner->model, options);
    if (!options->adapter_dir)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_adapter_load(&runner->loaded, &runner->model, options->adapter_dir, LRC_ADAPTER_INFERENCE,
                             problems, err));
    runner->adapter = &runner->loaded;
    return LRC_STATUS_OK;
}

void lrc_runner_release(struct lrc_runner *runner)
{
    lrc_adapter_release(&runner->loaded);
    lrc_model_release(&runner->model);
}
