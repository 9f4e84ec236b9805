/* Attention of BF16 tensors where the CPU multiplies BF16 natively. For attention_cpu.c only.
 *
 * The factors of products are words of two BF16 values: rows of q, k, v and d_out where they lie, their
 * transposes and pairs of rows packed per tile, p and d_s rounded. Scores, statistics and sums are
 * float32. */
#ifndef LRC_ATTENTION_PAIRS_H
#define LRC_ATTENTION_PAIRS_H

#include "attention/attention_work.h"
#include "common/pairs_cpu.h"

#ifdef LRC_ISA_avx512

#define PAIRS_CODE   __attribute__((target("avx512bf16")))
#define PAIRS_INLINE static inline __attribute__((always_inline, target("avx512bf16")))

/* n_rows and n_vectors are constants where it is called, so that the sums stay in registers. */
PAIRS_INLINE void pairs_corner(const struct product *t, int64_t i, int64_t j, const int n_rows,
                               const int n_vectors)
{
    const uint32_t *a = (const uint32_t *)t->a + i * t->a_row, *b = (const uint32_t *)t->b + j;
    float          *c = t->c + i * t->stride + j;
    __m512          sums[8][4];
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_vectors; v++)
            sums[r][v] = t->adds ? _mm512_loadu_ps(c + r * t->stride + v * 16) : _mm512_setzero_ps();
    for (int64_t w = 0; w < t->n_depth; w++) {
        __m512bh right[4];
        for (int v = 0; v < n_vectors; v++)
            right[v] = (__m512bh)_mm512_loadu_si512(b + w * t->stride + v * 16);
        for (int r = 0; r < n_rows; r++) {
            const __m512bh left = (__m512bh)_mm512_set1_epi32((int)a[r * t->a_row + w * t->a_depth]);
            for (int v = 0; v < n_vectors; v++)
                sums[r][v] = _mm512_dpbf16_ps(sums[r][v], left, right[v]);
        }
    }
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_vectors; v++)
            _mm512_storeu_ps(c + r * t->stride + v * 16, sums[r][v]);
}

/* Columns [j, j + 16 n_vectors) of all rows, so many at a time that 16 sums are under way. */
PAIRS_INLINE void pairs_columns(const struct product *t, int64_t j, const int n_rows, const int n_vectors)
{
    int64_t i = 0;
    for (; i + n_rows <= t->n_rows; i += n_rows)
        pairs_corner(t, i, j, n_rows, n_vectors);
    for (; i + 2 <= t->n_rows; i += 2)
        pairs_corner(t, i, j, 2, n_vectors);
    if (i < t->n_rows)
        pairs_corner(t, i, j, 1, n_vectors);
}

PAIRS_CODE static void pairs_multiply(const struct product *t)
{
    int64_t j = 0;
    for (; j + 64 <= t->n_cols; j += 64)
        pairs_columns(t, j, 4, 4);
    for (; j + 32 <= t->n_cols; j += 32)
        pairs_columns(t, j, 8, 2);
    for (; j < t->n_cols; j += 16)
        pairs_columns(t, j, 8, 1);
}

/* ---- tiles as words ---- */

static inline const uint16_t *pairs_row(const struct tile_place *place, int64_t r)
{
    return tile_row(place, r);
}

static const void *pairs_left(void *room, const struct tile_place *place, int64_t *stride)
{
    (void)room;
    *stride = place->tensor->stride[0] / 2;
    return pairs_row(place, 0);
}

static void pairs_transpose(void *to, void *room, const struct tile_place *place)
{
    const int64_t   n_words = place->tensor->shape[2] / 2, whole = place->n / 16 * 16;
    int64_t         stride;
    const uint32_t *rows = pairs_left(room, place, &stride);
    uint32_t       *words = to;
    for (int64_t r = 0; r < whole; r += 16)
        words_transpose(words + r, BLOCK, rows + r * stride, stride, n_words);
    for (int64_t w = 0; w < n_words; w++)
        for (int64_t r = whole; r < BLOCK; r++)
            words[w * BLOCK + r] = r < place->n ? rows[r * stride + w] : 0;
}

/* (ceil(n / 2), C): pairs of rows; the partner of a last odd row is 0 */
static const void *pairs_right(void *room, const struct tile_place *place, const void *left)
{
    uint32_t             *words = room;
    static const uint16_t zeros[LRC_ATTENTION_HEAD_DIM_MAX];
    const int64_t         n_cols = place->tensor->shape[2];
    for (int64_t r = 0; r < place->n; r += 2)
        words_of_rows(words + r / 2 * n_cols, pairs_row(place, r),
                      r + 1 < place->n ? pairs_row(place, r + 1) : zeros, n_cols);
    (void)left;
    return room;
}

