#include "backend.h"
#include "common/check.h"
#include "common/check_weight.h"

#include <inttypes.h>

enum lrc_status lrc_dequantize_check(const struct lrc_dequantize_args *args, struct lrc_error *err)
{
    LRC_TRY(lrc_check_weight(args->weight, "dequantize: weight", err));
    if (args->weight->room > 0)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "dequantize: weight: want a contiguous matrix, got room of %" PRId64,
                        args->weight->room);
    struct lrc_check_want want = { LRC_CHECK_ACTIVATION, args->out.n_dims, { 0 } };
    for (int d = 0; d < LRC_DIMS_MAX; d++)
        want.shape[d] = LRC_CHECK_ANY;
    LRC_TRY(lrc_check_tensor(&args->out, "dequantize: out", &want, err));
    LRC_TRY(lrc_check_contiguous(&args->out, "dequantize: out", err));
    const int64_t n = lrc_tensor_elems(&args->out), n_weight = args->weight->rows * args->weight->cols;
    if (args->first_elem < 0 || args->first_elem > n_weight || n > n_weight - args->first_elem)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "dequantize: first_elem: want a range in %" PRId64 " elements, got %" PRId64
                        " elements from %" PRId64,
                        n_weight, n, args->first_elem);
    return LRC_STATUS_OK;
}
