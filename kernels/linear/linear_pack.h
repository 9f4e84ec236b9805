/* Part of a weight as the packed right factor of linear_tile.h. For linear_cpu.c only.
 *
 *   b (k, cols) = Wᵀ (transposed) or W, from any block type, in words; what does not exist is 0
 *
 * Layout: slivers of `sliver` columns one after another; in a sliver, step after step, a word of each column.
 */
#ifndef LRC_LINEAR_PACK_H
#define LRC_LINEAR_PACK_H

#include "common/pairs_cpu.h"
#include "dequantize/dequantize_range.h"
#include "linear/linear_cpu_layout.h"

enum {
    PACK_ELEMS = 256, /* elements of a row staged at a time: 16 rows of them fit the first-level cache */
    PACK_COLS_MAX = LRC_LINEAR_CPU_PANEL_COLS,
    PACK_AHEAD = 16 /* rows that are asked for ahead of their use */
};

/* What a word is. */
struct word {
    enum lrc_dtype compute; /* weights are rounded to it */
    int            elems;   /* 2: pairs of BF16; 1: float32 */
};

struct pack {
    const struct lrc_weight *weight;
    int                      transposed;
    int64_t                  k, n_k; /* range of the sum; k even */
    int64_t                  col, n_cols;
    int64_t                  sliver;
};

static inline int64_t word_count(struct word word, int64_t n_elems)
{
    return (n_elems + word.elems - 1) / word.elems;
}

/* n elements of a weight as words' elements: compute type, or float32 of it. */
static inline void pack_stage(void *to, struct word word, const struct lrc_weight *weight, int64_t first,
                              int64_t n)
{
    if (word.elems == 2 || word.compute == LRC_DTYPE_F32) {
        dequantize_range(to, word.compute, weight, first, n);
        return;
    }
    _Alignas(LRC_VEC_ALIGN) uint16_t narrow[PACK_ELEMS];
    dequantize_range(narrow, LRC_DTYPE_BF16, weight, first, n);
    lrc_vec_from_bf16(to, narrow, n);
}

/* Whether rows of the weight may be read as they lie. */
static inline int pack_is_direct(const struct pack *pack, struct word word)
{
    const struct lrc_weight *weight = pack->weight;
    return weight->type == LRC_BLOCK_DENSE && weight->dtype == word.compute &&
           (size_t)word.elems * lrc_dtype_bytes(word.compute) == sizeof(uint32_t) &&
           ((uintptr_t)weight->data & (sizeof(uint32_t) - 1)) == 0;
}

/* Columns of b are rows of the weight: VECTOR_FLOATS of them from `col`, of which n exist. */
static inline void pack_lanes(uint32_t *to, const struct pack *pack, struct word word, int64_t col, int64_t n)
{
    const struct lrc_weight *weight = pack->weight;
    const int64_t            stride = lrc_weight_stride(weight), first = col * stride + pack->k;
    if (n == VECTOR_FLOATS && pack_is_direct(pack, word) && stride % word.elems == 0 &&
        pack->n_k % word.elems == 0) {
        words_transpose(to, pack->sliver, (const uint32_t *)weight->data + first / word.elems,
                        stride / word.elems, pack->n_k / word.elems);
        return;
    }
    _Alignas(LRC_VEC_ALIGN) uint32_t stage[VECTOR_FLOATS][PACK_ELEMS];
    for (int64_t k = 0; k < pack->n_k; k += PACK_ELEMS) {
        const int64_t n_k = pack->n_k - k < PACK_ELEMS ? pack->n_k - k : PACK_ELEMS;
        const int64_t n_words = word_count(word, n_k);
        for (int lane = 0; lane < VECTOR_FLOATS; lane++) {
            if (lane >= n || n_k % word.elems != 0)
                memset(stage[lane], 0, (size_t)n_words * sizeof(uint32_t));
            if (lane < n)
                pack_stage(stage[lane], word, weight, first + lane * stride + k, n_k);
        }
        words_transpose(to + k / word.elems * pack->sliver, pack->sliver, stage[0], PACK_ELEMS, n_words);
    }
}

