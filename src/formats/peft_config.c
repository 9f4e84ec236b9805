/* adapter_config.json, read and written. Only peft_type must be there; defaults and rules are those of
 * PEFT's LoraConfig.
 * source: huggingface/peft, tuners/lora/config.py */
#include "formats/peft.h"

#include "base/alloc.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char config_name[] = "adapter_config.json";

static void free_strings(char **strings, int n)
{
    for (int i = 0; i < n; i++)
        lrc_free(strings[i]);
    lrc_free((void *)strings);
}

static void free_patterns(struct lrc_peft_pattern *patterns, int n)
{
    for (int i = 0; i < n; i++)
        lrc_free(patterns[i].key);
    lrc_free(patterns);
}

void lrc_peft_config_release(struct lrc_peft_config *config)
{
    lrc_free(config->base_model_name_or_path);
    lrc_free(config->bias);
    lrc_free(config->target_regex);
    lrc_free(config->exclude_regex);
    free_strings(config->target_modules, config->n_target_modules);
    free_strings(config->exclude_modules, config->n_exclude_modules);
    free_strings(config->modules_to_save, config->n_modules_to_save);
    free_strings(config->layers_pattern, config->n_layers_pattern);
    lrc_free(config->layers_to_transform);
    free_patterns(config->rank_pattern, config->n_rank_pattern);
    free_patterns(config->alpha_pattern, config->n_alpha_pattern);
    *config = (struct lrc_peft_config){ 0 };
}

static enum lrc_status copy_string(char **copy, const json_t *json, const char *key, const char *name,
                                   struct lrc_error *err)
{
    const char *value = NULL;
    LRC_TRY(lrc_json_get_string(&value, json, key, name, err));
    if (!value)
        return LRC_STATUS_OK;
    *copy = lrc_strdup(value);
    return *copy ? LRC_STATUS_OK : lrc_fail_nomem(err, name);
}

static enum lrc_status copy_array(char ***strings, int *n, const json_t *array, const char *key,
                                  const char *name, struct lrc_error *err)
{
    const size_t size = json_array_size(array);
    if (size > 1 << 20)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: '%s': want at most %d names, got %zu", name, key,
                        1 << 20, size);
    *strings = lrc_calloc((int64_t)size, sizeof **strings);
    if (!*strings)
        return lrc_fail_nomem(err, name);
    for (size_t i = 0; i < size; i++) {
        const json_t *item = json_array_get(array, i);
        const char   *value = json_string_value(item);
        if (!value || strlen(value) != json_string_length(item))
            return lrc_fail(err, LRC_STATUS_FORMAT, "%s: '%s'[%zu]: want a string, got %s", name, key, i,
                            lrc_json_type_name(item));
        (*strings)[i] = lrc_strdup(value);
        if (!(*strings)[i])
            return lrc_fail_nomem(err, name);
        *n = (int)i + 1;
    }
    return LRC_STATUS_OK;
}

/* A string into *regex, or an array into *strings; absent or null leaves both. */
static enum lrc_status read_names(char **regex, char ***strings, int *n, const json_t *json, const char *key,
                                  const char *name, struct lrc_error *err)
{
    const json_t *value = json_object_get(json, key);
    if (!value || json_is_null(value))
        return LRC_STATUS_OK;
    if (json_is_array(value))
        return copy_array(strings, n, value, key, name, err);
    if (!json_is_string(value))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: '%s': want a string or an array of them, got %s", name,
                        key, lrc_json_type_name(value));
    return copy_string(regex, json, key, name, err);
}

static enum lrc_status read_targets(struct lrc_peft_config *config, const json_t *json, const char *name,
                                    struct lrc_error *err)
{
    char           *pattern = NULL, *save = NULL;
    enum lrc_status status;
    LRC_TRY(read_names(&config->target_regex, &config->target_modules, &config->n_target_modules, json,
                       "target_modules", name, err));
    LRC_TRY(read_names(&config->exclude_regex, &config->exclude_modules, &config->n_exclude_modules, json,
                       "exclude_modules", name, err));
    status = read_names(&save, &config->modules_to_save, &config->n_modules_to_save, json, "modules_to_save",
                        name, err);
    if (status == LRC_STATUS_OK && save)
        status = lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'modules_to_save': want an array, got a string", name);
    lrc_free(save);
    LRC_TRY(status);
    LRC_TRY(read_names(&pattern, &config->layers_pattern, &config->n_layers_pattern, json, "layers_pattern",
                       name, err));
    if (!pattern || pattern[0] == '\0') {
        lrc_free(pattern);
        return LRC_STATUS_OK;
    }
    config->layers_pattern = lrc_calloc(1, sizeof *config->layers_pattern);
    if (!config->layers_pattern) {
        lrc_free(pattern);
        return lrc_fail_nomem(err, name);
    }
    config->layers_pattern[0] = pattern;
    config->n_layers_pattern = 1;
    return LRC_STATUS_OK;
}

