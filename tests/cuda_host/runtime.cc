/* The runtime's calls behind cuda_runtime.h of this folder.
 *
 * Device memory is mapped without access while host code runs: whoever dereferences a device pointer on the
 * host ends with a fault at that line. It is opened while the queue is worked off, and what was queued is
 * worked off when somebody waits: a host that reads a result, or fills a page-locked buffer again, before it
 * has waited, is seen. A transfer from or to other host memory waits by itself, as the runtime's does.
 *
 * LRC_CUDA_HOST_FAIL: no_driver, old_driver, no_device, old_device; lost_after=N: every call fails after N
 * launches. LRC_CUDA_HOST_MEMORY: bytes of device memory (1 GiB). */
#include "cuda_runtime.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <mutex>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define LRC_RUNTIME_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LRC_RUNTIME_ASAN 1
#endif
#endif
#ifdef LRC_RUNTIME_ASAN
#include <sanitizer/asan_interface.h>
#define HOST_MEMORY_FROM         0x10007fff8000u /* below it lies the sanitizer's own: a number may look like that */
#define POISON(address, bytes)   __asan_poison_memory_region(address, bytes)
#define UNPOISON(address, bytes) __asan_unpoison_memory_region(address, bytes)
#else
#define HOST_MEMORY_FROM         0x10000u
#define POISON(address, bytes)   (void)(address), (void)(bytes)
#define UNPOISON(address, bytes) (void)(address), (void)(bytes)
#endif

struct lrc_cuda_host_event {
    bool                                  passed;
    std::chrono::steady_clock::time_point at;
};

struct lrc_cuda_host_stream {
    int number;
};

struct lrc_cuda_host_graph {
    std::vector<std::function<cudaError_t()>> works;
};

