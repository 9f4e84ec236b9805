/* What an attention pass works on: its arguments, its threads' scratch, blocks of rows of documents, masks.
 * For attention_cpu.c only. */
#ifndef LRC_ATTENTION_WORK_H
#define LRC_ATTENTION_WORK_H

#include "attention/attention_tile.h"
#include "backend.h"

#include <float.h>
#include <omp.h>

/* Work is cut into items that share no output: a block of queries of one head, or a block of keys of one
 * key/value head. Tiles start at multiples of BLOCK of their document and are summed in ascending order, so
 * that neither the number of threads nor the order of the items changes a bit. */

struct words;

struct call {
    const struct words               *words;
    const struct lrc_tensor          *q, *k, *v, *out, *d_out, *d_q, *d_k, *d_v;
    float                            *lse;      /* (T, H) */
    float                            *delta;    /* (T, H) */
    float                            *d_q_sums; /* (H, T, padded C) */
    const struct lrc_attention_shape *shape;
    float                            *threads; /* scratch: thread_floats each */
    size_t                            thread_floats;
    int                               n_threads;
};

struct scratch {
    float *tile[LRC_ATTENTION_TILES]; /* (BLOCK, padded C) or (padded C, BLOCK) */
    float *scores[LRC_ATTENTION_SCORES];
    float *rows[4]; /* (BLOCK) */
};

/* A block of rows of a document. */
struct block {
    int64_t doc_first; /* row of the document's first query and, n_past being 0, key */
    int64_t first, n;  /* rows, counted in the document (of its keys: n_past comes first) */
    int64_t n_keys;
};

static inline struct scratch scratch_of_thread(const struct call *call)
{
    const size_t   tile = (size_t)BLOCK * (size_t)lrc_attention__padded(call->q->shape[2]);
    float         *at = call->threads + (size_t)omp_get_thread_num() * call->thread_floats;
    struct scratch scratch;
    for (int i = 0; i < LRC_ATTENTION_TILES; i++, at += tile)
        scratch.tile[i] = at;
    for (int i = 0; i < LRC_ATTENTION_SCORES; i++, at += BLOCK * BLOCK)
        scratch.scores[i] = at;
    for (int i = 0; i < 4; i++, at += BLOCK)
        scratch.rows[i] = at;
    return scratch;
}

static inline void call_place(struct call *call, void *workspace, size_t workspace_bytes)
{
    const struct lrc_attention_layout layout =
        lrc_attention__layout(call->q->shape[0], call->q->shape[1], call->q->shape[2]);
    const uintptr_t start = (uintptr_t)workspace,
                    aligned = (start + LRC_ATTENTION_ALIGN - 1) / LRC_ATTENTION_ALIGN * LRC_ATTENTION_ALIGN;
    const size_t n_floats = (workspace_bytes - (size_t)(aligned - start)) / sizeof(float);
    const size_t fit = (n_floats - layout.delta_floats - layout.d_q_floats) / layout.thread_floats;
    const int    n_wanted =
        omp_get_max_threads() < LRC_ATTENTION_THREADS_MAX ? omp_get_max_threads() : LRC_ATTENTION_THREADS_MAX;
    call->delta = (float *)workspace + (aligned - start) / sizeof(float);
    call->d_q_sums = call->delta + layout.delta_floats;
    call->threads = call->d_q_sums + layout.d_q_floats;
    call->thread_floats = layout.thread_floats;
    call->n_threads = fit < (size_t)n_wanted ? (int)fit : n_wanted;
}

static inline int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t doc_length(const struct lrc_attention_shape *shape, int64_t doc)
{
    return shape->doc_offsets[doc + 1] - shape->doc_offsets[doc];
}

static inline int64_t n_blocks(const struct lrc_attention_shape *shape)
{
    int64_t n = 0;
    for (int64_t d = 0; d < shape->n_docs; d++)
        n += (doc_length(shape, d) + BLOCK - 1) / BLOCK;
    return n;
}

/* Block number `index` over all documents. */
static inline struct block block_find(const struct lrc_attention_shape *shape, int64_t index)
{
    int64_t doc = 0, n = (doc_length(shape, 0) + BLOCK - 1) / BLOCK;
    while (index >= n) {
        index -= n;
        doc++;
        n = (doc_length(shape, doc) + BLOCK - 1) / BLOCK;
    }
    const int64_t length = doc_length(shape, doc), first = index * BLOCK;
    return (struct block){ shape->doc_offsets[doc], first, min64(BLOCK, length - first),
                           shape->n_past + length };
}

/* Keys [from, to) that the query at position `at` of the keys sees. */
static inline int64_t keys_from(const struct lrc_attention_shape *shape, int64_t at)
{
    return shape->window > 0 ? max64(0, at - shape->window + 1) : 0;
}

static inline int needs_mask(const struct lrc_attention_shape *shape, int64_t key, int64_t query)
{
    return key + BLOCK - 1 > query || key < keys_from(shape, query + BLOCK - 1);
}

