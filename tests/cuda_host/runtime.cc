/* The runtime's calls behind cuda_runtime.h of this folder.
 *
 * Device memory is mapped without access while host code runs: whoever dereferences a device pointer on the
 * host ends with a fault at that line. It is opened while the queue is worked off, and what was queued is
 * worked off when somebody waits: a host that reads a result, or fills a page-locked buffer again, before it
 * has waited, is seen. A transfer from or to other host memory waits by itself, as the runtime's does.
 *
 * LRC_CUDA_HOST_FAIL: no_driver, old_driver, no_device, old_device; no_graphs: nothing can be recorded;
 * lost_when=PATH: every call fails when the path is there. LRC_CUDA_HOST_MEMORY: bytes of device memory
 * (1 GiB). LRC_CUDA_HOST_PEAK, LRC_CUDA_HOST_GRAPHS: files that are told the most memory that was in use, and
 * how many graphs were launched. */
#include "cuda_runtime.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <memory>
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
#define POISON(address, bytes)   __asan_poison_memory_region(address, bytes)
#define UNPOISON(address, bytes) __asan_unpoison_memory_region(address, bytes)
#else
#define POISON(address, bytes)   (void)(address), (void)(bytes)
#define UNPOISON(address, bytes) (void)(address), (void)(bytes)
#endif

struct lrc_cuda_host_event {
    unsigned long                         recorded, passed; /* how often */
    std::chrono::steady_clock::time_point at;
};

/* What was recorded, in the order of the calls: work, an event, or a wait for the event of an earlier one. */
struct lrc_cuda_host_graph {
    struct node {
        size_t                       stream; /* number in `streams` */
        std::function<cudaError_t()> work;
        cudaEvent_t                  event;
        size_t                       waits_for; /* number of a node; none: itself */
    };
    std::vector<node> nodes;
    std::vector<cudaStream_t>
        streams; /* that were recorded; replayed: streams of the graph but for the first */
};

namespace
{

/* Between pages that nobody may touch. */
struct block {
    unsigned char *start;
    size_t         bytes, mapped;
};

/* Work, when it may begin. */
struct queued {
    std::function<cudaError_t()> work;
    std::function<bool()>        may_run;
};

struct stream_queue {
    cudaStream_t       stream;
    std::deque<queued> waiting;
};

std::recursive_mutex      lock; /* several threads of the host may call */
std::vector<block>        device_blocks, pinned_blocks;
std::vector<stream_queue> streams; /* the default one first */
cudaError_t               last_error = cudaSuccess;
cudaError_t               lost = cudaSuccess; /* sticky */
bool                      is_open;
lrc_cuda_host_graph      *recording; /* NULL: work is queued */
bool                      is_spoilt; /* what is recorded */

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

stream_queue &queue_of(cudaStream_t stream)
{
    for (stream_queue &q : streams)
        if (q.stream == stream)
            return q;
    streams.push_back({ stream, {} });
    return streams.back();
}

cudaStream_t stream_new()
{
    static uintptr_t   n;
    const cudaStream_t stream = reinterpret_cast<cudaStream_t>(++n);
    (void)queue_of(nullptr);
    (void)queue_of(stream);
    return stream;
}

void stream_free(cudaStream_t stream)
{
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i].stream == stream)
            streams.erase(streams.begin() + (std::ptrdiff_t)i);
}

bool always()
{
    return true;
}

cudaError_t nothing()
{
    return cudaSuccess;
}

/* One thing from the front of a stream; false when there is none, or it waits for an event. */
bool run_one(stream_queue &q)
{
    if (q.waiting.empty() || !q.waiting.front().may_run())
        return false;
    const queued next = std::move(q.waiting.front());
    q.waiting.pop_front();
    lost = next.work();
    return true;
}

/* Other streams one step on, in an order by turns; false when all of them stand. */
bool run_others(cudaStream_t stream)
{
    static unsigned turn;
    const size_t    n = streams.size();
    for (size_t i = 0, first = turn++; i < n; i++)
        if (streams[(first + i) % n].stream != stream && run_one(streams[(first + i) % n]))
            return true;
    return false;
}

/* Until the stream is empty. The others come no further than its waits need, or, by the seed, as far as they
 * can first: what is not ordered by an event happens in both orders. */
