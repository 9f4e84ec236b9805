/* Elements of a weight handle in row-major order, as float32 or BF16.
 *
 *   dense:     out[i] = data[first + i], converted
 *   NF4, FP4:  out[i] = code[q[first + i]] * absmax[(first + i) / block_elems], float32 product, one rounding
 *   to the output type;
 *              absmax under double quantization as in tensor/tensor.h
 *
 * errors: SHAPE when [first_elem, first_elem + n) does not lie in the weight.
 * source: Dettmers et al. 2023, arXiv:2305.14314, section 3; equal to bitsandbytes to the bit. */
#ifndef LRC_DEQUANTIZE_H
#define LRC_DEQUANTIZE_H

#include "tensor/tensor.h"

struct lrc_dequantize_args {
    const struct lrc_weight *weight;
    int64_t                  first_elem;
    struct lrc_tensor        out; /* any shape, F32 or BF16, contiguous; its element count is n */
};

#endif
