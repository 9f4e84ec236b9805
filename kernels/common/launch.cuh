/* The one way to launch a kernel, so that the same source also runs on the CPU (tests/cuda_host).
 *
 *   LRC_LAUNCH(rmsnorm_warp_kernel, blocks, dim3(32, 8), 0, stream, args);
 *   LRC_LAUNCH((add_kernel<float, 4>), blocks, 256, 0, stream, args);       parentheses where there are
 * commas
 *
 * Dynamic shared memory is LRC_SHARED(type, name), a fixed array LRC_SHARED_ARRAY(type, name, n), never a
 * bare
 * __shared__: both are poisoned with NaN before every block where there is no GPU. More than 48 KiB needs
 * LRC_SHARED_ALLOW(kernel, bytes) before the launch. */
#ifndef LRC_KERNELS_COMMON_LAUNCH_CUH
#define LRC_KERNELS_COMMON_LAUNCH_CUH

#include <cuda_runtime.h>

#ifdef LRC_CUDA_HOST
#define LRC_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                           \
    (lrc_cuda_host_enter((cudaStream_t)(stream)),                                                            \
     lrc_cuda_host_launch(#kernel, grid, block, shared_bytes, kernel, __VA_ARGS__))
#define LRC_SHARED(type, name) type *name = reinterpret_cast<type *>(lrc_cuda_host_shared())
#define LRC_SHARED_ARRAY(type, name, n)                                                                      \
    static const char name##_key = 0;                                                                        \
    type *const       name =                                                                                 \
        static_cast<type *>(lrc_cuda_host_shared_array(&name##_key, static_cast<size_t>(n) * sizeof(type)))
#define LRC_SHARED_ALLOW(kernel, bytes) (void)(bytes)
#else
#define LRC_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                           \
    kernel<<<grid, block, shared_bytes, (cudaStream_t)(stream)>>>(__VA_ARGS__)
#define LRC_SHARED(type, name)                                                                               \
    extern __shared__ __align__(16) unsigned char lrc_smem[];                                                \
    type *const                                   name = reinterpret_cast<type *>(lrc_smem)
#define LRC_SHARED_ARRAY(type, name, n) __shared__ __align__(16) type name[n]
/* a refusal shows as the launch's own error */
#define LRC_SHARED_ALLOW(kernel, bytes)                                                                      \
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes))
#endif

#endif
