/* Attention in float32 for any element type and head size: exact rather than fast. For attention_cuda.cu
 * only.
 *
 * A block holds PLAIN_ROWS rows (queries, or keys) with their results in shared memory, two to a warp, and
 * goes over tiles of PLAIN_TILE rows of the other side, PLAIN_CHUNK columns at a time; a lane owns a row of
 * the tile while dot products are made, and columns while rows are added up. Sums run in ascending order of
 * rows: no atomics. */
#ifndef LRC_ATTENTION_PLAIN_CUH
#define LRC_ATTENTION_PLAIN_CUH

#include "attention/attention_job.cuh"

constexpr int PLAIN_WARPS = 4, PLAIN_EACH = 2, PLAIN_ROWS = PLAIN_WARPS * PLAIN_EACH, PLAIN_TILE = 32;
constexpr int PLAIN_CHUNK = 64,
              PLAIN_STRIDE = PLAIN_CHUNK + 1; /* lanes read a column of the tile from 32 banks */
constexpr int PLAIN_THREADS = PLAIN_WARPS * LRC_CUDA_LANES, PLAIN_PARTS = ATTENTION_BLOCK / PLAIN_ROWS;

/* Shared memory: n_arrays of (PLAIN_ROWS, C), two of (PLAIN_ROWS, PLAIN_TILE) weights, the tile. */
static inline size_t plain_shared_bytes(int n_arrays, int64_t head_dim)
{
    return sizeof(float) * ((size_t)n_arrays * PLAIN_ROWS * (size_t)head_dim + 2 * PLAIN_ROWS * PLAIN_TILE +
                            PLAIN_TILE * PLAIN_STRIDE);
}

struct plain_block {
    struct attention_rows doc;
    int64_t               first;
    int                   n; /* 0: nothing to do */
};

static __device__ __forceinline__ struct plain_block plain_block_find(const struct attention_job &job)
{
    const struct attention_rows doc =
        attention_rows_find(job, job.n_blocks - 1 - blockIdx.x / PLAIN_PARTS); /* long ones first */
    const int offset = (int)(blockIdx.x % PLAIN_PARTS) * PLAIN_ROWS, left = doc.n - offset;
    return { doc, doc.first + offset, left < 0 ? 0 : left < PLAIN_ROWS ? left : PLAIN_ROWS };
}

/* (PLAIN_ROWS, C) from rows first .. first + n - 1, zeros after them. */
static __device__ void plain_rows_load(float *to, const struct attention_view &view, int64_t head,
                                       int64_t first, int n, int head_dim)
{
    for (int i = (int)threadIdx.x; i < PLAIN_ROWS * head_dim; i += PLAIN_THREADS) {
        const int r = i / head_dim, c = i % head_dim;
        to[i] = r < n ? lrc_cuda_load(view.data, view.dtype, attention_at(view, first + r, head) + c) : 0.0f;
    }
}

static __device__ void plain_rows_store(const struct attention_view &view, const float *from, int64_t head,
                                        int64_t first, int n, int head_dim)
{
    for (int i = (int)threadIdx.x; i < n * head_dim; i += PLAIN_THREADS)
        lrc_cuda_store(view.data, view.dtype, attention_at(view, first + i / head_dim, head) + i % head_dim,
                       from[i]);
}

static __device__ void plain_zero(float *to, int n)
{
    for (int i = (int)threadIdx.x; i < n; i += PLAIN_THREADS)
        to[i] = 0;
}

/* Columns c0 .. of rows [first, end) of a view, at most PLAIN_TILE of them, zeros elsewhere. Returns when the
 * whole block may read it. */
static __device__ void plain_tile_load(float *tile, const struct attention_view &view, int64_t head,
                                       int64_t first, int64_t end, int c0, int head_dim)
{
    __syncthreads();
    for (int i = (int)threadIdx.x; i < PLAIN_TILE * PLAIN_CHUNK; i += PLAIN_THREADS) {
        const int r = i / PLAIN_CHUNK, c = i % PLAIN_CHUNK;
        tile[r * PLAIN_STRIDE + c] =
            first + r < end && c0 + c < head_dim
                ? lrc_cuda_load(view.data, view.dtype, attention_at(view, first + r, head) + c0 + c)
                : 0.0f;
    }
    __syncthreads();
}

