/* Methods of str. */
#include "template/format.h"
#include "template/methods.h"

#include "template/strings.h"
#include "template/text.h"
#include <string.h>

static enum lrc_status strip_side(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                                  enum lrc_side side)
{
    const struct lrc_string *characters = NULL;
    LRC_TRY(lrc_argument__string(r, &characters, call->arg[0], "strip"));
    return lrc_string__strip(r, out, call->self.string, characters, side);
}

static enum lrc_status str_strip(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return strip_side(r, out, call, LRC_SIDE_BOTH);
}

static enum lrc_status str_lstrip(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return strip_side(r, out, call, LRC_SIDE_LEFT);
}

static enum lrc_status str_rstrip(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return strip_side(r, out, call, LRC_SIDE_RIGHT);
}

static enum lrc_status str_upper(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return lrc_string__to_case(r, out, call->self.string, LRC_CASE_UPPER);
}

static enum lrc_status str_lower(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return lrc_string__to_case(r, out, call->self.string, LRC_CASE_LOWER);
}

static enum lrc_status str_title(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return lrc_string__to_case(r, out, call->self.string, LRC_CASE_TITLE);
}

static enum lrc_status str_capitalize(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_call *call)
{
    return lrc_string__to_case(r, out, call->self.string, LRC_CASE_CAPITALIZE);
}

static enum lrc_status append_piece(struct lrc_render *r, struct lrc_list *list, const char *bytes, size_t n)
{
    struct lrc_value piece;
    LRC_TRY(lrc_render__charge(r, 1));
    LRC_TRY(lrc_string__borrow(r, &piece, bytes, n));
    return lrc_list__append(r, list, piece);
}

static size_t word_length(const char *bytes, size_t n)
{
    size_t  i = 0;
    int32_t point;
    while (i < n) {
        const size_t step = lrc_text__next(bytes + i, n - i, &point);
        if (lrc_text__is_space(point))
            break;
        i += step;
    }
    return i;
}

/* Between runs of space; n_max < 0: all. The last piece keeps its inner space but not what is behind it when
 * all was split. */
static enum lrc_status split_words(struct lrc_render *r, struct lrc_list *list, const struct lrc_string *s,
                                   int64_t n_max)
{
    const char *at = s->bytes, *const end = s->bytes + s->n;
    for (;; n_max--) {
        at += lrc_text__space_before(at, (size_t)(end - at));
        if (at == end)
            return LRC_STATUS_OK;
        if (n_max == 0)
            return append_piece(r, list, at, (size_t)(end - at));
        const size_t n = word_length(at, (size_t)(end - at));
        LRC_TRY(append_piece(r, list, at, n));
        at += n;
    }
}

static enum lrc_status split_by(struct lrc_render *r, struct lrc_list *list, const struct lrc_string *s,
                                const struct lrc_string *by, int64_t n_max)
{
    const char *at = s->bytes, *const end = s->bytes + s->n;
    if (by->n == 0)
        return lrc_render__fail(r, LRC_STATUS_DATA, "split: want a separator that is not empty, got ''");
    for (; n_max != 0; n_max--) {
        const char *found = memmem(at, (size_t)(end - at), by->bytes, by->n);
        if (!found)
            break;
        LRC_TRY(append_piece(r, list, at, (size_t)(found - at)));
        at = found + by->n;
    }
    return append_piece(r, list, at, (size_t)(end - at));
}

static enum lrc_status str_split(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *by = NULL;
    int64_t                  n_max = -1;
    LRC_TRY(lrc_argument__string(r, &by, call->arg[0], "split"));
    LRC_TRY(lrc_argument__int(r, &n_max, call->arg[1], "split"));
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    LRC_TRY(lrc_render__charge(r, (int64_t)(call->self.string->n / 16)));
    return by ? split_by(r, out->list, call->self.string, by, n_max)
              : split_words(r, out->list, call->self.string, n_max);
}

/* Where the last `by` in [begin, end) starts; NULL when there is none. */
static const char *find_last(const char *begin, const char *end, const struct lrc_string *by)
{
    for (const char *at = end - by->n; at >= begin; at--)
        if (memcmp(at, by->bytes, by->n) == 0)
            return at;
    return NULL;
}

