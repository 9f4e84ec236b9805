#include "backend.h"

#include "common/vec_cpu.h"

enum {
    CHUNKS_MAX = 256,      /* partial sums of one tensor, on the stack: the order depends on its size only */
    CHUNK_ELEMS_MIN = 4096 /* a chunk shorter than this is not worth its bookkeeping */
};

static double sum_of_squares(const float *x, int64_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static double tensor_sum_of_squares(const struct lrc_tensor *grad)
{
    double        partial[CHUNKS_MAX], total = 0;
    const float  *x = grad->data;
    const int64_t n = lrc_tensor_elems(grad), even = (n + CHUNKS_MAX - 1) / CHUNKS_MAX;
    const int64_t chunk = even > CHUNK_ELEMS_MIN ? even : CHUNK_ELEMS_MIN, n_chunks = (n + chunk - 1) / chunk;
#pragma omp parallel for schedule(static) if (n > LRC_VEC_PARALLEL_MIN)
    for (int64_t c = 0; c < n_chunks; c++) {
        const int64_t left = n - c * chunk;
        partial[c] = sum_of_squares(x + c * chunk, left < chunk ? left : chunk);
    }
    for (int64_t c = 0; c < n_chunks; c++)
        total += partial[c];
    return total;
}

enum lrc_status LRC_CPU(grad_norm)(struct lrc_stream *stream, const struct lrc_grad_norm_args *args,
                                   struct lrc_error *err)
{
    (void)stream;
    (void)err;
    double total = 0;
    for (int64_t i = 0; i < args->n_grads; i++)
        total += tensor_sum_of_squares(&args->grads[i]);
    const double norm = sqrt(total), ratio = (double)args->max_norm / (norm + 1e-6);
    *args->norm = (float)norm;
    /* `ratio > 1` is false for NaN, so that a NaN norm gives a NaN factor */
    *args->clip = args->max_norm == 0.0f || ratio > 1.0 ? 1.0f : (float)ratio;
    return LRC_STATUS_OK;
}
