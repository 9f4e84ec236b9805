/* Attention on the tensor cores of compute capability 9.0 (common/wgmma.cuh): what attention_mma.cuh does,
 * for heads of up to 128 whose rows can be moved 16 bytes at a time. For attention_cuda.cu only.
 *
 * A block of two warp groups holds 128 rows of a document, 64 to a group: two blocks of the table. Both work
 * on the same tiles of the other side, and while one has its scores under way through exponentials the
 * other's products run. Tiles come one ahead, so that one barrier a tile is enough: before it everybody has
 * waited for the products that read the tile which is overwritten after it. source: Shah et al. 2024,
 * arXiv:2407.08608. */
#ifndef LRC_ATTENTION_WGMMA_CUH
#define LRC_ATTENTION_WGMMA_CUH

#include "attention/attention_fragment.cuh"
#include "common/wgmma.cuh"

constexpr int WGMMA_GROUPS = 2, WGMMA_THREADS = WGMMA_GROUPS * LRC_WGMMA_THREADS,
              WGMMA_ROWS = WGMMA_GROUPS * LRC_WGMMA_ROWS;
constexpr int WGMMA_KEYS = 128;   /* of a tile, forward */
constexpr int WGMMA_QUERIES = 64; /* of a tile, backward */

/* Two tiles of queries and of d_out, and what their softmax left: lse and delta follow the elements. */
template <int CP> static __host__ __device__ constexpr int wgmma_key_stage()
{
    return 2 * WGMMA_QUERIES * CP;
}

#if LRC_WGMMA_HERE

/* ROWS rows of `head` from `first` on, zeros from row `end` and column C on; the caller commits, waits and
 * publishes. A thread has a column of 16-byte pieces, whose place in a row is then the same in all its rows.
 */
template <int ROWS, int CP, int THREADS>
static __device__ __forceinline__ void wgmma_tile_load(uint16_t *tile, const struct attention_view &view,
                                                       int64_t head, int64_t first, int64_t end,
                                                       const struct attention_job &job)
{
    constexpr int PIECES = CP / 8, STEP = THREADS / PIECES;
    static_assert(STEP % 8 == 0, "rows of a thread change places alike");
    const int       c = (int)threadIdx.x % PIECES * 8, r = (int)threadIdx.x / PIECES;
    const int64_t   n_there = c < job.head_dim ? end - first : 0;
    const uint16_t *from = static_cast<const uint16_t *>(view.data) + attention_at(view, first + r, head) + c;
    uint16_t       *to = tile + lrc_wgmma_at<ROWS>(r, c);
#pragma unroll
    for (int i = 0; i < ROWS; i += STEP) {
        lrc_cp_async_16(to + i * LRC_WGMMA_PANEL, from, i + r < n_there ? 16 : 0);
        from += STEP * view.row;
    }
}

/* sums (64, N) = a (64, CP) bᵀ, b (N, CP): rows of two tiles, the group's from `row` on. */
template <int N, int CP, int ROWS>
static __device__ __forceinline__ void wgmma_scores(float sums[N / 8][4], const uint16_t *a, int row,
                                                    const uint16_t *b)
{
#pragma unroll
    for (int k = 0; k < CP; k += 16)
        lrc_wgmma_tiles<N, LRC_WGMMA_K_MAJOR>(sums, lrc_wgmma_k_major<ROWS>(a, row, k),
                                              lrc_wgmma_k_major<N>(b, 0, k), k == 0);
}

/* sums (64, CP) += weights (64, K) b (K, CP). */
template <int K, int CP>
static __device__ __forceinline__ void wgmma_weighted(float          sums[CP / 8][4],
                                                      const uint32_t weights[K / 16][4], const uint16_t *b)
{
#pragma unroll
    for (int k = 0; k < K; k += 16)
        lrc_wgmma_words<CP, LRC_WGMMA_MN_MAJOR>(sums, weights[k / 16], lrc_wgmma_mn_major<K>(b, k), false);
}

