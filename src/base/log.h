/* Messages to the user. The library never prints: the program installs a sink; without one nothing is shown
 * (lrc_log_set_sink() in lorica.h). */
#ifndef LRC_BASE_LOG_H
#define LRC_BASE_LOG_H

#include "base/status.h"

void lrc_log_info(const char *format, ...) LRC_PRINTF(1, 2);
void lrc_log_warn(const char *format, ...) LRC_PRINTF(1, 2);
void lrc_log_problem(const char *line);

#endif
