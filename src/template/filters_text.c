/* Filters that lay text out or write it for HTML and URLs: templates of web pages need them more than
 * those of chats do. */
#include "template/filters.h"

#include "template/format.h"
#include "template/strings.h"
#include "template/text.h"
#include <stdio.h>
#include <string.h>

/* An attribute alone, never the item of that name. */
enum lrc_status lrc_filter__attr(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *name = NULL;
    LRC_TRY(lrc_argument__string(r, &name, call->arg[0], "attr"));
    if (!name)
        return lrc_render__fail(r, LRC_STATUS_DATA, "attr: want an attribute's name, got None");
    if (call->self.kind == LRC_VALUE_DICT && !lrc_method__find(call->self, name->bytes, name->n)) {
        *out = lrc_value__undefined(name);
        return LRC_STATUS_OK;
    }
    return lrc_eval__attribute(r, out, call->self, name);
}

enum lrc_status lrc_filter__center(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_value      width = call->arg[0].kind == LRC_VALUE_ABSENT ? lrc_value__int(80) : call->arg[0];
    const struct lrc_args args = { .values = &width, .n = 1 };
    struct lrc_value      text = { .kind = LRC_VALUE_STRING };
    LRC_TRY(lrc_value__to_string(r, &text.string, call->self));
    return lrc_eval__entry(r, out, &lrc_method__find(text, "center", 6)->entry, text, &args);
}

