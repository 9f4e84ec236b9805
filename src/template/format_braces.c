/* str.format(). */
#include "template/format.h"

#include "template/text.h"
#include <string.h>

static enum lrc_status fail_field(struct lrc_render *r)
{
    return lrc_render__fail(
        r, LRC_STATUS_DATA,
        "format: want fields that are '{}', '{0}' or '{name}' and have a value, got another");
}

/* [[fill]align][sign][#][0][width][,][.precision][type]; 0 when it is something else. */
static int read_spec(struct lrc_format_spec *spec, const char *s, size_t n)
{
    int32_t point;
    size_t  i = n > 0 ? lrc_text__next(s, n, &point) : 0;
    *spec = (struct lrc_format_spec){ .fill = " ", .n_fill = 1, .precision = -1 };
    if (i > 0 && i < n && strchr("<>=^", s[i]) && s[i]) {
        spec->fill = s;
        spec->n_fill = i;
        spec->align = s[i++];
    } else {
        i = 0;
        if (n > 0 && s[0] && strchr("<>=^", s[0]))
            spec->align = s[i++];
    }
    if (i < n && s[i] && strchr("+- ", s[i]))
        spec->sign = s[i++];
    if (i < n && s[i] == '#')
        spec->alternate = (int)i++ >= 0;
    if (i < n && s[i] == '0' && !spec->align) {
        spec->fill = "0";
        spec->align = '=';
        i++;
    }
    for (; i < n && s[i] >= '0' && s[i] <= '9'; i++)
        if (spec->width <= LRC_FORMAT_WIDTH_MAX)
            spec->width = spec->width * 10 + (s[i] - '0');
    if (i < n && (s[i] == ',' || s[i] == '_'))
        spec->group = s[i++];
    if (i + 1 < n && s[i] == '.' && s[i + 1] >= '0' && s[i + 1] <= '9')
        for (spec->precision = 0, i++; i < n && s[i] >= '0' && s[i] <= '9'; i++)
            if (spec->precision <= LRC_FORMAT_PRECISION_MAX)
                spec->precision = spec->precision * 10 + (s[i] - '0');
    if (i < n && s[i] && strchr("bcdeEfFgGnosxX%", s[i]))
        spec->type = s[i++];
    return i == n;
}

/* A number from digits; -1 when it is none. */
static int64_t read_index(const char *s, size_t n)
{
    int64_t index = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || index > 100000)
            return -1;
        index = index * 10 + (s[i] - '0');
    }
    return n > 0 ? index : -1;
}

/* The value that a field's name begins with: by position or by name. */
static enum lrc_status find_value(struct lrc_render *r, struct lrc_value *v, const char *name, size_t n,
                                  const struct lrc_args *args, int64_t *next)
{
    struct lrc_dict_entry *entry = NULL;
    struct lrc_value       key;
    const int64_t          index = n == 0 ? (*next)++ : read_index(name, n);
    if (index >= 0 && index < args->n) {
        *v = args->values[index];
        return LRC_STATUS_OK;
    }
    if (index < 0 && args->named) {
        LRC_TRY(lrc_string__borrow(r, &key, name, n));
        LRC_TRY(lrc_dict__find(r, &entry, args->named, key));
    }
    if (!entry)
        return fail_field(r);
    *v = entry->value;
    return LRC_STATUS_OK;
}

/* .name and [item] behind the first name. */
static enum lrc_status follow_path(struct lrc_render *r, struct lrc_value *v, const char *s, size_t n)
{
    struct lrc_value key;
    for (size_t i = 0; i < n;) {
        const int is_item = s[i] == '[';
        size_t    end = i + 1;
        while (end < n && (is_item ? s[end] != ']' : s[end] != '.' && s[end] != '['))
            end++;
        if ((is_item && end == n) || end == i + 1)
            return fail_field(r);
        LRC_TRY(lrc_string__borrow(r, &key, s + i + 1, end - i - 1));
        const int64_t    index = is_item ? read_index(s + i + 1, end - i - 1) : -1;
        struct lrc_value object = *v;
        LRC_TRY(lrc_eval__item(r, v, object, index >= 0 ? lrc_value__int(index) : key));
        i = end + (is_item ? 1 : 0);
    }
    return LRC_STATUS_OK;
}

/* The inside of {...}. */
static enum lrc_status put_field(struct lrc_builder *b, const char *s, size_t n, const struct lrc_args *args,
                                 int64_t *next)
{
    struct lrc_format_spec spec;
    struct lrc_builder     text = { .r = b->r };
    struct lrc_value       v;
    size_t                 n_name = 0, n_path = 0;
    char                   conversion = 0;
    while (n_path < n && s[n_path] != '!' && s[n_path] != ':')
        n_path++;
    while (n_name < n_path && s[n_name] != '.' && s[n_name] != '[')
        n_name++;
    LRC_TRY(find_value(b->r, &v, s, n_name, args, next));
    LRC_TRY(follow_path(b->r, &v, s + n_name, n_path - n_name));
    size_t at = n_path;
    if (at + 1 < n && s[at] == '!') {
        conversion = s[at + 1];
        at += 2;
    }
    if (at < n && s[at] == ':')
        at++;
    else if (at < n)
        return fail_field(b->r);
    if (!read_spec(&spec, s + at, n - at) || (conversion && !strchr("sra", conversion)))
        return fail_field(b->r);
    if (conversion) {
        LRC_TRY(conversion == 's' ? lrc_value__print(&text, v) : lrc_value__repr(&text, v));
        LRC_TRY(lrc_builder__finish(&text, &v));
    }
    return lrc_format__value(b, v, &spec);
}

enum lrc_status lrc_format__braces(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_builder       builder = { .r = r };
    const struct lrc_string *s = call->self.string;
    int64_t                  next = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char c = s->bytes[i];
        if ((c == '{' || c == '}') && i + 1 < s->n && s->bytes[i + 1] == c) {
            lrc_builder__append(&builder, &c, 1);
            i++;
            continue;
        }
        if (c != '{' && c != '}') {
            lrc_builder__append(&builder, &c, 1);
            continue;
        }
        const char *end = c == '{' ? memchr(s->bytes + i, '}', s->n - i) : NULL;
        if (!end)
            return fail_field(r);
        const size_t n = (size_t)(end - s->bytes) - i - 1;
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(put_field(&builder, s->bytes + i + 1, n, call->args, &next));
        i += n + 1;
    }
    return lrc_builder__finish(&builder, out);
}
