/* Every op on every backend that this machine runs, against its cases; an op without cases does not link.
 * On a device (or tests/cuda_host, its stand-in) the same cases run through a mirror. */
#include "backend.h"
#include "common/cases.h"
#include "mirror.h"

#include <criterion/criterion.h>

#define LRC_OP_FOLDER(op)                                                                                    \
    void lrc_##op##_cases(const struct lrc_backend *backend);                                                \
    void lrc_##op##_rows(const struct lrc_cases_walk *walk);
#include "ops.def"

static struct lrc_cases_walk walk_of(const struct lrc_backend *backend)
{
    return (struct lrc_cases_walk){ backend, lrc_cases_step_small, lrc_cases_check_row };
}

#ifndef LRC_CUDA_HOST_TEST
#define LRC_OP_FOLDER(op)                                                                                    \
    Test(cpu, op)                                                                                            \
    {                                                                                                        \
        for (const struct lrc_backend *const *b = lrc_backend_cpu_all(); *b; b++) {                          \
            const struct lrc_cases_walk walk = walk_of(*b);                                                  \
            lrc_##op##_cases(*b);                                                                            \
            lrc_##op##_rows(&walk);                                                                          \
        }                                                                                                    \
    }
#include "ops.def"
#endif

#ifdef LRC_HAVE_CUDA
#include "common/memory_cuda.h"

#define LRC_OP_FOLDER(op)                                                                                    \
    Test(cuda, op)                                                                                           \
    {                                                                                                        \
        if (lrc_cuda_device_count() < 1)                                                                     \
            cr_skip_test("no CUDA device here");                                                             \
        const struct lrc_cases_walk walk = walk_of(lrc_mirror_of(&lrc_backend_cuda));                        \
        lrc_mirror_begin();                                                                                  \
        lrc_##op##_cases(walk.backend);                                                                      \
        lrc_##op##_rows(&walk);                                                                              \
        lrc_mirror_end();                                                                                    \
    }
#include "ops.def"
#endif
