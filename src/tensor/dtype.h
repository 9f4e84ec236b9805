/* Element types: one table of names (safetensors' spelling) and sizes, and conversions to and from float32.
 */
#ifndef LRC_TENSOR_DTYPE_H
#define LRC_TENSOR_DTYPE_H

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* name, bits, alignment rank of the reference safetensors writer (higher is written first). */
#define LRC_DTYPE_MAP(XX)       \
    XX(BOOL,          8,  0)    \
    XX(F4,            4,  1)    \
    XX(F6_E2M3,       6,  2)    \
    XX(F6_E3M2,       6,  3)    \
    XX(U8,            8,  4)    \
    XX(I8,            8,  5)    \
    XX(F8_E5M2,       8,  6)    \
    XX(F8_E4M3,       8,  7)    \
    XX(F8_E8M0,       8,  8)    \
    XX(F8_E4M3FNUZ,   8,  9)    \
    XX(F8_E5M2FNUZ,   8, 10)    \
    XX(I16,          16, 11)    \
    XX(U16,          16, 12)    \
    XX(F16,          16, 13)    \
    XX(BF16,         16, 14)    \
    XX(I32,          32, 15)    \
    XX(U32,          32, 16)    \
    XX(F32,          32, 17)    \
    XX(C64,          64, 18)    \
    XX(F64,          64, 19)    \
    XX(I64,          64, 20)    \
    XX(U64,          64, 21)

enum lrc_dtype {
#define XX(name, bits, rank) LRC_DTYPE_##name,
    LRC_DTYPE_MAP(XX)
#undef XX
    LRC_DTYPE_COUNT
};

struct lrc_dtype_info {
    const char *name;
    int         bits;
    int         rank;
};
extern const struct lrc_dtype_info lrc_dtype_info[LRC_DTYPE_COUNT];

size_t lrc_dtype_bytes(enum lrc_dtype dtype); /* 0 for types smaller than a byte */
/* 1 and *dtype set when the name is known, else 0. */
int lrc_dtype_find(enum lrc_dtype *dtype, const char *name, size_t n);
/* F32, F16, BF16 */
int lrc_dtype_is_float(enum lrc_dtype dtype);

static inline float lrc_bf16_to_f32(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float          value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* Round to nearest, ties to even; NaN stays NaN. */
static inline uint16_t lrc_bf16_from_f32(float value)
{
    uint32_t wide;
    memcpy(&wide, &value, sizeof wide);
    if ((wide & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((wide >> 16) | 0x40u);
    return (uint16_t)((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16);
}

float lrc_f16_to_f32(uint16_t bits);

/* n elements of F32, F16 or BF16 to float32 and back. Unaligned src is fine. Other dtypes are our bug
 * (assert). */
void lrc_dtype_to_f32(float *out, const void *src, enum lrc_dtype dtype, int64_t n_elems);
void lrc_dtype_from_f32(void *out, enum lrc_dtype dtype, const float *src, int64_t n_elems);

#endif
