#include "tokenizer/stage.h"

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
