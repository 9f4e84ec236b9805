#include "attention/attention_floats.h"
#include "attention/attention_forward.h"
#include "attention/attention_pairs.h"
#include "backend.h"

static void delta_rows(const struct call *call)
{
    const int64_t n_heads = call->q->shape[1], n_cols = call->q->shape[2];
#pragma omp parallel for schedule(static) num_threads(call->n_threads)
    for (int64_t item = 0; item < call->q->shape[0] * n_heads; item++) {
        float out[LRC_ATTENTION_HEAD_DIM_MAX], d_out[LRC_ATTENTION_HEAD_DIM_MAX], sum = 0;
        tile_load(out, &(struct tile_place){ call->out, item / n_heads, 1, item % n_heads });
        tile_load(d_out, &(struct tile_place){ call->d_out, item / n_heads, 1, item % n_heads });
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < n_cols; c++)
            sum += out[c] * d_out[c];
        call->delta[item] = sum;
    }
}

/* ---- backward ---- */

/* scores = rows, a left factor, times columns (depth of C, BLOCK); the rows as a left factor remain. */
static const void *multiply_rows(const struct call *call, float *scores, const void *columns, void *room,
                                 const struct tile_place *rows)
{
    struct product product = { .c = scores,
                               .b = columns,
                               .n_rows = rows->n,
                               .n_cols = BLOCK,
                               .n_depth = depth_of(call->words, lrc_attention__padded(call->q->shape[2])),
                               .a_depth = 1,
                               .stride = BLOCK };
    product.a = call->words->left(room, rows, &product.a_row);
    call->words->multiply(&product);
    return product.a;
}

/* d_q of a block of queries: over its key tiles, transposed (rows are keys) as in forward. */
static void query_item(const struct call *call, const struct block *block, int64_t head)
{
    const struct lrc_attention_shape *shape = call->shape;
    const struct words               *words = call->words;
    const struct scratch              s = scratch_of_thread(call);
    const int64_t                     width = lrc_attention__padded(call->q->shape[2]),
                  kv_head = head / (call->q->shape[1] / call->k->shape[1]);
    struct tile_place rows = { call->q, block->doc_first + block->first, block->n, head };
    words->transpose(s.tile[0], s.tile[3], &rows);
    rows.tensor = call->d_out;
    words->transpose(s.tile[1], s.tile[3], &rows);
    row_values(call, block, head, s.rows[0], s.rows[1]);
    memset(s.tile[2], 0, (size_t)(BLOCK * width) * sizeof(float));
    for (int64_t key = keys_from(shape, block->first) / BLOCK * BLOCK; key < block->first + block->n;
         key += BLOCK) {
        const int64_t     n_keys = min64(BLOCK, block->n_keys - key);
        struct tile_place place = { call->k, block->doc_first + key, n_keys, kv_head };
        const void       *k = multiply_rows(call, s.scores[0], s.tile[0], s.tile[3], &place);
        mask_by_key(s.scores[0], shape, key, block->first, n_keys);
        k = words->right(s.tile[3], &place, k);
        place.tensor = call->v;
        (void)multiply_rows(call, s.scores[1], s.tile[1], s.tile[4], &place);
        words->by_key(&s, shape->scale, n_keys);
        words->multiply(&(struct product){ .c = s.tile[2],
                                           .a = s.scores[1],
                                           .b = k,
                                           .n_rows = block->n,
                                           .n_cols = width,
                                           .n_depth = depth_of(words, n_keys),
                                           .a_row = 1,
                                           .a_depth = BLOCK,
                                           .stride = width,
                                           .adds = 1 });
    }
    rows.tensor = call->d_q;
    tile_store(&rows, s.tile[2], shape->scale);
}

/* What a tile of d_s, rows are queries, gives to d_q; stored when its last key tile, the one on the diagonal,
 * is in. k: the keys as a right factor. */
static void add_to_queries(const struct call *call, const struct scratch *s, const struct block *queries,
                           const struct block *keys, const void *k, int64_t head)
{
    const struct lrc_attention_shape *shape = call->shape;
    const int64_t width = lrc_attention__padded(call->q->shape[2]), row = queries->doc_first + queries->first;
    float        *sums = call->d_q_sums + (head * call->q->shape[0] + row) * width;
    const int     is_first = keys->first == keys_from(shape, queries->first) / BLOCK * BLOCK;
    call->words->multiply(&(struct product){ .c = sums,
                                             .a = s->scores[call->words->d_s_rows],
                                             .b = k,
                                             .n_rows = queries->n,
                                             .n_cols = width,
                                             .n_depth = depth_of(call->words, keys->n),
                                             .a_row = BLOCK / call->words->elems,
                                             .a_depth = 1,
                                             .stride = width,
                                             .adds = !is_first });
    if (keys->first == queries->first)
        tile_store(&(struct tile_place){ call->d_q, row, queries->n, head }, sums, shape->scale);
}

