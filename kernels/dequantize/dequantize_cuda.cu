#include "common/vec_cuda.cuh"
#include "dequantize/dequantize_cuda.h"

/* One pass from the stored bytes to the result. A thread makes EACH elements, those of one aligned 32-bit
 * word of codes: a warp reads 128 bytes and writes 512 (BF16) in whole vectors; with 16 bytes of codes per
 * thread its stores, four times the loads, would lie apart. */
constexpr int     THREADS = 256, EACH = 8;
constexpr int64_t ROWS_MAX = 65535; /* of a grid */

/* Products and sums are rounded one by one, as in bitsandbytes: no fused multiply-add. nested_shift: log2 of
 * nested_block_elems, or -1 when that is no power of two: a division costs as much as the rest of a group. */
static __device__ __forceinline__ float absmax_of(const struct lrc_weight &weight, int64_t block,
                                                  int nested_shift)
{
    if (!weight.absmax_code)
        return weight.absmax[block];
    const int64_t nested = nested_shift >= 0 ? block >> nested_shift : block / weight.nested_block_elems;
    const float   product =
        __fmul_rn(weight.nested_map[weight.absmax_code[block]], weight.nested_absmax[nested]);
    return __fadd_rn(product, weight.nested_offset);
}

/* values[i] = element group * EACH + i of the weight, for i in [begin, end). code: 16 floats in shared
 * memory, one to a bank, so that 32 lanes look up at once. */
static __device__ __forceinline__ void group_values(float values[EACH], const struct lrc_weight &weight,
                                                    const float *code, int64_t group, int begin, int end,
                                                    int nested_shift)
{
    const uint8_t *packed = static_cast<const uint8_t *>(weight.data) + group * (EACH / 2);
    const int      shift = __ffsll(weight.block_elems) - 1;
    uint32_t       word = 0;
    if (begin == 0 && end == EACH && ((uintptr_t)packed & 3) == 0)
        word = *reinterpret_cast<const uint32_t *>(packed);
    else
        for (int i = begin / 2; i < (end + 1) / 2; i++)
            word |= (uint32_t)packed[i] << 8 * i;
    int64_t block = -1;
    float   absmax = 0;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (i < begin || i >= end)
            continue;
        const int64_t now = (group * EACH + i) >> shift;
        if (now != block) {
            block = now;
            absmax = absmax_of(weight, block, nested_shift);
        }
        const uint32_t byte = word >> 8 * (i / 2);
        values[i] = __fmul_rn(code[i % 2 == 0 ? byte >> 4 & 15 : byte & 15], absmax);
    }
}

static __global__ void __launch_bounds__(THREADS)
    dequantize_block_kernel(void *out, enum lrc_dtype dtype, struct lrc_weight weight,
                            struct lrc_dequantize_part part, int nested_shift)
{
    LRC_SHARED_ARRAY(float, code, 16);
    if (threadIdx.x < 16)
        code[threadIdx.x] = weight.code[threadIdx.x];
    __syncthreads();
    for (int64_t row = blockIdx.y; row < part.n_rows; row += gridDim.y) {
        const int64_t first = part.first_elem + row * part.row_elems, last = first + part.n_cols;
        const int64_t group = first / EACH + (int64_t)blockIdx.x * THREADS + threadIdx.x, at = group * EACH;
        if (at >= last)
            continue;
        const int     begin = at < first ? (int)(first - at) : 0;
        const int     end = at + EACH > last ? (int)(last - at) : EACH;
        const int64_t to = row * part.out_stride + at - first; /* of element 0 of the group */
        float         values[EACH];
        group_values(values, weight, code, group, begin, end, nested_shift);
        if (begin == 0 && end == EACH && (to & (EACH - 1)) == 0 && ((uintptr_t)out & 15) == 0) {
            if (dtype == LRC_DTYPE_BF16) {
                reinterpret_cast<uint4 *>(out)[to / 8] = make_uint4(
                    lrc_vec_pack_bf16(values[0], values[1]), lrc_vec_pack_bf16(values[2], values[3]),
                    lrc_vec_pack_bf16(values[4], values[5]), lrc_vec_pack_bf16(values[6], values[7]));
            } else {
                float4 *wide = reinterpret_cast<float4 *>(out) + to / 4;
                wide[0] = make_float4(values[0], values[1], values[2], values[3]);
                wide[1] = make_float4(values[4], values[5], values[6], values[7]);
            }
            continue;
        }
#pragma unroll
        for (int i = 0; i < EACH; i++)
            if (i >= begin && i < end)
                lrc_cuda_store(out, dtype, to + i, values[i]);
    }
}

