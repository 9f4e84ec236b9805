#include "backend.h"

#include "common/check.h"

enum lrc_status lrc_gather_forward_check(const struct lrc_gather_forward_args *args, struct lrc_error *err)
{
    const int64_t n = args->out.shape[0], dim = args->x.shape[1];
    LRC_TRY(lrc_check_tensor(&args->x, "gather_forward: x",
                             LRC_CHECK_2D(LRC_CHECK_ACTIVATION, LRC_CHECK_ANY, dim), err));
    LRC_TRY(
        lrc_check_tensor(&args->out, "gather_forward: out", LRC_CHECK_2D(LRC_CHECK_ACTIVATION, n, dim), err));
    if (args->out.dtype != args->x.dtype)
        return lrc_fail(err, LRC_STATUS_SHAPE, "gather_forward: out: want %s as x, got %s",
                        lrc_dtype_info[args->x.dtype].name, lrc_dtype_info[args->out.dtype].name);
    return lrc_check_array(args->index, "gather_forward: index", n, err);
}

enum lrc_status lrc_gather_backward_check(const struct lrc_gather_backward_args *args, struct lrc_error *err)
{
    const int64_t n = args->d_out.shape[0], n_rows = args->d_x.shape[0], dim = args->d_x.shape[1];
    LRC_TRY(lrc_check_tensor(&args->d_x, "gather_backward: d_x",
                             LRC_CHECK_2D(LRC_CHECK_ACTIVATION, n_rows, dim), err));
    LRC_TRY(lrc_check_tensor(&args->d_out, "gather_backward: d_out",
                             LRC_CHECK_2D(LRC_CHECK_ACTIVATION, n, dim), err));
    if (n > n_rows)
        return lrc_fail(err, LRC_STATUS_SHAPE, "gather_backward: d_out: want at most %lld rows, got %lld",
                        (long long)n_rows, (long long)n);
    return lrc_check_array(args->index, "gather_backward: index", n, err);
}
