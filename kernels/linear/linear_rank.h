/* Sums over rows into an adapter's gradient. For linear_cpu.c only.
 *
 *   sums (R, n) = leftᵀ x,   left (T, R), x (T, n)
 *
 * x is read once and where it lies: pairs of BF16 are made of two rows in registers, since packing it would
 * cost more than the R products of each element. A thread takes some columns and goes down the rows in blocks
 * whose sums stay in the first-level cache. */
#ifndef LRC_LINEAR_RANK_H
#define LRC_LINEAR_RANK_H

#include "linear/linear_cpu_layout.h"
#include "linear/linear_product.h"

#ifdef LRC_ISA_avx512
enum { RANK_GROUP = 16 };
#else
enum { RANK_GROUP = 8 };
#endif
enum { RANK_DEPTH = 64, RANK_COLS = 512 }; /* words of the sum, columns of a thread at a time */
_Static_assert((int)LRC_LINEAR_CPU_RANK_GROUP % (int)RANK_GROUP == 0,
               "the workspace has room for whole groups");

struct rank_product {
    struct word      word;
    const uint32_t  *left; /* (words of T, R rounded up to groups) */
    int64_t          rank, n_rows;
    struct word_rows x;
    int64_t          n_cols;
    float           *sums; /* (R rounded up, stride) */
    int64_t          stride;
};

static int64_t rank_rounded(int64_t rank)
{
    return ceil_div(rank, RANK_GROUP) * RANK_GROUP;
}

/* One vector of x: VECTOR_FLOATS columns from `col`, of which n exist, at one step of the sum. */
static inline vector rank_load_f32(const struct rank_product *product, int64_t step, int64_t col, int64_t n)
{
    const uint32_t *from = product->x.words + step * product->x.stride + col;
    uint32_t        some[VECTOR_FLOATS] = { 0 };
    if (n < VECTOR_FLOATS)
        from = memcpy(some, from, (size_t)n * sizeof *from);
    return tile_load(from);
}

#ifdef LRC_ISA_avx512
static inline vector rank_load_bf16(const struct rank_product *product, int64_t step, int64_t col, int64_t n)
{
    const uint16_t *low = (const uint16_t *)product->x.words + 4 * step * product->x.stride + col;
    const uint16_t *high = low + 2 * product->x.stride;
    uint16_t        some[2][VECTOR_FLOATS] = { 0 };
    if (2 * step + 1 == product->n_rows)
        high = some[1];
    if (n < VECTOR_FLOATS) {
        low = memcpy(some[0], low, (size_t)n * sizeof *low);
        if (high != some[1])
            high = memcpy(some[1], high, (size_t)n * sizeof *high);
    }
    /* the rows' next lines: too many rows for the machine to follow each of them */
    __builtin_prefetch(low + 3 * VECTOR_FLOATS);
    __builtin_prefetch(high + 3 * VECTOR_FLOATS);
    const __m512i even = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)low));
    const __m512i odd = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)high));
    return _mm512_castsi512_ps(_mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
}
#endif

typedef void rank_tile(const struct rank_product *product, int64_t group, int64_t step, int64_t col);

#define RANK_DEFINE(name, attribute, LOAD, MULTIPLY)                                                         \
    attribute static void name(const struct rank_product *product, int64_t group, int64_t first,             \
                               int64_t col)                                                                  \
    {                                                                                                        \
        const int64_t n_words = word_count(product->word, product->n_rows),                                  \
                      rounded = rank_rounded(product->rank);                                                 \
        const int64_t end = first + RANK_DEPTH < n_words ? first + RANK_DEPTH : n_words;                     \
        float        *sums = product->sums + group * product->stride + col;                                  \
        vector        sum[RANK_GROUP];                                                                       \
        for (int r = 0; r < RANK_GROUP; r++)                                                                 \
            sum[r] = first == 0 ? vector_set(0.0f) : vector_load(sums + r * product->stride);                \
        for (int64_t step = first; step < end; step++) {                                                     \
            const uint32_t *left = product->left + step * rounded + group;                                   \
            const vector    right = LOAD(product, step, col, product->n_cols - col);                         \
            _Pragma("GCC unroll 16") for (int r = 0; r < RANK_GROUP; r++) sum[r] =                           \
                MULTIPLY(tile_spread(left + r), right, sum[r]);                                              \
        }                                                                                                    \
        for (int r = 0; r < RANK_GROUP; r++)                                                                 \
            vector_store(sums + r * product->stride, sum[r]);                                                \
    }

RANK_DEFINE(rank_tile_f32, TILE_NO_ATTRIBUTE, rank_load_f32, TILE_MULTIPLY_F32)
#ifdef LRC_ISA_avx512
RANK_DEFINE(rank_tile_bf16, TILE_HAS_BF16, rank_load_bf16, TILE_MULTIPLY_BF16)
#endif

static void rank_product_run(const struct rank_product *product)
{
    const int64_t n_words = word_count(product->word, product->n_rows), rounded = rank_rounded(product->rank);
    rank_tile    *run = rank_tile_f32;
#ifdef LRC_ISA_avx512
    if (product->word.elems == 2)
        run = rank_tile_bf16;
#endif
#pragma omp parallel for schedule(dynamic, 1) if (product->n_rows * product->n_cols > LRC_VEC_PARALLEL_MIN)
    for (int64_t part = 0; part < product->n_cols; part += RANK_COLS) {
        const int64_t end = part + RANK_COLS < product->n_cols ? part + RANK_COLS : product->n_cols;
        for (int64_t step = 0; step < n_words; step += RANK_DEPTH)
            for (int64_t col = part; col < end; col += VECTOR_FLOATS)
                for (int64_t group = 0; group < rounded; group += RANK_GROUP)
                    run(product, group, step, col);
    }
}

/* left (words of T, R rounded up) = scale * from (T, R) in words of two rows; what does not exist is 0. */
static void rank_pack(uint32_t *left, struct word word, const float *from, int64_t n_rows, int64_t rank,
                      float scale)
{
    const int64_t rounded = rank_rounded(rank), n_words = word_count(word, n_rows);
#pragma omp parallel for schedule(static) if (n_rows * rank > LRC_VEC_PARALLEL_MIN)
    for (int64_t step = 0; step < n_words; step++)
        for (int64_t r = 0; r < rounded; r++) {
            uint32_t bits = 0;
            for (int64_t e = 0; e < word.elems && r < rank && step * word.elems + e < n_rows; e++) {
                const float value = scale * from[(step * word.elems + e) * rank + r];
                uint16_t    narrow;
                if (word.compute == LRC_DTYPE_F32) {
                    bits = lrc_vec_bits(value);
                    continue;
                }
                lrc_vec_to_bf16(&narrow, &value, 1);
                bits |= word.elems == 2 ? (uint32_t)narrow << 16 * e : (uint32_t)narrow << 16;
            }
            left[step * rounded + r] = bits;
        }
}

#endif
