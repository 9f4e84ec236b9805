/* Rotary position embedding, "rotate half" layout, in place, on the first 2*P of C dimensions of every head.
 *
 *   forward:   (x[i], x[i+P]) -> (x[i] cos - x[i+P] sin,  x[i+P] cos + x[i] sin),  i < P,
 *              cos = cos_table[positions[t], i], sin likewise
 *   backward:  the same rotation by the opposite angle
 *
 * errors: SHAPE.
 * source: Su et al. 2021, arXiv:2104.09864; pairs (i, i + P) as in GPT-NeoX and Llama's Hugging Face layout.
 *         */
#ifndef LRC_ROPE_H
#define LRC_ROPE_H

#include "tensor/tensor.h"

struct lrc_rope_forward_args {
    struct lrc_tensor x;         /* (T, H, C) F32 or BF16, rotated in place; rows may be strided */
    const float      *cos_table; /* (n_positions, P) */
    const float      *sin_table; /* (n_positions, P) */
    const int32_t    *positions; /* (T), each in [0, n_positions) */
    int64_t           n_positions;
    int64_t           n_pairs;   /* P, 2P <= C */
};

struct lrc_rope_backward_args {
    struct lrc_tensor d_x; /* (T, H, C), rotated back in place */
    const float      *cos_table;
    const float      *sin_table;
    const int32_t    *positions;
    int64_t           n_positions;
    int64_t           n_pairs;
};

#endif
