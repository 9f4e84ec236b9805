/* What attention does with the pieces that a product leaves in registers, whichever instruction made it: a
 * warp's 16 rows, as lrc_mma_bf16 has them (common/mma.cuh). For attention_cuda.cu only. */
#ifndef LRC_ATTENTION_FRAGMENT_CUH
#define LRC_ATTENTION_FRAGMENT_CUH

#include "attention/attention_job.cuh"
#include "common/mma.cuh"

constexpr int MMA_WARPS = 4, MMA_THREADS = MMA_WARPS * LRC_CUDA_LANES, MMA_ROWS = 16 * MMA_WARPS;
static_assert(MMA_ROWS == ATTENTION_BLOCK, "four warps hold a block of the table");

template <int N> static __device__ __forceinline__ void mma_zero(float sums[N / 8][4])
{
#pragma unroll
    for (int n = 0; n < N / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            sums[n][i] = 0;
}

/* The warp's (16, COLS) sums, row r times factor[r / 8], to rows below `end`, columns below C. */
template <int COLS>
static __device__ __forceinline__ void mma_store(const struct attention_view &view,
                                                 const float sums[COLS / 8][4], const float factor[2],
                                                 int64_t head, int64_t first, int64_t end, int col,
                                                 const struct attention_job &job)
{
    const int lane = threadIdx.x % LRC_CUDA_LANES, group = lane / 4, pair = lane % 4;
    uint16_t *data = static_cast<uint16_t *>(view.data);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int64_t row = first + group + 8 * half;
        if (row >= end)
            continue;
        uint16_t *to = data + attention_at(view, row, head) + col + 2 * pair;
#pragma unroll
        for (int n = 0; n < COLS / 8; n++) {
            const int   c = col + 8 * n + 2 * pair;
            const float low = sums[n][2 * half] * factor[half], high = sums[n][2 * half + 1] * factor[half];
            if (job.is_aligned && c < job.head_dim) {
                *reinterpret_cast<uint32_t *>(to + 8 * n) = lrc_vec_pack_bf16(low, high);
                continue;
            }
            if (c < job.head_dim)
                to[8 * n] = lrc_cuda_to_bf16(low);
            if (c + 1 < job.head_dim)
                to[8 * n + 1] = lrc_cuda_to_bf16(high);
        }
    }
}

/* Over the four lanes that share a row. */
static __device__ __forceinline__ float mma_row_max(float value)
{
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
    return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
}

static __device__ __forceinline__ float mma_row_sum(float value)
{
    value += __shfl_xor_sync(0xffffffffu, value, 1);
    return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

constexpr float MMA_LOG2E = 1.44269504088896f, MMA_LN2 = 0.693147180559945f;

/* Of N columns from number `first` on those that a row sees, counted from the lane's first of them. */
struct mma_seen {
    int from, to;
};

static __device__ __forceinline__ int mma_clamp(int64_t column, int n)
{
    return column < 0 ? 0 : column < n ? (int)column : n;
}

/* Rows are queries and columns keys, or with TRANSPOSED rows keys and columns queries. */
template <int N, bool TRANSPOSED>
static __device__ __forceinline__ struct mma_seen mma_seen_find(const struct attention_job &job, int64_t row,
                                                                int64_t first)
{
    const int64_t at = TRANSPOSED ? row - job.n_past : row + job.n_past + 1,
                  lane_first = first + threadIdx.x % 4 * 2;
    const int64_t from = TRANSPOSED ? at : job.window > 0 ? at - job.window : lane_first;
    const int64_t to = !TRANSPOSED ? at : job.window > 0 ? at + job.window : lane_first + N;
    return { mma_clamp(from - lane_first, N), mma_clamp(to - lane_first, N) };
}

/* One tile of the softmax: scores of 16 queries from row i0 and N keys from row j0 become weights exp(s -
 * most); `most` and `total` (this lane's part) follow, and the sums so far are to be multiplied by `keep`.
 * most counts in units of log2. MASKED: some query does not see some key; most tiles are seen whole, and
 * comparing costs as much as the rest. */
template <int N, bool MASKED>
static __device__ __forceinline__ void mma_softmax_tile(float scores[N / 8][4], float most[2], float total[2],
                                                        float keep[2], const struct attention_job &job,
                                                        int64_t i0, int64_t j0)
{
    const int   group = threadIdx.x % LRC_CUDA_LANES / 4;
    const float scale = job.scale * MMA_LOG2E;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const struct mma_seen seen = mma_seen_find<N, false>(job, i0 + group + 8 * half, j0);
        float                 now = most[half];
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float     &score = scores[n][2 * half + e];
                const bool sees = !MASKED || (8 * n + e >= seen.from && 8 * n + e < seen.to);
                score = sees ? score * scale : -INFINITY;
                now = fmaxf(now, score);
            }
        now = mma_row_max(now);
        const float base =
            now == -INFINITY ? 0.0f : now; /* a row that sees nothing yet: weights 0, not NaN */
        float sum = 0;
        keep[half] = lrc_exp2(most[half] - base);
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float &score = scores[n][2 * half + e];
                score = lrc_exp2(score - base);
                sum += score;
            }
        most[half] = now;
        total[half] = total[half] * keep[half] + sum;
    }
}

