/* Time spent in each op: a backend that measures another one. */
#ifndef LRC_CLI_OP_TIMES_H
#define LRC_CLI_OP_TIMES_H

#include "backend.h"

/* The same ops as `backend`, each waited for and timed: on a device the sum is more than they take together.
 * One at a time; not for several threads. */
const struct lrc_backend *lrc_op_times_start(const struct lrc_backend *backend);
void                      lrc_op_times_clear(void);

struct lrc_op_time {
    const char *name;
    double      seconds;
    int64_t     n_calls;
};
/* Since the last clear, longest first; returns the number of ops. */
int lrc_op_times_list(struct lrc_op_time *times, int max);

#endif
