/* Residual sum.
 *
 *   out[i] = a[i] + b[i], rounded once
 *
 * errors: SHAPE. */
#ifndef LRC_ADD_H
#define LRC_ADD_H

#include "tensor/tensor.h"

struct lrc_add_args {
    struct lrc_tensor a;   /* (N, D) F32 or BF16 */
    struct lrc_tensor b;   /* (N, D) F32 or BF16 */
    struct lrc_tensor out; /* (N, D) F32 or BF16; may be a or b */
};

#endif
