/* Global gradient norm and the factor that clips it.
 *
 *   norm = sqrt(sum over tensors of sum_i g[i]^2),  clip = min(1, max_norm / (norm + 1e-6)); max_norm 0: clip
 *   = 1
 *
 * Squares are summed in double, in a fixed order. A non-finite gradient gives a non-finite norm; the caller
 * looks.
 *
 * errors: SHAPE; NUMERIC when max_norm is negative or NaN.
 * source: torch.nn.utils.clip_grad_norm_. */
#ifndef LRC_GRAD_NORM_H
#define LRC_GRAD_NORM_H

#include "tensor/tensor.h"

struct lrc_grad_norm_args {
    /* (n_grads) tensors, F32, contiguous; the array itself is in host memory */
    const struct lrc_tensor *grads;
    int64_t                  n_grads;
    float                    max_norm;
    float                   *norm;      /* (1) */
    float                   *clip;      /* (1) */
    void                    *workspace; /* lrc_grad_norm_workspace_bytes(), at a multiple of 8 */
    size_t                   workspace_bytes;
};

/* Partial sums of a backend that makes many of them at once. */
size_t lrc_grad_norm_workspace_bytes(void);

#endif
