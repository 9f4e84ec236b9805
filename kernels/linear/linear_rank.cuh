/* An adapter's gradients on tensor cores, of activations in BF16. For linear_cuda.cu only.
 *
 *   sums (R,n) = leftᵀ y         left (T,R), y (T,n)
 *   d_u (T,R)  = y b             b (n,R), and y is read once for both; or without it
 *
 * A block goes through a band of y tile by tile: with d_u a group of rows and some columns, else one tile's
 * columns and some groups of rows. Sums of a tile's columns run down the block's rows, d_u of its rows along
 * its columns, both in registers; what blocks share each writes for itself, and linear_rank_finish_kernel
 * adds these parts in order. left and b are rounded to BF16 on their way to shared memory. */
#ifndef LRC_LINEAR_RANK_CUH
#define LRC_LINEAR_RANK_CUH

#include "common/mma.cuh"
#include "linear/linear_rows.cuh"

constexpr int RANK_TILE = 128;    /* rows and columns of a tile */
constexpr int RANK_THREADS = 256; /* 8 warps, 16 of either to each */
constexpr int RANK_MAX = 32;      /* beyond it shared memory is slower than the device's */
constexpr int RANK_BLOCKS = 256;  /* about two to a multiprocessor */
constexpr int RANK_EACH_MIN = 2;  /* tiles or groups of a block: fewer parts to write and read */
constexpr int RANK_CHUNKS = RANK_TILE / 8;

struct rank_task {
    const uint16_t *y; /* (n_rows, n_cols), rows and columns in whole vectors of 8 */
    int64_t         y_stride, n_rows, n_cols;
    const void     *left; /* (n_rows, rank), times left_scale */
    enum lrc_dtype  left_dtype;
    float           left_scale;
    const float    *b; /* (n_cols, rank) */
    int64_t         rank;
    int64_t         n_each; /* of a block: column tiles with d_u, groups of rows without */
    float          *sums;   /* (parts, rank, n_cols) */
    float          *d_u;    /* (parts, rank, n_rows) */
};

/* GROUPS of 16 ranks. */
template <int GROUPS> constexpr int RANK_ROW_TILES = 4 / GROUPS;  /* of a group of rows: d_u fits registers */
template <int GROUPS> constexpr int RANK_PITCH = 16 * GROUPS + 8; /* of a factor: rows in different banks */
template <int GROUPS>
constexpr size_t RANK_SHARED_BYTES = sizeof(uint16_t) *
                                     (2 * RANK_TILE * RANK_TILE +
                                      (RANK_ROW_TILES<GROUPS> + 1) * RANK_TILE * RANK_PITCH<GROUPS>);

/* Rows [first, first + n) of a factor (n_there, rank), zero where there is none. */
template <int GROUPS>
static __device__ void rank_factor_load(uint16_t *to, const void *from, enum lrc_dtype dtype, float scale,
                                        int64_t rank, int64_t first, int n, int64_t n_there)
{
    for (int i = (int)threadIdx.x; i < n * 16 * GROUPS; i += RANK_THREADS) {
        const int     row = i / (16 * GROUPS), r = i % (16 * GROUPS);
        const int64_t at = first + row;
        const float   value =
            at < n_there && r < rank ? lrc_cuda_load(from, dtype, at * rank + r) * scale : 0.0f;
        to[row * RANK_PITCH<GROUPS> + r] = lrc_cuda_to_bf16(value);
    }
}

/* Vectors of a row are exchanged by its number, so that eight rows of one column lie in different banks. */
static __device__ __forceinline__ uint16_t *rank_tile_at(uint16_t *tile, int row, int chunk)
{
    return tile + row * RANK_TILE + (chunk ^ (row & 7)) * 8;
}

/* The tile from (row, col) on, zero beyond y. */
static __device__ void rank_tile_load(uint16_t *tile, const rank_task &task, int64_t row, int64_t col)
{
    const int     chunk = (int)threadIdx.x % RANK_CHUNKS;
    const int64_t c = col + chunk * 8;
#pragma unroll 1
    for (int i = 0; i < RANK_TILE * RANK_CHUNKS / RANK_THREADS; i++) {
        const int     r = (int)threadIdx.x / RANK_CHUNKS + i * (RANK_THREADS / RANK_CHUNKS);
        const bool    there = row + r < task.n_rows && c < task.n_cols;
        const int64_t from = there ? (row + r) * task.y_stride + c : 0;
        lrc_cp_async_16(rank_tile_at(tile, r, chunk), task.y + from, there ? 16 : 0);
    }
    lrc_cp_async_commit();
}

