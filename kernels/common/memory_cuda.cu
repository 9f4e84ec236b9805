#include "common/cuda.cuh"

#define _Noreturn [[noreturn]]
extern "C" {
#include "common/memory_cuda.h"
}
#undef _Noreturn

/* ---- memory ---- */

static enum lrc_status fail_memory(cudaError_t result, const char *what, size_t size_bytes,
                                   struct lrc_error *err)
{
    size_t free_bytes = 0, total_bytes = 0;
    if (result == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); /* kept for the next one who asks */
        if (cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess)
            return lrc_fail(err, LRC_STATUS_NOMEM, "cuda: want %zu bytes of %s, got %zu of %zu free",
                            size_bytes, what, free_bytes, total_bytes);
    }
    return lrc_cuda_result(result, err, "cuda: allocate %zu bytes of %s", size_bytes, what);
}

static enum lrc_status device_allocate(void **memory, size_t size_bytes, struct lrc_error *err)
{
    *memory = nullptr;
    return fail_memory(cudaMalloc(memory, size_bytes > 0 ? size_bytes : 1), "device memory", size_bytes, err);
}

static void device_release(void *memory)
{
    (void)cudaFree(memory);
}

static enum lrc_status device_clear(void *memory, size_t size_bytes, struct lrc_error *err)
{
    lrc_cuda_zero(nullptr, memory, size_bytes);
    return lrc_cuda_synchronize(nullptr, err);
}

static enum lrc_status staging_allocate(void **memory, size_t size_bytes, struct lrc_error *err)
{
    *memory = nullptr;
    return fail_memory(cudaMallocHost(memory, size_bytes > 0 ? size_bytes : 1), "page-locked memory",
                       size_bytes, err);
}

/* With unified addressing, which every device on a 64-bit system has, its address is the kernels' too. */
static enum lrc_status mapped_allocate(void **memory, size_t size_bytes, struct lrc_error *err)
{
    *memory = nullptr;
    return fail_memory(cudaHostAlloc(memory, size_bytes > 0 ? size_bytes : 1, cudaHostAllocMapped),
                       "mapped memory", size_bytes, err);
}

static void staging_release(void *memory)
{
    (void)cudaFreeHost(memory);
}

static enum lrc_status staging_clear(void *memory, size_t size_bytes, struct lrc_error *)
{
    memset(memory, 0, size_bytes);
    return LRC_STATUS_OK;
}

extern "C" const struct lrc_memory lrc_cuda_memory = { "device", device_allocate, device_release,
                                                       device_clear };
extern "C" const struct lrc_memory lrc_cuda_staging = { "host", staging_allocate, staging_release,
                                                        staging_clear };

extern "C" const struct lrc_memory lrc_cuda_mapped = { "host", mapped_allocate, staging_release,
                                                       staging_clear };

extern "C" void lrc_cuda_zero(struct lrc_stream *stream, void *memory, size_t size_bytes)
{
    if (size_bytes > 0)
        (void)cudaMemsetAsync(memory, 0, size_bytes, (cudaStream_t)stream);
}

/* cudaMemcpyDefault: what is uploaded to may be mapped. */
static enum lrc_status transfer(struct lrc_stream *stream, void *to, const void *from, size_t size_bytes,
                                cudaMemcpyKind kind, const char *verb, struct lrc_error *err)
{
    if (size_bytes == 0)
        return LRC_STATUS_OK;
    return lrc_cuda_result(cudaMemcpyAsync(to, from, size_bytes, kind, (cudaStream_t)stream), err,
                           "cuda: %s %zu bytes", verb, size_bytes);
}

extern "C" enum lrc_status lrc_cuda_upload(struct lrc_stream *stream, void *to, const void *from,
                                           size_t size_bytes, struct lrc_error *err)
{
    return transfer(stream, to, from, size_bytes, cudaMemcpyDefault, "upload", err);
}

extern "C" enum lrc_status lrc_cuda_download(struct lrc_stream *stream, void *to, const void *from,
                                             size_t size_bytes, struct lrc_error *err)
{
    return transfer(stream, to, from, size_bytes, cudaMemcpyDefault, "download", err);
}

extern "C" enum lrc_status lrc_cuda_copy(struct lrc_stream *stream, void *to, const void *from,
                                         size_t size_bytes, struct lrc_error *err)
{
    return transfer(stream, to, from, size_bytes, cudaMemcpyDeviceToDevice, "copy", err);
}

extern "C" enum lrc_status lrc_cuda_synchronize(struct lrc_stream *stream, struct lrc_error *err)
{
    return lrc_cuda_result(cudaStreamSynchronize((cudaStream_t)stream), err, "cuda: synchronize");
}

/* ---- events ---- */

static cudaEvent_t event_of(const struct lrc_event *event)
{
    return reinterpret_cast<cudaEvent_t>(const_cast<struct lrc_event *>(event));
}

extern "C" enum lrc_status lrc_cuda_event_new(struct lrc_event **event, struct lrc_error *err)
{
    cudaEvent_t       made = nullptr;
    const cudaError_t result = cudaEventCreate(&made);
    *event = reinterpret_cast<struct lrc_event *>(made);
    return lrc_cuda_result(result, err, "cuda: event");
}

