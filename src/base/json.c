#include "base/json.h"

#include "base/alloc.h"
#include "base/file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lrc_status lrc_json_parse(json_t **json, const char *bytes, size_t n, const char *name,
                               struct lrc_error *err)
{
    json_error_t error;
    *json = NULL;
    if (n > 0 && memchr(bytes, '\0', n)) /* jansson would take it for the end, and ignore what follows */
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want JSON, got a NUL byte", name);
    *json = json_loadb(bytes, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (!*json)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want JSON, got an error at line %d, column %d: %s", name,
                        error.line, error.column, error.text);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_json_load(json_t **json, const char *path, struct lrc_error *err)
{
    struct lrc_map map;
    *json = NULL;
    LRC_TRY(lrc_map_open(&map, path, err));
    const enum lrc_status status = lrc_json_parse(json, (const char *)map.data, map.size_bytes, path, err);
    lrc_map_close(&map);
    return status;
}

enum lrc_status lrc_json_save(const char *path, const json_t *json, struct lrc_error *err)
{
    char *text = json_dumps(json, JSON_INDENT(2));
    if (!text)
        return lrc_fail_nomem(err, path);
    const enum lrc_status status = lrc_file_write(path, text, strlen(text), err);
    free(text);
    return status;
}

const char *lrc_json_type_name(const json_t *json)
{
    if (!json)
        return "nothing";
    switch (json_typeof(json)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: return "null";
    }
    return "nothing";
}

static enum lrc_status wrong_type(const json_t *got, const char *key, const char *want, const char *name,
                                  struct lrc_error *err)
{
    return lrc_fail(err, LRC_STATUS_FORMAT, "%s: '%s': want %s, got %s", name, key, want,
                    lrc_json_type_name(got));
}

enum lrc_status lrc_json_get_int(int64_t *value, const json_t *object, const char *key, const char *name,
                                 struct lrc_error *err)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return LRC_STATUS_OK;
    if (!json_is_integer(member))
        return wrong_type(member, key, "an integer", name, err);
    *value = json_integer_value(member);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_json_get_number(double *value, const json_t *object, const char *key, const char *name,
                                    struct lrc_error *err)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return LRC_STATUS_OK;
    if (!json_is_number(member))
        return wrong_type(member, key, "a number", name, err);
    *value = json_number_value(member);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_json_get_bool(int *value, const json_t *object, const char *key, const char *name,
                                  struct lrc_error *err)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return LRC_STATUS_OK;
    if (!json_is_boolean(member))
        return wrong_type(member, key, "true or false", name, err);
    *value = json_is_true(member);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_json_get_string(const char **value, const json_t *object, const char *key,
                                    const char *name, struct lrc_error *err)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return LRC_STATUS_OK;
    if (!json_is_string(member))
        return wrong_type(member, key, "a string", name, err);
    if (strlen(json_string_value(member)) != json_string_length(member))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: '%s': want a string without NUL characters", name, key);
    *value = json_string_value(member);
    return LRC_STATUS_OK;
}

void lrc_json_append_string(struct lrc_buf *buf, const char *bytes, size_t n)
{
    lrc_buf_putc(buf, '"');
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)bytes[i];
        switch (c) {
        case '"': lrc_buf_puts(buf, "\\\""); break;
        case '\\': lrc_buf_puts(buf, "\\\\"); break;
        case '\n': lrc_buf_puts(buf, "\\n"); break;
        case '\r': lrc_buf_puts(buf, "\\r"); break;
        case '\t': lrc_buf_puts(buf, "\\t"); break;
        default:
            if (c < 0x20)
                lrc_buf_printf(buf, "\\u%04x", c);
            else
                lrc_buf_putc(buf, (char)c);
        }
    }
    lrc_buf_putc(buf, '"');
}

void lrc_json_append_number(struct lrc_buf *buf, double value)
{
    if (!isfinite(value)) {
        lrc_buf_puts(buf, "null");
        return;
    }
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    lrc_buf_puts(buf, text);
}
