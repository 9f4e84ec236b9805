/* Methods of str that look for a part of it, and those that pad it. Indices and lengths count characters. */
#include "template/methods.h"

#include "template/format.h"
#include "template/strings.h"
#include "template/text.h"
#include <string.h>

/* The part of a text that start and end choose. */
struct window {
    const char *bytes;
    size_t      n;
    int64_t     first, n_points; /* in characters; n_points -1: start lies behind the end */
};

static enum lrc_status open_window(struct lrc_render *r, struct window *w, const struct lrc_call *call)
{
    const struct lrc_string *s = call->self.string;
    int64_t                  start = 0, end = s->n_points;
    LRC_TRY(lrc_argument__int(r, &start, call->arg[1], "start"));
    LRC_TRY(lrc_argument__int(r, &end, call->arg[2], "end"));
    start += start < 0 ? s->n_points : 0;
    end += end < 0 ? s->n_points : 0;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end > s->n_points ? s->n_points : end;
    *w = (struct window){ .bytes = s->bytes, .first = start, .n_points = end < start ? -1 : end - start };
    if (w->n_points < 0)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_render__charge(r, (int64_t)(s->n / 16)));
    const size_t begin = lrc_text__offset(s->bytes, s->n, start);
    w->bytes += begin;
    w->n = lrc_text__offset(w->bytes, s->n - begin, w->n_points);
    return LRC_STATUS_OK;
}

static const char *find_last(const char *begin, size_t n, const struct lrc_string *what)
{
    for (size_t at = what->n <= n ? n - what->n + 1 : 0; at > 0; at--)
        if (memcmp(begin + at - 1, what->bytes, what->n) == 0)
            return begin + at - 1;
    return NULL;
}

static enum lrc_status wanted(struct lrc_render *r, const struct lrc_string **what, struct lrc_value v,
                              const char *method)
{
    *what = v.kind == LRC_VALUE_STRING ? v.string : NULL;
    if (!*what)
        return lrc_render__fail(r, LRC_STATUS_DATA, "%s: want a str, got %s", method,
                                lrc_value__type_name(v));
    return LRC_STATUS_OK;
}

/* Index, -1 when it is not there. last: from the right. */
static enum lrc_status find_in(struct lrc_render *r, int64_t *index, const struct lrc_call *call, int last)
{
    const struct lrc_string *what;
    struct window            w;
    LRC_TRY(wanted(r, &what, call->arg[0], last ? "rfind" : "find"));
    LRC_TRY(open_window(r, &w, call));
    *index = -1;
    if (w.n_points < 0)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_render__charge(r, last ? (int64_t)(w.n / 16 * (what->n / 64 + 1)) : 0));
    const char *found = last ? find_last(w.bytes, w.n, what) : memmem(w.bytes, w.n, what->bytes, what->n);
    if (found)
        *index = w.first + lrc_text__count(w.bytes, (size_t)(found - w.bytes));
    return LRC_STATUS_OK;
}

static enum lrc_status find_or_fail(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                                    int last)
{
    int64_t index;
    LRC_TRY(find_in(r, &index, call, last));
    *out = lrc_value__int(index);
    return index < 0
               ? lrc_render__fail(r, LRC_STATUS_DATA, "index: want a text that is there, got one that is not")
               : LRC_STATUS_OK;
}