enum lrc_status lrc_filter__escape(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    static const char        from[] = "&<>'\"";
    static const char *const to[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;" };
    struct lrc_builder       builder = { .r = r };
    const struct lrc_string *s;
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    for (size_t i = 0; i < s->n; i++) {
        const char *special = s->bytes[i] ? strchr(from, s->bytes[i]) : NULL;
        if (special)
            lrc_builder__puts(&builder, to[special - from]);
        else
            lrc_builder__append(&builder, s->bytes + i, 1);
    }
    return lrc_builder__finish(&builder, out);
}

enum lrc_status lrc_filter__wordcount(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_call *call)
{
    const struct lrc_string *s;
    int64_t                  n_words = 0;
    int                      inside = 0;
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

/* Shorter texts, and those longer by at most leeway, stay; others end with `end`, cut between words unless
 * killwords. */
enum lrc_status lrc_filter__truncate(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    static const struct lrc_string dots = { "...", 3, 3 };
    const struct lrc_string       *s, *end = &dots;
    int64_t                        length = 255, leeway = 5;
    struct lrc_builder             builder = { .r = r };
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    LRC_TRY(lrc_argument__int(r, &length, call->arg[0], "truncate"));
    LRC_TRY(lrc_argument__string(r, &end, call->arg[2], "truncate"));
    LRC_TRY(lrc_argument__int(r, &leeway, call->arg[3], "truncate"));
    if (length < end->n_points || leeway < 0)
        return lrc_render__fail(
            r, LRC_STATUS_DATA,
            "truncate: want a length of at least that of what is put behind and a leeway of at "
            "least 0, got less");
    if (s->n_points <= length || s->n_points - length <= leeway)
        return lrc_string__borrow(r, out, s->bytes, s->n);
    LRC_TRY(lrc_render__charge(r, length / 16));
    size_t n = lrc_text__offset(s->bytes, s->n, length - end->n_points);
    if (!lrc_value__is_true(call->arg[1])) {
        size_t space = n;
        while (space > 0 && s->bytes[space - 1] != ' ')
            space--;
        n = space > 0 ? space - 1 : n;
    }
    lrc_builder__append(&builder, s->bytes, n);
    lrc_builder__append(&builder, end->bytes, end->n);
    return lrc_builder__finish(&builder, out);
}

/* Tags and comments left out, runs of space made one, the named characters of XML resolved. */
enum lrc_status lrc_filter__striptags(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_call *call)
{
    static const char *const names[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;", "&quot;" };
    static const char        characters[] = "&<>'\"\"";
    struct lrc_builder       builder = { .r = r };
    const struct lrc_string *s;
    int                      pending = 0;
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    LRC_TRY(lrc_render__charge(r, (int64_t)(s->n / 16)));
    for (size_t i = 0; i < s->n;) {
        const char  *at = s->bytes + i, *close = NULL;
        const size_t left = s->n - i;
        if (left >= 4 && memcmp(at, "<!--", 4) == 0)
            close =
                memmem(at + 4, left - 4, "-->", 3) ? (char *)memmem(at + 4, left - 4, "-->", 3) + 2 : NULL;
        else if (*at == '<')
            close = memchr(at, '>', left);
        if (close) {
            i += (size_t)(close - at) + 1;
            continue;
        }
        int32_t point;
        size_t  n = lrc_text__next(at, left, &point);
        if (lrc_text__is_space(point)) {
            pending = builder.n > 0;
            i += n;
            continue;
        }
        if (pending)
            lrc_builder__puts(&builder, " ");
        pending = 0;
        char replaced = 0;
        for (size_t k = 0; k < sizeof names / sizeof names[0] && !replaced; k++)
            if (left >= strlen(names[k]) && memcmp(at, names[k], strlen(names[k])) == 0) {
                replaced = characters[k];
                n = strlen(names[k]);
            }
        lrc_builder__append(&builder, replaced ? &replaced : at, replaced ? 1 : n);
        i += n;
    }
    return lrc_builder__finish(&builder, out);
}

static void put_quoted(struct lrc_builder *b, const struct lrc_string *s, const char *safe, int plus)
{
    for (size_t i = 0; i < s->n && !b->failed; i++) {
        const unsigned char c = (unsigned char)s->bytes[i];
        char                escape[8];
        const int plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c && strchr("_.-~", c)) || (c && strchr(safe, c));
        (void)snprintf(escape, sizeof escape, "%%%02X", c);
        if (plain)
            lrc_builder__append(b, &s->bytes[i], 1);
        else
            lrc_builder__puts(b, plus && c == ' ' ? "+" : escape);
    }
}

/* A text, with "/" left as it is; or pairs, as "key=value&...". */
enum lrc_status lrc_filter__urlencode(struct lrc_render *r, struct lrc_value *out,
                                      const struct lrc_call *call)
{
    struct lrc_builder       builder = { .r = r };
    const struct lrc_string *s;
    struct lrc_list          pairs, pair;
    struct lrc_value         list = call->self;
    if (list.kind == LRC_VALUE_DICT)
        LRC_TRY(lrc_filter__items(r, &list, call));
    if (list.kind != LRC_VALUE_LIST && list.kind != LRC_VALUE_TUPLE) {
        LRC_TRY(lrc_value__to_string(r, &s, list));
        put_quoted(&builder, s, "/", 0);
        return lrc_builder__finish(&builder, out);
    }
    LRC_TRY(lrc_value__iterate(r, &pairs, list));
    for (int64_t i = 0; i < pairs.n; i++) {
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(lrc_value__iterate(r, &pair, pairs.items[i]));
        if (pair.n != 2)
            return lrc_render__fail(r, LRC_STATUS_DATA, "urlencode: want pairs, got %lld values",
                                    (long long)pair.n);
        for (int k = 0; k < 2; k++) {
            LRC_TRY(lrc_value__to_string(r, &s, pair.items[k]));
            lrc_builder__puts(&builder, k ? "=" : i > 0 ? "&" : "");
            put_quoted(&builder, s, "", 1);
        }
    }
    return lrc_builder__finish(&builder, out);
}

enum lrc_status lrc_filter__xmlattr(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_builder builder = { .r = r };
    const int          spaced = call->arg[0].kind == LRC_VALUE_ABSENT || lrc_value__is_true(call->arg[0]);
    if (call->self.kind != LRC_VALUE_DICT)
        return lrc_render__fail(r, LRC_STATUS_DATA, "xmlattr: want a dict, got %s",
                                lrc_value__type_name(call->self));
    for (int64_t i = 0; i < call->self.dict->n; i++) {
        const struct lrc_dict_entry *entry = &call->self.dict->entries[i];
        struct lrc_call              one = { .args = call->args };
        if (entry->value.kind == LRC_VALUE_NONE || entry->value.kind == LRC_VALUE_UNDEFINED)
            continue;
        lrc_builder__puts(&builder, builder.n > 0 || spaced ? " " : "");
        for (int k = 0; k < 2; k++) {
            struct lrc_value escaped;
            one.self = k ? entry->value : entry->key;
            LRC_TRY(lrc_filter__escape(r, &escaped, &one));
            lrc_builder__append(&builder, escaped.string->bytes, escaped.string->n);
            lrc_builder__puts(&builder, k ? "\"" : "=\"");
        }
    }
    return lrc_builder__finish(&builder, out);
}

struct wrap {
    struct lrc_builder      *b;
    int64_t                  width, n_line; /* characters of the line so far */
    const struct lrc_string *newline;
    int                      breaks;
};

/* A word behind the space before it, on this line or the next. */
static void put_word(struct wrap *w, const char *space, size_t n_space, const char *word, size_t n)
{
    int64_t       n_points = lrc_text__count(word, n);
    const int64_t n_before = w->n_line > 0 ? lrc_text__count(space, n_space) : 0;
    if (w->n_line > 0 && w->n_line + n_before + n_points > w->width) {
        lrc_builder__append(w->b, w->newline->bytes, w->newline->n);
        w->n_line = 0;
    } else if (w->n_line > 0) {
        lrc_builder__append(w->b, space, n_space);
        w->n_line += n_before;
    }
    while (w->breaks && n_points > w->width && !w->b->failed) {
        const size_t part = lrc_text__offset(word, n, w->width);
        lrc_builder__append(w->b, word, part);
        lrc_builder__append(w->b, w->newline->bytes, w->newline->n);
        word += part;
        n -= part;
        n_points -= w->width;
    }
    lrc_builder__append(w->b, word, n);
    w->n_line += n_points;
}

/* Lines of at most width characters, broken between words; the text's own line ends stay. */
enum lrc_status lrc_filter__wordwrap(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    static const struct lrc_string newline = { "\n", 1, 1 };
    struct lrc_builder             builder = { .r = r };
    struct wrap                    w = { .b = &builder, .width = 79, .newline = &newline };
    const struct lrc_string       *s;
    LRC_TRY(lrc_value__to_string(r, &s, call->self));
    LRC_TRY(lrc_argument__int(r, &w.width, call->arg[0], "wordwrap"));
    LRC_TRY(lrc_argument__string(r, &w.newline, call->arg[2], "wordwrap"));
    w.breaks = call->arg[1].kind == LRC_VALUE_ABSENT || lrc_value__is_true(call->arg[1]);
    if (w.width < 1)
        return lrc_render__fail(r, LRC_STATUS_DATA, "wordwrap: want a width of at least 1, got %lld",
                                (long long)w.width);
    LRC_TRY(lrc_render__charge(r, (int64_t)s->n));
    for (size_t i = 0; i < s->n && !builder.failed;) {
        size_t space = i;
        while (i < s->n && s->bytes[i] == ' ')
            i++;
        const size_t word = i;
        if (i < s->n && s->bytes[i] == '\n') {
            lrc_builder__append(&builder, w.newline->bytes, w.newline->n);
            w.n_line = 0;
            i++;
            continue;
        }
        while (i < s->n && s->bytes[i] != ' ' && s->bytes[i] != '\n')
            i++;
        if (i > word)
            put_word(&w, s->bytes + space, word - space, s->bytes + word, i - word);
    }
    return lrc_builder__finish(&builder, out);
}
