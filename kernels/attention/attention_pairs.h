/* Attention of BF16 tensors where the CPU multiplies BF16 natively. For attention_cpu.c only.
 *
 * The walk over tiles is that of the float32 way; the factors of products are words of two BF16 values: rows
 * of q, k, v and d_out where they lie, their transposes and pairs of rows packed per tile, p and d_s rounded.
 * Scores, statistics and sums are float32. */
#ifndef LRC_ATTENTION_PAIRS_H
#define LRC_ATTENTION_PAIRS_H

#include "attention/attention_work.h"
#include "common/pairs_cpu.h"

#include <float.h>

#ifdef LRC_ISA_avx512

#define PAIRS_CODE   __attribute__((target("avx512bf16")))
#define PAIRS_INLINE static inline __attribute__((always_inline, target("avx512bf16")))

/* c = or += a b; a[i, w] = a[i * a_row + w * a_depth], words; n_cols is a multiple of 16. */
struct pairs_product {
    float          *c;
    const uint32_t *a;
    const uint32_t *b;
    int64_t         n_rows, n_cols, n_words;
    int64_t         a_row, a_depth;
    int64_t         stride; /* from row to row of c, from step to step of b */
    int             adds;
};

/* n_rows and n_vectors are constants where it is called, so that the sums stay in registers. */
PAIRS_INLINE void pairs_corner(const struct pairs_product *t, int64_t i, int64_t j, const int n_rows,
                               const int n_vectors)
{
    const uint32_t *a = t->a + i * t->a_row, *b = t->b + j;
    float          *c = t->c + i * t->stride + j;
    __m512          sums[8][4];
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_vectors; v++)
            sums[r][v] = t->adds ? _mm512_loadu_ps(c + r * t->stride + v * 16) : _mm512_setzero_ps();
    for (int64_t w = 0; w < t->n_words; w++) {
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
PAIRS_INLINE void pairs_columns(const struct pairs_product *t, int64_t j, const int n_rows,
                                const int n_vectors)
{
    int64_t i = 0;
    for (; i + n_rows <= t->n_rows; i += n_rows)
        pairs_corner(t, i, j, n_rows, n_vectors);
    for (; i < t->n_rows; i++)
        pairs_corner(t, i, j, 1, n_vectors);
}

PAIRS_CODE static void pairs_multiply(const struct pairs_product *t)
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

/* Rows where they lie, in words; the stride from row to row in *stride. */
static inline const uint32_t *pairs_rows(const struct tile_place *place, int64_t *stride)
{
    *stride = place->tensor->stride[0] / 2;
    return (const uint32_t *)(const void *)pairs_row(place, 0);
}

/* words (C / 2, BLOCK) = rowsᵀ; what does not exist is 0 */
static inline void pairs_load_transposed(uint32_t *words, const struct tile_place *place)
{
    const int64_t   n_words = place->tensor->shape[2] / 2, whole = place->n / 16 * 16;
    int64_t         stride;
    const uint32_t *rows = pairs_rows(place, &stride);
    for (int64_t r = 0; r < whole; r += 16)
        words_transpose(words + r, BLOCK, rows + r * stride, stride, n_words);
    for (int64_t w = 0; w < n_words; w++)
        for (int64_t r = whole; r < BLOCK; r++)
            words[w * BLOCK + r] = r < place->n ? rows[r * stride + w] : 0;
}

/* words (ceil(n / 2), C) = pairs of rows; the partner of a last odd row is 0 */
static inline void pairs_load(uint32_t *words, const struct tile_place *place)
{
    static const uint16_t zeros[LRC_ATTENTION_HEAD_DIM_MAX];
    const int64_t         n_cols = place->tensor->shape[2];
    for (int64_t r = 0; r < place->n; r += 2)
        words_of_rows(words + r / 2 * n_cols, pairs_row(place, r),
                      r + 1 < place->n ? pairs_row(place, r + 1) : zeros, n_cols);
}

/* One vector of words of two vectors of floats. */
PAIRS_CODE static inline __m512i pairs_of(__m512 low, __m512 high)
{
    static const uint16_t order[32] = { 0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31 };
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* ---- forward ---- */

/* One key tile of the running softmax, as softmax_vectors(), of scores that are still to be scaled; they
 * become words of pairs of keys, in place. */
PAIRS_INLINE void pairs_softmax(float *scores, float *const state[3], float scale, int64_t n_keys,
                                const int n_vectors)
{
    float       *max = state[0], *sum = state[1], *rescale = state[2];
    const vector factor = vector_set(scale);
    vector       most[BLOCK_VECTORS], add[BLOCK_VECTORS];
    for (int v = 0; v < n_vectors; v++)
        most[v] = vector_load(max + v * 16);
    for (int64_t j = 0; j < n_keys; j++)
        for (int v = 0; v < n_vectors; v++)
            most[v] = vector_max(vector_load(scores + j * BLOCK + v * 16), most[v]);
    for (int v = 0; v < n_vectors; v++) {
        const vector old = vector_load(max + v * 16);
        vector_store(max + v * 16, most[v]);
        /* a row that has seen no key yet has the maximum -inf: any finite one gives exp(-inf) = 0 */
        most[v] = vector_max(most[v], vector_set(-FLT_MAX));
        vector_store(rescale + v * 16, vector_exp((old - most[v]) * factor));
        add[v] = vector_set(0);
    }
    for (int64_t j = 0; j < n_keys; j += 2)
        for (int v = 0; v < n_vectors; v++) {
            const float *at = scores + j * BLOCK + v * 16;
            const vector low = vector_exp((vector_load(at) - most[v]) * factor);
            const vector high =
                j + 1 < n_keys ? vector_exp((vector_load(at + BLOCK) - most[v]) * factor) : vector_set(0);
            add[v] = add[v] + low;
            add[v] = add[v] + high;
            _mm512_storeu_si512(scores + j / 2 * BLOCK + v * 16, pairs_of(low, high));
        }
    for (int v = 0; v < n_vectors; v++) {
        float *at = sum + v * 16;
        vector_store(at, vector_fma(vector_load(at), vector_load(rescale + v * 16), add[v]));
    }
}

PAIRS_CODE static void pairs_forward_item(const struct call *call, const struct block *block, int64_t head)
{
    const struct lrc_attention_shape *shape = call->shape;
    const struct scratch              scratch = scratch_of_thread(call);
    const int64_t                     width = call->q->shape[2], n_heads = call->q->shape[1];
    const int64_t kv_head = head / (n_heads / call->k->shape[1]), query = shape->n_past + block->first;
    uint32_t     *qt = (uint32_t *)scratch.tile[0], *v = (uint32_t *)scratch.tile[1];
    float        *out = scratch.tile[2], *scores = scratch.scores[0];
    float *const  state[3] = { scratch.rows[0], scratch.rows[1], scratch.rows[2] };
    const struct tile_place queries = { call->q, block->doc_first + block->first, block->n, head };

    pairs_load_transposed(qt, &queries);
    memset(out, 0, (size_t)(block->n * width) * sizeof *out);
    for (int64_t i = 0; i < BLOCK; i++) {
        state[0][i] = -INFINITY;
        state[1][i] = 0;
    }
    for (int64_t key = keys_from(shape, query) / BLOCK * BLOCK; key < query + block->n; key += BLOCK) {
        const int64_t        n_keys = min64(BLOCK, block->n_keys - key);
        struct tile_place    place = { call->k, block->doc_first + key, n_keys, kv_head };
        struct pairs_product product = { .c = scores,
                                         .b = qt,
                                         .n_rows = n_keys,
                                         .n_words = width / 2,
                                         .n_cols = block->n <= FEW ? FEW : BLOCK,
                                         .a_depth = 1,
                                         .stride = BLOCK };
        product.a = pairs_rows(&place, &product.a_row);
        pairs_multiply(&product);
        mask_by_key(scores, shape, key, query, n_keys);
        if (block->n <= FEW)
            pairs_softmax(scores, state, shape->scale, n_keys, FEW / 16);
        else
            pairs_softmax(scores, state, shape->scale, n_keys, BLOCK_VECTORS);
        rows_scale(out, state[2], block->n, width);
        place.tensor = call->v;
        pairs_load(v, &place);
        pairs_multiply(&(struct pairs_product){ .c = out,
                                                .a = (const uint32_t *)scores,
                                                .b = v,
                                                .n_rows = block->n,
                                                .n_cols = width,
                                                .n_words = (n_keys + 1) / 2,
                                                .a_row = 1,
                                                .a_depth = BLOCK,
                                                .stride = width,
                                                .adds = 1 });
    }
    for (int64_t i = 0; i < block->n; i++) {
        if (call->lse)
            call->lse[(block->doc_first + block->first + i) * n_heads + head] =
                state[0][i] * shape->scale + logf(state[1][i]);
        state[1][i] = 1.0f / state[1][i];
    }
    rows_scale(out, state[1], block->n, width);
    tile_store(&(struct tile_place){ call->out, queries.first, block->n, head }, out, 1.0f);
}

/* ---- backward ---- */

/* p and d_s of one vector of scores. */
static inline vector pairs_p(const float *score, float scale, vector lse)
{
    return vector_exp(vector_fma(vector_load(score), vector_set(scale), vector_set(0) - lse));
}

/* d_q of a block of queries, as query_item(): rows are keys. */
PAIRS_CODE static void pairs_query_item(const struct call *call, const struct block *block, int64_t head)
{
    const struct lrc_attention_shape *shape = call->shape;
    const struct scratch              scratch = scratch_of_thread(call);
    const int64_t width = call->q->shape[2], kv_head = head / (call->q->shape[1] / call->k->shape[1]);
    uint32_t     *qt = (uint32_t *)scratch.tile[0], *d_out_t = (uint32_t *)scratch.tile[1];
    uint32_t     *k = (uint32_t *)scratch.tile[3];
    float *d_q = scratch.tile[2], *p = scratch.scores[0], *d_s = scratch.scores[1], *lse = scratch.rows[0],
          *delta = scratch.rows[1];

    struct tile_place rows = { call->q, block->doc_first + block->first, block->n, head };
    pairs_load_transposed(qt, &rows);
    rows.tensor = call->d_out;
    pairs_load_transposed(d_out_t, &rows);
    row_values(call, block, head, lse, delta);
    memset(d_q, 0, (size_t)(BLOCK * width) * sizeof *d_q);
    for (int64_t key = keys_from(shape, block->first) / BLOCK * BLOCK; key < block->first + block->n;
         key += BLOCK) {
        const int64_t        n_keys = min64(BLOCK, block->n_keys - key);
        struct tile_place    place = { call->k, block->doc_first + key, n_keys, kv_head };
        struct pairs_product product = { .c = p,
                                         .b = qt,
                                         .n_rows = n_keys,
                                         .n_words = width / 2,
                                         .n_cols = BLOCK,
                                         .a_depth = 1,
                                         .stride = BLOCK };
        product.a = pairs_rows(&place, &product.a_row);
        pairs_multiply(&product);
        mask_by_key(p, shape, key, block->first, n_keys);
        pairs_load(k, &place);
        place.tensor = call->v;
        product.a = pairs_rows(&place, &product.a_row);
        product.b = d_out_t;
        product.c = d_s;
        pairs_multiply(&product);
        for (int64_t j = 0; j < n_keys; j += 2)
            for (int64_t i = 0; i < BLOCK; i += 16) {
                const float *score = p + j * BLOCK + i, *d_score = d_s + j * BLOCK + i;
                const vector l = vector_load(lse + i), d = vector_load(delta + i);
                const vector low = pairs_p(score, shape->scale, l) * (vector_load(d_score) - d);
                vector       high = vector_set(0);
                if (j + 1 < n_keys)
                    high = pairs_p(score + BLOCK, shape->scale, l) * (vector_load(d_score + BLOCK) - d);
                _mm512_storeu_si512(d_s + j / 2 * BLOCK + i, pairs_of(low, high));
            }
        pairs_multiply(&(struct pairs_product){ .c = d_q,
                                                .a = (const uint32_t *)d_s,
                                                .b = k,
                                                .n_rows = block->n,
                                                .n_cols = width,
                                                .n_words = (n_keys + 1) / 2,
                                                .a_row = 1,
                                                .a_depth = BLOCK,
                                                .stride = width,
                                                .adds = 1 });
    }
    tile_store(&(struct tile_place){ call->d_q, block->doc_first + block->first, block->n, head }, d_q,
               shape->scale);
}

/* As add_to_queries(): d_s lies in rows of words, k in pairs of rows. */
PAIRS_CODE static void pairs_add_to_queries(const struct call *call, const struct scratch *scratch,
                                            const struct block *queries, const struct block *keys,
                                            int64_t head)
{
    const struct lrc_attention_shape *shape = call->shape;
    const int64_t                     width = call->q->shape[2], row = queries->doc_first + queries->first;
    float                            *sums = call->d_q_sums + (head * call->q->shape[0] + row) * width;
    const int is_first = keys->first == keys_from(shape, queries->first) / BLOCK * BLOCK;
    pairs_multiply(&(struct pairs_product){ .c = sums,
                                            .a = (const uint32_t *)scratch->scores[2],
                                            .b = (const uint32_t *)scratch->tile[6],
                                            .n_rows = queries->n,
                                            .n_cols = width,
                                            .n_words = (keys->n + 1) / 2,
                                            .a_row = BLOCK / 2,
                                            .a_depth = 1,
                                            .stride = width,
                                            .adds = !is_first });
    if (keys->first == queries->first)
        tile_store(&(struct tile_place){ call->d_q, row, queries->n, head }, sums, shape->scale);
}

/* Rows of scores are queries: p and d_s as pairs of queries, in place, and d_s as rows of words. */
PAIRS_CODE static void pairs_p_and_d_s(const struct scratch *scratch, float scale, int64_t n)
{
    const float *lse = scratch->rows[0], *delta = scratch->rows[1];
    uint16_t    *d_s_rows = (uint16_t *)(void *)scratch->scores[2];
    for (int64_t i = 0; i < n; i += 2)
        for (int64_t j = 0; j < BLOCK; j += 16) {
            float *score = scratch->scores[0] + i * BLOCK + j, *d_score = scratch->scores[1] + i * BLOCK + j;
            vector p[2] = { vector_set(0), vector_set(0) }, d[2] = { vector_set(0), vector_set(0) };
            for (int e = 0; e < 2 && i + e < n; e++) {
                p[e] = pairs_p(score + e * BLOCK, scale, vector_set(lse[i + e]));
                d[e] = p[e] * (vector_load(d_score + e * BLOCK) - vector_set(delta[i + e]));
                _mm256_storeu_si256((__m256i *)(void *)(d_s_rows + (i + e) * BLOCK + j),
                                    (__m256i)_mm512_cvtneps_pbh(d[e]));
            }
            _mm512_storeu_si512(scratch->scores[0] + i / 2 * BLOCK + j, pairs_of(p[0], p[1]));
            _mm512_storeu_si512(scratch->scores[1] + i / 2 * BLOCK + j, pairs_of(d[0], d[1]));
        }
}

/* One query tile of pairs_key_item(). */
PAIRS_CODE static void pairs_key_step(const struct call *call, const struct scratch *scratch,
                                      const struct block *queries, int64_t key, int64_t head)
{
    const struct lrc_attention_shape *shape = call->shape;
    const int64_t                     width = call->q->shape[2];
    uint32_t                         *q = (uint32_t *)scratch->tile[4], *d_out = (uint32_t *)scratch->tile[5];
    struct tile_place    rows = { call->q, queries->doc_first + queries->first, queries->n, head };
    struct pairs_product product = { .c = scratch->scores[0],
                                     .b = (const uint32_t *)scratch->tile[0],
                                     .n_rows = queries->n,
                                     .n_words = width / 2,
                                     .n_cols = BLOCK,
                                     .a_depth = 1,
                                     .stride = BLOCK };
    product.a = pairs_rows(&rows, &product.a_row);
    pairs_multiply(&product);
    mask_by_query(scratch->scores[0], shape, key, queries->first, queries->n);
    pairs_load(q, &rows);
    rows.tensor = call->d_out;
    product.a = pairs_rows(&rows, &product.a_row);
    product.b = (const uint32_t *)scratch->tile[1];
    product.c = scratch->scores[1];
    pairs_multiply(&product);
    pairs_load(d_out, &rows);
    row_values(call, queries, head, scratch->rows[0], scratch->rows[1]);
    pairs_p_and_d_s(scratch, shape->scale, queries->n);

    product = (struct pairs_product){ .c = scratch->tile[3],
                                      .a = (const uint32_t *)scratch->scores[0],
                                      .b = d_out,
                                      .n_rows = BLOCK,
                                      .n_cols = width,
                                      .n_words = (queries->n + 1) / 2,
                                      .a_row = 1,
                                      .a_depth = BLOCK,
                                      .stride = width,
                                      .adds = 1 };
    pairs_multiply(&product);
    product.c = scratch->tile[2];
    product.a = (const uint32_t *)scratch->scores[1];
    product.b = q;
    pairs_multiply(&product);
}

/* As key_item(). */
PAIRS_CODE static void pairs_key_item(const struct call *call, const struct block *block, int64_t kv_head,
                                      enum d_q_way way)
{
    const struct lrc_attention_shape *shape = call->shape;
    const struct scratch              scratch = scratch_of_thread(call);
    const int64_t width = call->q->shape[2], group = call->q->shape[1] / call->k->shape[1];
    const int64_t last = block->first + block->n - 1;
    const int64_t end = shape->window > 0 ? min64(block->n_keys, last + shape->window) : block->n_keys;

    struct tile_place rows = { call->k, block->doc_first + block->first, block->n, kv_head };
    pairs_load_transposed((uint32_t *)scratch.tile[0], &rows);
    if (way == D_Q_HERE)
        pairs_load((uint32_t *)scratch.tile[6], &rows);
    rows.tensor = call->v;
    pairs_load_transposed((uint32_t *)scratch.tile[1], &rows);
    memset(scratch.tile[2], 0, (size_t)(BLOCK * width) * sizeof(float));
    memset(scratch.tile[3], 0, (size_t)(BLOCK * width) * sizeof(float));
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++)
        for (int64_t query = block->first; query < end; query += BLOCK) {
            const struct block queries = { block->doc_first, query, min64(BLOCK, block->n_keys - query),
                                           block->n_keys };
            pairs_key_step(call, &scratch, &queries, block->first, head);
            if (way == D_Q_HERE)
                pairs_add_to_queries(call, &scratch, &queries, block, head);
        }
    rows.tensor = call->d_k;
    tile_store(&rows, scratch.tile[2], shape->scale);
    rows.tensor = call->d_v;
    tile_store(&rows, scratch.tile[3], 1.0f);
}

#endif

/* Whether rows of a tensor can be read as words. */
static inline int pairs_fit(const struct lrc_tensor *tensor)
{
    return tensor->dtype == LRC_DTYPE_BF16 && tensor->shape[2] % 16 == 0 && tensor->stride[0] % 2 == 0 &&
           tensor->stride[1] % 2 == 0 && ((uintptr_t)tensor->data & (sizeof(uint32_t) - 1)) == 0;
}

#endif