/* dots[e] = row e of this warp · row `lane` of the tile's view, all columns. */
static __device__ void plain_dots(float dots[PLAIN_EACH], const float *rows, float *tile,
                                  const struct attention_view &view, int64_t head, int64_t first, int64_t end,
                                  int head_dim)
{
    const int lane = threadIdx.x % LRC_CUDA_LANES, row = (int)threadIdx.x / LRC_CUDA_LANES * PLAIN_EACH;
    for (int e = 0; e < PLAIN_EACH; e++)
        dots[e] = 0;
    for (int c0 = 0; c0 < head_dim; c0 += PLAIN_CHUNK) {
        plain_tile_load(tile, view, head, first, end, c0, head_dim);
        const int n = head_dim - c0 < PLAIN_CHUNK ? head_dim - c0 : PLAIN_CHUNK;
        for (int e = 0; e < PLAIN_EACH; e++)
            for (int c = 0; c < n; c++)
                dots[e] += rows[(row + e) * head_dim + c0 + c] * tile[lane * PLAIN_STRIDE + c];
    }
}

/* Row e of this warp's sums = keep[e] * row + sum_j weights(row, j) * tile row j, all columns. */
static __device__ void plain_add(float *sums, const float keep[PLAIN_EACH], const float *weights, float *tile,
                                 const struct attention_view &view, int64_t head, int64_t first, int64_t end,
                                 int head_dim)
{
    const int lane = threadIdx.x % LRC_CUDA_LANES, row = (int)threadIdx.x / LRC_CUDA_LANES * PLAIN_EACH;
    for (int c0 = 0; c0 < head_dim; c0 += PLAIN_CHUNK) {
        plain_tile_load(tile, view, head, first, end, c0, head_dim);
        const int n = head_dim - c0 < PLAIN_CHUNK ? head_dim - c0 : PLAIN_CHUNK;
        for (int e = 0; e < PLAIN_EACH; e++)
            for (int c = lane; c < n; c += LRC_CUDA_LANES) {
                float sum = keep[e] * sums[(row + e) * head_dim + c0 + c];
                for (int j = 0; j < PLAIN_TILE; j++)
                    sum += weights[(row + e) * PLAIN_TILE + j] * tile[j * PLAIN_STRIDE + c];
                sums[(row + e) * head_dim + c0 + c] = sum;
            }
    }
}

/* grid: (n_blocks * PLAIN_PARTS, H) */
static __global__ void __launch_bounds__(PLAIN_THREADS)
    attention_plain_forward_kernel(struct attention_job job)
{
    LRC_SHARED(float, q);
    const struct plain_block b = plain_block_find(job);
    if (b.n == 0)
        return;
    const int     head_dim = job.head_dim, lane = threadIdx.x % LRC_CUDA_LANES;
    const int     row = (int)threadIdx.x / LRC_CUDA_LANES * PLAIN_EACH;
    const int64_t head = blockIdx.y, kv_head = head / (job.n_heads / job.n_kv_heads);
    float        *out = q + PLAIN_ROWS * head_dim, *p = out + PLAIN_ROWS * head_dim;
    float        *tile = p + 2 * PLAIN_ROWS * PLAIN_TILE;
    float         most[PLAIN_EACH], total[PLAIN_EACH];
    for (int e = 0; e < PLAIN_EACH; e++) {
        most[e] = -INFINITY;
        total[e] = 0;
    }
    plain_rows_load(q, job.q, head, b.first, b.n, head_dim);
    plain_zero(out, PLAIN_ROWS * head_dim);
    const struct attention_span keys = attention_keys(job, b.doc, b.first, b.n);
    for (int64_t j = keys.from; j < keys.to; j += PLAIN_TILE) {
        float scores[PLAIN_EACH], keep[PLAIN_EACH];
        plain_dots(scores, q, tile, job.k, kv_head, j, keys.to, head_dim);
        for (int e = 0; e < PLAIN_EACH; e++) {
            const bool  sees = row + e < b.n && attention_sees(job, b.first + row + e, j + lane);
            const float score = sees ? scores[e] * job.scale : -INFINITY;
            const float now = fmaxf(most[e], lrc_cuda_warp_max(score));
            const float weight = sees ? expf(score - now) : 0.0f;
            keep[e] = most[e] == -INFINITY ? 0.0f : expf(most[e] - now);
            most[e] = now;
            total[e] = total[e] * keep[e] + lrc_cuda_warp_sum(weight);
            p[(row + e) * PLAIN_TILE + lane] = weight;
        }
        plain_add(out, keep, p, tile, job.v, kv_head, j, keys.to, head_dim);
    }
    for (int e = 0; e < PLAIN_EACH; e++) {
        for (int c = lane; c < head_dim; c += LRC_CUDA_LANES)
            out[(row + e) * head_dim + c] /= total[e];
        if (job.lse && lane == 0 && row + e < b.n)
            job.lse[(b.first + row + e) * job.n_heads + head] = most[e] + logf(total[e]);
    }
    __syncthreads();
    plain_rows_store(job.out, out, head, b.first, b.n, head_dim);
}