extern "C" void lrc_cuda_event_free(struct lrc_event *event)
{
    if (event)
        (void)cudaEventDestroy(event_of(event));
}

extern "C" enum lrc_status lrc_cuda_event_record(struct lrc_stream *stream, struct lrc_event *event,
                                                 struct lrc_error *err)
{
    return lrc_cuda_result(cudaEventRecord(event_of(event), (cudaStream_t)stream), err,
                           "cuda: record an event");
}

extern "C" enum lrc_status lrc_cuda_event_wait(struct lrc_event *event, struct lrc_error *err)
{
    return lrc_cuda_result(cudaEventSynchronize(event_of(event)), err, "cuda: wait for an event");
}

extern "C" enum lrc_status lrc_cuda_event_elapsed(double *ms, const struct lrc_event *from,
                                                  const struct lrc_event *to, struct lrc_error *err)
{
    float             elapsed = 0;
    const cudaError_t result = cudaEventElapsedTime(&elapsed, event_of(from), event_of(to));
    *ms = (double)elapsed;
    return lrc_cuda_result(result, err, "cuda: time between two events");
}

/* Not one that the default stream waits for at every launch. */
extern "C" enum lrc_status lrc_cuda_stream_new(struct lrc_stream **stream, struct lrc_error *err)
{
    cudaStream_t      made = nullptr;
    const cudaError_t result = cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking);
    *stream = reinterpret_cast<struct lrc_stream *>(made);
    return lrc_cuda_result(result, err, "cuda: stream");
}

extern "C" void lrc_cuda_stream_free(struct lrc_stream *stream)
{
    if (!stream)
        return;
    (void)cudaStreamSynchronize((cudaStream_t)stream);
    (void)cudaStreamDestroy((cudaStream_t)stream);
}

extern "C" enum lrc_status lrc_cuda_stream_wait(struct lrc_stream *stream, struct lrc_event *event,
                                                struct lrc_error *err)
{
    return lrc_cuda_result(cudaStreamWaitEvent((cudaStream_t)stream, event_of(event), 0), err,
                           "cuda: wait for an event in a stream");
}

/* ---- the device ---- */

/* Taken by the context's growth after the plan: modules that are loaded when first used, cuBLASLt's handle.
 */
static size_t later_bytes()
{
#ifdef LRC_CUDA_HOST
    return 0;
#else
    return (size_t)384 << 20;
#endif
}

static enum lrc_status fail_driver(cudaError_t result, struct lrc_error *err)
{
    int driver = 0, runtime = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    (void)cudaGetLastError();
    if (result == cudaErrorNoDevice)
        return lrc_fail(err, LRC_STATUS_DEVICE,
                        "cuda: want an NVIDIA device, got none that this process may use");
    if (driver == 0)
        return lrc_fail(err, LRC_STATUS_DEVICE, "cuda: want the NVIDIA driver, got none on this machine");
    if (result == cudaErrorInsufficientDriver)
        return lrc_fail(err, LRC_STATUS_DEVICE,
                        "cuda: want a driver for CUDA %d.%d or later, got one for CUDA %d.%d", runtime / 1000,
                        runtime % 1000 / 10, driver / 1000, driver % 1000 / 10);
    return lrc_cuda_result(result, err, "cuda: look for devices");
}

extern "C" enum lrc_status lrc_cuda_open(struct lrc_cuda_facts *facts, struct lrc_error *err)
{
    int                   n = 0;
    size_t                free_bytes = 0, total_bytes = 0;
    struct cudaDeviceProp device;
    *facts = {};
    const cudaError_t result = cudaGetDeviceCount(&n);
    if (result != cudaSuccess || n < 1)
        return fail_driver(result == cudaSuccess ? cudaErrorNoDevice : result, err);
    LRC_TRY(lrc_cuda_result(cudaGetDeviceProperties(&device, 0), err, "cuda: look at the device"));
    (void)snprintf(facts->name, sizeof facts->name, "%.63s", device.name);
    facts->major = device.major;
    facts->minor = device.minor;
    facts->n_processors = device.multiProcessorCount;
    (void)cudaDriverGetVersion(&facts->driver);
    (void)cudaRuntimeGetVersion(&facts->runtime);
    if (device.major < 8)
        return lrc_fail(err, LRC_STATUS_DEVICE,
                        "cuda: want a device of compute capability 8.0 or later, got %s of %d.%d",
                        facts->name, facts->major, facts->minor);
    LRC_TRY(lrc_cuda_result(cudaSetDevice(0), err, "cuda: use %s", facts->name));
    LRC_TRY(lrc_cuda_result(cudaMemGetInfo(&free_bytes, &total_bytes), err, "cuda: use %s", facts->name));
    facts->total_bytes = (int64_t)total_bytes;
    facts->used_bytes = (int64_t)(total_bytes - free_bytes);
    facts->free_bytes = (int64_t)(free_bytes > later_bytes() ? free_bytes - later_bytes() : 0);
    return LRC_STATUS_OK;
}

extern "C" int lrc_cuda_device_count(void)
{
    int n = 0;
    return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
}
