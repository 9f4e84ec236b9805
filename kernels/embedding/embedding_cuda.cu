#include "common/copy_rows.cuh"

LRC_CUDA_OP(embedding_forward)(struct lrc_stream *stream, const struct lrc_embedding_forward_args *args,
                               struct lrc_error *err)
{
    const struct lrc_weight  *weight = args->weight;
    const struct lrc_tensor   table = { const_cast<void *>(weight->data),
                                        weight->dtype,
                                        2,
                                        { weight->rows, weight->cols, 0, 0 },
                                        { weight->cols, 1, 0, 0 } };
    const int64_t             n_tokens = args->out.shape[0];
    const struct lrc_row_copy copy = { lrc_vec_view_of(&args->out, n_tokens),
                                       lrc_vec_view_of(&table, weight->rows), args->tokens,
                                       LRC_COPY_ROWS_PICK_IN, lrc_vec_tiles_of(n_tokens, weight->cols) };
    return lrc_copy_rows(stream, "embedding_forward", &copy, err);
}

constexpr int BACKWARD_WARPS = 16;
constexpr int BACKWARD_THREADS = BACKWARD_WARPS * LRC_CUDA_LANES; /* 4,096 columns at once */

struct embedding_sum {
    struct lrc_vec_view d_out, d_weight;
    const int32_t      *tokens;
    int64_t             n_tokens, dim;
};

/* found[w], bit b: tokens[base + 32 w + b] == mine. Every thread of the block takes part. */
static __device__ __forceinline__ void
find_occurrences(uint32_t found[BACKWARD_WARPS], const struct embedding_sum &b, int64_t base, int32_t mine)
{
    const int64_t  t = base + threadIdx.x;
    const uint32_t votes = __ballot_sync(0xffffffffu, t < b.n_tokens && b.tokens[t] == mine);
    __syncthreads(); /* the occurrences before these may still be read */
    if (threadIdx.x % LRC_CUDA_LANES == 0)
        found[threadIdx.x / LRC_CUDA_LANES] = votes;
    __syncthreads();
}

/* sum += d_out[t, at.col ..] for the occurrences of tokens base .. base + BACKWARD_THREADS, in order. */
static __device__ __forceinline__ void add_occurrences(float                       sum[LRC_VEC_GROUP],
                                                       const struct embedding_sum &b,
                                                       const uint32_t found[BACKWARD_WARPS], int64_t base,
                                                       struct lrc_vec_place at)
{
    for (int warp = 0; warp < BACKWARD_WARPS; warp++)
        for (uint32_t left = found[warp]; left != 0; left &= left - 1) {
            float d_out[LRC_VEC_GROUP];
            at.row = base + warp * LRC_CUDA_LANES + __ffs((int)left) - 1;
            lrc_vec_load(d_out, b.d_out, at);
#pragma unroll
            for (int i = 0; i < LRC_VEC_GROUP; i++)
                sum[i] += d_out[i];
        }
}

/* 1 when a token before blockIdx.x is `mine`: that one's block does the work. */
static __device__ __forceinline__ int is_repetition(uint32_t                    found[BACKWARD_WARPS],
                                                    const struct embedding_sum &b, int32_t mine)
{
    const int64_t first = blockIdx.x;
    for (int64_t base = 0; base < first; base += BACKWARD_THREADS) {
        find_occurrences(found, b, base, mine);
        for (int warp = 0; warp < BACKWARD_WARPS; warp++) {
            const int64_t before = first - base - warp * LRC_CUDA_LANES; /* bits of earlier tokens */
            if (before > 0 && (found[warp] & (before < LRC_CUDA_LANES ? (1u << before) - 1 : 0xffffffffu)))
                return 1;
        }
    }
    return 0;
}

/* One block per position; the block of a token's first occurrence adds all of them, in order of position, in
 * registers: no row of d_weight has two writers, and the sum has the CPU's order and bits. Looking at the
 * tokens costs T / 512 rounds a block, of tokens that lie in the second-level cache. A sort would need a
 * workspace; a block per range of vocabulary rows would leave most blocks without work. */
static __global__ void __launch_bounds__(BACKWARD_THREADS) embedding_backward_kernel(struct embedding_sum b)
{
    LRC_SHARED_ARRAY(uint32_t, found, BACKWARD_WARPS);
    const int32_t mine = b.tokens[blockIdx.x];
    if (is_repetition(found, b, mine))
        return;
    for (int64_t col = 0; col < b.dim; col += BACKWARD_THREADS * LRC_VEC_GROUP) {
        const struct lrc_vec_place at = { mine, col + threadIdx.x * LRC_VEC_GROUP, b.dim };
        float                      sum[LRC_VEC_GROUP];
        if (at.col < b.dim)
            lrc_vec_load(sum, b.d_weight, at);
        for (int64_t base = blockIdx.x; base < b.n_tokens; base += BACKWARD_THREADS) {
            find_occurrences(found, b, base, mine);
            if (at.col < b.dim)
                add_occurrences(sum, b, found, base, at);
        }
        if (at.col < b.dim)
            lrc_vec_store(b.d_weight, at, sum);
    }
}

LRC_CUDA_OP(embedding_backward)(struct lrc_stream *stream, const struct lrc_embedding_backward_args *args,
                                struct lrc_error *err)
{
    const int64_t              n_tokens = args->d_out.shape[0], dim = args->d_out.shape[1];
    const struct embedding_sum b = { lrc_vec_view_of(&args->d_out, n_tokens),
                                     lrc_vec_view_of(&args->d_weight, args->d_weight.shape[0]), args->tokens,
                                     n_tokens, dim };
    if (n_tokens == 0 || dim == 0)
        return LRC_STATUS_OK;
    LRC_LAUNCH(embedding_backward_kernel, lrc_vec_grid(n_tokens), BACKWARD_THREADS, 0, stream, b);
    return LRC_CUDA_LAUNCHED(err, "embedding_backward: (%lld, %lld)", (long long)n_tokens, (long long)dim);
}