static void reverse(struct lrc_list *list)
{
    for (int64_t i = 0, k = list->n - 1; i < k; i++, k--) {
        const struct lrc_value swap = list->items[i];
        list->items[i] = list->items[k];
        list->items[k] = swap;
    }
}

static enum lrc_status rsplit_by(struct lrc_render *r, struct lrc_list *list, const struct lrc_string *s,
                                 const struct lrc_string *by, int64_t n_max)
{
    const char *end = s->bytes + s->n;
    if (by->n == 0)
        return lrc_render__fail(r, LRC_STATUS_DATA, "rsplit: want a separator that is not empty, got ''");
    for (; n_max != 0 && (size_t)(end - s->bytes) >= by->n; n_max--) {
        LRC_TRY(lrc_render__charge(r, (int64_t)((size_t)(end - s->bytes) / 16 * (by->n / 64 + 1))));
        const char *found = find_last(s->bytes, end, by);
        if (!found)
            break;
        LRC_TRY(append_piece(r, list, found + by->n, (size_t)(end - found) - by->n));
        end = found;
    }
    return append_piece(r, list, s->bytes, (size_t)(end - s->bytes));
}

static enum lrc_status rsplit_words(struct lrc_render *r, struct lrc_list *list, const struct lrc_string *s,
                                    int64_t n_max)
{
    size_t n = s->n;
    for (;; n_max--) {
        n -= lrc_text__space_after(s->bytes, n);
        if (n == 0)
            return LRC_STATUS_OK;
        size_t begin = n;
        while (n_max != 0 && begin > 0 && lrc_text__space_after(s->bytes, begin) == 0)
            begin--;
        if (n_max == 0)
            begin = 0;
        LRC_TRY(append_piece(r, list, s->bytes + begin, n - begin));
        n = begin;
    }
}

static enum lrc_status str_rsplit(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *by = NULL;
    int64_t                  n_max = -1;
    LRC_TRY(lrc_argument__string(r, &by, call->arg[0], "rsplit"));
    LRC_TRY(lrc_argument__int(r, &n_max, call->arg[1], "rsplit"));
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    LRC_TRY(lrc_render__charge(r, (int64_t)(call->self.string->n / 16)));
    LRC_TRY(by ? rsplit_by(r, out->list, call->self.string, by, n_max)
               : rsplit_words(r, out->list, call->self.string, n_max));
    reverse(out->list);
    return LRC_STATUS_OK;
}

static enum lrc_status str_splitlines(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_call *call)
{
    const struct lrc_string *s = call->self.string;
    const int                keeps = lrc_value__is_true(call->arg[0]);
    size_t                   begin = 0;
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    for (size_t i = 0; i < s->n;) {
        int32_t      point;
        const size_t n = lrc_text__next(s->bytes + i, s->n - i, &point);
        const int    ends = (point >= 10 && point <= 13) || (point >= 28 && point <= 30) || point == 0x85 ||
                         point == 0x2028 || point == 0x2029;
        if (ends) {
            const size_t next = i + n + (point == '\r' && i + 1 < s->n && s->bytes[i + 1] == '\n');
            LRC_TRY(append_piece(r, out->list, s->bytes + begin, (keeps ? next : i) - begin));
            begin = next;
        }
        i = ends ? begin : i + n;
    }
    LRC_TRY(lrc_render__charge(r, (int64_t)(s->n / 16)));
    return begin < s->n ? append_piece(r, out->list, s->bytes + begin, s->n - begin) : LRC_STATUS_OK;
}

static int has_affix(const struct lrc_string *s, const struct lrc_string *affix, int at_end)
{
    return affix->n <= s->n && memcmp(s->bytes + (at_end ? s->n - affix->n : 0), affix->bytes, affix->n) == 0;
}

static enum lrc_status remove_affix(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                                    int at_end)
{
    const struct lrc_string *affix = NULL, *s = call->self.string;
    LRC_TRY(lrc_argument__string(r, &affix, call->arg[0], at_end ? "removesuffix" : "removeprefix"));
    const size_t n = affix && has_affix(s, affix, at_end) ? affix->n : 0;
    return lrc_string__borrow(r, out, s->bytes + (at_end ? 0 : n), s->n - n);
}

