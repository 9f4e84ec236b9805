/* Products with a few rows, as in generation: each weight is read once and used at once, so that memory is
 * the limit. For linear_cpu.c only.
 *
 * One thread computes a whole element of the result, in an order that depends on the shape alone: same bits
 * for every number of threads. */
#ifndef LRC_LINEAR_FEW_H
#define LRC_LINEAR_FEW_H

#include "dequantize/dequantize_range.h"
#include "linear/linear.h"

enum {
    FEW_ROWS = 8,     /* of x at most */
    FEW_WIDE = 2,     /* of x at most for four sums each */
    FEW_GROUP = 64,   /* elements that one block's values are looked up for */
    FEW_PIECE = 128,  /* elements looked up at a time */
    FEW_BAND = 4,     /* rows of a weight at a time */
    FEW_AHEAD = 16,   /* rows of the adapter's b that are asked for ahead */
    FEW_BLOCKS = 2048 /* of a band, at most */
};

struct few {
    const struct lrc_weight *weight; /* (out,in) */
    enum lrc_dtype           compute;
    const unsigned char     *x;     /* (T,in) in the compute type */
    const unsigned char     *mixed; /* x with the even elements of each piece before its odd ones; NULL: not
                                       needed */
    int64_t                  n_rows;
    int                      has_bf16;
    const float             *low; /* (T,R) rounded to the compute type: low bᵀ is added; NULL: no adapter */
    const float             *b;   /* (out,R) */
    int64_t                  rank;
};

static inline float few_rounded(float value, enum lrc_dtype compute)
{
    return compute == LRC_DTYPE_F32 ? value : lrc_bf16_to_f32(lrc_bf16_from_f32(value));
}

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

/* Sixteen floats, rounded to bf16. */
FEW_BF16 static inline __m512 few_narrow(__m512 values)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(values)), 16));
}

/* out[t] = all lanes of row t's sums, and low . b of row `row`: added before the lanes are, which costs
 * more. NARROW rounds b to the compute type. */
#define FEW_REDUCE(name, attribute, NARROW)                                                                  \
    attribute FEW_INLINE void name(float *out, __m512 sums[FEW_ROWS][4], const struct few *few, int64_t row, \
                                   const int n_rows)                                                         \
    {                                                                                                        \
        const float *b = few->b + row * few->rank;                                                           \
        for (int t = 0; t < n_rows; t++) {                                                                   \
            __m512 sum =                                                                                     \
                _mm512_add_ps(_mm512_add_ps(sums[t][0], sums[t][1]), _mm512_add_ps(sums[t][2], sums[t][3])); \
            for (int64_t i = 0; few->low && i < few->rank; i += 16) {                                        \
                const int64_t   n = few->rank - i < 16 ? few->rank - i : 16;                                 \
                const __mmask16 mask = (__mmask16)(0xffffu >> (16 - n));                                     \
                sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, few->low + t * few->rank + i),             \
                                      NARROW(_mm512_maskz_loadu_ps(mask, b + i)), sum);                      \
            }                                                                                                \
            out[t] = _mm512_reduce_add_ps(sum);                                                              \
        }                                                                                                    \
    }

FEW_REDUCE(few_reduce_bf16, FEW_BF16, few_narrow)
FEW_REDUCE(few_reduce_f32, , )

/* absmax of n <= FEW_BLOCKS blocks from `first` on, as dequantize_absmax(): where they lie, or made in room.
 * (A gather takes twice as long as the loads it stands for.) */
static const float *few_absmax(float *room, const struct lrc_weight *weight, int64_t first, int64_t n)
{
    if (!weight->absmax_code)
        return weight->absmax + first;
    const uint8_t *codes = weight->absmax_code + first;
    const float    offset = weight->nested_offset;
    for (int64_t i = 0; i < n; i++)
        room[i] = weight->nested_map[codes[i]];
    for (int64_t i = 0; i < n;) {
        const int64_t nth = (first + i) / weight->nested_block_elems;
        const int64_t end = (nth + 1) * weight->nested_block_elems - first, stop = end < n ? end : n;
        const float   nested = weight->nested_absmax[nth];
#pragma omp simd
        for (int64_t k = i; k < stop; k++)
            room[k] = room[k] * nested + offset;
        i = stop;
    }
    return room;
}

/* n codes, FEW_PIECE or half of them, against n_rows rows of x. A word of 16 bits holds four: shifted, each
 * is an index whose fifth bit says which of two blocks' 16 values, rounded to bf16, it looks up by vpermw. */
