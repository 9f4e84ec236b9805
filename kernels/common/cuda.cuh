/* What every <op>_cuda.cu begins with: the seam in C++, launches, errors that name op and shape, element
 * types.
 *
 *   LRC_CUDA_OP(rmsnorm_forward)(struct lrc_stream *stream, const struct lrc_rmsnorm_forward_args *args,
 *                                struct lrc_error *err)
 *   { ...; return LRC_CUDA_LAUNCHED(err, "rmsnorm_forward: (%lld, %lld)", (long long)n, (long long)dim); } */
#ifndef LRC_KERNELS_COMMON_CUDA_CUH
#define LRC_KERNELS_COMMON_CUDA_CUH

#include "common/launch.cuh"

#include <cstdarg>
#include <cstdint>
#include <cstdio>

#define _Noreturn [[noreturn]]
extern "C" {
#include "backend.h"
}
#undef _Noreturn

#define LRC_CUDA_OP(op) extern "C" enum lrc_status lrc_##op##_cuda

/* OK, or a DEVICE error with the sentence and what the runtime says of the last launch. */
#define LRC_CUDA_LAUNCHED(err, ...) lrc_cuda_result(cudaGetLastError(), err, __VA_ARGS__)

static inline enum lrc_status lrc_cuda_result(cudaError_t result, struct lrc_error *err, const char *format,
                                              ...) LRC_PRINTF(3, 4);
static inline enum lrc_status lrc_cuda_result(cudaError_t result, struct lrc_error *err, const char *format,
                                              ...)
{
    if (result == cudaSuccess)
        return LRC_STATUS_OK;
    (void)cudaGetLastError(); /* told here, and not once more to whoever asks next */
    char where[256];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(where, sizeof where, format, list);
    va_end(list);
    const enum lrc_status status = result == cudaErrorMemoryAllocation ? LRC_STATUS_NOMEM : LRC_STATUS_DEVICE;
    return lrc_fail(err, status, "%s: want success, got: %s", where, cudaGetErrorString(result));
}

constexpr int LRC_CUDA_LANES = 32;

static __host__ __device__ __forceinline__ int64_t lrc_cuda_blocks(int64_t n, int64_t each)
{
    return (n + each - 1) / each;
}

/* ---- element types; bits as on the CPU (tensor/dtype.h), NaN included ---- */

static __device__ __forceinline__ float lrc_cuda_from_bf16(uint16_t bits)
{
    return __uint_as_float((uint32_t)bits << 16);
}

static __device__ __forceinline__ uint16_t lrc_cuda_to_bf16(float value)
{
    const uint32_t wide = __float_as_uint(value);
    if ((wide & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((wide >> 16) | 0x40u);
    return (uint16_t)((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16);
}

static __device__ __forceinline__ uint32_t lrc_cuda_pack_bf16(float low, float high)
{
    return (uint32_t)lrc_cuda_to_bf16(low) | (uint32_t)lrc_cuda_to_bf16(high) << 16;
}

/* The exponent moves by multiplication, which is exact for subnormal halves too. */
static __device__ __forceinline__ float lrc_cuda_from_f16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, magnitude = (uint32_t)(bits & 0x7fffu) << 13;
    if ((bits & 0x7c00u) == 0x7c00u)
        return __uint_as_float(sign | 0x7f800000u | magnitude);
    return __uint_as_float(sign | __float_as_uint(__uint_as_float(magnitude) * 0x1p112f));
}

/* Element i of an F32, BF16 or F16 array as float32. */
static __device__ __forceinline__ float lrc_cuda_load(const void *data, enum lrc_dtype dtype, int64_t i)
{
    if (dtype == LRC_DTYPE_F32)
        return static_cast<const float *>(data)[i];
    const uint16_t bits = static_cast<const uint16_t *>(data)[i];
    return dtype == LRC_DTYPE_BF16 ? lrc_cuda_from_bf16(bits) : lrc_cuda_from_f16(bits);
}

/* To an F32 or BF16 array, rounded once. */
static __device__ __forceinline__ void lrc_cuda_store(void *data, enum lrc_dtype dtype, int64_t i,
                                                      float value)
{
    if (dtype == LRC_DTYPE_F32)
        static_cast<float *>(data)[i] = value;
    else
        static_cast<uint16_t *>(data)[i] = lrc_cuda_to_bf16(value);
}

/* ---- a warp's sum and maximum, the same in every lane, in a fixed order ---- */

template <typename T> static __device__ __forceinline__ T lrc_cuda_warp_sum(T value)
{
    for (int offset = LRC_CUDA_LANES / 2; offset > 0; offset /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, offset);
    return value;
}

static __device__ __forceinline__ float lrc_cuda_warp_max(float value)
{
    for (int offset = LRC_CUDA_LANES / 2; offset > 0; offset /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
    return value;
}

#endif
