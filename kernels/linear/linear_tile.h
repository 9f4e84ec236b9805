/* The innermost loop of linear's products: a tile of sums that stays in registers. For linear_cpu.c only.
 *
 *   sums (rows, cols) (+)= sum over parts of a (rows, k) b (k, cols)
 *
 * Factors are 32-bit words: one float32, or, where the CPU multiplies them natively, two neighbours of a sum
 * in BF16. a lies in rows of any stride; b is packed: `cols` words of each step one after another. An element
 * is one chain of sums over its steps, whatever the tile and whoever computes it: same bits for every number
 * of threads. */
#ifndef LRC_LINEAR_TILE_H
#define LRC_LINEAR_TILE_H

#include "common/vector_cpu.h"

#include <stdint.h>

#ifdef LRC_ISA_avx512
enum { TILE_VECTORS_MAX = 4, TILE_ROWS_MAX = 12, TILE_HAS_PAIRS = 1 };
#else
enum { TILE_VECTORS_MAX = 2, TILE_ROWS_MAX = 12, TILE_HAS_PAIRS = 0 };
#endif
enum { TILE_COLS_MAX = TILE_VECTORS_MAX * VECTOR_FLOATS };

struct tile_part {
    const uint32_t *a;
    int64_t         a_stride; /* words */
    const uint32_t *b;
    int64_t         n_steps;
};

static inline vector tile_load(const uint32_t *words)
{
    vector value;
    memcpy(&value, words, sizeof value);
    return value;
}

static inline vector tile_spread(const uint32_t *word)
{
    float value;
    memcpy(&value, word, sizeof value);
    return vector_set(value);
}

/* starts: sums begin at 0, else at what is there. Both parts are added; either may have no steps. */
typedef void tile_run(float *sums, int64_t stride, int starts, const struct tile_part part[2]);

#define TILE_MULTIPLY_F32(a, b, c) vector_fma(a, b, c)
#define TILE_MULTIPLY_BF16(a, b, c)                                                                          \
    _mm512_dpbf16_ps(c, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b))

#define TILE_DEFINE(name, attribute, ROWS, VECTORS, MULTIPLY)                                                \
    attribute static void name(float *sums, int64_t stride, int starts, const struct tile_part part[2])      \
    {                                                                                                        \
        vector sum[ROWS][VECTORS];                                                                           \
        for (int i = 0; i < (ROWS); i++)                                                                     \
            for (int j = 0; j < (VECTORS); j++)                                                              \
                sum[i][j] = starts ? vector_set(0.0f) : vector_load(sums + i * stride + j * VECTOR_FLOATS);  \
        for (int p = 0; p < 2; p++) {                                                                        \
            const uint32_t *a = part[p].a, *b = part[p].b;                                                   \
            const int64_t   a_stride = part[p].a_stride;                                                     \
            for (int64_t step = 0; step < part[p].n_steps; step++, b += (VECTORS)*VECTOR_FLOATS) {           \
                vector right[VECTORS];                                                                       \
                for (int j = 0; j < (VECTORS); j++)                                                          \
                    right[j] = tile_load(b + j * VECTOR_FLOATS);                                             \
                _Pragma("GCC unroll 12") for (int i = 0; i < (ROWS); i++)                                    \
                {                                                                                            \
                    const vector left = tile_spread(a + i * a_stride + step);                                \
                    _Pragma("GCC unroll 4") for (int j = 0; j < (VECTORS); j++) sum[i][j] =                  \
                        MULTIPLY(left, right[j], sum[i][j]);                                                 \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        for (int i = 0; i < (ROWS); i++)                                                                     \
            for (int j = 0; j < (VECTORS); j++)                                                              \
                vector_store(sums + i * stride + j * VECTOR_FLOATS, sum[i][j]);                              \
    }

/* Rows and vectors fill the registers: sums, one step of b, one word of a. */
#define TILE_NO_ATTRIBUTE
TILE_DEFINE(tile_12x1_f32, TILE_NO_ATTRIBUTE, 12, 1, TILE_MULTIPLY_F32)
#ifdef LRC_ISA_avx512
#define TILE_HAS_BF16 __attribute__((target("avx512bf16")))
TILE_DEFINE(tile_12x2_f32, TILE_NO_ATTRIBUTE, 12, 2, TILE_MULTIPLY_F32)
TILE_DEFINE(tile_8x3_f32, TILE_NO_ATTRIBUTE, 8, 3, TILE_MULTIPLY_F32)
TILE_DEFINE(tile_6x4_f32, TILE_NO_ATTRIBUTE, 6, 4, TILE_MULTIPLY_F32)
TILE_DEFINE(tile_12x1_bf16, TILE_HAS_BF16, 12, 1, TILE_MULTIPLY_BF16)
TILE_DEFINE(tile_12x2_bf16, TILE_HAS_BF16, 12, 2, TILE_MULTIPLY_BF16)
TILE_DEFINE(tile_8x3_bf16, TILE_HAS_BF16, 8, 3, TILE_MULTIPLY_BF16)
TILE_DEFINE(tile_6x4_bf16, TILE_HAS_BF16, 6, 4, TILE_MULTIPLY_BF16)
#else
TILE_DEFINE(tile_6x2_f32, TILE_NO_ATTRIBUTE, 6, 2, TILE_MULTIPLY_F32)
#endif

struct tile {
    int       rows, vectors;
    tile_run *run[2]; /* of float32 words, of BF16 pairs */
};

/* For n_cols columns, or as many of them as a tile takes. */
static inline const struct tile *tile_for(int64_t n_cols)
{
    static const struct tile tiles[TILE_VECTORS_MAX] = {
#ifdef LRC_ISA_avx512
        { 12, 1, { tile_12x1_f32, tile_12x1_bf16 } },
        { 12, 2, { tile_12x2_f32, tile_12x2_bf16 } },
        { 8, 3, { tile_8x3_f32, tile_8x3_bf16 } },
        { 6, 4, { tile_6x4_f32, tile_6x4_bf16 } },
#else
        { 12, 1, { tile_12x1_f32, NULL } },
        { 6, 2, { tile_6x2_f32, NULL } },
#endif
    };
    const int64_t vectors = (n_cols + VECTOR_FLOATS - 1) / VECTOR_FLOATS;
    return &tiles[(vectors < TILE_VECTORS_MAX ? vectors : TILE_VECTORS_MAX) - 1];
}

#endif