void run_stream(cudaStream_t stream)
{
    const char *seed = getenv("LRC_CUDA_HOST_SEED");
    const bool  others_first = seed && atoi(seed) % 2 == 0;
    while (others_first && lost == cudaSuccess && run_others(stream))
        ;
    while (lost == cudaSuccess && !queue_of(stream).waiting.empty())
        if (!run_one(queue_of(stream)) && !run_others(stream))
            stop("runtime", "a stream waits for an event that nobody records");
}

void run_opened(const std::function<void()> &run)
{
    is_open = true;
    set_access(PROT_READ | PROT_WRITE);
    run();
    if (lost != cudaSuccess)
        for (stream_queue &q : streams)
            q.waiting.clear();
    set_access(PROT_NONE);
    is_open = false;
}

/* What was queued in a stream. */
cudaError_t drain(cudaStream_t stream)
{
    if (recording) {
        is_spoilt = true;
        return remember(cudaErrorStreamCaptureUnsupported);
    }
    if (lost != cudaSuccess)
        return remember(lost);
    if (!is_open && !queue_of(stream).waiting.empty())
        run_opened([=] { run_stream(stream); });
    return remember(lost);
}

cudaError_t drain_all()
{
    if (recording) {
        is_spoilt = true;
        return remember(cudaErrorStreamCaptureUnsupported);
    }
    if (lost == cudaSuccess && !is_open)
        run_opened([] {
            for (size_t i = 0; i < streams.size(); i++)
                run_stream(streams[i].stream);
        });
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

size_t n_graph_launches;

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

typedef std::lock_guard<std::recursive_mutex> guard;

namespace
{

size_t recorded_number(cudaStream_t stream)
{
    const std::vector<cudaStream_t> &all = recording->streams;
    return (size_t)(std::find(all.begin(), all.end(), stream) - all.begin());
}

void record(cudaStream_t stream, std::function<cudaError_t()> work, cudaEvent_t event, size_t waits_for)
{
    const size_t number = recorded_number(stream), n = recording->nodes.size();
    if (number == recording->streams.size())
        stop("runtime", "work for another stream than those that are recorded");
    recording->nodes.push_back({ number, std::move(work), event, waits_for == SIZE_MAX ? n : waits_for });
}

/* A stream that waits for a recorded event is recorded from there on. To wait for one from before the
 * recording is refused. */
cudaError_t record_wait(cudaStream_t stream, cudaEvent_t event)
{
    const std::vector<lrc_cuda_host_graph::node> &nodes = recording->nodes;
    size_t                                        found = nodes.size();
    while (found > 0 && nodes[found - 1].event != event)
        found--;
    if (found == 0) {
        is_spoilt = true;
        return remember(cudaErrorStreamCaptureIsolation);
    }
    if (recorded_number(stream) == recording->streams.size())
        recording->streams.push_back(stream);
    record(stream, nothing, nullptr, found - 1);
    return cudaSuccess;
}

/* Whether the first stream has waited for the last thing of every other. */
bool is_joined(const lrc_cuda_host_graph &graph)
{
    std::vector<size_t> last(graph.streams.size());
    std::vector<bool>   joined(graph.nodes.size());
    for (size_t i = 0; i < graph.nodes.size(); i++) {
        last[graph.nodes[i].stream] = i;
        if (graph.nodes[i].stream == 0)
            joined[graph.nodes[i].waits_for] = true;
    }
    return std::all_of(last.begin() + 1, last.end(), [&](size_t i) { return joined[i]; });
}

} // namespace

void lrc_cuda_host_queue(cudaStream_t stream, std::function<cudaError_t()> work)
{
    const guard one(lock);
    if (lost != cudaSuccess)
        return;
    if (recording)
        record(stream, std::move(work), nullptr, SIZE_MAX);
    else
        queue_of(stream).waiting.push_back({ std::move(work), always });
}

/* Addresses below 2^45 are left alone: there lie two small integers side by side, and the sanitizer's shadow
 * memory. */
void lrc_cuda_host_check_arguments(const char *kernel, const void *words, size_t bytes)
{
    const guard one(lock);
    for (size_t i = 0; i + sizeof(uintptr_t) <= bytes; i += sizeof(uintptr_t)) {
        uintptr_t word;
        memcpy(&word, static_cast<const unsigned char *>(words) + i, sizeof word);
        void *page = reinterpret_cast<void *>(word / page_bytes() * page_bytes());
        if (word >> 45 == 0 || word >> 47 != 0 || find(device_blocks, reinterpret_cast<void *>(word), 0))
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

cudaError_t cudaFreeHost(void *memory)
{
    const guard one(lock);
    if (!memory)
        return cudaSuccess;
    (void)drain_all();
    return unmap_block(pinned_blocks, memory);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    const guard one(lock);
    const bool  to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool  from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (lost != cudaSuccess)
        return remember(lost);
    if ((to_device && !find(device_blocks, to, bytes)) || (from_device && !find(device_blocks, from, bytes)))
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

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    const guard one(lock);
    return drain(stream);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    const guard one(lock);
    *stream = stream_new();
    return flags == cudaStreamNonBlocking ? cudaSuccess : remember(cudaErrorInvalidValue);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    const guard one(lock);
    (void)drain_all();
    stream_free(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    const guard         one(lock);
    const unsigned long nth = event->recorded;
    if (recording)
        return record_wait(stream, event);
    if (lost == cudaSuccess)
        queue_of(stream).waiting.push_back({ nothing, [=] { return event->passed >= nth; } });
    return remember(lost);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    *event = new lrc_cuda_host_event();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    const guard one(lock);
    (void)drain_all();
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    const guard one(lock);
    if (recording) {
        record(stream, nothing, event, SIZE_MAX);
        return cudaSuccess;
    }
    const unsigned long nth = ++event->recorded;
    lrc_cuda_host_queue(stream, [=] {
        event->passed = nth;
        event->at = std::chrono::steady_clock::now();
        return cudaSuccess;
    });
    return remember(lost);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    const guard one(lock);
    if (lost == cudaSuccess && !is_open && event->passed < event->recorded)
        run_opened([=] {
            while (lost == cudaSuccess && event->passed < event->recorded)
                if (!run_others(reinterpret_cast<cudaStream_t>(UINTPTR_MAX)))
                    stop("runtime", "the host waits for an event that nobody records");
        });
    return remember(lost);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    const guard one(lock);
    *ms = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return from->passed > 0 && to->passed > 0 ? cudaSuccess : remember(cudaErrorInvalidValue);
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    const guard one(lock);
    if (!stream || recording || fails("no_graphs"))
        return remember(cudaErrorStreamCaptureUnsupported);
    recording = new lrc_cuda_host_graph();
    recording->streams.push_back(stream);
    is_spoilt = false;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    const guard one(lock);
    *graph = nullptr;
    if (!recording || stream != recording->streams[0])
        return remember(cudaErrorInvalidValue);
    lrc_cuda_host_graph *const made = recording;
    recording = nullptr;
    if (!is_spoilt && is_joined(*made)) {
        *graph = made;
        return cudaSuccess;
    }
    delete made;
    return remember(is_spoilt ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnjoined);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *made, cudaGraph_t graph, unsigned long long)
{
    const guard one(lock);
    *made = new lrc_cuda_host_graph(*graph);
    for (size_t i = 1; i < graph->streams.size(); i++)
        (*made)->streams[i] = stream_new();
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
    (void)drain_all();
    for (size_t i = 1; i < graph->streams.size(); i++)
        stream_free(graph->streams[i]);
    delete graph;
    return cudaSuccess;
}

/* What was recorded of several streams runs in as many, ordered by the recorded events alone. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    const guard one(lock);
    const auto  is_done = std::make_shared<std::vector<bool>>(graph->nodes.size());
    n_graph_launches++;
    for (size_t i = 0; i < graph->nodes.size(); i++) {
        const lrc_cuda_host_graph::node &node = graph->nodes[i];
        const size_t                     before = node.waits_for;
        queue_of(node.stream == 0 ? stream : graph->streams[node.stream])
            .waiting.push_back({ [=, work = node.work] {
                                    (*is_done)[i] = true;
                                    return work();
                                },
                                 [=] { return before == i || (*is_done)[before]; } });
    }
    return remember(lost);
}
