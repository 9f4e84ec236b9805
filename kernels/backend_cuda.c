#include "backend.h"

#include "common/graph_cuda.h"
#include "common/memory_cuda.h"

const struct lrc_backend lrc_backend_cuda = {
    .name = "cuda",
    .memory = &lrc_cuda_memory,
    .staging = &lrc_cuda_staging,
    .mapped = &lrc_cuda_mapped,
    .zero = lrc_cuda_zero,
    .upload = lrc_cuda_upload,
    .download = lrc_cuda_download,
    .synchronize = lrc_cuda_synchronize,
    .event_new = lrc_cuda_event_new,
    .event_free = lrc_cuda_event_free,
    .event_record = lrc_cuda_event_record,
    .event_wait = lrc_cuda_event_wait,
    .event_elapsed = lrc_cuda_event_elapsed,
    .stream_new = lrc_cuda_stream_new,
    .stream_free = lrc_cuda_stream_free,
    .stream_wait = lrc_cuda_stream_wait,
    .copy = lrc_cuda_copy,
    .graph_begin = lrc_cuda_graph_begin,
    .graph_end = lrc_cuda_graph_end,
    .graph_replay = lrc_cuda_graph_replay,
    .graph_free = lrc_cuda_graph_free,
#define LRC_OP(op) .op = lrc_##op##_cuda,
#include "ops.def"
};
