#include "config/config_private.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include <string.h>

#define AT(name) offsetof(struct lrc_dataset_spec, name)

const struct lrc_dataset_field lrc_dataset__fields[] = {
    { "path", AT(path) },
    { "ds_type", AT(ds_type) },
    { "type", AT(type) },
    { "split", AT(split) },
    { "weight", AT(weight) },
    { "field_messages", AT(field_messages) },
    { "message_property_role", AT(message_property_role) },
    { "message_property_content", AT(message_property_content) },
    { "message_field_training", AT(message_field_training) },
    { "field_instruction", AT(field_instruction) },
    { "field_input", AT(field_input) },
    { "field_output", AT(field_output) },
    { "field_text", AT(field_text) },
    { "field_prompt", AT(field_prompt) },
    { "field_completion", AT(field_completion) },
    { "field_chosen", AT(field_chosen) },
    { "field_rejected", AT(field_rejected) },
    { "field_label", AT(field_label) },
    { NULL, 0 },
};

/* Axolotl's older spellings. */
static const char *current_name(const char *name)
{
    if (strcmp(name, "message_field_role") == 0)
        return "message_property_role";
    if (strcmp(name, "message_field_content") == 0)
        return "message_property_content";
    return name;
}

static const struct lrc_dataset_field *find_field(const struct lrc_setting *setting,
                                                  const struct lrc_node    *name)
{
    struct lrc_nearest nearest = { .word = name->text };
    char               place[LRC_PLACE_MAX];
    for (const struct lrc_dataset_field *field = lrc_dataset__fields; field->name; field++) {
        if (strcmp(field->name, current_name(name->text)) == 0)
            return field;
        lrc_nearest_offer(&nearest, field->name);
    }
    (void)lrc_config__place(place, setting, name->line);
    if (nearest.best)
        lrc_problems_add(setting->problems, "%s: '%s': unknown field '%.80s' (did you mean '%s'?)", place,
                         setting->name, name->text, nearest.best);
    else
        lrc_problems_add(setting->problems, "%s: '%s': unknown field '%.80s'", place, setting->name,
                         name->text);
    return NULL;
}

static enum lrc_status set_field(const struct lrc_setting *setting, struct lrc_dataset_spec *spec,
                                 const struct lrc_dataset_field *field, const struct lrc_node *value)
{
    char        place[LRC_PLACE_MAX];
    const char *text;
    memcpy(&text, (char *)spec + field->offset, sizeof text);
    if (text) {
        lrc_problems_add(setting->problems, "%s: '%s': repeated field '%s'",
                         lrc_config__place(place, setting, value->line), setting->name, field->name);
        return LRC_STATUS_OK;
    }
    if (lrc_node_is_null(value))
        return LRC_STATUS_OK;
    const int is_number = field->offset == AT(weight) && value->kind == LRC_NODE_SCALAR;
    if (!is_number && (!lrc_node_is_text(value) || *value->text == '\0')) {
        struct lrc_buf want = { 0 };
        lrc_buf_printf(&want, "text for the field '%s'", field->name);
        lrc_config__want(setting, value, lrc_buf_text(&want));
        lrc_buf_release(&want);
        return LRC_STATUS_OK;
    }
    struct lrc_dataset_slice slice;
    if (field->offset == AT(weight) && lrc_dataset_weight_read(value->text) <= 0)
        lrc_config__want(setting, value, "a number above 0 and at most 1000 for the field 'weight'");
    if (field->offset == AT(split) && !lrc_dataset_slice_read(&slice, value->text))
        lrc_config__want(
            setting, value,
            "'train', or rows of it as in 'train[:90%]' or 'train[100:200]', for the field 'split'");
    if (field->offset == AT(path)) {
        LRC_TRY(lrc_config__copy_path(&text, setting, value));
    } else {
        text = lrc_pool_copy(&setting->config->internal->pool, value->text, strlen(value->text));
        if (!text)
            return lrc_fail_nomem(setting->err, "configuration");
    }
    memcpy((char *)spec + field->offset, &text, sizeof text);
    return LRC_STATUS_OK;
}

static enum lrc_status set_spec(const struct lrc_setting *setting, struct lrc_dataset_spec *spec,
                                const struct lrc_node *node)
{
    char place[LRC_PLACE_MAX];
    spec->line = setting->file ? node->line : 0;
    if (lrc_node_is_text(node))
        return set_field(setting, spec, &lrc_dataset__fields[0], node);
    if (node->kind != LRC_NODE_MAP) {
        lrc_config__want(setting, node, "a mapping {path, type, ...} or a path");
        return LRC_STATUS_OK;
    }
    for (const struct lrc_node *name = node->first; name; name = name->next->next) {
        if (!lrc_node_is_text(name)) {
            lrc_config__want(setting, name, "names of fields");
            continue;
        }
        const struct lrc_dataset_field *field = find_field(setting, name);
        if (field)
            LRC_TRY(set_field(setting, spec, field, name->next));
    }
    if (!spec->path)
        lrc_problems_add(setting->problems, "%s: '%s': want a 'path' in every item, got none",
                         lrc_config__place(place, setting, node->line), setting->name);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_config__set_datasets(const struct lrc_setting *setting, const struct lrc_node *node)
{
    const int               is_list = node->kind == LRC_NODE_LIST, n = is_list ? node->n : 1;
    struct lrc_dataset_list made = { .items = lrc_pool_take(&setting->config->internal->pool,
                                                            (size_t)n * sizeof *made.items) };
    if (!made.items)
        return lrc_fail_nomem(setting->err, "configuration");
    if (n == 0)
        lrc_config__want(setting, node, "at least one {path, type, ...}");
    for (const struct lrc_node *item = is_list ? node->first : node; item; item = is_list ? item->next : NULL)
        LRC_TRY(set_spec(setting, &made.items[made.n++], item));
    memcpy((char *)setting->config + setting->key->offset, &made, sizeof made);
    return LRC_STATUS_OK;
}