enum lrc_status lrc_method__find_text(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_call *call)
{
    int64_t index;
    LRC_TRY(find_in(r, &index, call, 0));
    *out = lrc_value__int(index);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_method__rfind(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int64_t index;
    LRC_TRY(find_in(r, &index, call, 1));
    *out = lrc_value__int(index);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_method__index(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return find_or_fail(r, out, call, 0);
}

enum lrc_status lrc_method__rindex(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return find_or_fail(r, out, call, 1);
}

enum lrc_status lrc_method__count(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *what;
    struct window            w;
    int64_t                  count = 0;
    LRC_TRY(wanted(r, &what, call->arg[0], "count"));
    LRC_TRY(open_window(r, &w, call));
    if (what->n == 0)
        count = w.n_points + 1;
    const char *at = w.bytes, *const end = w.bytes + w.n;
    while (what->n > 0 && w.n_points >= 0 &&
           (at = memmem(at, (size_t)(end - at), what->bytes, what->n)) != NULL) {
        at += what->n;
        count++;
    }
    *out = lrc_value__int(count);
    return LRC_STATUS_OK;
}

static enum lrc_status test_affix(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                                  int at_end)
{
    struct lrc_list affixes = { .items = (struct lrc_value *)(uintptr_t)&call->arg[0], .n = 1 };
    struct window   w;
    int             found = 0;
    LRC_TRY(open_window(r, &w, call));
    if (call->arg[0].kind == LRC_VALUE_TUPLE)
        affixes = *call->arg[0].list;
    for (int64_t i = 0; i < affixes.n && !found; i++) {
        const struct lrc_string *affix;
        LRC_TRY(wanted(r, &affix, affixes.items[i], at_end ? "endswith" : "startswith"));
        LRC_TRY(lrc_render__charge(r, (int64_t)(affix->n / 64)));
        found = w.n_points >= 0 && affix->n <= w.n &&
                memcmp(w.bytes + (at_end ? w.n - affix->n : 0), affix->bytes, affix->n) == 0;
    }
    *out = lrc_value__bool(found);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_method__startswith(struct lrc_render *r, struct lrc_value *out,
                                       const struct lrc_call *call)
{
    return test_affix(r, out, call, 0);
}

enum lrc_status lrc_method__endswith(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return test_affix(r, out, call, 1);
}

/* (before, separator, behind); the whole text at the side the search began from when it is not there. */
static enum lrc_status partition(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                                 int last)
{
    const struct lrc_string *s = call->self.string, *by;
    LRC_TRY(wanted(r, &by, call->arg[0], "partition"));
    if (by->n == 0)
        return lrc_render__fail(r, LRC_STATUS_DATA, "partition: want a separator that is not empty, got ''");
    LRC_TRY(lrc_render__charge(r, (int64_t)(s->n / 16 * (by->n / 64 + 1))));
    const char  *found = last ? find_last(s->bytes, s->n, by) : memmem(s->bytes, s->n, by->bytes, by->n);
    const size_t at = found ? (size_t)(found - s->bytes) : last ? 0 : s->n, n = found ? by->n : 0;
    const size_t borders[4] = { 0, at, at + n, s->n };
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_TUPLE));
    for (int i = 0; i < 3; i++) {
        struct lrc_value part;
        LRC_TRY(lrc_string__borrow(r, &part, s->bytes + borders[i], borders[i + 1] - borders[i]));
        LRC_TRY(lrc_list__append(r, out->list, part));
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_method__partition(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_call *call)
{
    return partition(r, out, call, 0);
}

enum lrc_status lrc_method__rpartition(struct lrc_render *r, struct lrc_value *out,
                                       const struct lrc_call *call)
{
    return partition(r, out, call, 1);
}

static enum lrc_status justify(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                               char align)
{
    struct lrc_builder     builder = { .r = r };
    struct lrc_format_spec spec = { .fill = " ", .n_fill = 1, .align = align, .precision = -1 };
    LRC_TRY(lrc_argument__int(r, &spec.width, call->arg[0], "width"));
    if (call->arg[1].kind != LRC_VALUE_ABSENT) {
        const struct lrc_string *fill;
        LRC_TRY(wanted(r, &fill, call->arg[1], "fillchar"));
        if (fill->n_points != 1)
            return lrc_render__fail(r, LRC_STATUS_DATA, "fillchar: want one character, got %lld",
                                    (long long)fill->n_points);
        spec.fill = fill->bytes;
        spec.n_fill = fill->n;
    }
    const int64_t    missing = spec.width - call->self.string->n_points;
    struct lrc_value text = call->self;
    if (align == '^' && missing > 0 && (missing & 1) && (spec.width & 1)) {
        /* str.center() puts the odd one before the text when the width is odd, format() behind it */
        LRC_TRY(lrc_string__concat(r, &text, &(struct lrc_string){ spec.fill, spec.n_fill, 1 },
                                   call->self.string));
    }
    LRC_TRY(lrc_format__value(&builder, text, &spec));
    return lrc_builder__finish(&builder, out);
}

enum lrc_status lrc_method__center(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return justify(r, out, call, '^');
}

enum lrc_status lrc_method__ljust(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return justify(r, out, call, '<');
}

enum lrc_status lrc_method__rjust(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return justify(r, out, call, '>');
}

/* Zeros behind the sign. */
enum lrc_status lrc_method__zfill(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *s = call->self.string;
    const size_t             n_sign = s->n > 0 && (s->bytes[0] == '-' || s->bytes[0] == '+') ? 1 : 0;
    const struct lrc_string  digits = { s->bytes + n_sign, s->n - n_sign, s->n_points - (int64_t)n_sign };
    struct lrc_builder       builder = { .r = r };
    struct lrc_format_spec   spec = { .fill = "0", .n_fill = 1, .align = '>', .precision = -1 };
    LRC_TRY(lrc_argument__int(r, &spec.width, call->arg[0], "zfill"));
    spec.width -= (int64_t)n_sign;
    lrc_builder__append(&builder, s->bytes, n_sign);
    LRC_TRY(lrc_format__value(&builder, (struct lrc_value){ .kind = LRC_VALUE_STRING, .string = &digits },
                              &spec));
    return lrc_builder__finish(&builder, out);
}

/* Spaces up to the next multiple of the tab size. */
enum lrc_status lrc_method__expandtabs(struct lrc_render *r, struct lrc_value *out,
                                       const struct lrc_call *call)
{
    const struct lrc_string *s = call->self.string;
    struct lrc_builder       builder = { .r = r };
    int64_t                  size = 8, column = 0;
    LRC_TRY(lrc_argument__int(r, &size, call->arg[0], "expandtabs"));
    if (size > LRC_FORMAT_WIDTH_MAX)
        return lrc_render__fail(r, LRC_STATUS_NUMERIC, "expandtabs: want a size up to %d, got more",
                                LRC_FORMAT_WIDTH_MAX);
    for (size_t i = 0; i < s->n && !builder.failed;) {
        int32_t       point;
        const size_t  n = lrc_text__next(s->bytes + i, s->n - i, &point);
        const int64_t spaces = point == '\t' && size > 0 ? size - column % size : 0;
        LRC_TRY(lrc_render__charge(r, 1 + spaces / 16));
        for (int64_t k = 0; k < spaces; k++)
            lrc_builder__puts(&builder, " ");
        if (point != '\t')
            lrc_builder__append(&builder, s->bytes + i, n);
        column = point == '\n' || point == '\r' ? 0 : column + (point == '\t' ? spaces : 1);
        i += n;
    }
    return lrc_builder__finish(&builder, out);
}
