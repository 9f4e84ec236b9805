#include "backend.h"

#include "common/vec_cpu.h"

enum { ELEMS_MAX = 4096 };

static const float absmax_min = 1e-38f; /* an all-zero block divides by this */

/* max |x|, NaN and infinity included: without their sign, floats have the order of their bits as integers. */
static float find_absmax(const float *x, int64_t n)
{
    int32_t most = 0;
    float   absmax;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++) {
        int32_t magnitude;
        memcpy(&magnitude, &x[i], sizeof magnitude);
        magnitude &= 0x7fffffff;
        most = magnitude > most ? magnitude : most;
    }
    memcpy(&absmax, &most, sizeof absmax);
    return absmax;
}

static void normalise(float *x, float absmax, int64_t n, int is_full)
{
    const float by = absmax > absmax_min ? absmax : absmax_min, inverse = 1.0f / by;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float y = is_full ? x[i] * inverse : x[i] / by;
        x[i] = y > 1.0f ? 1.0f : y < -1.0f ? -1.0f : y;
    }
}

/* Which of 16 intervals; one sum of comparisons, without branches, so that it becomes vector code. */
static void find_levels(uint8_t *levels, const float *x, const float threshold[15], int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        int level = 0;
        for (int t = 0; t < 15; t++)
            level += x[i] > threshold[t];
        levels[i] = (uint8_t)level;
    }
}

static void quantize_block(const struct lrc_quantize_blocks_args *args, int64_t b)
{
    _Alignas(LRC_VEC_ALIGN) float   x[ELEMS_MAX];
    _Alignas(LRC_VEC_ALIGN) uint8_t levels[ELEMS_MAX];
    const int64_t                   first = b * args->block_elems, left = lrc_tensor_elems(&args->x) - first;
    const int64_t                   n = left < args->block_elems ? left : args->block_elems;
    const int                       is_full = n == args->block_elems;
    const size_t                    bytes = lrc_dtype_bytes(args->x.dtype);
    uint8_t                        *packed = args->packed + first / 2;
    lrc_dtype_to_f32(x, (const unsigned char *)args->x.data + (size_t)first * bytes, args->x.dtype, n);
    const float absmax = find_absmax(x, n);
    normalise(x, absmax, n, is_full);
    if (n % 2 != 0)
        x[n] = 0.0f; /* the missing half of the last byte */
    find_levels(levels, x, args->levels.threshold, n + n % 2);
    for (int64_t i = 0; i < (n + 1) / 2; i++)
        packed[i] = (uint8_t)(args->levels.code[levels[2 * i]] << 4 | args->levels.code[levels[2 * i + 1]]);
    args->absmax[b] = !is_full && absmax < absmax_min ? absmax_min : absmax;
}

enum lrc_status LRC_CPU(quantize_blocks)(struct lrc_stream                     *stream,
                                         const struct lrc_quantize_blocks_args *args, struct lrc_error *err)
{
    const int64_t n = lrc_tensor_elems(&args->x), n_blocks = (n + args->block_elems - 1) / args->block_elems;
    (void)stream;
    (void)err;
#pragma omp parallel for schedule(static) if (n > LRC_VEC_PARALLEL_MIN)
    for (int64_t b = 0; b < n_blocks; b++)
        quantize_block(args, b);
    return LRC_STATUS_OK;
}
