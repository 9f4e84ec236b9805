/* Streams, events and graphs behind cuda_runtime.h of this folder.
 *
 * What is queued in a stream waits until somebody waits for it. Then it runs, and other streams as far as its
 * events need or, by the seed, further: what no event orders happens in every order. */
#include "runtime_state.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <random>
#include <vector>

using namespace cuda_host;

size_t cuda_host::n_graph_launches;

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
    /* that were recorded, the one that began first; in a graph the others are streams of its own */
    std::vector<cudaStream_t> streams;
};

namespace
{

/* Work, when it may begin. */
struct queued {
    std::function<cudaError_t()> work;
    std::function<bool()>        may_run;
};

struct stream_queue {
    cudaStream_t       stream;
    std::deque<queued> waiting;
};

std::vector<stream_queue> streams; /* the default one first */
bool                      is_open;
lrc_cuda_host_graph      *recording; /* NULL: work is queued */
bool                      is_spoilt; /* what is recorded */

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

/* Until the stream is empty. The others come no further than its waits need (seed 1), as far as they can
 * first (even seeds), or some way, as drawn (the rest): what no event orders happens in every order. */
void run_stream(cudaStream_t stream)
{
    const char             *words = getenv("LRC_CUDA_HOST_SEED");
    const int               seed = words ? atoi(words) : 1;
    const bool              others_first = seed % 2 == 0, draws = seed > 1 && !others_first;
    static std::minstd_rand draw((unsigned)seed);
    while (others_first && lost == cudaSuccess && run_others(stream))
        ;
    while (lost == cudaSuccess && !queue_of(stream).waiting.empty()) {
        if (draws && draw() % 2 == 0 && run_others(stream))
            continue;
        if (!run_one(queue_of(stream)) && !run_others(stream))
            stop("runtime", "a stream waits for an event that nobody records");
    }
}

void run_opened(const std::function<void()> &run)
{
    is_open = true;
    memory_open();
    run();
    if (lost != cudaSuccess)
        for (stream_queue &q : streams)
            q.waiting.clear();
    memory_close();
    is_open = false;
}

} // namespace

/* What was queued in a stream. */
cudaError_t cuda_host::drain(cudaStream_t stream)
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

cudaError_t cuda_host::drain_all()
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