/* One vector of words of two vectors of floats. */
PAIRS_CODE static inline __m512i pairs_of(__m512 low, __m512 high)
{
    static const uint16_t order[32] = { 0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31 };
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* As floats_softmax(), and pairs of keys become words in place. */
PAIRS_CODE static void pairs_softmax(float *scores, float *const state[3], float scale, int64_t n_keys)
{
    float       *max = state[0], *sum = state[1], *rescale = state[2];
    const vector factor = vector_set(scale);
    vector       most[BLOCK_VECTORS], add[BLOCK_VECTORS];
    for (int v = 0; v < BLOCK_VECTORS; v++)
        most[v] = vector_load(max + v * 16);
    for (int64_t j = 0; j < n_keys; j++)
        for (int v = 0; v < BLOCK_VECTORS; v++)
            most[v] = vector_max(vector_load(scores + j * BLOCK + v * 16), most[v]);
    for (int v = 0; v < BLOCK_VECTORS; v++) {
        const vector old = vector_load(max + v * 16);
        vector_store(max + v * 16, most[v]);
        /* a row that has seen no key yet has the maximum -inf: any finite one gives exp(-inf) = 0 */
        most[v] = vector_max(most[v], vector_set(-FLT_MAX));
        vector_store(rescale + v * 16, vector_exp((old - most[v]) * factor));
        add[v] = vector_set(0);
    }
    for (int64_t j = 0; j < n_keys; j += 2)
        for (int v = 0; v < BLOCK_VECTORS; v++) {
            const float *at = scores + j * BLOCK + v * 16;
            const vector low = vector_exp((vector_load(at) - most[v]) * factor);
            const vector high =
                j + 1 < n_keys ? vector_exp((vector_load(at + BLOCK) - most[v]) * factor) : vector_set(0);
            add[v] = add[v] + low;
            add[v] = add[v] + high;
            _mm512_storeu_si512(scores + j / 2 * BLOCK + v * 16, pairs_of(low, high));
        }
    for (int v = 0; v < BLOCK_VECTORS; v++) {
        float *at = sum + v * 16;
        vector_store(at, vector_fma(vector_load(at), vector_load(rescale + v * 16), add[v]));
    }
}

/* As floats_softmax_rows(). A row's words take the first half of its place. */
PAIRS_CODE static void pairs_softmax_rows(float *scores, float *const state[3], float scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float      *row = scores + i * BLOCK;
        const float most = row_begin(row, state, scale, i);
        vector      add = vector_set(0);
        for (int v = 0; v < BLOCK_VECTORS; v++) {
            const vector p = vector_exp((vector_load(row + v * 16) - vector_set(most)) * vector_set(scale));
            add = add + p;
            _mm256_storeu_si256((__m256i *)(void *)(row + v * 8), (__m256i)_mm512_cvtneps_pbh(p));
        }
        row_end(state, add, i);
    }
}

/* d_s as pairs of keys, in place. */
PAIRS_CODE static void pairs_by_key(const struct scratch *scratch, float scale, int64_t n)
{
    const float *lse = scratch->rows[0], *delta = scratch->rows[1];
    for (int64_t j = 0; j < n; j += 2)
        for (int64_t i = 0; i < BLOCK; i += 16) {
            const float *score = scratch->scores[0] + j * BLOCK + i,
                        *d_p = scratch->scores[1] + j * BLOCK + i;
            const vector l = vector_load(lse + i), d = vector_load(delta + i);
            const vector low = p_of(score, scale, l) * (vector_load(d_p) - d);
            vector       high = vector_set(0);
            if (j + 1 < n)
                high = p_of(score + BLOCK, scale, l) * (vector_load(d_p + BLOCK) - d);
            _mm512_storeu_si512(scratch->scores[1] + j / 2 * BLOCK + i, pairs_of(low, high));
        }
}

/* p and d_s as pairs of queries, in place, and d_s as rows of words. */
PAIRS_CODE static void pairs_by_query(const struct scratch *scratch, float scale, int64_t n)
{
    const float *lse = scratch->rows[0], *delta = scratch->rows[1];
    uint16_t    *d_s_rows = (uint16_t *)(void *)scratch->scores[2];
    for (int64_t i = 0; i < n; i += 2)
        for (int64_t j = 0; j < BLOCK; j += 16) {
            float *score = scratch->scores[0] + i * BLOCK + j, *d_score = scratch->scores[1] + i * BLOCK + j;
            vector p[2] = { vector_set(0), vector_set(0) }, d[2] = { vector_set(0), vector_set(0) };
            for (int e = 0; e < 2 && i + e < n; e++) {
                p[e] = p_of(score + e * BLOCK, scale, vector_set(lse[i + e]));
                d[e] = p[e] * (vector_load(d_score + e * BLOCK) - vector_set(delta[i + e]));
                _mm256_storeu_si256((__m256i *)(void *)(d_s_rows + (i + e) * BLOCK + j),
                                    (__m256i)_mm512_cvtneps_pbh(d[e]));
            }
            _mm512_storeu_si512(scratch->scores[0] + i / 2 * BLOCK + j, pairs_of(p[0], p[1]));
            _mm512_storeu_si512(scratch->scores[1] + i / 2 * BLOCK + j, pairs_of(d[0], d[1]));
        }
}

static const struct words words_pairs = {
    .elems = 2,
    .d_s_rows = 2,
    .transpose = pairs_transpose,
    .left = pairs_left,
    .right = pairs_right,
    .multiply = pairs_multiply,
    .softmax = pairs_softmax,
    .softmax_rows = pairs_softmax_rows,
    .by_key = pairs_by_key,
    .by_query = pairs_by_query,
};

#endif

/* Whether rows of a tensor can be read as words. */
static inline int pairs_fit(const struct lrc_tensor *tensor)
{
    return tensor->dtype == LRC_DTYPE_BF16 && tensor->shape[2] % 16 == 0 && tensor->stride[0] % 2 == 0 &&
           tensor->stride[1] % 2 == 0 && ((uintptr_t)tensor->data & (sizeof(uint32_t) - 1)) == 0;
}

#endif
