/* Tensor views, and weight handles: the two things op arguments are made of. */
#ifndef LRC_TENSOR_TENSOR_H
#define LRC_TENSOR_TENSOR_H

#include "tensor/dtype.h"

enum { LRC_DIMS_MAX = 4 };

/* A view: borrows data. Strides in elements. The last dimension is contiguous wherever an op does not say
 * otherwise. */
struct lrc_tensor {
    void          *data;
    enum lrc_dtype dtype;
    int            n_dims;
    int64_t        shape[LRC_DIMS_MAX];
    int64_t        stride[LRC_DIMS_MAX];
};

/* Contiguous views. */
struct lrc_tensor lrc_tensor_1d(void *data, enum lrc_dtype dtype, int64_t n0);
struct lrc_tensor lrc_tensor_2d(void *data, enum lrc_dtype dtype, int64_t n0, int64_t n1);
struct lrc_tensor lrc_tensor_3d(void *data, enum lrc_dtype dtype, int64_t n0, int64_t n1, int64_t n2);
int64_t           lrc_tensor_elems(const struct lrc_tensor *tensor);
int               lrc_tensor_is_contiguous(const struct lrc_tensor *tensor);
/* View of rows [first, first + n) of the first dimension. */
struct lrc_tensor lrc_tensor_rows(const struct lrc_tensor *tensor, int64_t first, int64_t n);

/* How the elements of a weight are stored; the code of each type is in quant/. */
enum lrc_block_type { LRC_BLOCK_DENSE, LRC_BLOCK_NF4, LRC_BLOCK_FP4 };

/* A weight matrix (rows = out features, cols = in features), row-major, dense or in blocks that may cross
 * rows. A handle borrows everything it points at; a tied weight is a second handle on the same data. */
struct lrc_weight {
    enum lrc_block_type type;
    int64_t             rows;
    int64_t             cols;
    enum lrc_dtype      dtype; /* dense: of data; blocks: the type the weight had before quantization */
    const void         *data;  /* dense elements, or packed codes: element 2i in the high nibble of byte i */
    /* dense: columns behind each row, and rows behind the last, that are linear's to write: an adapter's
     * factors lie there during a product. Rows are cols + room elements apart. Blocks: 0. */
    int64_t room;

    /* NF4, FP4: w[i] = code[q[i]] * absmax[i / block_elems]. With double quantization (absmax_code not NULL)
     * absmax[b] = nested_map[absmax_code[b]] * nested_absmax[b / nested_block_elems] + nested_offset,
     * product and sum each rounded to float32 (Dettmers et al. 2023, arXiv:2305.14314, section 3). */
    int64_t        block_elems; /* a power of two */
    const float   *code;        /* (16) */
    const float   *absmax;      /* (ceil(rows * cols / block_elems)); NULL when doubly quantized */
    const uint8_t *absmax_code;
    const float   *nested_absmax;
    const float   *nested_map; /* (256) */
    float          nested_offset;
    int64_t        nested_block_elems;
};

/* Elements from row to row. */
static inline int64_t lrc_weight_stride(const struct lrc_weight *weight)
{
    return weight->cols + weight->room;
}

#endif