template <int N>
static __device__ __forceinline__ void wgmma_pack(uint32_t words[N / 16][4], const float sums[N / 8][4])
{
#pragma unroll
    for (int k = 0; k < N / 16; k++)
        mma_pack(words[k], sums[2 * k], sums[2 * k + 1]);
}

/* What was asked for in the last turn has arrived, for everybody and for products. */
static __device__ __forceinline__ void wgmma_tiles_arrived()
{
    lrc_cp_async_wait<0>();
    lrc_wgmma_publish();
    __syncthreads();
}

/* Rows beyond `end` are zero, lse and delta too: what they give, exp2(0) times zeros, is nothing. */
template <int CP>
static __device__ __forceinline__ void wgmma_key_load(uint16_t *stage, float *lse, int64_t head,
                                                      int64_t first, int64_t end,
                                                      const struct attention_job &job)
{
    constexpr int BQ = WGMMA_QUERIES;
    wgmma_tile_load<BQ, CP, WGMMA_THREADS>(stage, job.q, head, first, end, job);
    wgmma_tile_load<BQ, CP, WGMMA_THREADS>(stage + BQ * CP, job.d_out, head, first, end, job);
    for (int i = (int)threadIdx.x; i < 2 * BQ; i += WGMMA_THREADS) {
        const bool    there = first + i % BQ < end;
        const float  *from = i < BQ ? job.lse : job.delta;
        const int64_t at = there ? (first + i % BQ) * job.n_heads + head : 0;
        lrc_cp_async_4(lse + i, from + at, there ? 4 : 0);
    }
}

/* The group's scores and d_p of a tile of queries are under way: two groups of products. */
template <int CP>
static __device__ __forceinline__ void wgmma_key_scores(float s[WGMMA_QUERIES / 8][4],
                                                        float d_p[WGMMA_QUERIES / 8][4], const uint16_t *k,
                                                        const uint16_t *v, int row, const uint16_t *stage)
{
    lrc_wgmma_fence();
    wgmma_scores<WGMMA_QUERIES, CP, WGMMA_ROWS>(s, k, row, stage);
    lrc_wgmma_commit();
    wgmma_scores<WGMMA_QUERIES, CP, WGMMA_ROWS>(d_p, v, row, stage + WGMMA_QUERIES * CP);
    lrc_wgmma_commit();
}

/* What they add to d_k and d_v. While p is made the products of d_p run, and while d_s is made those of d_v.
 * The warp's keys begin with row j0, the tile's queries with i; d_s goes to `kept` unless that is NULL. */
template <int CP>
static __device__ __forceinline__ void wgmma_key_add(float d_k[CP / 8][4], float d_v[CP / 8][4],
                                                     float s[WGMMA_QUERIES / 8][4],
                                                     float d_p[WGMMA_QUERIES / 8][4], const uint16_t *stage,
                                                     const float *lse, uint4 *kept,
                                                     const struct attention_job &job, int64_t i, int64_t j0)
{
    constexpr int   BQ = WGMMA_QUERIES;
    const int       first = threadIdx.x % 4 * 2;
    const uint16_t *q = stage, *d_out = stage + BQ * CP;
    const float    *delta = lse + BQ;
    const auto      lse_of = [&](int n, int e) { return lse[8 * n + first + e % 2] * MMA_LOG2E; };
    const auto      delta_of = [&](int n, int e) { return delta[8 * n + first + e % 2]; };
    uint32_t        p_words[BQ / 16][4], d_s_words[BQ / 16][4];
    lrc_wgmma_wait<1>();
    lrc_wgmma_hold<BQ / 8>(s);
    mma_probability<BQ, true>(s, lse_of, job, i, j0);
    wgmma_pack<BQ>(p_words, s);
    lrc_wgmma_fence();
    wgmma_weighted<BQ, CP>(d_v, p_words, d_out);
    lrc_wgmma_commit();
    lrc_wgmma_wait<1>();
    lrc_wgmma_hold<BQ / 8>(d_p);
    mma_gradient<BQ>(s, d_p, delta_of);
    if (kept)
        mma_keep<BQ>(kept, d_p);
    wgmma_pack<BQ>(d_s_words, d_p);
    lrc_wgmma_fence();
    wgmma_weighted<BQ, CP>(d_k, d_s_words, q);
    lrc_wgmma_commit();
    lrc_wgmma_wait<0>();
    lrc_wgmma_hold<CP / 8>(d_k);
    lrc_wgmma_hold<CP / 8>(d_v);
    lrc_wgmma_hold<BQ / 16>(p_words);
    lrc_wgmma_hold<BQ / 16>(d_s_words);
}

