#include "tensor/dtype.h"

#include "base/vectors.h"

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

static uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Without branches, so that loops over them become vector code. The exponent is moved by a multiplication by
 * 2^112, which also makes half's subnormals normal. */
static inline float from_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = (uint32_t)(half & 0x7fffu) << 13;
    const uint32_t finite = bits_of_float(float_of_bits(magnitude) * 0x1p112f);
    return float_of_bits(sign | (magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite));
}

static inline uint16_t to_half(float value)
{
    const uint32_t wide = bits_of_float(value), magnitude = wide & 0x7fffffffu;
    const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    /* below 2^-14: add so that the hardware rounds at the last half bit */
    const uint32_t tiny = bits_of_float(float_of_bits(magnitude < 0x38800000u ? magnitude : 0) + 0.5f);
    const uint32_t finite = magnitude < 0x38800000u ? tiny - 0x3f000000u : normal;
    /* 65520 and above round to infinity */
    const uint32_t large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
    return (uint16_t)(((wide >> 16) & 0x8000u) | (magnitude >= 0x477ff000u ? large : finite));
}

float lrc_f16_to_f32(uint16_t bits)
{
    return from_half(bits);
}

LRC_VECTORS static void widen_bf16(float *restrict out, const unsigned char *restrict bytes, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, bytes + 2 * i, sizeof bits);
        out[i] = lrc_bf16_to_f32(bits);
    }
}

LRC_VECTORS static void widen_f16(float *restrict out, const unsigned char *restrict bytes, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, bytes + 2 * i, sizeof bits);
        out[i] = from_half(bits);
    }
}

LRC_VECTORS static void narrow_bf16(unsigned char *restrict bytes, const float *restrict src, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        uint32_t wide;
        memcpy(&wide, &src[i], sizeof wide);
        const uint32_t rounded = (wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16, quiet = wide >> 16 | 0x40u;
        const uint16_t bits = (uint16_t)((wide & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
        memcpy(bytes + 2 * i, &bits, sizeof bits);
    }
}

LRC_VECTORS static void narrow_f16(unsigned char *restrict bytes, const float *restrict src, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const uint16_t bits = to_half(src[i]);
        memcpy(bytes + 2 * i, &bits, sizeof bits);
    }
}

void lrc_dtype_to_f32(float *out, const void *src, enum lrc_dtype dtype, int64_t n_elems)
{
    LRC_ASSERT(lrc_dtype_is_float(dtype));
    if (dtype == LRC_DTYPE_F32)
        memcpy(out, src, (size_t)n_elems * sizeof *out);
    else if (dtype == LRC_DTYPE_BF16)
        widen_bf16(out, src, n_elems);
    else
        widen_f16(out, src, n_elems);
}

void lrc_dtype_from_f32(void *out, enum lrc_dtype dtype, const float *src, int64_t n_elems)
{
    LRC_ASSERT(lrc_dtype_is_float(dtype));
    if (dtype == LRC_DTYPE_F32)
        memcpy(out, src, (size_t)n_elems * sizeof *src);
    else if (dtype == LRC_DTYPE_BF16)
        narrow_bf16(out, src, n_elems);
    else
        narrow_f16(out, src, n_elems);
}
