#include "backend.h"

#include "common/memory_cuda.h"

const struct lrc_backend lrc_backend_cuda = {
    .name = "cuda",
    .memory = &lrc_cuda_memory,
    .staging = &lrc_cuda_staging,
    .zero = lrc_cuda_zero,
    .upload = lrc_cuda_upload,
    .download = lrc_cuda_download,
    .synchronize = lrc_cuda_synchronize,
    .event_new = lrc_cuda_event_new,
    .event_free = lrc_cuda_event_free,
    .event_record = lrc_cuda_event_record,
    .event_wait = lrc_cuda_event_wait,
    .event_elapsed = lrc_cuda_event_elapsed,
#define LRC_OP(op) .op = lrc_##op##_cuda,
#include "ops.def"
};
