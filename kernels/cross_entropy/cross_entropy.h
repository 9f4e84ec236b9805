/* Log-probability of a target under softmax(logits), row by row: the last step of the head.
 *
 *   forward:   lse[n] = log sum_v exp(logits[n,v]),  logprob[n] = logits[n, targets[n]] - lse[n]
 *   backward:  d_logits[n,v] = coef[n] * ([v == targets[n]] - exp(logits[n,v] - lse[n])),  coef[n] = d loss /
 *              d logprob[n]
 *
 * Mean cross-entropy over n_trained targets has coef = -1 / n_trained for every row. Non-finite logits give a
 * non-finite lse; the caller looks.
 *
 * errors: SHAPE. */
#ifndef LRC_CROSS_ENTROPY_H
#define LRC_CROSS_ENTROPY_H

#include "tensor/tensor.h"

struct lrc_cross_entropy_forward_args {
    struct lrc_tensor logits;  /* (N, V) F32 or BF16 */
    const int32_t    *targets; /* (N), each in [0, V) */
    float            *logprob; /* (N) */
    float            *lse;     /* (N) */
};

struct lrc_cross_entropy_backward_args {
    struct lrc_tensor logits;   /* (N, V) of forward */
    const int32_t    *targets;  /* (N) */
    const float      *lse;      /* (N) of forward */
    const float      *coef;     /* (N) */
    struct lrc_tensor d_logits; /* (N, V); may be logits */
};

#endif
