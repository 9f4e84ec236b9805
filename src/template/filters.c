/* Filters of strings, numbers and JSON, and the table of all; those of sequences are in filters_sequence.c.
 */
#include "template/filters.h"

#include "template/strings.h"
#include "template/text.h"
#include "template/tojson.h"
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

static enum lrc_status filter_escape(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_builder builder = {.r = r};
    const struct lrc_string *s;
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    for (size_t i = 0; i < s->n; i++)
        switch (s->bytes[i]) {
        case '&':
            lrc_builder__puts(&builder, "&amp;");
            break;
        case '<':
            lrc_builder__puts(&builder, "&lt;");
            break;
        case '>':
            lrc_builder__puts(&builder, "&gt;");
            break;
        case '\'':
            lrc_builder__puts(&builder, "&#39;");
            break;
        case '"':
            lrc_builder__puts(&builder, "&#34;");
            break;
        default:
            lrc_builder__append(&builder, s->bytes + i, 1);
            break;
        }
    return lrc_builder__finish(&builder, out);
}

static enum lrc_status filter_replace(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_call *call)
{
    const struct lrc_string *s, *from, *to;
    int64_t count = -1;
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
    struct lrc_builder builder = {.r = r};
    struct lrc_value indent;
    const struct lrc_string *s;
    const int first = lrc_value__is_true(call->arg[1]), blank = lrc_value__is_true(call->arg[2]);
    if (call->self.kind != LRC_VALUE_STRING)
        return lrc_render__fail(r, LRC_STATUS_DATA, "indent: want a str, got %s",
                                lrc_value__type_name(call->self));
    s = call->self.string;
    LRC_TRY(indentation(r, &indent, call->arg[0], 4));
    for (size_t begin = 0; begin <= s->n && !builder.failed;) {
        const char *end = begin < s->n ? memchr(s->bytes + begin, '\n', s->n - begin) : NULL;
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
    static const struct lrc_string comma_space = {", ", 2, 2}, comma = {",", 1, 1},
                                   colon_space = {": ", 2, 2};
    struct lrc_builder builder = {.r = r};
    struct lrc_json_style style = {.between_items = &comma_space, .after_key = &colon_space};
    struct lrc_value indent;
    struct lrc_list separators;
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
    json_t *json;
    char name[64];
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

/* A number at the start of text, as int() and float() read it: space around, "_" between digits. 1 when it is
 * all of it. */
static int read_number(const struct lrc_string *s, double *real, int64_t *integer, int *is_whole)
{
    char text[128];
    const size_t before = lrc_text__space_before(s->bytes, s->n);
    const size_t after = lrc_text__space_after(s->bytes + before, s->n - before);
    size_t n = s->n - before - after;
    if (n == 0 || n >= sizeof text)
        return 0;
    memcpy(text, s->bytes + before, n);
    text[n] = '\0';
    if (strlen(text) != n || strspn(text, "+-0123456789.eEinfatyINFATY") != n)
        return 0;
    char *end;
    *real = strtod(text, &end);
    if (*end)
        return 0;
    *is_whole = strspn(text, "+-0123456789") == n;
    *integer = *is_whole ? strtoll(text, NULL, 10) : 0;
    return 1;
}

static int fits_int(double real)
{
    return real >= -0x1p63 && real < 0x1p63; /* also false for NaN */
}

static enum lrc_status filter_int(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    double real = 0;
    int64_t integer = 0, base = 10;
    int is_whole = 0;
    LRC_TRY(lrc_argument__int(r, &base, call->arg[1], "int"));
    *out = call->arg[0].kind == LRC_VALUE_ABSENT ? lrc_value__int(0) : call->arg[0];
    switch (call->self.kind) {
    case LRC_VALUE_BOOL:
        *out = lrc_value__int(call->self.truth);
        break;
    case LRC_VALUE_INT:
        *out = call->self;
        break;
    case LRC_VALUE_FLOAT:
        if (fits_int(call->self.real))
            *out = lrc_value__int((int64_t)call->self.real);
        break;
    case LRC_VALUE_STRING:
        if (base != 10 && base >= 2 && base <= 36 && call->self.string->n < 100) {
            char text[128] = {0}, *end;
            memcpy(text, call->self.string->bytes, call->self.string->n);
            const char *digits = text + (base == 2 && text[0] == '0' && (text[1] | 32) == 'b' ? 2 : 0);
            integer = strtoll(digits, &end, (int)base);
            if (*digits && !*end)
                *out = lrc_value__int(integer);
        } else if (read_number(call->self.string, &real, &integer, &is_whole) && fits_int(real)) {
            *out = lrc_value__int(is_whole ? integer : (int64_t)real);
        }
        break;
    case LRC_VALUE_UNDEFINED:
        return lrc_render__fail(r, LRC_STATUS_DATA, "int: want something defined, got what is not");
    default:
        break;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status filter_float(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    double real = 0;
    int64_t integer;
    int is_whole;
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
    int64_t precision = 0;
    char text[400];
    LRC_TRY(want_number(r, call->self, "round"));
    LRC_TRY(lrc_argument__int(r, &precision, call->arg[0], "round"));
    LRC_TRY(lrc_argument__string(r, &method, call->arg[1], "round"));
    const double value = lrc_value__to_double(call->self);
    if (precision < 0 || precision > 30)
        return lrc_render__fail(r, LRC_STATUS_DATA, "round: want a precision from 0 to 30, got %lld",
                                (long long)precision);
    if (method && (lrc_string__equals(method, "ceil") || lrc_string__equals(method, "floor"))) {
        const double scale = pow(10, (double)precision);
        *out =
            lrc_value__float((method->bytes[0] == 'c' ? ceil(value * scale) : floor(value * scale)) / scale);
    } else if (!method || lrc_string__equals(method, "common")) {
        (void)snprintf(text, sizeof text, "%.*f", (int)precision, value);
        *out = lrc_value__float(strtod(text, NULL));
        if (call->self.kind != LRC_VALUE_FLOAT)
            *out = call->self.kind == LRC_VALUE_BOOL ? lrc_value__int(call->self.truth) : call->self;
    } else {
        return lrc_render__fail(r, LRC_STATUS_DATA,
                                "round: want 'common', 'ceil' or 'floor', got another method");
    }
    return LRC_STATUS_OK;
}

static enum lrc_status filter_wordcount(struct lrc_render *r, struct lrc_value *out,
                                        const struct lrc_call *call)
{
    const struct lrc_string *s;
    int64_t n_words = 0;
    int inside = 0;
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    LRC_TRY(lrc_render__charge(r, (int64_t)(s->n / 16)));
    for (size_t i = 0; i < s->n;) { /* runs of letters, digits and "_", as the pattern \w+ */
        int32_t point;
        i += lrc_text__next(s->bytes + i, s->n - i, &point);
        const int word = point == '_' || lrc_text__is_letter_or_number(point);
        n_words += word && !inside;
        inside = word;
    }
    *out = lrc_value__int(n_words);
    return LRC_STATUS_OK;
}

/* printf-style: %s %r %d %i %f %% with flags, width and precision. */
static enum lrc_status filter_format(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_builder builder = {.r = r};
    const struct lrc_string *s;
    int64_t next = 0;
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    for (size_t i = 0; i < s->n; i++) {
        if (s->bytes[i] != '%') {
            lrc_builder__append(&builder, s->bytes + i, 1);
            continue;
        }
        LRC_TRY(lrc_format__field(&builder, s, &i, call->args, &next));
    }
    if (next < call->args->n)
        return lrc_render__fail(r, LRC_STATUS_DATA, "format: want as many values as fields, got more");
    return lrc_builder__finish(&builder, out);
}

static const struct lrc_filter filters[] = {
    {{"abs", "", 0, filter_abs}},
    {{"capitalize", "", 0, filter_capitalize}},
    {{"count", "", 0, lrc_filter__length}},
    {{"d", "default_value boolean", 0, filter_default}},
    {{"default", "default_value boolean", 0, filter_default}},
    {{"dictsort", "case_sensitive by reverse", 0, lrc_filter__dictsort}},
    {{"e", "", 0, filter_escape}},
    {{"escape", "", 0, filter_escape}},
    {{"first", "", 0, lrc_filter__first}},
    {{"float", "default", 0, filter_float}},
    {{"format", "*", 0, filter_format}},
    {{"from_json", "", 0, filter_from_json}},
    {{"groupby", "attribute default case_sensitive", 1, lrc_filter__groupby}},
    {{"indent", "width first blank", 0, filter_indent}},
    {{"int", "default base", 0, filter_int}},
    {{"items", "", 0, lrc_filter__items}},
    {{"join", "d attribute", 0, lrc_filter__join}},
    {{"last", "", 0, lrc_filter__last}},
    {{"length", "", 0, lrc_filter__length}},
    {{"list", "", 0, lrc_filter__list}},
    {{"lower", "", 0, filter_lower}},
    {{"map", "*", 0, lrc_filter__map}},
    {{"max", "case_sensitive attribute", 0, lrc_filter__max}},
    {{"min", "case_sensitive attribute", 0, lrc_filter__min}},
    {{"reject", "*", 0, lrc_filter__reject}},
    {{"rejectattr", "*", 0, lrc_filter__rejectattr}},
    {{"replace", "old new count", 2, filter_replace}},
    {{"reverse", "", 0, lrc_filter__reverse}},
    {{"round", "precision method", 0, filter_round}},
    {{"safe", "", 0, filter_safe}},
    {{"select", "*", 0, lrc_filter__select}},
    {{"selectattr", "*", 0, lrc_filter__selectattr}},
    {{"sort", "reverse case_sensitive attribute", 0, lrc_filter__sort}},
    {{"string", "", 0, filter_string}},
    {{"sum", "attribute start", 0, lrc_filter__sum}},
    {{"title", "", 0, filter_title}},
    {{"tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson}},
    {{"trim", "chars", 0, filter_trim}},
    {{"unique", "case_sensitive attribute", 0, lrc_filter__unique}},
    {{"upper", "", 0, filter_upper}},
    {{"wordcount", "", 0, filter_wordcount}},
};

const struct lrc_filter *lrc_filter__find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (strlen(filters[i].entry.name) == n && memcmp(filters[i].entry.name, name, n) == 0)
            return &filters[i];
    return NULL;
}
