#include "common/cuda.cuh"

/* A warp to a block, a lane to two neighbours, which share a byte. The second pass over the elements finds
 * them in the first-level cache. */
constexpr int   WARPS = 8, THREADS = WARPS * LRC_CUDA_LANES, PAIR = 2;
constexpr float ABSMAX_MIN = 1e-38f; /* an all-zero block divides by this */

struct quantize_work {
    struct lrc_quantize_blocks_args args;
    int64_t                         n, n_blocks;
};

/* max |x| over the lanes, NaN and infinity included: without their sign, floats have the order of their
 * bits. */
static __device__ __forceinline__ float warp_absmax(uint32_t bits)
{
    for (int offset = LRC_CUDA_LANES / 2; offset > 0; offset /= 2) {
        const uint32_t other = __shfl_xor_sync(0xffffffffu, bits, offset);
        bits = other > bits ? other : bits;
    }
    return __uint_as_float(bits);
}

/* The code of x; every operation rounded by itself. */
static __device__ __forceinline__ uint32_t code_of(const struct lrc_quantize_levels &levels, float x,
                                                   float by, int is_full)
{
    const float y = is_full ? __fmul_rn(x, __fdiv_rn(1.0f, by)) : __fdiv_rn(x, by);
    const float within = y > 1.0f ? 1.0f : y < -1.0f ? -1.0f : y;
    int         level = 0;
#pragma unroll
    for (int t = 0; t < 15; t++)
        level += within > levels.threshold[t];
    return levels.code[level];
}

static __global__ void __launch_bounds__(THREADS) quantize_blocks_kernel(struct quantize_work w)
{
    const struct lrc_quantize_blocks_args &args = w.args;
    const int                              lane = threadIdx.x % LRC_CUDA_LANES;
    const int64_t                          block = (int64_t)blockIdx.x * WARPS + threadIdx.x / LRC_CUDA_LANES;
    if (block >= w.n_blocks)
        return; /* the whole warp */
    const int64_t first = block * args.block_elems, left = w.n - first;
    const int64_t end = first + (left < args.block_elems ? left : args.block_elems);
    const int     is_full = left >= args.block_elems;
    uint32_t      most = 0;
    for (int64_t i = first + lane; i < end; i += LRC_CUDA_LANES) {
        const uint32_t bits = __float_as_uint(lrc_cuda_load(args.x.data, args.x.dtype, i)) & 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    const float absmax = warp_absmax(most), by = absmax > ABSMAX_MIN ? absmax : ABSMAX_MIN;
    for (int64_t i = first + lane * PAIR; i < end; i += LRC_CUDA_LANES * PAIR) {
        const float high = lrc_cuda_load(args.x.data, args.x.dtype, i);
        const float low = i + 1 < end ? lrc_cuda_load(args.x.data, args.x.dtype, i + 1) : 0.0f;
        args.packed[i / 2] =
            (uint8_t)(code_of(args.levels, high, by, is_full) << 4 | code_of(args.levels, low, by, is_full));
    }
    if (lane == 0)
        args.absmax[block] = is_full ? absmax : by;
}

LRC_CUDA_OP(quantize_blocks)
(struct lrc_stream *stream, const struct lrc_quantize_blocks_args *args, struct lrc_error *err)
{
    struct quantize_work w = { *args, lrc_tensor_elems(&args->x), 0 };
    w.n_blocks = lrc_cuda_blocks(w.n, args->block_elems);
    if (w.n == 0)
        return LRC_STATUS_OK;
    const int64_t n_groups = lrc_cuda_blocks(w.n_blocks, WARPS);
    LRC_LAUNCH(quantize_blocks_kernel, dim3(n_groups > INT32_MAX ? 0u : (unsigned)n_groups), THREADS, 0,
               stream, w);
    return LRC_CUDA_LAUNCHED(err, "quantize: %lld elements", (long long)w.n);
}
