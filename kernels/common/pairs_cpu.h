/* Words of two BF16 values, the lower half first: what one step of a native product takes from each factor.
 * For <op>_cpu.c only. */
#ifndef LRC_KERNELS_COMMON_PAIRS_CPU_H
#define LRC_KERNELS_COMMON_PAIRS_CPU_H

#include "common/vector_cpu.h"

#include <stdint.h>

/* to[step * stride + lane] = from[lane * from_stride + step], lanes < VECTOR_FLOATS */
static inline void words_transpose(uint32_t *to, int64_t stride, const uint32_t *from, int64_t from_stride,
                                   int64_t n_steps)
{
    int64_t step = 0;
#ifdef LRC_ISA_avx512
    for (; step + 16 <= n_steps; step += 16) {
        __m512i row[16], pair[16];
        for (int i = 0; i < 16; i++)
            row[i] = _mm512_loadu_si512(from + i * from_stride + step);
        for (int i = 0; i < 16; i += 2) {
            pair[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
            pair[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
        }
        for (int i = 0; i < 16; i += 4)
            for (int j = 0; j < 2; j++) {
                row[i + 2 * j] = _mm512_unpacklo_epi64(pair[i + j], pair[i + 2 + j]);
                row[i + 2 * j + 1] = _mm512_unpackhi_epi64(pair[i + j], pair[i + 2 + j]);
            }
        for (int i = 0; i < 4; i++) {
            const __m512i low_a = _mm512_shuffle_i32x4(row[i], row[4 + i], 0x88),
                          low_b = _mm512_shuffle_i32x4(row[8 + i], row[12 + i], 0x88),
                          high_a = _mm512_shuffle_i32x4(row[i], row[4 + i], 0xdd),
                          high_b = _mm512_shuffle_i32x4(row[8 + i], row[12 + i], 0xdd);
            uint32_t *at = to + (step + i) * stride;
            _mm512_storeu_si512(at, _mm512_shuffle_i32x4(low_a, low_b, 0x88));
            _mm512_storeu_si512(at + 4 * stride, _mm512_shuffle_i32x4(high_a, high_b, 0x88));
            _mm512_storeu_si512(at + 8 * stride, _mm512_shuffle_i32x4(low_a, low_b, 0xdd));
            _mm512_storeu_si512(at + 12 * stride, _mm512_shuffle_i32x4(high_a, high_b, 0xdd));
        }
    }
#endif
    for (; step < n_steps; step++)
        for (int lane = 0; lane < VECTOR_FLOATS; lane++)
            to[step * stride + lane] = from[lane * from_stride + step];
}

/* words[i] = low[i] | high[i] << 16 */
static inline void words_of_rows(uint32_t *words, const uint16_t *low, const uint16_t *high, int64_t n)
{
    int64_t first = 0;
#ifdef LRC_ISA_avx512
    /* the unpacking works within quarters of a register */
    const __m512i order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    for (; first + 32 <= n; first += 32) {
        const __m512i a = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(low + first)),
                      b = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(high + first));
        _mm512_storeu_si512(words + first, _mm512_unpacklo_epi16(a, b));
        _mm512_storeu_si512(words + first + 16, _mm512_unpackhi_epi16(a, b));
    }
#endif
#pragma omp simd
    for (int64_t i = first; i < n; i++)
        words[i] = (uint32_t)low[i] | (uint32_t)high[i] << 16;
}

#endif
