/* Gated activation of the feed-forward layer (SwiGLU).
 *
 *   forward:   out[i] = act(gate[i]) * up[i],   act = silu: x * sigmoid(x)
 *   backward:  d_gate[i] = d_out[i] * up[i] * act'(gate[i]),  d_up[i] = d_out[i] * act(gate[i])
 *              silu'(x) = sigmoid(x) * (1 + x * (1 - sigmoid(x)))
 *
 * errors: SHAPE. source: Shazeer 2020, arXiv:2002.05202. */
#ifndef LRC_GATED_H
#define LRC_GATED_H

#include "tensor/tensor.h"

enum lrc_activation { LRC_ACTIVATION_SILU };

struct lrc_gated_forward_args {
    struct lrc_tensor   gate; /* (T, F) F32 or BF16 */
    struct lrc_tensor   up;   /* (T, F) */
    struct lrc_tensor   out;  /* (T, F); may be gate or up */
    enum lrc_activation activation;
};

struct lrc_gated_backward_args {
    struct lrc_tensor   d_out;  /* (T, F) F32 or BF16 */
    struct lrc_tensor   gate;   /* (T, F) of forward */
    struct lrc_tensor   up;     /* (T, F) of forward */
    struct lrc_tensor   d_gate; /* (T, F); may be d_out or gate */
    struct lrc_tensor   d_up;   /* (T, F); may be up */
    enum lrc_activation activation;
};

#endif
