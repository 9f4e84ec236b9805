#include "tokenizer/stage.h"

#include <string.h>

enum lrc_status lrc_stage_type(const char **type, const json_t *json, const char *what, const char *name,
                               struct lrc_error *err)
{
    *type = NULL;
    if (!json_is_object(json))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: %s: want an object, got %s", name, what,
                        lrc_json_type_name(json));
    LRC_TRY(lrc_json_get_string(type, json, "type", name, err));
    if (!*type)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: %s: 'type': want a string, got nothing", name, what);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_stage_unknown(const char *type, const char *what, const char *name, struct lrc_error *err)
{
    return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: %s: want a stage this version knows, got '%.100s'",
                    name, what, type);
}

enum lrc_status lrc_stage_text(const char **text, size_t *n, const json_t *json, const char *key,
                               const char *name, struct lrc_error *err)
{
    const json_t *member = json_object_get(json, key);
    if (!json_is_string(member))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: '%s': want a string, got %s", name, key,
                        lrc_json_type_name(member));
    *text = json_string_value(member);
    *n = json_string_length(member);
    return LRC_STATUS_OK;
}

static enum lrc_status read_stages(const struct lrc_stage_list *list, void *into, const json_t *json,
                                   int depth, int *n_left, const char *name, struct lrc_error *err)
{
    const char   *type;
    size_t        i;
    const json_t *item;
    LRC_TRY(lrc_stage_type(&type, json, list->what, name, err));
    if (strcmp(type, "Sequence") != 0 || depth == LRC_STAGE_DEPTH_MAX) {
        if ((*n_left)-- == 0)
            return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: %s: want at most %d stages, got more", name,
                            list->what, LRC_STAGES_MAX);
        return list->read(into, type, json, name, err);
    }
    json_array_foreach(json_object_get(json, list->key), i, item)
        LRC_TRY(read_stages(list, into, item, depth + 1, n_left, name, err));
    return LRC_STATUS_OK;
}

enum lrc_status lrc_stage_list_read(const struct lrc_stage_list *list, void *into, const json_t *json,
                                    const char *name, struct lrc_error *err)
{
    int n_left = LRC_STAGES_MAX;
    return !json || json_is_null(json) ? LRC_STATUS_OK : read_stages(list, into, json, 0, &n_left, name, err);
}
