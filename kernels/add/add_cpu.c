#include "backend.h"

#include "common/vec_cpu.h"

static void add_row(const struct lrc_add_args *args, int64_t row)
{
    LRC_VEC_BUFFER(a_buffer);
    LRC_VEC_BUFFER(b_buffer);
    LRC_VEC_BUFFER(out_buffer);
    const int64_t dim = args->out.shape[1];
    for (int64_t first = 0; first < dim; first += LRC_VEC_BLOCK) {
        const struct lrc_vec_span at = { row, first, lrc_vec_block(first, dim) };
        const float              *a = lrc_vec_read(&args->a, at, a_buffer);
        const float              *b = lrc_vec_read(&args->b, at, b_buffer);
        float                    *out = lrc_vec_begin(&args->out, at, out_buffer);
#pragma omp simd
        for (int64_t i = 0; i < at.n; i++)
            out[i] = a[i] + b[i];
        lrc_vec_finish(&args->out, at, out);
    }
}

enum lrc_status LRC_CPU(add)(struct lrc_stream *stream, const struct lrc_add_args *args,
                             struct lrc_error *err)
{
    (void)stream;
    (void)err;
    const int64_t n_rows = args->out.shape[0];
#pragma omp parallel for schedule(static) if (n_rows * args->out.shape[1] > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n_rows; row++)
        add_row(args, row);
    return LRC_STATUS_OK;
}
