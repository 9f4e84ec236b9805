#include "common/vec_cuda.cuh"

/* A row belongs to a warp when it is short (the norm of every head: 128 columns, many rows), else to a block.
 * The second pass over a row finds it in the first- or second-level cache: 8,192 BF16 are 16 KiB. Sums are
 * float32 within a thread, dim / 256 terms of it (dim / 32 in a short row), then over the warp or block. */
constexpr int64_t WARP_DIM_MAX = 1024;

static dim3 block_of(int64_t dim)
{
    return dim <= WARP_DIM_MAX ? dim3(LRC_CUDA_LANES, LRC_VEC_THREADS / LRC_CUDA_LANES)
                               : dim3(LRC_VEC_THREADS);
}

static dim3 grid_of(int64_t n_rows, int64_t dim)
{
    return lrc_vec_grid(lrc_cuda_blocks(n_rows, block_of(dim).y));
}

static __device__ __forceinline__ int64_t row_of_thread(void)
{
    return (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
}

/* Over the threads of a row, the same in each. scratch: LRC_VEC_WARPS_MAX elements. */
static __device__ __forceinline__ float row_sum(float value, float *scratch)
{
    return blockDim.x == LRC_CUDA_LANES ? lrc_cuda_warp_sum(value) : lrc_vec_block_sum(value, scratch);
}

/* 1 / sqrt(mean + eps): an approximation of 22 bits and one Newton step in double, 2^-43, instead of a root
 * and a quotient in double, which cost four times as much where doubles are slow. Then one rounding, as on
 * the CPU. */
static __device__ __forceinline__ float rstd_of(double mean_plus_eps)
{
    const double guess = (double)rsqrtf((float)mean_plus_eps);
    return (float)(guess + 0.5 * guess * (1.0 - mean_plus_eps * guess * guess));
}

struct norm_forward {
    struct lrc_vec_view x, weight, out;
    struct lrc_vec_view addend, sum; /* addend.data NULL: nothing is added, sum is x */
    float              *rstd;
    double              eps;
    double              one_over_dim;
    int64_t             n_rows, dim;
};

/* What is normalised. A sum is stored, and is what was stored: the second pass reads it there, where the same
 * thread wrote it. */
static __device__ __forceinline__ void load_summed(float x[LRC_VEC_GROUP], const struct norm_forward &f,
                                                   struct lrc_vec_place at)
{
    struct lrc_vec_raw raw = lrc_vec_fetch(f.x, at), raw_addend = {};
    if (f.addend.data)
        raw_addend = lrc_vec_fetch(f.addend, at);
    lrc_vec_widen(x, raw, f.x.dtype);
    if (!f.addend.data)
        return;
    float addend[LRC_VEC_GROUP];
    lrc_vec_widen(addend, raw_addend, f.addend.dtype);
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++)
        x[i] += addend[i];
    raw = lrc_vec_narrow(x, f.sum.dtype);
    lrc_vec_put(f.sum, at, raw);
    lrc_vec_widen(x, raw, f.sum.dtype);
}

static __global__ void __launch_bounds__(LRC_VEC_THREADS) rmsnorm_forward_kernel(struct norm_forward f)
{
    LRC_SHARED_ARRAY(float, scratch, LRC_VEC_WARPS_MAX);
    const int64_t row = row_of_thread(), step = (int64_t)blockDim.x * LRC_VEC_GROUP;
    if (row >= f.n_rows)
        return; /* a whole warp; a block has only rows that are there */
    float x[LRC_VEC_GROUP], weight[LRC_VEC_GROUP], squares = 0;
    for (int64_t col = (int64_t)threadIdx.x * LRC_VEC_GROUP; col < f.dim; col += step) {
        load_summed(x, f, { row, col, f.dim });
#pragma unroll
        for (int i = 0; i < LRC_VEC_GROUP; i++)
            squares += x[i] * x[i];
    }
    const float rstd = rstd_of((double)row_sum(squares, scratch) * f.one_over_dim + f.eps);
    if (f.rstd && threadIdx.x == 0)
        f.rstd[row] = rstd;
    for (int64_t col = (int64_t)threadIdx.x * LRC_VEC_GROUP; col < f.dim; col += step) {
        const struct lrc_vec_place at = { row, col, f.dim };
        const struct lrc_vec_raw   raw_x = lrc_vec_fetch(f.sum, at);
        lrc_vec_load(weight, f.weight, { 0, col, f.dim });
        lrc_vec_widen(x, raw_x, f.sum.dtype);
#pragma unroll
        for (int i = 0; i < LRC_VEC_GROUP; i++)
            x[i] = x[i] * rstd * weight[i];
        lrc_vec_store(f.out, at, x);
    }
}

