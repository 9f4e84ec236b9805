/* Attention on tensor cores: bf16 operands, float32 scores, softmax and sums; probabilities and d_s are
 * rounded to bf16 where they are factors of a product. For attention_cuda.cu only.
 *
 * A block of four warps holds 64 rows (queries, or keys), 16 to a warp, and goes over tiles of the other
 * side. Scores stay in registers: the layout in which a product leaves them is the one in which the next
 * product takes its left factor. Columns are padded with zeros to CP. Sums run in ascending order of rows: no
 * atomics. source: Dao 2023, arXiv:2307.08691, algorithms 1 and 2. */
#ifndef LRC_ATTENTION_MMA_CUH
#define LRC_ATTENTION_MMA_CUH

#include "attention/attention_fragment.cuh"

/* Elements from row to row of a tile: 16 bytes more than the row, so that the 8 rows of an ldmatrix lie in
 * different banks. */
template <int CP> static __host__ __device__ constexpr int mma_stride()
{
    return CP + 8;
}

/* ROWS rows of `head` from `first` on, zeros from row `end` and column C on. Asynchronous where rows allow
 * it: the caller commits and waits. */
template <int ROWS, int CP>
static __device__ __forceinline__ void mma_tile_load(uint16_t *tile, const struct attention_view &view,
                                                     int64_t head, int64_t first, int64_t end,
                                                     const struct attention_job &job)
{
    const uint16_t *data = static_cast<const uint16_t *>(view.data);
    for (int i = (int)threadIdx.x; i < ROWS * CP / 8; i += MMA_THREADS) {
        const int  r = i / (CP / 8), c = i % (CP / 8) * 8;
        uint16_t  *to = tile + r * mma_stride<CP>() + c;
        const bool there = first + r < end && c < job.head_dim;
        if (job.is_aligned) {
            lrc_cp_async_16(to, there ? data + attention_at(view, first + r, head) + c : data,
                            there ? 16 : 0);
            continue;
        }
        for (int e = 0; e < 8; e++)
            to[e] = there && c + e < job.head_dim ? data[attention_at(view, first + r, head) + c + e]
                                                  : (uint16_t)0;
    }
}

/* sums (16, N) += a (16, CP) bᵀ, b (N, CP): both tiles in shared memory, `a` the warp's first row. */
template <int N, int CP>
static __device__ __forceinline__ void mma_scores(float sums[N / 8][4], const uint16_t *a, const uint16_t *b)
{
    const int       lane = threadIdx.x % LRC_CUDA_LANES;
    const uint16_t *a_row = a + lane % 16 * mma_stride<CP>() + lane / 16 * 8;
    const uint16_t *b_row = b + (lane / 16 * 8 + lane % 8) * mma_stride<CP>() + lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < CP; k += 16) {
        uint32_t left[4];
        lrc_ldmatrix_x4(left, a_row + k);
#pragma unroll
        for (int n = 0; n < N; n += 16) {
            uint32_t right[4];
            lrc_ldmatrix_x4(right, b_row + n * mma_stride<CP>() + k);
            lrc_mma_bf16(sums[n / 8], left, right);
            lrc_mma_bf16(sums[n / 8 + 1], left, right + 2);
        }
    }
}

/* sums (16, COLS) += weights (16, K), rounded to bf16, times b (K, CP) from column `col` on. */
template <int K, int COLS, int CP>
static __device__ __forceinline__ void mma_weighted(float sums[COLS / 8][4], const float weights[K / 8][4],
                                                    const uint16_t *b, int col)
{
    const int       lane = threadIdx.x % LRC_CUDA_LANES;
    const uint16_t *b_row = b + (lane / 8 % 2 * 8 + lane % 8) * mma_stride<CP>() + lane / 16 * 8 + col;
#pragma unroll
    for (int k = 0; k < K; k += 16) {
        uint32_t left[4];
        mma_pack(left, weights[k / 8], weights[k / 8 + 1]);
#pragma unroll
        for (int n = 0; n < COLS; n += 16) {
            uint32_t right[4];
            lrc_ldmatrix_x4_trans(right, b_row + k * mma_stride<CP>() + n);
            lrc_mma_bf16(sums[n / 8], left, right);
            lrc_mma_bf16(sums[n / 8 + 1], left, right + 2);
        }
    }
}

