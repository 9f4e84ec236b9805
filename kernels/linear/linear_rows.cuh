/* The element-wise kernels of linear, and rows of an activation as a product reads them. For linear_cuda.cu
 * only. */
#ifndef LRC_LINEAR_ROWS_CUH
#define LRC_LINEAR_ROWS_CUH

#include "common/vec_cuda.cuh"

#include "base/rng.h"
extern "C" {
#include "linear/linear_layout.h"
}
#include "common/gemm_cuda.h"

constexpr int     THREADS = 256;
constexpr int64_t ROWS_MAX = 65535; /* of a grid */

static dim3 grid_of(int64_t n_rows, int64_t n_items)
{
    return dim3((unsigned)lrc_cuda_blocks(n_items, THREADS),
                (unsigned)(n_rows < ROWS_MAX ? n_rows : ROWS_MAX));
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- small factors ---- */

static __global__ void __launch_bounds__(THREADS)
    linear_scale_kernel(void *to, enum lrc_dtype dtype, const float *from, int64_t n, float scale)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n)
        lrc_cuda_store(to, dtype, i, from[i] * scale);
}

static enum lrc_status scale_to(struct lrc_stream *stream, void *to, enum lrc_dtype dtype, const void *from,
                                int64_t n, float scale, struct lrc_error *err)
{
    if (n == 0)
        return LRC_STATUS_OK;
    LRC_LAUNCH(linear_scale_kernel, (unsigned)lrc_cuda_blocks(n, THREADS), THREADS, 0, stream, to, dtype,
               static_cast<const float *>(from), n, scale);
    return LRC_CUDA_LAUNCHED(err, "linear: %lld elements of a factor", (long long)n);
}

/* A factor of a low-rank product as it comes, times scale, and n_elems of room for it in the compute type. */
struct linear_factor {
    const void    *data;
    enum lrc_dtype dtype;
    float          scale;
    int64_t        n_elems;
    void          *room;
};

static linear_factor factor_of(const struct lrc_tensor &tensor, float scale, void *room)
{
    return { tensor.data, tensor.dtype, scale, lrc_tensor_elems(&tensor), room };
}

/* It in the compute type: itself, or rounded into its room. */
static enum lrc_status factor_round(struct lrc_stream *stream, linear_factor *factor, enum lrc_dtype compute,
                                    struct lrc_error *err)
{
    if (factor->dtype == compute && factor->scale == 1.0f)
        return LRC_STATUS_OK;
    LRC_TRY(scale_to(stream, factor->room, compute, factor->data, factor->n_elems, factor->scale, err));
    *factor = { factor->room, compute, 1.0f, factor->n_elems, nullptr };
    return LRC_STATUS_OK;
}

/* A part (n_rows, n_cols) of a matrix, of which (rows_there, cols_there) are scale * `from` and the rest is
 * 0. */
struct linear_part {
    void          *to;
    const void    *from;
    enum lrc_dtype dtype, from_dtype;
    float          scale;

    int64_t to_stride, from_stride, n_rows, n_cols, rows_there, cols_there;
};

static __global__ void __launch_bounds__(THREADS) linear_part_kernel(struct linear_part part)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, r = i / part.n_cols, c = i % part.n_cols;
    if (r >= part.n_rows)
        return;
    const bool  there = r < part.rows_there && c < part.cols_there;
    const float value =
        there ? lrc_cuda_load(part.from, part.from_dtype, r * part.from_stride + c) * part.scale : 0.0f;

    lrc_cuda_store(part.to, part.dtype, r * part.to_stride + c, value);
}

static enum lrc_status part_copy(struct lrc_stream *stream, const linear_part &part, struct lrc_error *err)
{
    if (part.n_rows == 0 || part.n_cols == 0)
        return LRC_STATUS_OK;
    LRC_LAUNCH(linear_part_kernel, lrc_vec_grid(lrc_cuda_blocks(part.n_rows * part.n_cols, THREADS)), THREADS,
               0, stream, part);
    return LRC_CUDA_LAUNCHED(err, "linear: part (%lld, %lld)", (long long)part.n_rows,
                             (long long)part.n_cols);
}

