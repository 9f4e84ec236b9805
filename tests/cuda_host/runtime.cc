/* The runtime's calls behind cuda_runtime.h of this folder.
 *
 * Device memory is mapped without access while host code runs: whoever dereferences a device pointer on the
 * host ends with a fault at that line. It is opened while the queue is worked off, and what was queued is
 * worked off when somebody waits: a host that reads a result, or fills a page-locked buffer again, before it
 * has waited, is seen. A transfer from or to other host memory waits by itself, as the runtime's does.
 *
 * LRC_CUDA_HOST_FAIL: no_driver, old_driver, no_device, old_device; no_graphs: nothing can be recorded;
 * lost_when=PATH: every call fails when the path is there. LRC_CUDA_HOST_CAPABILITY: 90, or another compute
 * capability of the device, without its point. LRC_CUDA_HOST_MEMORY: bytes of device memory
 * (1 GiB). LRC_CUDA_HOST_PEAK, LRC_CUDA_HOST_GRAPHS: files that are told the most memory that was in use, and
 * how many graphs were launched. */
#include "runtime_state.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
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
#define POISON(address, bytes)   __asan_poison_memory_region(address, bytes)
#define UNPOISON(address, bytes) __asan_unpoison_memory_region(address, bytes)
#else
#define POISON(address, bytes)   (void)(address), (void)(bytes)
#define UNPOISON(address, bytes) (void)(address), (void)(bytes)
#endif

using namespace cuda_host;

namespace
{

/* Between pages that nobody may touch. */
struct block {
    unsigned char *start;
    size_t         bytes, mapped;
};

std::vector<block> device_blocks, pinned_blocks, mapped_blocks;
cudaError_t        last_error = cudaSuccess;

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

/* Of the device: 10 major + minor. */
int capability()
{
    const char *number = getenv("LRC_CUDA_HOST_CAPABILITY");
    return strcmp(asked_to_fail(), "old_device") == 0 ? 75 : number ? atoi(number) : 90;
}

} // namespace

namespace cuda_host
{

std::recursive_mutex lock;
cudaError_t          lost = cudaSuccess;

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

static void set_access(int access)
{
    for (const block &b : device_blocks)
        if (mprotect(b.start, b.mapped, access) != 0)
            stop("runtime", "mprotect failed");
}

void memory_open()
{
    set_access(PROT_READ | PROT_WRITE);
}

void memory_close()
{
    set_access(PROT_NONE);
}

} // namespace cuda_host

namespace
{

const block *find(const std::vector<block> &blocks, const void *address, size_t bytes)
{
    const unsigned char *at = static_cast<const unsigned char *>(address);
    for (const block &b : blocks)
        if (at >= b.start && at + bytes <= b.start + b.bytes)
            return &b;
    return nullptr;
}

/* By kernels. */
bool is_reachable(const void *address, size_t bytes)
{
    return find(device_blocks, address, bytes) || find(mapped_blocks, address, bytes);
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

void tell(const char *variable, size_t number)
{
    const char *path = getenv(variable);
    FILE       *file = path ? fopen(path, "w") : nullptr;
    if (file) {
        fprintf(file, "%zu\n", number);
        fclose(file);
    }
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
        tell("LRC_CUDA_HOST_PEAK", bytes);
        tell("LRC_CUDA_HOST_GRAPHS", n_graph_launches);
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

/* Addresses below 2^45 are left alone: there lie two small integers side by side, and the sanitizer's shadow
 * memory. */
void lrc_cuda_host_check_arguments(const char *kernel, const void *words, size_t bytes)
{
    const guard one(lock);
    for (size_t i = 0; i + sizeof(uintptr_t) <= bytes; i += sizeof(uintptr_t)) {
        uintptr_t word;
        memcpy(&word, static_cast<const unsigned char *>(words) + i, sizeof word);
        void *page = reinterpret_cast<void *>(word / page_bytes() * page_bytes());
        if (word >> 45 == 0 || word >> 47 != 0 || is_reachable(reinterpret_cast<void *>(word), 0))
            continue;
        if (msync(page, 1, MS_ASYNC) == 0)
            stop(kernel, "an argument is an address of host memory");
    }
}

void lrc_cuda_host_launch_checked(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                                  cudaStream_t stream, std::function<void()> body)
{
    const guard  one(lock);
    const size_t threads = (size_t)block.x * block.y * block.z;
    if (threads < 1 || threads > 1024 || grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 0x7fffffffu ||
        grid.y > 65535 || grid.z > 65535 || shared_bytes > 227 << 10) {
        last_error = cudaErrorInvalidConfiguration;
        return;
    }
    maybe_lose();
    lrc_cuda_host_queue(stream, [=] {
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
    case cudaErrorStreamCaptureUnjoined: return "capturing stream has unjoined work";
    case cudaErrorStreamCaptureIsolation: return "dependency created on uncaptured work in another stream";
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
    device->major = capability() / 10;
    device->minor = capability() % 10;
    device->multiProcessorCount = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int)
{
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? capability() / 10 : capability() % 10;
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
    const guard       one(lock);
    const cudaError_t before = drain_all();
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
    (void)drain_all();
    return unmap_block(device_blocks, memory);
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    const guard one(lock);
    return map_block(pinned_blocks, memory, bytes);
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags)
{
    const guard one(lock);
    return map_block(flags & cudaHostAllocMapped ? mapped_blocks : pinned_blocks, memory, bytes);
}

cudaError_t cudaFreeHost(void *memory)
{
    const guard one(lock);
    if (!memory)
        return cudaSuccess;
    (void)drain_all();
    return unmap_block(find(mapped_blocks, memory, 1) ? mapped_blocks : pinned_blocks, memory);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    const guard one(lock);
    const bool  to_device = is_reachable(to, bytes), from_device = is_reachable(from, bytes);
    if (lost != cudaSuccess)
        return remember(lost);
    if (kind == cudaMemcpyDeviceToDevice ? !to_device || !from_device : !to_device && !from_device)
        return remember(cudaErrorInvalidValue);
    lrc_cuda_host_queue(stream, [=] {
        memcpy(to, from, bytes);
        return cudaSuccess;
    });
    const bool is_pinned =
        (to_device || find(pinned_blocks, to, bytes)) && (from_device || find(pinned_blocks, from, bytes));
    return is_pinned ? cudaSuccess : drain(stream);
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    const guard one(lock);
    if (lost != cudaSuccess)
        return remember(lost);
    if (!find(device_blocks, memory, bytes))
        return remember(cudaErrorInvalidValue);
    lrc_cuda_host_queue(stream, [=] {
        memset(memory, value, bytes);
        return cudaSuccess;
    });
    return cudaSuccess;
}
