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

/* Codes in ascending order of their values. */
static const uint8_t ascending[16] = { 11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3 };

LRC_VECTORS static void encode_fp4(uint8_t *codes, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i];
        codes[i] = (uint8_t)((v > -0.83333337f) + (v > -0.58333337f) + (v > -0.41666669f) +
                             (v > -0.29166669f) + (v > -0.208333343f) + (v > -0.0859375f) +
                             (v > -0.00260416674f) + (v > 0.0f) + (v > 0.00260416674f) +
                             (v > 0.0859375f) + (v > 0.208333343f) + (v > 0.29166669f) +
                             (v > 0.41666669f) + (v > 0.58333337f) + (v > 0.83333337f));
    }
    for (int64_t i = 0; i < n; i++)
        codes[i] = ascending[codes[i]];
}

const struct lrc_quant_type lrc_quant_type_fp4 = { "fp4", LRC_BLOCK_FP4, values, encode_fp4 };