LRC_CUDA_OP(rmsnorm_forward)
(struct lrc_stream *stream, const struct lrc_rmsnorm_forward_args *args, struct lrc_error *err)
{
    const int64_t n_rows = args->x.shape[0], dim = args->x.shape[1];
    if (n_rows == 0)
        return LRC_STATUS_OK;
    struct norm_forward f = {};
    f.x = lrc_vec_view_of(&args->x, n_rows);
    f.weight = lrc_vec_view_of(&args->weight, 1);
    f.out = lrc_vec_view_of(&args->out, n_rows);
    f.sum = f.x;
    if (args->addend.data) {
        f.addend = lrc_vec_view_of(&args->addend, n_rows);
        f.sum = lrc_vec_view_of(&args->sum, n_rows);
    }
    f.rstd = args->rstd;
    f.eps = (double)args->eps;
    f.one_over_dim = 1.0 / (double)dim;
    f.n_rows = n_rows;
    f.dim = dim;
    LRC_LAUNCH(rmsnorm_forward_kernel, grid_of(n_rows, dim), block_of(dim), 0, stream, f);
    return LRC_CUDA_LAUNCHED(err, "rmsnorm_forward: (%lld, %lld)", (long long)n_rows, (long long)dim);
}

struct norm_backward {
    struct lrc_vec_view d_out, x, weight, d_residual, d_x; /* d_residual.data NULL: nothing is added */
    const float        *rstd;
    float              *d_weight;
    double              one_over_dim;
    int64_t             n_rows, dim;
};

/* The thread's part of sum_i d_out[i] * weight[i] * x[i]. */
static __device__ __forceinline__ float row_product(const struct norm_backward &b, int64_t row)
{
    const int64_t step = (int64_t)blockDim.x * LRC_VEC_GROUP;
    float         product = 0;
    for (int64_t col = (int64_t)threadIdx.x * LRC_VEC_GROUP; col < b.dim; col += step) {
        const struct lrc_vec_place at = { row, col, b.dim };
        const struct lrc_vec_raw   raw_d_out = lrc_vec_fetch(b.d_out, at), raw_x = lrc_vec_fetch(b.x, at);
        float                      d_out[LRC_VEC_GROUP], x[LRC_VEC_GROUP], weight[LRC_VEC_GROUP];
        lrc_vec_load(weight, b.weight, { 0, col, b.dim });
        lrc_vec_widen(d_out, raw_d_out, b.d_out.dtype);
        lrc_vec_widen(x, raw_x, b.x.dtype);
#pragma unroll
        for (int i = 0; i < LRC_VEC_GROUP; i++)
            product += d_out[i] * weight[i] * x[i];
    }
    return product;
}

static __device__ __forceinline__ void row_gradient(const struct norm_backward &b, struct lrc_vec_place at,
                                                    float rstd, float pull)
{
    const struct lrc_vec_raw raw_d_out = lrc_vec_fetch(b.d_out, at), raw_x = lrc_vec_fetch(b.x, at);
    struct lrc_vec_raw       raw_residual = {};
    float                    d_x[LRC_VEC_GROUP], x[LRC_VEC_GROUP], weight[LRC_VEC_GROUP];
    if (b.d_residual.data)
        raw_residual = lrc_vec_fetch(b.d_residual, at);
    lrc_vec_load(weight, b.weight, { 0, at.col, b.dim });
    lrc_vec_widen(d_x, raw_d_out, b.d_out.dtype);
    lrc_vec_widen(x, raw_x, b.x.dtype);
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++)
        d_x[i] = rstd * (d_x[i] * weight[i] - x[i] * pull);
    if (b.d_residual.data) {
        lrc_vec_widen(x, raw_residual, b.d_residual.dtype);
#pragma unroll
        for (int i = 0; i < LRC_VEC_GROUP; i++)
            d_x[i] += x[i];
    }
    lrc_vec_store(b.d_x, at, d_x);
}

static __global__ void __launch_bounds__(LRC_VEC_THREADS) rmsnorm_backward_kernel(struct norm_backward b)
{
    LRC_SHARED_ARRAY(float, scratch, LRC_VEC_WARPS_MAX);
    const int64_t row = row_of_thread(), step = (int64_t)blockDim.x * LRC_VEC_GROUP;
    if (row >= b.n_rows)
        return; /* a whole warp; a block has only rows that are there */
    const float rstd = b.rstd[row], product = row_sum(row_product(b, row), scratch);
    const float pull = (float)((double)rstd * (double)rstd * (double)product * b.one_over_dim);
    for (int64_t col = (int64_t)threadIdx.x * LRC_VEC_GROUP; col < b.dim; col += step)
        row_gradient(b, { row, col, b.dim }, rstd, pull);
}

/* d_weight: a block owns 32 columns, 64 bytes of BF16, and walks all rows with 256 row lanes, so that no sum
 * leaves the block and no workspace is needed. Lane r takes rows r, r + 256, ...; the lanes of a warp are
 * summed by halving distance, the warps in order: one order whatever the device. Sums are double, as on the
 * CPU. 1,024 threads, because 4,096 columns make only 128 blocks. */