FEW_BF16 FEW_INLINE void few_piece_bf16(__m512 sums[FEW_ROWS][4], __m512 code, const float absmax[2],
                                        const uint8_t *packed, const uint16_t *x, int64_t cols,
                                        const int n_rows, const int n)
{
    const __m512i   nibble = _mm512_set1_epi16(15);
    const __m512i   upper = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(16), 1);
    const __mmask32 lanes = n == FEW_PIECE ? 0xffffffffu : 0xffffu;
    const __m512i   values = (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(code, _mm512_set1_ps(absmax[1])),
                                                          _mm512_mul_ps(code, _mm512_set1_ps(absmax[0])));
    const __m512i   words = _mm512_maskz_loadu_epi16(lanes, packed);
    __m512bh        w[4];
    w[0] = (__m512bh)_mm512_permutexvar_epi16(_mm512_ternarylogic_epi64(words, nibble, upper, 0xea), values);
    w[1] = (__m512bh)_mm512_permutexvar_epi16(
        _mm512_ternarylogic_epi64(_mm512_srli_epi16(words, 4), nibble, upper, 0xea), values);
    w[2] = (__m512bh)_mm512_permutexvar_epi16(
        _mm512_ternarylogic_epi64(_mm512_srli_epi16(words, 8), nibble, upper, 0xea), values);
    w[3] = (__m512bh)_mm512_permutexvar_epi16(
        _mm512_ternarylogic_epi64(_mm512_srli_epi16(words, 12), nibble, upper, 0xea), values);
    for (int t = 0; t < n_rows; t++)
        for (int k = 0; k < 4; k++) {
            const __m512bh right = (__m512bh)_mm512_maskz_loadu_epi16(lanes, x + t * cols + k * n / 4);
            const int      sum = n_rows <= FEW_WIDE ? k : k % 2;
            sums[t][sum] = _mm512_dpbf16_ps(sums[t][sum], w[k], right);
        }
}

/* The same in float32, a byte at a time: vpermps looks at the lower nibble alone. */
FEW_INLINE void few_group_f32(__m512 sums[FEW_ROWS][4], int pair, __m512 code, float absmax,
                              const uint8_t *packed, const float *x, int64_t cols, const int n_rows)
{
    const __m512 values = _mm512_mul_ps(code, _mm512_set1_ps(absmax));
    for (int64_t i = 0; i < FEW_GROUP; i += 32) {
        const __m512i index =
            _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(packed + i / 2)));
        const __m512 even = _mm512_permutexvar_ps(_mm512_srli_epi32(index, 4), values);
        const __m512 odd = _mm512_permutexvar_ps(index, values);
        for (int t = 0; t < n_rows; t++) {
            sums[t][pair] = _mm512_fmadd_ps(even, _mm512_loadu_ps(x + t * cols + i), sums[t][pair]);
            sums[t][pair + 1] =
                _mm512_fmadd_ps(odd, _mm512_loadu_ps(x + t * cols + i + 16), sums[t][pair + 1]);
        }
    }
}

FEW_INLINE void few_piece_f32(__m512 sums[FEW_ROWS][4], __m512 code, const float absmax[2],
                              const uint8_t *packed, const float *x, int64_t cols, const int n_rows,
                              const int n)
{
    few_group_f32(sums, 0, code, absmax[0], packed, x, cols, n_rows);
    if (n == FEW_PIECE)
        few_group_f32(sums, n_rows <= FEW_WIDE ? 2 : 0, code, absmax[1], packed + FEW_GROUP / 2,
                      x + FEW_GROUP, cols, n_rows);
}

/* Rows [row, row + n) of 4-bit codes against n_rows rows of x. A sum waits for itself, so there are four of
 * each row of x while registers last. */
