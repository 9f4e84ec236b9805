/* Filters of strings, numbers and JSON, and the table of all; those of sequences are in filters_sequence.c.
 */
#include "template/filters.h"

#include "template/format.h"
#include "template/strings.h"
#include "template/text.h"
#include "template/tojson.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum lrc_status to_case(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                               enum lrc_case to)
{
    const struct lrc_string *s;
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    return lrc_string__to_case(r, out, s, to);
}

static enum lrc_status filter_upper(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return to_case(r, out, call, LRC_CASE_UPPER);
}

static enum lrc_status filter_lower(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return to_case(r, out, call, LRC_CASE_LOWER);
}

static enum lrc_status filter_title(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return to_case(r, out, call, LRC_CASE_WORDS);
}

static enum lrc_status filter_capitalize(struct lrc_render *r, struct lrc_value *out,
                                         const struct lrc_call *call)
{
    return to_case(r, out, call, LRC_CASE_CAPITALIZE);
}

static enum lrc_status filter_trim(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *s, *characters = NULL;
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    LRC_TRY(lrc_argument__string(r, &characters, call->arg[0], "trim"));
    return lrc_string__strip(r, out, s, characters, LRC_SIDE_BOTH);
}

static enum lrc_status filter_string(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    out->kind = LRC_VALUE_STRING;
    return lrc_value__to_string(r, &out->string, call->self);
}

static enum lrc_status filter_safe(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return filter_string(r, out, call);
}

static enum lrc_status filter_replace(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_call *call)
{
    const struct lrc_string *s, *from, *to;
    int64_t                  count = -1;
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    LRC_TRY(lrc_value__to_string(r, &from, call->arg[0]));
    LRC_TRY(lrc_value__to_string(r, &to, call->arg[1]));
    LRC_TRY(lrc_argument__int(r, &count, call->arg[2], "replace"));
    return lrc_string__replace(r, out, s, from, to, count);
}

static enum lrc_status filter_default(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_call *call)
{
    const int also_false = lrc_value__is_true(call->arg[1]);
    *out = call->self;
    if (call->self.kind != LRC_VALUE_UNDEFINED && !(also_false && !lrc_value__is_true(call->self)))
        return LRC_STATUS_OK;
    *out = call->arg[0];
    return call->arg[0].kind == LRC_VALUE_ABSENT ? lrc_string__borrow(r, out, "", 0) : LRC_STATUS_OK;
}

/* Indentation given as a count of spaces or as a text. */
static enum lrc_status indentation(struct lrc_render *r, struct lrc_value *out, struct lrc_value width,
                                   int64_t n)
{
    if (width.kind == LRC_VALUE_STRING) {
        *out = width;
        return LRC_STATUS_OK;
    }
    LRC_TRY(lrc_argument__int(r, &n, width, "indent"));
    LRC_TRY(lrc_string__borrow(r, out, " ", 1));
    return lrc_eval__binary(r, out, LRC_OPERATOR_MULTIPLY, *out, lrc_value__int(n));
}

/* The first line only when first, lines without content only when blank. */
static enum lrc_status filter_indent(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_builder       builder = { .r = r };
    struct lrc_value         indent;
    const struct lrc_string *s;
    const int first = lrc_value__is_true(call->arg[1]), blank = lrc_value__is_true(call->arg[2]);
    if (call->self.kind != LRC_VALUE_STRING)
        return lrc_render__fail(r, LRC_STATUS_DATA, "indent: want a str, got %s",
                                lrc_value__type_name(call->self));
    s = call->self.string;
    LRC_TRY(indentation(r, &indent, call->arg[0], 4));
    for (size_t begin = 0; begin <= s->n && !builder.failed;) {
        const char  *end = begin < s->n ? memchr(s->bytes + begin, '\n', s->n - begin) : NULL;
        const size_t n = end ? (size_t)(end - s->bytes) - begin : s->n - begin;
        if (begin == 0 ? first : n > 0 || blank)
            lrc_builder__append(&builder, indent.string->bytes, indent.string->n);
        lrc_builder__append(&builder, s->bytes + begin, n + (end != NULL));
        begin += n + 1;
        LRC_TRY(lrc_render__charge(r, 1));
    }
    return lrc_builder__finish(&builder, out);
}

