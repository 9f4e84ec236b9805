/* The forward walk over tiles, and its two ways of sharing out work. For attention_cpu.c only.
 *
 * Many queries: an item is a block of queries of one head; rows of scores are keys. Few (generation): the
 * heads of a group and their queries are rows of one tile, and keys its columns, so that keys and values are
 * read once and in the order in which they lie; keys are cut into at most LRC_ATTENTION_PARTS parts, on a
 * grid of the shape alone, whose results are put together in order. */
#ifndef LRC_ATTENTION_FORWARD_H
#define LRC_ATTENTION_FORWARD_H

#include "attention/attention_work.h"

#include <math.h>

/* A tile of queries of one key/value head, and what keys gave so far. */
struct forward {
    const struct call *call;
    struct scratch     scratch;   /* tile[0]: the queries, transposed; of few, as a left factor */
    int64_t            n;         /* of them */
    int64_t            query;     /* where the first one stands among the keys */
    int64_t            doc_first; /* row of the document's first key */
    int64_t            kv_head;
    float             *max, *sum, *out; /* (BLOCK) twice, (n, padded C) */
};

static inline void forward_start(const struct forward *f)
{
    memset(f->out, 0, (size_t)(f->n * lrc_attention__padded(f->call->q->shape[2])) * sizeof *f->out);
    for (int64_t i = 0; i < BLOCK; i++) {
        f->max[i] = -INFINITY;
        f->sum[i] = 0;
    }
}

/* out = rescale out + p v, where p, words of n_keys columns, has its rows and its depth so far apart. */
static void forward_values(const struct forward *f, const struct tile_place *v, const float *rescale,
                           int64_t p_row, int64_t p_depth)
{
    const struct words *words = f->call->words;
    const int64_t       width = lrc_attention__padded(f->call->q->shape[2]);
    rows_scale(f->out, rescale, f->n, width);
    words->multiply(&(struct product){ .c = f->out,
                                       .a = f->scratch.scores[0],
                                       .b = words->right(f->scratch.tile[1], v, NULL),
                                       .n_rows = f->n,
                                       .n_cols = width,
                                       .n_depth = depth_of(words, v->n),
                                       .a_row = p_row,
                                       .a_depth = p_depth,
                                       .stride = width,
                                       .adds = 1 });
}

/* Keys [from, to), `from` a multiple of BLOCK. */
static void forward_keys(const struct forward *f, int64_t from, int64_t to)
{
    const struct call  *call = f->call;
    const struct words *words = call->words;
    float              *scores = f->scratch.scores[0];
    float *const        state[3] = { f->max, f->sum, f->scratch.rows[2] };
    for (int64_t key = from; key < to; key += BLOCK) {
        struct tile_place place = { call->k, f->doc_first + key, min64(BLOCK, to - key), f->kv_head };
        struct product    product = { .c = scores,
                                      .b = f->scratch.tile[0],
                                      .n_rows = place.n,
                                      .n_cols = BLOCK,
                                      .n_depth = depth_of(words, lrc_attention__padded(call->q->shape[2])),
                                      .a_depth = 1,
                                      .stride = BLOCK };
        product.a = words->left(f->scratch.tile[1], &place, &product.a_row);
        words->multiply(&product);
        mask_by_key(scores, call->shape, key, f->query, place.n);
        words->softmax(scores, state, call->shape->scale, place.n);
        place.tensor = call->v;
        forward_values(f, &place, state[2], 1, BLOCK);
    }
}

static void forward_item(const struct call *call, const struct block *block, int64_t head)
{
    const int64_t     width = lrc_attention__padded(call->q->shape[2]), n_heads = call->q->shape[1];
    struct forward    f = { .call = call,
                            .scratch = scratch_of_thread(call),
                            .n = block->n,
                            .query = call->shape->n_past + block->first,
                            .doc_first = block->doc_first,
                            .kv_head = head / (n_heads / call->k->shape[1]) };
    struct tile_place rows = { call->q, block->doc_first + block->first, block->n, head };
    f.max = f.scratch.rows[0];
    f.sum = f.scratch.rows[1];
    f.out = f.scratch.tile[2];
    forward_start(&f);
    call->words->transpose(f.scratch.tile[0], f.scratch.tile[1], &rows);
    forward_keys(&f, keys_from(call->shape, f.query) / BLOCK * BLOCK, f.query + f.n);
    for (int64_t i = 0; i < block->n; i++) {
        if (call->lse)
            call->lse[(rows.first + i) * n_heads + head] = f.max[i] * call->shape->scale + logf(f.sum[i]);
        f.sum[i] = 1.0f / f.sum[i];
    }
    rows_scale(f.out, f.sum, block->n, width);
    rows.tensor = call->out;
    tile_store(&rows, f.out, 1.0f);
}