/* One query tile of key_item(): kᵀ and vᵀ are in tile[0] and [1], d_k and d_v in [2] and [3]. */
static void key_step(const struct call *call, const struct scratch *s, const struct block *queries,
                     int64_t key, int64_t head)
{
    const struct words *words = call->words;
    struct tile_place   rows = { call->q, queries->doc_first + queries->first, queries->n, head };
    const void         *q = multiply_rows(call, s->scores[0], s->tile[0], s->tile[4], &rows);
    mask_by_query(s->scores[0], call->shape, key, queries->first, queries->n);
    q = words->right(s->tile[4], &rows, q);
    rows.tensor = call->d_out;
    const void *d_out = multiply_rows(call, s->scores[1], s->tile[1], s->tile[5], &rows);
    d_out = words->right(s->tile[5], &rows, d_out);
    row_values(call, queries, head, s->rows[0], s->rows[1]);
    words->by_query(s, call->shape->scale, queries->n);

    struct product product = { .c = s->tile[3],
                               .a = s->scores[0],
                               .b = d_out,
                               .n_rows = BLOCK,
                               .n_cols = lrc_attention__padded(call->q->shape[2]),
                               .n_depth = depth_of(words, queries->n),
                               .a_row = 1,
                               .a_depth = BLOCK,
                               .stride = lrc_attention__padded(call->q->shape[2]),
                               .adds = 1 };
    words->multiply(&product);
    product.c = s->tile[2];
    product.a = s->scores[1];
    product.b = q;
    words->multiply(&product);
}

enum d_q_way { D_Q_APART, D_Q_HERE };

/* d_k and d_v of a block of keys: over the query heads of its group and their query tiles. D_Q_HERE: d_q as
 * well, where one thread takes all key blocks of a document in ascending order. */
static void key_item(const struct call *call, const struct block *block, int64_t kv_head, enum d_q_way way)
{
    const struct lrc_attention_shape *shape = call->shape;
    const struct words               *words = call->words;
    const struct scratch              s = scratch_of_thread(call);
    const int64_t                     width = lrc_attention__padded(call->q->shape[2]),
                  group = call->q->shape[1] / call->k->shape[1];
    const int64_t last = block->first + block->n - 1;
    const int64_t end = shape->window > 0 ? min64(block->n_keys, last + shape->window) : block->n_keys;

    struct tile_place rows = { call->k, block->doc_first + block->first, block->n, kv_head };
    const void       *k = NULL;
    words->transpose(s.tile[0], s.tile[4], &rows);
    if (way == D_Q_HERE)
        k = words->right(s.tile[6], &rows, NULL);
    rows.tensor = call->v;
    words->transpose(s.tile[1], s.tile[4], &rows);
    memset(s.tile[2], 0, (size_t)(BLOCK * width) * sizeof(float));
    memset(s.tile[3], 0, (size_t)(BLOCK * width) * sizeof(float));
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++)
        for (int64_t query = block->first; query < end; query += BLOCK) {
            const struct block queries = { block->doc_first, query, min64(BLOCK, block->n_keys - query),
                                           block->n_keys };
            key_step(call, &s, &queries, block->first, head);
            if (way == D_Q_HERE)
                add_to_queries(call, &s, &queries, block, k, head);
        }
    rows.tensor = call->d_k;
    tile_store(&rows, s.tile[2], shape->scale);
    rows.tensor = call->d_v;
    tile_store(&rows, s.tile[3], 1.0f);
}

/* Pairs, where all tensors can be read as such and the CPU multiplies them. */
static const struct words *words_for(const struct lrc_tensor *const tensors[], int n)
{
#ifdef LRC_ISA_avx512
    int fit = lrc_backend_cpu_has_bf16();
    for (int i = 0; i < n; i++)
        fit = fit && pairs_fit(tensors[i]);
    if (fit)
        return &words_pairs;
#else
    (void)tensors;
    (void)n;
#endif
    return &words_floats;
}