static enum lrc_status filter_tojson(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    static const struct lrc_string comma_space = { ", ", 2, 2 }, comma = { ",", 1, 1 },
                                   colon_space = { ": ", 2, 2 };
    struct lrc_builder    builder = { .r = r };
    struct lrc_json_style style = { .between_items = &comma_space, .after_key = &colon_space };
    struct lrc_value      indent;
    struct lrc_list       separators;
    style.ascii = lrc_value__is_true(call->arg[0]);
    if (call->arg[1].kind != LRC_VALUE_ABSENT && call->arg[1].kind != LRC_VALUE_NONE) {
        LRC_TRY(indentation(r, &indent, call->arg[1], 0));
        style.indent = indent.string;
        style.between_items = &comma;
    }
    if (call->arg[2].kind != LRC_VALUE_ABSENT && call->arg[2].kind != LRC_VALUE_NONE) {
        LRC_TRY(lrc_value__iterate(r, &separators, call->arg[2]));
        if (separators.n != 2 || separators.items[0].kind != LRC_VALUE_STRING ||
            separators.items[1].kind != LRC_VALUE_STRING)
            return lrc_render__fail(r, LRC_STATUS_DATA,
                                    "tojson: want two str as separators, got something else");
        style.between_items = separators.items[0].string;
        style.after_key = separators.items[1].string;
    }
    style.sort_keys = lrc_value__is_true(call->arg[3]);
    LRC_TRY(lrc_json__put(&builder, call->self, &style));
    return lrc_builder__finish(&builder, out);
}

static enum lrc_status filter_from_json(struct lrc_render *r, struct lrc_value *out,
                                        const struct lrc_call *call)
{
    const struct lrc_string *s = NULL;
    json_t                  *json;
    char                     name[64];
    LRC_TRY(lrc_argument__string(r, &s, call->self, "from_json"));
    (void)snprintf(name, sizeof name, "%.40s:%d: from_json", r->template->name, r->line);
    if (!s || lrc_json_parse(&json, s->bytes, s->n, name, r->err) != LRC_STATUS_OK)
        return lrc_render__fail(r, LRC_STATUS_DATA, "from_json: want a str with JSON, got something else");
    LRC_TRY(lrc_render__charge(r, (int64_t)(s->n / 16)));
    if (!r->kept_json)
        r->kept_json = json_array();
    if (json_array_append_new(r->kept_json, json) !=
        0) /* its strings are borrowed to the end of the rendering */
        return lrc_fail_nomem(r->err, "template rendering");
    return lrc_value__from_json(r, out, json);
}

/* Text without the space around it and without a "_" between two digits, as int() and float() read it; 0
 * when it is too long or holds something else. */
static int number_text(char text[128], const struct lrc_string *s, const char *allowed)
{
    const size_t before = lrc_text__space_before(s->bytes, s->n);
    const size_t after = lrc_text__space_after(s->bytes + before, s->n - before);
    const char  *from = s->bytes + before;
    const size_t n = s->n - before - after;
    size_t       n_text = 0;
    if (n == 0 || n >= 128)
        return 0;
    for (size_t i = 0; i < n; i++) {
        const int between =
            i > 0 && i + 1 < n && isalnum((unsigned char)from[i - 1]) && isalnum((unsigned char)from[i + 1]);
        if (from[i] == '_' && between)
            continue;
        if (!from[i] || !strchr(allowed, from[i]))
            return 0;
        text[n_text++] = from[i];
    }
    text[n_text] = '\0';
    return 1;
}

/* 1 when all of it is a number. */
static int read_number(const struct lrc_string *s, double *real, int64_t *integer, int *is_whole)
{
    char text[128], *end;
    if (!number_text(text, s, "+-0123456789.eEinfatyINFATY"))
        return 0;
    *real = strtod(text, &end);
    if (*end)
        return 0;
    *is_whole = strspn(text, "+-0123456789") == strlen(text);
    *integer = *is_whole ? strtoll(text, NULL, 10) : 0;
    return 1;
}

/* Digits of a base from 2 to 36; base 0 is told by 0x, 0o or 0b. */
static int read_digits(const struct lrc_string *s, int base, int64_t *integer)
{
    static const char digits[] = "+-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char              text[128], *end;
    if (!number_text(text, s, digits))
        return 0;
    char *at = text + (text[0] == '-' || text[0] == '+');
    if (at[0] == '0' && at[1]) {
        const char mark = (char)(at[1] | 32);
        const int  own = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
        if (own && (base == 0 || base == own)) {
            memmove(at, at + 2, strlen(at + 2) + 1);
            base = own;
        }
    }
    errno = 0;
    *integer = strtoll(text, &end, base ? base : 10);
    return *at && !*end && errno == 0;
}

