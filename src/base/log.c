#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static lrc_log_sink *current_sink;

void lrc_log_set_sink(lrc_log_sink *sink)
{
    current_sink = sink;
}

#define EMIT(level, format)                                                                                  \
    do {                                                                                                     \
        if (!current_sink)                                                                                   \
            return;                                                                                          \
        char    line[LRC_ERROR_MESSAGE_MAX];                                                                 \
        va_list args;                                                                                        \
        va_start(args, format);                                                                              \
        (void)vsnprintf(line, sizeof line, format, args);                                                    \
        va_end(args);                                                                                        \
        current_sink(level, line);                                                                           \
    } while (0)

void lrc_log_info(const char *format, ...)
{
    EMIT(LRC_LOG_INFO, format);
}

void lrc_log_warn(const char *format, ...)
{
    EMIT(LRC_LOG_WARN, format);
}

void lrc_log_problem(const char *line)
{
    if (current_sink)
        current_sink(LRC_LOG_PROBLEM, line);
}
