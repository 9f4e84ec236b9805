/* Attributes, items, slices and calls: how values are taken apart. */
#include "template/render.h"
#include "template/text.h"
#include <string.h>

static int64_t to_int(struct lrc_value v)
{
    return v.kind == LRC_VALUE_BOOL ? v.truth : v.integer;
}

static enum lrc_status loop_attribute(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_loop *loop, const struct lrc_string *name)
{
    const int64_t i = loop->index, n = loop->items.n;
    const struct {
        const char *name;
        int64_t     value;
    } numbers[] = { { "index", i + 1 },         { "index0", i }, { "revindex", n - i },
                    { "revindex0", n - i - 1 }, { "length", n }, { "depth", loop->depth + 1 },
                    { "depth0", loop->depth } };
    (void)r;
    for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
        if (lrc_string__equals(name, numbers[k].name))
            *out = lrc_value__int(numbers[k].value);
    if (lrc_string__equals(name, "first"))
        *out = lrc_value__bool(i == 0);
    else if (lrc_string__equals(name, "last"))
        *out = lrc_value__bool(i == n - 1);
    else if (lrc_string__equals(name, "previtem") && i > 0)
        *out = loop->items.items[i - 1];
    else if (lrc_string__equals(name, "nextitem") && i + 1 < n)
        *out = loop->items.items[i + 1];
    return LRC_STATUS_OK;
}

/* The value behind a string key, or *out as it was. */
static enum lrc_status dict_get(struct lrc_render *r, struct lrc_value *out, const struct lrc_dict *dict,
                                const struct lrc_string *name)
{
    struct lrc_dict_entry *entry;
    LRC_TRY(lrc_dict__find(r, &entry, dict, (struct lrc_value){ .kind = LRC_VALUE_STRING, .string = name }));
    if (entry)
        *out = entry->value;
    return LRC_STATUS_OK;
}

static enum lrc_status bind_method(struct lrc_render *r, struct lrc_value *out, struct lrc_value object,
                                   const struct lrc_string *name)
{
    const struct lrc_method *method = lrc_method__find(object, name->bytes, name->n);
    struct lrc_bound        *bound;
    if (!method)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_render__take(r, &bound, 1, sizeof *bound));
    *bound = (struct lrc_bound){ method, object };
    *out = (struct lrc_value){ .kind = LRC_VALUE_METHOD, .bound = bound };
    return LRC_STATUS_OK;
}

static enum lrc_status macro_attribute(struct lrc_render *r, struct lrc_value *out,
                                       const struct lrc_macro *macro, const struct lrc_string *name)
{
    const struct lrc_ast *node = macro->node;
    const struct {
        const char *name;
        int         bit;
    } uses[] = { { "catch_varargs", LRC_MACRO_USES_VARARGS },
                 { "catch_kwargs", LRC_MACRO_USES_KWARGS },
                 { "caller", LRC_MACRO_USES_CALLER } };
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++)
        if (lrc_string__equals(name, uses[i].name))
            *out = lrc_value__bool((node->op & uses[i].bit) != 0);
    if (lrc_string__equals(name, "name"))
        *out = (struct lrc_value){ .kind = LRC_VALUE_STRING, .string = &r->template->names[node->name] };
    if (!lrc_string__equals(name, "arguments"))
        return LRC_STATUS_OK;
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_TUPLE));
    for (int64_t i = 0; i < node->n_items; i++)
        LRC_TRY(lrc_list__append(r, out->list,
                                 (struct lrc_value){ .kind = LRC_VALUE_STRING,
                                                     .string = &r->template->names[node->items[i]->name] }));
    return LRC_STATUS_OK;
}

