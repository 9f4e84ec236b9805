/* Rows of F32, BF16 or F16 in groups of eight elements, and sums over a block: vec_cpu.h's counterpart, for
 * <op>_cuda.cu only.
 *
 * A thread takes a group: one 128-bit access of a 16-bit type, two of F32; scalars where a row is not aligned
 * or ends inside the group. The type is a run-time value, the same for a whole launch, so that a kernel
 * exists once whatever the types of its arguments; the branch is uniform and costs less than what a group
 * waits for memory. Fetching is apart from widening, so that the loads of all operands are under way before
 * the first is needed. In-place works: a thread fetches its group before it stores the same group. */
#ifndef LRC_KERNELS_COMMON_VEC_CUDA_CUH
#define LRC_KERNELS_COMMON_VEC_CUDA_CUH

#include "common/cuda.cuh"

constexpr int LRC_VEC_GROUP = 8;
constexpr int LRC_VEC_THREADS = 256;  /* of a block: eight blocks fill a multiprocessor */
constexpr int LRC_VEC_WARPS_MAX = 32; /* of any block: elements of shared memory that a block sum needs */
constexpr int LRC_VEC_BLOCK_ELEMS = LRC_VEC_THREADS * LRC_VEC_GROUP;

/* ---- views ---- */

struct lrc_vec_view {
    unsigned char *data;
    int64_t        stride; /* between rows, in elements */
    enum lrc_dtype dtype;
    int            is_aligned; /* every row begins at a multiple of 16 bytes */
};

/* The first n_rows rows of a tensor of one or two dimensions. */
static inline struct lrc_vec_view lrc_vec_view_of(const struct lrc_tensor *tensor, int64_t n_rows)
{
    struct lrc_vec_view view;
    view.data = (unsigned char *)tensor->data;
    view.stride = tensor->n_dims == 2 ? tensor->stride[0] : 0;
    view.dtype = tensor->dtype;
    const int64_t row_bytes = view.stride * (view.dtype == LRC_DTYPE_F32 ? 4 : 2);
    view.is_aligned = (uintptr_t)view.data % 16 == 0 && (n_rows <= 1 || row_bytes % 16 == 0);
    return view;
}

/* How an elementwise kernel is cut: block (row, chunk), thread a group of the chunk. */
struct lrc_vec_tiles {
    int64_t  n_rows;
    int64_t  n_cols;
    unsigned n_chunks; /* of LRC_VEC_BLOCK_ELEMS columns, the last one shorter */
};

static inline struct lrc_vec_tiles lrc_vec_tiles_of(int64_t n_rows, int64_t n_cols)
{
    struct lrc_vec_tiles tiles = { n_rows, n_cols, 0 };
    tiles.n_chunks = (unsigned)((n_cols + LRC_VEC_BLOCK_ELEMS - 1) / LRC_VEC_BLOCK_ELEMS);
    return tiles;
}

/* Tensors of one shape; contiguous ones become one long row, whose alignment does not depend on its width. */
static inline struct lrc_vec_tiles lrc_vec_tiles_same(const struct lrc_tensor *const *tensors, int n)
{
    const int64_t n_rows = tensors[0]->shape[0], n_cols = tensors[0]->shape[1];
    for (int i = 0; i < n; i++)
        if (!lrc_tensor_is_contiguous(tensors[i]))
            return lrc_vec_tiles_of(n_rows, n_cols);
    return lrc_vec_tiles_of(n_rows * n_cols > 0 ? 1 : 0, n_rows * n_cols);
}

/* A number of blocks that a grid cannot have becomes 0, which the launch refuses. */
static inline dim3 lrc_vec_grid(int64_t n_blocks)
{
    return dim3(n_blocks > INT32_MAX ? 0u : (unsigned)n_blocks);
}

/* ---- groups ---- */

struct alignas(16) lrc_vec_word {
    uint32_t w[4]; /* one 128-bit access, its elements by index */
};

/* A group as stored: F32 in both words, a 16-bit type in word[0], the lower index in the low half. */
struct lrc_vec_raw {
    struct lrc_vec_word word[2];
};

struct lrc_vec_place {
    int64_t row;
    int64_t col;    /* of the group's first element */
    int64_t n_cols; /* elements at or beyond it are not there: read as 0, not written */
};

static __device__ __forceinline__ struct lrc_vec_place lrc_vec_place_of(struct lrc_vec_tiles tiles)
{
    const unsigned row = blockIdx.x / tiles.n_chunks, chunk = blockIdx.x - row * tiles.n_chunks;
    const int64_t  first = (int64_t)chunk * LRC_VEC_BLOCK_ELEMS;
    return { (int64_t)row, first + (int64_t)threadIdx.x * LRC_VEC_GROUP, tiles.n_cols };
}

static __device__ __forceinline__ unsigned char *lrc_vec_at(const struct lrc_vec_view &view, int64_t row,
                                                            int64_t col)
{
    return view.data + (row * view.stride + col) * (view.dtype == LRC_DTYPE_F32 ? 4 : 2);
}

static __device__ __forceinline__ struct lrc_vec_raw lrc_vec_fetch(const struct lrc_vec_view &view,
                                                                   struct lrc_vec_place       at)
{
    struct lrc_vec_raw   raw = { { { { 0, 0, 0, 0 } }, { { 0, 0, 0, 0 } } } };
    const unsigned char *from = lrc_vec_at(view, at.row, at.col);
    if (view.is_aligned && at.col + LRC_VEC_GROUP <= at.n_cols) {
        raw.word[0] = ((const struct lrc_vec_word *)from)[0];
        if (view.dtype == LRC_DTYPE_F32)
            raw.word[1] = ((const struct lrc_vec_word *)from)[1];
        return raw;
    }
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++) {
        if (at.col + i >= at.n_cols)
            continue;
        if (view.dtype == LRC_DTYPE_F32)
            raw.word[i / 4].w[i % 4] = ((const uint32_t *)from)[i];
        else
            raw.word[0].w[i / 2] |= (uint32_t)((const uint16_t *)from)[i] << (i % 2 * 16);
    }
    return raw;
}

