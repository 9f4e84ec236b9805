#include "common/cuda.cuh"

#define _Noreturn [[noreturn]]
extern "C" {
#include "common/memory_cuda.h"
}
#undef _Noreturn

/* What fails here shows at the next synchronize(): the seam's zero() has no error to give. */
extern "C" void lrc_cuda_zero(struct lrc_stream *stream, void *memory, size_t size_bytes)
{
    if (size_bytes > 0)
        (void)cudaMemsetAsync(memory, 0, size_bytes, (cudaStream_t)stream);
}

extern "C" enum lrc_status lrc_cuda_allocate(void **memory, size_t size_bytes, struct lrc_error *err)
{
    *memory = nullptr;
    return lrc_cuda_result(cudaMalloc(memory, size_bytes > 0 ? size_bytes : 1), err,
                           "cuda: allocate %zu bytes", size_bytes);
}

extern "C" void lrc_cuda_release(void *memory)
{
    (void)cudaFree(memory);
}

extern "C" enum lrc_status lrc_cuda_upload(struct lrc_stream *stream, void *to, const void *from,
                                           size_t size_bytes, struct lrc_error *err)
{
    return lrc_cuda_result(
        cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyHostToDevice, (cudaStream_t)stream), err,
        "cuda: upload %zu bytes", size_bytes);
}

extern "C" enum lrc_status lrc_cuda_download(struct lrc_stream *stream, void *to, const void *from,
                                             size_t size_bytes, struct lrc_error *err)
{
    return lrc_cuda_result(
        cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDeviceToHost, (cudaStream_t)stream), err,
        "cuda: download %zu bytes", size_bytes);
}

extern "C" enum lrc_status lrc_cuda_synchronize(struct lrc_stream *stream, struct lrc_error *err)
{
    return lrc_cuda_result(cudaStreamSynchronize((cudaStream_t)stream), err, "cuda: synchronize");
}

extern "C" int lrc_cuda_device_count(void)
{
    int n = 0;
    return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
}
