/* Elements into 4-bit blocks: what a weight handle of type NF4 or FP4 holds (tensor/tensor.h), before double
 * quantization.
 *
 *   absmax[b] = max |x| over block b
 *   code[i]   = codes[number of thresholds below y],  y = x[i] * (1 / absmax[b]), within [-1, 1]
 *   packed[i / 2] = code[i] << 4 | code[i + 1]   (i even; a missing last element counts as 0)
 *
 * In a last block that is not full y = x / absmax, and absmax is at least 1e-38; in full ones the 1e-38 is
 * for y alone. Every operation is rounded to float32 by itself: equal to bitsandbytes to the bit.
 *
 * A block with an element that is not finite gets an absmax that is not finite, and any codes: the caller
 * looks.
 *
 * errors: SHAPE.
 * source: Dettmers et al. 2023, arXiv:2305.14314, section 3. */
#ifndef LRC_QUANTIZE_H
#define LRC_QUANTIZE_H

#include "tensor/tensor.h"

/* A format by its values in ascending order. */
struct lrc_quantize_levels {
    float   threshold[15]; /* ascending; an element equal to one belongs below it */
    uint8_t code[16];      /* of the elements below threshold i, and of those above all */
};

struct lrc_quantize_blocks_args {
    struct lrc_tensor          x;           /* any shape, F32, BF16 or F16, contiguous; n elements */
    int64_t                    block_elems; /* a power of two, 32 .. 4096 */
    struct lrc_quantize_levels levels;
    uint8_t                   *packed; /* (ceil(n / 2)) */
    float                     *absmax; /* (ceil(n / block_elems)) */
};

#endif
