/* Products with a few rows, as in generation: each weight is read once and used at once, so that memory is
 * the limit. For linear_cpu.c only.
 *
 * One thread computes a whole element of the result, in an order that depends on the shape alone: same bits
 * for every number of threads. */
#ifndef LRC_LINEAR_FEW_H
#define LRC_LINEAR_FEW_H

#include "dequantize/dequantize_range.h"
#include "linear/linear.h"

enum { FEW_ROWS = 8, FEW_GROUP = 64 }; /* rows of x at most; elements whose codes are looked up at a time */

struct few {
    const struct lrc_weight *weight; /* (out,in) */
    enum lrc_dtype           compute;
    const unsigned char     *x;     /* (T,in) in the compute type */
    const unsigned char     *mixed; /* x with the even elements of each piece before its odd ones; NULL: not
                                       needed */
    int64_t                  n_rows;
    int                      has_bf16;
};

/* x . w in four sums, so that their latencies overlap. */
static inline float few_dot_f32(const float *x, const float *w, int64_t n)
{
    const int64_t quarter = n / 4;
    float         a = 0, b = 0, c = 0, d = 0;
#pragma omp simd reduction(+ : a, b, c, d)
    for (int64_t i = 0; i < quarter; i++) {
        a += x[i] * w[i];
        b += x[quarter + i] * w[quarter + i];
        c += x[2 * quarter + i] * w[2 * quarter + i];
        d += x[3 * quarter + i] * w[3 * quarter + i];
    }
    for (int64_t i = 4 * quarter; i < n; i++)
        a += x[i] * w[i];
    return (a + b) + (c + d);
}

static inline float few_times(uint16_t a, uint16_t b)
{
    return lrc_vec_float((uint32_t)a << 16) * lrc_vec_float((uint32_t)b << 16);
}

static inline float few_dot_bf16(const uint16_t *x, const uint16_t *w, int64_t n)
{
    const int64_t quarter = n / 4;
    float         a = 0, b = 0, c = 0, d = 0;
#pragma omp simd reduction(+ : a, b, c, d)
    for (int64_t i = 0; i < quarter; i++) {
        a += few_times(x[i], w[i]);
        b += few_times(x[quarter + i], w[quarter + i]);
        c += few_times(x[2 * quarter + i], w[2 * quarter + i]);
        d += few_times(x[3 * quarter + i], w[3 * quarter + i]);
    }
    for (int64_t i = 4 * quarter; i < n; i++)
        a += few_times(x[i], w[i]);
    return (a + b) + (c + d);
}

#ifdef LRC_ISA_avx512

/* Of a CPU that multiplies bf16, which has to be asked for at run time. */
#define FEW_BF16   __attribute__((target("avx512bf16")))
#define FEW_INLINE static inline __attribute__((always_inline))

FEW_BF16 static inline __m512bh few_load_bf16(const void *from)
{
    return (__m512bh)_mm512_loadu_si512(from);
}

FEW_BF16 static float few_dot_native(const uint16_t *x, const uint16_t *w, int64_t n)
{
    __m512  sums[4] = { _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps() };
    int64_t i = 0;
    for (; i + 128 <= n; i += 128)
        for (int k = 0; k < 4; k++)
            sums[k] = _mm512_dpbf16_ps(sums[k], few_load_bf16(x + i + 32 * k), few_load_bf16(w + i + 32 * k));
    for (; i < n; i += 32) {
        const __mmask32 mask = n - i < 32 ? (__mmask32)((1u << (n - i)) - 1) : (__mmask32)~0u;
        sums[0] = _mm512_dpbf16_ps(sums[0], (__m512bh)_mm512_maskz_loadu_epi16(mask, x + i),
                                   (__m512bh)_mm512_maskz_loadu_epi16(mask, w + i));
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

/* The same of a float32 w that is rounded on the way; n a multiple of 32. */
FEW_BF16 static float few_dot_rounding(const uint16_t *x, const float *w, int64_t n)
{
    __m512 sums[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    for (int64_t i = 0; i < n; i += 32) {
        const __m512bh narrow = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(w + i + 16), _mm512_loadu_ps(w + i));
        sums[i / 32 % 2] = _mm512_dpbf16_ps(sums[i / 32 % 2], few_load_bf16(x + i), narrow);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]));
}

