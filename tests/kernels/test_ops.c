/* Every op on every backend that this machine runs, against its cases; an op without cases does not link.
 * On a device (or tests/cuda_host, its stand-in) the same cases run through a mirror. */
#include "backend.h"
#include "mirror.h"

#include <criterion/criterion.h>

#define LRC_OP_FOLDER(op) void lrc_##op##_cases(const struct lrc_backend *backend);
#include "ops.def"

#ifndef LRC_CUDA_HOST_TEST
#define LRC_OP_FOLDER(op)                                                                    \
    Test(cpu, op)                                                                            \
    {                                                                                        \
        for (const struct lrc_backend *const *b = lrc_backend_cpu_all(); *b; b++)            \
            lrc_##op##_cases(*b);                                                            \
    }
#include "ops.def"
#endif

#ifdef LRC_HAVE_CUDA
#include "common/memory_cuda.h"

#define LRC_OP_FOLDER(op)                                                                    \
    Test(cuda, op)                                                                           \
    {                                                                                        \
        if (lrc_cuda_device_count() < 1)                                                     \
            cr_skip_test("no CUDA device here");                                             \
        lrc_mirror_begin();                                                                  \
        lrc_##op##_cases(lrc_mirror_of(&lrc_backend_cuda));                                  \
        lrc_mirror_end();                                                                    \
    }
#include "ops.def"
#endif
