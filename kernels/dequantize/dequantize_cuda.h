/* Part of a weight's matrix in a dense array on the device: what dequantize does, for other ops' panels too.
 * For <op>_cuda.cu only. */
#ifndef LRC_DEQUANTIZE_CUDA_H
#define LRC_DEQUANTIZE_CUDA_H

/* Row r, column c of the part is element first_elem + r * row_elems + c of the weight, and goes to element
 * r * out_stride + c. */
struct lrc_dequantize_part {
    int64_t first_elem, row_elems;
    int64_t n_rows, n_cols;
    int64_t out_stride;
};

/* out: F32 or BF16. */
enum lrc_status lrc_dequantize__cuda(struct lrc_stream *stream, void *out, enum lrc_dtype dtype,
                                     const struct lrc_weight *weight, const struct lrc_dequantize_part *part,
                                     struct lrc_error *err);

#endif
