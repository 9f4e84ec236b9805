#include "backend.h"

#include "common/vec_cpu.h"

#ifdef LRC_ISA_avx512
#include <immintrin.h>
#endif

enum { ELEMS_MAX = 4096 };

static const float absmax_min = 1e-38f; /* an all-zero block divides by this */

/* max |x|, NaN and infinity included: without their sign, floats have the order of their bits as integers. */
static float find_absmax(const float *x, int64_t n)
{
    int32_t most = 0;
    float   absmax;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++) {
        int32_t magnitude;
        memcpy(&magnitude, &x[i], sizeof magnitude);
        magnitude &= 0x7fffffff;
        most = magnitude > most ? magnitude : most;
    }
    memcpy(&absmax, &most, sizeof absmax);
    return absmax;
}

static void normalise(float *x, float absmax, int64_t n, int is_full)
{
    const float by = absmax > absmax_min ? absmax : absmax_min, inverse = 1.0f / by;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float y = is_full ? x[i] * inverse : x[i] / by;
        x[i] = y > 1.0f ? 1.0f : y < -1.0f ? -1.0f : y;
    }
}

/* Which of 16 intervals: one sum of comparisons, without branches, so that it becomes vector code. */
static void find_codes(uint8_t *codes, const float *x, const struct lrc_quantize_levels *levels, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        int level = 0;
        for (int t = 0; t < 15; t++)
            level += x[i] > levels->threshold[t];
        codes[i] = (uint8_t)level;
    }
    for (int64_t i = 0; i < n; i++)
        codes[i] = levels->code[codes[i]];
}

#ifdef LRC_ISA_avx512
/* The same by bisection: a register holds all thresholds, and is asked four times for one of them. */
static void find_codes_16(uint8_t *codes, const float *x, const struct lrc_quantize_levels *levels, int64_t n)
{
    const __m512  threshold = _mm512_maskz_loadu_ps(0x7fff, levels->threshold);
    const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)levels->code));
    for (int64_t i = 0; i < n; i += 16) {
        const __m512 value = _mm512_load_ps(x + i);
        __m512i      level = _mm512_setzero_si512();
        for (int step = 8; step > 0; step /= 2) {
            const __m512i at = _mm512_add_epi32(level, _mm512_set1_epi32(step - 1));
            const __m512  middle = _mm512_permutexvar_ps(at, threshold);
            level = _mm512_mask_add_epi32(level, _mm512_cmp_ps_mask(value, middle, _CMP_GT_OQ), level,
                                          _mm512_set1_epi32(step));
        }
        _mm_store_si128((__m128i *)(void *)(codes + i),
                        _mm512_cvtepi32_epi8(_mm512_permutexvar_epi32(level, code)));
    }
}

/* packed[i] = codes[2 i] << 4 | codes[2 i + 1] */
static void pack_32(uint8_t *packed, const uint8_t *codes, int64_t n)
{
    const __m512i weights = _mm512_set1_epi16(0x0110); /* 16 a + b */
    for (int64_t i = 0; i < n; i += 32) {
        const __m512i words = _mm512_maddubs_epi16(_mm512_loadu_si512(codes + 2 * i), weights);
        _mm256_storeu_si256((__m256i *)(void *)(packed + i), _mm512_cvtepi16_epi8(words));
    }
}
#endif

static void pack(uint8_t *packed, const uint8_t *codes, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        packed[i] = (uint8_t)(codes[2 * i] << 4 | codes[2 * i + 1]);
}

/* x: n elements, n even */
static void encode(uint8_t *packed, const float *x, const struct lrc_quantize_levels *levels, int64_t n)
{
    _Alignas(LRC_VEC_ALIGN) uint8_t codes[ELEMS_MAX];
    int64_t                         done = 0;
#ifdef LRC_ISA_avx512
    done = n / 64 * 64;
    find_codes_16(codes, x, levels, done);
    pack_32(packed, codes, done / 2);
#endif
    find_codes(codes, x + done, levels, n - done);
    pack(packed + done / 2, codes, (n - done) / 2);
}

static void quantize_block(const struct lrc_quantize_blocks_args *args, int64_t b)
{
    _Alignas(LRC_VEC_ALIGN) float x[ELEMS_MAX];
    const int64_t                 first = b * args->block_elems, left = lrc_tensor_elems(&args->x) - first;
    const int64_t                 n = left < args->block_elems ? left : args->block_elems;
    const int                     is_full = n == args->block_elems;
    const size_t                  bytes = lrc_dtype_bytes(args->x.dtype);
    lrc_dtype_to_f32(x, (const unsigned char *)args->x.data + (size_t)first * bytes, args->x.dtype, n);
    const float absmax = find_absmax(x, n);
    normalise(x, absmax, n, is_full);
    if (n % 2 != 0)
        x[n] = 0.0f; /* the missing half of the last byte */
    encode(args->packed + first / 2, x, &args->levels, n + n % 2);
    args->absmax[b] = !is_full && absmax < absmax_min ? absmax_min : absmax;
}

enum lrc_status LRC_CPU(quantize_blocks)(struct lrc_stream                     *stream,
                                         const struct lrc_quantize_blocks_args *args, struct lrc_error *err)
{
    const int64_t n = lrc_tensor_elems(&args->x), n_blocks = (n + args->block_elems - 1) / args->block_elems;
    (void)stream;
    (void)err;
#pragma omp parallel for schedule(static) if (n > LRC_VEC_PARALLEL_MIN)
    for (int64_t b = 0; b < n_blocks; b++)
        quantize_block(args, b);
    return LRC_STATUS_OK;
}