template <int N>
static __device__ __forceinline__ void mma_softmax(float scores[N / 8][4], float most[2], float total[2],
                                                   float keep[2], const struct attention_job &job, int64_t i0,
                                                   int64_t j0)
{
    if (attention_sees_all(job, i0, 16, j0, N))
        mma_softmax_tile<N, false>(scores, most, total, keep, job, i0, j0);
    else
        mma_softmax_tile<N, true>(scores, most, total, keep, job, i0, j0);
}

template <int COLS>
static __device__ __forceinline__ void mma_rescale(float sums[COLS / 8][4], const float keep[2])
{
#pragma unroll
    for (int n = 0; n < COLS / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            sums[n][e] *= keep[e / 2];
}

/* out and lse of the warp's 16 queries from row i0 on, those below `end`. */
template <int COLS>
static __device__ __forceinline__ void mma_forward_store(const float sums[COLS / 8][4], const float most[2],
                                                         float total[2], const struct attention_job &job,
                                                         int64_t head, int64_t i0, int64_t end)
{
    const int lane = threadIdx.x % LRC_CUDA_LANES;
    float     factor[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int64_t i = i0 + lane / 4 + 8 * half;
        total[half] = mma_row_sum(total[half]);
        factor[half] = 1.0f / total[half];
        if (job.lse && lane % 4 == 0 && i < end)
            job.lse[i * job.n_heads + head] = (most[half] + log2f(total[half])) * MMA_LN2;
    }
    mma_store<COLS>(job.out, sums, factor, head, i0, end, 0, job);
}

/* Four words: the left factor (16, 16) of a product, from the sums (16, 8) of two. */
static __device__ __forceinline__ void mma_pack(uint32_t words[4], const float low[4], const float high[4])
{
    words[0] = lrc_vec_pack_bf16(low[0], low[1]);
    words[1] = lrc_vec_pack_bf16(low[2], low[3]);
    words[2] = lrc_vec_pack_bf16(high[0], high[1]);
    words[3] = lrc_vec_pack_bf16(high[2], high[3]);
}

/* Backward, in two steps. s (16, N) becomes p: rows are queries i0 .. and columns keys j0 .., or with
 * TRANSPOSED rows keys j0 .. and columns queries i0 ... lse in units of log2, and delta: of(n, e) of an
 * element's query. */
template <int N, bool TRANSPOSED, bool MASKED, typename Lse>
static __device__ __forceinline__ void mma_probability_tile(float s[N / 8][4], Lse lse,
                                                            const struct attention_job &job, int64_t i0,
                                                            int64_t j0)
{
    const int     group = threadIdx.x % LRC_CUDA_LANES / 4;
    const int64_t row = (TRANSPOSED ? j0 : i0) + group, first = TRANSPOSED ? i0 : j0;
    const float   scale = job.scale * MMA_LOG2E;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const struct mma_seen seen = mma_seen_find<N, TRANSPOSED>(job, row + 8 * half, first);
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int e = 2 * half; e < 2 * half + 2; e++) {
                const bool sees = !MASKED || (8 * n + e % 2 >= seen.from && 8 * n + e % 2 < seen.to);
                s[n][e] = sees ? lrc_exp2(s[n][e] * scale - lse(n, e)) : 0.0f;
            }
    }
}

