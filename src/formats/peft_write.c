/* adapter_config.json as Python's json.dumps(indent=2, sort_keys=True) lays it out: the keys every version
 * of PEFT knows. */
#include "formats/peft.h"

#include "base/alloc.h"
#include <string.h>

static void append_key(struct lrc_buf *text, const char *key)
{
    lrc_buf_puts(text, text->len == 0 ? "{\n  " : ",\n  ");
    lrc_json_append_string(text, key, strlen(key));
    lrc_buf_puts(text, ": ");
}

static void append_string(struct lrc_buf *text, const char *key, const char *value)
{
    append_key(text, key);
    if (value)
        lrc_json_append_string(text, value, strlen(value));
    else
        lrc_buf_puts(text, "null");
}

static void append_flag(struct lrc_buf *text, const char *key, int value)
{
    append_key(text, key);
    lrc_buf_puts(text, value ? "true" : "false");
}

/* Null when there are none. */
static void append_strings(struct lrc_buf *text, const char *key, char *const *strings, int n)
{
    append_key(text, key);
    if (n == 0) {
        lrc_buf_puts(text, "null");
        return;
    }
    for (int i = 0; i < n; i++) {
        lrc_buf_puts(text, i == 0 ? "[\n    " : ",\n    ");
        lrc_json_append_string(text, strings[i], strlen(strings[i]));
    }
    lrc_buf_puts(text, "\n  ]");
}

static void append_layers(struct lrc_buf *text, const struct lrc_peft_config *config)
{
    append_key(text, "layers_to_transform");
    for (int i = 0; i < config->n_layers_to_transform; i++)
        lrc_buf_printf(text, "%s%lld", i == 0 ? "[\n    " : ",\n    ",
                       (long long)config->layers_to_transform[i]);
    lrc_buf_puts(text, config->n_layers_to_transform > 0 ? "\n  ]" : "null");
}

static void append_patterns(struct lrc_buf *text, const char *key, const struct lrc_peft_pattern *patterns,
                            int n)
{
    append_key(text, key);
    for (int i = 0; i < n; i++) {
        lrc_buf_puts(text, i == 0 ? "{\n    " : ",\n    ");
        lrc_json_append_string(text, patterns[i].key, strlen(patterns[i].key));
        lrc_buf_printf(text, ": %lld", (long long)patterns[i].value);
    }
    lrc_buf_puts(text, n > 0 ? "\n  }" : "{}");
}

/* As Python writes a float: 0.0, not 0. */
static void append_float(struct lrc_buf *text, const char *key, double value)
{
    append_key(text, key);
    const size_t before = text->len;
    lrc_json_append_number(text, value);
    if (!text->failed && !strpbrk(text->data + before, ".en"))
        lrc_buf_puts(text, ".0");
}

static void append_names(struct lrc_buf *text, const char *key, const char *regex, char *const *strings,
                         int n)
{
    if (regex)
        append_string(text, key, regex);
    else
        append_strings(text, key, strings, n);
}

static void append_config(struct lrc_buf *text, const struct lrc_peft_config *config)
{
    append_patterns(text, "alpha_pattern", config->alpha_pattern, config->n_alpha_pattern);
    append_string(text, "base_model_name_or_path", config->base_model_name_or_path);
    append_string(text, "bias", config->bias ? config->bias : "none");
    append_names(text, "exclude_modules", config->exclude_regex, config->exclude_modules,
                 config->n_exclude_modules);
    append_flag(text, "fan_in_fan_out", config->fan_in_fan_out);
    append_flag(text, "inference_mode", 1);
    append_flag(text, "init_lora_weights", 1);
    append_strings(text, "layers_pattern", config->layers_pattern, config->n_layers_pattern);
    append_layers(text, config);
    append_key(text, "lora_alpha");
    lrc_json_append_number(text, config->lora_alpha);
    append_float(text, "lora_dropout", config->lora_dropout);
    append_strings(text, "modules_to_save", config->modules_to_save, config->n_modules_to_save);
    append_string(text, "peft_type", "LORA");
    append_key(text, "r");
    lrc_buf_printf(text, "%lld", (long long)config->r);
    append_patterns(text, "rank_pattern", config->rank_pattern, config->n_rank_pattern);
    append_names(text, "target_modules", config->target_regex, config->target_modules,
                 config->n_target_modules);
    append_string(text, "task_type", "CAUSAL_LM");
    append_flag(text, "use_dora", config->use_dora);
    append_flag(text, "use_rslora", config->use_rslora);
    lrc_buf_puts(text, "\n}");
}

enum lrc_status lrc_peft_config_write(const struct lrc_peft_config *config, const char *adapter_dir,
                                      struct lrc_error *err)
{
    struct lrc_buf  text = { 0 };
    char           *path = lrc_path_join(adapter_dir, "adapter_config.json");
    enum lrc_status status = path ? LRC_STATUS_OK : lrc_fail_nomem(err, adapter_dir);
    append_config(&text, config);
    if (status == LRC_STATUS_OK)
        status = lrc_buf_check(&text, err);
    if (status == LRC_STATUS_OK)
        status = lrc_file_write(path, text.data, text.len, err);
    lrc_buf_release(&text);
    lrc_free(path);
    return status;
}
