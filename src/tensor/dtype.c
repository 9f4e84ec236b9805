#include "tensor/dtype.h"

const struct lrc_dtype_info lrc_dtype_info[LRC_DTYPE_COUNT] = {
#define XX(name, bits, rank) [LRC_DTYPE_##name] = { #name, bits, rank },
    LRC_DTYPE_MAP(XX)
#undef XX
};

size_t lrc_dtype_bytes(enum lrc_dtype dtype)
{
    return (size_t)lrc_dtype_info[dtype].bits / 8;
}

int lrc_dtype_find(enum lrc_dtype *dtype, const char *name, size_t n)
{
    for (int i = 0; i < LRC_DTYPE_COUNT; i++)
        if (strlen(lrc_dtype_info[i].name) == n && memcmp(lrc_dtype_info[i].name, name, n) == 0) {
            *dtype = (enum lrc_dtype)i;
            return 1;
        }
    return 0;
}

int lrc_dtype_is_float(enum lrc_dtype dtype)
{
    return dtype == LRC_DTYPE_F32 || dtype == LRC_DTYPE_F16 || dtype == LRC_DTYPE_BF16;
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float lrc_f16_to_f32(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u,
                   mantissa = bits & 0x3ffu;
    if (exponent == 31)
        return float_of_bits(sign | 0x7f800000u | (mantissa << 13));
    if (exponent == 0) {
        /* exact: subnormals of half are normal in single */
        const float magnitude = (float)mantissa * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_of_bits(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

uint16_t lrc_f16_from_f32(float value)
{
    uint32_t wide;
    memcpy(&wide, &value, sizeof wide);
    const uint32_t sign = (wide >> 16) & 0x8000u, magnitude = wide & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: add so that the hardware rounds at the last half bit */
        const float shifted = float_of_bits(magnitude) + 0.5f;
        uint32_t    low;
        memcpy(&low, &shifted, sizeof low);
        return (uint16_t)(sign | (low - 0x3f000000u));
    }
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

void lrc_dtype_to_f32(float *out, const void *src, enum lrc_dtype dtype, int64_t n_elems)
{
    const unsigned char *bytes = src;
    LRC_ASSERT(lrc_dtype_is_float(dtype));
    if (dtype == LRC_DTYPE_F32) {
        memcpy(out, bytes, (size_t)n_elems * sizeof *out);
        return;
    }
    for (int64_t i = 0; i < n_elems; i++) {
        uint16_t bits;
        memcpy(&bits, bytes + 2 * i, sizeof bits);
        out[i] = dtype == LRC_DTYPE_BF16 ? lrc_bf16_to_f32(bits) : lrc_f16_to_f32(bits);
    }
}

void lrc_dtype_from_f32(void *out, enum lrc_dtype dtype, const float *src, int64_t n_elems)
{
    unsigned char *bytes = out;
    LRC_ASSERT(lrc_dtype_is_float(dtype));
    if (dtype == LRC_DTYPE_F32) {
        memcpy(bytes, src, (size_t)n_elems * sizeof *src);
        return;
    }
    for (int64_t i = 0; i < n_elems; i++) {
        const uint16_t bits = dtype == LRC_DTYPE_BF16 ? lrc_bf16_from_f32(src[i]) : lrc_f16_from_f32(src[i]);
        memcpy(bytes + 2 * i, &bits, sizeof bits);
    }
}
