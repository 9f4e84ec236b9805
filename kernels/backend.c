#include "backend.h"

#include <stdlib.h>

enum { ISA_PORTABLE, ISA_AVX2, ISA_AVX512, ISA_COUNT };

static int isa_best(void)
{
    static const char *const names[ISA_COUNT] = { "portable", "avx2", "avx512" };
    int best = ISA_PORTABLE;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        best = ISA_AVX2;
    if (best == ISA_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        best = ISA_AVX512;
#endif
    const char *cap = getenv("LRC_CPU_ISA");
    for (int isa = 0; cap && isa < best; isa++)
        if (strcmp(cap, names[isa]) == 0)
            best = isa;
    return best;
}

static const struct lrc_backend *const backends[ISA_COUNT + 1] = {
    &lrc_backend_cpu_portable,
#if defined(__x86_64__)
    &lrc_backend_cpu_avx2,
    &lrc_backend_cpu_avx512,
#endif
};

const struct lrc_backend *lrc_backend_cpu(void)
{
    return backends[isa_best()];
}

const struct lrc_backend *const *lrc_backend_cpu_all(void)
{
    static const struct lrc_backend *const up_to[ISA_COUNT][ISA_COUNT + 1] = {
        { &lrc_backend_cpu_portable },
#if defined(__x86_64__)
        { &lrc_backend_cpu_portable, &lrc_backend_cpu_avx2 },
        { &lrc_backend_cpu_portable, &lrc_backend_cpu_avx2, &lrc_backend_cpu_avx512 },
#endif
    };
    return up_to[isa_best()];
}

int lrc_backend_cpu_has_bf16(void)
{
#if defined(__x86_64__)
    return isa_best() == ISA_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return 0;
#endif
}
