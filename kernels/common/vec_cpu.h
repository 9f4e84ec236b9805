/* Rows of F32, BF16 or F16 as float32, a block at a time, and float functions that the compiler vectorises.
 * For <op>_cpu.c only, which is compiled once per instruction set.
 *
 * An op walks a row in blocks of LRC_VEC_BLOCK elements that stay in the first-level cache: F32 is used where
 * it lies, other types are converted to and from a buffer. So an op has one loop whatever the types of its
 * arguments, and in-place works: a block is read before it is written, and loops read and write the same
 * index. */
#ifndef LRC_KERNELS_COMMON_VEC_CPU_H
#define LRC_KERNELS_COMMON_VEC_CPU_H

#include "tensor/tensor.h"

#include <math.h>

enum {
    LRC_VEC_BLOCK = 512, /* 2 KiB a buffer: five of them fit the smallest first-level cache in use, 32 KiB */
    LRC_VEC_PARALLEL_MIN = 32768, /* elements below which starting threads costs more than it gains */
    LRC_VEC_ALIGN = 64
};

/* A buffer for one block. */
#define LRC_VEC_BUFFER(name) _Alignas(LRC_VEC_ALIGN) float name[LRC_VEC_BLOCK]

/* n <= LRC_VEC_BLOCK elements from column `first` of row `row`. */
struct lrc_vec_span {
    int64_t row;
    int64_t first;
    int64_t n;
};

static inline int64_t lrc_vec_block(int64_t first, int64_t n_cols)
{
    return n_cols - first < LRC_VEC_BLOCK ? n_cols - first : LRC_VEC_BLOCK;
}

static inline uint32_t lrc_vec_bits(float value)
{
    union {
        float    value;
        uint32_t bits;
    } pun = { .value = value };
    return pun.bits;
}

static inline float lrc_vec_float(uint32_t bits)
{
    union {
        uint32_t bits;
        float    value;
    } pun = { .bits = bits };
    return pun.value;
}

static inline void lrc_vec_from_bf16(float *out, const uint16_t *in, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        out[i] = lrc_vec_float((uint32_t)in[i] << 16);
}

/* To nearest, ties to even; NaN keeps its upper payload and becomes quiet. */
static inline void lrc_vec_to_bf16(uint16_t *out, const float *in, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = lrc_vec_bits(in[i]);
        const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        const uint32_t nan = (bits >> 16) | 0x40u;
        out[i] = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
    }
}

/* Exponent moved by a multiplication by 2^112, which also makes half's subnormals normal. */
static inline void lrc_vec_from_f16(float *out, const uint16_t *in, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const uint32_t half = in[i], sign = (half & 0x8000u) << 16, magnitude = (half & 0x7fffu) << 13;
        const uint32_t finite = lrc_vec_bits(lrc_vec_float(magnitude) * 0x1p112f);
        out[i] = lrc_vec_float(sign | (magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite));
    }
}

/* Storage of element `col` of row `row` of a tensor of at most two dimensions. */
static inline void *lrc_vec_at(const struct lrc_tensor *tensor, int64_t row, int64_t col)
{
    const int64_t offset = tensor->n_dims == 2 ? row * tensor->stride[0] + col : col;
    return (unsigned char *)tensor->data + (size_t)offset * (tensor->dtype == LRC_DTYPE_F32 ? 4 : 2);
}

/* n elements of storage as float32: where they lie, or converted into buffer. */
static inline const float *lrc_vec_load(const void *storage, enum lrc_dtype dtype, int64_t n, float *buffer)
{
    if (dtype == LRC_DTYPE_F32)
        return storage;
    if (dtype == LRC_DTYPE_BF16)
        lrc_vec_from_bf16(buffer, storage, n);
    else
        lrc_vec_from_f16(buffer, storage, n);
    return buffer;
}