/* ---- dropout ---- */

/* 0 or 1 / (1 - p) for columns 4 quad .. 4 quad + 3 of row t, the same bits as on the CPU. */
static __device__ __forceinline__ void dropout_factors(float keep[4], const struct lrc_dropout &dropout,
                                                       int64_t t, int64_t quad)
{
    const float                kept = 1.0f / (1.0f - dropout.p);
    const uint64_t             high = (uint64_t)*dropout.step << 32 | dropout.row_ids[t];
    const uint64_t             low = (uint64_t)(uint32_t)dropout.positions[t] << 32 | (uint64_t)quad;
    const struct lrc_rng_block block = lrc_rng_philox(dropout.key, high, low);
#pragma unroll
    for (int i = 0; i < 4; i++)
        keep[i] = lrc_rng_unit(block.word[i]) >= dropout.p ? kept : 0.0f;
}

static const struct lrc_dropout *dropout_or_null(const struct lrc_dropout &dropout)
{
    return dropout.p > 0 ? &dropout : nullptr;
}

/* ---- rows of an activation as a product reads them, some at a time ---- */

/* to = rows of x, times their dropout factors unless p is 0; the first of them is row `first` of the batch.
 */
static __global__ void __launch_bounds__(LRC_VEC_THREADS)
    linear_rows_kernel(struct lrc_vec_view to, struct lrc_vec_view x, struct lrc_vec_tiles tiles,
                       int64_t first, struct lrc_dropout dropout)
{
    const struct lrc_vec_place at = lrc_vec_place_of(tiles);
    if (at.col >= at.n_cols)
        return;
    float values[LRC_VEC_GROUP];
    lrc_vec_load(values, x, at);
    if (dropout.p > 0) {
        float keep[LRC_VEC_GROUP];
        dropout_factors(keep, dropout, first + at.row, at.col / 4);
        dropout_factors(keep + 4, dropout, first + at.row, at.col / 4 + 1);
#pragma unroll
        for (int i = 0; i < LRC_VEC_GROUP; i++)
            values[i] *= keep[i];
    }
    lrc_vec_store(to, at, values);
}

struct linear_rows {
    struct lrc_stream        *stream;
    struct lrc_tensor         tensor;  /* (T, n); rows may be apart */
    const struct lrc_dropout *dropout; /* NULL: none */
    enum lrc_dtype            compute;
    void                     *room; /* for copies, unless rows are direct */
    size_t                    room_bytes;
};

static bool rows_are_direct(const linear_rows &rows)
{
    return rows.tensor.dtype == rows.compute && !rows.dropout;
}

/* Rows that fit into the room; lrc_linear__layout() has some for lrc_linear__chunk(). */
static int64_t rows_chunk(const linear_rows &rows)
{
    const size_t  row_bytes = (size_t)rows.tensor.shape[1] * lrc_dtype_bytes(rows.compute);
    const int64_t n_rows = rows.tensor.shape[0];
    return rows_are_direct(rows) ? n_rows : min64(n_rows, (int64_t)(rows.room_bytes / row_bytes));
}

/* `to` has `stride` elements from row to row. */
static enum lrc_status rows_copy(const linear_rows &rows, int64_t first, int64_t n, void *to, int64_t stride,
                                 struct lrc_error *err)
{
    const int64_t     n_cols = rows.tensor.shape[1];
    struct lrc_tensor from = lrc_tensor_rows(&rows.tensor, first, n), out = from;
    out.data = to;
    out.dtype = rows.compute;
    out.stride[0] = stride;
    const struct lrc_dropout   dropout = rows.dropout ? *rows.dropout : lrc_dropout{};
    const struct lrc_vec_tiles tiles = lrc_vec_tiles_of(n, n_cols);
    LRC_LAUNCH(linear_rows_kernel, lrc_vec_grid(n * tiles.n_chunks), LRC_VEC_THREADS, 0, rows.stream,
               lrc_vec_view_of(&out, n), lrc_vec_view_of(&from, n), tiles, first, dropout);
    return LRC_CUDA_LAUNCHED(err, "linear: rows (%lld, %lld)", (long long)n, (long long)n_cols);
}