/* factorᵀ, 16 ranks by 16 of its rows, as the left side of a product. */
template <int GROUPS>
static __device__ __forceinline__ void rank_factor_get(uint32_t words[4], const uint16_t *factor, int row,
                                                       int m)
{
    const int lane = (int)threadIdx.x % LRC_CUDA_LANES, matrix = lane / 8;
    lrc_ldmatrix_x4_trans(words, factor + (row + matrix / 2 * 8 + lane % 8) * RANK_PITCH<GROUPS> + m * 16 +
                                     matrix % 2 * 8);
}

/* sums (R, 16 columns of this warp) += leftᵀ tile */
template <int GROUPS>
static __device__ __forceinline__ void rank_sums_add(float sums[2][GROUPS][4], const uint16_t *left,
                                                     uint16_t *tile)
{
    const int lane = (int)threadIdx.x % LRC_CUDA_LANES, warp = (int)threadIdx.x / LRC_CUDA_LANES;
    const int matrix = lane / 8;
#pragma unroll 2
    for (int k = 0; k < RANK_TILE; k += 16) {
        uint32_t y[4];
        lrc_ldmatrix_x4_trans(y, rank_tile_at(tile, k + matrix % 2 * 8 + lane % 8, 2 * warp + matrix / 2));
#pragma unroll
        for (int m = 0; m < GROUPS; m++) {
            uint32_t words[4];
            rank_factor_get<GROUPS>(words, left, k, m);
            lrc_mma_bf16(sums[0][m], words, y);
            lrc_mma_bf16(sums[1][m], words, y + 2);
        }
    }
}

/* d_u (R, 16 rows of this warp) += bᵀ tileᵀ */
template <int GROUPS>
static __device__ __forceinline__ void rank_u_add(float d_u[2][GROUPS][4], const uint16_t *b, uint16_t *tile)
{
    const int lane = (int)threadIdx.x % LRC_CUDA_LANES, warp = (int)threadIdx.x / LRC_CUDA_LANES;
    const int matrix = lane / 8;
#pragma unroll 2
    for (int k = 0; k < RANK_TILE; k += 16) {
        uint32_t y[4];
        lrc_ldmatrix_x4(y, rank_tile_at(tile, 16 * warp + matrix / 2 * 8 + lane % 8, k / 8 + matrix % 2));
#pragma unroll
        for (int m = 0; m < GROUPS; m++) {
            uint32_t words[4];
            rank_factor_get<GROUPS>(words, b, k, m);
            lrc_mma_bf16(d_u[0][m], words, y);
            lrc_mma_bf16(d_u[1][m], words, y + 2);
        }
    }
}

/* A warp's (R, 16) into (rank, n) from column `first` on. */
template <int GROUPS>
static __device__ __forceinline__ void rank_store(float *to, const float sums[2][GROUPS][4], int64_t rank,
                                                  int64_t first, int64_t n)
{
    const int lane = (int)threadIdx.x % LRC_CUDA_LANES, warp = (int)threadIdx.x / LRC_CUDA_LANES;
#pragma unroll
    for (int i = 0; i < 8 * GROUPS; i++) {
        const int     half = i / (4 * GROUPS), m = i / 4 % GROUPS, word = i % 4;
        const int64_t r = m * 16 + word / 2 * 8 + lane / 4;
        const int64_t c = first + 16 * warp + 8 * half + 2 * (lane % 4) + word % 2;
        if (r < rank && c < n)
            to[r * n + c] = sums[half][m][word];
    }
}

template <int GROUPS> static __device__ __forceinline__ void rank_clear(float sums[2][GROUPS][4])
{
#pragma unroll
    for (int i = 0; i < 8 * GROUPS; i++)
        sums[i / (4 * GROUPS)][i / 4 % GROUPS][i % 4] = 0.0f;
}

/* What a block goes through: for each of [first, end) tiles of columns (WITH_U) or groups of rows, up to
 * RANK_ROW_TILES tiles down the rows. */
template <int GROUPS, bool WITH_U> struct rank_walk {
    int64_t first, end, row, col;

    __device__ rank_walk(const rank_task &task)
    {
        constexpr int64_t rows = RANK_ROW_TILES<GROUPS> * RANK_TILE;
        const int64_t     all =
            WITH_U ? lrc_cuda_blocks(task.n_cols, RANK_TILE) : lrc_cuda_blocks(task.n_rows, rows);
        first = (int64_t)blockIdx.y * task.n_each;
        end = first + task.n_each < all ? first + task.n_each : all;
        row = WITH_U ? (int64_t)blockIdx.x * rows : 0;
        col = WITH_U ? 0 : (int64_t)blockIdx.x * RANK_TILE;
    }
    __device__ int64_t row_of(int64_t outer, int tile) const
    {
        return row + (WITH_U ? 0 : outer * RANK_ROW_TILES<GROUPS> * RANK_TILE) + (int64_t)tile * RANK_TILE;
    }
    __device__ int64_t col_of(int64_t outer) const
    {
        return col + (WITH_U ? outer * RANK_TILE : 0);
    }
};