static inline const float *lrc_vec_read(const struct lrc_tensor *tensor, struct lrc_vec_span at,
                                        float *buffer)
{
    return lrc_vec_load(lrc_vec_at(tensor, at.row, at.first), tensor->dtype, at.n, buffer);
}

/* Where a block's results go: F32 storage itself, or buffer, which lrc_vec_finish() then rounds to BF16. */
static inline float *lrc_vec_begin(const struct lrc_tensor *tensor, struct lrc_vec_span at, float *buffer)
{
    return tensor->dtype == LRC_DTYPE_F32 ? lrc_vec_at(tensor, at.row, at.first) : buffer;
}

static inline void lrc_vec_finish(const struct lrc_tensor *tensor, struct lrc_vec_span at,
                                  const float *results)
{
    if (tensor->dtype != LRC_DTYPE_F32)
        lrc_vec_to_bf16(lrc_vec_at(tensor, at.row, at.first), results, at.n);
}

/* a * b + c, fused where the instruction set has it; never a call to libm's emulation. */
static inline float lrc_vec_fma(float a, float b, float c)
{
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* out[row,:] = a[row,:] + b[row,:], rounded once. */
static inline void lrc_vec_add_row(const struct lrc_tensor *a, const struct lrc_tensor *b,
                                   const struct lrc_tensor *out, int64_t row)
{
    LRC_VEC_BUFFER(a_buffer);
    LRC_VEC_BUFFER(b_buffer);
    LRC_VEC_BUFFER(out_buffer);
    const int64_t dim = out->shape[1];
    for (int64_t first = 0; first < dim; first += LRC_VEC_BLOCK) {
        const struct lrc_vec_span at = { row, first, lrc_vec_block(first, dim) };
        const float              *x = lrc_vec_read(a, at, a_buffer), *y = lrc_vec_read(b, at, b_buffer);
        float                    *sum = lrc_vec_begin(out, at, out_buffer);
#pragma omp simd
        for (int64_t i = 0; i < at.n; i++)
            sum[i] = x[i] + y[i];
        lrc_vec_finish(out, at, sum);
    }
}

/* e^x within 2 ulp (the cases measure it) for results from 2^-126 to 2^127; below 0, above infinity; NaN is
 * kept.
 *
 *   x = k ln 2 + r, |r| <= ln 2 / 2;  e^x = 2^k e^r;  e^r = 1 + r + r^2 q(r), q the interpolation of
 *   (e^r - 1 - r) / r^2 at the five Chebyshev nodes of the interval: relative error of e^r 0.18 * 2^-24.
 *
 * ln 2 is split so that k times its upper part is exact. Adding 1.5 * 2^23 leaves k, rounded, in the low bits
 * of the sum, from where a shift makes it an exponent: k = -127 is then the factor 0, and k = 128 infinity.
 */
static inline float lrc_vec_exp(float x)
{
    const float low = x < -88.0f ? -88.0f : x, clamped = low > 89.0f ? 89.0f : low;
    const float shifted = lrc_vec_fma(clamped, 0x1.715476p0f, 0x1.8p23f), k = shifted - 0x1.8p23f;
    const float r = lrc_vec_fma(k, -0x1.7f7d1cp-20f, lrc_vec_fma(k, -0x1.62e4p-1f, clamped));
    float       q = 0x1.6d110ep-10f;
    q = lrc_vec_fma(q, r, 0x1.120b72p-7f);
    q = lrc_vec_fma(q, r, 0x1.55551ap-5f);
    q = lrc_vec_fma(q, r, 0x1.5554dcp-3f);
    q = lrc_vec_fma(q, r, 0.5f);
    const float e = lrc_vec_fma(r * r, q, r) + 1.0f;
    return e * lrc_vec_float((lrc_vec_bits(shifted) << 23) + 0x3f800000u);
}

/* 1 / (1 + e^-x): the error of lrc_vec_exp() and two roundings. */
static inline float lrc_vec_sigmoid(float x)
{
    return 1.0f / (1.0f + lrc_vec_exp(-x));
}

#endif