static void forward_many(const struct call *call)
{
    const int64_t n_heads = call->q->shape[1], n_items = n_blocks(call->shape) * n_heads;
    /* the last blocks see most keys: longest first */
#pragma omp parallel for schedule(dynamic, 1) num_threads(call->n_threads) if (n_items > 1)
    for (int64_t item = n_items - 1; item >= 0; item--) {
        const struct block block = block_find(call->shape, item / n_heads);
        forward_item(call, &block, item % n_heads);
    }
}

/* ---- few queries ---- */

/* Parts of the keys: part i begins at from + i * n_keys and ends with the next one or at `to`. */
struct parts {
    int64_t n, from, n_keys, to;
};

static struct parts parts_of(const struct call *call)
{
    const struct lrc_attention_shape *shape = call->shape;
    const int64_t                     from = keys_from(shape, shape->n_past) / BLOCK * BLOCK,
                  to = shape->n_past + call->q->shape[0];
    const int64_t tiles = (to - from + BLOCK - 1) / BLOCK;
    const int64_t each = (tiles + LRC_ATTENTION_PARTS - 1) / LRC_ATTENTION_PARTS;
    return (struct parts){ (tiles + each - 1) / each, from, each * BLOCK, to };
}

static int is_few(const struct call *call)
{
    const int64_t n_rows = call->q->shape[0], group = call->q->shape[1] / call->k->shape[1];
    return call->shape->n_docs == 1 && n_rows > 0 && n_rows <= LRC_ATTENTION_FEW_ROWS &&
           n_rows * group <= BLOCK;
}

/* The tile of a key/value head, with room for what part `part` of the keys gives. */
static struct forward few_tile(const struct call *call, int64_t kv_head, int64_t part)
{
    const int64_t n = call->q->shape[0] * call->q->shape[1] / call->k->shape[1];
    const int64_t floats = 2 * BLOCK + n * lrc_attention__padded(call->q->shape[2]);
    float        *room = call->d_q_sums + (part * call->k->shape[1] + kv_head) * floats;
    return (struct forward){ .call = call,
                             .n = n,
                             .query = call->shape->n_past,
                             .kv_head = kv_head,
                             .max = room,
                             .sum = room + BLOCK,
                             .out = room + 2 * BLOCK };
}

/* Rows of keys and values, of all heads, that will be needed: some at a time between products, since a long
 * list would hold up what comes after it. */
struct ask {
    int64_t row, end, step, n;
};
enum { ASKS = 4 }; /* calls of few_ask() for a tile */

static inline void few_ask(const struct call *call, struct ask *ask)
{
    const struct lrc_tensor *const tensors[] = { call->k, call->v };
    const int64_t n_bytes = call->k->shape[1] * call->k->stride[1] * (int64_t)lrc_dtype_bytes(call->k->dtype);
    for (int64_t n = 0; n < ask->n && ask->row < ask->end; n++, ask->row += ask->step)
        for (int i = 0; i < 2; i++) {
            const char *at = tile_row(&(struct tile_place){ tensors[i], ask->row, 1, 0 }, 0);
            for (int64_t byte = 0; byte < n_bytes; byte += 64)
                __builtin_prefetch(at + byte, 0, 2);
        }
}

/* scores (n, BLOCK) = queries times keysᵀ; rows are the queries of one head of the group, then of the next
 * one ... as they lie in q. */
static void few_scores(const struct forward *f, const struct tile_place *keys)
{
    const struct words      *words = f->call->words;
    const struct lrc_tensor *q = f->call->q;
    const int64_t            n_cols = q->shape[2], group = f->call->q->shape[1] / f->call->k->shape[1];
    const size_t             row_bytes = (size_t)n_cols * lrc_dtype_bytes(q->dtype);
    unsigned char           *rows = (unsigned char *)f->scratch.tile[3];
    for (int64_t i = 0; i < f->n; i++) {
        const struct tile_place from = { q, i / group, 1, f->kv_head * group + i % group };
        memcpy(rows + (size_t)i * row_bytes, tile_row(&from, 0), row_bytes);
    }
    const struct lrc_tensor view = lrc_tensor_3d(rows, q->dtype, f->n, 1, n_cols);
    struct product          product = { .c = f->scratch.scores[0],
                                        .b = f->scratch.tile[1],
                                        .n_rows = f->n,
                                        .n_cols = BLOCK,
                                        .n_depth = depth_of(words, lrc_attention__padded(n_cols)),
                                        .a_depth = 1,
                                        .stride = BLOCK };
    product.a = words->left(f->scratch.tile[0], &(struct tile_place){ &view, 0, f->n, 0 }, &product.a_row);
    words->transpose(f->scratch.tile[1], f->scratch.tile[2], keys);
    words->multiply(&product);
}