template <int N, bool TRANSPOSED, typename Lse>
static __device__ __forceinline__ void mma_probability(float s[N / 8][4], Lse lse,
                                                       const struct attention_job &job, int64_t i0,
                                                       int64_t j0)
{
    if (attention_sees_all(job, i0, TRANSPOSED ? N : 16, j0, TRANSPOSED ? 16 : N))
        mma_probability_tile<N, TRANSPOSED, false>(s, lse, job, i0, j0);
    else
        mma_probability_tile<N, TRANSPOSED, true>(s, lse, job, i0, j0);
}

/* d_p becomes d_s, which leaves out the factor `scale`: the results are multiplied by it when they are
 * stored. */
template <int N, typename Delta>
static __device__ __forceinline__ void mma_gradient(const float p[N / 8][4], float d_p[N / 8][4], Delta delta)
{
#pragma unroll
    for (int n = 0; n < N / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            d_p[n][e] = p[n][e] * (d_p[n][e] - delta(n, e));
}

/* The warp's d_s (16 keys, BQ queries) for a kernel that folds them into d_q, rounded as its own product
 * takes it; `to` is that of the block of 64 keys. */
template <int BQ> static __device__ __forceinline__ void mma_keep(uint4 *to, const float d_s[BQ / 8][4])
{
#pragma unroll
    for (int k = 0; k < BQ; k += ATTENTION_GROUP) {
        uint32_t words[4];
        mma_pack(words, d_s[k / 8], d_s[k / 8 + 1]);
        to[k / ATTENTION_GROUP * MMA_THREADS + (int)threadIdx.x % MMA_THREADS] =
            make_uint4(words[0], words[1], words[2], words[3]);
    }
}

/* Whether the key kernel, which takes BQ queries at a time, has kept d_s of query rows i .. of the document's
 * block number `nth` of keys. */
template <int BQ>
static __device__ __forceinline__ bool mma_is_kept(const struct attention_job  &job,
                                                   const struct attention_rows &doc, int64_t nth, int64_t i)
{
    const int64_t               first = doc.doc_first + nth * ATTENTION_BLOCK, left = doc.doc_end - first;
    const struct attention_span queries =
        attention_queries(job, doc, first, left < ATTENTION_BLOCK ? left : ATTENTION_BLOCK);
    return doc.doc_first + (i - doc.doc_first) / BQ * BQ < queries.to;
}

constexpr int MMA_FOLD_STEPS = ATTENTION_BLOCK / ATTENTION_GROUP;

/* The d_s that was kept of the warp's 16 queries from row i on and block number `nth` of the document's keys,
 * a word of four to a step of 16 keys; `slot` is that block's. */
template <int BQ>
static __device__ __forceinline__ void mma_kept_load(uint4                        words[MMA_FOLD_STEPS],
                                                     const struct attention_job  &job,
                                                     const struct attention_rows &doc, int64_t slot,
                                                     int64_t head, int64_t nth, int64_t i)
{
    const bool   is_kept = mma_is_kept<BQ>(job, doc, nth, i);
    const uint4 *kept =
        attention_d_s(job, slot, head, (i - doc.doc_first) / ATTENTION_GROUP) + threadIdx.x % LRC_CUDA_LANES;
#pragma unroll
    for (int step = 0; step < MMA_FOLD_STEPS; step++)
        words[step] = is_kept ? kept[step * LRC_CUDA_LANES] : make_uint4(0, 0, 0, 0);
}

/* Keys by queries become queries by keys, the left factor of a step. */
static __device__ __forceinline__ void mma_kept_turn(uint32_t left[4], uint4 words)
{
    left[0] = lrc_movmatrix_trans(words.x);
    left[1] = lrc_movmatrix_trans(words.z);
    left[2] = lrc_movmatrix_trans(words.y);
    left[3] = lrc_movmatrix_trans(words.w);
}

#endif