static enum lrc_status str_removeprefix(struct lrc_render *r, struct lrc_value *out,
                                        const struct lrc_call *call)
{
    return remove_affix(r, out, call, 0);
}

static enum lrc_status str_removesuffix(struct lrc_render *r, struct lrc_value *out,
                                        const struct lrc_call *call)
{
    return remove_affix(r, out, call, 1);
}

static enum lrc_status str_replace(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *from = NULL, *to = NULL;
    int64_t                  count = -1;
    LRC_TRY(lrc_argument__string(r, &from, call->arg[0], "replace"));
    LRC_TRY(lrc_argument__string(r, &to, call->arg[1], "replace"));
    LRC_TRY(lrc_argument__int(r, &count, call->arg[2], "replace"));
    if (!from || !to)
        return lrc_render__fail(r, LRC_STATUS_DATA, "replace: want two str, got None");
    return lrc_string__replace(r, out, call->self.string, from, to, count);
}

static enum lrc_status str_join(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_builder builder = { .r = r };
    struct lrc_list    items;
    LRC_TRY(lrc_value__iterate(r, &items, call->arg[0]));
    for (int64_t i = 0; i < items.n; i++) {
        if (items.items[i].kind != LRC_VALUE_STRING)
            return lrc_render__fail(r, LRC_STATUS_DATA, "join: want items that are str, got %s",
                                    lrc_value__type_name(items.items[i]));
        LRC_TRY(lrc_render__charge(r, 1));
        if (i > 0)
            lrc_builder__append(&builder, call->self.string->bytes, call->self.string->n);
        LRC_TRY(lrc_value__print(&builder, items.items[i]));
    }
    return lrc_builder__finish(&builder, out);
}

/* Every character satisfies the property and there is one. */
static enum lrc_status all_points(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                  int (*property)(int32_t))
{
    int all = s->n > 0;
    LRC_TRY(lrc_render__charge(r, (int64_t)(s->n / 16)));
    for (size_t i = 0; i < s->n && all;) {
        int32_t point;
        i += lrc_text__next(s->bytes + i, s->n - i, &point);
        all = property(point);
    }
    *out = lrc_value__bool(all);
    return LRC_STATUS_OK;
}

static int is_ascii(int32_t point)
{
    return point < 0x80;
}

/* The empty text, too, unlike the tests of letters and digits. */
static enum lrc_status all_or_empty(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                                    int (*property)(int32_t))
{
    LRC_TRY(all_points(r, out, call->self.string, property));
    *out = lrc_value__bool(out->truth || call->self.string->n == 0);
    return LRC_STATUS_OK;
}

static enum lrc_status str_isascii(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return all_or_empty(r, out, call, is_ascii);
}

static enum lrc_status str_isprintable(struct lrc_render *r, struct lrc_value *out,
                                       const struct lrc_call *call)
{
    return all_or_empty(r, out, call, lrc_text__is_printable);
}

static enum lrc_status str_isdecimal(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return all_points(r, out, call->self.string, lrc_text__is_digit);
}

static int is_digit(int32_t point) /* superscripts, too */
{
    return lrc_text__is_digit(point) || point == 0xb2 || point == 0xb3 || point == 0xb9 ||
           (point >= 0x2070 && point <= 0x2089 && point != 0x2071);
}

static enum lrc_status str_isdigit(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return all_points(r, out, call->self.string, is_digit);
}

static int is_numeric(int32_t point)
{
    return lrc_text__is_letter_or_number(point) && !lrc_text__is_letter(point);
}

static enum lrc_status str_isnumeric(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return all_points(r, out, call->self.string, is_numeric);
}

static enum lrc_status str_swapcase(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return lrc_string__to_case(r, out, call->self.string, LRC_CASE_SWAP);
}

static enum lrc_status str_isspace(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return all_points(r, out, call->self.string, lrc_text__is_space);
}

static enum lrc_status str_isalpha(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return all_points(r, out, call->self.string, lrc_text__is_letter);
}

static enum lrc_status str_isalnum(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return all_points(r, out, call->self.string, lrc_text__is_letter_or_number);
}

static enum lrc_status str_isupper(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    *out = lrc_value__bool(lrc_string__is_case(call->self.string, LRC_CASE_UPPER));
    return lrc_render__charge(r, (int64_t)(call->self.string->n / 16));
}