enum lrc_status LRC_CPU(attention_forward)(struct lrc_stream                       *stream,
                                           const struct lrc_attention_forward_args *args,
                                           struct lrc_error                        *err)
{
    struct call call = { .words = words_for((const struct lrc_tensor *[]){ &args->q, &args->k, &args->v }, 3),
                         .q = &args->q,
                         .k = &args->k,
                         .v = &args->v,
                         .out = &args->out,
                         .lse = args->lse,
                         .shape = &args->shape };
    (void)stream;
    (void)err;
    call_place(&call, args->workspace, args->workspace_bytes);
    if (is_few(&call))
        forward_few(&call);
    else
        forward_many(&call);
    return LRC_STATUS_OK;
}

/* d_k, d_v and d_q by blocks of keys, then by blocks of queries: 7 products of tiles where one pass needs 5,
 * but many items. */
static void backward_by_blocks(const struct call *call)
{
    const int64_t n_heads = call->q->shape[1], n_kv_heads = call->k->shape[1], blocks = n_blocks(call->shape);
    /* the first key blocks are seen by most queries, the last query blocks see most keys: longest first */
#pragma omp parallel for schedule(dynamic, 1) num_threads(call->n_threads)
    for (int64_t item = 0; item < blocks * n_kv_heads; item++) {
        const struct block block = block_find(call->shape, item / n_kv_heads);
        key_item(call, &block, item % n_kv_heads, D_Q_APART);
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(call->n_threads)
    for (int64_t item = blocks * n_heads - 1; item >= 0; item--) {
        const struct block block = block_find(call->shape, item / n_heads);
        query_item(call, &block, item % n_heads);
    }
}

/* One pass; an item is a key/value head of a document. */
static void backward_by_documents(const struct call *call)
{
    const struct lrc_attention_shape *shape = call->shape;
    const int64_t                     n_kv_heads = call->k->shape[1];
#pragma omp parallel for schedule(dynamic, 1) num_threads(call->n_threads)
    for (int64_t item = 0; item < shape->n_docs * n_kv_heads; item++) {
        const int64_t doc = item / n_kv_heads, length = doc_length(shape, doc);
        for (int64_t first = 0; first < length; first += BLOCK) {
            const struct block block = { shape->doc_offsets[doc], first, min64(BLOCK, length - first),
                                         length };
            key_item(call, &block, item % n_kv_heads, D_Q_HERE);
        }
    }
}

/* Whether one pass over documents would end first: its items, given in turn to the thread that is free, at
 * 5/7 of the work. Both ways give the same bits. */
static int documents_are_faster(const struct call *call)
{
    const struct lrc_attention_shape *shape = call->shape;
    double                            load[LRC_ATTENTION_THREADS_MAX] = { 0 }, total = 0, longest = 0;
    for (int64_t item = 0; item < shape->n_docs * call->k->shape[1]; item++) {
        const double length = (double)doc_length(shape, item / call->k->shape[1]);
        int          idle = 0;
        for (int t = 1; t < call->n_threads; t++)
            idle = load[t] < load[idle] ? t : idle;
        load[idle] += length * length;
        total += length * length;
        longest = load[idle] > longest ? load[idle] : longest;
    }
    return 5 * longest <= 7 * total / call->n_threads;
}

enum lrc_status LRC_CPU(attention_backward)(struct lrc_stream                        *stream,
                                            const struct lrc_attention_backward_args *args,
                                            struct lrc_error                         *err)
{
    union {
        const float *read_only;
        float       *any;
    } lse = { .read_only = args->lse };
    const struct lrc_tensor *const read[] = { &args->q, &args->k, &args->v, &args->d_out };
    struct call                    call = { .words = words_for(read, 4),
                                            .q = &args->q,
                                            .k = &args->k,
                                            .v = &args->v,
                                            .out = &args->out,
                                            .d_out = &args->d_out,
                                            .d_q = &args->d_q,
                                            .d_k = &args->d_k,
                                            .d_v = &args->d_v,
                                            .lse = lse.any,
                                            .shape = &args->shape };
    (void)stream;
    (void)err;
    call_place(&call, args->workspace, args->workspace_bytes);
    delta_rows(&call);
    if (documents_are_faster(&call))
        backward_by_documents(&call);
    else
        backward_by_blocks(&call);
    return LRC_STATUS_OK;
}
