#include "common/cuda.cuh"

#include "base/rng.h"
extern "C" {
#include "common/gemm.h"
#include "linear/linear_layout.h"
}
#include "common/gemm_cuda.h"
#include "dequantize/dequantize_cuda.h"

constexpr int THREADS = 256;
constexpr int64_t ROWS_MAX = 65535; /* of a grid */
constexpr int64_t WIDTH_STEP = 64;  /* columns of a window, but for the last ones of a result */

/* ---- element-wise kernels ---- */

static __global__ void __launch_bounds__(THREADS)
    linear_scale_kernel(void *to, enum lrc_dtype dtype, const float *from, int64_t n, float scale)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n)
        lrc_cuda_store(to, dtype, i, from[i] * scale);
}

/* 0 or 1 / (1 - p) for columns 4 quad .. 4 quad + 3 of row t, the same bits as on the CPU. */
static __device__ __forceinline__ void dropout_factors(float keep[4], const struct lrc_dropout &dropout,
                                                       int64_t t, int64_t quad)
{
    const float kept = 1.0f / (1.0f - dropout.p);
    const uint64_t high = (uint64_t)*dropout.step << 32 | dropout.row_ids[t];
    const uint64_t low = (uint64_t)(uint32_t)dropout.positions[t] << 32 | (uint64_t)quad;
    const struct lrc_rng_block block = lrc_rng_philox(dropout.key, high, low);
#pragma unroll
    for (int i = 0; i < 4; i++)
        keep[i] = lrc_rng_unit(block.word[i]) >= dropout.p ? kept : 0.0f;
}

/* to (n_rows, n_cols) = rows [first, first + n_rows) of x, times their dropout factors unless p is 0. */
static __global__ void __launch_bounds__(THREADS)
    linear_rows_kernel(void *to, enum lrc_dtype dtype, struct lrc_tensor x, int64_t first, int64_t n_rows,
                       struct lrc_dropout dropout)
{
    const int64_t n_cols = x.shape[1], quad = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (4 * quad >= n_cols)
        return;
    for (int64_t r = blockIdx.y; r < n_rows; r += gridDim.y) {
        float keep[4] = {1, 1, 1, 1};
        if (dropout.p > 0)
            dropout_factors(keep, dropout, first + r, quad);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (4 * quad + i < n_cols)
                lrc_cuda_store(to, dtype, r * n_cols + 4 * quad + i,
                               lrc_cuda_load(x.data, x.dtype, (first + r) * n_cols + 4 * quad + i) * keep[i]);
    }
}

/* The part of c that is worked on. Its sums lie in the tile, or where the result is. */
struct linear_window {
    int64_t row, n_rows, col, n_cols;
    float *sums;
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
        const int64_t to = (window.row + r) * c.shape[1] + window.col + i;
        float sum = window.sums[r * window.stride + i] + shift;
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
    float sum = 0;
    if (column < n_cols)
        for (int64_t r = threadIdx.y; r < n_rows; r += SLICES)
            sum += lrc_cuda_load(d_out.data, d_out.dtype, r * n_cols + column);
    sums[threadIdx.y * COLUMNS + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= n_cols)
        return;
    for (unsigned s = 1; s < SLICES; s++)
        sum += sums[s * COLUMNS + threadIdx.x];
    d_bias[column] += sum;
}

static dim3 grid_of(int64_t n_rows, int64_t n_items)
{
    return dim3((unsigned)lrc_cuda_blocks(n_items, THREADS),
                (unsigned)(n_rows < ROWS_MAX ? n_rows : ROWS_MAX));
}

/* ---- workspace ---- */

/* Everything of the layout but its windows (panel, tile, masked), which share `room`: the more memory is
 * given, the wider they are. */
