/* A table of ops as people read it, and the same as JSON: time, work, and the part of what the machine
 * reached in the same run. */
#ifndef LRC_CLI_OP_TABLE_H
#define LRC_CLI_OP_TABLE_H

#include "base/buf.h"
#include "cli/op_times.h"

struct lrc_op_peaks {
    double gflops;        /* of products */
    double copy_gb_per_s; /* 0: not known */
};

/* times: of n_steps steps; those without a call are left out. */
void lrc_op_table_text(struct lrc_buf *out, const struct lrc_op_time *times, int n, int64_t n_steps,
                       const struct lrc_op_peaks *peaks);
/* [{"name", "ms", "calls", "share", "flops" or "bytes", "rate_fraction"}, ...] */
void lrc_op_table_json(struct lrc_buf *out, const struct lrc_op_time *times, int n, int64_t n_steps,
                       const struct lrc_op_peaks *peaks);

#endif
