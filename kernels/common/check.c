#include "common/check.h"

#include <inttypes.h>
#include <stdio.h>

enum { SHAPE_TEXT_MAX = 128 }; /* four extents of at most 20 characters, and ", " between them */

static void shape_text(char text[SHAPE_TEXT_MAX], const int64_t *shape, int n_dims)
{
    size_t at = 0;
    text[at++] = '(';
    for (int d = 0; d < n_dims; d++) {
        const char *comma = d > 0 ? ", " : "";
        const int   n = shape[d] == LRC_CHECK_ANY
                            ? snprintf(text + at, SHAPE_TEXT_MAX - at, "%sany", comma)
                            : snprintf(text + at, SHAPE_TEXT_MAX - at, "%s%" PRId64, comma, shape[d]);
        at += (size_t)n;
    }
    text[at++] = ')';
    text[at] = '\0';
}

static int dtype_fits(enum lrc_dtype dtype, enum lrc_check_dtypes dtypes)
{
    return (dtype == LRC_DTYPE_F32 && (dtypes & LRC_CHECK_F32)) ||
           (dtype == LRC_DTYPE_BF16 && (dtypes & LRC_CHECK_BF16)) ||
           (dtype == LRC_DTYPE_F16 && (dtypes & LRC_CHECK_F16));
}

static enum lrc_status check_dtype(enum lrc_dtype dtype, const char *where, enum lrc_check_dtypes dtypes,
                                   struct lrc_error *err)
{
    if (dtype_fits(dtype, dtypes))
        return LRC_STATUS_OK;
    const char *want = dtypes == LRC_CHECK_F32          ? "F32"
                       : dtypes == LRC_CHECK_ACTIVATION ? "F32 or BF16"
                       : dtypes == LRC_CHECK_FLOAT      ? "F32, BF16 or F16"
                                                        : "another type";
    const int   known = (int)dtype >= 0 && (int)dtype < LRC_DTYPE_COUNT;
    return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want %s, got %s", where, want,
                    known ? lrc_dtype_info[dtype].name : "an unknown type");
}

static int shape_fits(const struct lrc_tensor *tensor, const struct lrc_check_want *want)
{
    if (tensor->n_dims != want->n_dims)
        return 0;
    for (int d = 0; d < want->n_dims; d++) {
        if (tensor->shape[d] < 0)
            return 0;
        if (want->shape[d] != LRC_CHECK_ANY && tensor->shape[d] != want->shape[d])
            return 0;
    }
    return 1;
}

static enum lrc_status check_strides(const struct lrc_tensor *tensor, const char *where,
                                     struct lrc_error *err)
{
    int64_t extent = 1; /* elements from the first to the last of one entry of dimension d */
    for (int d = tensor->n_dims - 1; d >= 0; d--) {
        const int64_t stride = tensor->stride[d], n = tensor->shape[d];
        const int     is_last = d == tensor->n_dims - 1;
        if (n > 1 && (is_last ? stride != 1 : stride < extent))
            return lrc_fail(err, LRC_STATUS_SHAPE,
                            "%s: want a stride of %s%" PRId64 " in dimension %d, got %" PRId64, where,
                            is_last ? "" : "at least ", extent, d, stride);
        if (n > 1)
            extent += (n - 1) * stride;
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_check_tensor(const struct lrc_tensor *tensor, const char *where,
                                 const struct lrc_check_want *want, struct lrc_error *err)
{
    if (tensor->n_dims < 0 || tensor->n_dims > LRC_DIMS_MAX)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want %d dimensions, got %d", where, want->n_dims,
                        tensor->n_dims);
    LRC_TRY(check_dtype(tensor->dtype, where, want->dtypes, err));
    if (!shape_fits(tensor, want)) {
        char want_text[SHAPE_TEXT_MAX], got_text[SHAPE_TEXT_MAX];
        shape_text(want_text, want->shape, want->n_dims);
        shape_text(got_text, tensor->shape, tensor->n_dims);
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want %s, got %s", where, want_text, got_text);
    }
    const int64_t n = lrc_tensor_elems(tensor);
    if (n == 0)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_check_array(tensor->data, where, n, err));
    return check_strides(tensor, where, err);
}

enum lrc_status lrc_check_contiguous(const struct lrc_tensor *tensor, const char *where,
                                     struct lrc_error *err)
{
    if (lrc_tensor_elems(tensor) == 0 || lrc_tensor_is_contiguous(tensor))
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want a contiguous tensor, got row stride %" PRId64, where,
                    tensor->stride[0]);
}

enum lrc_status lrc_check_array(const void *array, const char *where, int64_t n, struct lrc_error *err)
{
    if (array || n == 0)
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want %" PRId64 " elements, got NULL", where, n);
}