struct linear_scratch {
    unsigned char *rows, *a, *b, *low;
    float *d_u;
    unsigned char *room;
    size_t room_bytes;
};

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static struct linear_scratch scratch_place(void *workspace, size_t workspace_bytes,
                                           const struct lrc_linear_layout &layout)
{
    unsigned char *base = static_cast<unsigned char *>(workspace);
    struct linear_scratch scratch = {};
    const size_t rows_bytes = layout.tile - layout.rows, low_bytes = layout.bias - layout.a;
    scratch.rows = base;
    scratch.a = base + rows_bytes;
    scratch.b = scratch.a + (layout.b - layout.a);
    scratch.low = scratch.a + (layout.low - layout.a);
    scratch.d_u = reinterpret_cast<float *>(scratch.a + (layout.d_u - layout.a));
    scratch.room = scratch.a + low_bytes;
    scratch.room_bytes = workspace_bytes - rows_bytes - low_bytes;
    return scratch;
}

/* ---- rows of an activation as a product reads them, some at a time ---- */

struct linear_rows {
    struct lrc_stream *stream;
    const struct lrc_tensor *tensor;
    const struct lrc_dropout *dropout; /* NULL: none */
    enum lrc_dtype compute;
    void *room;
};

static bool rows_are_direct(const linear_rows &rows)
{
    return rows.tensor->dtype == rows.compute && !rows.dropout;
}

static int64_t rows_chunk(const linear_rows &rows)
{
    return rows_are_direct(rows) ? rows.tensor->shape[0]
                                 : lrc_linear__chunk(rows.tensor->shape[1], rows.compute);
}