/* low . b with b rounded to bf16 */
FEW_BF16 static float few_low_native(const float *low, const float *b, int64_t rank)
{
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < rank; i += 16) {
        const int64_t   n = rank - i < 16 ? rank - i : 16;
        const __mmask16 mask = (__mmask16)(0xffffu >> (16 - n));
        const __m256i   narrow = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, b + i));
        const __m512i   wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16);
        sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, low + i), _mm512_castsi512_ps(wide), sum);
    }
    return _mm512_reduce_add_ps(sum);
}

/* Row `row` of 4-bit codes against n_rows rows of x. The 16 values of a block, rounded to bf16, stay in a
 * register; vpermw looks at 5 bits of each index, so they are there twice and the upper nibble does not
 * matter. */
FEW_BF16 FEW_INLINE void few_codes_bf16(float *out, const struct few *few, int64_t row, const int n_rows)
{
    const struct lrc_weight *weight = few->weight;
    const int64_t            cols = weight->cols, first = row * cols;
    const int                shift = __builtin_ctzll((unsigned long long)weight->block_elems);
    const uint8_t           *packed = (const uint8_t *)weight->data + first / 2;
    const uint16_t          *x = (const uint16_t *)(const void *)few->mixed;
    const __m512             code = _mm512_loadu_ps(weight->code);
    __m512                   sums[FEW_ROWS][2];
    for (int t = 0; t < n_rows; t++)
        sums[t][0] = sums[t][1] = _mm512_setzero_ps();
    for (int64_t c = 0; c < cols; c += FEW_GROUP) {
        const float   absmax = dequantize_absmax(weight, (first + c) >> shift);
        const __m256i narrow = (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(code, _mm512_set1_ps(absmax)));
        const __m512i values = _mm512_broadcast_i64x4(narrow);
        const __m512i index =
            _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(packed + c / 2)));
        const __m512bh even = (__m512bh)_mm512_permutexvar_epi16(_mm512_srli_epi16(index, 4), values);
        const __m512bh odd = (__m512bh)_mm512_permutexvar_epi16(index, values);
        for (int t = 0; t < n_rows; t++) {
            sums[t][0] = _mm512_dpbf16_ps(sums[t][0], even, few_load_bf16(x + t * cols + c));
            sums[t][1] = _mm512_dpbf16_ps(sums[t][1], odd, few_load_bf16(x + t * cols + c + 32));
        }
    }
    for (int t = 0; t < n_rows; t++)
        out[t] = _mm512_reduce_add_ps(_mm512_add_ps(sums[t][0], sums[t][1]));
}

/* The same in float32; vpermps looks at the lower nibble alone. */
FEW_INLINE void few_codes_f32(float *out, const struct few *few, int64_t row, const int n_rows)
{
    const struct lrc_weight *weight = few->weight;
    const int64_t            cols = weight->cols, first = row * cols;
    const int                shift = __builtin_ctzll((unsigned long long)weight->block_elems);
    const uint8_t           *packed = (const uint8_t *)weight->data + first / 2;
    const float             *x = (const float *)(const void *)few->mixed;
    const __m512             code = _mm512_loadu_ps(weight->code);
    __m512                   sums[FEW_ROWS][2];
    for (int t = 0; t < n_rows; t++)
        sums[t][0] = sums[t][1] = _mm512_setzero_ps();
    for (int64_t c = 0; c < cols; c += FEW_GROUP) {
        const float  absmax = dequantize_absmax(weight, (first + c) >> shift);
        const __m512 values = _mm512_mul_ps(code, _mm512_set1_ps(absmax));
        for (int64_t i = c; i < c + FEW_GROUP; i += 32) {
            const __m512i index =
                _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(packed + i / 2)));
            const __m512 even = _mm512_permutexvar_ps(_mm512_srli_epi32(index, 4), values);
            const __m512 odd = _mm512_permutexvar_ps(index, values);
            for (int t = 0; t < n_rows; t++) {
                sums[t][0] = _mm512_fmadd_ps(even, _mm512_loadu_ps(x + t * cols + i), sums[t][0]);
                sums[t][1] = _mm512_fmadd_ps(odd, _mm512_loadu_ps(x + t * cols + i + 16), sums[t][1]);
            }
        }
    }
    for (int t = 0; t < n_rows; t++)
        out[t] = _mm512_reduce_add_ps(_mm512_add_ps(sums[t][0], sums[t][1]));
}