static int fits_int(double real)
{
    return real >= -0x1p63 && real < 0x1p63; /* also false for NaN */
}

static enum lrc_status filter_int(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    double  real = 0;
    int64_t integer = 0, base = 10;
    int     is_whole = 0;
    LRC_TRY(lrc_argument__int(r, &base, call->arg[1], "int"));
    *out = call->arg[0].kind == LRC_VALUE_ABSENT ? lrc_value__int(0) : call->arg[0];
    switch (call->self.kind) {
    case LRC_VALUE_BOOL: *out = lrc_value__int(call->self.truth); break;
    case LRC_VALUE_INT: *out = call->self; break;
    case LRC_VALUE_FLOAT:
        if (fits_int(call->self.real))
            *out = lrc_value__int((int64_t)call->self.real);
        break;
    case LRC_VALUE_STRING:
        if (base != 10 && base >= 0 && base <= 36) {
            if (read_digits(call->self.string, (int)base, &integer))
                *out = lrc_value__int(integer);
        } else if (read_number(call->self.string, &real, &integer, &is_whole) && fits_int(real)) {
            *out = lrc_value__int(is_whole ? integer : (int64_t)real);
        }
        break;
    case LRC_VALUE_UNDEFINED:
        return lrc_render__fail(r, LRC_STATUS_DATA, "int: want something defined, got what is not");
    default: break;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status filter_float(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    double  real = 0;
    int64_t integer;
    int     is_whole;
    *out = call->arg[0].kind == LRC_VALUE_ABSENT ? lrc_value__float(0) : call->arg[0];
    if (call->self.kind == LRC_VALUE_UNDEFINED)
        return lrc_render__fail(r, LRC_STATUS_DATA, "float: want something defined, got what is not");
    if (lrc_value__is_number(call->self))
        *out = lrc_value__float(lrc_value__to_double(call->self));
    else if (call->self.kind == LRC_VALUE_STRING &&
             read_number(call->self.string, &real, &integer, &is_whole))
        *out = lrc_value__float(real);
    return LRC_STATUS_OK;
}

static enum lrc_status want_number(struct lrc_render *r, struct lrc_value v, const char *what)
{
    if (!lrc_value__is_number(v))
        return lrc_render__fail(r, LRC_STATUS_DATA, "%s: want a number, got %s", what,
                                lrc_value__type_name(v));
    return LRC_STATUS_OK;
}

static enum lrc_status filter_abs(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    LRC_TRY(want_number(r, call->self, "abs"));
    *out = call->self;
    if (call->self.kind == LRC_VALUE_FLOAT)
        *out = lrc_value__float(fabs(call->self.real));
    else if (call->self.kind == LRC_VALUE_BOOL)
        *out = lrc_value__int(call->self.truth);
    else if (call->self.integer < 0)
        return lrc_eval__binary(r, out, LRC_OPERATOR_SUBTRACT, lrc_value__int(0), call->self);
    return LRC_STATUS_OK;
}

/* Always a float, as jinja2 has it; "common" rounds half to even on the decimal text, as Python's round(). */
static enum lrc_status filter_round(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *method = NULL;
    int64_t                  precision = 0;
    char                     text[400];
    LRC_TRY(want_number(r, call->self, "round"));
    LRC_TRY(lrc_argument__int(r, &precision, call->arg[0], "round"));
    LRC_TRY(lrc_argument__string(r, &method, call->arg[1], "round"));
    const double value = lrc_value__to_double(call->self);
    if (precision < -30 || precision > 30)
        return lrc_render__fail(r, LRC_STATUS_DATA, "round: want a precision from -30 to 30, got %lld",
                                (long long)precision);
    if (method && (lrc_string__equals(method, "ceil") || lrc_string__equals(method, "floor"))) {
        const double scale = pow(10, (double)precision);
        *out =
            lrc_value__float((method->bytes[0] == 'c' ? ceil(value * scale) : floor(value * scale)) / scale);
    } else if (!method || lrc_string__equals(method, "common")) {
        const double scale = pow(10, (double)-precision);
        (void)snprintf(text, sizeof text, "%.*f", precision > 0 ? (int)precision : 0,
                       precision < 0 ? value / scale : value);
        const double rounded = precision < 0 ? strtod(text, NULL) * scale : strtod(text, NULL);
        *out = lrc_value__float(rounded);
        if (call->self.kind == LRC_VALUE_BOOL)
            *out = lrc_value__int(call->self.truth);
        else if (call->self.kind == LRC_VALUE_INT)
            *out = precision < 0 && fits_int(rounded) ? lrc_value__int((int64_t)rounded) : call->self;
    } else {
        return lrc_render__fail(r, LRC_STATUS_DATA,
                                "round: want 'common', 'ceil' or 'floor', got another method");
    }
    return LRC_STATUS_OK;
}

static enum lrc_status filter_format(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *s;
    if (call->args->n > 0 && call->args->named)
        return lrc_render__fail(r, LRC_STATUS_DATA, "format: want values by position or by name, got both");
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    return lrc_format__percent(r, out, s, call->args, 1);
}

/* Of jinja2's, not here: filesizeformat, pprint, random (a rendering is the same every time) and urlize. */
static const struct lrc_filter filters[] = {
    { { "abs", "", 0, filter_abs } },
    { { "attr", "name", 1, lrc_filter__attr } },
    { { "batch", "linecount fill_with", 1, lrc_filter__batch } },
    { { "capitalize", "", 0, filter_capitalize } },
    { { "center", "width", 0, lrc_filter__center } },
    { { "count", "", 0, lrc_filter__length } },
    { { "d", "default_value boolean", 0, filter_default } },
    { { "default", "default_value boolean", 0, filter_default } },
    { { "dictsort", "case_sensitive by reverse", 0, lrc_filter__dictsort } },
    { { "e", "", 0, lrc_filter__escape } },
    { { "escape", "", 0, lrc_filter__escape } },
    { { "first", "", 0, lrc_filter__first } },
    { { "float", "default", 0, filter_float } },
    { { "forceescape", "", 0, lrc_filter__escape } },
    { { "format", "*", 0, filter_format } },
    { { "from_json", "", 0, filter_from_json } },
    { { "groupby", "attribute default case_sensitive", 1, lrc_filter__groupby } },
    { { "indent", "width first blank", 0, filter_indent } },
    { { "int", "default base", 0, filter_int } },
    { { "items", "", 0, lrc_filter__items } },
    { { "join", "d attribute", 0, lrc_filter__join } },
    { { "last", "", 0, lrc_filter__last } },
    { { "length", "", 0, lrc_filter__length } },
    { { "list", "", 0, lrc_filter__list } },
    { { "lower", "", 0, filter_lower } },
    { { "map", "*", 0, lrc_filter__map } },
    { { "max", "case_sensitive attribute", 0, lrc_filter__max } },
    { { "min", "case_sensitive attribute", 0, lrc_filter__min } },
    { { "reject", "*", 0, lrc_filter__reject } },
    { { "rejectattr", "*", 0, lrc_filter__rejectattr } },
    { { "replace", "old new count", 2, filter_replace } },
    { { "reverse", "", 0, lrc_filter__reverse } },
    { { "round", "precision method", 0, filter_round } },
    { { "safe", "", 0, filter_safe } },
    { { "select", "*", 0, lrc_filter__select } },
    { { "selectattr", "*", 0, lrc_filter__selectattr } },
    { { "slice", "slices fill_with", 1, lrc_filter__slice } },
    { { "sort", "reverse case_sensitive attribute", 0, lrc_filter__sort } },
    { { "string", "", 0, filter_string } },
    { { "striptags", "", 0, lrc_filter__striptags } },
    { { "sum", "attribute start", 0, lrc_filter__sum } },
    { { "title", "", 0, filter_title } },
    { { "tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson } },
    { { "trim", "chars", 0, filter_trim } },
    { { "truncate", "length killwords end leeway", 0, lrc_filter__truncate } },
    { { "unique", "case_sensitive attribute", 0, lrc_filter__unique } },
    { { "upper", "", 0, filter_upper } },
    { { "urlencode", "", 0, lrc_filter__urlencode } },
    { { "wordcount", "", 0, lrc_filter__wordcount } },
    { { "wordwrap", "width break_long_words wrapstring break_on_hyphens", 0, lrc_filter__wordwrap } },
    { { "xmlattr", "autospace", 0, lrc_filter__xmlattr } },
};

const struct lrc_filter *lrc_filter__find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (strlen(filters[i].entry.name) == n && memcmp(filters[i].entry.name, name, n) == 0)
            return &filters[i];
    return NULL;
}