/* As jinja2: a method first, then the item of that name. */
enum lrc_status lrc_eval__attribute(struct lrc_render *r, struct lrc_value *out, struct lrc_value object,
                                    const struct lrc_string *name)
{
    *out = lrc_value__undefined(name);
    switch (object.kind) {
    case LRC_VALUE_UNDEFINED:
        return lrc_render__fail(r, LRC_STATUS_DATA,
                                "want something defined to take '%.*s' of, got '%.*s', which is not",
                                (int)name->n, name->bytes, object.string ? (int)object.string->n : 5,
                                object.string ? object.string->bytes : "value");
    case LRC_VALUE_NAMESPACE: return dict_get(r, out, object.dict, name);
    case LRC_VALUE_MACRO: return macro_attribute(r, out, object.macro, name);
    case LRC_VALUE_LOOP: LRC_TRY(loop_attribute(r, out, object.loop, name)); break;
    default: break;
    }
    if (out->kind == LRC_VALUE_UNDEFINED)
        LRC_TRY(bind_method(r, out, object, name));
    if (out->kind == LRC_VALUE_UNDEFINED && object.kind == LRC_VALUE_DICT)
        return dict_get(r, out, object.dict, name);
    return LRC_STATUS_OK;
}

static enum lrc_status string_item(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                   int64_t i)
{
    int32_t point;
    if (i < 0)
        i += s->n_points;
    if (i < 0 || i >= s->n_points)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_render__charge(r, i / 16));
    const size_t at = (size_t)s->n_points == s->n ? (size_t)i : lrc_text__offset(s->bytes, s->n, i);
    return lrc_string__borrow(r, out, s->bytes + at, lrc_text__next(s->bytes + at, s->n - at, &point));
}

enum lrc_status lrc_eval__item(struct lrc_render *r, struct lrc_value *out, struct lrc_value object,
                               struct lrc_value key)
{
    struct lrc_dict_entry *entry;
    const int              is_index = key.kind == LRC_VALUE_INT || key.kind == LRC_VALUE_BOOL;
    *out = lrc_value__undefined(key.kind == LRC_VALUE_STRING ? key.string : NULL);
    if (object.kind == LRC_VALUE_UNDEFINED)
        return lrc_render__fail(
            r, LRC_STATUS_DATA, "want something defined to take an item of, got '%.*s', which is not",
            object.string ? (int)object.string->n : 5, object.string ? object.string->bytes : "value");
    if (object.kind == LRC_VALUE_DICT) {
        LRC_TRY(lrc_dict__find(r, &entry, object.dict, key));
        if (entry) {
            *out = entry->value;
            return LRC_STATUS_OK;
        }
    }
    if ((object.kind == LRC_VALUE_LIST || object.kind == LRC_VALUE_TUPLE) && is_index) {
        int64_t i = to_int(key);
        if (i < 0)
            i += object.list->n;
        if (i >= 0 && i < object.list->n)
            *out = object.list->items[i];
        return LRC_STATUS_OK;
    }
    if (object.kind == LRC_VALUE_STRING && is_index)
        return string_item(r, out, object.string, to_int(key));
    if (key.kind == LRC_VALUE_STRING)
        return lrc_eval__attribute(r, out, object, key.string);
    return LRC_STATUS_OK;
}

struct slice {
    int64_t start, step, n;
};

/* Python's slice.indices(): start, step and count of the elements of n_all that are taken. */
static enum lrc_status resolve_slice(struct lrc_render *r, struct slice *slice,
                                     const struct lrc_value bounds[3], int64_t n_all)
{
    int64_t at[3] = { 0, 0, 1 };
    for (int i = 2; i >= 0; i--) {
        const int given = bounds[i].kind != LRC_VALUE_NONE;
        if (given && bounds[i].kind != LRC_VALUE_INT && bounds[i].kind != LRC_VALUE_BOOL)
            return lrc_render__fail(r, LRC_STATUS_DATA, "want integers in a slice, got %s",
                                    lrc_value__type_name(bounds[i]));
        if (given)
            at[i] = to_int(bounds[i]);
        if (i == 2)
            continue;
        const int64_t low = at[2] < 0 ? -1 : 0, high = at[2] < 0 ? n_all - 1 : n_all;
        if (!given)
            at[i] = (i == 0) == (at[2] < 0) ? high : low;
        else if (at[i] < 0)
            at[i] = at[i] + n_all < low ? low : at[i] + n_all;
        else if (at[i] > high)
            at[i] = high;
    }
    if (at[2] == 0)
        return lrc_render__fail(r, LRC_STATUS_DATA, "want a slice step that is not zero, got zero");
    const int64_t span = at[2] > 0 ? at[1] - at[0] : at[0] - at[1];
    const int64_t stride = at[2] > 0 ? at[2] : at[2] == INT64_MIN ? INT64_MAX : -at[2];
    *slice = (struct slice){ at[0], at[2], span > 0 ? (span - 1) / stride + 1 : 0 };
    return lrc_render__charge(r, slice->n / 16);
}

