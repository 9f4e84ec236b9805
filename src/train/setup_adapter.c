/* The adapter of a run: from the config's keys, or from a folder that is trained further. */
#include "train/run__private.h"

#include "base/log.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static enum lrc_status copy_names(char ***names, int *n_names, const struct lrc_string_list *list,
                                  struct lrc_error *err)
{
    *names = lrc_calloc(list->n, sizeof **names);
    if (!*names)
        return lrc_fail_nomem(err, "adapter configuration");
    for (int i = 0; i < list->n; i++) {
        if (!((*names)[i] = lrc_strdup(list->items[i])))
            return lrc_fail_nomem(err, "adapter configuration");
        *n_names = i + 1;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status copy_patterns(struct lrc_peft_pattern **patterns, int *n_patterns,
                                     const struct lrc_int_map *map, struct lrc_error *err)
{
    *patterns = lrc_calloc(map->n, sizeof **patterns);
    if (!*patterns)
        return lrc_fail_nomem(err, "adapter configuration");
    for (int i = 0; i < map->n; i++) {
        (*patterns)[i] = (struct lrc_peft_pattern){ lrc_strdup(map->keys[i]), map->values[i] };
        if (!(*patterns)[i].key)
            return lrc_fail_nomem(err, "adapter configuration");
        *n_patterns = i + 1;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status copy_targets(struct lrc_peft_config *peft, const struct lrc_config *config,
                                    struct lrc_error *err)
{
    const struct lrc_string_list *targets = &config->lora_target_modules,
                                 *excluded = &config->lora_exclude_modules;
    if (targets->n == 0 || targets->from_scalar) {
        peft->target_regex = lrc_strdup(targets->n == 0 ? "all-linear" : targets->items[0]);
        if (!peft->target_regex)
            return lrc_fail_nomem(err, "adapter configuration");
    } else {
        LRC_TRY(copy_names(&peft->target_modules, &peft->n_target_modules, targets, err));
    }
    if (excluded->n == 0)
        return LRC_STATUS_OK;
    if (!excluded->from_scalar)
        return copy_names(&peft->exclude_modules, &peft->n_exclude_modules, excluded, err);
    peft->exclude_regex = lrc_strdup(excluded->items[0]);
    return peft->exclude_regex ? LRC_STATUS_OK : lrc_fail_nomem(err, "adapter configuration");
}

/* The run's configuration as PEFT writes it. */
static enum lrc_status peft_of(struct lrc_peft_config *peft, const struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    *peft = (struct lrc_peft_config){
        .r = config->lora_r,
        .lora_alpha = (double)config->lora_alpha,
        .lora_dropout = config->lora_dropout,
        .use_rslora = config->peft_use_rslora,
    };
    peft->bias = lrc_strdup("none");
    peft->base_model_name_or_path = lrc_path_absolute(config->base_model);
    if (!peft->bias || !peft->base_model_name_or_path)
        return lrc_fail_nomem(err, "adapter configuration");
    LRC_TRY(copy_targets(peft, config, err));
    LRC_TRY(copy_patterns(&peft->rank_pattern, &peft->n_rank_pattern, &config->lora_rank_pattern, err));
    LRC_TRY(copy_patterns(&peft->alpha_pattern, &peft->n_alpha_pattern, &config->lora_alpha_pattern, err));
    const struct lrc_string_list *layers = &config->peft_layers_to_transform;
    peft->layers_to_transform = lrc_calloc(layers->n, sizeof *peft->layers_to_transform);
    if (!peft->layers_to_transform)
        return lrc_fail_nomem(err, "adapter configuration");
    for (int i = 0; i < layers->n; i++)
        peft->layers_to_transform[i] = strtoll(layers->items[i], NULL, 10); /* checked by the config reader */
    peft->n_layers_to_transform = layers->n;
    return LRC_STATUS_OK;
}

/* Keys of the run against an adapter that is trained further: they may repeat it, not contradict it. */
static enum lrc_status check_continued(const struct lrc_run *run, struct lrc_problems *problems,
                                       struct lrc_error *err)
{
    const struct lrc_config      *config = run->config;
    const struct lrc_peft_config *peft = &run->adapter.config;
    const struct {
        const char *key;
        double      want, got;
    } pairs[] = {
        { "lora_r", (double)peft->r, (double)config->lora_r },
        { "lora_alpha", peft->lora_alpha, (double)config->lora_alpha },
        { "peft_use_rslora", (double)peft->use_rslora, (double)config->peft_use_rslora },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (lrc_config_is_set(config, pairs[i].key) && pairs[i].want != pairs[i].got)
            lrc_problems_add(problems, "%s: %s: want the %g of the adapter in %s, got %g",
                             lrc_config_where(config, pairs[i].key), pairs[i].key, pairs[i].want,
                             config->lora_model_dir, pairs[i].got);
    static const char *const targets[] = { "lora_target_modules", "lora_exclude_modules",
                                           "peft_layers_to_transform", "lora_rank_pattern",
                                           "lora_alpha_pattern" };
    struct lrc_peft_config   asked = { 0 };
    enum lrc_status          status = LRC_STATUS_OK;
    int                      any = 0;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        any |= lrc_config_is_set(config, targets[i]);
    if (any)
        status = peft_of(&asked, run, err);
    for (int64_t i = 0; any && status == LRC_STATUS_OK && i < run->adapter.n_layers * LRC_MODULE_COUNT; i++) {
        char name[LRC_MODULE_NAME_MAX];
        int  targeted;
        lrc_model_module_name(name, &run->model, i / LRC_MODULE_COUNT,
                              (enum lrc_module)(i % LRC_MODULE_COUNT));
        status = lrc_peft_targets(&targeted, &asked, name, 0, err);
        if (status == LRC_STATUS_OK && targeted != (run->adapter.modules[i].a.shape[0] > 0))
            lrc_problems_add(problems, "targets: want those of the adapter in %s, got another choice for %s",
                             config->lora_model_dir, name);
    }
    lrc_peft_config_release(&asked);
    return status == LRC_STATUS_OK ? lrc_problems_fail(problems, LRC_STATUS_CONFIG, "configuration", err)
                                   : status;
}

static enum lrc_status plan_continued(struct lrc_run *run, struct lrc_problems *problems,
                                      struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    struct lrc_peft_config   peft;
    LRC_TRY(lrc_peft_config_read(&peft, config->lora_model_dir, err));
    LRC_TRY(lrc_adapter_plan(&run->adapter, &run->model, &peft, LRC_ADAPTER_TRAINING, err));
    LRC_TRY(check_continued(run, problems, err));
    if (lrc_config_is_set(config, "lora_dropout"))
        run->adapter.config.lora_dropout = config->lora_dropout;
    char *base = lrc_path_absolute(config->base_model);
    if (!base)
        return lrc_fail_nomem(err, "adapter configuration");
    lrc_free(run->adapter.config.base_model_name_or_path);
    run->adapter.config.base_model_name_or_path = base;
    return LRC_STATUS_OK;
}

/* Whether one entry of a list or a map means any linear of the model. */
static enum lrc_status meets_any(int *met, const struct lrc_run *run, const struct lrc_peft_config *entry,
                                 struct lrc_error *err)
{
    *met = 0;
    for (int64_t i = 0; i < run->model.config.n_layers * LRC_MODULE_COUNT && !*met; i++) {
        char    name[LRC_MODULE_NAME_MAX];
        int64_t r;
        double  alpha;
        lrc_model_module_name(name, &run->model, i / LRC_MODULE_COUNT,
                              (enum lrc_module)(i % LRC_MODULE_COUNT));
        LRC_TRY(lrc_peft_targets(met, entry, name, 0, err));
        LRC_TRY(lrc_peft_rank(&r, &alpha, entry, name, err));
        *met = *met || r > 0; /* the entry has no rank but that of a pattern */
    }
    return LRC_STATUS_OK;
}

static enum lrc_status check_entry(const struct lrc_run *run, const char *key, const char *name,
                                   const struct lrc_peft_config *entry, struct lrc_error *err)
{
    int met;
    LRC_TRY(meets_any(&met, run, entry, err));
    if (!met)
        lrc_log_warn("%s: %s: '%s' is no linear of the model and changes nothing",
                     lrc_config_where(run->config, key), key, name);
    return LRC_STATUS_OK;
}

/* A misspelt name among others would go unnoticed: PEFT, too, is content with one that matches. */
static enum lrc_status check_entries(const struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    const struct {
        const char                   *key;
        const struct lrc_string_list *list;
    } lists[] = { { "lora_target_modules", &config->lora_target_modules },
                  { "lora_exclude_modules", &config->lora_exclude_modules } };
    const struct {
        const char               *key;
        const struct lrc_int_map *map;
    } maps[] = { { "lora_rank_pattern", &config->lora_rank_pattern },
                 { "lora_alpha_pattern", &config->lora_alpha_pattern } };
    for (size_t k = 0; k < 2; k++)
        for (int i = 0; i < lists[k].list->n && !lists[k].list->from_scalar; i++) {
            char                        *name = (char *)(uintptr_t)lists[k].list->items[i];
            const struct lrc_peft_config entry = { .target_modules = &name, .n_target_modules = 1 };
            LRC_TRY(check_entry(run, lists[k].key, name, &entry, err));
        }
    for (size_t k = 0; k < 2; k++)
        for (int i = 0; i < maps[k].map->n; i++) {
            struct lrc_peft_pattern      pattern = { (char *)(uintptr_t)maps[k].map->keys[i], 1 };
            const struct lrc_peft_config entry = { .rank_pattern = &pattern, .n_rank_pattern = 1 };
            LRC_TRY(check_entry(run, maps[k].key, pattern.key, &entry, err));
        }
    return LRC_STATUS_OK;
}

/* What would be adapted by PEFT and cannot be here, and layers that the model has not. */
static enum lrc_status check_choice(const struct lrc_run *run, struct lrc_problems *problems,
                                    struct lrc_error *err)
{
    static const char *const      others[] = { "lm_head", "model.embed_tokens" };
    const struct lrc_config      *config = run->config;
    const struct lrc_string_list *targets = &config->lora_target_modules,
                                 *layers = &config->peft_layers_to_transform;
    for (int i = 0; i < targets->n && !targets->from_scalar; i++)
        for (size_t o = 0; o < sizeof others / sizeof others[0]; o++) {
            char                        *name = (char *)(uintptr_t)targets->items[i];
            const struct lrc_peft_config entry = { .target_modules = &name, .n_target_modules = 1 };
            int                          met;
            LRC_TRY(lrc_peft_targets(&met, &entry, others[o], 0, err));
            if (met)
                lrc_problems_add(problems,
                                 "%s: lora_target_modules: want linears of the layers, got '%s': adapters on "
                                 "the output layer and the embedding are not yet in this version",
                                 lrc_config_where(config, "lora_target_modules"), name);
        }
    for (int i = 0; i < layers->n; i++)
        if (strtoll(layers->items[i], NULL, 10) >= run->model.config.n_layers)
            lrc_problems_add(problems, "%s: peft_layers_to_transform: want layers from 0 to %lld, got %s",
                             lrc_config_where(config, "peft_layers_to_transform"),
                             (long long)run->model.config.n_layers - 1, layers->items[i]);
    LRC_TRY(lrc_problems_fail(problems, LRC_STATUS_CONFIG, "configuration", err));
    return check_entries(run, err);
}

enum lrc_status lrc_run__plan_adapter(struct lrc_run *run, struct lrc_problems *problems,
                                      struct lrc_error *err)
{
    struct lrc_peft_config peft;
    if (run->config->lora_model_dir)
        return plan_continued(run, problems, err);
    LRC_TRY(check_choice(run, problems, err));
    enum lrc_status status = peft_of(&peft, run, err);
    if (status == LRC_STATUS_OK)
        status = lrc_adapter_plan(&run->adapter, &run->model, &peft, LRC_ADAPTER_TRAINING, err);
    lrc_peft_config_release(&peft);
    return status;
}

/* Where training begins, by way of the snapshot. */
enum lrc_status lrc_run__fill_adapter(struct lrc_run *run, struct lrc_problems *problems,
                                      struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    float                   *values = run->snapshot.rows.rows[0].value.data;
    if (config->lora_model_dir)
        LRC_TRY(lrc_adapter_read(&run->adapter, values, &run->model, config->lora_model_dir, problems, err));
    else
        lrc_adapter_reset(&run->adapter, values, (uint64_t)config->seed,
                          strcmp(config->peft_init_lora_weights, "gaussian") == 0 ? LRC_ADAPTER_GAUSSIAN
                          : strcmp(config->peft_init_lora_weights, "false") == 0  ? LRC_ADAPTER_RANDOM
                                                                                  : LRC_ADAPTER_KAIMING);
    return lrc_snapshot_put(&run->snapshot, &run->trainables, err);
}