/* row[from .. to) is seen, the rest becomes -inf. */
static inline void mask_row(float *row, int64_t from, int64_t to)
{
    const int64_t begin = min64(max64(from, 0), BLOCK), end = max64(min64(to, BLOCK), begin);
    for (int64_t i = 0; i < begin; i++)
        row[i] = -INFINITY;
    for (int64_t i = end; i < BLOCK; i++)
        row[i] = -INFINITY;
}

/* Rows are keys from position `key`, columns queries from position `query`. */
static inline void mask_by_key(float *scores, const struct lrc_attention_shape *shape, int64_t key,
                               int64_t query, int64_t n_keys)
{
    if (!needs_mask(shape, key, query))
        return;
    for (int64_t j = 0; j < n_keys; j++)
        mask_row(scores + j * BLOCK, key + j - query,
                 shape->window > 0 ? key + j - query + shape->window : BLOCK);
}

/* Rows are queries, columns keys. */
static inline void mask_by_query(float *scores, const struct lrc_attention_shape *shape, int64_t key,
                                 int64_t query, int64_t n_queries)
{
    if (!needs_mask(shape, key, query))
        return;
    for (int64_t i = 0; i < n_queries; i++)
        mask_row(scores + i * BLOCK, keys_from(shape, query + i) - key, query + i - key + 1);
}

static inline void rows_scale(float *tile, const float *factors, int64_t n_rows, int64_t width)
{
    for (int64_t i = 0; i < n_rows; i++)
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            tile[i * width + c] *= factors[i];
}

/* lse and delta of the block's queries; padding rows get lse = +inf, so that their p is 0. */
static inline void row_values(const struct call *call, const struct block *block, int64_t head, float *lse,
                              float *delta)
{
    const int64_t n_heads = call->q->shape[1];
    for (int64_t i = 0; i < BLOCK; i++) {
        const int64_t at = (block->doc_first + block->first + min64(i, block->n - 1)) * n_heads + head;
        lse[i] = i < block->n ? call->lse[at] : INFINITY;
        delta[i] = i < block->n ? call->delta[at] : 0.0f;
    }
}

/* A kind of words in which factors of products are held: how rows become such, and what happens between
 * products. A tile's depth of n is ceil(n / elems) words. */
struct words {
    int elems;    /* in a word */
    int d_s_rows; /* which scores by_query() leaves d_s in as rows of words */
    /* (depth of C, BLOCK) = rowsᵀ, zeros where there are none; room for one tile */
    void (*transpose)(void *to, void *room, const struct tile_place *rows);
    /* rows as a left factor, their depth is C: where they lie, or in room */
    const void *(*left)(void *room, const struct tile_place *rows, int64_t *stride);
    /* rows as a right factor, their depth is n; `left`: what left() made of the same rows, or NULL */
    const void *(*right)(void *room, const struct tile_place *rows, const void *left);
    void (*multiply)(const struct product *product);
    /* One key tile of the running softmax: scores, still to be scaled, become words of exp(scale (s - max));
     * max and sum move on; what has been summed so far is to be multiplied by rescale. state: max, sum,
     * rescale (BLOCK). Rows are keys; or n queries, and their keys BLOCK columns. */
    void (*softmax)(float *scores, float *const state[3], float scale, int64_t n_keys);
    void (*softmax_rows)(float *scores, float *const state[3], float scale, int64_t n);
    /* scores[0] and [1], s and d_p of n rows, become p and d_s; rows[0] and [1]: lse and delta. by_key: rows
     * are keys and d_s is all that is left. by_query: rows are queries. */
    void (*by_key)(const struct scratch *scratch, float scale, int64_t n);
    void (*by_query)(const struct scratch *scratch, float scale, int64_t n);
};

static inline int64_t depth_of(const struct words *words, int64_t n)
{
    return (n + words->elems - 1) / words->elems;
}

/* A row of softmax_rows(): its maximum, which moves on. A row that has seen no key yet has the maximum -inf:
 * any finite one gives exp(-inf) = 0. */
static inline float row_begin(const float *row, float *const state[3], float scale, int64_t i)
{
    vector most = vector_set(state[0][i]);
    for (int64_t j = 0; j < BLOCK; j += VECTOR_FLOATS)
        most = vector_max(vector_load(row + j), most);
    const float max = vector_largest(most), finite = max > -FLT_MAX ? max : -FLT_MAX;
    state[2][i] = lrc_vec_exp((state[0][i] - finite) * scale);
    state[0][i] = max;
    return finite;
}

static inline void row_end(float *const state[3], vector add, int64_t i)
{
    state[1][i] = state[1][i] * state[2][i] + vector_sum(add);
}

/* exp(scale s - lse) */
static inline vector p_of(const float *score, float scale, vector lse)
{
    return vector_exp(vector_fma(vector_load(score), vector_set(scale), vector_set(0) - lse));
}

#endif
