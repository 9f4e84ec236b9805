#include "common/vec_cuda.cuh"

/* Forward: a block per row, one pass. A thread keeps the largest logit of its groups so far and the sum of
 * exponentials relative to it, rescaled when a group has a larger one; the block then brings all sums to the
 * row's maximum. 512 threads take 4,096 words a round: 8 rounds for 32k words, 64 for 256k. */
constexpr int FORWARD_THREADS = 512;

struct head_forward {
    struct lrc_vec_view logits;
    const int32_t      *targets;
    float              *logprob, *lse;
    int64_t             n_vocab;
};

/* max -inf stands for "masked words only, so far": the sum is then relative to 0, where they add 0 and NaN
 * shows. */
static __device__ __forceinline__ float origin_of(float max)
{
    return max == -INFINITY ? 0.0f : max;
}

/* The short exponential, because with BF16 logits the long one takes longer than the memory. Its relative
 * error grows with the argument's distance from 0, 2 + 1.2 |x| ulp (CUDA C++ Programming Guide, table of
 * intrinsics); weighed by the term itself that is 2 + 1.2 E|x| ulp, E over the softmax, at most about ln V:
 * below 2e-6 in lse at its worst. */
static __device__ __forceinline__ void add_group(float *max, float *sum, const float x[LRC_VEC_GROUP])
{
    float largest = x[0]; /* over NaN a maximum passes; the sum does not */
#pragma unroll
    for (int i = 1; i < LRC_VEC_GROUP; i++)
        largest = fmaxf(largest, x[i]);
    if (largest > *max) {
        *sum *= __expf(*max - largest); /* from -inf: times 0 */
        *max = largest;
    }
    const float origin = origin_of(*max);
    float       group = 0;
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++)
        group += __expf(x[i] - origin);
    *sum += group;
}

static __global__ void __launch_bounds__(FORWARD_THREADS) cross_entropy_forward_kernel(struct head_forward f)
{
    LRC_SHARED_ARRAY(float, max_scratch, LRC_VEC_WARPS_MAX);
    LRC_SHARED_ARRAY(double, sum_scratch, LRC_VEC_WARPS_MAX);
    const int64_t row = blockIdx.x;
    float         max = -INFINITY, sum = 0;
    for (int64_t col = (int64_t)threadIdx.x * LRC_VEC_GROUP; col < f.n_vocab;
         col += FORWARD_THREADS * LRC_VEC_GROUP) {
        float x[LRC_VEC_GROUP];
        lrc_vec_load(x, f.logits, { row, col, f.n_vocab });
#pragma unroll
        for (int i = 0; i < LRC_VEC_GROUP; i++)
            x[i] = col + i < f.n_vocab ? x[i] : -INFINITY;
        add_group(&max, &sum, x);
    }
    const float row_max = lrc_vec_block_max(max, max_scratch), origin = origin_of(row_max);
    /* a thread without logits has the sum 0, relative to 0, which may lie too far above origin to scale */
    const double mine = max == -INFINITY ? (double)sum : (double)sum * (double)expf(max - origin);
    const double row_sum = lrc_vec_block_sum(mine, sum_scratch);
    if (threadIdx.x != 0)
        return;
    const double lse = (double)origin + log(row_sum);
    const float  target = lrc_cuda_load(lrc_vec_at(f.logits, row, f.targets[row]), f.logits.dtype, 0);
    f.lse[row] = (float)lse;
    f.logprob[row] = (float)((double)target - lse);
}

LRC_CUDA_OP(cross_entropy_forward)(struct lrc_stream *stream,
                                   const struct lrc_cross_entropy_forward_args *args, struct lrc_error *err)
{
    const int64_t             n_rows = args->logits.shape[0], n_vocab = args->logits.shape[1];
    const struct head_forward f = { lrc_vec_view_of(&args->logits, n_rows), args->targets, args->logprob,
                                    args->lse, n_vocab };
    if (n_rows == 0)
        return LRC_STATUS_OK;
    LRC_LAUNCH(cross_entropy_forward_kernel, lrc_vec_grid(n_rows), FORWARD_THREADS, 0, stream, f);
    return LRC_CUDA_LAUNCHED(err, "cross_entropy_forward: (%lld, %lld)", (long long)n_rows,
                             (long long)n_vocab);
}

struct head_backward {
    struct lrc_vec_view logits, d_logits;
    const int32_t      *targets;
    const float        *lse, *coef;
};

static __global__ void __launch_bounds__(LRC_VEC_THREADS)
    cross_entropy_backward_kernel(struct head_backward b, struct lrc_vec_tiles tiles)
{
    const struct lrc_vec_place at = lrc_vec_place_of(tiles);
    if (at.col >= at.n_cols)
        return;
    const float   lse = b.lse[at.row], coef = b.coef[at.row];
    const int64_t target = b.targets[at.row] - at.col; /* within the group, if at all */
    float         x[LRC_VEC_GROUP];
    lrc_vec_load(x, b.logits, at);
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++) {
        const float probability = lrc_vec_exp(x[i] - lse);
        x[i] = i == target ? coef * (1.0f - probability) : -coef * probability;
    }
    lrc_vec_store(b.d_logits, at, x);
}

LRC_CUDA_OP(cross_entropy_backward)(struct lrc_stream *stream,
                                    const struct lrc_cross_entropy_backward_args *args, struct lrc_error *err)
{
    const int64_t              n_rows = args->logits.shape[0], n_vocab = args->logits.shape[1];
    const struct lrc_vec_tiles tiles = lrc_vec_tiles_of(n_rows, n_vocab);
    const struct head_backward b = { lrc_vec_view_of(&args->logits, n_rows),
                                     lrc_vec_view_of(&args->d_logits, n_rows), args->targets, args->lse,
                                     args->coef };
    if (n_rows == 0)
        return LRC_STATUS_OK;
    LRC_LAUNCH(cross_entropy_backward_kernel, lrc_vec_grid(n_rows * tiles.n_chunks), LRC_VEC_THREADS, 0,
               stream, b, tiles);
    return LRC_CUDA_LAUNCHED(err, "cross_entropy_backward: (%lld, %lld)", (long long)n_rows,
                             (long long)n_vocab);
}