/* Keys [key, key + n_keys), a tile. */
static void few_keys(const struct forward *f, int64_t key, int64_t n_keys, struct ask *ask)
{
    const struct call *call = f->call;
    const int64_t      group = call->q->shape[1] / call->k->shape[1];
    float *const       state[3] = { f->max, f->sum, f->scratch.rows[2] };
    struct tile_place  place = { call->k, key, n_keys, f->kv_head };
    few_ask(call, ask);
    few_scores(f, &place);
    few_ask(call, ask);
    for (int64_t i = 0; i < f->n; i++) {
        const int64_t query = f->query + i / group;
        mask_row(f->scratch.scores[0] + i * BLOCK, keys_from(call->shape, query) - key,
                 min64(query - key + 1, n_keys));
    }
    call->words->softmax_rows(f->scratch.scores[0], state, call->shape->scale, f->n);
    few_ask(call, ask);
    place.tensor = call->v;
    forward_values(f, &place, state[2], BLOCK, 1);
    few_ask(call, ask);
}

/* All heads take a tile of the keys before any takes the next: their rows lie side by side in memory. */
static void few_item(const struct call *call, const struct parts *parts, int64_t part)
{
    const int64_t n_kv_heads = call->k->shape[1], asks = ASKS * n_kv_heads;
    const int64_t first = parts->from + part * parts->n_keys, end = min64(parts->to, first + parts->n_keys);
    for (int64_t key = first; key < end; key += BLOCK)
        for (int64_t kv_head = 0; kv_head < n_kv_heads; kv_head++) {
            struct forward f = few_tile(call, kv_head, part);
            struct ask     ask = { key + BLOCK + kv_head, min64(parts->to, key + 2 * BLOCK), n_kv_heads,
                                   (BLOCK + asks - 1) / asks };
            f.scratch = scratch_of_thread(call);
            if (key == first)
                forward_start(&f);
            few_keys(&f, key, min64(BLOCK, end - key), &ask);
        }
}

/* Row i of a key/value head, out of its parts in order. A part of which it sees no key has the sum 0. */
static void few_join(const struct call *call, const struct parts *parts, int64_t kv_head, int64_t i)
{
    const int64_t group = call->q->shape[1] / call->k->shape[1], head = kv_head * group + i % group;
    const int64_t width = lrc_attention__padded(call->q->shape[2]);
    const float   scale = call->shape->scale;
    float         out[LRC_ATTENTION_HEAD_DIM_MAX] = { 0 }, max = -INFINITY, sum = 0;
    for (int64_t part = 0; part < parts->n; part++)
        max = fmaxf(max, few_tile(call, kv_head, part).max[i]);
    for (int64_t part = 0; part < parts->n; part++) {
        const struct forward f = few_tile(call, kv_head, part);
        if (f.sum[i] == 0)
            continue;
        const float factor = expf((f.max[i] - max) * scale), *values = f.out + i * width;
        sum += factor * f.sum[i];
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            out[c] += factor * values[c];
    }
    if (call->lse)
        call->lse[i / group * call->q->shape[1] + head] = max * scale + logf(sum);
    tile_store(&(struct tile_place){ call->out, i / group, 1, head }, out, 1.0f / sum);
}

static void forward_few(const struct call *call)
{
    const struct parts parts = parts_of(call);
    const int64_t      n_kv_heads = call->k->shape[1], n = call->q->shape[0] * call->q->shape[1] / n_kv_heads;
#pragma omp parallel num_threads(call->n_threads) if (parts.n > 1)
    {
#pragma omp for schedule(static) /* a thread's next part is what it asked for */
        for (int64_t part = 0; part < parts.n; part++)
            few_item(call, &parts, part);
#pragma omp for schedule(static)
        for (int64_t item = 0; item < n_kv_heads * n; item++)
            few_join(call, &parts, item / n, item % n);
    }
}

#endif
