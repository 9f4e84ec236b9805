#include "backend.h"

#include "common/vec_cpu.h"

static float logit(const struct lrc_tensor *logits, int64_t row, int64_t col)
{
    float buffer[1];
    return lrc_vec_load(lrc_vec_at(logits, row, col), logits->dtype, 1, buffer)[0];
}

/* Floats ordered as signed integers: an integer maximum vectorises without a promise that there is no NaN.
 * Its own inverse. A positive NaN is the largest, a negative one the smallest and shows in the sum. */
static int32_t ordered(int32_t bits)
{
    return bits ^ ((bits >> 31) & INT32_MAX);
}

static float block_max(const float *x, int64_t n)
{
    int32_t max = INT32_MIN;
#pragma omp simd reduction(max : max)
    for (int64_t i = 0; i < n; i++) {
        const int32_t key = ordered((int32_t)lrc_vec_bits(x[i]));
        max = key > max ? key : max;
    }
    return lrc_vec_float((uint32_t)ordered(max));
}

static float block_sum_exp(const float *x, int64_t n, float max)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += lrc_vec_exp(x[i] - max);
    return sum;
}

/* log sum_v exp(logits[row,v]) in one pass: `total` is relative to the largest logit so far and is rescaled
 * when a block has a larger one. Blocks are summed in float32, total in double. A NaN is never larger, but
 * makes the sum NaN. */
static double row_lse(const struct lrc_tensor *logits, int64_t row)
{
    LRC_VEC_BUFFER(buffer);
    const int64_t n_vocab = logits->shape[1];
    float         max = -INFINITY;
    double        total = 0;
    for (int64_t first = 0; first < n_vocab; first += LRC_VEC_BLOCK) {
        const struct lrc_vec_span at = { row, first, lrc_vec_block(first, n_vocab) };
        const float              *x = lrc_vec_read(logits, at, buffer);
        const float               largest = block_max(x, at.n);
        if (largest > max) {
            total *= exp((double)max - (double)largest);
            max = largest;
        } else if (largest == -INFINITY && max == -INFINITY) {
            continue; /* masked words only, so far: -inf - -inf is no exponent */
        }
        total += (double)block_sum_exp(x, at.n, max);
    }
    return (double)max + log(total);
}

enum lrc_status LRC_CPU(cross_entropy_forward)(struct lrc_stream                           *stream,
                                               const struct lrc_cross_entropy_forward_args *args,
                                               struct lrc_error                            *err)
{
    (void)stream;
    (void)err;
    const struct lrc_tensor *logits = &args->logits;
    const int64_t            n_rows = logits->shape[0];
#pragma omp parallel for schedule(static) if (n_rows * logits->shape[1] > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n_rows; row++) {
        const double lse = row_lse(logits, row);
        args->lse[row] = (float)lse;
        args->logprob[row] = (float)((double)logit(logits, row, args->targets[row]) - lse);
    }
    return LRC_STATUS_OK;
}

static void backward_row(const struct lrc_cross_entropy_backward_args *args, int64_t row)
{
    LRC_VEC_BUFFER(logits_buffer);
    LRC_VEC_BUFFER(d_logits_buffer);
    const int64_t             n_vocab = args->logits.shape[1];
    const struct lrc_vec_span target = { row, args->targets[row], 1 };
    const float               lse = args->lse[row], coef = args->coef[row];
    /* Read before d_logits, which may be logits, is written. */
    const float probability = lrc_vec_exp(logit(&args->logits, row, target.first) - lse);
    for (int64_t first = 0; first < n_vocab; first += LRC_VEC_BLOCK) {
        const struct lrc_vec_span at = { row, first, lrc_vec_block(first, n_vocab) };
        const float              *x = lrc_vec_read(&args->logits, at, logits_buffer);
        float                    *d_x = lrc_vec_begin(&args->d_logits, at, d_logits_buffer);
#pragma omp simd
        for (int64_t i = 0; i < at.n; i++)
            d_x[i] = -coef * lrc_vec_exp(x[i] - lse);
        lrc_vec_finish(&args->d_logits, at, d_x);
    }
    float *d_target = lrc_vec_begin(&args->d_logits, target, d_logits_buffer);
    *d_target = coef * (1.0f - probability);
    lrc_vec_finish(&args->d_logits, target, d_target);
}

enum lrc_status LRC_CPU(cross_entropy_backward)(struct lrc_stream                            *stream,
                                                const struct lrc_cross_entropy_backward_args *args,
                                                struct lrc_error                             *err)
{
    (void)stream;
    (void)err;
    const int64_t n_rows = args->logits.shape[0];
#pragma omp parallel for schedule(static) if (n_rows * args->logits.shape[1] > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n_rows; row++)
        backward_row(args, row);
    return LRC_STATUS_OK;
}
