/* Products of small float32 tiles, and tiles' way in and out. For attention_cpu.c only. */
#ifndef LRC_ATTENTION_TILE_H
#define LRC_ATTENTION_TILE_H

#include "attention/attention_layout.h"
#include "attention/attention_vector.h"

enum { BLOCK = LRC_ATTENTION_BLOCK, BLOCK_VECTORS = BLOCK / VECTOR_FLOATS };

/* c = or += a b; a[i,k] = a[i * a_row + k * a_depth]; n_cols is a multiple of 16. a and b are words: floats,
 * or pairs of BF16. */
struct product {
    float      *c;
    const void *a;
    const void *b;
    int64_t     n_rows, n_cols, n_depth;
    int64_t     a_row, a_depth;
    int64_t     stride; /* from row to row of b and of c */
    int         adds;   /* 1: += */
};

/* Rows [i, i + n_rows) and columns [j, j + n_vectors * VECTOR_FLOATS), the sums in registers. Both n are
 * constants where it is called, so that the loops over them disappear. */
static inline __attribute__((always_inline)) void tile_corner(const struct product *t, int64_t i, int64_t j,
                                                              const int n_rows, const int n_vectors)
{
    const float *a = (const float *)t->a + i * t->a_row, *b = (const float *)t->b + j;
    float       *c = t->c + i * t->stride + j;
    vector       sums[VECTOR_ROWS][2];
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_vectors; v++)
            sums[r][v] = t->adds ? vector_load(c + r * t->stride + v * VECTOR_FLOATS) : vector_set(0);
    for (int64_t k = 0; k < t->n_depth; k++) {
        vector right[2];
        for (int v = 0; v < n_vectors; v++)
            right[v] = vector_load(b + k * t->stride + v * VECTOR_FLOATS);
        for (int r = 0; r < n_rows; r++) {
            const vector left = vector_set(a[r * t->a_row + k * t->a_depth]);
            for (int v = 0; v < n_vectors; v++)
                sums[r][v] = vector_fma(left, right[v], sums[r][v]);
        }
    }
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_vectors; v++)
            vector_store(c + r * t->stride + v * VECTOR_FLOATS, sums[r][v]);
}

/* Columns [j, j + n_vectors * VECTOR_FLOATS) of all rows. */
static inline __attribute__((always_inline)) void tile_columns(const struct product *t, int64_t j,
                                                               const int n_vectors)
{
    int64_t i = 0;
    for (; i + VECTOR_ROWS <= t->n_rows; i += VECTOR_ROWS)
        tile_corner(t, i, j, VECTOR_ROWS, n_vectors);
    for (; i + 2 <= t->n_rows; i += 2)
        tile_corner(t, i, j, 2, n_vectors);
    if (i < t->n_rows)
        tile_corner(t, i, j, 1, n_vectors);
}

static inline void tile_multiply(const struct product *t)
{
    int64_t j = 0;
    for (; j + 2 * VECTOR_FLOATS <= t->n_cols; j += 2 * VECTOR_FLOATS)
        tile_columns(t, j, 2);
    for (; j < t->n_cols; j += VECTOR_FLOATS)
        tile_columns(t, j, 1);
}

/* Rows [first, first + n) of head `head` of a (T, H, C) tensor. */
struct tile_place {
    const struct lrc_tensor *tensor;
    int64_t                  first, n, head;
};

static inline void *tile_row(const struct tile_place *place, int64_t r)
{
    const struct lrc_tensor *tensor = place->tensor;
    const int64_t offset = (place->first + r) * tensor->stride[0] + place->head * tensor->stride[1];
    return (unsigned char *)tensor->data + (size_t)offset * lrc_dtype_bytes(tensor->dtype);
}

/* tile (n, padded C) = rows, float32; zero in the padding. */
static inline void tile_load(float *tile, const struct tile_place *place)
{
    const int64_t n_cols = place->tensor->shape[2], width = lrc_attention__padded(n_cols);
    for (int64_t r = 0; r < place->n; r++) {
        float *to = tile + r * width;
        if (place->tensor->dtype == LRC_DTYPE_F32)
            memcpy(to, tile_row(place, r), (size_t)n_cols * sizeof *to);
        else
            lrc_vec_from_bf16(to, tile_row(place, r), n_cols);
        for (int64_t c = n_cols; c < width; c++)
            to[c] = 0;
    }
}

/* tile (padded C, BLOCK) = rowsᵀ, zero in the padding; room for one tile. */
static inline void tile_load_transposed(float *tile, float *room, const struct tile_place *place)
{
    const int64_t width = lrc_attention__padded(place->tensor->shape[2]);
    tile_load(room, place);
    memset(room + place->n * width, 0, (size_t)((BLOCK - place->n) * width) * sizeof *room);
    for (int64_t c = 0; c < width; c += 4)
        for (int64_t r = 0; r < BLOCK; r += 4)
            vector_transpose_4x4(tile + c * BLOCK + r, BLOCK, room + r * width + c, width);
}

static inline void tile_store(const struct tile_place *place, const float *tile, float factor)
{
    const int64_t n_cols = place->tensor->shape[2], width = lrc_attention__padded(n_cols);
    for (int64_t r = 0; r < place->n; r++) {
        float  scaled[LRC_ATTENTION_HEAD_DIM_MAX];
        float *to = place->tensor->dtype == LRC_DTYPE_F32 ? tile_row(place, r) : scaled;
#pragma omp simd
        for (int64_t c = 0; c < n_cols; c++)
            to[c] = tile[r * width + c] * factor;
        if (place->tensor->dtype == LRC_DTYPE_BF16)
            lrc_vec_to_bf16(tile_row(place, r), scaled, n_cols);
    }
}

#endif
