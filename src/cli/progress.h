/* What the user sees on stderr while a command works: log lines, and the state of a long job.
 *
 * On a terminal the state is one line, drawn over itself; elsewhere a plain line now and then. */
#ifndef LRC_CLI_PROGRESS_H
#define LRC_CLI_PROGRESS_H

#include <stdint.h>

enum lrc_loudness { LRC_LOUD, LRC_QUIET };

/* Installs the log sink. LRC_QUIET leaves warnings and errors only. */
void lrc_progress_init(enum lrc_loudness loudness);

/* done of total steps (or rows, tensors ...); total <= 0 when unknown. A rate or loss that is not finite, or
 * a rate of 0, is left out. The time left is from the speed since the first update. */
void lrc_progress_update(int64_t done, int64_t total, double tokens_per_second, double loss);
/* Rows read, by the bytes of their files; bytes_all 0 when unknown. */
void lrc_progress_rows(int64_t n_rows, uint64_t bytes, uint64_t bytes_all);
/* Leaves the last state on a line of its own; the next update starts a new job. */
void lrc_progress_end(void);

/* "lorica: <message>" on stderr, bytes that could steer a terminal replaced by '?'. */
void lrc_progress_error(const char *message);
/* Lines as they are, with the same care. */
void lrc_progress_lines(const char *text);

#endif