static enum lrc_status rows_get(const linear_rows &rows, int64_t first, int64_t n,
                                struct lrc_gemm_operand *operand, struct lrc_error *err)
{
    if (rows_are_direct(rows)) {
        *operand = { lrc_tensor_rows(&rows.tensor, first, n).data, rows.tensor.stride[0], 0 };
        return LRC_STATUS_OK;
    }
    *operand = { rows.room, rows.tensor.shape[1], 0 };
    return rows_copy(rows, first, n, rows.room, rows.tensor.shape[1], err);
}

/* ---- from sums to results ---- */

/* The part of c that is worked on. Its sums lie in the tile, or where the result is. */
struct linear_window {
    int64_t row, n_rows, col, n_cols;
    float  *sums;
    int64_t stride;
};

/* sums += mask ⊙ masked; masked (n_rows, n_cols), columns from a multiple of 4 */
static __global__ void __launch_bounds__(THREADS)
    linear_mask_kernel(struct linear_window window, const float *masked, struct lrc_dropout dropout)
{
    const int64_t quad = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (4 * quad >= window.n_cols)
        return;
    for (int64_t r = blockIdx.y; r < window.n_rows; r += gridDim.y) {
        float keep[4];
        dropout_factors(keep, dropout, window.row + r, window.col / 4 + quad);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (4 * quad + i < window.n_cols)
                window.sums[r * window.stride + 4 * quad + i] +=
                    keep[i] * masked[r * window.n_cols + 4 * quad + i];
    }
}

/* Bias, and the way from the sums to c: set, rounded, or added. */
static __global__ void __launch_bounds__(THREADS)
    linear_finish_kernel(struct linear_window window, struct lrc_tensor c, struct lrc_tensor bias, int adds)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= window.n_cols)
        return;
    const float shift = bias.data ? lrc_cuda_load(bias.data, bias.dtype, window.col + i) : 0.0f;
    for (int64_t r = blockIdx.y; r < window.n_rows; r += gridDim.y) {
        const int64_t to = (window.row + r) * c.stride[0] + window.col + i;
        float         sum = window.sums[r * window.stride + i] + shift;
        if (adds)
            sum += static_cast<const float *>(c.data)[to];
        lrc_cuda_store(c.data, c.dtype, to, sum);
    }
}

/* d_bias[c] += sum_t d_out[t,c]: SLICES threads take every SLICES-th row of a column, and their sums are
 * added in order. */
constexpr int COLUMNS = 32, SLICES = 8;

static __global__ void __launch_bounds__(COLUMNS *SLICES)
    linear_bias_kernel(float *d_bias, struct lrc_tensor d_out)
{
    LRC_SHARED_ARRAY(float, sums, COLUMNS *SLICES);
    const int64_t n_rows = d_out.shape[0], n_cols = d_out.shape[1];
    const int64_t column = (int64_t)blockIdx.x * COLUMNS + threadIdx.x;
    float         sum = 0;
    if (column < n_cols)
        for (int64_t r = threadIdx.y; r < n_rows; r += SLICES)
            sum += lrc_cuda_load(d_out.data, d_out.dtype, r * d_out.stride[0] + column);
    sums[threadIdx.y * COLUMNS + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= n_cols)
        return;
    for (unsigned s = 1; s < SLICES; s++)
        sum += sums[s * COLUMNS + threadIdx.x];
    d_bias[column] += sum;
}

#endif
