/* NormalFloat 4: quantiles of the normal distribution, scaled to [-1, 1], with an exact zero.
 * source: Dettmers et al. 2023, arXiv:2305.14314, appendix E; values and ties as bitsandbytes */
#include "quant/quant_type.h"

static const float values[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
    -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,
    0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f,
};

/* code = number of thresholds below x; threshold i is (values[i] + values[i + 1]) / 2 in float32, and a tie stays on
 * the lower code. One sum of comparisons, without branches, so that it becomes vector code. */
static void encode(uint8_t *codes, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i];
        codes[i] = (uint8_t)((v > -0.8480964004993439f) + (v > -0.6106329262256622f) + (v > -0.4599952697753906f) +
                             (v > -0.33967943489551544f) + (v > -0.23460740596055984f) + (v > -0.13791173323988914f) +
                             (v > -0.045525018125772476f) + (v > 0.03979014977812767f) + (v > 0.1202552504837513f) +
                             (v > 0.2035212516784668f) + (v > 0.2920137718319893f) + (v > 0.3893125355243683f) +
                             (v > 0.5016634166240692f) + (v > 0.6427869200706482f) + (v > 0.8614784178118011f));
    }
}

const struct lrc_quant_type lrc_quant_type_nf4 = { "nf4", LRC_BLOCK_NF4, values, encode };
