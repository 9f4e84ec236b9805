#include "attention/attention_pairs.h"
#include "attention/attention_work.h"
#include "backend.h"

/* Rows of BLOCK: a column is a query. */
struct softmax {
    float *scores;
    float *max, *sum, *rescale; /* (BLOCK) */
};

/* One key tile of the running softmax: scores become exp(s - max); max and sum move on; what has been summed
 * so far is to be multiplied by rescale. */
static inline __attribute__((always_inline)) void softmax_vectors(const struct softmax *s, int64_t n_keys,
                                                                  const int n_vectors)
{
    float *scores = s->scores, *max = s->max, *sum = s->sum, *rescale = s->rescale;
    vector most[BLOCK_VECTORS], add[BLOCK_VECTORS];
    for (int v = 0; v < n_vectors; v++)
        most[v] = vector_load(max + v * VECTOR_FLOATS);
    for (int64_t j = 0; j < n_keys; j++)
        for (int v = 0; v < n_vectors; v++)
            most[v] = vector_max(vector_load(scores + j * BLOCK + v * VECTOR_FLOATS), most[v]);
    for (int v = 0; v < n_vectors; v++) {
        const vector old = vector_load(max + v * VECTOR_FLOATS);
        vector_store(max + v * VECTOR_FLOATS, most[v]);
        /* a row that has seen no key yet has the maximum -inf: any finite one gives exp(-inf) = 0 */
        most[v] = vector_max(most[v], vector_set(-FLT_MAX));
        vector_store(rescale + v * VECTOR_FLOATS, vector_exp(old - most[v]));
        add[v] = vector_set(0);
    }
    for (int64_t j = 0; j < n_keys; j++)
        for (int v = 0; v < n_vectors; v++) {
            float       *at = scores + j * BLOCK + v * VECTOR_FLOATS;
            const vector p = vector_exp(vector_load(at) - most[v]);
            vector_store(at, p);
            add[v] = add[v] + p;
        }
    for (int v = 0; v < n_vectors; v++) {
        float *at = sum + v * VECTOR_FLOATS;
        vector_store(at, vector_fma(vector_load(at), vector_load(rescale + v * VECTOR_FLOATS), add[v]));
    }
}

static void softmax_step(const struct softmax *s, int64_t n_keys, int64_t n_queries)
{
    if (n_queries <= FEW)
        softmax_vectors(s, n_keys, FEW / VECTOR_FLOATS);
    else
        softmax_vectors(s, n_keys, BLOCK_VECTORS);
}

static void forward_item(const struct call *call, const struct block *block, int64_t head)
{
    const struct lrc_attention_shape *shape = call->shape;
    const struct scratch              scratch = scratch_of_thread(call);
    const int64_t width = lrc_attention__padded(call->q->shape[2]), n_heads = call->q->shape[1];
    const int64_t kv_head = head / (n_heads / call->k->shape[1]), query = shape->n_past + block->first;
    float *qt = scratch.tile[0], *kv = scratch.tile[1], *out = scratch.tile[2], *scores = scratch.scores[0];
    float *max = scratch.rows[0], *sum = scratch.rows[1], *rescale = scratch.rows[2];

    tile_load_transposed(qt, kv,
                         &(struct tile_place){ call->q, block->doc_first + block->first, block->n, head },
                         shape->scale);
    const struct softmax softmax = { scores, max, sum, rescale };
    struct tile_product  product = { .c = scores,
                                     .b = qt,
                                     .n_cols = block->n <= FEW ? FEW : BLOCK,
                                     .n_depth = width,
                                     .a_row = width,
                                     .a_depth = 1,
                                     .stride = BLOCK };
    memset(out, 0, (size_t)(block->n * width) * sizeof *out);
    for (int64_t i = 0; i < BLOCK; i++) {
        max[i] = -INFINITY;
        sum[i] = 0;
    }
    for (int64_t key = keys_from(shape, query) / BLOCK * BLOCK; key < query + block->n; key += BLOCK) {
        const int64_t     n_keys = min64(BLOCK, block->n_keys - key);
        struct tile_place place = { call->k, block->doc_first + key, n_keys, kv_head };
        tile_load(kv, &place, 1.0f);
        product.a = kv;
        product.n_rows = n_keys;
        tile_multiply(&product);
        mask_by_key(scores, shape, key, query, n_keys);
        softmax_step(&softmax, n_keys, block->n);
        rows_scale(out, rescale, block->n, width);
        place.tensor = call->v;
        tile_load(kv, &place, 1.0f);
        tile_multiply(&(struct tile_product){ .c = out,
                                              .a = scores,
                                              .b = kv,
                                              .n_rows = block->n,
                                              .n_cols = width,
                                              .n_depth = n_keys,
                                              .a_row = 1,
                                              .a_depth = BLOCK,
                                              .stride = width,
                                              .adds = 1 });
    }
    for (int64_t i = 0; i < block->n; i++) {
        if (call->lse)
            call->lse[(block->doc_first + block->first + i) * n_heads + head] = max[i] + logf(sum[i]);
        sum[i] = 1.0f / sum[i];
    }
    rows_scale(out, sum, block->n, width);
    tile_store(&(struct tile_place){ call->out, block->doc_first + block->first, block->n, head }, out, 1.0f);
}

