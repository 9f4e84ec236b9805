#include "common/check_weight.h"

#include <inttypes.h>

static enum lrc_status check_blocks(const struct lrc_weight *weight, const char *where, struct lrc_error *err)
{
    const int64_t n = weight->block_elems;
    if (n < 2 || (n & (n - 1)) != 0)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want block_elems a power of two from 2, got %" PRId64,
                        where, n);
    if (!weight->code)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want a code of 16 values, got NULL", where);
    if (!weight->absmax_code && !weight->absmax)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want absmax or absmax_code, got neither", where);
    if (weight->absmax_code &&
        (!weight->nested_absmax || !weight->nested_map || weight->nested_block_elems < 1))
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "%s: want nested_absmax, nested_map and nested_block_elems beside absmax_code, "
                        "got one missing",
                        where);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_check_weight(const struct lrc_weight *weight, const char *where, struct lrc_error *err)
{
    int64_t n_elems = 0, n_all = 0;
    if (!weight)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want a weight, got NULL", where);
    if (weight->rows < 0 || weight->cols < 0 ||
        __builtin_mul_overflow(weight->rows, weight->cols, &n_elems) || n_elems > INT64_MAX / 8)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "%s: want rows and cols of a matrix in memory, got %" PRId64 " x %" PRId64, where,
                        weight->rows, weight->cols);
    if (!weight->data && n_elems > 0)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want %" PRId64 " elements, got NULL", where, n_elems);
    if (weight->room < 0 || (weight->room > 0 && weight->type != LRC_BLOCK_DENSE) ||
        __builtin_mul_overflow(weight->rows + weight->room, weight->cols + weight->room, &n_all) ||
        n_all > INT64_MAX / 8)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "%s: want room of 0 columns and rows, or of a dense matrix in memory, got %" PRId64,
                        where, weight->room);
    switch (weight->type) {
    case LRC_BLOCK_DENSE:
        if (!lrc_dtype_is_float(weight->dtype))
            return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want F32, BF16 or F16, got another type", where);
        return LRC_STATUS_OK;
    case LRC_BLOCK_NF4:
    case LRC_BLOCK_FP4: return check_blocks(weight, where, err);
    }
    return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want a known block type, got %d", where, (int)weight->type);
}