template <int GROUPS, bool WITH_U>
static __global__ void __launch_bounds__(RANK_THREADS, 2) linear_rank_kernel(struct rank_task task)
{
    constexpr int TILES = RANK_ROW_TILES<GROUPS>;
    LRC_SHARED(uint16_t, shared);
    uint16_t *const left = shared + 2 * RANK_TILE * RANK_TILE, *const b = left + TILES * RANK_TILE *
                                                                                     RANK_PITCH<GROUPS>;
    const rank_walk<GROUPS, WITH_U> walk(task);
    float                           sums[2][GROUPS][4], d_u[WITH_U ? TILES : 1][2][GROUPS][4];
    int                             stage = 0;
    rank_tile_load(shared, task, walk.row_of(walk.first, 0), walk.col_of(walk.first));
    rank_clear<GROUPS>(sums);
    if (WITH_U) {
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
            rank_clear<GROUPS>(d_u[WITH_U ? tile : 0]);
        rank_factor_load<GROUPS>(left, task.left, task.left_dtype, task.left_scale, task.rank,
                                 walk.row_of(0, 0), TILES * RANK_TILE, task.n_rows);
    }
    for (int64_t outer = walk.first; outer < walk.end; outer++) {
        __syncthreads(); /* nobody reads the last factor any more */
        if (WITH_U)
            rank_factor_load<GROUPS>(b, task.b, LRC_DTYPE_F32, 1.0f, task.rank, walk.col_of(outer), RANK_TILE,
                                     task.n_cols);
        else
            rank_factor_load<GROUPS>(left, task.left, task.left_dtype, task.left_scale, task.rank,
                                     walk.row_of(outer, 0), TILES * RANK_TILE, task.n_rows);
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            if (walk.row_of(outer, tile) >= task.n_rows)
                break;
            lrc_cp_async_wait<0>();
            __syncthreads(); /* the tile and the factors are there, and nobody reads the tile before */
            const bool more = tile + 1 < TILES && walk.row_of(outer, tile + 1) < task.n_rows;
            uint16_t  *now = shared + stage * RANK_TILE * RANK_TILE;
            stage ^= 1;
            if (more || outer + 1 < walk.end)
                rank_tile_load(shared + stage * RANK_TILE * RANK_TILE, task,
                               walk.row_of(more ? outer : outer + 1, more ? tile + 1 : 0),
                               walk.col_of(more ? outer : outer + 1));
            rank_sums_add<GROUPS>(sums, left + tile * RANK_TILE * RANK_PITCH<GROUPS>, now);
            if (WITH_U)
                rank_u_add<GROUPS>(d_u[WITH_U ? tile : 0], b, now);
        }
        if (WITH_U) {
            rank_store<GROUPS>(task.sums + (int64_t)blockIdx.x * task.rank * task.n_cols, sums, task.rank,
                               walk.col_of(outer), task.n_cols);
            rank_clear<GROUPS>(sums);
        }
    }
    if (!WITH_U)
        rank_store<GROUPS>(task.sums + (int64_t)blockIdx.y * task.rank * task.n_cols, sums, task.rank,
                           walk.col, task.n_cols);
    else
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
            rank_store<GROUPS>(task.d_u + (int64_t)blockIdx.y * task.rank * task.n_rows,
                               d_u[WITH_U ? tile : 0], task.rank, walk.row_of(0, tile), task.n_rows);
}

/* to[r * r_stride + i * i_stride] = or += scale * the sum of parts (n_parts, rank, n) */
struct rank_parts {
    const float   *parts;
    int64_t        n_parts, rank, n;
    void          *to;
    enum lrc_dtype dtype;
    int64_t        r_stride, i_stride;
    float          scale;
    int            adds;
};

static __device__ __forceinline__ void rank_parts_add(const struct rank_parts &p)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, n_all = p.rank * p.n;
    if (i >= n_all)
        return;
    float sum = 0;
#pragma unroll 4
    for (int64_t part = 0; part < p.n_parts; part++)
        sum += p.parts[part * n_all + i];
    const int64_t to = i / p.n * p.r_stride + i % p.n * p.i_stride;
    sum *= p.scale;
    lrc_cuda_store(p.to, p.dtype, to, p.adds ? static_cast<const float *>(p.to)[to] + sum : sum);
}

