/* Values by a spec, as Python's format() writes them, and %-formatting, which has the same parts. */
#include "template/format.h"

#include "template/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* prefix, then body, in spec->width characters. */
static enum lrc_status put_padded(struct lrc_builder *b, const struct lrc_format_spec *spec,
                                  const char *prefix, const char *body, size_t n, char align)
{
    const int64_t n_prefix = (int64_t)strlen(prefix);
    int64_t       missing = spec->width - n_prefix - lrc_text__count(body, n), before = 0;
    missing = missing > 0 ? missing : 0;
    LRC_TRY(lrc_render__charge(b->r, missing / 16));
    if (align == '>' || align == '=')
        before = missing;
    else if (align == '^')
        before = missing / 2;
    if (align == '=')
        lrc_builder__puts(b, prefix);
    for (int64_t i = 0; i < before && !b->failed; i++)
        lrc_builder__append(b, spec->fill, spec->n_fill);
    if (align != '=')
        lrc_builder__puts(b, prefix);
    lrc_builder__append(b, body, n);
    for (int64_t i = before; i < missing && !b->failed; i++)
        lrc_builder__append(b, spec->fill, spec->n_fill);
    return b->failed ? lrc_render__fail_memory(b->r) : LRC_STATUS_OK;
}

/* "," or "_" every n digits of the integer digits that text begins with. */
static void group_digits(char text[LRC_FORMAT_TEXT_MAX], char group, size_t every)
{
    size_t n_digits = strspn(text, "0123456789abcdefABCDEF"), n = strlen(text);
    for (size_t at = n_digits; at > every && n + 1 < LRC_FORMAT_TEXT_MAX;) {
        at -= every;
        memmove(text + at + 1, text + at, n + 1 - at);
        text[at] = group;
        n++;
    }
}

static void binary_digits(char text[LRC_FORMAT_TEXT_MAX], uint64_t value)
{
    size_t n = 0;
    int    bit = 63;
    while (bit > 0 && !(value >> bit & 1))
        bit--;
    for (; bit >= 0; bit--)
        text[n++] = (char)('0' + (value >> bit & 1));
    text[n] = '\0';
}

static enum lrc_status put_int(struct lrc_builder *b, int64_t value, const struct lrc_format_spec *spec)
{
    char           text[LRC_FORMAT_TEXT_MAX], prefix[4] = { 0 };
    const char     type = spec->type ? spec->type : 'd';
    const uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    size_t         n_prefix = 0;
    if (value < 0 || spec->sign == '+' || spec->sign == ' ')
        prefix[n_prefix++] = value < 0 ? '-' : spec->sign;
    if (spec->alternate && strchr("boxX", type)) {
        prefix[n_prefix++] = '0';
        prefix[n_prefix] = type;
    }
    if (type == 'b')
        binary_digits(text, size);
    else
        (void)snprintf(text, sizeof text,
                       type == 'o'   ? "%llo"
                       : type == 'x' ? "%llx"
                       : type == 'X' ? "%llX"
                                     : "%llu",
                       (unsigned long long)size);
    if (spec->group)
        group_digits(text, spec->group, strchr("boxX", type) ? 4 : 3);
    return put_padded(b, spec, prefix, text, strlen(text), spec->align ? spec->align : '>');
}

/* A number without a type and with a precision: as %g, but never like an integer. */
static void general_text(char text[LRC_FORMAT_TEXT_MAX], int precision, double size)
{
    (void)snprintf(text, LRC_FORMAT_TEXT_MAX, "%.*g", precision, size);
    if (!strpbrk(text, ".en"))
        strcat(text, ".0");
}

static void float_text(char text[LRC_FORMAT_TEXT_MAX], const struct lrc_format_spec *spec, double size)
{
    const int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    char      digits[LRC_FLOAT_TEXT_MAX];
    switch (spec->type) {
    case 'e':
    case 'E':
        (void)snprintf(text, LRC_FORMAT_TEXT_MAX, spec->type == 'e' ? "%.*e" : "%.*E", precision, size);
        return;
    case 'g':
    case 'G':
    case 'n':
        (void)snprintf(text, LRC_FORMAT_TEXT_MAX,
                       spec->alternate     ? "%#.*g"
                       : spec->type == 'G' ? "%.*G"
                                           : "%.*g",
                       precision, size);
        return;
    case '%':
        (void)snprintf(text, LRC_FORMAT_TEXT_MAX - 1, "%.*f", precision, size * 100);
        strcat(text, "%");
        return;
    case 0:
        if (spec->precision >= 0) {
            general_text(text, precision, size);
            return;
        }
        lrc_value__float_text(digits, size);
        (void)snprintf(text, LRC_FORMAT_TEXT_MAX, "%s", digits);
        return;
    default: (void)snprintf(text, LRC_FORMAT_TEXT_MAX, "%.*f", precision, size); return;
    }
}

