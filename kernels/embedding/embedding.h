/* Token embedding.
 *
 *   forward:   out[t,:] = weight[tokens[t],:]
 *   backward:  d_weight[tokens[t],:] += d_out[t,:], summed in order of t
 *
 * errors: SHAPE. Token ids must lie in [0, V): the data loader has checked them. */
#ifndef LRC_EMBEDDING_H
#define LRC_EMBEDDING_H

#include "tensor/tensor.h"

struct lrc_embedding_forward_args {
    const struct lrc_weight *weight; /* (V, D), dense */
    const int32_t           *tokens; /* (T) */
    struct lrc_tensor        out;    /* (T, D) F32 or BF16 */
};

struct lrc_embedding_backward_args {
    struct lrc_tensor d_out;    /* (T, D) F32 or BF16 */
    const int32_t    *tokens;   /* (T) */
    struct lrc_tensor d_weight; /* (V, D) F32, += */
};

#endif
