#include "tensor/tensor.h"

struct lrc_tensor lrc_tensor_1d(void *data, enum lrc_dtype dtype, int64_t n0)
{
    return (struct lrc_tensor){ data, dtype, 1, { n0 }, { 1 } };
}

struct lrc_tensor lrc_tensor_2d(void *data, enum lrc_dtype dtype, int64_t n0, int64_t n1)
{
    return (struct lrc_tensor){ data, dtype, 2, { n0, n1 }, { n1, 1 } };
}

struct lrc_tensor lrc_tensor_3d(void *data, enum lrc_dtype dtype, int64_t n0, int64_t n1, int64_t n2)
{
    return (struct lrc_tensor){ data, dtype, 3, { n0, n1, n2 }, { n1 * n2, n2, 1 } };
}

int64_t lrc_tensor_elems(const struct lrc_tensor *tensor)
{
    int64_t n = 1;
    for (int d = 0; d < tensor->n_dims; d++)
        n *= tensor->shape[d];
    return n;
}

int lrc_tensor_is_contiguous(const struct lrc_tensor *tensor)
{
    int64_t stride = 1;
    for (int d = tensor->n_dims - 1; d >= 0; d--) {
        if (tensor->shape[d] > 1 && tensor->stride[d] != stride)
            return 0;
        stride *= tensor->shape[d];
    }
    return 1;
}

struct lrc_tensor lrc_tensor_rows(const struct lrc_tensor *tensor, int64_t first, int64_t n)
{
    struct lrc_tensor view = *tensor;
    LRC_ASSERT(first >= 0 && n >= 0 && first + n <= tensor->shape[0]);
    view.shape[0] = n;
    view.data =
        (unsigned char *)tensor->data + (size_t)(first * tensor->stride[0]) * lrc_dtype_bytes(tensor->dtype);
    return view;
}
