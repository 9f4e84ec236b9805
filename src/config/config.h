/* A training run's settings: one flat YAML file, every key once in schema.def. */
#ifndef LRC_CONFIG_CONFIG_H
#define LRC_CONFIG_CONFIG_H

#include "base/problems.h"
#include "base/status.h"
#include <stdint.h>

/* Field names of one dataset: { path, type, ... } */
struct lrc_dataset_spec {
    const char *path;    /* file, folder or pattern, joined to the config file's folder; "-" is stdin */
    const char *ds_type; /* json, csv, tsv, text; NULL: found from the bytes and the name */
    const char *type;    /* NULL: found from the columns */
    const char *split;   /* which rows: see lrc_dataset_slice_read(); NULL: all */
    const char *weight;  /* see lrc_dataset_weight_read(); NULL: 1 */
    /* column names, NULL for the type's own default */
    const char *field_messages;
    const char *message_property_role;
    const char *message_property_content;
    const char *message_field_training; /* NULL: train, training or weight */
    const char *field_instruction;
    const char *field_input;
    const char *field_output;
    const char *field_text;   /* completion */
    const char *field_prompt; /* prompt_completion, dpo, kto */
    const char *field_completion;
    const char *field_chosen; /* dpo */
    const char *field_rejected;
    const char *field_label; /* kto */
    int         line;        /* in the config file */
};

struct lrc_dataset_list {
    struct lrc_dataset_spec *items;
    int                      n;
};

struct lrc_string_list {
    const char **items;
    int          n;
    /* written as one value: PEFT then takes a module name as a regular expression */
    int from_scalar;
};

/* {pattern: integer}, for lora_rank_pattern and lora_alpha_pattern */
struct lrc_int_map {
    const char **keys;
    int64_t     *values;
    int          n;
};

/* Types a key can have, and the C type of its field. Booleans are int. Absent strings are NULL; absent
 * numbers hold the default; lrc_config_is_set() tells. */
struct lrc_config {
#define LRC_KEY_STRING(key, ...)   const char *key;
#define LRC_KEY_PATH(key, ...)     const char *key;
#define LRC_KEY_CHOICE(key, ...)   const char *key;
#define LRC_KEY_INT(key, ...)      int64_t key;
#define LRC_KEY_BYTES(key, ...)    int64_t key;
#define LRC_KEY_NUMBER(key, ...)   double key;
#define LRC_KEY_BOOL(key, ...)     int key;
#define LRC_KEY_LIST(key, ...)     struct lrc_string_list key;
#define LRC_KEY_MAP(key, ...)      struct lrc_int_map key;
#define LRC_KEY_DATASETS(key, ...) struct lrc_dataset_list key;
#define LRC_KEY_LATER(key, ...)
#include "config/schema.def"
    struct lrc_config_private *internal;
};

/* Read path, then overrides ("key=value", value in YAML), then check everything together: types, bounds,
 * unknown and repeated keys with the nearest known one, required keys, keys that contradict each other.
 *
 * problems:  one sentence "<file>:<line>: ..." per mistake.
 * errors:    CONFIG when there was any; IO; NOMEM.
 * ownership: lrc_config_release(); all strings live until then. */
enum lrc_status lrc_config_load(struct lrc_config *config, const char *path, const char *const *overrides,
                                int n_overrides, struct lrc_problems *problems,
                                struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_config_release(struct lrc_config *config); /* safe on a zeroed config */

/* Given in the file or on the command line. */
int lrc_config_is_set(const struct lrc_config *config, const char *key);

/* Whether a resumed run may change it; 0 for an unknown key. */
int lrc_config_resume_may_change(const char *key);

/* "<file>:<line>", "command line", "default" */
const char *lrc_config_where(const struct lrc_config *config, const char *key);

/* The resolved settings: for run.json and for resume's comparison (one JSON object, keys in schema order),
 * and for people (YAML with a comment telling where each value came from). Appended to buf. */
void lrc_config_write_json(const struct lrc_config *config, struct lrc_buf *buf);
void lrc_config_write_yaml(const struct lrc_config *config, struct lrc_buf *buf);

/* Rows of a dataset, counted over its files: "train", "train[:90%]", "train[-1000:]", as Hugging Face
 * datasets writes it. Negative: from the end. */
struct lrc_slice_end {
    int64_t value;
    int     is_given, is_percent;
};
struct lrc_dataset_slice {
    struct lrc_slice_end first, end;
};
/* split NULL: everything. 0 when it is not written like that. */
int lrc_dataset_slice_read(struct lrc_dataset_slice *slice, const char *split);
/* Does what it means depend on the number of rows? */
int lrc_dataset_slice_is_relative(const struct lrc_dataset_slice *slice);
/* Rows [*first, *end) of n; percentages are rounded to the nearest row. */
void lrc_dataset_slice_rows(int64_t *first, int64_t *end, const struct lrc_dataset_slice *slice, int64_t n);

/* How often a row comes in an epoch, above 0, at most 1000; weight NULL: 1. 0 when it is no such number. */
double lrc_dataset_weight_read(const char *weight);

/* The fields that are given, as a JSON object. */
void lrc_dataset_spec_write_json(const struct lrc_dataset_spec *spec, struct lrc_buf *buf);

/* Every key: default, range, help; what `lorica config` and docs/config.md show. */
void lrc_config_write_keys(struct lrc_buf *buf);
void lrc_config_write_keys_json(struct lrc_buf *buf); /* an array of objects */

#endif
