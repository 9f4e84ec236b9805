/* str() and repr() of values. */
#include "template/render.h"
#include "template/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shortest digits that read back, in Python's layout: 1.0, 0.0001, 1e-05, 1e+16. */
void lrc_value__float_text(char text[LRC_FLOAT_TEXT_MAX], double value)
{
    if (!isfinite(value)) {
        (void)snprintf(text, LRC_FLOAT_TEXT_MAX, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    int precision = 0;
    do
        (void)snprintf(text, LRC_FLOAT_TEXT_MAX, "%.*e", precision, value);
    while (strtod(text, NULL) != value && ++precision < 17);
    const int exponent = atoi(strchr(text, 'e') + 1);
    if (exponent < -4 || exponent >= 16)
        return; /* C writes an exponent of at least two digits, as Python does */
    (void)snprintf(text, LRC_FLOAT_TEXT_MAX, "%.*f", precision > exponent ? precision - exponent : 1, value);
}

static void repr_string(struct lrc_builder *b, const struct lrc_string *s)
{
    const int single = memchr(s->bytes, '\'', s->n) != NULL, twice = memchr(s->bytes, '"', s->n) != NULL;
    const char quote = single && !twice ? '"' : '\'';
    lrc_builder__append(b, &quote, 1);
    for (size_t i = 0; i < s->n && !b->failed;) {
        char escape[16];
        int32_t point;
        const size_t n = lrc_text__next(s->bytes + i, s->n - i, &point);
        int n_escape = 0;
        if (point == '\n' || point == '\r' || point == '\t')
            n_escape = snprintf(escape, sizeof escape, "\\%c",
                                point == '\n'   ? 'n'
                                : point == '\r' ? 'r'
                                                : 't');
        else if (point == quote || point == '\\')
            n_escape = snprintf(escape, sizeof escape, "\\%c", (char)point);
        else if (!lrc_text__is_printable(point))
            n_escape = snprintf(escape, sizeof escape,
                                point < 0x100     ? "\\x%02x"
                                : point < 0x10000 ? "\\u%04x"
                                                  : "\\U%08x",
                                (unsigned)point);
        if (n_escape > 0)
            lrc_builder__append(b, escape, (size_t)n_escape);
        else
            lrc_builder__append(b, s->bytes + i, n);
        i += n;
    }
    lrc_builder__append(b, &quote, 1);
}

static enum lrc_status repr_list(struct lrc_builder *b, const struct lrc_list *list, const char *brackets)
{
    lrc_builder__append(b, brackets, 1);
    for (int64_t i = 0; i < list->n; i++) {
        if (i > 0)
            lrc_builder__puts(b, ", ");
        LRC_TRY(lrc_value__repr(b, list->items[i]));
    }
    if (brackets[0] == '(' && list->n == 1)
        lrc_builder__puts(b, ",");
    lrc_builder__append(b, brackets + 1, 1);
    return LRC_STATUS_OK;
}

static enum lrc_status repr_dict(struct lrc_builder *b, const struct lrc_dict *dict)
{
    lrc_builder__puts(b, "{");
    for (int64_t i = 0; i < dict->n; i++) {
        if (i > 0)
            lrc_builder__puts(b, ", ");
        LRC_TRY(lrc_value__repr(b, dict->entries[i].key));
        lrc_builder__puts(b, ": ");
        LRC_TRY(lrc_value__repr(b, dict->entries[i].value));
    }
    lrc_builder__puts(b, "}");
    return LRC_STATUS_OK;
}

static enum lrc_status repr_object(struct lrc_builder *b, struct lrc_value v)
{
    enum lrc_status status = LRC_STATUS_OK;
    LRC_TRY(lrc_render__enter(b->r));
    switch (v.kind) {
    case LRC_VALUE_LIST:
        status = repr_list(b, v.list, "[]");
        break;
    case LRC_VALUE_TUPLE:
        status = repr_list(b, v.list, "()");
        break;
    case LRC_VALUE_DICT:
        status = repr_dict(b, v.dict);
        break;
    case LRC_VALUE_NAMESPACE:
        lrc_builder__puts(b, "<Namespace ");
        status = repr_dict(b, v.dict);
        lrc_builder__puts(b, ">");
        break;
    default:
        lrc_builder__puts(b, "<");
        lrc_builder__puts(b, lrc_value__type_name(v));
        lrc_builder__puts(b, ">");
        break;
    }
    b->r->depth--;
    return status;
}

enum lrc_status lrc_value__repr(struct lrc_builder *b, struct lrc_value v)
{
    char text[LRC_FLOAT_TEXT_MAX];
    LRC_TRY(lrc_render__charge(b->r, 1));
    switch (v.kind) {
    case LRC_VALUE_ABSENT:
    case LRC_VALUE_UNDEFINED:
        lrc_builder__puts(b, "Undefined");
        break;
    case LRC_VALUE_NONE:
        lrc_builder__puts(b, "None");
        break;
    case LRC_VALUE_BOOL:
        lrc_builder__puts(b, v.truth ? "True" : "False");
        break;
    case LRC_VALUE_INT:
        (void)snprintf(text, sizeof text, "%lld", (long long)v.integer);
        lrc_builder__puts(b, text);
        break;
    case LRC_VALUE_FLOAT:
        lrc_value__float_text(text, v.real);
        lrc_builder__puts(b, text);
        break;
    case LRC_VALUE_STRING:
        repr_string(b, v.string);
        break;
    default:
        LRC_TRY(repr_object(b, v));
        break;
    }
    return b->failed ? lrc_render__fail_memory(b->r) : LRC_STATUS_OK;
}

enum lrc_status lrc_value__print(struct lrc_builder *b, struct lrc_value v)
{
    if (v.kind == LRC_VALUE_UNDEFINED)
        return LRC_STATUS_OK;
    if (v.kind != LRC_VALUE_STRING)
        return lrc_value__repr(b, v);
    lrc_builder__append(b, v.string->bytes, v.string->n);
    return b->failed ? lrc_render__fail_memory(b->r) : LRC_STATUS_OK;
}

enum lrc_status lrc_value__to_string(struct lrc_render *r, const struct lrc_string **out, struct lrc_value v)
{
    struct lrc_builder builder = {.r = r};
    if (v.kind != LRC_VALUE_STRING) {
        LRC_TRY(lrc_value__print(&builder, v));
        LRC_TRY(lrc_builder__finish(&builder, &v));
    }
    *out = v.string;
    return LRC_STATUS_OK;
}
