#include "backend.h"

#include "common/vec_cpu.h"

enum lrc_status LRC_CPU(add)(struct lrc_stream *stream, const struct lrc_add_args *args,
                             struct lrc_error *err)
{
    (void)stream;
    (void)err;
    const int64_t n_rows = args->out.shape[0];
#pragma omp parallel for schedule(static) if (n_rows * args->out.shape[1] > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n_rows; row++)
        lrc_vec_add_row(&args->a, &args->b, &args->out, row);
    return LRC_STATUS_OK;
}
