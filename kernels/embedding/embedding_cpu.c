#include "backend.h"

#include "common/vec_cpu.h"

/* One row from any float type to any activation type. */
static void copy_row(const struct lrc_tensor *out, int64_t out_row, const struct lrc_tensor *in,
                     int64_t in_row)
{
    LRC_VEC_BUFFER(buffer);
    const int64_t dim = out->shape[1];
    if (out->dtype == in->dtype) {
        memcpy(lrc_vec_at(out, out_row, 0), lrc_vec_at(in, in_row, 0),
               (size_t)dim * lrc_dtype_bytes(out->dtype));
        return;
    }
    for (int64_t first = 0; first < dim; first += LRC_VEC_BLOCK) {
        const int64_t             n = lrc_vec_block(first, dim);
        const struct lrc_vec_span to = { out_row, first, n }, from = { in_row, first, n };
        const float              *values = lrc_vec_read(in, from, buffer);
        if (out->dtype == LRC_DTYPE_F32)
            memcpy(lrc_vec_at(out, out_row, first), values, (size_t)n * sizeof *values);
        else
            lrc_vec_finish(out, to, values);
    }
}

enum lrc_status LRC_CPU(embedding_forward)(struct lrc_stream                       *stream,
                                           const struct lrc_embedding_forward_args *args,
                                           struct lrc_error                        *err)
{
    (void)stream;
    (void)err;
    const struct lrc_weight *weight = args->weight;
    const struct lrc_tensor  table =
        lrc_tensor_2d((void *)(uintptr_t)weight->data, weight->dtype, weight->rows, weight->cols);
    const int64_t n_tokens = args->out.shape[0];
#pragma omp parallel for schedule(static) if (n_tokens * weight->cols > LRC_VEC_PARALLEL_MIN)
    for (int64_t t = 0; t < n_tokens; t++)
        copy_row(&args->out, t, &table, args->tokens[t]);
    return LRC_STATUS_OK;
}

enum { COLUMNS = 64 }; /* of d_weight that one thread owns at a time: four cache lines */

/* A token may occur many times, so threads share columns, not rows: no two write one element, and t is in
 * order. */
static void backward_columns(const struct lrc_embedding_backward_args *args, int64_t first, int64_t n)
{
    LRC_VEC_BUFFER(buffer);
    for (int64_t t = 0; t < args->d_out.shape[0]; t++) {
        const struct lrc_vec_span at = { t, first, n };
        const float              *d_out = lrc_vec_read(&args->d_out, at, buffer);
        float                    *d_weight = lrc_vec_at(&args->d_weight, args->tokens[t], first);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            d_weight[i] += d_out[i];
    }
}

enum lrc_status LRC_CPU(embedding_backward)(struct lrc_stream                        *stream,
                                            const struct lrc_embedding_backward_args *args,
                                            struct lrc_error                         *err)
{
    (void)stream;
    (void)err;
    const int64_t n_tokens = args->d_out.shape[0], dim = args->d_out.shape[1];
#pragma omp parallel for schedule(static) if (n_tokens * dim > LRC_VEC_PARALLEL_MIN)
    for (int64_t first = 0; first < dim; first += COLUMNS)
        backward_columns(args, first, dim - first < COLUMNS ? dim - first : COLUMNS);
    return LRC_STATUS_OK;
}