static void delta_rows(const struct call *call)
{
    const int64_t n_rows = call->q->shape[0], n_heads = call->q->shape[1], n_cols = call->q->shape[2];
#pragma omp      parallel for schedule(static)
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t h = 0; h < n_heads; h++) {
                 float out[LRC_ATTENTION_HEAD_DIM_MAX], d_out[LRC_ATTENTION_HEAD_DIM_MAX], sum = 0;
                 const struct tile_place out_at = { call->out, r, 1, h }, d_out_at = { call->d_out, r, 1, h };
                 if (call->out->dtype == LRC_DTYPE_F32)
                memcpy(out, tile_row(&out_at, 0), (size_t)n_cols * sizeof *out);
            else
                lrc_vec_from_bf16(out, tile_row(&out_at, 0), n_cols);
            if (call->d_out->dtype == LRC_DTYPE_F32)
                memcpy(d_out, tile_row(&d_out_at, 0), (size_t)n_cols * sizeof *d_out);
            else
                lrc_vec_from_bf16(d_out, tile_row(&d_out_at, 0), n_cols);
#pragma omp simd reduction(+ : sum)
            for (int64_t c = 0; c < n_cols; c++)
                sum += out[c] * d_out[c];
            call->delta[r * n_heads + h] = sum;
             }
     }

/* d_q of a block of queries: over its key tiles, transposed (rows are keys) as in forward. */
static void query_item(const struct call *call, const struct block *block, int64_t head)
{
    const struct lrc_attention_shape *shape = call->shape;
    const struct scratch              scratch = scratch_of_thread(call);
    const int64_t                     width = lrc_attention__padded(call->q->shape[2]),
                  kv_head = head / (call->q->shape[1] / call->k->shape[1]);
    float *qt = scratch.tile[0], *d_out_t = scratch.tile[1], *d_q = scratch.tile[2], *k = scratch.tile[3],
          *v = scratch.tile[4];
    float *p = scratch.scores[0], *d_s = scratch.scores[1], *lse = scratch.rows[0], *delta = scratch.rows[1];

    struct tile_place rows = { call->q, block->doc_first + block->first, block->n, head };
    tile_load_transposed(qt, k, &rows, shape->scale);
    rows.tensor = call->d_out;
    tile_load_transposed(d_out_t, k, &rows, 1.0f);
    row_values(call, block, head, lse, delta);
    memset(d_q, 0, (size_t)(BLOCK * width) * sizeof *d_q);
    for (int64_t key = keys_from(shape, block->first) / BLOCK * BLOCK; key < block->first + block->n;
         key += BLOCK) {
        const int64_t     n_keys = min64(BLOCK, block->n_keys - key);
        struct tile_place place = { call->k, block->doc_first + key, n_keys, kv_head };
        tile_load(k, &place, 1.0f);
        place.tensor = call->v;
        tile_load(v, &place, 1.0f);
        scores_multiply(p, k, qt, n_keys, width);
        mask_by_key(p, shape, key, block->first, n_keys);
        scores_multiply(d_s, v, d_out_t, n_keys, width);
        for (int64_t j = 0; j < n_keys; j++)
            for (int64_t i = j * BLOCK; i < (j + 1) * BLOCK; i += VECTOR_FLOATS) {
                const vector seen = vector_exp(vector_load(p + i) - vector_load(lse + i % BLOCK));
                vector_store(d_s + i, seen * (vector_load(d_s + i) - vector_load(delta + i % BLOCK)));
            }
        tile_multiply(&(struct tile_product){ .c = d_q,
                                              .a = d_s,
                                              .b = k,
                                              .n_rows = block->n,
                                              .n_cols = width,
                                              .n_depth = n_keys,
                                              .a_row = 1,
                                              .a_depth = BLOCK,
                                              .stride = width,
                                              .adds = 1 });
    }
    tile_store(&(struct tile_place){ call->d_q, block->doc_first + block->first, block->n, head }, d_q,
               shape->scale);
}