namespace
{

/* Between pages that nobody may touch. */
struct block {
    unsigned char *start;
    size_t         bytes, mapped;
};

std::recursive_mutex                     lock; /* several threads of the host may call */
std::vector<block>                       device_blocks, pinned_blocks;
std::deque<std::function<cudaError_t()>> waiting;
cudaError_t                              last_error = cudaSuccess;
cudaError_t                              lost = cudaSuccess; /* sticky */
bool                                     is_open;
lrc_cuda_host_graph                     *recording; /* NULL: work is queued */
cudaStream_t                             recorded_stream;
bool                                     is_spoilt; /* what is recorded */

size_t page_bytes()
{
    static const size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    return bytes;
}

const char *asked_to_fail()
{
    const char *words = getenv("LRC_CUDA_HOST_FAIL");
    return words ? words : "";
}

bool fails(const char *word)
{
    return strcmp(asked_to_fail(), word) == 0;
}

cudaError_t remember(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

[[noreturn]] void stop(const char *where, const char *words)
{
    fprintf(stderr, "cuda_host: %s: %s\n", where, words);
    abort();
}

const block *find(const std::vector<block> &blocks, const void *address, size_t bytes)
{
    const unsigned char *at = static_cast<const unsigned char *>(address);
    for (const block &b : blocks)
        if (at >= b.start && at + bytes <= b.start + b.bytes)
            return &b;
    return nullptr;
}

void set_access(int access)
{
    for (const block &b : device_blocks)
        if (mprotect(b.start, b.mapped, access) != 0)
            stop("runtime", "mprotect failed");
}

/* Everything that was queued, in order. */
cudaError_t drain()
{
    if (recording) {
        is_spoilt = true;
        return remember(cudaErrorStreamCaptureUnsupported);
    }
    if (lost != cudaSuccess)
        return remember(lost);
    if (waiting.empty() || is_open)
        return cudaSuccess;
    is_open = true;
    set_access(PROT_READ | PROT_WRITE);
    while (!waiting.empty() && lost == cudaSuccess) {
        const std::function<cudaError_t()> work = std::move(waiting.front());
        waiting.pop_front();
        lost = work();
    }
    waiting.clear();
    set_access(PROT_NONE);
    is_open = false;
    return remember(lost);
}

/* The device goes when the path comes to be. */
void maybe_lose()
{
    const char *words = asked_to_fail();
    if (strncmp(words, "lost_when=", 10) == 0 && access(words + 10, F_OK) == 0)
        lost = cudaErrorLaunchFailure;
}

size_t total_memory()
{
    const char *bytes = getenv("LRC_CUDA_HOST_MEMORY");
    return bytes ? (size_t)atoll(bytes) : (size_t)1 << 30;
}

size_t used_memory()
{
    size_t used = 0;
    for (const block &b : device_blocks)
        used += b.mapped;
    return used;
}

/* Told at the end. */
struct peak {
    size_t bytes = 0;
    void   update()
    {
        size_t now = 0;
        for (const block &b : device_blocks)
            now += b.bytes;
        bytes = std::max(bytes, now);
    }
    ~peak()
    {
        const char *path = getenv("LRC_CUDA_HOST_PEAK");
        FILE       *file = path ? fopen(path, "w") : nullptr;
        if (file) {
            fprintf(file, "%zu\n", bytes);
            fclose(file);
        }
    }
} peak_memory;

cudaError_t map_block(std::vector<block> &blocks, void **memory, size_t bytes)
{
    const size_t page = page_bytes(), mapped = (bytes + page - 1) / page * page;
    void        *all =
        mmap(nullptr, mapped + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return remember(cudaErrorMemoryAllocation);
    unsigned char *start = static_cast<unsigned char *>(all) + page;
    if (mprotect(start, mapped, PROT_READ | PROT_WRITE) != 0)
        stop("runtime", "mprotect failed");
    memset(start, 0xff, mapped); /* reads as NaN until written */
    POISON(start + bytes, mapped - bytes);
    blocks.push_back({ start, bytes, mapped });
    *memory = start;
    return cudaSuccess;
}

cudaError_t unmap_block(std::vector<block> &blocks, void *memory)
{
    for (size_t i = 0; i < blocks.size(); i++)
        if (blocks[i].start == memory) {
            UNPOISON(blocks[i].start, blocks[i].mapped);
            munmap(blocks[i].start - page_bytes(), blocks[i].mapped + 2 * page_bytes());
            blocks.erase(blocks.begin() + (std::ptrdiff_t)i);
            return cudaSuccess;
        }
    return remember(cudaErrorInvalidValue);
}

} // namespace

typedef std::lock_guard<std::recursive_mutex> guard;

void lrc_cuda_host_queue(std::function<cudaError_t()> work)
{
    const guard one(lock);
    if (lost != cudaSuccess)
        return;
    if (recording)
        recording->works.push_back(std::move(work));
    else
        waiting.push_back(std::move(work));
}

void lrc_cuda_host_enter(cudaStream_t stream)
{
    const guard one(lock);
    if (recording && stream != recorded_stream)
        stop("runtime", "work for another stream than the one that is recorded");
}

void lrc_cuda_host_check_arguments(const char *kernel, const void *words, size_t bytes)
{
    const guard one(lock);
    for (size_t i = 0; i + sizeof(uintptr_t) <= bytes; i += sizeof(uintptr_t)) {
        uintptr_t word;
        memcpy(&word, static_cast<const unsigned char *>(words) + i, sizeof word);
        void *page = reinterpret_cast<void *>(word / page_bytes() * page_bytes());
        if (word < HOST_MEMORY_FROM || word >> 47 != 0 || find(device_blocks, reinterpret_cast<void *>(word), 0))
            continue;
        if (msync(page, 1, MS_ASYNC) == 0)
            stop(kernel, "an argument is an address of host memory");
    }
}

void lrc_cuda_host_launch_checked(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                                  std::function<void()> body)
{
    const guard  one(lock);
    const size_t threads = (size_t)block.x * block.y * block.z;
    if (threads < 1 || threads > 1024 || grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 0x7fffffffu ||
        grid.y > 65535 || grid.z > 65535 || shared_bytes > 227 << 10) {
        last_error = cudaErrorInvalidConfiguration;
        return;
    }
    maybe_lose();
    lrc_cuda_host_queue([=] {
        lrc_cuda_host_run(kernel, grid, block, shared_bytes, body);
        return cudaSuccess;
    });
}

cudaError_t cudaGetLastError()
{
    const guard       one(lock);
    const cudaError_t e = lost != cudaSuccess ? lost : last_error;
    last_error = cudaSuccess;
    return e;
}

const char *cudaGetErrorString(cudaError_t e)
{
    switch (e) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    case cudaErrorUnknown: break;
    }
    return "unknown error";
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = fails("no_driver") ? 0 : fails("old_driver") ? 11040 : 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    const guard one(lock);
    *n = 0;
    if (fails("no_driver") || fails("old_driver"))
        return remember(cudaErrorInsufficientDriver);
    if (fails("no_device"))
        return remember(cudaErrorNoDevice);
    *n = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *device, int)
{
    *device = {};
    snprintf(device->name, sizeof device->name, "cuda_host");
    device->major = fails("old_device") ? 7 : 9;
    device->minor = fails("old_device") ? 5 : 0;
    device->multiProcessorCount = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int)
{
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    const guard  one(lock);
    const size_t used = used_memory();
    *total_bytes = total_memory();
    *free_bytes = used < *total_bytes ? *total_bytes - used : 0;
    return lost;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    const guard one(lock);
    const cudaError_t before = lost != cudaSuccess ? lost : drain();
    if (before != cudaSuccess)
        return remember(before);
    if (bytes > total_memory() || used_memory() + bytes > total_memory())
        return remember(cudaErrorMemoryAllocation);
    const cudaError_t error = map_block(device_blocks, memory, bytes);
    if (error == cudaSuccess)
        (void)mprotect(device_blocks.back().start, device_blocks.back().mapped, PROT_NONE);
    peak_memory.update();
    return error;
}

cudaError_t cudaFree(void *memory)
{
    const guard one(lock);
    if (!memory)
        return cudaSuccess;
    (void)drain();
    return unmap_block(device_blocks, memory);
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    const guard one(lock);
    return map_block(pinned_blocks, memory, bytes);
}

cudaError_t cudaFreeHost(void *memory)
{
    const guard one(lock);
    if (!memory)
        return cudaSuccess;
    (void)drain();
    return unmap_block(pinned_blocks, memory);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
    const guard one(lock);
    lrc_cuda_host_enter(stream);
    const bool  to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool  from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (lost != cudaSuccess)
        return remember(lost);
    if ((to_device && !find(device_blocks, to, bytes)) || (from_device && !find(device_blocks, from, bytes)))
        return remember(cudaErrorInvalidValue);
    lrc_cuda_host_queue([=] {
        memcpy(to, from, bytes);
        return cudaSuccess;
    });
    const bool is_pinned =
        (to_device || find(pinned_blocks, to, bytes)) && (from_device || find(pinned_blocks, from, bytes));
    return is_pinned ? cudaSuccess : drain();
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    const guard one(lock);
    lrc_cuda_host_enter(stream);
    if (lost != cudaSuccess)
        return remember(lost);
    if (!find(device_blocks, memory, bytes))
        return remember(cudaErrorInvalidValue);
    lrc_cuda_host_queue([=] {
        memset(memory, value, bytes);
        return cudaSuccess;
    });
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    const guard one(lock);
    return drain();
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    *event = new lrc_cuda_host_event();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    const guard one(lock);
    (void)drain();
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t)
{
    const guard one(lock);
    event->passed = false;
    lrc_cuda_host_queue([=] {
        event->passed = true;
        event->at = std::chrono::steady_clock::now();
        return cudaSuccess;
    });
    return remember(lost);
}

cudaError_t cudaEventSynchronize(cudaEvent_t)
{
    const guard one(lock);
    return drain();
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    const guard one(lock);
    *ms = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return from->passed && to->passed ? cudaSuccess : remember(cudaErrorInvalidValue);
}

/* ---- streams, which all run in one order, and graphs ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    *stream = new lrc_cuda_host_stream();
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    const guard one(lock);
    if (!stream || recording)
        return remember(cudaErrorStreamCaptureUnsupported);
    recording = new lrc_cuda_host_graph();
    recorded_stream = stream;
    is_spoilt = false;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    const guard one(lock);
    *graph = nullptr;
    if (!recording || stream != recorded_stream)
        return remember(cudaErrorInvalidValue);
    lrc_cuda_host_graph *const made = recording;
    recording = nullptr;
    if (is_spoilt) {
        delete made;
        return remember(cudaErrorStreamCaptureInvalidated);
    }
    *graph = made;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *made, cudaGraph_t graph, unsigned long long)
{
    *made = new lrc_cuda_host_graph(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    const guard one(lock);
    (void)drain();
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    const guard one(lock);
    lrc_cuda_host_enter(stream);
    for (const std::function<cudaError_t()> &work : graph->works)
        lrc_cuda_host_queue(work);
    return remember(lost);
}
