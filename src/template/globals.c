/* Functions every template can call. */
#include "template/strings.h"
#include <stdio.h>
#include <string.h>

/* strftime_now() on the 26th of July 2024, the day Llama 3.1's template falls back to, unless the variable
 * strftime_now gives another: a rendering never depends on the clock. */
static int day_of_week(int year, int month, int day) /* 0: Sunday; Sakamoto's method */
{
    static const int shift[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
    year -= month < 3;
    return (year + year / 4 - year / 100 + year / 400 + shift[month - 1] + day) % 7;
}

static int day_of_year(int year, int month, int day)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return before[month - 1] + day + (leap && month > 2);
}

static int put_date_field(char text[64], char field, const int d[6])
{
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    const char *month = months[d[1] - 1], *day = days[day_of_week(d[0], d[1], d[2])];
    const int hour12 = d[3] % 12 == 0 ? 12 : d[3] % 12;
    switch (field) {
    case 'Y':
        return snprintf(text, 64, "%04d", d[0]);
    case 'y':
        return snprintf(text, 64, "%02d", d[0] % 100);
    case 'm':
        return snprintf(text, 64, "%02d", d[1]);
    case 'd':
        return snprintf(text, 64, "%02d", d[2]);
    case 'e':
        return snprintf(text, 64, "%2d", d[2]);
    case 'H':
        return snprintf(text, 64, "%02d", d[3]);
    case 'I':
        return snprintf(text, 64, "%02d", hour12);
    case 'M':
        return snprintf(text, 64, "%02d", d[4]);
    case 'S':
        return snprintf(text, 64, "%02d", d[5]);
    case 'j':
        return snprintf(text, 64, "%03d", day_of_year(d[0], d[1], d[2]));
    case 'p':
        return snprintf(text, 64, "%s", d[3] < 12 ? "AM" : "PM");
    case 'B':
        return snprintf(text, 64, "%s", month);
    case 'b':
    case 'h':
        return snprintf(text, 64, "%.3s", month);
    case 'A':
        return snprintf(text, 64, "%s", day);
    case 'a':
        return snprintf(text, 64, "%.3s", day);
    case 'w':
        return snprintf(text, 64, "%d", day_of_week(d[0], d[1], d[2]));
    case 'F':
        return snprintf(text, 64, "%04d-%02d-%02d", d[0], d[1], d[2]);
    case 'T':
        return snprintf(text, 64, "%02d:%02d:%02d", d[3], d[4], d[5]);
    case 'D':
        return snprintf(text, 64, "%02d/%02d/%02d", d[1], d[2], d[0] % 100);
    case 'n':
        return snprintf(text, 64, "\n");
    case 't':
        return snprintf(text, 64, "\t");
    case '%':
        return snprintf(text, 64, "%%");
    default:
        return -1;
    }
}

static enum lrc_status global_strftime_now(struct lrc_render *r, struct lrc_value *out,
                                           const struct lrc_call *call)
{
    struct lrc_builder builder = {.r = r};
    const struct lrc_string *format = NULL;
    LRC_TRY(lrc_argument__string(r, &format, call->arg[0], "strftime_now"));
    for (size_t i = 0; format && i < format->n && !builder.failed; i++) {
        char text[64];
        if (format->bytes[i] != '%' || i + 1 == format->n) {
            lrc_builder__append(&builder, format->bytes + i, 1);
            continue;
        }
        const int bare = format->bytes[i + 1] == '-' && i + 2 < format->n; /* %-d: without the leading zero */
        i += bare ? 2 : 1;
        const int n = put_date_field(text, format->bytes[i], r->date);
        if (n < 0)
            return lrc_render__fail(r, LRC_STATUS_DATA, "strftime_now: want a field we have, got '%%%c'",
                                    format->bytes[i]);
        const size_t skip = bare ? strspn(text, "0 ") : 0;
        lrc_builder__puts(&builder, text + (skip > 0 && !text[skip] ? skip - 1 : skip));
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
    {{"namespace", "*", 0, global_namespace}},
    {{"dict", "*", 0, global_dict}},
    {{"range", "start stop step", 1, global_range}},
    {{"raise_exception", "message", 1, global_raise_exception}},
    {{"strftime_now", "format", 1, global_strftime_now}},
};

const struct lrc_global *lrc_global__find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++)
        if (strlen(globals[i].entry.name) == n && memcmp(globals[i].entry.name, name, n) == 0)
            return &globals[i];
    return NULL;
}