static enum lrc_status rows_get(const linear_rows &rows, int64_t first, int64_t n,
                                struct lrc_gemm_operand *operand, struct lrc_error *err)
{
    const int64_t n_cols = rows.tensor->shape[1];
    *operand = {rows.room, n_cols, 0};
    if (rows_are_direct(rows)) {
        operand->data = static_cast<unsigned char *>(rows.tensor->data) +
                        (size_t)(first * n_cols) * lrc_dtype_bytes(rows.compute);
        return LRC_STATUS_OK;
    }
    const struct lrc_dropout dropout = rows.dropout ? *rows.dropout : lrc_dropout{};
    LRC_LAUNCH(linear_rows_kernel, grid_of(n, lrc_cuda_blocks(n_cols, 4)), THREADS, 0, rows.stream, rows.room,
               rows.compute, *rows.tensor, first, n, dropout);
    return LRC_CUDA_LAUNCHED(err, "linear: rows (%lld, %lld)", (long long)n, (long long)n_cols);
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

/* A float32 factor in the compute type: itself, or rounded into `room`. */
static enum lrc_status factor(struct lrc_stream *stream, void *room, enum lrc_dtype compute,
                              const struct lrc_tensor &tensor, const void **data, struct lrc_error *err)
{
    *data = compute == LRC_DTYPE_F32 ? tensor.data : room;
    if (compute == LRC_DTYPE_F32)
        return LRC_STATUS_OK;
    return scale_to(stream, room, compute, tensor.data, lrc_tensor_elems(&tensor), 1.0f, err);
}

/* ---- c = left W' + low right, W' = Wᵀ or W ---- */

struct linear_product {
    struct lrc_stream *stream;
    enum lrc_dtype compute;
    linear_rows left; /* (m,k) */
    const struct lrc_weight *weight;
    bool transposed; /* W', (k,n), is Wᵀ */
    const void *low; /* (m,rank) in the compute type; NULL: no low-rank part */
    int64_t rank;
    struct lrc_gemm_operand right;     /* (rank,n) */
    const struct lrc_dropout *dropout; /* masks the low-rank part; NULL: none */
    struct lrc_tensor bias;            /* (n); data NULL: none */
    struct lrc_tensor c;               /* (m,n) */
    enum lrc_gemm_mode mode;
};

/* How the room is divided, and what goes through it. */
struct linear_plan {
    bool weight_direct, to_c; /* W is used where it lies; sums go to c */
    int64_t width, step;      /* columns and rows of a window */
    unsigned char *panel;
    float *tile, *masked;
};

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static size_t window_bytes(const linear_product &p, const linear_plan &plan, int64_t width, int64_t step)
{
    const size_t sums = aligned((size_t)(step * width) * sizeof(float)), k = (size_t)p.left.tensor->shape[1];
    return (plan.weight_direct ? 0 : aligned(k * (size_t)width * lrc_dtype_bytes(p.compute))) +
           (plan.to_c ? 0 : sums) + (p.dropout ? sums : 0);
}

/* As many columns as fit with CHUNK_MAX rows, then as many rows as fit. lrc_linear__layout() has room for one
 * window of lrc_linear__panel() columns. */
static linear_plan plan_make(const linear_product &p, const linear_scratch &scratch)
{
    const int64_t m = p.c.shape[0], n = p.c.shape[1], k = p.left.tensor->shape[1];
    const size_t bytes = lrc_dtype_bytes(p.compute);
    linear_plan plan = {};
    plan.weight_direct = p.weight->type == LRC_BLOCK_DENSE && p.weight->dtype == p.compute &&
                         ((uintptr_t)p.weight->data & (bytes - 1)) == 0;
    plan.to_c = p.c.dtype == LRC_DTYPE_F32 || (p.compute == LRC_DTYPE_BF16 && !p.low && !p.bias.data);
    plan.step = min64(m, LRC_LINEAR_CHUNK_MAX);
    plan.width = min64(n, lrc_linear__panel(k, p.compute));
    while (plan.width < n &&
           window_bytes(p, plan, min64(n, plan.width + WIDTH_STEP), plan.step) <= scratch.room_bytes)
        plan.width = min64(n, plan.width + WIDTH_STEP);
    while (plan.step < m && window_bytes(p, plan, plan.width, min64(m, 2 * plan.step)) <= scratch.room_bytes)
        plan.step = min64(m, 2 * plan.step);
    plan.step = min64(plan.step, rows_chunk(p.left));
    const size_t panel = plan.weight_direct ? 0 : aligned((size_t)(k * plan.width) * bytes);
    const size_t sums = plan.to_c ? 0 : aligned((size_t)(plan.step * plan.width) * sizeof(float));
    plan.panel = scratch.room;
    plan.tile = reinterpret_cast<float *>(scratch.room + panel);
    plan.masked = reinterpret_cast<float *>(scratch.room + panel + sums);
    return plan;
}

/* Columns [col, col + n) of W' as an operand, through the panel unless W can be used where it lies. */
static enum lrc_status weight_panel(const linear_product &p, const linear_plan &plan, int64_t col, int64_t n,
                                    struct lrc_gemm_operand *operand, struct lrc_error *err)
{
    const struct lrc_weight *weight = p.weight;
    const int64_t first = p.transposed ? col * weight->cols : col;
    if (plan.weight_direct) {
        *operand = {static_cast<const unsigned char *>(weight->data) +
                        (size_t)first * lrc_dtype_bytes(p.compute),
                    weight->cols, p.transposed};
        return LRC_STATUS_OK;
    }
    const struct lrc_dequantize_part part = {first, weight->cols, p.transposed ? n : weight->rows,
                                             p.transposed ? weight->cols : n};
    *operand = {plan.panel, part.n_cols, p.transposed};
    return lrc_dequantize__cuda(p.stream, plan.panel, p.compute, weight, &part, err);
}

/* sums += low right, masked if the product has dropout */
static enum lrc_status add_low_rank(const linear_product &p, const linear_plan &plan,
                                    const linear_window &window, struct lrc_error *err)
{
    const size_t bytes = lrc_dtype_bytes(p.compute);
    const int64_t first = p.right.transposed ? window.col * p.right.stride : window.col;
    struct lrc_gemm gemm = {};
    gemm.m = window.n_rows;
    gemm.n = window.n_cols;
    gemm.k = p.rank;
    gemm.a = {static_cast<const unsigned char *>(p.low) + (size_t)(window.row * p.rank) * bytes, p.rank, 0};
    gemm.b = {static_cast<const unsigned char *>(p.right.data) + (size_t)first * bytes, p.right.stride,
              p.right.transposed};
    gemm.c = p.dropout ? plan.masked : window.sums;
    gemm.c_stride = p.dropout ? window.n_cols : window.stride;
    gemm.dtype = p.compute;
    gemm.c_dtype = LRC_DTYPE_F32;
    gemm.mode = p.dropout ? LRC_GEMM_SET : LRC_GEMM_ADD;
    LRC_TRY(lrc_gemm_cuda(p.stream, &gemm, err));
    if (!p.dropout)
        return LRC_STATUS_OK;
    LRC_LAUNCH(linear_mask_kernel, grid_of(window.n_rows, lrc_cuda_blocks(window.n_cols, 4)), THREADS, 0,
               p.stream, window, plan.masked, *p.dropout);
    return LRC_CUDA_LAUNCHED(err, "linear: mask (%lld, %lld)", (long long)window.n_rows,
                             (long long)window.n_cols);
}

static enum lrc_status product_window(const linear_product &p, const linear_plan &plan, linear_window window,
                                      const struct lrc_gemm_operand &panel, struct lrc_error *err)
{
    const int64_t n = p.c.shape[1];
    struct lrc_gemm gemm = {};
    gemm.m = window.n_rows;
    gemm.n = window.n_cols;
    gemm.k = p.left.tensor->shape[1];
    LRC_TRY(rows_get(p.left, window.row, window.n_rows, &gemm.a, err));
    gemm.b = panel;
    gemm.c = plan.to_c ? static_cast<unsigned char *>(p.c.data) +
                             (size_t)(window.row * n + window.col) * lrc_dtype_bytes(p.c.dtype)
                       : reinterpret_cast<unsigned char *>(plan.tile);
    gemm.c_stride = plan.to_c ? n : window.n_cols;
    gemm.dtype = p.compute;
    gemm.c_dtype = plan.to_c ? p.c.dtype : LRC_DTYPE_F32;
    gemm.mode = plan.to_c ? p.mode : LRC_GEMM_SET;
    LRC_TRY(lrc_gemm_cuda(p.stream, &gemm, err));
    window.sums = static_cast<float *>(gemm.c);
    window.stride = gemm.c_stride;
    if (p.low)
        LRC_TRY(add_low_rank(p, plan, window, err));
    if (plan.to_c && !p.bias.data)
        return LRC_STATUS_OK;
    const int adds = !plan.to_c && p.mode == LRC_GEMM_ADD;
    LRC_LAUNCH(linear_finish_kernel, grid_of(window.n_rows, window.n_cols), THREADS, 0, p.stream, window, p.c,
               p.bias, adds);
    return LRC_CUDA_LAUNCHED(err, "linear: finish (%lld, %lld)", (long long)window.n_rows,
                             (long long)window.n_cols);
}

static enum lrc_status product_run(const linear_product &p, const linear_scratch &scratch,
                                   struct lrc_error *err)
{
    const int64_t m = p.c.shape[0], n = p.c.shape[1];
    const linear_plan plan = plan_make(p, scratch);
    for (int64_t col = 0; col < n; col += plan.width) {
        const int64_t n_cols = min64(plan.width, n - col);
        struct lrc_gemm_operand panel;
        LRC_TRY(weight_panel(p, plan, col, n_cols, &panel, err));
        for (int64_t row = 0; row < m; row += plan.step) {
            const linear_window window = {row, min64(plan.step, m - row), col, n_cols, nullptr, 0};
            LRC_TRY(product_window(p, plan, window, panel, err));
        }
    }
    return LRC_STATUS_OK;
}

/* c (m,n) += left (T,m)ᵀ right (T,n): a sum over rows, a chunk of them at a time. */
static enum lrc_status row_product_run(const linear_rows &left, const linear_rows &right, void *c,
                                       struct lrc_error *err)
{
    const int64_t n_rows = left.tensor->shape[0], step = min64(rows_chunk(left), rows_chunk(right));
    for (int64_t row = 0; row < n_rows; row += step) {
        struct lrc_gemm gemm = {};
        gemm.m = left.tensor->shape[1];
        gemm.n = right.tensor->shape[1];
        gemm.k = min64(step, n_rows - row);
        LRC_TRY(rows_get(left, row, gemm.k, &gemm.a, err));
        LRC_TRY(rows_get(right, row, gemm.k, &gemm.b, err));
        gemm.a.transposed = 1;
        gemm.c = c;
        gemm.c_stride = gemm.n;
        gemm.dtype = left.compute;
        gemm.c_dtype = LRC_DTYPE_F32;
        gemm.mode = LRC_GEMM_ADD;
        LRC_TRY(lrc_gemm_cuda(left.stream, &gemm, err));
    }
    return LRC_STATUS_OK;
}

/* c (T,n) = left (T,k) right (k,n), float32. */
static enum lrc_status narrow_product(float *c, const linear_rows &left, struct lrc_gemm_operand right,
                                      int64_t n, struct lrc_error *err)
{
    const int64_t n_rows = left.tensor->shape[0], step = rows_chunk(left);
    for (int64_t row = 0; row < n_rows; row += step) {
        struct lrc_gemm gemm = {};
        gemm.m = min64(step, n_rows - row);
        gemm.n = n;
        gemm.k = left.tensor->shape[1];
        LRC_TRY(rows_get(left, row, gemm.m, &gemm.a, err));
        gemm.b = right;
        gemm.c = c + row * n;
        gemm.c_stride = n;
        gemm.dtype = left.compute;
        gemm.c_dtype = LRC_DTYPE_F32;
        gemm.mode = LRC_GEMM_SET;
        LRC_TRY(lrc_gemm_cuda(left.stream, &gemm, err));
    }
    return LRC_STATUS_OK;
}

static const struct lrc_dropout *dropout_or_null(const struct lrc_dropout &dropout)
{
    return dropout.p > 0 ? &dropout : nullptr;
}

LRC_CUDA_OP(linear_forward)
(struct lrc_stream *stream, const struct lrc_linear_forward_args *args, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const struct lrc_weight *weight = args->weight;
    const int64_t n_rows = args->x.shape[0], rank = adapter ? adapter->a.shape[0] : 0;
    const enum lrc_dtype compute = args->x.dtype;
    if (n_rows == 0)
        return LRC_STATUS_OK;
    const linear_scratch scratch =
        scratch_place(args->workspace, args->workspace_bytes,
                      lrc_linear__layout(n_rows, weight->cols, weight->rows, rank, compute));
    linear_product p = {};
    p.stream = stream;
    p.compute = compute;
    p.left = {stream, &args->x, nullptr, compute, scratch.rows};
    p.weight = weight;
    p.transposed = true;
    p.bias = args->bias;
    p.c = args->out;
    p.mode = LRC_GEMM_SET;
    if (adapter) {
        const linear_rows x = {stream, &args->x, dropout_or_null(args->dropout), compute, scratch.rows};
        const void *a = nullptr, *b = nullptr;
        LRC_TRY(factor(stream, scratch.a, compute, adapter->a, &a, err));
        LRC_TRY(factor(stream, scratch.b, compute, adapter->b, &b, err));
        LRC_TRY(narrow_product(static_cast<float *>(args->u.data), x, {a, weight->cols, 1}, rank, err));
        LRC_TRY(scale_to(stream, scratch.low, compute, args->u.data, n_rows * rank, adapter->scale, err));
        p.low = scratch.low;
        p.rank = rank;
        p.right = {b, rank, 1};
    }
    return product_run(p, scratch, err);
}

/* d_b, d_a, and d_u in the compute type into scratch.low. */
static enum lrc_status adapter_backward(struct lrc_stream *stream,
                                        const struct lrc_linear_backward_args *args, const linear_rows &d_out,
                                        const linear_scratch &scratch, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const enum lrc_dtype compute = args->x.dtype;
    const int64_t n_rows = args->x.shape[0], rank = adapter->a.shape[0], n_low = n_rows * rank;
    const struct lrc_tensor low = lrc_tensor_2d(scratch.low, compute, n_rows, rank);
    const linear_rows low_rows = {stream, &low, nullptr, compute, nullptr};
    const linear_rows x = {stream, &args->x, dropout_or_null(args->dropout), compute, scratch.rows};
    const void *b = nullptr;
    LRC_TRY(scale_to(stream, scratch.low, compute, args->u.data, n_low, adapter->scale, err));
    LRC_TRY(row_product_run(d_out, low_rows, adapter->d_b.data, err));
    LRC_TRY(factor(stream, scratch.b, compute, adapter->b, &b, err));
    LRC_TRY(narrow_product(scratch.d_u, d_out, {b, rank, 0}, rank, err));
    LRC_TRY(scale_to(stream, scratch.low, compute, scratch.d_u, n_low, adapter->scale, err));
    return row_product_run(low_rows, x, adapter->d_a.data, err);
}

static enum lrc_status input_backward(const struct lrc_linear_backward_args *args, const linear_rows &d_out,
                                      const linear_scratch &scratch, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    linear_product p = {};
    p.stream = d_out.stream;
    p.compute = args->x.dtype;
    p.left = d_out;
    p.weight = args->weight;
    p.c = args->d_x;
    p.mode = args->accumulate == LRC_ACCUMULATE_ADD ? LRC_GEMM_ADD : LRC_GEMM_SET;
    if (adapter) {
        const void *a = nullptr;
        LRC_TRY(factor(p.stream, scratch.a, p.compute, adapter->a, &a, err));
        p.low = scratch.low;
        p.rank = adapter->a.shape[0];
        p.right = {a, args->weight->cols, 0};
        p.dropout = dropout_or_null(args->dropout);
    }
    return product_run(p, scratch, err);
}

LRC_CUDA_OP(linear_backward)
(struct lrc_stream *stream, const struct lrc_linear_backward_args *args, struct lrc_error *err)
{
    const struct lrc_weight *weight = args->weight;
    const enum lrc_dtype compute = args->x.dtype;
    const int64_t n_rows = args->x.shape[0], rank = args->adapter ? args->adapter->a.shape[0] : 0;
    if (n_rows == 0)
        return LRC_STATUS_OK;
    const linear_scratch scratch =
        scratch_place(args->workspace, args->workspace_bytes,
                      lrc_linear__layout(n_rows, weight->cols, weight->rows, rank, compute));
    const linear_rows d_out = {stream, &args->d_out, nullptr, compute, scratch.rows};
    if (args->adapter)
        LRC_TRY(adapter_backward(stream, args, d_out, scratch, err));
    if (args->d_x.data)
        LRC_TRY(input_backward(args, d_out, scratch, err));
    if (args->d_weight.data) {
        const linear_rows x = {stream, &args->x, nullptr, compute, nullptr};
        LRC_TRY(row_product_run(d_out, x, args->d_weight.data, err));
    }
    if (!args->d_bias.data)
        return LRC_STATUS_OK;
    LRC_LAUNCH(linear_bias_kernel, (unsigned)lrc_cuda_blocks(weight->rows, COLUMNS), dim3(COLUMNS, SLICES), 0,
               stream, static_cast<float *>(args->d_bias.data), args->d_out);
    return LRC_CUDA_LAUNCHED(err, "linear_backward: d_bias (%lld, %lld)", (long long)n_rows,
                             (long long)weight->rows);
}
