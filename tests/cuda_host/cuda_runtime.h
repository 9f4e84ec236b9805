/* Stand-in for the CUDA runtime: runs kernels on the CPU, so that their indexing, barriers and arithmetic are
 * tested (and sanitized) where there is no GPU. Found before the toolkit's header by include order.
 *
 * One block at a time, in shuffled order; each CUDA thread is a fiber. A fiber runs until it waits at a
 * barrier or warp operation. Who runs next is drawn from LRC_CUDA_HOST_SEED: by turns all warps go on
 * together, or one runs ahead as far as it can, so that code which lacks a barrier sees stale values. Shared
 * memory is poisoned before each block, device memory when it is allocated. Waiting for a thread that never
 * comes ends the program with the kernel, block and thread named.
 *
 * What it cannot show: memory ordering without a barrier, bank conflicts, occupancy, the rounding of
 * approximate instructions. Asynchronous copies arrive as late as they may, so that one which nobody waits
 * for is seen. */
#ifndef LRC_TESTS_CUDA_HOST_CUDA_RUNTIME_H
#define LRC_TESTS_CUDA_HOST_CUDA_RUNTIME_H

#include <math.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

#define LRC_CUDA_HOST 1
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __restrict__ __restrict

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

struct lrc_cuda_host_index {
    dim3 thread, block, block_dim, grid_dim;
};
const lrc_cuda_host_index &lrc_cuda_host_here();
#define threadIdx (lrc_cuda_host_here().thread)
#define blockIdx  (lrc_cuda_host_here().block)
#define blockDim  (lrc_cuda_host_here().block_dim)
#define gridDim   (lrc_cuda_host_here().grid_dim)

/* Runs a kernel now. */
void  lrc_cuda_host_run(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                        const std::function<void()> &body);
void *lrc_cuda_host_shared();
/* The array that belongs to `key` in this block; poisoned when the block first asks for it. */
void *lrc_cuda_host_shared_array(const void *key, size_t bytes);
void  lrc_cuda_host_block_barrier();
int   lrc_cuda_host_lane();
/* Every lane of `mask` gives `bytes` (at most 32); returns what all 32 lanes gave, lane after lane; lanes
 * outside the mask read as 0xff. Valid until this thread's next warp operation. */
const unsigned char *lrc_cuda_host_gather(unsigned mask, const void *give, size_t bytes);

/* `all` bytes to shared memory, of which `bytes` are read and the rest is zero. They arrive as late as the
 * waits allow. */
void lrc_cuda_host_copy_async(void *to_shared, const void *from, size_t bytes, size_t all);
void lrc_cuda_host_copy_commit();
void lrc_cuda_host_copy_wait(size_t n_under_way);

/* What common/wgmma.cuh asks for (warpgroup.cc). A product of a warp group: d (64, n) += a (64, 16) b (16,
 * n), `a` in four words of every lane, or as b by a descriptor. */
struct lrc_cuda_host_product_args {
    float          *d; /* n / 2 of a lane */
    int             n;
    const uint32_t *a_words; /* NULL: by descriptor; unchanged until it was waited for */
    uint64_t        a, b;
    bool            b_is_mn_major, is_first;
};
void     lrc_cuda_host_product(const lrc_cuda_host_product_args &args);
void     lrc_cuda_host_product_fence();
void     lrc_cuda_host_product_commit();
void     lrc_cuda_host_product_wait(size_t n_under_way);
void     lrc_cuda_host_publish();
uint32_t lrc_cuda_host_shared_address(const void *shared); /* of the device's window of shared memory */

/* Ends the program, as a device would, when an address is not a multiple of `bytes`. */
void lrc_cuda_host_aligned(const void *address, size_t bytes);

inline void __syncthreads()
{
    lrc_cuda_host_block_barrier();
}
inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    lrc_cuda_host_gather(mask, "", 1);
}
inline void __threadfence()
{
}

/* A lane out of range reads its own value, as on the device. */
template <typename T> T lrc_cuda_host_shuffle(unsigned mask, T value, int source, int width)
{
    const int            lane = lrc_cuda_host_lane();
    const unsigned char *all = lrc_cuda_host_gather(mask, &value, sizeof value);
    if (source >= 0 && source < 32 && source / width == lane / width)
        memcpy(&value, all + (size_t)source * sizeof value, sizeof value);
    return value;
}
template <typename T> T __shfl_sync(unsigned mask, T value, int lane, int width = 32)
{
    return lrc_cuda_host_shuffle(mask, value, lrc_cuda_host_lane() / width * width + lane % width, width);
}
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32)
{
    return lrc_cuda_host_shuffle(mask, value, lrc_cuda_host_lane() ^ lane_mask, width);
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    return lrc_cuda_host_shuffle(mask, value, lrc_cuda_host_lane() + (int)delta, width);
}
template <typename T> T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    return lrc_cuda_host_shuffle(mask, value, lrc_cuda_host_lane() - (int)delta, width);
}
inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    const unsigned char  mine = predicate != 0;
    const unsigned char *all = lrc_cuda_host_gather(mask, &mine, 1);
    unsigned             votes = 0;
    for (int lane = 0; lane < 32; lane++)
        votes |= (all[lane] == 1 ? 1u : 0u) << lane;
    return votes;
}
inline int __any_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}

/* ---- arithmetic; the build of this folder does not contract a * b + c ---- */