/* Two results at once: of blocks (.., 0) and (.., 1). */
static __global__ void __launch_bounds__(THREADS)
    linear_rank_finish_kernel(struct rank_parts first, struct rank_parts second)
{
    if (blockIdx.y == 0)
        rank_parts_add(first);
    else
        rank_parts_add(second);
}

static enum lrc_status rank_finish(struct lrc_stream *stream, const rank_parts &first,
                                   const rank_parts &second, struct lrc_error *err)
{
    const int64_t n = first.rank * (first.n > second.n ? first.n : second.n);
    LRC_LAUNCH(linear_rank_finish_kernel, dim3((unsigned)lrc_cuda_blocks(n, THREADS), second.parts ? 2 : 1),
               THREADS, 0, stream, first, second);
    return LRC_CUDA_LAUNCHED(err, "linear: adapter's sums (%lld, %lld)", (long long)first.rank,
                             (long long)first.n);
}

/* ---- from the host ---- */

/* Blocks (x, y) of a task, and its parts. */
struct rank_grid {
    int64_t x, y, n_each;
};

static rank_grid rank_grid_of(int64_t n_rows, int64_t n_cols, int64_t rank, bool with_u)
{
    const int64_t groups_of_rows = lrc_cuda_blocks(n_rows, RANK_TILE * (rank <= 16 ? 4 : 2));
    const int64_t col_tiles = lrc_cuda_blocks(n_cols, RANK_TILE);
    rank_grid     grid;
    grid.x = with_u ? groups_of_rows : col_tiles;
    const int64_t outer = with_u ? col_tiles : groups_of_rows;
    grid.n_each = lrc_cuda_blocks(outer, lrc_cuda_blocks(RANK_BLOCKS, grid.x));
    grid.n_each = grid.n_each < RANK_EACH_MIN ? RANK_EACH_MIN : grid.n_each;
    grid.y = lrc_cuda_blocks(outer, grid.n_each);
    return grid;
}

/* Bytes of the parts of sums, and with d_u of its own behind them. */
static size_t rank_bytes(int64_t n_rows, int64_t n_cols, int64_t rank, bool with_u)
{
    const rank_grid grid = rank_grid_of(n_rows, n_cols, rank, with_u);
    return sizeof(float) * (size_t)(rank * (with_u ? grid.x * n_cols + grid.y * n_rows : grid.y * n_cols));
}

/* Where the parts go: NULL when there is no room, or when rows do not lie as the kernel reads them. The
 * products' own room is free between them. */
static float *rank_place(const linear_rows &y, int64_t rank, bool with_u, const linear_room &room)
{
    const struct lrc_tensor &t = y.tensor;
    if (y.compute != LRC_DTYPE_BF16 || !rows_are_direct(y) || rank > RANK_MAX || t.shape[1] % 8 != 0 ||
        t.stride[0] % 8 != 0 || (uintptr_t)t.data % 16 != 0)
        return nullptr;
    const size_t bytes = rank_bytes(t.shape[0], t.shape[1], rank, with_u);
    void *const  place = room.gemm.size_bytes >= bytes ? room.gemm.memory
                         : room.size_bytes >= bytes    ? room.memory
                                                       : nullptr;
    return static_cast<float *>(place);
}

template <int GROUPS, bool WITH_U>
static void rank_launch(struct lrc_stream *stream, const rank_task &task, const rank_grid &grid)
{
    LRC_SHARED_ALLOW((linear_rank_kernel<GROUPS, WITH_U>), RANK_SHARED_BYTES<GROUPS>);
    LRC_LAUNCH((linear_rank_kernel<GROUPS, WITH_U>), dim3((unsigned)grid.x, (unsigned)grid.y), RANK_THREADS,
               RANK_SHARED_BYTES<GROUPS>, stream, task);
}

static enum lrc_status rank_run(struct lrc_stream *stream, const rank_task &task, const rank_grid &grid,
                                struct lrc_error *err)
{
    if (task.rank <= 16)
        task.b ? rank_launch<1, true>(stream, task, grid) : rank_launch<1, false>(stream, task, grid);
    else
        task.b ? rank_launch<2, true>(stream, task, grid) : rank_launch<2, false>(stream, task, grid);
    return LRC_CUDA_LAUNCHED(err, "linear: adapter's gradients (%lld, %lld), rank %lld",
                             (long long)task.n_rows, (long long)task.n_cols, (long long)task.rank);
}

#endif