/* What a tile of d_s, rows are queries, gives to d_q; stored when its last key tile, the one on the diagonal,
 * is in. */
static void add_to_queries(const struct call *call, const struct scratch *scratch,
                           const struct block *queries, const struct block *keys, int64_t head)
{
    const struct lrc_attention_shape *shape = call->shape;
    const int64_t width = lrc_attention__padded(call->q->shape[2]), row = queries->doc_first + queries->first;
    float        *sums = call->d_q_sums + (head * call->q->shape[0] + row) * width;
    const int     is_first = keys->first == keys_from(shape, queries->first) / BLOCK * BLOCK;
    tile_multiply(&(struct tile_product){ .c = sums,
                                          .a = scratch->scores[1],
                                          .b = scratch->tile[6],
                                          .n_rows = queries->n,
                                          .n_cols = width,
                                          .n_depth = keys->n,
                                          .a_row = BLOCK,
                                          .a_depth = 1,
                                          .stride = width,
                                          .adds = !is_first });
    if (keys->first == queries->first)
        tile_store(&(struct tile_place){ call->d_q, row, queries->n, head }, sums, shape->scale);
}

/* One query tile of key_item(). */
static void key_step(const struct call *call, const struct scratch *scratch, const struct block *queries,
                     int64_t key, int64_t head)
{
    const struct lrc_attention_shape *shape = call->shape;
    const int64_t                     width = lrc_attention__padded(call->q->shape[2]);
    float *kt = scratch->tile[0], *vt = scratch->tile[1], *d_k = scratch->tile[2], *d_v = scratch->tile[3];
    float *q = scratch->tile[4], *d_out = scratch->tile[5], *p = scratch->scores[0],
          *d_s = scratch->scores[1];
    float *lse = scratch->rows[0], *delta = scratch->rows[1];

    struct tile_place rows = { call->q, queries->doc_first + queries->first, queries->n, head };
    tile_load(q, &rows, shape->scale);
    rows.tensor = call->d_out;
    tile_load(d_out, &rows, 1.0f);
    row_values(call, queries, head, lse, delta);
    scores_multiply(p, q, kt, queries->n, width);
    mask_by_query(p, shape, key, queries->first, queries->n);
    scores_multiply(d_s, d_out, vt, queries->n, width);
    for (int64_t i = 0; i < queries->n; i++)
        for (int64_t j = i * BLOCK; j < (i + 1) * BLOCK; j += VECTOR_FLOATS) {
            const vector seen = vector_exp(vector_load(p + j) - vector_set(lse[i]));
            vector_store(p + j, seen);
            vector_store(d_s + j, seen * (vector_load(d_s + j) - vector_set(delta[i])));
        }
    struct tile_product product = { .c = d_v,
                                    .a = p,
                                    .b = d_out,
                                    .n_rows = BLOCK,
                                    .n_cols = width,
                                    .n_depth = queries->n,
                                    .a_row = 1,
                                    .a_depth = BLOCK,
                                    .stride = width,
                                    .adds = 1 };
    tile_multiply(&product);
    product.c = d_k;
    product.a = d_s;
    product.b = q;
    tile_multiply(&product);
}

