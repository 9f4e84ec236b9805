/* Products of small float32 tiles, and tiles' way in and out. For attention_cpu.c only. */
#ifndef LRC_ATTENTION_TILE_H
#define LRC_ATTENTION_TILE_H

#include "attention/attention_layout.h"
#include "common/vec_cpu.h"

enum { BLOCK = LRC_ATTENTION_BLOCK };

/* c (n_rows, n_cols) += a b; a[i,k] = a[i * row + k * depth]; rows of b and c are n_cols wide, a multiple of 16. */
struct tile_product {
    float       *c;
    const float *a;
    const float *b;
    int64_t      n_rows, n_cols, n_depth;
    int64_t      a_row, a_depth;
};

static inline void tile_multiply_add(const struct tile_product *t)
{
    for (int64_t i = 0; i < t->n_rows; i++)
        for (int64_t k = 0; k < t->n_depth; k++) {
            const float  a = t->a[i * t->a_row + k * t->a_depth];
            const float *b = t->b + k * t->n_cols;
            float       *c = t->c + i * t->n_cols;
#pragma omp simd
            for (int64_t j = 0; j < t->n_cols; j++)
                c[j] += a * b[j];
        }
}

/* Rows [first, first + n) of head `head` of a (T, H, C) tensor. */
struct tile_place {
    const struct lrc_tensor *tensor;
    int64_t                  first, n, head;
};

static inline void *tile_row(const struct tile_place *place, int64_t r)
{
    const struct lrc_tensor *tensor = place->tensor;
    const int64_t            offset = (place->first + r) * tensor->stride[0] + place->head * tensor->stride[1];
    return (unsigned char *)tensor->data + (size_t)offset * lrc_dtype_bytes(tensor->dtype);
}

/* tile (BLOCK, padded C) = factor * rows, float32; zero outside. */
static inline void tile_load(float *tile, const struct tile_place *place, float factor)
{
    const int64_t n_cols = place->tensor->shape[2], width = lrc_attention__padded(n_cols);
    for (int64_t r = 0; r < place->n; r++) {
        float *to = tile + r * width;
        if (place->tensor->dtype == LRC_DTYPE_F32)
            memcpy(to, tile_row(place, r), (size_t)n_cols * sizeof *to);
        else
            lrc_vec_from_bf16(to, tile_row(place, r), n_cols);
#pragma omp simd
        for (int64_t c = 0; c < n_cols; c++)
            to[c] *= factor;
        for (int64_t c = n_cols; c < width; c++)
            to[c] = 0;
    }
    memset(tile + place->n * width, 0, (size_t)((BLOCK - place->n) * width) * sizeof *tile);
}

/* tile (padded C, BLOCK) = factor * rowsᵀ */
static inline void tile_load_transposed(float *tile, float *room, const struct tile_place *place, float factor)
{
    const int64_t width = lrc_attention__padded(place->tensor->shape[2]);
    tile_load(room, place, factor);
    for (int64_t c = 0; c < width; c++)
        for (int64_t r = 0; r < BLOCK; r++)
            tile[c * BLOCK + r] = room[r * width + c];
}

static inline void tile_store(const struct tile_place *place, const float *tile, float factor)
{
    const int64_t n_cols = place->tensor->shape[2], width = lrc_attention__padded(n_cols);
    for (int64_t r = 0; r < place->n; r++) {
        float scaled[LRC_ATTENTION_HEAD_DIM_MAX];
        float *to = place->tensor->dtype == LRC_DTYPE_F32 ? tile_row(place, r) : scaled;
#pragma omp simd
        for (int64_t c = 0; c < n_cols; c++)
            to[c] = tile[r * width + c] * factor;
        if (place->tensor->dtype == LRC_DTYPE_BF16)
            lrc_vec_to_bf16(tile_row(place, r), scaled, n_cols);
    }
}

#endif
