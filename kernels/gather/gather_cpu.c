#include "backend.h"

#include "common/vec_cpu.h"

enum lrc_status LRC_CPU(gather_forward)(struct lrc_stream *stream, const struct lrc_gather_forward_args *args,
                                        struct lrc_error *err)
{
    (void)stream;
    (void)err;
    const int64_t n = args->out.shape[0], dim = args->x.shape[1];
    const size_t  row_bytes = (size_t)dim * lrc_dtype_bytes(args->x.dtype);
#pragma omp parallel for schedule(static) if (n * dim > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n; row++)
        if (row_bytes > 0 && args->index[row] >= 0)
            memcpy(lrc_vec_at(&args->out, row, 0), lrc_vec_at(&args->x, args->index[row], 0), row_bytes);
        else if (row_bytes > 0)
            memset(lrc_vec_at(&args->out, row, 0), 0, row_bytes);
    return LRC_STATUS_OK;
}

static void scatter_row(const struct lrc_gather_backward_args *args, int64_t row)
{
    LRC_VEC_BUFFER(buffer);
    const int64_t dim = args->d_x.shape[1];
    for (int64_t first = 0; first < dim; first += LRC_VEC_BLOCK) {
        const int64_t             n = lrc_vec_block(first, dim);
        const struct lrc_vec_span from = { row, first, n }, to = { args->index[row], first, n };
        const float              *d_out = lrc_vec_read(&args->d_out, from, buffer);
        if (args->d_x.dtype == LRC_DTYPE_F32)
            memcpy(lrc_vec_at(&args->d_x, to.row, first), d_out, (size_t)n * sizeof *d_out);
        else
            lrc_vec_finish(&args->d_x, to, d_out);
    }
}

enum lrc_status LRC_CPU(gather_backward)(struct lrc_stream                     *stream,
                                         const struct lrc_gather_backward_args *args, struct lrc_error *err)
{
    (void)stream;
    (void)err;
    const int64_t n = args->d_out.shape[0], n_rows = args->d_x.shape[0], dim = args->d_x.shape[1];
    const size_t  row_bytes = (size_t)dim * lrc_dtype_bytes(args->d_x.dtype);
#pragma omp parallel for schedule(static) if (n_rows * dim > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n_rows; row++)
        if (row_bytes > 0)
            memset(lrc_vec_at(&args->d_x, row, 0), 0, row_bytes);
#pragma omp parallel for schedule(static) if (n * dim > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n; row++)
        if (args->index[row] >= 0)
            scatter_row(args, row);
    return LRC_STATUS_OK;
}
