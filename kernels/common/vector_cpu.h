/* One vector register of floats, for loops that a compiler does not keep in registers by itself. The width is
 * that of the instruction set. For <op>_cpu.c only. */
#ifndef LRC_KERNELS_COMMON_VECTOR_CPU_H
#define LRC_KERNELS_COMMON_VECTOR_CPU_H

#include <string.h>

#if defined(LRC_ISA_avx512) || defined(LRC_ISA_avx2)
#include <immintrin.h>
#endif

#if defined(LRC_ISA_avx512)
enum { VECTOR_FLOATS = 16 };
typedef __m512 vector;
#elif defined(LRC_ISA_avx2)
enum { VECTOR_FLOATS = 8 };
typedef __m256 vector;
#else
enum { VECTOR_FLOATS = 4 };
typedef float vector __attribute__((vector_size(16)));
#endif

static inline vector vector_load(const float *from)
{
    vector value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline void vector_store(float *to, vector value)
{
    memcpy(to, &value, sizeof value);
}

static inline vector vector_set(float value)
{
#if defined(LRC_ISA_avx512)
    return _mm512_set1_ps(value);
#elif defined(LRC_ISA_avx2)
    return _mm256_set1_ps(value);
#else
    return (vector){ value, value, value, value };
#endif
}

/* a b + c, fused where the instruction set has it */
static inline vector vector_fma(vector a, vector b, vector c)
{
#if defined(LRC_ISA_avx512)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(LRC_ISA_avx2)
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}

#endif