static inline void pack_transposed(uint32_t *to, const struct pack *pack, struct word word)
{
    const int64_t sliver_words = word_count(word, pack->n_k) * pack->sliver;
    for (int64_t col = 0; col < pack->n_cols; col += pack->sliver)
        for (int64_t lane = 0; lane < pack->sliver; lane += VECTOR_FLOATS) {
            const int64_t left = pack->n_cols - col - lane;
            pack_lanes(to + col / pack->sliver * sliver_words + lane, pack, word, pack->col + col + lane,
                       left < 0               ? 0
                       : left < VECTOR_FLOATS ? left
                                              : VECTOR_FLOATS);
        }
}

/* Columns of row k of the weight in the compute type, or as float32 of it: where they lie, or in `stage`. */
static inline const void *pack_row(void *stage, const struct pack *pack, struct word word, int64_t k)
{
    const struct lrc_weight *weight = pack->weight;
    const int64_t            first = (pack->k + k) * lrc_weight_stride(weight) + pack->col;
    const size_t             bytes = word.elems == 2 ? sizeof(uint16_t) : sizeof(uint32_t);
    if (pack_is_direct(pack, word))
        return (const unsigned char *)weight->data + (size_t)first * bytes;
    for (int64_t i = 0; i < pack->n_cols; i += PACK_ELEMS)
        pack_stage((unsigned char *)stage + (size_t)i * bytes, word, weight, first + i,
                   pack->n_cols - i < PACK_ELEMS ? pack->n_cols - i : PACK_ELEMS);
    return stage;
}

/* Rows lie too far apart for the machine to guess the next one. */
static inline void pack_prefetch(const struct pack *pack, int64_t k)
{
    const struct lrc_weight *weight = pack->weight;
    const int64_t            per_line = weight->type == LRC_BLOCK_DENSE ? 32 : 128; /* elements, about */
    if (k >= pack->n_k)
        return;
    for (int64_t i = 0; i < pack->n_cols; i += per_line) {
        const int64_t elem = (pack->k + k) * lrc_weight_stride(weight) + pack->col + i;
        const size_t  at = weight->type == LRC_BLOCK_DENSE ? (size_t)elem * lrc_dtype_bytes(weight->dtype)
                                                           : (size_t)elem / 2;
        __builtin_prefetch((const unsigned char *)weight->data + at);
    }
}

/* Columns of b are columns of the weight. */
static inline void pack_straight(uint32_t *to, const struct pack *pack, struct word word)
{
    const int64_t                    sliver_words = word_count(word, pack->n_k) * pack->sliver;
    _Alignas(LRC_VEC_ALIGN) uint32_t stage[2][PACK_COLS_MAX];
    static const uint16_t            zeros[PACK_COLS_MAX];
    LRC_ASSERT(pack->n_cols <= PACK_COLS_MAX);
    for (int64_t k = 0; k < pack->n_k; k += word.elems) {
        const unsigned char *low = pack_row(stage[0], pack, word, k), *high = (const unsigned char *)zeros;
        pack_prefetch(pack, k + PACK_AHEAD);
        if (word.elems == 2) {
            pack_prefetch(pack, k + PACK_AHEAD + 1);
            high = k + 1 < pack->n_k ? pack_row(stage[1], pack, word, k + 1) : high;
        }
        for (int64_t col = 0; col < pack->n_cols; col += pack->sliver) {
            const int64_t left = pack->n_cols - col, n = left < pack->sliver ? left : pack->sliver;
            uint32_t     *at = to + col / pack->sliver * sliver_words + k / word.elems * pack->sliver;
            if (word.elems == 2)
                words_of_rows(at, (const uint16_t *)(const void *)low + col,
                              (const uint16_t *)(const void *)high + col, n);
            else
                memcpy(at, low + (size_t)col * sizeof *at, (size_t)n * sizeof *at);
            if (n < pack->sliver)
                memset(at + n, 0, (size_t)(pack->sliver - n) * sizeof *at);
        }
    }
}

static inline void pack_run(uint32_t *to, const struct pack *pack, struct word word)
{
    if (pack->transposed)
        pack_transposed(to, pack, word);
    else
        pack_straight(to, pack, word);
}

#endif