#define FEW_CODES(name, attribute, type, PIECE, REDUCE)                                                      \
    attribute FEW_INLINE void name(float out[FEW_BAND][FEW_ROWS], const struct few *few, int64_t row,        \
                                   int64_t n, const int n_rows)                                              \
    {                                                                                                        \
        const struct lrc_weight      *weight = few->weight;                                                  \
        const int                     shift = __builtin_ctzll((unsigned long long)weight->block_elems);      \
        const int64_t                 cols = weight->cols, first = row * cols, block = first >> shift;       \
        const uint8_t                *packed = (const uint8_t *)weight->data + first / 2;                    \
        const __m512                  code = _mm512_loadu_ps(weight->code);                                  \
        _Alignas(LRC_VEC_ALIGN) float room[FEW_BLOCKS];                                                      \
        const float                  *absmax =                                                               \
            few_absmax(room, weight, block, ((first + n * cols - 1) >> shift) - block + 1);                  \
        uint64_t at = (uint64_t)(first - (block << shift)); /* counted from that block */                    \
        for (int64_t r = 0; r < n; r++) {                                                                    \
            if (few->low) /* a line a row: too seldom for the machine to see where it goes */                \
                __builtin_prefetch(few->b + (row + r + FEW_AHEAD) * few->rank);                              \
            const type *x = (const type *)(const void *)few->mixed;                                          \
            __m512      sums[FEW_ROWS][4];                                                                   \
            int64_t     left = cols;                                                                         \
            for (int t = 0; t < n_rows; t++)                                                                 \
                sums[t][0] = sums[t][1] = sums[t][2] = sums[t][3] = _mm512_setzero_ps();                     \
            for (; left >= FEW_PIECE; left -= FEW_PIECE) {                                                   \
                const float of[2] = { absmax[at >> shift], absmax[(at + FEW_GROUP) >> shift] };              \
                PIECE(sums, code, of, packed, x, cols, n_rows, FEW_PIECE);                                   \
                at += FEW_PIECE;                                                                             \
                packed += FEW_PIECE / 2;                                                                     \
                x += FEW_PIECE;                                                                              \
            }                                                                                                \
            if (left > 0) {                                                                                  \
                const float of[2] = { absmax[at >> shift], absmax[at >> shift] };                            \
                PIECE(sums, code, of, packed, x, cols, n_rows, FEW_GROUP);                                   \
                at += FEW_GROUP;                                                                             \
                packed += FEW_GROUP / 2;                                                                     \
            }                                                                                                \
            REDUCE(out[r], sums, few, row + r, n_rows);                                                      \
        }                                                                                                    \
    }

FEW_CODES(few_codes_bf16, FEW_BF16, uint16_t, few_piece_bf16, few_reduce_bf16)
FEW_CODES(few_codes_f32, , float, few_piece_f32, few_reduce_f32)

/* The number of rows as a constant keeps their sums in registers. */
#define FEW_CASES(codes)                                                                                     \
    switch (few->n_rows) {                                                                                   \
    case 1: codes(out, few, row, n, 1); return;                                                              \
    case 2: codes(out, few, row, n, 2); return;                                                              \
    case 3: codes(out, few, row, n, 3); return;                                                              \
    case 4: codes(out, few, row, n, 4); return;                                                              \
    case 5: codes(out, few, row, n, 5); return;                                                              \
    case 6: codes(out, few, row, n, 6); return;                                                              \
    case 7: codes(out, few, row, n, 7); return;                                                              \
    default: codes(out, few, row, n, FEW_ROWS); return;                                                      \
    }

FEW_BF16 static void few_band_bf16(float out[FEW_BAND][FEW_ROWS], const struct few *few, int64_t row,
                                   int64_t n)
{
    FEW_CASES(few_codes_bf16)
}

static void few_band_f32(float out[FEW_BAND][FEW_ROWS], const struct few *few, int64_t row, int64_t n)
{
    FEW_CASES(few_codes_f32)
}

#endif

/* Whether rows of codes are looked up and used without going through memory. */
static int few_is_fused(const struct few *few)
{
#ifdef LRC_ISA_avx512
    return few->weight->type != LRC_BLOCK_DENSE && few->weight->cols % FEW_GROUP == 0 &&
           few->weight->block_elems >= FEW_GROUP &&
           FEW_BAND * few->weight->cols <= (FEW_BLOCKS - 2) * few->weight->block_elems &&
           (few->compute == LRC_DTYPE_F32 || few->has_bf16);
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

/* out[t] += low[t] . b[row], b rounded to the compute type. */
static void few_add_low(float out[FEW_ROWS], const struct few *few, int64_t row)
{
    const float *b = few->b + row * few->rank;
    for (int64_t t = 0; t < few->n_rows; t++) {
        const float *low = few->low + t * few->rank;
        float        sum = 0.0f;
        if (few->compute == LRC_DTYPE_F32) {
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < few->rank; i++)
                sum += low[i] * b[i];
        } else
            for (int64_t i = 0; i < few->rank; i++)
                sum += low[i] * few_rounded(b[i], LRC_DTYPE_BF16);
        out[t] += sum;
    }
}

/* out[t] = x[t] . W[row], and the adapter's part. W that cannot be used where it lies is dequantized a span
 * at a time, which stays in the first-level cache. */
