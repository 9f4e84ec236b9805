/* What attention computes in vectors beside their arithmetic. For attention_cpu.c only. */
#ifndef LRC_ATTENTION_VECTOR_H
#define LRC_ATTENTION_VECTOR_H

#include "common/vec_cpu.h"
#include "common/vector_cpu.h"

/* VECTOR_ROWS rows of two vectors of sums, two vectors and a scalar fill the registers. */
#ifdef LRC_ISA_avx512
enum { VECTOR_ROWS = 8 };
#else
enum { VECTOR_ROWS = 4 };
#endif

/* The larger one; b when a is NaN. */
static inline vector vector_max(vector a, vector b)
{
#if defined(LRC_ISA_avx512)
    return _mm512_max_ps(a, b);
#elif defined(LRC_ISA_avx2)
    return _mm256_max_ps(a, b);
#else
    for (int i = 0; i < VECTOR_FLOATS; i++)
        b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
#endif
}

/* Of the lanes. */
static inline float vector_largest(vector x)
{
#ifdef LRC_ISA_avx512
    return _mm512_reduce_max_ps(x);
#else
    float lanes[VECTOR_FLOATS], largest;
    vector_store(lanes, x);
    largest = lanes[0];
    for (int i = 1; i < VECTOR_FLOATS; i++)
        largest = lanes[i] > largest ? lanes[i] : largest;
    return largest;
#endif
}

static inline float vector_sum(vector x)
{
#ifdef LRC_ISA_avx512
    return _mm512_reduce_add_ps(x);
#else
    float lanes[VECTOR_FLOATS], sum = 0;
    vector_store(lanes, x);
    for (int i = 0; i < VECTOR_FLOATS; i++)
        sum += lanes[i];
    return sum;
#endif
}

/* e^x, as lrc_vec_exp() for x <= 0; with AVX-512 the power of two is one instruction. */
static inline vector vector_exp(vector x)
{
#if defined(LRC_ISA_avx512)
    const vector clamped = _mm512_max_ps(_mm512_set1_ps(-104.0f), x); /* NaN stays */
    const vector k = _mm512_roundscale_ps(clamped * _mm512_set1_ps(0x1.715476p0f),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const vector r = _mm512_fmadd_ps(k, _mm512_set1_ps(-0x1.7f7d1cp-20f),
                                     _mm512_fmadd_ps(k, _mm512_set1_ps(-0x1.62e4p-1f), clamped));
    vector       q = _mm512_set1_ps(0x1.6d110ep-10f);
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.120b72p-7f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.55551ap-5f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.5554dcp-3f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0.5f));
    return _mm512_scalef_ps(_mm512_fmadd_ps(r * r, q, r) + _mm512_set1_ps(1.0f), k);
#else
    float lanes[VECTOR_FLOATS];
    vector_store(lanes, x);
#pragma omp simd
    for (int i = 0; i < VECTOR_FLOATS; i++)
        lanes[i] = lrc_vec_exp(lanes[i]);
    return vector_load(lanes);
#endif
}

/* to[c * to_stride + r] = from[r * from_stride + c], r, c < 4 */
static inline void vector_transpose_4x4(float *to, int64_t to_stride, const float *from, int64_t from_stride)
{
    typedef float quad __attribute__((vector_size(16)));
    quad          a, b, c, d;
    memcpy(&a, from, sizeof a);
    memcpy(&b, from + from_stride, sizeof b);
    memcpy(&c, from + 2 * from_stride, sizeof c);
    memcpy(&d, from + 3 * from_stride, sizeof d);
    const quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5),
               ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5),
               cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
    memcpy(to, &a, sizeof a);
    memcpy(to + to_stride, &b, sizeof b);
    memcpy(to + 2 * to_stride, &c, sizeof c);
    memcpy(to + 3 * to_stride, &d, sizeof d);
}

#endif
