/* NormalFloat 4: quantiles of the normal distribution, scaled to [-1, 1], with an exact zero.
 * source: Dettmers et al. 2023, arXiv:2305.14314, appendix E; values and ties as bitsandbytes */
#include "quant/quant_type.h"

static const float values[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
    -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,
    0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f,
};

/* code = number of thresholds below x; threshold i is (values[i] + values[i + 1]) / 2 in float32, and a
 * tie stays on
 * the lower code. One sum of comparisons, without branches, so that it becomes vector code. */
LRC_VECTORS static void encode_nf4(uint8_t *codes, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i];
        codes[i] = (uint8_t)((v > -0.84809637f) + (v > -0.6106329f) + (v > -0.45999527f) +
                             (v > -0.33967942f) + (v > -0.2346074f) + (v > -0.137911737f) +
                             (v > -0.045525018f) + (v > 0.03979015f) + (v > 0.120255247f) +
                             (v > 0.20352125f) + (v > 0.292013764f) + (v > 0.38931254f) +
                             (v > 0.50166345f) + (v > 0.64278692f) + (v > 0.86147845f));
    }
}

const struct lrc_quant_type lrc_quant_type_nf4 = { "nf4", LRC_BLOCK_NF4, values, encode_nf4 };
