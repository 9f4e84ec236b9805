#include "backend.h"

#include "common/memory_cuda.h"

const struct lrc_backend lrc_backend_cuda = {
    .name = "cuda",
    .zero = lrc_cuda_zero,
    .allocate = lrc_cuda_allocate,
    .release = lrc_cuda_release,
    .upload = lrc_cuda_upload,
    .download = lrc_cuda_download,
    .synchronize = lrc_cuda_synchronize,
#define LRC_OP(op) .op = lrc_##op##_cuda,
#include "ops.def"
};