static void few_row(float out[FEW_ROWS], const struct few *few, int64_t row)
{
    const struct lrc_weight *weight = few->weight;
    const int64_t            cols = weight->cols, first = row * lrc_weight_stride(weight);
    const size_t             bytes = lrc_dtype_bytes(few->compute);
#ifdef LRC_ISA_avx512
    if (few->has_bf16 && few->compute == LRC_DTYPE_BF16 && weight->type == LRC_BLOCK_DENSE &&
        weight->dtype == LRC_DTYPE_F32 && cols % 32 == 0 && ((uintptr_t)weight->data & 3) == 0) {
        for (int64_t t = 0; t < few->n_rows; t++)
            out[t] = few_dot_rounding((const uint16_t *)(const void *)few->x + t * cols,
                                      (const float *)weight->data + first, cols);
        if (few->low)
            few_add_low(out, few, row);
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
            w = (const unsigned char *)weight->data + (size_t)first * bytes;
        else
            dequantize_range(buffer, few->compute, weight, first + c, n);
        for (int64_t t = 0; t < few->n_rows; t++)
            out[t] += few_dot(few, few->x + (size_t)(t * cols + c) * bytes, w, n);
    }
    if (few->low)
        few_add_low(out, few, row);
}

/* out[r][t] = x[t] . W[row + r], and the adapter's part. */
static void few_band(float out[FEW_BAND][FEW_ROWS], const struct few *few, int64_t row, int64_t n)
{
#ifdef LRC_ISA_avx512
    if (few->mixed) {
        (few->compute == LRC_DTYPE_F32 ? few_band_f32 : few_band_bf16)(out, few, row, n);
        return;
    }
#endif
    for (int64_t r = 0; r < n; r++)
        few_row(out[r], few, row + r);
}

/* x in the order in which codes come out of their bytes, high nibble first: in pieces of 32 (float32) the
 * even elements, then the odd ones; in pieces of 128, or 64 at a row's end, (bf16) elements 1, 5, 9 .., 0,
 * 4 .., 3, 7 .., 2, 6 ... */
static void few_mix(void *mixed, const struct few *few)
{
    const int64_t n = few->n_rows * few->weight->cols, cols = few->weight->cols;
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
    for (int64_t row = 0; row < n; row += cols)
        for (int64_t c = 0; c < cols; c += FEW_PIECE) {
            const int64_t quarter = (cols - c < FEW_PIECE ? FEW_GROUP : FEW_PIECE) / 4, at = row + c;
            for (int64_t k = 0; k < quarter; k++)
                for (int64_t e = 0; e < 4; e++)
                    to[at + e * quarter + k] = x[at + 4 * k + (e ^ 1)];
        }
}

/* Where a row of products goes. */
struct few_end {
    const float      *bias; /* (out); NULL: none */
    struct lrc_tensor out;
};

static void few_finish(const struct few_end *end, const float sums[FEW_ROWS], const struct few *few,
                       int64_t row)
{
    for (int64_t t = 0; t < few->n_rows; t++) {
        const float sum = sums[t] + (end->bias ? end->bias[row] : 0.0f);
        if (end->out.dtype == LRC_DTYPE_F32)
            ((float *)end->out.data)[t * few->weight->rows + row] = sum;
        else
            ((uint16_t *)end->out.data)[t * few->weight->rows + row] = lrc_bf16_from_f32(sum);
    }
}

/* u = x aᵀ, and into low scale * u as the compute type has it. */
struct few_project {
    struct few few;
    float     *u, *low; /* (T,R) */
    float      scale;
};

static void few_project_row(const struct few_project *project, int64_t r)
{
    const struct few *few = &project->few;
    const int64_t     rank = few->weight->rows;
    float             sums[FEW_ROWS];
    few_row(sums, few, r);
    for (int64_t t = 0; t < few->n_rows; t++) {
        project->u[t * rank + r] = sums[t];
        project->low[t * rank + r] = few_rounded(project->scale * sums[t], few->compute);
    }
}

/* project: NULL without an adapter. */
static void few_run(const struct few_project *project, const struct few *few, const struct few_end *end)
{
    const int64_t n_out = few->weight->rows, rank = project ? project->few.weight->rows : 0;
#pragma omp parallel if (n_out * few->weight->cols > LRC_VEC_PARALLEL_MIN)
    {
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rank; r++)
            few_project_row(project, r);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < n_out; row += FEW_BAND) {
            const int64_t n = n_out - row < FEW_BAND ? n_out - row : FEW_BAND;
            float         sums[FEW_BAND][FEW_ROWS];
            few_band(sums, few, row, n);
            for (int64_t r = 0; r < n; r++)
                few_finish(end, sums[r], few, row + r);
        }
    }
}

#endif
