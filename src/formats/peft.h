/* An adapter folder in PEFT's format: adapter_config.json and adapter_model.safetensors. */
#ifndef LRC_FORMATS_PEFT_H
#define LRC_FORMATS_PEFT_H

#include "formats/safetensors.h"

struct lrc_peft_pattern {
    char   *key; /* PEFT: matches when re.match("(.*\\.)?(key)$", module) */
    int64_t value;
};

/* adapter_config.json. Strings are owned. */
struct lrc_peft_config {
    char   *base_model_name_or_path;
    int64_t r;
    double  lora_alpha;
    double  lora_dropout;
    char   *bias; /* "none", "all", "lora_only" */
    int     use_rslora;
    int     use_dora;
    int     lora_bias;
    int     fan_in_fan_out;
    char   *target_regex;     /* a string target, also "all-linear"; NULL when a list */
    char  **target_modules;   /* list */
    int     n_target_modules;
    char   *exclude_regex;
    char  **exclude_modules;
    int     n_exclude_modules;
    int64_t *layers_to_transform;
    int     n_layers_to_transform;
    char  **layers_pattern;   /* names of the list of layers; none: any */
    int     n_layers_pattern;
    char  **modules_to_save;
    int     n_modules_to_save;
    struct lrc_peft_pattern *rank_pattern;
    int     n_rank_pattern;
    struct lrc_peft_pattern *alpha_pattern;
    int     n_alpha_pattern;
};

/* errors: IO, FORMAT; UNSUPPORTED for what Lorica cannot run yet (use_dora, lora_bias, bias other than
 * none, modules_to_save, fan_in_fan_out, another peft_type, an initialisation that changes the base), each
 * named. Unknown keys are ignored, as PEFT does. */
enum lrc_status lrc_peft_config_read(struct lrc_peft_config *config, const char *adapter_dir,
                                     struct lrc_error *err) LRC_MUST_CHECK;
/* The same from the parsed file; name is used in sentences. */
enum lrc_status lrc_peft_config_parse(struct lrc_peft_config *config, const json_t *json, const char *name,
                                      struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_peft_config_release(struct lrc_peft_config *config);

/* Written like PEFT: indent 2, sorted keys, the safe minimal set of keys. */
enum lrc_status lrc_peft_config_write(const struct lrc_peft_config *config, const char *adapter_dir,
                                      struct lrc_error *err) LRC_MUST_CHECK;

/* Does a module (full dotted name, "model.layers.0.self_attn.q_proj") get an adapter? PEFT's rules for
 * lists, regular expressions (full match), "all-linear", exclusions and layers_to_transform.
 * is_output: the output layer, which all-linear leaves out.
 * errors: CONFIG when a pattern does not compile. */
enum lrc_status lrc_peft_targets(int *targeted, const struct lrc_peft_config *config, const char *module,
                                 int is_output, struct lrc_error *err) LRC_MUST_CHECK;
/* r and alpha of a module after the patterns. */
enum lrc_status lrc_peft_rank(int64_t *r, double *alpha, const struct lrc_peft_config *config,
                              const char *module, struct lrc_error *err) LRC_MUST_CHECK;

#endif
