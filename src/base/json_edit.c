/* A key of an object in a text, every other byte of which stays. */
#include "base/json.h"

#include <string.h>

/* Past a JSON value or string that starts at text; the text has been parsed before. */
static const char *skip_string(const char *text)
{
    for (text++; *text && *text != '"'; text++)
        if (*text == '\\' && text[1])
            text++;
    return *text ? text + 1 : text;
}

static const char *skip_value(const char *text)
{
    int depth = 0;
    do {
        if (*text == '"') {
            text = skip_string(text);
            continue;
        }
        if ((*text == ',' || *text == '}' || *text == ']') && depth == 0)
            return text;
        depth += (*text == '{' || *text == '[') - (*text == '}' || *text == ']');
        text++;
    } while (*text);
    return text;
}

static const char *skip_space(const char *text)
{
    return text + strspn(text, " \t\r\n");
}

void lrc_json_cut_key(struct lrc_buf *out, const char *text, const char *key)
{
    const size_t n_key = strlen(key);
    const char  *from = text, *to = text, *comma = NULL;
    for (const char *member = skip_space(skip_space(text) + 1); *member == '"';) {
        const char *end = skip_value(skip_string(member));
        const char *next = *end == ',' ? skip_space(end + 1) : end;
        if (strncmp(member + 1, key, n_key) == 0 && member[1 + n_key] == '"') {
            from = *end == ',' || !comma ? member : comma;
            for (to = next; *end != ',' && to > member && strchr(" \t\r\n", to[-1]);)
                to--;
            break;
        }
        comma = end;
        member = next;
    }
    lrc_buf_append(out, text, (size_t)(from - text));
    lrc_buf_puts(out, to);
}

void lrc_json_add_key(struct lrc_buf *out, const char *text, const char *key, const char *value)
{
    const char *end = strrchr(text, '}'), *last = end;
    while (last > text && strchr(" \t\r\n", last[-1]))
        last--;
    lrc_buf_append(out, text, (size_t)(last - text));
    lrc_buf_printf(out, "%s\n  \"%s\": %s\n%s", last[-1] == '{' ? "" : ",", key, value, end);
}