#endif

template <int CP> static constexpr size_t wgmma_forward_shared()
{
    return sizeof(uint16_t) * (size_t)(WGMMA_ROWS + 4 * WGMMA_KEYS) * CP;
}

/* While a tile's scores go through the softmax, the values of the tile before are added. grid: (blocks of
 * WGMMA_ROWS, H) */
template <int CP>
static __global__ void __launch_bounds__(WGMMA_THREADS, 1)
    attention_wgmma_forward_kernel(struct attention_job job)
{
#if LRC_WGMMA_HERE
    constexpr int BK = WGMMA_KEYS, TILE = BK * CP;
    LRC_SHARED_TILES(uint16_t, q);
    uint16_t                   *k = q + WGMMA_ROWS * CP, *v = k + 2 * TILE;
    const struct attention_rows b =
        attention_rows_find<WGMMA_ROWS>(job, gridDim.x - 1 - blockIdx.x); /* long ones first */
    if (b.n == 0)
        return;
    const int64_t head = blockIdx.y, kv_head = head / (job.n_heads / job.n_kv_heads),
                  end = (int64_t)b.first + b.n;
    const int                   row = (int)threadIdx.x / LRC_WGMMA_THREADS * LRC_WGMMA_ROWS; /* the group's */
    const int64_t               i0 = b.first + (int)threadIdx.x / LRC_CUDA_LANES * 16;       /* the warp's */
    const struct attention_span keys = attention_keys(job, b, b.first, b.n);
    float out[CP / 8][4], scores[BK / 8][4], most[2] = { -INFINITY, -INFINITY }, total[2] = { 0, 0 }, keep[2];
    uint32_t weights[BK / 16][4];
    mma_zero<CP>(out);
    wgmma_tile_load<WGMMA_ROWS, CP, WGMMA_THREADS>(q, job.q, head, b.first, end, job);
    wgmma_tile_load<BK, CP, WGMMA_THREADS>(k, job.k, kv_head, keys.from, keys.to, job);
    lrc_cp_async_commit();
    wgmma_tiles_arrived();
    wgmma_tile_load<BK, CP, WGMMA_THREADS>(v, job.v, kv_head, keys.from, keys.to, job);
    wgmma_tile_load<BK, CP, WGMMA_THREADS>(k + TILE, job.k, kv_head, keys.from + BK, keys.to, job);
    lrc_cp_async_commit();
    lrc_wgmma_hold<CP / 8>(out);
    lrc_wgmma_fence();
    wgmma_scores<BK, CP, WGMMA_ROWS>(scores, q, row, k);
    lrc_wgmma_commit();
    lrc_wgmma_commit(); /* no values before the first tile's */
    int now = 0;
    for (int64_t j = keys.from;; j += BK) {
        lrc_wgmma_wait<1>();
        lrc_wgmma_hold<BK / 8>(scores);
        mma_softmax<BK>(scores, most, total, keep, job, i0, j);
        lrc_wgmma_wait<0>();
        lrc_wgmma_hold<CP / 8>(out);
        lrc_wgmma_hold<BK / 16>(weights);
        mma_rescale<CP>(out, keep);
        wgmma_pack<BK>(weights, scores);
        wgmma_tiles_arrived();
        if (j + BK >= keys.to)
            break;
        lrc_wgmma_fence();
        wgmma_scores<BK, CP, WGMMA_ROWS>(scores, q, row, k + (1 - now) * TILE);
        lrc_wgmma_commit();
        wgmma_weighted<BK, CP>(out, weights, v + now * TILE);
        lrc_wgmma_commit();
        wgmma_tile_load<BK, CP, WGMMA_THREADS>(v + (1 - now) * TILE, job.v, kv_head, j + BK, keys.to, job);
        wgmma_tile_load<BK, CP, WGMMA_THREADS>(k + now * TILE, job.k, kv_head, j + 2 * BK, keys.to, job);
        lrc_cp_async_commit();
        now = 1 - now;
    }
    lrc_wgmma_fence();
    wgmma_weighted<BK, CP>(out, weights, v + now * TILE);
    lrc_wgmma_commit();
    lrc_wgmma_wait<0>();
    lrc_wgmma_hold<CP / 8>(out);
    mma_forward_store<CP>(out, most, total, job, head, i0, end);
#endif
}