constexpr int WEIGHT_GROUPS = 4, WEIGHT_ROWS = 256;
constexpr int WEIGHT_THREADS = WEIGHT_GROUPS * WEIGHT_ROWS, WEIGHT_COLUMNS = WEIGHT_GROUPS * LRC_VEC_GROUP;
constexpr int WEIGHT_WARPS = WEIGHT_THREADS / LRC_CUDA_LANES;

static __device__ __forceinline__ void weight_column_sums(double                      sum[LRC_VEC_GROUP],
                                                          const struct norm_backward &b, int64_t col)
{
    for (int64_t row = threadIdx.x / WEIGHT_GROUPS; row < b.n_rows && col < b.dim; row += WEIGHT_ROWS) {
        const struct lrc_vec_place at = { row, col, b.dim };
        const struct lrc_vec_raw   raw_d_out = lrc_vec_fetch(b.d_out, at), raw_x = lrc_vec_fetch(b.x, at);
        const float                rstd = b.rstd[row];
        float                      d_out[LRC_VEC_GROUP], x[LRC_VEC_GROUP];
        lrc_vec_widen(d_out, raw_d_out, b.d_out.dtype);
        lrc_vec_widen(x, raw_x, b.x.dtype);
#pragma unroll
        for (int i = 0; i < LRC_VEC_GROUP; i++)
            sum[i] += (double)(d_out[i] * (x[i] * rstd));
    }
}

static __global__ void __launch_bounds__(WEIGHT_THREADS)
    rmsnorm_backward_weight_kernel(struct norm_backward b)
{
    LRC_SHARED_ARRAY(double, partial, WEIGHT_WARPS *WEIGHT_COLUMNS);
    const int     group = (int)threadIdx.x % WEIGHT_GROUPS, warp = (int)threadIdx.x / LRC_CUDA_LANES;
    const int64_t strip = (int64_t)blockIdx.x * WEIGHT_COLUMNS;
    double        sum[LRC_VEC_GROUP] = { 0 };
    weight_column_sums(sum, b, strip + group * LRC_VEC_GROUP);
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++) {
        for (int offset = LRC_CUDA_LANES / 2; offset >= WEIGHT_GROUPS; offset /= 2)
            sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], offset);
        if (threadIdx.x % LRC_CUDA_LANES < WEIGHT_GROUPS)
            partial[warp * WEIGHT_COLUMNS + group * LRC_VEC_GROUP + i] = sum[i];
    }
    __syncthreads();
    const int64_t col = strip + threadIdx.x;
    if (threadIdx.x >= WEIGHT_COLUMNS || col >= b.dim)
        return;
    double total = 0;
    for (int w = 0; w < WEIGHT_WARPS; w++)
        total += partial[w * WEIGHT_COLUMNS + (int)threadIdx.x];
    b.d_weight[col] = (float)((double)b.d_weight[col] + total);
}

LRC_CUDA_OP(rmsnorm_backward)
(struct lrc_stream *stream, const struct lrc_rmsnorm_backward_args *args, struct lrc_error *err)
{
    const int64_t n_rows = args->x.shape[0], dim = args->x.shape[1];
    if (n_rows == 0)
        return LRC_STATUS_OK;
    struct norm_backward b = {};
    b.d_out = lrc_vec_view_of(&args->d_out, n_rows);
    b.x = lrc_vec_view_of(&args->x, n_rows);
    b.weight = lrc_vec_view_of(&args->weight, 1);
    if (args->d_residual.data)
        b.d_residual = lrc_vec_view_of(&args->d_residual, n_rows);
    b.d_x = lrc_vec_view_of(&args->d_x, n_rows);
    b.rstd = args->rstd;
    b.d_weight = static_cast<float *>(args->d_weight.data);
    b.one_over_dim = 1.0 / (double)dim;
    b.n_rows = n_rows;
    b.dim = dim;
    if (b.d_weight) { /* before d_x, which may overwrite d_out */
        LRC_LAUNCH(rmsnorm_backward_weight_kernel, lrc_vec_grid(lrc_cuda_blocks(dim, WEIGHT_COLUMNS)),
                   WEIGHT_THREADS, 0, stream, b);
        LRC_TRY(LRC_CUDA_LAUNCHED(err, "rmsnorm_backward: d_weight of (%lld, %lld)", (long long)n_rows,
                                  (long long)dim));
    }
    LRC_LAUNCH(rmsnorm_backward_kernel, grid_of(n_rows, dim), block_of(dim), 0, stream, b);
    return LRC_CUDA_LAUNCHED(err, "rmsnorm_backward: (%lld, %lld)", (long long)n_rows, (long long)dim);
}