/* d_k and d_v of a block of keys: over the query heads of its group and their query tiles. D_Q_HERE: d_q as
 * well, where one thread takes all key blocks of a document in ascending order. */
static void key_item(const struct call *call, const struct block *block, int64_t kv_head, enum d_q_way way)
{
    const struct lrc_attention_shape *shape = call->shape;
    const struct scratch              scratch = scratch_of_thread(call);
    const int64_t                     width = lrc_attention__padded(call->q->shape[2]),
                  group = call->q->shape[1] / call->k->shape[1];
    const int64_t last = block->first + block->n - 1;
    const int64_t end = shape->window > 0 ? min64(block->n_keys, last + shape->window) : block->n_keys;
    float        *d_k = scratch.tile[2], *d_v = scratch.tile[3];

    struct tile_place rows = { call->k, block->doc_first + block->first, block->n, kv_head };
    tile_load_transposed(scratch.tile[0], scratch.tile[4], &rows, 1.0f);
    if (way == D_Q_HERE)
        tile_load(scratch.tile[6], &rows, 1.0f);
    rows.tensor = call->v;
    tile_load_transposed(scratch.tile[1], scratch.tile[4], &rows, 1.0f);
    memset(d_k, 0, (size_t)(BLOCK * width) * sizeof *d_k);
    memset(d_v, 0, (size_t)(BLOCK * width) * sizeof *d_v);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++)
        for (int64_t query = block->first; query < end; query += BLOCK) {
            const struct block queries = { block->doc_first, query, min64(BLOCK, block->n_keys - query),
                                           block->n_keys };
            key_step(call, &scratch, &queries, block->first, head);
            if (way == D_Q_HERE)
                add_to_queries(call, &scratch, &queries, block, head);
        }
    rows.tensor = call->d_k;
    tile_store(&rows, d_k, 1.0f);
    rows.tensor = call->d_v;
    tile_store(&rows, d_v, 1.0f);
}

/* Pairs, where all tensors can be read as such and the CPU multiplies them. */
static const struct ways *ways_for(const struct lrc_tensor *const tensors[], int n)
{
    static const struct ways by_floats = { forward_item, query_item, key_item };
#ifdef LRC_ISA_avx512
    static const struct ways by_pairs = { pairs_forward_item, pairs_query_item, pairs_key_item };
    int                      fit = lrc_backend_cpu_has_bf16();
    for (int i = 0; i < n; i++)
        fit = fit && pairs_fit(tensors[i]);
    if (fit)
        return &by_pairs;
#else
    (void)tensors;
    (void)n;
#endif
    return &by_floats;
}

enum lrc_status LRC_CPU(attention_forward)(struct lrc_stream                       *stream,
                                           const struct lrc_attention_forward_args *args,
                                           struct lrc_error                        *err)
{
    struct call   call = { .ways = ways_for((const struct lrc_tensor *[]){ &args->q, &args->k, &args->v }, 3),
                           .q = &args->q,
                           .k = &args->k,
                           .v = &args->v,
                           .out = &args->out,
                           .lse = args->lse,
                           .shape = &args->shape };
    const int64_t n_heads = args->q.shape[1], n_items = n_blocks(&args->shape) * n_heads;
    (void)stream;
    (void)err;
    call_place(&call, args->workspace, args->workspace_bytes);
    /* the last blocks see most keys: longest first */
#pragma omp parallel for schedule(dynamic, 1) num_threads(call.n_threads) if (n_items > 1)
    for (int64_t item = n_items - 1; item >= 0; item--) {
        const struct block block = block_find(&args->shape, item / n_heads);
        call.ways->forward(&call, &block, item % n_heads);
    }
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
        call->ways->key(call, &block, item % n_kv_heads, D_Q_APART);
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(call->n_threads)
    for (int64_t item = blocks * n_heads - 1; item >= 0; item--) {
        const struct block block = block_find(call->shape, item / n_heads);
        call->ways->query(call, &block, item % n_heads);
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
            call->ways->key(call, &block, item % n_kv_heads, D_Q_HERE);
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
    struct call                    call = { .ways = ways_for(read, 4),
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
