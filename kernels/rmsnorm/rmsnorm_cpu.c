#include "backend.h"

#include "common/vec_cpu.h"

static double row_sum_of_squares(const struct lrc_tensor *x, int64_t row)
{
    LRC_VEC_BUFFER(x_buffer);
    const int64_t dim = x->shape[1];
    double        total = 0;
    for (int64_t first = 0; first < dim; first += LRC_VEC_BLOCK) {
        const struct lrc_vec_span at = { row, first, lrc_vec_block(first, dim) };
        const float              *in = lrc_vec_read(x, at, x_buffer);
        float                     sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < at.n; i++)
            sum += in[i] * in[i];
        total += (double)sum;
    }
    return total;
}

static void forward_row(const struct lrc_rmsnorm_forward_args *args, const struct lrc_tensor *in, int64_t row)
{
    LRC_VEC_BUFFER(x_buffer);
    LRC_VEC_BUFFER(weight_buffer);
    LRC_VEC_BUFFER(out_buffer);
    const int64_t dim = in->shape[1];
    const double  mean = row_sum_of_squares(in, row) / (double)dim;
    const float   rstd = (float)(1.0 / sqrt(mean + (double)args->eps));
    for (int64_t first = 0; first < dim; first += LRC_VEC_BLOCK) {
        const struct lrc_vec_span at = { row, first, lrc_vec_block(first, dim) };
        const float              *x = lrc_vec_read(in, at, x_buffer);
        const float              *weight = lrc_vec_read(&args->weight, at, weight_buffer);
        float                    *out = lrc_vec_begin(&args->out, at, out_buffer);
#pragma omp simd
        for (int64_t i = 0; i < at.n; i++)
            out[i] = x[i] * rstd * weight[i];
        lrc_vec_finish(&args->out, at, out);
    }
    if (args->rstd)
        args->rstd[row] = rstd;
}

enum lrc_status LRC_CPU(rmsnorm_forward)(struct lrc_stream                     *stream,
                                         const struct lrc_rmsnorm_forward_args *args, struct lrc_error *err)
{
    (void)stream;
    (void)err;
    const int64_t n_rows = args->x.shape[0];
    const int     adds = args->addend.data != NULL;
#pragma omp parallel for schedule(static) if (n_rows * args->x.shape[1] > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n_rows; row++) {
        if (adds)
            lrc_vec_add_row(&args->x, &args->addend, &args->sum, row);
        forward_row(args, adds ? &args->sum : &args->x, row);
    }
    return LRC_STATUS_OK;
}

/* sum_i d_out[i] * weight[i] * x[i] */
static double row_product(const struct lrc_rmsnorm_backward_args *args, int64_t row)
{
    LRC_VEC_BUFFER(x_buffer);
    LRC_VEC_BUFFER(weight_buffer);
    LRC_VEC_BUFFER(d_out_buffer);
    const int64_t dim = args->x.shape[1];
    double        total = 0;
    for (int64_t first = 0; first < dim; first += LRC_VEC_BLOCK) {
        const struct lrc_vec_span at = { row, first, lrc_vec_block(first, dim) };
        const float              *x = lrc_vec_read(&args->x, at, x_buffer);
        const float              *weight = lrc_vec_read(&args->weight, at, weight_buffer);
        const float              *d_out = lrc_vec_read(&args->d_out, at, d_out_buffer);
        float                     sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < at.n; i++)
            sum += d_out[i] * weight[i] * x[i];
        total += (double)sum;
    }
    return total;
}

static void backward_row(const struct lrc_rmsnorm_backward_args *args, int64_t row)
{
    LRC_VEC_BUFFER(x_buffer);
    LRC_VEC_BUFFER(weight_buffer);
    LRC_VEC_BUFFER(d_out_buffer);
    LRC_VEC_BUFFER(d_x_buffer);
    LRC_VEC_BUFFER(d_residual_buffer);
    const int64_t dim = args->x.shape[1];
    const float   rstd = args->rstd[row];
    const float   pull = (float)((double)rstd * (double)rstd * row_product(args, row) / (double)dim);
    for (int64_t first = 0; first < dim; first += LRC_VEC_BLOCK) {
        const struct lrc_vec_span at = { row, first, lrc_vec_block(first, dim) };
        const float              *x = lrc_vec_read(&args->x, at, x_buffer);
        const float              *weight = lrc_vec_read(&args->weight, at, weight_buffer);
        const float              *d_out = lrc_vec_read(&args->d_out, at, d_out_buffer);
        float                    *d_x = lrc_vec_begin(&args->d_x, at, d_x_buffer);
        if (args->d_residual.data) {
            const float *d_residual = lrc_vec_read(&args->d_residual, at, d_residual_buffer);
#pragma omp simd
            for (int64_t i = 0; i < at.n; i++)
                d_x[i] = d_residual[i] + rstd * (d_out[i] * weight[i] - x[i] * pull);
        } else {
#pragma omp simd
            for (int64_t i = 0; i < at.n; i++)
                d_x[i] = rstd * (d_out[i] * weight[i] - x[i] * pull);
        }
        lrc_vec_finish(&args->d_x, at, d_x);
    }
}

enum { WEIGHT_COLUMNS = 64 }; /* columns a thread sums at a time: many threads even for a narrow layer */

/* Columns [first, first + n) of d_weight, rows in order, in double: independent of the number of threads. */
static void backward_weight_columns(const struct lrc_rmsnorm_backward_args *args, int64_t first, int64_t n)
{
    LRC_VEC_BUFFER(x_buffer);
    LRC_VEC_BUFFER(d_out_buffer);
    double sum[WEIGHT_COLUMNS] = { 0 };
    for (int64_t row = 0; row < args->x.shape[0]; row++) {
        const struct lrc_vec_span at = { row, first, n };
        const float              *x = lrc_vec_read(&args->x, at, x_buffer);
        const float              *d_out = lrc_vec_read(&args->d_out, at, d_out_buffer);
        const float               rstd = args->rstd[row];
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sum[i] += (double)(d_out[i] * (x[i] * rstd));
    }
    float *d_weight = (float *)args->d_weight.data + first;
    for (int64_t i = 0; i < n; i++)
        d_weight[i] = (float)((double)d_weight[i] + sum[i]);
}

enum lrc_status LRC_CPU(rmsnorm_backward)(struct lrc_stream                      *stream,
                                          const struct lrc_rmsnorm_backward_args *args, struct lrc_error *err)
{
    (void)stream;
    (void)err;
    const int64_t n_rows = args->x.shape[0], dim = args->x.shape[1];
    const int     parallel = n_rows * dim > LRC_VEC_PARALLEL_MIN;
    if (args->d_weight.data) { /* before d_x, which may overwrite d_out */
#pragma omp parallel for schedule(static) if (parallel)
        for (int64_t first = 0; first < dim; first += WEIGHT_COLUMNS)
            backward_weight_columns(args, first, dim - first < WEIGHT_COLUMNS ? dim - first : WEIGHT_COLUMNS);
    }
#pragma omp parallel for schedule(static) if (parallel)
    for (int64_t row = 0; row < n_rows; row++)
        backward_row(args, row);
    return LRC_STATUS_OK;
}
