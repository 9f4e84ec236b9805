#include "config/config_private.h"

#include "base/json.h"
#include <stdio.h>
#include <string.h>

static const void *field(const struct lrc_config *config, const struct lrc_key *key)
{
    return (const char *)config + key->offset;
}

static int is_key(const struct lrc_key *key)
{
    return key->kind != LRC_KIND_GROUP && key->kind != LRC_KIND_LATER;
}

static void write_text(struct lrc_buf *buf, const char *text)
{
    if (text)
        lrc_json_append_string(buf, text, strlen(text));
    else
        lrc_buf_puts(buf, "null");
}

static void write_list(struct lrc_buf *buf, const struct lrc_key *key, const struct lrc_string_list *list)
{
    const int integers = (key->flags & LRC_KEY_INTEGERS) != 0;
    if (list->n == 0) {
        lrc_buf_puts(buf, "null");
        return;
    }
    if (list->from_scalar && !integers) {
        write_text(buf, list->items[0]);
        return;
    }
    for (int i = 0; i < list->n; i++) {
        lrc_buf_puts(buf, i == 0 ? "[" : ", ");
        if (integers)
            lrc_buf_puts(buf, list->items[i]);
        else
            write_text(buf, list->items[i]);
    }
    lrc_buf_putc(buf, ']');
}

static void write_map(struct lrc_buf *buf, const struct lrc_int_map *map)
{
    lrc_buf_putc(buf, '{');
    for (int i = 0; i < map->n; i++) {
        lrc_buf_puts(buf, i == 0 ? "" : ", ");
        write_text(buf, map->keys[i]);
        lrc_buf_printf(buf, ": %lld", (long long)map->values[i]);
    }
    lrc_buf_putc(buf, '}');
}

void lrc_dataset_spec_write_json(const struct lrc_dataset_spec *spec, struct lrc_buf *buf)
{
    int n = 0;
    lrc_buf_putc(buf, '{');
    for (const struct lrc_dataset_field *part = lrc_dataset__fields; part->name; part++) {
        const char *text;
        memcpy(&text, (const char *)spec + part->offset, sizeof text);
        if (!text)
            continue;
        lrc_buf_printf(buf, "%s\"%s\": ", n++ ? ", " : "", part->name);
        write_text(buf, text);
    }
    lrc_buf_putc(buf, '}');
}

static void write_datasets(struct lrc_buf *buf, const struct lrc_dataset_list *list)
{
    if (list->n == 0) {
        lrc_buf_puts(buf, "null");
        return;
    }
    for (int i = 0; i < list->n; i++) {
        lrc_buf_puts(buf, i == 0 ? "[" : ", ");
        lrc_dataset_spec_write_json(&list->items[i], buf);
    }
    lrc_buf_putc(buf, ']');
}