/* PEFT's default for the families here, when an adapter does not say. */
static enum lrc_status add_default_targets(struct lrc_peft_config *config, const char *name,
                                           struct lrc_error *err)
{
    static const char *const defaults[] = { "q_proj", "v_proj" };
    config->target_modules = lrc_calloc(2, sizeof *config->target_modules);
    if (!config->target_modules)
        return lrc_fail_nomem(err, name);
    for (int i = 0; i < 2; i++) {
        config->target_modules[i] = lrc_strdup(defaults[i]);
        if (!config->target_modules[i])
            return lrc_fail_nomem(err, name);
        config->n_target_modules++;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status read_layers(struct lrc_peft_config *config, const json_t *json, const char *name,
                                   struct lrc_error *err)
{
    const json_t *layers = json_object_get(json, "layers_to_transform");
    if (!layers || json_is_null(layers))
        return LRC_STATUS_OK;
    const size_t n = json_is_array(layers) ? json_array_size(layers) : 1;
    if (n > 1 << 20)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'layers_to_transform': want at most %d layers, got %zu",
                        name, 1 << 20, n);
    config->layers_to_transform = lrc_calloc((int64_t)n, sizeof *config->layers_to_transform);
    if (!config->layers_to_transform)
        return lrc_fail_nomem(err, name);
    for (size_t i = 0; i < n; i++) {
        const json_t *layer = json_is_array(layers) ? json_array_get(layers, i) : layers;
        if (!json_is_integer(layer) || json_integer_value(layer) < 0)
            return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'layers_to_transform': want layer numbers, got %s",
                            name, lrc_json_type_name(layer));
        config->layers_to_transform[i] = json_integer_value(layer);
    }
    config->n_layers_to_transform = (int)n;
    if (n > 0 && config->target_regex)
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: 'layers_to_transform': want target_modules to be a list, got a string", name);
    return LRC_STATUS_OK;
}

static enum lrc_status read_patterns(struct lrc_peft_pattern **patterns, int *n, const json_t *json,
                                     const char *key, const char *name, struct lrc_error *err)
{
    json_t     *object = json_object_get(json, key), *value;
    const char *pattern;
    if (!object || json_is_null(object))
        return LRC_STATUS_OK;
    if (!json_is_object(object) || json_object_size(object) > 1 << 20)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: '%s': want an object, got %s", name, key,
                        lrc_json_type_name(object));
    *patterns = lrc_calloc((int64_t)json_object_size(object), sizeof **patterns);
    if (!*patterns)
        return lrc_fail_nomem(err, name);
    json_object_foreach (object, pattern, value) {
        const double number = json_number_value(value);
        if (!json_is_number(value) || !(number >= 1.0 && number <= 1 << 20) || number != floor(number))
            return lrc_fail(err, LRC_STATUS_FORMAT, "%s: '%s': '%s': want a whole number from 1 to %d", name,
                            key, pattern, 1 << 20);
        (*patterns)[*n] = (struct lrc_peft_pattern){ lrc_strdup(pattern), (int64_t)number };
        if (!(*patterns)[*n].key)
            return lrc_fail_nomem(err, name);
        (*n)++;
    }
    return LRC_STATUS_OK;
}

/* Set to anything but null, false, or an empty array or object. */
static int is_set(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    if (!value || json_is_null(value) || json_is_false(value))
        return 0;
    if (json_is_array(value))
        return json_array_size(value) > 0;
    return json_is_object(value) ? json_object_size(value) > 0 : 1;
}

