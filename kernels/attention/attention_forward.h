/* The forward walk over tiles, and its two ways of sharing out work. For attention_cpu.c only.
 *
 * Many queries: an item is a block of queries of one head. Few (generation): the heads of a group and their
 * queries are the columns of one tile, so that keys and values are read once, and keys are cut into at most
 * LRC_ATTENTION_PARTS parts, on a grid of the shape alone, whose results are put together in order. */
#ifndef LRC_ATTENTION_FORWARD_H
#define LRC_ATTENTION_FORWARD_H

#include "attention/attention_work.h"

#include <math.h>

/* A tile of queries of one key/value head. */
struct forward {
    const struct call *call;
    struct scratch     scratch;
    int64_t            n, each;   /* columns of scores, and columns of one query */
    int64_t            query;     /* where the first one stands among the keys */
    int64_t            doc_first; /* row of the document's first key */
    int64_t            kv_head;
};

/* Where what keys gave is summed: state[0] and [1] (BLOCK), out (n, padded C). */
static inline float *forward_out(const struct forward *f)
{
    return f->scratch.tile[2];
}

/* Keys [from, to), `from` a multiple of BLOCK: maximum, sum and weighted values. The queries are in tile[0]. */
static void forward_keys(const struct forward *f, int64_t from, int64_t to)
{
    const struct call                *call = f->call;
    const struct words               *words = call->words;
    const struct lrc_attention_shape *shape = call->shape;
    const int64_t                     width = lrc_attention__padded(call->q->shape[2]);
    float       *out = forward_out(f), *scores = f->scratch.scores[0], *room = f->scratch.tile[1];
    float *const state[3] = { f->scratch.rows[0], f->scratch.rows[1], f->scratch.rows[2] };
    memset(out, 0, (size_t)(f->n * width) * sizeof *out);
    for (int64_t i = 0; i < BLOCK; i++) {
        state[0][i] = -INFINITY;
        state[1][i] = 0;
    }
    for (int64_t key = from; key < to; key += BLOCK) {
        const int64_t     n_keys = min64(BLOCK, to - key);
        struct tile_place place = { call->k, f->doc_first + key, n_keys, f->kv_head };
        struct product    product = { .c = scores,
                                      .b = f->scratch.tile[0],
                                      .n_rows = n_keys,
                                      .n_cols = f->n <= FEW ? FEW : BLOCK,
                                      .n_depth = depth_of(words, width),
                                      .a_depth = 1,
                                      .stride = BLOCK };
        product.a = words->left(room, &place, &product.a_row);
        words->multiply(&product);
        mask_by_key(scores, shape, key, f->query, n_keys, f->each);
        words->softmax(scores, state, shape->scale, n_keys, f->n);
        rows_scale(out, state[2], f->n, width);
        place.tensor = call->v;
        words->multiply(&(struct product){ .c = out,
                                           .a = scores,
                                           .b = words->right(room, &place, NULL),
                                           .n_rows = f->n,
                                           .n_cols = width,
                                           .n_depth = depth_of(words, n_keys),
                                           .a_row = 1,
                                           .a_depth = BLOCK,
                                           .stride = width,
                                           .adds = 1 });
    }
}

static void forward_item(const struct call *call, const struct block *block, int64_t head)
{
    const int64_t     width = lrc_attention__padded(call->q->shape[2]), n_heads = call->q->shape[1];
    struct forward    f = { .call = call,
                            .scratch = scratch_of_thread(call),
                            .n = block->n,
                            .each = 1,
                            .query = call->shape->n_past + block->first,
                            .doc_first = block->doc_first,
                            .kv_head = head / (n_heads / call->k->shape[1]) };
    struct tile_place rows = { call->q, block->doc_first + block->first, block->n, head };
    float            *max = f.scratch.rows[0], *sum = f.scratch.rows[1];
    call->words->transpose(f.scratch.tile[0], f.scratch.tile[1], &rows);
    forward_keys(&f, keys_from(call->shape, f.query) / BLOCK * BLOCK, f.query + f.n);
    for (int64_t i = 0; i < block->n; i++) {
        if (call->lse)
            call->lse[(rows.first + i) * n_heads + head] = max[i] * call->shape->scale + logf(sum[i]);
        sum[i] = 1.0f / sum[i];
    }
    rows_scale(forward_out(&f), sum, block->n, width);
    rows.tensor = call->out;
    tile_store(&rows, forward_out(&f), 1.0f);
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
    const int64_t each =
        max64(LRC_ATTENTION_PART_TILES, (tiles + LRC_ATTENTION_PARTS - 1) / LRC_ATTENTION_PARTS);
    return (struct parts){ (tiles + each - 1) / each, from, each * BLOCK, to };
}

