/* Every op on every backend that this machine runs, against its cases; an op without cases does not link. */
#include "backend.h"

#include <criterion/criterion.h>

#define LRC_OP_FOLDER(op) void lrc_##op##_cases(const struct lrc_backend *backend);
#include "ops.def"

#define LRC_OP_FOLDER(op)                                                                    \
    Test(cpu, op)                                                                            \
    {                                                                                        \
        for (const struct lrc_backend *const *b = lrc_backend_cpu_all(); *b; b++)            \
            lrc_##op##_cases(*b);                                                            \
    }
#include "ops.def"
