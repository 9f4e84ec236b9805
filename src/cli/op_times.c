#include "cli/op_times.h"

#include "base/machine.h"
#include "cli/op_work.h"
#include <stdlib.h>

enum op_number {
#define LRC_OP(op) OP_##op,
#include "ops.def"
    OP_COUNT
};

static const struct lrc_backend *measured;
static struct lrc_op_time        op_times[OP_COUNT] = {
#define LRC_OP(op) { .name = #op },
#include "ops.def"
};

#define LRC_OP(op)                                                                                           \
    static enum lrc_status timed_##op(struct lrc_stream *stream, const struct lrc_##op##_args *args,         \
                                      struct lrc_error *err)                                                 \
    {                                                                                                        \
        const double    started = lrc_machine_seconds();                                                     \
        enum lrc_status status = measured->op(stream, args, err);                                            \
        if (status == LRC_STATUS_OK)                                                                         \
            status = measured->synchronize(stream, err);                                                     \
        op_times[OP_##op].seconds += lrc_machine_seconds() - started;                                        \
        op_times[OP_##op].n_calls++;                                                                         \
        const struct lrc_op_work work = lrc_op_work_##op(args);                                              \
        op_times[OP_##op].flops += work.flops;                                                               \
        op_times[OP_##op].bytes += work.bytes;                                                               \
        return status;                                                                                       \
    }
#include "ops.def"

const struct lrc_backend *lrc_op_times_start(const struct lrc_backend *backend)
{
    static struct lrc_backend timed;
    measured = backend;
    timed = *backend;
    timed.graph_begin = NULL; /* what is replayed cannot be timed op by op */
#define LRC_OP(op) timed.op = timed_##op;
#include "ops.def"
    lrc_op_times_clear();
    return &timed;
}

void lrc_op_times_clear(void)
{
    for (int i = 0; i < OP_COUNT; i++)
        op_times[i] = (struct lrc_op_time){ .name = op_times[i].name };
}

static int longer_first(const void *a, const void *b)
{
    const double x = ((const struct lrc_op_time *)a)->seconds, y = ((const struct lrc_op_time *)b)->seconds;
    return (x < y) - (x > y);
}

int lrc_op_times_list(struct lrc_op_time *times, int max)
{
    const int n = OP_COUNT < max ? OP_COUNT : max;
    for (int i = 0; i < n; i++)
        times[i] = op_times[i];
    qsort(times, (size_t)n, sizeof *times, longer_first);
    return n;
}
