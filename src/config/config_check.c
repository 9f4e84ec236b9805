#include "config/config_private.h"

#include "base/log.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct check {
    struct lrc_config   *config;
    struct lrc_problems *problems;
};

static int is_set(const struct check *check, const char *key)
{
    return lrc_config_is_set(check->config, key);
}

/* Where the blame goes: the place of the key, else the file as a whole. */
static const char *place(const struct check *check, const char *key)
{
    return is_set(check, key) ? lrc_config_where(check->config, key) : check->config->internal->path;
}

static void contradiction(const struct check *check, const char *key, const char *sentence)
{
    lrc_problems_add(check->problems, "%s: '%s': %s", place(check, key), key, sentence);
}

static void check_required(const struct check *check)
{
    const struct lrc_config *config = check->config;
    for (int i = 0; i < lrc_config__n_keys; i++) {
        const struct lrc_key *key = &lrc_config__keys[i];
        if ((key->flags & LRC_KEY_REQUIRED) && !config->internal->where[i])
            lrc_problems_add(check->problems, "%s: want the key '%s', got none", config->internal->path,
                             key->name);
    }
    if (config->lora_model_dir || !config->adapter || strcmp(config->adapter, "full") == 0)
        return;
    if (!is_set(check, "lora_r"))
        contradiction(check, "lora_r", "want it given, unless lora_model_dir is, got none");
    if (!is_set(check, "lora_alpha"))
        contradiction(check, "lora_alpha", "want it given, unless lora_model_dir is, got none");
}

static void check_adapter(const struct check *check)
{
    static const char *const adapter_keys[] = {
        "lora_r",
        "lora_alpha",
        "lora_dropout",
        "lora_target_modules",
        "lora_exclude_modules",
        "peft_layers_to_transform",
        "lora_rank_pattern",
        "lora_alpha_pattern",
    };
    struct lrc_config *config = check->config;
    if (!config->adapter)
        return;
    const int is_full = strcmp(config->adapter, "full") == 0;
    if (strcmp(config->adapter, "qlora") == 0) {
        if (is_set(check, "load_in_4bit") && !config->load_in_4bit)
            contradiction(
                check, "load_in_4bit",
                "want true with adapter 'qlora', got false (adapter 'lora' keeps the base as it is)");
        config->load_in_4bit = 1;
    } else if (config->load_in_4bit && !is_full) {
        config->adapter = "qlora";
    }
    if (!is_full)
        return;
    if (config->load_in_4bit)
        contradiction(check, "load_in_4bit",
                      "want adapter 'qlora' with it, got adapter 'full': 4-bit weights cannot be trained");
    if (config->lora_model_dir)
        contradiction(check, "lora_model_dir", "want adapter 'lora' or 'qlora' with it, got adapter 'full'");
    for (size_t i = 0; i < sizeof adapter_keys / sizeof adapter_keys[0]; i++) {
        if (is_set(check, adapter_keys[i]))
            lrc_log_warn("%s: '%s' has no effect with adapter 'full'", place(check, adapter_keys[i]),
                         adapter_keys[i]);
    }
}

static void check_targets(const struct check *check)
{
    struct lrc_config *config = check->config;
    const int          has_modules = config->lora_target_modules.n > 0;
    if (has_modules && config->lora_target_linear && is_set(check, "lora_target_linear"))
        contradiction(check, "lora_target_modules", "want either it or lora_target_linear: true, got both");
    if (has_modules)
        config->lora_target_linear = 0;
    if (has_modules && config->lora_target_modules.from_scalar && config->peft_layers_to_transform.n > 0 &&
        strcasecmp(config->lora_target_modules.items[0], "all-linear") != 0)
        contradiction(
            check, "peft_layers_to_transform",
            "want lora_target_modules to be a list or all-linear with it, got a regular expression");
    if (!has_modules && !config->lora_target_linear && !config->lora_model_dir && config->adapter &&
        strcmp(config->adapter, "full") != 0)
        contradiction(check, "lora_target_linear",
                      "want lora_target_modules when it is false, got nothing to adapt");
}

static void check_data(const struct check *check)
{
    const struct lrc_config *config = check->config;
    const int                has_eval = config->val_set_size > 0 || config->test_datasets.n > 0;
    if (config->val_set_size >= 1 && config->val_set_size != floor(config->val_set_size))
        contradiction(check, "val_set_size",
                      "want a fraction below 1 or a whole number of rows, got neither");
    if (config->val_set_size > 0 && config->test_datasets.n > 0)
        contradiction(check, "test_datasets", "want either it or val_set_size, got both");
    if (config->load_best_model_at_end && !has_eval)
        contradiction(check, "load_best_model_at_end",
                      "want val_set_size or test_datasets with it, got neither");
    if (config->early_stopping_patience > 0 && !has_eval)
        contradiction(check, "early_stopping_patience",
                      "want val_set_size or test_datasets with it, got neither");
    if (config->sample_packing && config->group_by_length)
        contradiction(check, "group_by_length", "want either it or sample_packing, got both");
}

static void check_training(const struct check *check)
{
    const struct lrc_config *config = check->config;
    const int                is_constant = strcmp(config->lr_scheduler, "constant") == 0;
    if (config->eval_steps > 0 && config->evals_per_epoch > 0)
        contradiction(check, "evals_per_epoch", "want either it or eval_steps, got both");
    if (config->save_steps > 0 && config->saves_per_epoch > 0)
        contradiction(check, "saves_per_epoch", "want either it or save_steps, got both");
    if (is_constant && config->warmup_steps > 0)
        contradiction(check, "warmup_steps",
                      "want lr_scheduler 'constant_with_warmup' with it, got 'constant'");
    else if (is_constant && config->warmup_ratio > 0)
        contradiction(check, "warmup_ratio",
                      "want lr_scheduler 'constant_with_warmup' with it, got 'constant'");
    if (config->cosine_min_lr_ratio > 0 && strcmp(config->lr_scheduler, "cosine") != 0)
        contradiction(check, "cosine_min_lr_ratio", "want lr_scheduler 'cosine' with it, got another");
}

void lrc_config__check(struct lrc_config *config, struct lrc_problems *problems)
{
    const struct check check = { config, problems };
    check_required(&check);
    check_adapter(&check);
    check_targets(&check);
    check_data(&check);
    check_training(&check);
}
