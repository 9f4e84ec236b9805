/* Elements [first, first + n) of a weight handle by one thread: what dequantize does, for other ops' panels
 * too. For <op>_cpu.c only. */
#ifndef LRC_DEQUANTIZE_RANGE_H
#define LRC_DEQUANTIZE_RANGE_H

#include "common/vec_cpu.h"
#include "tensor/tensor.h"

#if defined(LRC_ISA_avx512) || defined(LRC_ISA_avx2)
#include <immintrin.h>
#endif

/* Products and sums are rounded one by one, as in bitsandbytes: no fused multiply-add. gcc does not fuse in
 * ISO C mode, which is how we compile; clang does unless told. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

static inline float dequantize_absmax(const struct lrc_weight *weight, int64_t block)
{
    if (!weight->absmax_code)
        return weight->absmax[block];
    const float product = weight->nested_map[weight->absmax_code[block]] *
                          weight->nested_absmax[block / weight->nested_block_elems];
    return product + weight->nested_offset;
}

/* n_bytes bytes, two elements each. */
static inline void dequantize_pairs_f32(float *out, const uint8_t *packed, int64_t n_bytes,
                                        const float table[16])
{
    int64_t i = 0;
#ifdef LRC_ISA_avx512
    const __m512  values = _mm512_loadu_ps(table);
    const __m128i low = _mm_set1_epi8(15);
    for (; i + 8 <= n_bytes; i += 8) {
        const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(packed + i));
        const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), low);
        const __m512i index = _mm512_cvtepu8_epi32(_mm_unpacklo_epi8(high, _mm_and_si128(bytes, low)));
        _mm512_storeu_ps(out + 2 * i, _mm512_permutexvar_ps(index, values));
    }
#elif defined(LRC_ISA_avx2)
    /* vpermps looks at 3 bits of the index; the fourth, moved to the sign, picks the half of the table */
    const __m256  lower = _mm256_loadu_ps(table), upper = _mm256_loadu_ps(table + 8);
    const __m256i shifts = _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24);
    for (; i + 4 <= n_bytes; i += 4) {
        int32_t bytes;
        memcpy(&bytes, packed + i, sizeof bytes);
        const __m256i index = _mm256_srlv_epi32(_mm256_set1_epi32(bytes), shifts);
        const __m256  sign = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));
        _mm256_storeu_ps(out + 2 * i, _mm256_blendv_ps(_mm256_permutevar8x32_ps(lower, index),
                                                       _mm256_permutevar8x32_ps(upper, index), sign));
    }
#endif
    for (; i < n_bytes; i++) {
        out[2 * i] = table[packed[i] >> 4];
        out[2 * i + 1] = table[packed[i] & 15];
    }
}

static inline void dequantize_pairs_bf16(uint16_t *out, const uint8_t *packed, int64_t n_bytes,
                                         const uint16_t table[16])
{
    int64_t i = 0;
#ifdef LRC_ISA_avx512
    /* vpermw looks at 5 bits of the index, so the table is there twice */
    const __m512i values = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)table));
    const __m128i low = _mm_set1_epi8(15);
    for (; i + 16 <= n_bytes; i += 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(packed + i));
        const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), low), even = _mm_and_si128(bytes, low);
        const __m256i index = _mm256_set_m128i(_mm_unpackhi_epi8(high, even), _mm_unpacklo_epi8(high, even));
        _mm512_storeu_si512(out + 2 * i, _mm512_permutexvar_epi16(_mm512_cvtepu8_epi16(index), values));
    }
#endif
    for (; i < n_bytes; i++) {
        out[2 * i] = table[packed[i] >> 4];
        out[2 * i + 1] = table[packed[i] & 15];
    }
}

/* [first, first + n) within one block: the 16 values code[q] * absmax, float32 products, rounded to BF16 if
 * need be, are looked up. */
static inline void dequantize_block(void *out, enum lrc_dtype dtype, const struct lrc_weight *weight,
                                    int64_t first, int64_t n)
{
    const uint8_t *packed = weight->data;
    const int      shift = __builtin_ctzll((unsigned long long)weight->block_elems);
    const float    absmax = dequantize_absmax(weight, first >> shift);
    const int64_t  begin = first & 1, n_bytes = (n - begin) / 2, end = begin + 2 * n_bytes;
    const int      first_code = packed[first / 2] & 15, last_code = packed[(first + n - 1) / 2] >> 4;
    float          wide[16];
    for (int q = 0; q < 16; q++)
        wide[q] = weight->code[q] * absmax;
    if (dtype == LRC_DTYPE_F32) {
        float *to = out;
        if (begin)
            to[0] = wide[first_code];
        dequantize_pairs_f32(to + begin, packed + (first + begin) / 2, n_bytes, wide);
        if (end < n)
            to[end] = wide[last_code];
    } else {
        uint16_t *to = out, narrow[16];
        lrc_vec_to_bf16(narrow, wide, 16);
        if (begin)
            to[0] = narrow[first_code];
        dequantize_pairs_bf16(to + begin, packed + (first + begin) / 2, n_bytes, narrow);
        if (end < n)
            to[end] = narrow[last_code];
    }
}

static inline void dequantize_dense(void *out, enum lrc_dtype dtype, const struct lrc_weight *weight,
                                    int64_t first, int64_t n)
{
    const size_t         from_bytes = lrc_dtype_bytes(weight->dtype), to_bytes = lrc_dtype_bytes(dtype);
    const unsigned char *from = (const unsigned char *)weight->data + (size_t)first * from_bytes;
    unsigned char       *to = out;
    if (dtype == weight->dtype) {
        memcpy(to, from, (size_t)n * from_bytes);
        return;
    }
    LRC_VEC_BUFFER(wide);
    _Alignas(LRC_VEC_ALIGN) uint16_t half[LRC_VEC_BLOCK]; /* a mapped file may start at an odd byte */
    for (int64_t i = 0; i < n; i += LRC_VEC_BLOCK) {
        const int64_t m = lrc_vec_block(i, n);
        memcpy(weight->dtype == LRC_DTYPE_F32 ? (void *)wide : (void *)half, from + (size_t)i * from_bytes,
               (size_t)m * from_bytes);
        if (weight->dtype == LRC_DTYPE_BF16)
            lrc_vec_from_bf16(wide, half, m);
        else if (weight->dtype == LRC_DTYPE_F16)
            lrc_vec_from_f16(wide, half, m);
        if (dtype == LRC_DTYPE_F32)
            memcpy(to + (size_t)i * to_bytes, wide, (size_t)m * to_bytes);
        else
            lrc_vec_to_bf16((uint16_t *)(void *)(to + (size_t)i * to_bytes), wide, m);
    }
}

/* out: n elements of dtype F32 or BF16. */
static inline void dequantize_range(void *out, enum lrc_dtype dtype, const struct lrc_weight *weight,
                                    int64_t first, int64_t n)
{
    if (weight->type == LRC_BLOCK_DENSE) {
        dequantize_dense(out, dtype, weight, first, n);
        return;
    }
    const size_t bytes = lrc_dtype_bytes(dtype);
    for (int64_t i = 0; i < n;) {
        const int64_t in_block = weight->block_elems - ((first + i) & (weight->block_elems - 1));
        const int64_t m = in_block < n - i ? in_block : n - i;
        dequantize_block((unsigned char *)out + (size_t)i * bytes, dtype, weight, first + i, m);
        i += m;
    }
}

#endif
