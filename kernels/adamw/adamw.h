/* One AdamW update of one tensor, torch's decoupled form.
 *
 *   g = clip * grad
 *   param *= 1 - lr * weight_decay
 *   m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
 *   param -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 *
 * Everything float32, scalars that depend on t in double before one rounding.
 *
 * errors: SHAPE; NUMERIC when a setting is out of range.
 * source: Loshchilov & Hutter 2019, arXiv:1711.05101; torch.optim.AdamW (order of the operations). */
#ifndef LRC_ADAMW_H
#define LRC_ADAMW_H

#include "tensor/tensor.h"

/* What changes from step to step; lives in the backend's memory, so that nothing else of a step changes. */
struct lrc_step_scalars {
    double   learning_rate;
    uint32_t step;      /* t - 1: updates done before this one */
    float    grad_norm; /* written by grad_norm */
    float    clip;      /* written by grad_norm */
};

struct lrc_adamw_args {
    struct lrc_tensor              param; /* any shape, F32, contiguous */
    struct lrc_tensor              grad;
    struct lrc_tensor              m;
    struct lrc_tensor              v;
    const struct lrc_step_scalars *scalars;
    double                         beta1, beta2, eps, weight_decay;
    double                         lr_ratio; /* of this tensor's group; 1 unless LoRA+ */
};

#endif
