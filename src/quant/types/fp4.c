/* FP4: a sign and three bits, e2m1 with its own subnormal, divided by its largest value 12.
 *
 * The two back-ends of bitsandbytes decide differently at a few points. This is the one of its CPU:
 * midpoints of the signed values, ties to the lower value, and between the two zeros code 8 above 0 and
 * code 0 below; the CUDA kernel compares |x| with midpoints rounded to six digits. Both are read the same
 * way. */
#include "quant/quant_type.h"

static const float values[16] = {
    0.0f,
    0.0052083334885537624f,
    0.6666666865348816f,
    1.0f,
    0.3333333432674408f,
    0.5f,
    0.1666666716337204f,
    0.25f,
    -0.0f,
    -0.0052083334885537624f,
    -0.6666666865348816f,
    -1.0f,
    -0.3333333432674408f,
    -0.5f,
    -0.1666666716337204f,
    -0.25f,
};

const struct lrc_quant_type lrc_quant_type_fp4 = { "fp4", LRC_BLOCK_FP4, values };
