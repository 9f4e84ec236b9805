/* Messages to the user. The library never prints: the program installs a sink; without one nothing is shown.
 */
#ifndef LRC_BASE_LOG_H
#define LRC_BASE_LOG_H

#include "base/status.h"

enum lrc_log_level { LRC_LOG_INFO, LRC_LOG_WARN };

typedef void lrc_log_sink(enum lrc_log_level level, const char *line); /* line has no newline */

void lrc_log_set_sink(lrc_log_sink *sink); /* NULL: silent */
void lrc_log_info(const char *format, ...) LRC_PRINTF(1, 2);
void lrc_log_warn(const char *format, ...) LRC_PRINTF(1, 2);

#endif