template <int CP, int BK> static constexpr size_t mma_forward_shared()
{
    return sizeof(uint16_t) * (size_t)(MMA_ROWS + 2 * BK) * (size_t)mma_stride<CP>();
}

/* grid: (n_blocks, H). While scores are made the values of the tile arrive, and while values are added the
 * next keys. */
template <int CP, int BK>
static __global__ void __launch_bounds__(MMA_THREADS) attention_mma_forward_kernel(struct attention_job job)
{
    LRC_SHARED(uint16_t, q);
    uint16_t                   *k = q + MMA_ROWS * mma_stride<CP>(), *v = k + BK * mma_stride<CP>();
    const struct attention_rows b =
        attention_rows_find(job, job.n_blocks - 1 - blockIdx.x); /* long ones first */
    if (b.n == 0)
        return;
    const int64_t head = blockIdx.y, kv_head = head / (job.n_heads / job.n_kv_heads),
                  end = (int64_t)b.first + b.n;
    const int                   row = (int)threadIdx.x / LRC_CUDA_LANES * 16;
    const struct attention_span keys = attention_keys(job, b, b.first, b.n);
    float out[CP / 8][4], most[2] = { -INFINITY, -INFINITY }, total[2] = { 0, 0 }, keep[2];
    mma_zero<CP>(out);
    mma_tile_load<MMA_ROWS, CP>(q, job.q, head, b.first, end, job);
    mma_tile_load<BK, CP>(k, job.k, kv_head, keys.from, keys.to, job);
    lrc_cp_async_commit();
    mma_tile_load<BK, CP>(v, job.v, kv_head, keys.from, keys.to, job);
    lrc_cp_async_commit();
    for (int64_t j = keys.from; j < keys.to; j += BK) {
        float scores[BK / 8][4];
        mma_zero<BK>(scores);
        lrc_cp_async_wait<1>();
        __syncthreads();
        mma_scores<BK, CP>(scores, q + row * mma_stride<CP>(), k);
        __syncthreads();
        if (j + BK < keys.to)
            mma_tile_load<BK, CP>(k, job.k, kv_head, j + BK, keys.to, job);
        lrc_cp_async_commit();
        mma_softmax<BK>(scores, most, total, keep, job, b.first + row, j);
        mma_rescale<CP>(out, keep);
        lrc_cp_async_wait<1>();
        __syncthreads();
        mma_weighted<BK, CP, CP>(out, scores, v, 0);
        __syncthreads();
        if (j + BK < keys.to)
            mma_tile_load<BK, CP>(v, job.v, kv_head, j + BK, keys.to, job);
        lrc_cp_async_commit();
    }
    mma_forward_store<CP>(out, most, total, job, head, b.first + row, end);
}

/* ---- backward ----
 *
 * STAGES 2: the next tiles arrive while this one is worked on; 1: where shared memory has no room for two. */

template <int CP, int BK, int STAGES> static constexpr size_t mma_query_shared()
{
    return sizeof(uint16_t) * (size_t)(2 * MMA_ROWS + (STAGES + 1) * BK) * (size_t)mma_stride<CP>();
}

/* d_q. The values of a tile are needed for d_p only, so that one buffer does for them; the keys have STAGES.
 * grid: (n_blocks, H) */