template <int CP> static constexpr size_t wgmma_key_shared()
{
    return sizeof(uint16_t) * (size_t)(2 * WGMMA_ROWS * CP + 2 * wgmma_key_stage<CP>()) +
           sizeof(float) * 4 * WGMMA_QUERIES;
}

/* d_k and d_v; scores are made transposed, keys by queries. grid: (blocks of WGMMA_ROWS, K) */
template <int CP>
static __global__ void __launch_bounds__(WGMMA_THREADS, 1)
    attention_wgmma_key_kernel(struct attention_job job)
{
#if LRC_WGMMA_HERE
    constexpr int BQ = WGMMA_QUERIES, STAGE = wgmma_key_stage<CP>();
    LRC_SHARED_TILES(uint16_t, k);
    uint16_t                   *v = k + WGMMA_ROWS * CP, *stages = v + WGMMA_ROWS * CP;
    float                      *statistics = reinterpret_cast<float *>(stages + 2 * STAGE);
    const struct attention_rows b = attention_rows_find<WGMMA_ROWS>(job, blockIdx.x);
    if (b.n == 0)
        return;
    const int64_t kv_head = blockIdx.y, n_group = job.n_heads / job.n_kv_heads, end = (int64_t)b.first + b.n;
    const int     row = (int)threadIdx.x / LRC_WGMMA_THREADS * LRC_WGMMA_ROWS; /* the group's */
    const int64_t j0 = b.first + (int)threadIdx.x / LRC_CUDA_LANES * 16;       /* the warp's */
    const int64_t slot = attention_slot(b, b.first + row);
    const bool    keeps = job.d_s && b.first + row < end;
    const struct attention_span queries = attention_queries(job, b, b.first, b.n);
    float                       d_k[CP / 8][4], d_v[CP / 8][4], s[BQ / 8][4], d_p[BQ / 8][4];
    mma_zero<CP>(d_k);
    mma_zero<CP>(d_v);
    wgmma_tile_load<WGMMA_ROWS, CP, WGMMA_THREADS>(k, job.k, kv_head, b.first, end, job);
    wgmma_tile_load<WGMMA_ROWS, CP, WGMMA_THREADS>(v, job.v, kv_head, b.first, end, job);
    wgmma_key_load<CP>(stages, statistics, kv_head * n_group, queries.from, queries.to, job);
    lrc_cp_async_commit();
    int now = 0;
    for (int64_t head = kv_head * n_group, i = queries.from; head < (kv_head + 1) * n_group; now = 1 - now) {
        const bool    is_last_tile = i + BQ >= queries.to;
        const int64_t next_head = head + is_last_tile, next = is_last_tile ? queries.from : i + BQ;
        uint4 *kept = keeps ? attention_d_s(job, slot, head, (i - b.doc_first) / ATTENTION_GROUP) : nullptr;
        wgmma_tiles_arrived();
        wgmma_key_scores<CP>(s, d_p, k, v, row, stages + now * STAGE);
        if (next_head < (kv_head + 1) * n_group)
            wgmma_key_load<CP>(stages + (1 - now) * STAGE, statistics + (1 - now) * 2 * BQ, next_head, next,
                               queries.to, job);
        lrc_cp_async_commit();
        wgmma_key_add<CP>(d_k, d_v, s, d_p, stages + now * STAGE, statistics + now * 2 * BQ, kept, job, i,
                          j0);
        head = next_head;
        i = next;
    }
    const float one[2] = { 1, 1 }, factor[2] = { job.scale, job.scale };
    mma_store<CP>(job.d_k, d_k, factor, kv_head, j0, end, 0, job);
    mma_store<CP>(job.d_v, d_v, one, kv_head, j0, end, 0, job);
#endif
}

