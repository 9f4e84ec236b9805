/* Attention in float32, of any element type: factors are floats, rows are widened and padded. For
 * attention_cpu.c only. */
#ifndef LRC_ATTENTION_FLOATS_H
#define LRC_ATTENTION_FLOATS_H

#include "attention/attention_work.h"

static void floats_transpose(void *to, void *room, const struct tile_place *rows)
{
    tile_load_transposed(to, room, rows);
}

static const void *floats_left(void *room, const struct tile_place *rows, int64_t *stride)
{
    *stride = lrc_attention__padded(rows->tensor->shape[2]);
    tile_load(room, rows);
    return room;
}

static const void *floats_right(void *room, const struct tile_place *rows, const void *left)
{
    if (left)
        return left;
    tile_load(room, rows);
    return room;
}

static void floats_softmax(float *scores, float *const state[3], float scale, int64_t n_keys)
{
    float       *max = state[0], *sum = state[1], *rescale = state[2];
    const vector factor = vector_set(scale);
    vector       most[BLOCK_VECTORS], add[BLOCK_VECTORS];
    for (int v = 0; v < BLOCK_VECTORS; v++)
        most[v] = vector_load(max + v * VECTOR_FLOATS);
    for (int64_t j = 0; j < n_keys; j++)
        for (int v = 0; v < BLOCK_VECTORS; v++)
            most[v] = vector_max(vector_load(scores + j * BLOCK + v * VECTOR_FLOATS), most[v]);
    for (int v = 0; v < BLOCK_VECTORS; v++) {
        const vector old = vector_load(max + v * VECTOR_FLOATS);
        vector_store(max + v * VECTOR_FLOATS, most[v]);
        /* a row that has seen no key yet has the maximum -inf: any finite one gives exp(-inf) = 0 */
        most[v] = vector_max(most[v], vector_set(-FLT_MAX));
        vector_store(rescale + v * VECTOR_FLOATS, vector_exp((old - most[v]) * factor));
        add[v] = vector_set(0);
    }
    for (int64_t j = 0; j < n_keys; j++)
        for (int v = 0; v < BLOCK_VECTORS; v++) {
            float       *at = scores + j * BLOCK + v * VECTOR_FLOATS;
            const vector p = vector_exp((vector_load(at) - most[v]) * factor);
            vector_store(at, p);
            add[v] = add[v] + p;
        }
    for (int v = 0; v < BLOCK_VECTORS; v++) {
        float *at = sum + v * VECTOR_FLOATS;
        vector_store(at, vector_fma(vector_load(at), vector_load(rescale + v * VECTOR_FLOATS), add[v]));
    }
}

static void floats_softmax_rows(float *scores, float *const state[3], float scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float      *row = scores + i * BLOCK;
        const float most = row_begin(row, state, scale, i);
        vector      add = vector_set(0);
        for (int64_t j = 0; j < BLOCK; j += VECTOR_FLOATS) {
            const vector p = vector_exp((vector_load(row + j) - vector_set(most)) * vector_set(scale));
            vector_store(row + j, p);
            add = add + p;
        }
        row_end(state, add, i);
    }
}

static void floats_by_key(const struct scratch *scratch, float scale, int64_t n)
{
    const float *p = scratch->scores[0], *lse = scratch->rows[0], *delta = scratch->rows[1];
    float       *d_s = scratch->scores[1];
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < BLOCK; i += VECTOR_FLOATS) {
            const int64_t at = j * BLOCK + i;
            vector_store(d_s + at, p_of(p + at, scale, vector_load(lse + i)) *
                                       (vector_load(d_s + at) - vector_load(delta + i)));
        }
}

static void floats_by_query(const struct scratch *scratch, float scale, int64_t n)
{
    float       *p = scratch->scores[0], *d_s = scratch->scores[1];
    const float *lse = scratch->rows[0], *delta = scratch->rows[1];
    for (int64_t i = 0; i < n; i++)
        for (int64_t at = i * BLOCK; at < (i + 1) * BLOCK; at += VECTOR_FLOATS) {
            const vector seen = p_of(p + at, scale, vector_set(lse[i]));
            vector_store(p + at, seen);
            vector_store(d_s + at, seen * (vector_load(d_s + at) - vector_set(delta[i])));
        }
}

static const struct words words_floats = {
    .elems = 1,
    .d_s_rows = 1,
    .transpose = floats_transpose,
    .left = floats_left,
    .right = floats_right,
    .multiply = tile_multiply,
    .softmax = floats_softmax,
    .softmax_rows = floats_softmax_rows,
    .by_key = floats_by_key,
    .by_query = floats_by_query,
};

#endif
