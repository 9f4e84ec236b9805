#include "common/cuda.cuh"

#define _Noreturn [[noreturn]]
extern "C" {
#include "common/graph_cuda.h"
}
#undef _Noreturn

/* Other threads of the program may go on allocating: they are not what is recorded. */
extern "C" enum lrc_status lrc_cuda_graph_begin(struct lrc_stream *stream, struct lrc_error *err)
{
    return lrc_cuda_result(cudaStreamBeginCapture((cudaStream_t)stream, cudaStreamCaptureModeThreadLocal),
                           err, "cuda: begin to record");
}

extern "C" enum lrc_status lrc_cuda_graph_end(struct lrc_graph **graph, struct lrc_stream *stream,
                                              struct lrc_error *err)
{
    cudaGraph_t     recorded = nullptr;
    cudaGraphExec_t made = nullptr;
    *graph = nullptr;
    LRC_TRY(
        lrc_cuda_result(cudaStreamEndCapture((cudaStream_t)stream, &recorded), err, "cuda: end to record"));
    const cudaError_t result = cudaGraphInstantiate(&made, recorded, 0);
    (void)cudaGraphDestroy(recorded);
    *graph = reinterpret_cast<struct lrc_graph *>(made);
    return lrc_cuda_result(result, err, "cuda: make a graph of what was recorded");
}

extern "C" enum lrc_status lrc_cuda_graph_replay(struct lrc_graph *graph, struct lrc_stream *stream,
                                                 struct lrc_error *err)
{
    return lrc_cuda_result(cudaGraphLaunch(reinterpret_cast<cudaGraphExec_t>(graph), (cudaStream_t)stream),
                           err, "cuda: replay a graph");
}

extern "C" void lrc_cuda_graph_free(struct lrc_graph *graph)
{
    if (graph)
        (void)cudaGraphExecDestroy(reinterpret_cast<cudaGraphExec_t>(graph));
}