inline float rsqrtf(float x)
{
    return 1.0f / std::sqrt(x);
}
inline double rsqrt(double x)
{
    return 1.0 / std::sqrt(x);
}
inline float __fmul_rn(float a, float b)
{
    return a * b;
}
inline float __fadd_rn(float a, float b)
{
    return a + b;
}
inline float __fsub_rn(float a, float b)
{
    return a - b;
}
inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
inline float __fsqrt_rn(float a)
{
    return std::sqrt(a);
}
inline float __fmaf_rn(float a, float b, float c)
{
    return std::fma(a, b, c);
}
inline double __dmul_rn(double a, double b)
{
    return a * b;
}
inline double __dadd_rn(double a, double b)
{
    return a + b;
}
inline double __ddiv_rn(double a, double b)
{
    return a / b;
}
inline double __dsqrt_rn(double a)
{
    return std::sqrt(a);
}
inline float __expf(float x)
{
    return std::exp(x);
}
inline float __logf(float x)
{
    return std::log(x);
}
inline float __fdividef(float a, float b)
{
    return a / b;
}
inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}

template <typename To, typename From> To lrc_cuda_host_bits(From from)
{
    To to;
    static_assert(sizeof to == sizeof from, "same size");
    memcpy(&to, &from, sizeof to);
    return to;
}
inline float __uint_as_float(unsigned x)
{
    return lrc_cuda_host_bits<float>(x);
}
inline unsigned __float_as_uint(float x)
{
    return lrc_cuda_host_bits<unsigned>(x);
}
inline float __int_as_float(int x)
{
    return lrc_cuda_host_bits<float>(x);
}
inline int __float_as_int(float x)
{
    return lrc_cuda_host_bits<int>(x);
}

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
inline float2 make_float2(float x, float y)
{
    return { x, y };
}
inline float4 make_float4(float x, float y, float z, float w)
{
    return { x, y, z, w };
}
inline uint2 make_uint2(unsigned x, unsigned y)
{
    return { x, y };
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return { x, y, z, w };
}

template <typename T> T __ldg(const T *p)
{
    return *p;
}
template <typename T> T atomicAdd(T *p, T v)
{
    const T old = *p;
    *p = old + v;
    return old;
}

/* ---- the runtime's calls (runtime.cc, streams.cc): one device with memory of its own, which the host cannot
 * touch; launches and transfers are queued and run when somebody waits ---- */

typedef struct lrc_cuda_host_stream *cudaStream_t;
typedef struct lrc_cuda_host_event  *cudaEvent_t;
enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorStreamCaptureUnjoined = 904,
    cudaErrorStreamCaptureIsolation = 905,
    cudaErrorUnknown = 999
};
enum cudaMemcpyKind { cudaMemcpyDeviceToDevice = 3, cudaMemcpyDefault };
struct cudaDeviceProp {
    char name[256];
    int  major, minor, multiProcessorCount;
};
cudaError_t cudaGetLastError();
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *device, int index);
enum cudaDeviceAttr { cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrComputeCapabilityMinor = 76 };
cudaError_t        cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int index);
cudaError_t        cudaSetDevice(int index);
cudaError_t        cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t        cudaMalloc(void **memory, size_t bytes);
cudaError_t        cudaFree(void *memory);
cudaError_t        cudaMallocHost(void **memory, size_t bytes);
constexpr unsigned cudaHostAllocMapped = 2;
cudaError_t        cudaHostAlloc(void **memory, size_t bytes, unsigned flags);
cudaError_t        cudaFreeHost(void *memory);
cudaError_t        cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream);
cudaError_t        cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream);
cudaError_t        cudaStreamSynchronize(cudaStream_t stream);
constexpr unsigned cudaStreamNonBlocking = 1;
cudaError_t        cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t        cudaStreamDestroy(cudaStream_t stream);
cudaError_t        cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t        cudaEventCreate(cudaEvent_t *event);
cudaError_t        cudaEventDestroy(cudaEvent_t event);
cudaError_t        cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t        cudaEventSynchronize(cudaEvent_t event);
cudaError_t        cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to);

/* Recording: what is queued meanwhile goes into the graph and does not run; a stream that waits for a
 * recorded event is recorded along, and must be waited for before the end. A call that would wait or allocate
 * fails and spoils the recording, and work for another stream ends the program. */
typedef struct lrc_cuda_host_graph *cudaGraph_t;
typedef struct lrc_cuda_host_graph *cudaGraphExec_t;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *made, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);

/* Work of the device in the stream's order. */
void lrc_cuda_host_queue(cudaStream_t stream, std::function<cudaError_t()> work);
/* Ends the program when one of the words of a kernel's arguments is an address of host memory. */
void lrc_cuda_host_check_arguments(const char *kernel, const void *words, size_t bytes);
void lrc_cuda_host_launch_checked(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                                  cudaStream_t stream, std::function<void()> body);
/* What lies between the members of a struct is whatever the stack held, and may look like an address. */
template <typename T> void lrc_cuda_host_check_argument(const char *kernel, T &argument)
{
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
    if (std::is_class<T>::value) {
        __builtin_clear_padding(&argument);
        lrc_cuda_host_check_arguments(kernel, &argument, sizeof argument);
    }
#endif
#endif
    if (std::is_pointer<T>::value)
        lrc_cuda_host_check_arguments(kernel, &argument, sizeof argument);
}

/* Arguments are copied now and used when the kernel runs, as on a device. */
template <typename... Parameters, typename... Arguments>
void lrc_cuda_host_launch(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                          void (*function)(Parameters...), const Arguments &...arguments)
{
    std::tuple<Parameters...> copies(arguments...);
    std::apply([=](Parameters &...copy) { (lrc_cuda_host_check_argument(kernel, copy), ...); }, copies);
    lrc_cuda_host_launch_checked(kernel, grid, block, shared_bytes, stream,
                                 [=] { std::apply(function, copies); });
}

#endif