static enum lrc_status slice_string(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                    struct slice slice)
{
    struct lrc_builder builder = { .r = r };
    struct lrc_list    characters = { 0 };
    LRC_TRY(lrc_render__charge(r, (int64_t)(s->n / 16)));
    if (slice.step == 1) {
        const size_t begin = lrc_text__offset(s->bytes, s->n, slice.start);
        return lrc_string__borrow(r, out, s->bytes + begin,
                                  lrc_text__offset(s->bytes + begin, s->n - begin, slice.n));
    }
    LRC_TRY(lrc_value__iterate(r, &characters, (struct lrc_value){ .kind = LRC_VALUE_STRING, .string = s }));
    for (int64_t i = 0; i < slice.n; i++) {
        const struct lrc_string *one = characters.items[slice.start + i * slice.step].string;
        lrc_builder__append(&builder, one->bytes, one->n);
    }
    return lrc_builder__finish(&builder, out);
}

enum lrc_status lrc_eval__slice(struct lrc_render *r, struct lrc_value *out, struct lrc_value object,
                                const struct lrc_value bounds[3])
{
    struct slice slice;
    if (object.kind == LRC_VALUE_STRING) {
        LRC_TRY(resolve_slice(r, &slice, bounds, object.string->n_points));
        return slice_string(r, out, object.string, slice);
    }
    if (object.kind != LRC_VALUE_LIST && object.kind != LRC_VALUE_TUPLE) {
        if (object.kind != LRC_VALUE_UNDEFINED)
            return lrc_render__fail(r, LRC_STATUS_DATA, "want a sequence to slice, got %s",
                                    lrc_value__type_name(object));
        return lrc_render__fail(
            r, LRC_STATUS_DATA, "want something defined to slice, got '%.*s', which is not",
            object.string ? (int)object.string->n : 5, object.string ? object.string->bytes : "value");
    }
    LRC_TRY(resolve_slice(r, &slice, bounds, object.list->n));
    LRC_TRY(lrc_list__new(r, out, object.kind));
    for (int64_t i = 0; i < slice.n; i++)
        LRC_TRY(lrc_list__append(r, out->list, object.list->items[slice.start + i * slice.step]));
    return LRC_STATUS_OK;
}

static enum lrc_status add_named(struct lrc_render *r, struct lrc_dict **named, struct lrc_value key,
                                 struct lrc_value value)
{
    struct lrc_value dict;
    if (!*named) {
        LRC_TRY(lrc_dict__new(r, &dict));
        *named = dict.dict;
    }
    return lrc_dict__set(r, *named, key, value);
}

enum lrc_status lrc_eval__arguments(struct lrc_render *r, struct lrc_args *args, const struct lrc_ast *node)
{
    struct lrc_list  values = { 0 }, spread;
    struct lrc_dict *named = NULL;
    for (int64_t i = 0; node && i < node->n_items; i++) {
        const struct lrc_ast *argument = node->items[i];
        struct lrc_value      value;
        LRC_TRY(lrc_eval__expression(r, &value, argument->a));
        switch (argument->op) {
        case LRC_ARGUMENT_POSITIONAL: LRC_TRY(lrc_list__append(r, &values, value)); break;
        case LRC_ARGUMENT_KEYWORD:
            LRC_TRY(add_named(
                r, &named,
                (struct lrc_value){ .kind = LRC_VALUE_STRING, .string = &r->template->names[argument->name] },
                value));
            break;
        case LRC_ARGUMENT_LIST:
            LRC_TRY(lrc_value__iterate(r, &spread, value));
            for (int64_t k = 0; k < spread.n; k++)
                LRC_TRY(lrc_list__append(r, &values, spread.items[k]));
            break;
        default:
            if (value.kind != LRC_VALUE_DICT)
                return lrc_render__fail(r, LRC_STATUS_DATA, "want a dict behind '**', got %s",
                                        lrc_value__type_name(value));
            for (int64_t k = 0; k < value.dict->n; k++)
                LRC_TRY(add_named(r, &named, value.dict->entries[k].key, value.dict->entries[k].value));
            break;
        }
    }
    *args = (struct lrc_args){ .values = values.items, .n = values.n, .named = named };
    return LRC_STATUS_OK;
}