static enum lrc_status check_supported(const json_t *json, const char *name, struct lrc_error *err)
{
    static const char *const unsupported[] = { "use_dora",          "lora_bias",
                                               "fan_in_fan_out",    "modules_to_save",
                                               "target_parameters", "trainable_token_indices",
                                               "layer_replication", "use_qalora",
                                               "use_bdlora",        "alora_invocation_tokens",
                                               "arrow_config",      "kasa_config",
                                               "monteclora_config", "velora_config" };
    static const char *const changes_base[] = { "pissa", "olora", "corda", "loftq", "lora_ga" };
    const char              *type = NULL, *bias = "none";
    LRC_TRY(lrc_json_get_string(&type, json, "peft_type", name, err));
    if (!type)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'peft_type': want \"LORA\", it is missing", name);
    if (strcmp(type, "LORA") != 0)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: 'peft_type': want \"LORA\", got '%s'", name, type);
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (is_set(json, unsupported[i]))
            return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: '%s' is not supported", name, unsupported[i]);
    LRC_TRY(lrc_json_get_string(&bias, json, "bias", name, err));
    if (strcmp(bias, "none") != 0)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: 'bias': want \"none\", got '%s'", name, bias);
    const char *init = json_string_value(json_object_get(json, "init_lora_weights"));
    for (size_t i = 0; init && i < sizeof changes_base / sizeof *changes_base; i++)
        if (strncmp(init, changes_base[i], strlen(changes_base[i])) == 0)
            return lrc_fail(
                err, LRC_STATUS_UNSUPPORTED,
                "%s: 'init_lora_weights': '%s' changes the base model; want the adapter converted "
                "to plain LoRA",
                name, init);
    return LRC_STATUS_OK;
}

static enum lrc_status read_numbers(struct lrc_peft_config *config, const json_t *json, const char *name,
                                    struct lrc_error *err)
{
    config->r = 8;
    config->lora_alpha = 8.0;
    LRC_TRY(lrc_json_get_int(&config->r, json, "r", name, err));
    LRC_TRY(lrc_json_get_number(&config->lora_alpha, json, "lora_alpha", name, err));
    LRC_TRY(lrc_json_get_number(&config->lora_dropout, json, "lora_dropout", name, err));
    LRC_TRY(lrc_json_get_bool(&config->use_rslora, json, "use_rslora", name, err));
    if (config->r < 1 || config->r > 1 << 16)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'r': want 1 to %d, got %lld", name, 1 << 16,
                        (long long)config->r);
    if (!(config->lora_alpha > 0.0 && config->lora_alpha <= 1e9))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'lora_alpha': want a number above 0, got %g", name,
                        config->lora_alpha);
    if (!(config->lora_dropout >= 0.0 && config->lora_dropout < 1.0))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'lora_dropout': want 0 up to but not 1, got %g", name,
                        config->lora_dropout);
    return LRC_STATUS_OK;
}

static enum lrc_status read_all(struct lrc_peft_config *config, const json_t *json, const char *name,
                                struct lrc_error *err)
{
    if (!json_is_object(json))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want an object, got %s", name, lrc_json_type_name(json));
    LRC_TRY(check_supported(json, name, err));
    LRC_TRY(read_numbers(config, json, name, err));
    LRC_TRY(copy_string(&config->base_model_name_or_path, json, "base_model_name_or_path", name, err));
    config->bias = lrc_strdup("none");
    if (!config->bias)
        return lrc_fail_nomem(err, name);
    LRC_TRY(read_targets(config, json, name, err));
    if (!config->target_regex && !config->target_modules)
        LRC_TRY(add_default_targets(config, name, err));
    LRC_TRY(read_layers(config, json, name, err));
    LRC_TRY(read_patterns(&config->rank_pattern, &config->n_rank_pattern, json, "rank_pattern", name, err));
    return read_patterns(&config->alpha_pattern, &config->n_alpha_pattern, json, "alpha_pattern", name, err);
}

enum lrc_status lrc_peft_config_parse(struct lrc_peft_config *config, const json_t *json, const char *name,
                                      struct lrc_error *err)
{
    *config = (struct lrc_peft_config){ 0 };
    const enum lrc_status status = read_all(config, json, name, err);
    if (status != LRC_STATUS_OK)
        lrc_peft_config_release(config);
    return status;
}

enum lrc_status lrc_peft_config_read(struct lrc_peft_config *config, const char *adapter_dir,
                                     struct lrc_error *err)
{
    json_t *json = NULL;
    char   *path = lrc_path_join(adapter_dir, config_name);
    *config = (struct lrc_peft_config){ 0 };
    if (!path)
        return lrc_fail_nomem(err, adapter_dir);
    enum lrc_status status;
    if (lrc_path_is_dir(adapter_dir) && !lrc_path_exists(path))
        status = lrc_fail(err, LRC_STATUS_FORMAT, "%s: want an adapter folder with %s, found none",
                          adapter_dir, config_name);
    else
        status = lrc_json_load(&json, path, err);
    if (status == LRC_STATUS_OK)
        status = lrc_peft_config_parse(config, json, path, err);
    json_decref(json);
    lrc_free(path);
    return status;
}