static __device__ __forceinline__ void lrc_vec_put(const struct lrc_vec_view &view, struct lrc_vec_place at,
                                                   const struct lrc_vec_raw &raw)
{
    unsigned char *to = lrc_vec_at(view, at.row, at.col);
    if (view.is_aligned && at.col + LRC_VEC_GROUP <= at.n_cols) {
        ((struct lrc_vec_word *)to)[0] = raw.word[0];
        if (view.dtype == LRC_DTYPE_F32)
            ((struct lrc_vec_word *)to)[1] = raw.word[1];
        return;
    }
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++) {
        if (at.col + i >= at.n_cols)
            continue;
        if (view.dtype == LRC_DTYPE_F32)
            ((uint32_t *)to)[i] = raw.word[i / 4].w[i % 4];
        else
            ((uint16_t *)to)[i] = (uint16_t)(raw.word[0].w[i / 2] >> (i % 2 * 16));
    }
}

/* ---- conversions ---- */

/* Two floats to bf16, to nearest, ties to even, the first in the low half; NaN becomes 0x7fff. One
 * instruction where lrc_cuda_pack_bf16(), which keeps a NaN's payload, takes about twelve.
 * source: PTX ISA, cvt.rn.bf16x2.f32; sm_80 and later. */
#ifndef LRC_CUDA_HOST
static __device__ __forceinline__ uint32_t lrc_vec_pack_bf16(float low, float high)
{
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}
#else
static inline uint32_t lrc_vec_pack_bf16(float low, float high)
{
    const uint32_t low_bits = std::isnan(low) ? 0x7fffu : lrc_bf16_from_f32(low);
    const uint32_t high_bits = std::isnan(high) ? 0x7fffu : lrc_bf16_from_f32(high);
    return low_bits | high_bits << 16;
}
#endif

static __device__ __forceinline__ void lrc_vec_widen(float out[LRC_VEC_GROUP], const struct lrc_vec_raw &raw,
                                                     enum lrc_dtype dtype)
{
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++) {
        const uint32_t pair = raw.word[0].w[i / 2];
        if (dtype == LRC_DTYPE_F32)
            out[i] = __uint_as_float(raw.word[i / 4].w[i % 4]);
        else if (dtype == LRC_DTYPE_BF16)
            out[i] = __uint_as_float(i % 2 ? pair & 0xffff0000u : pair << 16);
        else
            out[i] = lrc_cuda_from_f16((uint16_t)(i % 2 ? pair >> 16 : pair));
    }
}

/* To an activation type, F32 or BF16. */
static __device__ __forceinline__ struct lrc_vec_raw lrc_vec_narrow(const float    in[LRC_VEC_GROUP],
                                                                    enum lrc_dtype dtype)
{
    struct lrc_vec_raw raw = { { { { 0, 0, 0, 0 } }, { { 0, 0, 0, 0 } } } };
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++) {
        if (dtype == LRC_DTYPE_F32)
            raw.word[i / 4].w[i % 4] = __float_as_uint(in[i]);
        else if (i % 2 == 0)
            raw.word[0].w[i / 2] = lrc_vec_pack_bf16(in[i], in[i + 1]);
    }
    return raw;
}

static __device__ __forceinline__ void lrc_vec_load(float out[LRC_VEC_GROUP], const struct lrc_vec_view &view,
                                                    struct lrc_vec_place at)
{
    lrc_vec_widen(out, lrc_vec_fetch(view, at), view.dtype);
}

static __device__ __forceinline__ void lrc_vec_store(const struct lrc_vec_view &view, struct lrc_vec_place at,
                                                     const float in[LRC_VEC_GROUP])
{
    lrc_vec_put(view, at, lrc_vec_narrow(in, view.dtype));
}

/* ---- functions ---- */

/* e^x, 0 below 2^-126 as on the CPU; NaN is kept. */
static __device__ __forceinline__ float lrc_vec_exp(float x)
{
    const float e = expf(x);
    return e < 0x1p-126f ? 0.0f : e;
}

static __device__ __forceinline__ float lrc_vec_sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* Sum over a block of whole warps, the same bits in every thread: lanes by halving distance, then warps in
 * order. scratch: LRC_VEC_WARPS_MAX elements of shared memory for this call alone: no barrier guards a second
 * use. */
template <typename T> static __device__ T lrc_vec_block_sum(T value, T *scratch)
{
    value = lrc_cuda_warp_sum(value);
    if (threadIdx.x % LRC_CUDA_LANES == 0)
        scratch[threadIdx.x / LRC_CUDA_LANES] = value;
    __syncthreads();
    T total = 0;
    for (unsigned warp = 0; warp < blockDim.x / LRC_CUDA_LANES; warp++)
        total += scratch[warp];
    return total;
}

/* The same for a maximum that passes over NaN. */
static __device__ inline float lrc_vec_block_max(float value, float *scratch)
{
    value = lrc_cuda_warp_max(value);
    if (threadIdx.x % LRC_CUDA_LANES == 0)
        scratch[threadIdx.x / LRC_CUDA_LANES] = value;
    __syncthreads();
    float largest = scratch[0];
    for (unsigned warp = 1; warp < blockDim.x / LRC_CUDA_LANES; warp++)
        largest = fmaxf(largest, scratch[warp]);
    return largest;
}

#endif