template <int CP, int BK, int STAGES>
static __global__ void __launch_bounds__(MMA_THREADS) attention_mma_query_kernel(struct attention_job job)
{
    constexpr int TILE = BK * mma_stride<CP>();
    LRC_SHARED(uint16_t, q);
    uint16_t *d_out = q + MMA_ROWS * mma_stride<CP>(), *v = d_out + MMA_ROWS * mma_stride<CP>(),
             *k = v + TILE;
    const struct attention_rows b = attention_rows_find(job, job.n_blocks - 1 - blockIdx.x);
    if (b.n == 0)
        return;
    const int64_t head = blockIdx.y, kv_head = head / (job.n_heads / job.n_kv_heads),
                  end = (int64_t)b.first + b.n;
    const int lane = threadIdx.x % LRC_CUDA_LANES, row = (int)threadIdx.x / LRC_CUDA_LANES * 16;
    const struct attention_span keys = attention_keys(job, b, b.first, b.n);
    float                       d_q[CP / 8][4], lse[2], delta[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int64_t i = b.first + row + lane / 4 + 8 * half;
        lse[half] = i < end ? job.lse[i * job.n_heads + head] * MMA_LOG2E : INFINITY; /* p = 0 */
        delta[half] = i < end ? job.delta[i * job.n_heads + head] : 0.0f;
    }
    const auto lse_of = [&](int, int e) { return lse[e / 2]; };
    const auto delta_of = [&](int, int e) { return delta[e / 2]; };
    mma_zero<CP>(d_q);
    mma_tile_load<MMA_ROWS, CP>(q, job.q, head, b.first, end, job);
    mma_tile_load<MMA_ROWS, CP>(d_out, job.d_out, head, b.first, end, job);
    mma_tile_load<BK, CP>(k, job.k, kv_head, keys.from, keys.to, job);
    mma_tile_load<BK, CP>(v, job.v, kv_head, keys.from, keys.to, job);
    lrc_cp_async_commit();
    int now = 0;
    for (int64_t j = keys.from; j < keys.to; j += BK) {
        const bool is_more = j + BK < keys.to;
        float      s[BK / 8][4], d_p[BK / 8][4];
        mma_zero<BK>(s);
        mma_zero<BK>(d_p);
        lrc_cp_async_wait<0>();
        __syncthreads();
        if (STAGES > 1 && is_more)
            mma_tile_load<BK, CP>(k + (1 - now) * TILE, job.k, kv_head, j + BK, keys.to, job);
        mma_scores<BK, CP>(s, q + row * mma_stride<CP>(), k + now * TILE);
        mma_scores<BK, CP>(d_p, d_out + row * mma_stride<CP>(), v);
        __syncthreads();
        if (is_more)
            mma_tile_load<BK, CP>(v, job.v, kv_head, j + BK, keys.to, job);
        mma_probability<BK, false>(s, lse_of, job, b.first + row, j);
        mma_gradient<BK>(s, d_p, delta_of);
        mma_weighted<BK, CP, CP>(d_q, d_p, k + now * TILE, 0);
        if (STAGES == 1 && is_more) {
            __syncthreads();
            mma_tile_load<BK, CP>(k, job.k, kv_head, j + BK, keys.to, job);
        }
        lrc_cp_async_commit();
        now = STAGES > 1 ? 1 - now : 0;
    }
    const float factor[2] = { job.scale, job.scale };
    mma_store<CP>(job.d_q, d_q, factor, head, b.first + row, end, 0, job);
}

/* Tiles of queries with what their softmax left: lse and delta follow the elements. */
template <int CP, int BQ> static __host__ __device__ constexpr int mma_key_stage()
{
    return 2 * BQ * mma_stride<CP>() + 2 * BQ * (int)(sizeof(float) / sizeof(uint16_t));
}

template <int CP, int BQ, int STAGES> static constexpr size_t mma_key_shared()
{
    return sizeof(uint16_t) * ((size_t)(2 * MMA_ROWS) * (size_t)mma_stride<CP>() +
                               (size_t)STAGES * (size_t)mma_key_stage<CP, BQ>());
}

