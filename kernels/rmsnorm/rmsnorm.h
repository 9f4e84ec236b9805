/* Root-mean-square normalisation over the last dimension.
 *
 *   forward:   out[n,i] = x[n,i] * rstd[n] * weight[i],   rstd[n] = 1 / sqrt(mean_i(x[n,i]^2) + eps)
 *              with an addend, first sum[n,i] = x[n,i] + addend[n,i], rounded once, which is then the x of
 *              the line above
 *   backward:  with g[n,i] = d_out[n,i] * weight[i] and s[n] = mean_i(g[n,i] * x[n,i]):
 *              d_x[n,i] = d_residual[n,i] + rstd[n] * (g[n,i] - x[n,i] * rstd[n]^2 * s[n])
 *              d_weight[i] += sum_n d_out[n,i] * x[n,i] * rstd[n]
 *
 * Sums are float32 or wider whatever the element types; BF16 results are rounded once.
 *
 * errors: SHAPE; NUMERIC when eps is not > 0.
 * source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4 (eps inside the root as in the Llama reference). */
#ifndef LRC_RMSNORM_H
#define LRC_RMSNORM_H

#include "tensor/tensor.h"

struct lrc_rmsnorm_forward_args {
    struct lrc_tensor x;      /* (N, D) F32 or BF16 */
    struct lrc_tensor weight; /* (D) F32, BF16 or F16 */
    struct lrc_tensor out;    /* (N, D) F32 or BF16; may be x */
    float            *rstd;   /* (N); NULL when no backward pass follows */
    float             eps;    /* > 0 */
    struct lrc_tensor addend; /* (N, D) F32 or BF16; data NULL: nothing is added, and there is no sum */
    struct lrc_tensor sum;    /* (N, D) F32 or BF16; may be x or addend, not out */
};

struct lrc_rmsnorm_backward_args {
    struct lrc_tensor d_out;      /* (N, D) F32 or BF16 */
    struct lrc_tensor x;          /* (N, D) as in forward */
    struct lrc_tensor weight;     /* (D) */
    const float      *rstd;       /* (N) of forward */
    struct lrc_tensor d_residual; /* (N, D) F32 or BF16, added into d_x; data NULL: nothing is added */
    struct lrc_tensor d_x;        /* (N, D) F32 or BF16; may be d_residual or d_out */
    struct lrc_tensor d_weight;   /* (D) F32, +=; data NULL when the weight is frozen */
};

#endif
