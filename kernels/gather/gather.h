/* Rows picked by index: the head runs on trained positions only.
 *
 *   forward:   out[n,:] = x[index[n],:]
 *   backward:  d_x = 0, then d_x[index[n],:] = d_out[n,:]     (indices are distinct)
 *
 * Index -1 is no row: out[n,:] = 0, and d_out[n,:] goes nowhere.
 *
 * errors: SHAPE. Other indices must lie in [0, T). */
#ifndef LRC_GATHER_H
#define LRC_GATHER_H

#include "tensor/tensor.h"

struct lrc_gather_forward_args {
    struct lrc_tensor x;     /* (T, D) F32 or BF16 */
    const int32_t    *index; /* (N) */
    struct lrc_tensor out;   /* (N, D), type of x */
};

struct lrc_gather_backward_args {
    struct lrc_tensor d_out; /* (N, D) F32 or BF16 */
    const int32_t    *index; /* (N), distinct */
    struct lrc_tensor d_x;   /* (T, D) F32 or BF16 */
};

#endif