/* delta[i,h] = d_out[i]·out[i]; a warp for each. grid: (T H / PLAIN_WARPS) */
static __global__ void __launch_bounds__(PLAIN_THREADS) attention_delta_kernel(struct attention_job job)
{
    const int     lane = threadIdx.x % LRC_CUDA_LANES;
    const int64_t index = (int64_t)blockIdx.x * PLAIN_WARPS + threadIdx.x / LRC_CUDA_LANES;
    if (index >= job.n_rows * job.n_heads)
        return; /* the whole warp */
    const int64_t             row = index / job.n_heads, head = index % job.n_heads;
    const struct lrc_vec_view d_out = attention_vec_view(job.d_out, job),
                              out = attention_vec_view(job.out, job);
    float sum = 0;
    for (int c = lane * LRC_VEC_GROUP; c < job.head_dim; c += LRC_CUDA_LANES * LRC_VEC_GROUP) {
        const struct lrc_vec_raw raw_d_out =
            lrc_vec_fetch(d_out, { row, head * job.d_out.head + c, head * job.d_out.head + job.head_dim });
        float x[LRC_VEC_GROUP], y[LRC_VEC_GROUP];
        lrc_vec_load(y, out, { row, head * job.out.head + c, head * job.out.head + job.head_dim });
        lrc_vec_widen(x, raw_d_out, job.d_out.dtype);
#pragma unroll
        for (int i = 0; i < LRC_VEC_GROUP; i++)
            sum += x[i] * y[i];
    }
    sum = lrc_cuda_warp_sum(sum);
    if (lane == 0)
        job.delta[index] = sum;
}

/* p and d_s of query i and key j from s = q·k and d_p = d_out·v. */
static __device__ __forceinline__ float2 plain_gradient(const struct attention_job &job, int64_t i,
                                                        int64_t head, float s, float d_p)
{
    const int64_t at = i * job.n_heads + head;
    const float   p = expf(s * job.scale - job.lse[at]);
    return make_float2(p, p * (d_p - job.delta[at]) * job.scale);
}