static enum lrc_status put_float(struct lrc_builder *b, double value, const struct lrc_format_spec *spec)
{
    char text[LRC_FORMAT_TEXT_MAX], prefix[2] = { 0 };
    if (signbit(value) && !isnan(value))
        prefix[0] = '-';
    else if (spec->sign == '+' || spec->sign == ' ')
        prefix[0] = spec->sign;
    float_text(text, spec, fabs(value));
    if (spec->group)
        group_digits(text, spec->group, 3);
    return put_padded(b, spec, prefix, text, strlen(text), spec->align ? spec->align : '>');
}

static enum lrc_status put_string(struct lrc_builder *b, const struct lrc_string *s,
                                  const struct lrc_format_spec *spec)
{
    size_t n = s->n;
    if (spec->precision >= 0 && spec->precision < s->n_points)
        n = lrc_text__offset(s->bytes, s->n, spec->precision);
    return put_padded(b, spec, "", s->bytes, n, spec->align && spec->align != '=' ? spec->align : '<');
}

static enum lrc_status put_character(struct lrc_builder *b, struct lrc_value v,
                                     const struct lrc_format_spec *spec)
{
    char bytes[4];
    if (v.kind == LRC_VALUE_STRING && v.string->n_points == 1)
        return put_padded(b, spec, "", v.string->bytes, v.string->n, spec->align ? spec->align : '<');
    if (v.kind != LRC_VALUE_INT || v.integer < 0 || v.integer > 0x10ffff)
        return lrc_render__fail(b->r, LRC_STATUS_DATA, "format: want a character or its number, got %s",
                                lrc_value__type_name(v));
    const size_t n = lrc_text__encode(bytes, (int32_t)v.integer);
    return put_padded(b, spec, "", bytes, n, spec->align ? spec->align : '<');
}

static enum lrc_status fail_type(struct lrc_render *r, char type, struct lrc_value v)
{
    return lrc_render__fail(r, LRC_STATUS_DATA, "format: want a value that '%c' can write, got %s", type,
                            lrc_value__type_name(v));
}

enum lrc_status lrc_format__value(struct lrc_builder *b, struct lrc_value v,
                                  const struct lrc_format_spec *spec)
{
    const struct lrc_string *string;
    if (spec->width > LRC_FORMAT_WIDTH_MAX || spec->precision > LRC_FORMAT_PRECISION_MAX)
        return lrc_render__fail(b->r, LRC_STATUS_NUMERIC,
                                "format: want a width up to %d and a precision up to %d, "
                                "got more",
                                LRC_FORMAT_WIDTH_MAX, LRC_FORMAT_PRECISION_MAX);
    if (spec->type == 'c')
        return put_character(b, v, spec);
    if (v.kind == LRC_VALUE_FLOAT || (lrc_value__is_number(v) && spec->type && strchr("eEfFgG%", spec->type)))
        return spec->type && !strchr("eEfFgGn%", spec->type) ? fail_type(b->r, spec->type, v)
                                                             : put_float(b, lrc_value__to_double(v), spec);
    const int plain = !spec->type && !spec->width && spec->precision < 0 && !spec->align && !spec->sign &&
                      !spec->group && !spec->alternate;
    if (v.kind == LRC_VALUE_INT ||
        (v.kind == LRC_VALUE_BOOL && !plain)) { /* True is 1 where it is laid out */
        const int64_t value = v.kind == LRC_VALUE_BOOL ? v.truth : v.integer;
        return spec->type && !strchr("bdnoxX", spec->type) ? fail_type(b->r, spec->type, v)
                                                           : put_int(b, value, spec);
    }
    if (spec->type && spec->type != 's')
        return fail_type(b->r, spec->type, v);
    LRC_TRY(lrc_value__to_string(b->r, &string, v));
    return put_string(b, string, spec);
}

/* A place in a format and the values it takes. */
struct percent {
    struct lrc_builder      *b;
    const struct lrc_string *s;
    size_t                   at;
    const struct lrc_args   *values;
    int64_t                  next;
};

static int is_at(const struct percent *p, const char *set)
{
    return p->at < p->s->n && p->s->bytes[p->at] && strchr(set, p->s->bytes[p->at]) != NULL;
}

static enum lrc_status next_value(struct percent *p, struct lrc_value *v)
{
    if (p->next >= p->values->n)
        return lrc_render__fail(p->b->r, LRC_STATUS_DATA, "format: want a value for each field, got fewer");
    *v = p->values->values[p->next++];
    return LRC_STATUS_OK;
}

/* Digits, or "*" for the next value. */
static enum lrc_status read_count(struct percent *p, int64_t *count)
{
    struct lrc_value v;
    if (is_at(p, "*")) {
        p->at++;
        LRC_TRY(next_value(p, &v));
        if (v.kind != LRC_VALUE_INT)
            return lrc_render__fail(p->b->r, LRC_STATUS_DATA, "format: want an int for '*', got %s",
                                    lrc_value__type_name(v));
        *count = v.integer;
        return LRC_STATUS_OK;
    }
    for (*count = 0; is_at(p, "0123456789"); p->at++)
        if (*count <= LRC_FORMAT_WIDTH_MAX)
            *count = *count * 10 + (p->s->bytes[p->at] - '0');
    return LRC_STATUS_OK;
}

