#include "template/strings.h"

#include "template/text.h"
#include <string.h>
#include <utf8proc.h>

static int is_cased(int32_t point)
{
    const utf8proc_category_t category = utf8proc_category(point);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
           category == UTF8PROC_CATEGORY_LT;
}

/* One code point in its case; the letters that become several, the common ones. */
static void put_cased(struct lrc_builder *b, int32_t point, enum lrc_case to, int starts)
{
    char bytes[4];
    if (to == LRC_CASE_SWAP) /* what is not changed by one case is by the other */
        to = utf8proc_toupper(point) != point ? LRC_CASE_UPPER : LRC_CASE_LOWER;
    const int up = to == LRC_CASE_UPPER || (to != LRC_CASE_LOWER && starts);
    if (point == 0xdf && up) { /* sharp s */
        lrc_builder__puts(b, to == LRC_CASE_UPPER ? "SS" : "Ss");
        return;
    }
    int32_t cased = utf8proc_tolower(point);
    if (up)
        cased = to == LRC_CASE_UPPER ? utf8proc_toupper(point) : utf8proc_totitle(point);
    lrc_builder__append(b, bytes, lrc_text__encode(bytes, cased));
}

enum lrc_status lrc_string__to_case(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                    enum lrc_case to)
{
    struct lrc_builder builder = { .r = r };
    int                starts = 1;
    LRC_TRY(lrc_render__charge(r, (int64_t)(s->n / 16)));
    for (size_t i = 0; i < s->n && !builder.failed;) {
        int32_t point;
        i += lrc_text__next(s->bytes + i, s->n - i, &point);
        put_cased(&builder, point, to, starts);
        if (to == LRC_CASE_WORDS)
            starts = lrc_text__is_space(point) || (point > 0 && point < 0x80 && strchr("-({[<", point));
        else
            starts = to == LRC_CASE_TITLE && !is_cased(point);
    }
    return lrc_builder__finish(&builder, out);
}

int lrc_string__is_case(const struct lrc_string *s, enum lrc_case which)
{
    int n_right = 0;
    for (size_t i = 0; i < s->n;) {
        int32_t point;
        i += lrc_text__next(s->bytes + i, s->n - i, &point);
        if (!is_cased(point))
            continue;
        const int right = utf8proc_category(point) ==
                          (which == LRC_CASE_UPPER ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL);
        if (!right)
            return 0;
        n_right = 1;
    }
    return n_right;
}

static int in_set(const struct lrc_string *characters, const char *bytes, size_t n, int32_t point)
{
    if (!characters)
        return lrc_text__is_space(point);
    return memmem(characters->bytes, characters->n, bytes, n) !=
           NULL; /* whole UTF-8 characters cannot match across others */
}

enum lrc_status lrc_string__strip(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                  const struct lrc_string *characters, enum lrc_side side)
{
    size_t        begin = 0, end = s->n;
    int32_t       point;
    const int64_t n_set = characters ? (int64_t)characters->n : 0;
    while ((side & LRC_SIDE_LEFT) && begin < end) {
        const size_t n = lrc_text__next(s->bytes + begin, end - begin, &point);
        LRC_TRY(lrc_render__charge(r, n_set / 64));
        if (!in_set(characters, s->bytes + begin, n, point))
            break;
        begin += n;
    }
    while ((side & LRC_SIDE_RIGHT) && end > begin) {
        size_t start = end - 1;
        while (start > begin && end - start < 4 && ((unsigned char)s->bytes[start] & 0xc0) == 0x80)
            start--;
        LRC_TRY(lrc_render__charge(r, n_set / 64));
        if (lrc_text__next(s->bytes + start, end - start, &point) != end - start ||
            !in_set(characters, s->bytes + start, end - start, point))
            break;
        end = start;
    }
    return lrc_string__borrow(r, out, s->bytes + begin, end - begin);
}

/* An empty `from` stands before every character and at the end. */
static enum lrc_status interleave(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                  const struct lrc_string *to, int64_t count)
{
    struct lrc_builder builder = { .r = r };
    size_t             i = 0;
    for (; count != 0 && !builder.failed; count--) {
        int32_t      point;
        const size_t n = i < s->n ? lrc_text__next(s->bytes + i, s->n - i, &point) : 0;
        LRC_TRY(lrc_render__charge(r, 1));
        lrc_builder__append(&builder, to->bytes, to->n);
        lrc_builder__append(&builder, s->bytes + i, n);
        i += n;
        if (n == 0)
            break;
    }
    lrc_builder__append(&builder, s->bytes + i, s->n - i);
    return lrc_builder__finish(&builder, out);
}

enum lrc_status lrc_string__replace(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                    const struct lrc_string *from, const struct lrc_string *to, int64_t count)
{
    struct lrc_builder builder = { .r = r };
    const char *at = s->bytes, *const end = s->bytes + s->n;
    if (from->n == 0)
        return interleave(r, out, s, to, count);
    LRC_TRY(lrc_render__charge(r, (int64_t)(s->n / 16)));
    for (; count != 0 && !builder.failed; count--) {
        const char *found = memmem(at, (size_t)(end - at), from->bytes, from->n);
        if (!found)
            break;
        lrc_builder__append(&builder, at, (size_t)(found - at));
        lrc_builder__append(&builder, to->bytes, to->n);
        at = found + from->n;
    }
    lrc_builder__append(&builder, at, (size_t)(end - at));
    return lrc_builder__finish(&builder, out);
}

enum lrc_status lrc_argument__string(struct lrc_render *r, const struct lrc_string **value,
                                     struct lrc_value argument, const char *what)
{
    if (argument.kind == LRC_VALUE_ABSENT || argument.kind == LRC_VALUE_NONE)
        return LRC_STATUS_OK;
    if (argument.kind != LRC_VALUE_STRING)
        return lrc_render__fail(r, LRC_STATUS_DATA, "%s: want a str, got %s", what,
                                lrc_value__type_name(argument));
    *value = argument.string;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_argument__int(struct lrc_render *r, int64_t *value, struct lrc_value argument,
                                  const char *what)
{
    if (argument.kind == LRC_VALUE_ABSENT || argument.kind == LRC_VALUE_NONE)
        return LRC_STATUS_OK;
    if (argument.kind != LRC_VALUE_INT && argument.kind != LRC_VALUE_BOOL)
        return lrc_render__fail(r, LRC_STATUS_DATA, "%s: want an int, got %s", what,
                                lrc_value__type_name(argument));
    *value = argument.kind == LRC_VALUE_BOOL ? argument.truth : argument.integer;
    return LRC_STATUS_OK;
}