/* A tensor of a mapped file may start at an odd byte: its elements are put together from bytes. The same type
 * keeps its bits, NaN included. */
static __global__ void __launch_bounds__(THREADS)
    dequantize_dense_kernel(void *out, enum lrc_dtype dtype, struct lrc_weight weight,
                            struct lrc_dequantize_part part)
{
    const int wide = weight.dtype == LRC_DTYPE_F32;
    for (int64_t row = blockIdx.y; row < part.n_rows; row += gridDim.y) {
        const int64_t column = (int64_t)blockIdx.x * THREADS + threadIdx.x;
        if (column >= part.n_cols)
            continue;
        const int64_t from = part.first_elem + row * part.row_elems + column,
                      to = row * part.out_stride + column;
        const uint8_t *bytes = static_cast<const uint8_t *>(weight.data) + from * (wide ? 4 : 2);
        uint32_t       bits = bytes[0] | (uint32_t)bytes[1] << 8;
        if (wide)
            bits |= (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
        if (dtype == weight.dtype) {
            if (wide)
                static_cast<uint32_t *>(out)[to] = bits;
            else
                static_cast<uint16_t *>(out)[to] = (uint16_t)bits;
            continue;
        }
        const float value = wide                             ? __uint_as_float(bits)
                            : weight.dtype == LRC_DTYPE_BF16 ? lrc_cuda_from_bf16((uint16_t)bits)
                                                             : lrc_cuda_from_f16((uint16_t)bits);
        lrc_cuda_store(out, dtype, to, value);
    }
}

enum lrc_status lrc_dequantize__cuda(struct lrc_stream *stream, void *out, enum lrc_dtype dtype,
                                     const struct lrc_weight *weight, const struct lrc_dequantize_part *part,
                                     struct lrc_error *err)
{
    if (part->n_rows == 0 || part->n_cols == 0)
        return LRC_STATUS_OK; /* a grid of no blocks is a launch error */
    const unsigned rows = (unsigned)(part->n_rows < ROWS_MAX ? part->n_rows : ROWS_MAX);
    /* a row that begins inside a group has one group more */
    const int begins_inside =
        part->first_elem % EACH != 0 || (part->n_rows > 1 && part->row_elems % EACH != 0);
    const int64_t items =
        weight->type == LRC_BLOCK_DENSE ? part->n_cols : lrc_cuda_blocks(part->n_cols, EACH) + begins_inside;
    int nested_shift = -1;
    if (weight->absmax_code && (weight->nested_block_elems & (weight->nested_block_elems - 1)) == 0)
        for (int64_t n = weight->nested_block_elems; n > 0; n /= 2)
            nested_shift++;
    const dim3 grid((unsigned)lrc_cuda_blocks(items, THREADS), rows);
    if (weight->type == LRC_BLOCK_DENSE)
        LRC_LAUNCH(dequantize_dense_kernel, grid, THREADS, 0, stream, out, dtype, *weight, *part);
    else
        LRC_LAUNCH(dequantize_block_kernel, grid, THREADS, 0, stream, out, dtype, *weight, *part,
                   nested_shift);
    return LRC_CUDA_LAUNCHED(err, "dequantize: (%lld, %lld)", (long long)part->n_rows,
                             (long long)part->n_cols);
}

LRC_CUDA_OP(dequantize)
(struct lrc_stream *stream, const struct lrc_dequantize_args *args, struct lrc_error *err)
{
    const struct lrc_dequantize_part part = { args->first_elem, 0, 1, lrc_tensor_elems(&args->out), 0 };
    return lrc_dequantize__cuda(stream, args->out.data, args->out.dtype, args->weight, &part, err);
}