/* Position of name in "one two three", -1 when it is not there. */
static int find_parameter(const char *parameters, const struct lrc_string *name)
{
    int position = 0;
    for (const char *at = parameters; *at; position++) {
        const size_t n = strcspn(at, " ");
        if (n == name->n && memcmp(at, name->bytes, n) == 0)
            return position;
        at += n + (at[n] == ' ');
    }
    return -1;
}

static int count_parameters(const char *parameters)
{
    int n = *parameters != '\0';
    for (const char *at = parameters; *at; at++)
        n += *at == ' ';
    return n;
}

enum lrc_status lrc_eval__entry(struct lrc_render *r, struct lrc_value *out, const struct lrc_entry *entry,
                                struct lrc_value self, const struct lrc_args *args)
{
    struct lrc_call call = { .self = self, .args = args };
    if (entry->parameters[0] == '*')
        return entry->run(r, out, &call);
    const int n_parameters = count_parameters(entry->parameters);
    if (args->n > n_parameters)
        return lrc_render__fail(r, LRC_STATUS_DATA, "%s: want at most %d arguments, got %lld", entry->name,
                                n_parameters, (long long)args->n);
    for (int64_t i = 0; i < args->n; i++)
        call.arg[i] = args->values[i];
    for (int64_t i = 0; args->named && i < args->named->n; i++) {
        const struct lrc_value key = args->named->entries[i].key;
        const int              position =
            key.kind == LRC_VALUE_STRING ? find_parameter(entry->parameters, key.string) : -1;
        if (position < 0 || call.arg[position].kind != LRC_VALUE_ABSENT)
            return lrc_render__fail(r, LRC_STATUS_DATA,
                                    "%s: want arguments among (%s), each once, got another", entry->name,
                                    entry->parameters);
        call.arg[position] = args->named->entries[i].value;
    }
    for (int i = 0; i < entry->n_required; i++)
        if (call.arg[i].kind == LRC_VALUE_ABSENT)
            return lrc_render__fail(r, LRC_STATUS_DATA, "%s: want at least %d arguments (%s), got fewer",
                                    entry->name, entry->n_required, entry->parameters);
    return entry->run(r, out, &call);
}

enum lrc_status lrc_eval__call(struct lrc_render *r, struct lrc_value *out, struct lrc_value callee,
                               const struct lrc_args *args)
{
    struct lrc_builder        builder = { .r = r };
    struct lrc_builder *const outer = r->capture;
    switch (callee.kind) {
    case LRC_VALUE_METHOD:
        return lrc_eval__entry(r, out, &callee.bound->method->entry, callee.bound->self, args);
    case LRC_VALUE_GLOBAL: return lrc_eval__entry(r, out, &callee.global->entry, lrc_value__none(), args);
    case LRC_VALUE_LOOP:
    case LRC_VALUE_MACRO:
        r->capture = &builder;
        const enum lrc_status status =
            callee.kind == LRC_VALUE_LOOP
                ? lrc_eval__recurse(r, callee.loop, args)
                : lrc_eval__macro(r, callee.macro, args, (struct lrc_value){ .kind = LRC_VALUE_ABSENT });
        r->capture = outer;
        LRC_TRY(status);
        return lrc_builder__finish(&builder, out);
    case LRC_VALUE_UNDEFINED:
        return lrc_render__fail(
            r, LRC_STATUS_DATA, "want a function to call, got '%.*s', which is not defined",
            callee.string ? (int)callee.string->n : 5, callee.string ? callee.string->bytes : "value");
    default:
        return lrc_render__fail(r, LRC_STATUS_DATA, "want a function to call, got %s",
                                lrc_value__type_name(callee));
    }
}
