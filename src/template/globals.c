/* Functions every template can call. */
#include "template/strings.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

/* strftime_now() on the 26th of July 2024, the day Llama 3.1's template falls back to, unless the variable
 * strftime_now gives another: a rendering never depends on the clock. */
static int day_of_week(int year, int month, int day) /* 0: Sunday; Sakamoto's method */
{
    static const int shift[] = { 0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4 };
    year -= month < 3;
    return (year + year / 4 - year / 100 + year / 400 + shift[month - 1] + day) % 7;
}

static int day_of_year(int year, int month, int day)
{
    static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    const int        leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return before[month - 1] + day + (leap && month > 2);
}

enum { DATE_FIELD_MAX = 128 };

/* One field with its flag, as the C library writes it in the C locale; 0 when it is none we have. Time
 * zones are empty, as of a date without one. */
static int put_date_field(char text[DATE_FIELD_MAX], char flag, char field, const int d[6])
{
    static const char fields[] = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyYzZ%";
    const struct tm   date = { .tm_year = d[0] - 1900,
                               .tm_mon = d[1] - 1,
                               .tm_mday = d[2],
                               .tm_hour = d[3],
                               .tm_min = d[4],
                               .tm_sec = d[5],
                               .tm_wday = day_of_week(d[0], d[1], d[2]),
                               .tm_yday = day_of_year(d[0], d[1], d[2]) - 1 };
    const char        format[] = { '%', flag ? flag : field, flag ? field : '\0', '\0' };
    text[0] = '\0';
    if (!field || !strchr(fields, field))
        return 0;
    if (field != 'z' && field != 'Z')
        (void)strftime(text, DATE_FIELD_MAX, format, &date);
    return 1;
}

static enum lrc_status global_strftime_now(struct lrc_render *r, struct lrc_value *out,
                                           const struct lrc_call *call)
{
    struct lrc_builder       builder = { .r = r };
    const struct lrc_string *format = NULL;
    LRC_TRY(lrc_argument__string(r, &format, call->arg[0], "strftime_now"));
    for (size_t i = 0; format && i < format->n && !builder.failed; i++) {
        char text[DATE_FIELD_MAX];
        if (format->bytes[i] != '%' || i + 1 == format->n) {
            lrc_builder__append(&builder, format->bytes + i, 1);
            continue;
        }
        const char sign = format->bytes[i + 1]; /* %-d: without the leading zero */
        const int  flagged = i + 2 < format->n && sign && strchr("-_0^#", sign);
        i += flagged ? 2 : 1;
        if (!put_date_field(text, flagged ? sign : '\0', format->bytes[i], r->date))
            return lrc_render__fail(r, LRC_STATUS_DATA, "strftime_now: want a field we have, got '%%%c'",
                                    format->bytes[i] ? format->bytes[i] : '?');
        lrc_builder__puts(&builder, text);
    }
    return lrc_builder__finish(&builder, out);
}

static enum lrc_status global_raise_exception(struct lrc_render *r, struct lrc_value *out,
                                              const struct lrc_call *call)
{
    const struct lrc_string *message;
    (void)out;
    LRC_TRY(lrc_value__to_string(r, &message, call->arg[0]));
    return lrc_render__fail(r, LRC_STATUS_DATA, "the template raises: %.*s",
                            (int)(message->n < 800 ? message->n : 800), message->bytes);
}

static enum lrc_status global_range(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int64_t start = 0, stop = 0, step = 1;
    LRC_TRY(lrc_argument__int(r, &stop, call->arg[0], "range"));
    if (call->arg[1].kind != LRC_VALUE_ABSENT) {
        start = stop;
        LRC_TRY(lrc_argument__int(r, &stop, call->arg[1], "range"));
    }
    LRC_TRY(lrc_argument__int(r, &step, call->arg[2], "range"));
    if (step == 0)
        return lrc_render__fail(r, LRC_STATUS_DATA, "range: want a step that is not zero, got zero");
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
        if (out->list->n == LRC_RENDER_RANGE_MAX)
            return lrc_render__fail(r, LRC_STATUS_NUMERIC, "range: want at most %d elements, got more",
                                    (int)LRC_RENDER_RANGE_MAX);
        LRC_TRY(lrc_list__append(r, out->list, lrc_value__int(i)));
        if (__builtin_add_overflow(i, step, &i))
            break;
    }
    return lrc_render__charge(r, out->list->n / 16);
}

static enum lrc_status fill_dict(struct lrc_render *r, struct lrc_dict *dict, const struct lrc_args *args)
{
    struct lrc_list pairs;
    for (int64_t i = 0; i < args->n; i++) {
        if (args->values[i].kind == LRC_VALUE_DICT) {
            const struct lrc_dict *from = args->values[i].dict;
            for (int64_t k = 0; k < from->n; k++)
                LRC_TRY(lrc_dict__set(r, dict, from->entries[k].key, from->entries[k].value));
            continue;
        }
        LRC_TRY(lrc_value__iterate(r, &pairs, args->values[i]));
        for (int64_t k = 0; k < pairs.n; k++) {
            struct lrc_list pair;
            LRC_TRY(lrc_value__iterate(r, &pair, pairs.items[k]));
            if (pair.n != 2)
                return lrc_render__fail(r, LRC_STATUS_DATA,
                                        "dict: want pairs of key and value, got %lld values",
                                        (long long)pair.n);
            LRC_TRY(lrc_dict__set(r, dict, pair.items[0], pair.items[1]));
        }
    }
    for (int64_t i = 0; args->named && i < args->named->n; i++)
        LRC_TRY(lrc_dict__set(r, dict, args->named->entries[i].key, args->named->entries[i].value));
    return LRC_STATUS_OK;
}

static enum lrc_status global_dict(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    LRC_TRY(lrc_dict__new(r, out));
    return fill_dict(r, out->dict, call->args);
}

static enum lrc_status global_namespace(struct lrc_render *r, struct lrc_value *out,
                                        const struct lrc_call *call)
{
    LRC_TRY(global_dict(r, out, call));
    out->kind = LRC_VALUE_NAMESPACE;
    return LRC_STATUS_OK;
}

static const struct lrc_global globals[] = {
    { { "namespace", "*", 0, global_namespace } },
    { { "dict", "*", 0, global_dict } },
    { { "range", "start stop step", 1, global_range } },
    { { "raise_exception", "message", 1, global_raise_exception } },
    { { "strftime_now", "format", 1, global_strftime_now } },
};

const struct lrc_global *lrc_global__find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++)
        if (strlen(globals[i].entry.name) == n && memcmp(globals[i].entry.name, name, n) == 0)
            return &globals[i];
    return NULL;
}