/* Rows beyond `end` are zero, lse and delta too: what they give, exp2(0) times zeros, is nothing. */
template <int CP, int BQ>
static __device__ __forceinline__ void mma_key_load(uint16_t *stage, int64_t head, int64_t first, int64_t end,
                                                    const struct attention_job &job)
{
    float *lse = reinterpret_cast<float *>(stage + 2 * BQ * mma_stride<CP>()), *delta = lse + BQ;
    mma_tile_load<BQ, CP>(stage, job.q, head, first, end, job);
    mma_tile_load<BQ, CP>(stage + BQ * mma_stride<CP>(), job.d_out, head, first, end, job);
    for (int r = (int)threadIdx.x; r < BQ; r += MMA_THREADS) {
        const bool    there = first + r < end;
        const int64_t at = there ? (first + r) * job.n_heads + head : 0;
        lrc_cp_async_4(lse + r, job.lse + at, there ? 4 : 0);
        lrc_cp_async_4(delta + r, job.delta + at, there ? 4 : 0);
    }
}

/* d_k and d_v. Scores are made transposed, keys by queries. A block owns COLS columns of the results: of wide
 * heads each part makes the scores anew, since both sums would not fit in registers. grid: (n_blocks, K, CP /
 * COLS) */
template <int CP, int COLS, int BQ, int STAGES>
static __global__ void __launch_bounds__(MMA_THREADS) attention_mma_key_kernel(struct attention_job job)
{
    LRC_SHARED(uint16_t, k);
    uint16_t *v = k + MMA_ROWS * mma_stride<CP>(), *stages = v + MMA_ROWS * mma_stride<CP>();
    const struct attention_rows b = attention_rows_find(job, blockIdx.x);
    if (b.n == 0)
        return;
    const int64_t kv_head = blockIdx.y, n_group = job.n_heads / job.n_kv_heads, end = (int64_t)b.first + b.n;
    const int     lane = threadIdx.x % LRC_CUDA_LANES, row = (int)threadIdx.x / LRC_CUDA_LANES * 16;
    const int     col = (int)blockIdx.z * COLS;
    const struct attention_span queries = attention_queries(job, b, b.first, b.n);
    float                       d_k[COLS / 8][4], d_v[COLS / 8][4];
    mma_zero<COLS>(d_k);
    mma_zero<COLS>(d_v);
    mma_tile_load<MMA_ROWS, CP>(k, job.k, kv_head, b.first, end, job);
    mma_tile_load<MMA_ROWS, CP>(v, job.v, kv_head, b.first, end, job);
    mma_key_load<CP, BQ>(stages, kv_head * n_group, queries.from, queries.to, job);
    lrc_cp_async_commit();
    int now = 0;
    for (int64_t head = kv_head * n_group, i = queries.from; head < (kv_head + 1) * n_group;) {
        const bool      is_last_tile = i + BQ >= queries.to;
        const int64_t   next_head = head + is_last_tile, next = is_last_tile ? queries.from : i + BQ;
        const bool      is_more = next_head < (kv_head + 1) * n_group;
        const uint16_t *q = stages + now * mma_key_stage<CP, BQ>(), *d_out = q + BQ * mma_stride<CP>();
        const float *lse = reinterpret_cast<const float *>(d_out + BQ * mma_stride<CP>()), *delta = lse + BQ;
        const auto   lse_of = [&](int n, int e) { return lse[8 * n + 2 * (lane % 4) + e % 2] * MMA_LOG2E; };
        const auto   delta_of = [&](int n, int e) { return delta[8 * n + 2 * (lane % 4) + e % 2]; };
        float        s[BQ / 8][4], d_p[BQ / 8][4];
        mma_zero<BQ>(s);
        mma_zero<BQ>(d_p);
        lrc_cp_async_wait<0>();
        __syncthreads();
        if (STAGES > 1 && is_more)
            mma_key_load<CP, BQ>(stages + (1 - now) * mma_key_stage<CP, BQ>(), next_head, next, queries.to,
                                 job);
        mma_scores<BQ, CP>(s, k + row * mma_stride<CP>(), q);
        mma_scores<BQ, CP>(d_p, v + row * mma_stride<CP>(), d_out);
        mma_probability<BQ, true>(s, lse_of, job, i, b.first + row);
        mma_gradient<BQ>(s, d_p, delta_of);
        if (job.d_s && col == 0)
            mma_keep<BQ>(attention_d_s(job, blockIdx.x, head, (i - b.doc_first) / ATTENTION_GROUP), d_p);
        mma_weighted<BQ, COLS, CP>(d_v, s, d_out, col);
        mma_weighted<BQ, COLS, CP>(d_k, d_p, q, col);
        if (STAGES == 1 && is_more) {
            __syncthreads();
            mma_key_load<CP, BQ>(stages, next_head, next, queries.to, job);
        }
        lrc_cp_async_commit();
        head = next_head;
        i = next;
        now = STAGES > 1 ? 1 - now : 0;
    }
    const float one[2] = { 1, 1 }, factor[2] = { job.scale, job.scale };
    mma_store<COLS>(job.d_k, d_k, factor, kv_head, b.first + row, end, col, job);
    mma_store<COLS>(job.d_v, d_v, one, kv_head, b.first + row, end, col, job);
}