template <int CP> static constexpr size_t wgmma_fold_shared()
{
    return sizeof(uint16_t) * (size_t)(2 * ATTENTION_BLOCK) * CP;
}

/* d_q from the d_s that the key kernel kept, as attention_mma_fold_kernel. One warp group to a block of the
 * table: what it waits for is memory, so several blocks share a processor. grid: (n_blocks, H) */
template <int CP>
static __global__ void __launch_bounds__(LRC_WGMMA_THREADS, 4)
    attention_wgmma_fold_kernel(struct attention_job job)
{
#if LRC_WGMMA_HERE
    constexpr int BK = ATTENTION_BLOCK, TILE = BK * CP;
    LRC_SHARED_TILES(uint16_t, k);
    const int64_t               slot = job.n_blocks - 1 - blockIdx.x;
    const struct attention_rows b = attention_rows_find(job, slot);
    if (b.n == 0)
        return;
    const int64_t head = blockIdx.y, kv_head = head / (job.n_heads / job.n_kv_heads),
                  end = (int64_t)b.first + b.n, i = b.first + (int)threadIdx.x / LRC_CUDA_LANES * 16;
    const int64_t own = (b.first - b.doc_first) / BK;
    const int64_t from = (attention_keys(job, b, b.first, b.n).from - b.doc_first) / BK;
    float         d_q[CP / 8][4];
    mma_zero<CP>(d_q);
    wgmma_tile_load<BK, CP, LRC_WGMMA_THREADS>(k, job.k, kv_head, b.doc_first + from * BK, end, job);
    lrc_cp_async_commit();
    for (int64_t nth = from; nth <= own; nth++) {
        const int now = (int)(nth - from) % 2;
        uint4     words[MMA_FOLD_STEPS];
        uint32_t  left[MMA_FOLD_STEPS][4];
        mma_kept_load<WGMMA_QUERIES>(words, job, b, slot - own + nth, head, nth, i);
        wgmma_tiles_arrived();
        if (nth < own)
            wgmma_tile_load<BK, CP, LRC_WGMMA_THREADS>(k + (1 - now) * TILE, job.k, kv_head,
                                                       b.doc_first + (nth + 1) * BK, end, job);
        lrc_cp_async_commit();
#pragma unroll
        for (int step = 0; step < MMA_FOLD_STEPS; step++)
            mma_kept_turn(left[step], words[step]);
        lrc_wgmma_fence();
        wgmma_weighted<BK, CP>(d_q, left, k + now * TILE);
        lrc_wgmma_commit();
        lrc_wgmma_wait<0>();
        lrc_wgmma_hold<CP / 8>(d_q);
        lrc_wgmma_hold<MMA_FOLD_STEPS>(left);
    }
    const float factor[2] = { job.scale, job.scale };
    mma_store<CP>(job.d_q, d_q, factor, head, i, end, 0, job);
#endif
}

#endif