/* d_q. grid: (n_blocks * PLAIN_PARTS, H) */
static __global__ void __launch_bounds__(PLAIN_THREADS) attention_plain_query_kernel(struct attention_job job)
{
    LRC_SHARED(float, q);
    const struct plain_block b = plain_block_find(job);
    if (b.n == 0)
        return;
    const int     head_dim = job.head_dim, lane = threadIdx.x % LRC_CUDA_LANES, size = PLAIN_ROWS * head_dim;
    const int     row = (int)threadIdx.x / LRC_CUDA_LANES * PLAIN_EACH;
    const int64_t head = blockIdx.y, kv_head = head / (job.n_heads / job.n_kv_heads);
    float        *d_out = q + size, *d_q = d_out + size, *weights = d_q + size;
    float        *tile = weights + 2 * PLAIN_ROWS * PLAIN_TILE;
    const float   keep[PLAIN_EACH] = { 1, 1 };
    plain_rows_load(q, job.q, head, b.first, b.n, head_dim);
    plain_rows_load(d_out, job.d_out, head, b.first, b.n, head_dim);
    plain_zero(d_q, size);
    const struct attention_span keys = attention_keys(job, b.doc, b.first, b.n);
    for (int64_t j = keys.from; j < keys.to; j += PLAIN_TILE) {
        float s[PLAIN_EACH], d_p[PLAIN_EACH];
        plain_dots(s, q, tile, job.k, kv_head, j, keys.to, head_dim);
        plain_dots(d_p, d_out, tile, job.v, kv_head, j, keys.to, head_dim);
        for (int e = 0; e < PLAIN_EACH; e++) {
            const bool sees = row + e < b.n && attention_sees(job, b.first + row + e, j + lane);
            weights[(row + e) * PLAIN_TILE + lane] =
                sees ? plain_gradient(job, b.first + row + e, head, s[e], d_p[e]).y : 0.0f;
        }
        plain_add(d_q, keep, weights, tile, job.k, kv_head, j, keys.to, head_dim);
    }
    __syncthreads();
    plain_rows_store(job.d_q, d_q, head, b.first, b.n, head_dim);
}

/* d_k and d_v. grid: (n_blocks * PLAIN_PARTS, K) */
static __global__ void __launch_bounds__(PLAIN_THREADS) attention_plain_key_kernel(struct attention_job job)
{
    LRC_SHARED(float, k);
    const struct plain_block b = plain_block_find(job);
    if (b.n == 0)
        return;
    const int     head_dim = job.head_dim, lane = threadIdx.x % LRC_CUDA_LANES, size = PLAIN_ROWS * head_dim;
    const int     row = (int)threadIdx.x / LRC_CUDA_LANES * PLAIN_EACH;
    const int64_t kv_head = blockIdx.y, n_group = job.n_heads / job.n_kv_heads;
    float        *v = k + size, *d_k = v + size, *d_v = d_k + size, *d_s = d_v + size;
    float        *p = d_s + PLAIN_ROWS * PLAIN_TILE, *tile = p + PLAIN_ROWS * PLAIN_TILE;
    const float   keep[PLAIN_EACH] = { 1, 1 };
    plain_rows_load(k, job.k, kv_head, b.first, b.n, head_dim);
    plain_rows_load(v, job.v, kv_head, b.first, b.n, head_dim);
    plain_zero(d_k, 2 * size);
    const struct attention_span queries = attention_queries(job, b.doc, b.first, b.n);
    for (int64_t head = kv_head * n_group; head < (kv_head + 1) * n_group; head++)
        for (int64_t i = queries.from; i < queries.to; i += PLAIN_TILE) {
            float s[PLAIN_EACH], d_p[PLAIN_EACH];
            plain_dots(s, k, tile, job.q, head, i, queries.to, head_dim);
            plain_dots(d_p, v, tile, job.d_out, head, i, queries.to, head_dim);
            for (int e = 0; e < PLAIN_EACH; e++) {
                const bool sees = row + e < b.n && i + lane < queries.to &&
                                  attention_sees(job, i + lane, b.first + row + e);
                const float2 gradient =
                    sees ? plain_gradient(job, i + lane, head, s[e], d_p[e]) : make_float2(0.0f, 0.0f);
                p[(row + e) * PLAIN_TILE + lane] = gradient.x;
                d_s[(row + e) * PLAIN_TILE + lane] = gradient.y;
            }
            plain_add(d_v, keep, p, tile, job.d_out, head, i, queries.to, head_dim);
            plain_add(d_k, keep, d_s, tile, job.q, head, i, queries.to, head_dim);
        }
    __syncthreads();
    plain_rows_store(job.d_k, d_k, kv_head, b.first, b.n, head_dim);
    plain_rows_store(job.d_v, d_v, kv_head, b.first, b.n, head_dim);
}

#endif