/* The number of rows as a constant keeps their sums in registers. */
#define FEW_CASES(codes)                                                                                     \
    switch (few->n_rows) {                                                                                   \
    case 1: codes(out, few, row, 1); return;                                                                 \
    case 2: codes(out, few, row, 2); return;                                                                 \
    case 3: codes(out, few, row, 3); return;                                                                 \
    case 4: codes(out, few, row, 4); return;                                                                 \
    case 5: codes(out, few, row, 5); return;                                                                 \
    case 6: codes(out, few, row, 6); return;                                                                 \
    case 7: codes(out, few, row, 7); return;                                                                 \
    default: codes(out, few, row, FEW_ROWS); return;                                                         \
    }

FEW_BF16 static void few_row_codes_bf16(float *out, const struct few *few, int64_t row)
{
    FEW_CASES(few_codes_bf16)
}

static void few_row_codes_f32(float *out, const struct few *few, int64_t row)
{
    FEW_CASES(few_codes_f32)
}

#endif

/* Whether rows of codes are looked up and used without going through memory. */
static int few_is_fused(const struct few *few)
{
#ifdef LRC_ISA_avx512
    return few->weight->type != LRC_BLOCK_DENSE && few->weight->cols % FEW_GROUP == 0 &&
           few->weight->block_elems >= FEW_GROUP && (few->compute == LRC_DTYPE_F32 || few->has_bf16);
#else
    (void)few;
    return 0;
#endif
}

static float few_dot(const struct few *few, const void *x, const void *w, int64_t n)
{
    if (few->compute == LRC_DTYPE_F32)
        return few_dot_f32(x, w, n);
#ifdef LRC_ISA_avx512
    if (few->has_bf16)
        return few_dot_native(x, w, n);
#endif
    return few_dot_bf16(x, w, n);
}

/* out[t] = x[t] . W[row]. W that cannot be used where it lies is dequantized a span at a time, which stays in
 * the first-level cache. */
static void few_row(float out[FEW_ROWS], const struct few *few, int64_t row)
{
    const struct lrc_weight *weight = few->weight;
    const int64_t            cols = weight->cols;
    const size_t             bytes = lrc_dtype_bytes(few->compute);
#ifdef LRC_ISA_avx512
    if (few->mixed) {
        if (few->compute == LRC_DTYPE_F32)
            few_row_codes_f32(out, few, row);
        else
            few_row_codes_bf16(out, few, row);
        return;
    }
    if (few->has_bf16 && few->compute == LRC_DTYPE_BF16 && weight->type == LRC_BLOCK_DENSE &&
        weight->dtype == LRC_DTYPE_F32 && cols % 32 == 0 && ((uintptr_t)weight->data & 3) == 0) {
        for (int64_t t = 0; t < few->n_rows; t++)
            out[t] = few_dot_rounding((const uint16_t *)(const void *)few->x + t * cols,
                                      (const float *)weight->data + row * cols, cols);
        return;
    }
#endif
    const int direct = weight->type == LRC_BLOCK_DENSE && weight->dtype == few->compute &&
                       ((uintptr_t)weight->data & (bytes - 1)) == 0;
    const int64_t span = direct ? cols : LRC_VEC_BLOCK;
    for (int64_t t = 0; t < few->n_rows; t++)
        out[t] = 0.0f;
    for (int64_t c = 0; c < cols; c += span) {
        LRC_VEC_BUFFER(buffer);
        const int64_t n = cols - c < span ? cols - c : span;
        const void   *w = buffer;
        if (direct)
            w = (const unsigned char *)weight->data + (size_t)(row * cols) * bytes;
        else
            dequantize_range(buffer, few->compute, weight, row * cols + c, n);
        for (int64_t t = 0; t < few->n_rows; t++)
            out[t] += few_dot(few, few->x + (size_t)(t * cols + c) * bytes, w, n);
    }
}

