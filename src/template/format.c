/* printf-style fields: %s %r %d %i %u %x %o %f %e %g %c %%. */
#include "template/filters.h"

#include <stdio.h>
#include <string.h>

struct field {
    char spec[16]; /* flags, width and precision, with the "%" */
    int width;
    char conversion;
};

/* [-+ 0#]* digits* (.digits)? conversion */
static int read_field(struct field *field, const struct lrc_string *s, size_t *at)
{
    size_t n = 0, i = *at;
    field->width = 0;
    do {
        if (n + 1 >= sizeof field->spec || i >= s->n)
            return 0;
        field->spec[n++] = s->bytes[i++];
    } while (i < s->n && s->bytes[i] && strchr("-+ #0123456789.", s->bytes[i]));
    if (i >= s->n)
        return 0;
    field->spec[n] = '\0';
    const char *digits = field->spec + 1 + strspn(field->spec + 1, "-+ #0");
    for (; *digits >= '0' && *digits <= '9'; digits++)
        field->width = field->width * 10 + (*digits - '0');
    if (field->width > 1000 || strspn(digits, ".0123456789") != strlen(digits) || strlen(digits) > 4)
        return 0;
    field->conversion = s->bytes[i];
    *at = i;
    return 1;
}

static enum lrc_status put_text(struct lrc_builder *b, const struct field *field, struct lrc_value v)
{
    struct lrc_builder text = {.r = b->r};
    struct lrc_value string;
    LRC_TRY(field->conversion == 'r' ? lrc_value__repr(&text, v) : lrc_value__print(&text, v));
    LRC_TRY(lrc_builder__finish(&text, &string));
    const int64_t padding = field->width - string.string->n_points;
    const int left = strchr(field->spec, '-') != NULL;
    for (int64_t i = 0; i < padding && !left; i++)
        lrc_builder__puts(b, " ");
    lrc_builder__append(b, string.string->bytes, string.string->n);
    for (int64_t i = 0; i < padding && left; i++)
        lrc_builder__puts(b, " ");
    return LRC_STATUS_OK;
}

static enum lrc_status put_number(struct lrc_builder *b, const struct field *field, struct lrc_value v)
{
    char format[32], text[2048];
    const int whole = strchr("diuxX", field->conversion) != NULL;
    if (!lrc_value__is_number(v))
        return lrc_render__fail(b->r, LRC_STATUS_DATA, "format: want a number for '%%%c', got %s",
                                field->conversion, lrc_value__type_name(v));
    const double real = lrc_value__to_double(v);
    if (whole && !(real >= -0x1p63 && real < 0x1p63))
        return lrc_render__fail(b->r, LRC_STATUS_DATA,
                                "format: want an integer of 64 bits, got a larger one");
    (void)snprintf(format, sizeof format, "%s%s%c", field->spec, whole ? "ll" : "", field->conversion);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    /* read_field() lets only flags, width <= 1000 and precision of three digits through */
    if (whole)
        (void)snprintf(text, sizeof text, format,
                       v.kind == LRC_VALUE_INT ? (long long)v.integer : (long long)real);
    else
        (void)snprintf(text, sizeof text, format, real);
#pragma GCC diagnostic pop
    lrc_builder__puts(b, text);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_format__field(struct lrc_builder *b, const struct lrc_string *s, size_t *at,
                                  const struct lrc_args *args, int64_t *next)
{
    struct field field;
    if (!read_field(&field, s, at) || !field.conversion || !strchr("srdiuxXfFeEgG%", field.conversion))
        return lrc_render__fail(b->r, LRC_STATUS_DATA,
                                "format: want a field we have (%%s %%r %%d %%x %%f %%e %%g), got another");
    if (field.conversion == '%') {
        lrc_builder__puts(b, "%");
        return LRC_STATUS_OK;
    }
    if (*next >= args->n)
        return lrc_render__fail(b->r, LRC_STATUS_DATA, "format: want a value for each field, got fewer");
    const struct lrc_value v = args->values[(*next)++];
    return field.conversion == 's' || field.conversion == 'r' ? put_text(b, &field, v)
                                                              : put_number(b, &field, v);
}
