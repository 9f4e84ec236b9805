#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lrc_status lrc_fail(struct lrc_error *err, enum lrc_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->status = status;
        (void)vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return status;
}

enum lrc_status lrc_fail_errno(struct lrc_error *err, const char *format, ...)
{
    const int             code = errno;
    const enum lrc_status status = code == ENOSPC || code == EDQUOT ? LRC_STATUS_NOSPACE : LRC_STATUS_IO;

    if (err) {
        va_list args;
        va_start(args, format);
        err->status = status;
        const int n = vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof err->message)
            (void)snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", strerror(code));
    }
    return status;
}

const char *lrc_status_text(enum lrc_status status)
{
    switch (status) {
#define XX(name, text, exit_code) case LRC_STATUS_##name: return text;
        LRC_STATUS_MAP(XX)
#undef XX
    }
    return "unknown status";
}

int lrc_status_exit_code(enum lrc_status status)
{
    switch (status) {
#define XX(name, text, exit_code) case LRC_STATUS_##name: return exit_code;
        LRC_STATUS_MAP(XX)
#undef XX
    }
    return 1;
}

_Noreturn void lrc_assert_failed(const char *expression, const char *file, int line)
{
    (void)fprintf(stderr, "lorica: internal error at %s:%d: %s\n", file, line, expression);
    abort();
}