/* x in pieces of 32 (float32) or 64 elements: the even ones, then the odd ones, which is how codes come out
 * of their bytes. */
static void few_mix(void *mixed, const struct few *few)
{
    const int64_t n = few->n_rows * few->weight->cols;
    if (few->compute == LRC_DTYPE_F32) {
        const float *x = (const float *)(const void *)few->x;
        float       *to = mixed;
        for (int64_t i = 0; i < n; i += 32)
            for (int64_t k = 0; k < 16; k++) {
                to[i + k] = x[i + 2 * k];
                to[i + 16 + k] = x[i + 2 * k + 1];
            }
        return;
    }
    const uint16_t *x = (const uint16_t *)(const void *)few->x;
    uint16_t       *to = mixed;
    for (int64_t i = 0; i < n; i += 64)
        for (int64_t k = 0; k < 32; k++) {
            to[i + k] = x[i + 2 * k];
            to[i + 32 + k] = x[i + 2 * k + 1];
        }
}

static inline float few_rounded(float value, enum lrc_dtype compute)
{
    return compute == LRC_DTYPE_F32 ? value : lrc_bf16_to_f32(lrc_bf16_from_f32(value));
}

/* What is added to a row of products, and where it goes. */
struct few_end {
    const float      *low; /* (T,R) rounded to the compute type; NULL: no adapter */
    const float      *b;   /* (out,R) */
    int64_t           rank;
    const float      *bias; /* (out); NULL: none */
    struct lrc_tensor out;
};

static float few_low(const struct few *few, const float *low, const float *b, int64_t rank)
{
    float sum = 0.0f;
    if (few->compute == LRC_DTYPE_F32) {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < rank; i++)
            sum += low[i] * b[i];
        return sum;
    }
#ifdef LRC_ISA_avx512
    if (few->has_bf16)
        return few_low_native(low, b, rank);
#endif
    for (int64_t i = 0; i < rank; i++)
        sum += low[i] * few_rounded(b[i], LRC_DTYPE_BF16);
    return sum;
}

static void few_finish(const struct few_end *end, const float sums[FEW_ROWS], const struct few *few,
                       int64_t row)
{
    for (int64_t t = 0; t < few->n_rows; t++) {
        const float low =
            end->low ? few_low(few, end->low + t * end->rank, end->b + row * end->rank, end->rank) : 0.0f;
        const float sum = sums[t] + low + (end->bias ? end->bias[row] : 0.0f);
        if (end->out.dtype == LRC_DTYPE_F32)
            ((float *)end->out.data)[t * few->weight->rows + row] = sum;
        else
            ((uint16_t *)end->out.data)[t * few->weight->rows + row] = lrc_bf16_from_f32(sum);
    }
}

/* u = x aᵀ, and into low scale * u as the compute type has it. */
static void few_project(float *u, float *low, const struct few *few, float scale)
{
    const int64_t rank = few->weight->rows;
#pragma omp parallel for schedule(static) if (rank * few->weight->cols > LRC_VEC_PARALLEL_MIN)
    for (int64_t r = 0; r < rank; r++) {
        float sums[FEW_ROWS];
        few_row(sums, few, r);
        for (int64_t t = 0; t < few->n_rows; t++) {
            u[t * rank + r] = sums[t];
            low[t * rank + r] = few_rounded(scale * sums[t], few->compute);
        }
    }
}

static void few_run(const struct few *few, const struct few_end *end)
{
    const int64_t n_out = few->weight->rows;
#pragma omp parallel for schedule(static) if (n_out * few->weight->cols > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n_out; row++) {
        float sums[FEW_ROWS];
        few_row(sums, few, row);
        few_finish(end, sums, few, row);
    }
}

#endif