template <int CP> static constexpr size_t mma_fold_shared()
{
    return sizeof(uint16_t) * (size_t)(2 * ATTENTION_BLOCK) * (size_t)mma_stride<CP>();
}

/* d_q from the d_s that the key kernel kept: one product where attention_mma_query_kernel makes three. Keys
 * come a block at a time, the next one while this one is worked on; a lane's factors come straight from
 * memory, and turn from keys by queries into queries by keys. grid: (n_blocks, H) */
template <int CP, int BQ>
static __global__ void __launch_bounds__(MMA_THREADS) attention_mma_fold_kernel(struct attention_job job)
{
    constexpr int TILE = ATTENTION_BLOCK * mma_stride<CP>();
    LRC_SHARED(uint16_t, k);
    const int64_t               slot = job.n_blocks - 1 - blockIdx.x;
    const struct attention_rows b = attention_rows_find(job, slot);
    if (b.n == 0)
        return;
    const int64_t head = blockIdx.y, kv_head = head / (job.n_heads / job.n_kv_heads),
                  end = (int64_t)b.first + b.n;
    const int     lane = threadIdx.x % LRC_CUDA_LANES, row = (int)threadIdx.x / LRC_CUDA_LANES * 16;
    const int64_t own = (b.first - b.doc_first) / ATTENTION_BLOCK, i = b.first + row;
    const int64_t from = (attention_keys(job, b, b.first, b.n).from - b.doc_first) / ATTENTION_BLOCK;
    float         d_q[CP / 8][4];
    mma_zero<CP>(d_q);
    mma_tile_load<ATTENTION_BLOCK, CP>(k, job.k, kv_head, b.doc_first + from * ATTENTION_BLOCK, end, job);
    lrc_cp_async_commit();
    for (int64_t nth = from; nth <= own; nth++) {
        const int now = (int)(nth - from) % 2;
        uint4     words[MMA_FOLD_STEPS];
        mma_kept_load<BQ>(words, job, b, slot - own + nth, head, nth, i);
        lrc_cp_async_wait<0>();
        __syncthreads();
        if (nth < own)
            mma_tile_load<ATTENTION_BLOCK, CP>(k + (1 - now) * TILE, job.k, kv_head,
                                               b.doc_first + (nth + 1) * ATTENTION_BLOCK, end, job);
        lrc_cp_async_commit();
#pragma unroll
        for (int step = 0; step < MMA_FOLD_STEPS; step++) {
            uint32_t left[4];
            mma_kept_turn(left, words[step]);
            const uint16_t *k_row =
                k + now * TILE + (step * 16 + lane / 8 % 2 * 8 + lane % 8) * mma_stride<CP>() + lane / 16 * 8;
#pragma unroll
            for (int n = 0; n < CP; n += 16) {
                uint32_t right[4];
                lrc_ldmatrix_x4_trans(right, k_row + n);
                lrc_mma_bf16(d_q[n / 8], left, right);
                lrc_mma_bf16(d_q[n / 8 + 1], left, right + 2);
            }
        }
    }
    const float factor[2] = { job.scale, job.scale };
    mma_store<CP>(job.d_q, d_q, factor, head, b.first + row, end, 0, job);
}

#endif