static enum lrc_status str_islower(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    *out = lrc_value__bool(lrc_string__is_case(call->self.string, LRC_CASE_LOWER));
    return lrc_render__charge(r, (int64_t)(call->self.string->n / 16));
}

const struct lrc_method lrc_method_string[] = {
    { LRC_VALUE_STRING, { "strip", "chars", 0, str_strip } },
    { LRC_VALUE_STRING, { "lstrip", "chars", 0, str_lstrip } },
    { LRC_VALUE_STRING, { "rstrip", "chars", 0, str_rstrip } },
    { LRC_VALUE_STRING, { "upper", "", 0, str_upper } },
    { LRC_VALUE_STRING, { "lower", "", 0, str_lower } },
    { LRC_VALUE_STRING, { "title", "", 0, str_title } },
    { LRC_VALUE_STRING, { "capitalize", "", 0, str_capitalize } },
    { LRC_VALUE_STRING, { "split", "sep maxsplit", 0, str_split } },
    { LRC_VALUE_STRING, { "rsplit", "sep maxsplit", 0, str_rsplit } },
    { LRC_VALUE_STRING, { "splitlines", "keepends", 0, str_splitlines } },
    { LRC_VALUE_STRING, { "startswith", "prefix start end", 1, lrc_method__startswith } },
    { LRC_VALUE_STRING, { "endswith", "suffix start end", 1, lrc_method__endswith } },
    { LRC_VALUE_STRING, { "removeprefix", "prefix", 1, str_removeprefix } },
    { LRC_VALUE_STRING, { "removesuffix", "suffix", 1, str_removesuffix } },
    { LRC_VALUE_STRING, { "replace", "old new count", 2, str_replace } },
    { LRC_VALUE_STRING, { "find", "sub start end", 1, lrc_method__find_text } },
    { LRC_VALUE_STRING, { "rfind", "sub start end", 1, lrc_method__rfind } },
    { LRC_VALUE_STRING, { "index", "sub start end", 1, lrc_method__index } },
    { LRC_VALUE_STRING, { "count", "sub start end", 1, lrc_method__count } },
    { LRC_VALUE_STRING, { "join", "iterable", 1, str_join } },
    { LRC_VALUE_STRING, { "isdigit", "", 0, str_isdigit } },
    { LRC_VALUE_STRING, { "rindex", "sub start end", 1, lrc_method__rindex } },
    { LRC_VALUE_STRING, { "partition", "sep", 1, lrc_method__partition } },
    { LRC_VALUE_STRING, { "rpartition", "sep", 1, lrc_method__rpartition } },
    { LRC_VALUE_STRING, { "center", "width fillchar", 1, lrc_method__center } },
    { LRC_VALUE_STRING, { "ljust", "width fillchar", 1, lrc_method__ljust } },
    { LRC_VALUE_STRING, { "rjust", "width fillchar", 1, lrc_method__rjust } },
    { LRC_VALUE_STRING, { "zfill", "width", 1, lrc_method__zfill } },
    { LRC_VALUE_STRING, { "expandtabs", "tabsize", 0, lrc_method__expandtabs } },
    { LRC_VALUE_STRING, { "swapcase", "", 0, str_swapcase } },
    { LRC_VALUE_STRING, { "isascii", "", 0, str_isascii } },
    { LRC_VALUE_STRING, { "isdecimal", "", 0, str_isdecimal } },
    { LRC_VALUE_STRING, { "isnumeric", "", 0, str_isnumeric } },
    { LRC_VALUE_STRING, { "isprintable", "", 0, str_isprintable } },
    { LRC_VALUE_STRING, { "isspace", "", 0, str_isspace } },
    { LRC_VALUE_STRING, { "isalpha", "", 0, str_isalpha } },
    { LRC_VALUE_STRING, { "isalnum", "", 0, str_isalnum } },
    { LRC_VALUE_STRING, { "isupper", "", 0, str_isupper } },
    { LRC_VALUE_STRING, { "islower", "", 0, str_islower } },
    { LRC_VALUE_STRING, { "format", "*", 0, lrc_format__braces } },
    { LRC_VALUE_STRING, { NULL, NULL, 0, NULL } },
};