static enum lrc_status read_name(struct percent *p, struct lrc_value *v)
{
    const char            *begin = p->s->bytes + p->at + 1, *end = memchr(begin, ')', p->s->n - p->at - 1);
    struct lrc_dict_entry *entry = NULL;
    struct lrc_value       key;
    if (end && p->values->named) {
        LRC_TRY(lrc_string__borrow(p->b->r, &key, begin, (size_t)(end - begin)));
        LRC_TRY(lrc_dict__find(p->b->r, &entry, p->values->named, key));
    }
    if (!entry)
        return lrc_render__fail(p->b->r, LRC_STATUS_DATA, "format: want a value for each name, got none");
    p->at = (size_t)(end - p->s->bytes) + 1;
    *v = entry->value;
    return LRC_STATUS_OK;
}

static enum lrc_status put_percent(struct percent *p, struct lrc_value v, struct lrc_format_spec *spec)
{
    const char type = spec->type;
    if (strchr("sra", type)) {
        struct lrc_builder text = { .r = p->b->r };
        LRC_TRY(type == 's' ? lrc_value__print(&text, v) : lrc_value__repr(&text, v));
        LRC_TRY(lrc_builder__finish(&text, &v));
        spec->type = 's';
        spec->fill = " ";
        spec->align = spec->align == '<' ? '<' : '>';
        return lrc_format__value(p->b, v, spec);
    }
    if (!lrc_value__is_number(v) && type != 'c')
        return fail_type(p->b->r, type, v);
    if (strchr("diu", type)) {
        spec->type = 'd';
        if (v.kind == LRC_VALUE_FLOAT && !(v.real >= -0x1p63 && v.real < 0x1p63))
            return lrc_render__fail(p->b->r, LRC_STATUS_DATA,
                                    "format: want an integer of 64 bits, got a larger one");
        v = v.kind == LRC_VALUE_FLOAT ? lrc_value__int((int64_t)v.real) : v;
    }
    return lrc_format__value(p->b, v, spec);
}

/* The field at s->bytes[at] == '%'. */
static enum lrc_status put_field(struct percent *p)
{
    struct lrc_format_spec spec = { .fill = " ", .n_fill = 1, .precision = -1, .align = '>' };
    struct lrc_value       v = { .kind = LRC_VALUE_ABSENT };
    int                    zero = 0;
    p->at++;
    if (is_at(p, "("))
        LRC_TRY(read_name(p, &v));
    for (; is_at(p, "-+ #0"); p->at++) {
        const char flag = p->s->bytes[p->at];
        zero |= flag == '0';
        spec.alternate |= flag == '#';
        if (flag == '-')
            spec.align = '<';
        else if (flag == '+' || (flag == ' ' && spec.sign != '+'))
            spec.sign = flag;
    }
    if (zero && spec.align == '>') {
        spec.fill = "0";
        spec.align = '=';
    }
    LRC_TRY(read_count(p, &spec.width));
    if (is_at(p, ".")) {
        p->at++;
        LRC_TRY(read_count(p, &spec.precision));
    }
    if (!is_at(p, "sradiuoxXeEfFgGc%"))
        return lrc_render__fail(p->b->r, LRC_STATUS_DATA,
                                "format: want a field we have (%%s %%r %%d %%x %%f %%e %%g), got another");
    spec.type = p->s->bytes[p->at++];
    if (spec.type == '%') {
        lrc_builder__puts(p->b, "%");
        return LRC_STATUS_OK;
    }
    if (v.kind == LRC_VALUE_ABSENT)
        LRC_TRY(next_value(p, &v));
    return put_percent(p, v, &spec);
}

enum lrc_status lrc_format__percent(struct lrc_render *r, struct lrc_value *out,
                                    const struct lrc_string *format, const struct lrc_args *values,
                                    int all_used)
{
    struct lrc_builder builder = { .r = r };
    struct percent     p = { .b = &builder, .s = format, .values = values };
    while (p.at < format->n) {
        const char  *field = memchr(format->bytes + p.at, '%', format->n - p.at);
        const size_t end = field ? (size_t)(field - format->bytes) : format->n;
        lrc_builder__append(&builder, format->bytes + p.at, end - p.at);
        p.at = end;
        LRC_TRY(lrc_render__charge(r, 1));
        if (field)
            LRC_TRY(put_field(&p));
    }
    if (all_used && p.next < values->n)
        return lrc_render__fail(r, LRC_STATUS_DATA, "format: want as many values as fields, got more");
    return lrc_builder__finish(&builder, out);
}
