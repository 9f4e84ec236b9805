/* What one call of an op must compute and move, counted from its arguments. */
#ifndef LRC_CLI_OP_WORK_H
#define LRC_CLI_OP_WORK_H

#include "backend.h"

struct lrc_op_work {
    double flops; /* of products; 0 for an op that only reads and writes */
    double bytes; /* each argument once; 0 where flops are counted */
};

/* linear: 2 per weight element, row and direction (forward; d_x; d_weight), the adapter's factors besides.
 * attention: 4 (forward) or 8 (backward) per visible pair, head and element; recomputed scores do not count.
 * Every other op: the bytes of what it reads and writes. */
#define LRC_OP(op) struct lrc_op_work lrc_op_work_##op(const struct lrc_##op##_args *args);
#include "ops.def"

#endif
