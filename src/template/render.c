/* What every part of a rendering uses: bounds, memory, output, names. */
#include "template/render.h"

#include "template/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum lrc_status lrc_render__fail(struct lrc_render *r, enum lrc_status status, const char *format, ...)
{
    char sentence[LRC_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return lrc_fail(r->err, status, "%s:%d: %s", r->template->name, r->line, sentence);
}

enum lrc_status lrc_render__fail_memory(struct lrc_render *r)
{
    if (!r->memory.over_bound)
        return lrc_fail_nomem(r->err, "template rendering");
    return lrc_render__fail(r, LRC_STATUS_NUMERIC,
                            "want a rendering that needs at most %zu MiB of memory, got one that needs more",
                            LRC_RENDER_MEMORY_MAX_BYTES >> 20);
}

enum lrc_status lrc_render__charge(struct lrc_render *r, int64_t n_steps)
{
    r->n_steps_left -= n_steps;
    if (r->n_steps_left < 0)
        return lrc_render__fail(r, LRC_STATUS_NUMERIC, "want a rendering of at most %d steps, got more",
                                (int)LRC_RENDER_STEPS_MAX);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_render__enter(struct lrc_render *r)
{
    if (++r->depth > LRC_RENDER_DEPTH_MAX)
        return lrc_render__fail(r, LRC_STATUS_NUMERIC,
                                "want expressions, calls and values nested at most %d deep, got deeper",
                                (int)LRC_RENDER_DEPTH_MAX);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_render__take(struct lrc_render *r, void *slot, int64_t n_elems, size_t elem_bytes)
{
    size_t n;
    if (n_elems < 0 || __builtin_mul_overflow((size_t)n_elems, elem_bytes, &n))
        n = SIZE_MAX;
    void *memory = lrc_bump__take(&r->memory, n);
    if (!memory)
        return lrc_render__fail_memory(r);
    memcpy(slot, &memory, sizeof memory);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_render__write(struct lrc_render *r, const char *bytes, size_t n)
{
    if (r->capture) {
        lrc_builder__append(r->capture, bytes, n);
        return r->capture->failed ? lrc_render__fail_memory(r) : LRC_STATUS_OK;
    }
    if (n > LRC_RENDER_OUTPUT_MAX_BYTES - (r->text->len - r->text_begin))
        return lrc_render__fail(r, LRC_STATUS_NUMERIC,
                                "want a rendering of at most %zu MiB, got a longer one",
                                LRC_RENDER_OUTPUT_MAX_BYTES >> 20);
    lrc_buf_append(r->text, bytes, n);
    return lrc_buf_check(r->text, r->err);
}

void lrc_builder__append(struct lrc_builder *b, const void *bytes, size_t n)
{
    if (b->failed || n == 0)
        return;
    if (n > b->cap - b->n) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap - b->n < n && cap < SIZE_MAX / 4)
            cap *= 2;
        char *data = b->data;
        if (!lrc_bump__extend(&b->r->memory, b->data, b->cap, cap - b->cap)) {
            data = lrc_bump__take(&b->r->memory, cap);
            if (data && b->n > 0)
                memcpy(data, b->data, b->n);
        }
        if (!data) {
            b->failed = 1;
            return;
        }
        b->data = data;
        b->cap = cap;
    }
    memcpy(b->data + b->n, bytes, n);
    b->n += n;
}

void lrc_builder__puts(struct lrc_builder *b, const char *string)
{
    lrc_builder__append(b, string, strlen(string));
}

enum lrc_status lrc_builder__finish(struct lrc_builder *b, struct lrc_value *out)
{
    if (b->failed)
        return lrc_render__fail_memory(b->r);
    return lrc_string__borrow(b->r, out, b->data ? b->data : "", b->n);
}

enum lrc_status lrc_scope__push(struct lrc_render *r, struct lrc_scope *parent)
{
    struct lrc_scope *scope = NULL;
    LRC_TRY(lrc_render__take(r, &scope, 1, sizeof *scope));
    *scope = (struct lrc_scope){.parent = parent};
    r->scope = scope;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_scope__set(struct lrc_render *r, int32_t name, struct lrc_value value)
{
    struct lrc_scope *scope = r->scope;
    int64_t i = 0;
    while (i < scope->n && scope->names[i] != name)
        i++;
    LRC_TRY(lrc_render__charge(r, i / 16));
    if (i == scope->cap) {
        const int64_t cap = scope->cap ? scope->cap * 2 : 4;
        int32_t *names = NULL;
        struct lrc_value *values = NULL;
        LRC_TRY(lrc_render__take(r, &names, cap, sizeof *names));
        LRC_TRY(lrc_render__take(r, &values, cap, sizeof *values));
        if (i > 0) {
            memcpy(names, scope->names, (size_t)i * sizeof *names);
            memcpy(values, scope->values, (size_t)i * sizeof *values);
        }
        scope->names = names;
        scope->values = values;
        scope->cap = cap;
    }
    scope->names[i] = name;
    scope->values[i] = value;
    scope->n += i == scope->n;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_scope__get(struct lrc_render *r, struct lrc_value *out, int32_t name)
{
    for (const struct lrc_scope *scope = r->scope; scope; scope = scope->parent) {
        LRC_TRY(lrc_render__charge(r, 1 + scope->n / 16));
        for (int64_t i = 0; i < scope->n; i++)
            if (scope->names[i] == name) {
                *out = scope->values[i];
                return LRC_STATUS_OK;
            }
    }
    const struct lrc_string *string = &r->template->names[name];
    struct lrc_dict_entry *entry;
    LRC_TRY(lrc_dict__find(r, &entry, r->variables,
                           (struct lrc_value){.kind = LRC_VALUE_STRING, .string = string}));
    if (entry) {
        *out = entry->value;
        return LRC_STATUS_OK;
    }
    const struct lrc_global *global = lrc_global__find(string->bytes, string->n);
    *out = global ? (struct lrc_value){.kind = LRC_VALUE_GLOBAL, .global = global}
                  : lrc_value__undefined(string);
    return LRC_STATUS_OK;
}

static enum lrc_status list_from_json(struct lrc_render *r, struct lrc_value *out, const json_t *json)
{
    struct lrc_value item;
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    for (size_t i = 0; i < json_array_size(json); i++) {
        LRC_TRY(lrc_value__from_json(r, &item, json_array_get(json, i)));
        LRC_TRY(lrc_list__append(r, out->list, item));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status dict_from_json(struct lrc_render *r, struct lrc_value *out, const json_t *json)
{
    struct lrc_value key, value;
    LRC_TRY(lrc_dict__new(r, out));
    /* jansson iterates over a const object only by casting; it is not changed */
    for (void *at = json_object_iter((json_t *)(uintptr_t)json); at;
         at = json_object_iter_next((json_t *)(uintptr_t)json, at)) {
        LRC_TRY(lrc_string__borrow(r, &key, json_object_iter_key(at), strlen(json_object_iter_key(at))));
        LRC_TRY(lrc_value__from_json(r, &value, json_object_iter_value(at)));
        LRC_TRY(lrc_dict__set(r, out->dict, key, value));
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_value__from_json(struct lrc_render *r, struct lrc_value *out, const json_t *json)
{
    *out = lrc_value__none();
    if (!json)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_render__charge(r, 1));
    switch (json_typeof(json)) {
    case JSON_STRING:
        return lrc_string__borrow(r, out, json_string_value(json), json_string_length(json));
    case JSON_INTEGER:
        *out = lrc_value__int(json_integer_value(json));
        return LRC_STATUS_OK;
    case JSON_REAL:
        *out = lrc_value__float(json_real_value(json));
        return LRC_STATUS_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = lrc_value__bool(json_is_true(json));
        return LRC_STATUS_OK;
    case JSON_NULL:
        return LRC_STATUS_OK;
    default:
        break;
    }
    LRC_TRY(lrc_render__enter(r));
    LRC_TRY(json_is_array(json) ? list_from_json(r, out, json) : dict_from_json(r, out, json));
    r->depth--;
    return LRC_STATUS_OK;
}
