#include "base/problems.h"

#include <stdarg.h>
#include <stdio.h>

void lrc_problems_add(struct lrc_problems *problems, const char *format, ...)
{
    if (problems->count++ >= LRC_PROBLEMS_SHOWN_MAX)
        return;
    char    line[LRC_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    lrc_buf_puts(&problems->text, line);
    lrc_buf_putc(&problems->text, '\n');
}

enum lrc_status lrc_problems_fail(const struct lrc_problems *problems, enum lrc_status status,
                                  const char *subject, struct lrc_error *err)
{
    if (problems->count == 0)
        return LRC_STATUS_OK;
    return lrc_fail(err, status, "%s: %d problem%s", subject, problems->count,
                    problems->count == 1 ? "" : "s");
}

void lrc_problems_release(struct lrc_problems *problems)
{
    lrc_buf_release(&problems->text);
    problems->count = 0;
}