static int is_few(const struct call *call)
{
    const int64_t n_rows = call->q->shape[0], group = call->q->shape[1] / call->k->shape[1];
    return call->shape->n_docs == 1 && n_rows > 0 && n_rows <= LRC_ATTENTION_FEW_ROWS &&
           n_rows * group <= BLOCK;
}

/* What part `part` leaves of a key/value head: max (n), sum (n), out (n, padded C). */
static float *part_of(const struct call *call, const struct parts *parts, int64_t kv_head, int64_t part)
{
    const int64_t n = call->q->shape[0] * call->q->shape[1] / call->k->shape[1];
    return call->d_q_sums + (kv_head * parts->n + part) * n * (lrc_attention__padded(call->q->shape[2]) + 2);
}

static void few_item(const struct call *call, const struct parts *parts, int64_t kv_head, int64_t part)
{
    const int64_t  group = call->q->shape[1] / call->k->shape[1], n_cols = call->q->shape[2];
    struct forward f = { .call = call,
                         .scratch = scratch_of_thread(call),
                         .n = call->q->shape[0] * group,
                         .each = group,
                         .query = call->shape->n_past,
                         .kv_head = kv_head };
    const size_t   row_bytes = (size_t)n_cols * lrc_dtype_bytes(call->q->dtype);
    unsigned char *rows = (unsigned char *)f.scratch.tile[3];
    for (int64_t i = 0; i < f.n; i++) {
        const struct tile_place from = { call->q, i / group, 1, kv_head * group + i % group };
        memcpy(rows + (size_t)i * row_bytes, tile_row(&from, 0), row_bytes);
    }
    const struct lrc_tensor view = lrc_tensor_3d(rows, call->q->dtype, f.n, 1, n_cols);
    call->words->transpose(f.scratch.tile[0], f.scratch.tile[1], &(struct tile_place){ &view, 0, f.n, 0 });
    const int64_t first = parts->from + part * parts->n_keys;
    forward_keys(&f, first, min64(parts->to, first + parts->n_keys));
    float       *to = part_of(call, parts, kv_head, part);
    const size_t n = (size_t)f.n, width = (size_t)lrc_attention__padded(n_cols);
    memcpy(to, f.scratch.rows[0], n * sizeof *to);
    memcpy(to + n, f.scratch.rows[1], n * sizeof *to);
    memcpy(to + 2 * n, forward_out(&f), n * width * sizeof *to);
}

/* Column i of a key/value head, out of its parts in order. A part of which it sees no key has the sum 0. */
static void few_join(const struct call *call, const struct parts *parts, int64_t kv_head, int64_t i)
{
    const int64_t group = call->q->shape[1] / call->k->shape[1], n = call->q->shape[0] * group;
    const int64_t width = lrc_attention__padded(call->q->shape[2]), head = kv_head * group + i % group;
    const float   scale = call->shape->scale;
    float         out[LRC_ATTENTION_HEAD_DIM_MAX] = { 0 }, max = -INFINITY, sum = 0;
    for (int64_t part = 0; part < parts->n; part++)
        max = fmaxf(max, part_of(call, parts, kv_head, part)[i]);
    for (int64_t part = 0; part < parts->n; part++) {
        const float *from = part_of(call, parts, kv_head, part), *values = from + 2 * n + i * width;
        if (!(from[n + i] != 0))
            continue;
        const float factor = expf((from[i] - max) * scale);
        sum += factor * from[n + i];
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
#pragma omp parallel num_threads(call->n_threads) if (parts.n * n_kv_heads > 1)
    {
#pragma omp for schedule(dynamic, 1)
        for (int64_t item = 0; item < parts.n * n_kv_heads; item++)
            few_item(call, &parts, item / parts.n, item % parts.n);
#pragma omp for schedule(static)
        for (int64_t item = 0; item < n_kv_heads * n; item++)
            few_join(call, &parts, item / n, item % n);
    }
}

#endif