/* A choice that YAML would read as a boolean is written as one, so that the file reads back. */
static void write_choice(struct lrc_buf *buf, const char *text)
{
    if (text && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
        lrc_buf_puts(buf, text);
    else
        write_text(buf, text);
}

/* The value as JSON on one line, which is YAML too. */
static void write_value(struct lrc_buf *buf, const struct lrc_config *config, const struct lrc_key *key)
{
    const void *at = field(config, key);
    switch (key->kind) {
    case LRC_KIND_STRING:
    case LRC_KIND_PATH: write_text(buf, *(const char *const *)at); break;
    case LRC_KIND_CHOICE: write_choice(buf, *(const char *const *)at); break;
    case LRC_KIND_INT:
    case LRC_KIND_BYTES:
        if ((double)*(const int64_t *)at < key->min) /* 0 where 0 cannot be given: not set */
            lrc_buf_puts(buf, "null");
        else
            lrc_buf_printf(buf, "%lld", (long long)*(const int64_t *)at);
        break;
    case LRC_KIND_NUMBER: lrc_json_append_number(buf, *(const double *)at); break;
    case LRC_KIND_BOOL: lrc_buf_puts(buf, *(const int *)at ? "true" : "false"); break;
    case LRC_KIND_LIST: write_list(buf, key, at); break;
    case LRC_KIND_MAP: write_map(buf, at); break;
    case LRC_KIND_DATASETS: write_datasets(buf, at); break;
    case LRC_KIND_LATER:
    case LRC_KIND_GROUP: break;
    }
}

void lrc_config_write_json(const struct lrc_config *config, struct lrc_buf *buf)
{
    int n = 0;
    lrc_buf_putc(buf, '{');
    for (int i = 0; i < lrc_config__n_keys; i++) {
        const struct lrc_key *key = &lrc_config__keys[i];
        if (!is_key(key))
            continue;
        lrc_buf_printf(buf, "%s\"%s\": ", n++ ? ", " : "", key->name);
        write_value(buf, config, key);
    }
    lrc_buf_putc(buf, '}');
}

void lrc_config_write_yaml(const struct lrc_config *config, struct lrc_buf *buf)
{
    const char *title = NULL; /* of a group none of whose keys is written yet */
    for (int i = 0; i < lrc_config__n_keys; i++) {
        const struct lrc_key *key = &lrc_config__keys[i];
        if (key->kind == LRC_KIND_GROUP)
            title = key->name;
        if (!is_key(key))
            continue;
        if (title)
            lrc_buf_printf(buf, "%s# %s\n", buf->len > 0 ? "\n" : "", title);
        title = NULL;
        const size_t start = buf->len;
        lrc_buf_printf(buf, "%s: ", key->name);
        write_value(buf, config, key);
        const size_t length = buf->len - start;
        lrc_buf_printf(buf, "%*s# %s\n", length < 46 ? (int)(46 - length) : 2, "",
                       lrc_config_where(config, key->name));
    }
}

static const char *kind_name(const struct lrc_key *key)
{
    switch (key->kind) {
    case LRC_KIND_STRING: return "text";
    case LRC_KIND_PATH: return "path";
    case LRC_KIND_CHOICE: return "choice";
    case LRC_KIND_INT: return "integer";
    case LRC_KIND_BYTES: return "bytes";
    case LRC_KIND_NUMBER: return "number";
    case LRC_KIND_BOOL: return "true or false";
    case LRC_KIND_LIST: return key->flags & LRC_KEY_INTEGERS ? "list of integers" : "list or text";
    case LRC_KIND_MAP: return "mapping to integers";
    case LRC_KIND_DATASETS: return "list of datasets";
    case LRC_KIND_LATER: return "not yet in this version";
    case LRC_KIND_GROUP: break;
    }
    return "";
}

static void write_default_json(struct lrc_buf *buf, const struct lrc_key *key)
{
    if (key->kind == LRC_KIND_CHOICE)
        write_choice(buf, key->text);
    else if (key->kind == LRC_KIND_STRING)
        write_text(buf, key->text);
    else if (key->kind == LRC_KIND_BOOL)
        lrc_buf_puts(buf, key->number != 0 ? "true" : "false");
    else if ((key->kind == LRC_KIND_INT || key->kind == LRC_KIND_NUMBER) &&
             !(key->flags & LRC_KEY_REQUIRED) && key->number >= key->min)
        lrc_json_append_number(buf, key->number);
    else
        lrc_buf_puts(buf, "null");
}

static void write_default(struct lrc_buf *buf, const struct lrc_key *key)
{
    if (key->flags & LRC_KEY_REQUIRED)
        lrc_buf_puts(buf, ", required");
    else if (key->text)
        lrc_buf_printf(buf, ", default `%s`", key->text);
    else if (key->kind == LRC_KIND_BOOL)
        lrc_buf_printf(buf, ", default `%s`", key->number != 0 ? "true" : "false");
    else if ((key->kind == LRC_KIND_INT || key->kind == LRC_KIND_NUMBER) && key->number >= key->min)
        lrc_buf_printf(buf, ", default `%.10g`", key->number);
}

static void write_range(struct lrc_buf *buf, const struct lrc_key *key)
{
    size_t n = 0;
    int    n_shown = 0;
    if (key->kind == LRC_KIND_INT || key->kind == LRC_KIND_NUMBER || key->kind == LRC_KIND_MAP)
        lrc_buf_printf(buf, " from %.12g to %.12g", key->min, key->max);
    for (const char *part = lrc_config__part(key->choices, NULL, &n); part;
         part = lrc_config__part(key->choices, part, &n)) {
        const int later = *part == '(';
        lrc_buf_puts(buf, n_shown++ ? ", " : " of ");
        lrc_buf_printf(buf, "`%.*s`%s", (int)n - 2 * later, part + later, later ? " (not yet)" : "");
    }
}

static void write_aliases(struct lrc_buf *buf, const struct lrc_key *key)
{
    size_t n = 0;
    for (const char *part = lrc_config__part(key->aliases, NULL, &n); part;
         part = lrc_config__part(key->aliases, part, &n))
        lrc_buf_printf(buf, "; also `%.*s`", (int)n, part);
}

void lrc_config_write_keys(struct lrc_buf *buf)
{
    for (int i = 0; i < lrc_config__n_keys; i++) {
        const struct lrc_key *key = &lrc_config__keys[i];
        if (key->kind == LRC_KIND_GROUP) {
            lrc_buf_printf(buf, "%s## %s\n\n", i > 0 ? "\n" : "", key->name);
            continue;
        }
        lrc_buf_printf(buf, "- `%s`: %s", key->name, kind_name(key));
        write_range(buf, key);
        write_default(buf, key);
        write_aliases(buf, key);
        lrc_buf_printf(buf, "\n  %s%s\n", key->help,
                       key->flags & LRC_KEY_RESUME ? " (a resumed run may change it)" : "");
    }
}

static void write_key_json(struct lrc_buf *buf, const struct lrc_key *key)
{
    lrc_buf_printf(buf, "{\"key\": \"%s\", \"type\": \"%s\", \"default\": ", key->name, kind_name(key));
    write_default_json(buf, key);
    if (key->kind == LRC_KIND_INT || key->kind == LRC_KIND_NUMBER || key->kind == LRC_KIND_MAP)
        lrc_buf_printf(buf, ", \"min\": %.12g, \"max\": %.12g", key->min, key->max);
    size_t n = 0;
    int    n_shown = 0;
    lrc_buf_puts(buf, ", \"choices\": [");
    for (const char *part = lrc_config__part(key->choices, NULL, &n); part;
         part = lrc_config__part(key->choices, part, &n)) {
        if (*part != '(')
            lrc_buf_printf(buf, "%s\"%.*s\"", n_shown++ ? ", " : "", (int)n, part);
    }
    lrc_buf_puts(buf, "], \"aliases\": [");
    n_shown = 0;
    n = 0;
    for (const char *part = lrc_config__part(key->aliases, NULL, &n); part;
         part = lrc_config__part(key->aliases, part, &n))
        lrc_buf_printf(buf, "%s\"%.*s\"", n_shown++ ? ", " : "", (int)n, part);
    lrc_buf_printf(buf, "], \"required\": %s, \"resume_may_change\": %s, \"available\": %s, \"help\": ",
                   key->flags & LRC_KEY_REQUIRED ? "true" : "false",
                   key->flags & LRC_KEY_RESUME ? "true" : "false",
                   key->kind == LRC_KIND_LATER ? "false" : "true");
    write_text(buf, key->help);
    lrc_buf_putc(buf, '}');
}

void lrc_config_write_keys_json(struct lrc_buf *buf)
{
    int n = 0;
    lrc_buf_putc(buf, '[');
    for (int i = 0; i < lrc_config__n_keys; i++) {
        if (lrc_config__keys[i].kind == LRC_KIND_GROUP)
            continue;
        lrc_buf_puts(buf, n++ ? ",\n " : "");
        write_key_json(buf, &lrc_config__keys[i]);
    }
    lrc_buf_putc(buf, ']');
}
