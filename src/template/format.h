/* Python's two ways to write values into a text. Private to this folder. */
#ifndef LRC_TEMPLATE_FORMAT_H
#define LRC_TEMPLATE_FORMAT_H

#include "template/render.h"

enum {
    LRC_FORMAT_WIDTH_MAX = 1000000,
    LRC_FORMAT_PRECISION_MAX = 100,
    LRC_FORMAT_TEXT_MAX = 512 /* 309 digits of the largest number, 100 behind the point, signs and commas */
};

/* What stands between '%' or ':' and the end of a field. */
struct lrc_format_spec {
    const char *fill; /* one character */
    size_t      n_fill;
    char        align;     /* < > ^ =, 0: by the value */
    char        sign;      /* + - space */
    int         alternate; /* # */
    char        group;     /* , _ or 0 */
    int64_t     width;     /* characters, 0: none */
    int64_t     precision; /* -1: none */
    char        type;      /* 0: by the value */
};

/* A value by a spec. errors: DATA when the type does not fit the value. */
enum lrc_status lrc_format__value(struct lrc_builder *b, struct lrc_value v,
                                  const struct lrc_format_spec *spec) LRC_MUST_CHECK;

/* format % values: fields %s %r %a %d %i %u %o %x %X %e %E %f %F %g %G %c %%, with (name), flags, width,
 * precision.
 * values: positional ones, and named for (name). all_used: positional ones that are left over are an
 * error. */
enum lrc_status lrc_format__percent(struct lrc_render *r, struct lrc_value *out,
                                    const struct lrc_string *format, const struct lrc_args *values,
                                    int all_used) LRC_MUST_CHECK;

/* format.format(values): fields {}, {0}, {name}, {0.attribute[item]!r:spec}. */
lrc_callable lrc_format__braces;

#endif
