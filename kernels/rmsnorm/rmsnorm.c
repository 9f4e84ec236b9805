#include "backend.h"

#include "common/check.h"

enum lrc_status lrc_rmsnorm_forward_check(const struct lrc_rmsnorm_forward_args *args, struct lrc_error *err)
{
    const int64_t                n = args->x.shape[0], dim = args->x.shape[1];
    const struct lrc_check_want *rows = LRC_CHECK_2D(LRC_CHECK_ACTIVATION, n, dim);
    LRC_TRY(lrc_check_tensor(&args->x, "rmsnorm_forward: x", rows, err));
    LRC_TRY(
        lrc_check_tensor(&args->weight, "rmsnorm_forward: weight", LRC_CHECK_1D(LRC_CHECK_FLOAT, dim), err));
    LRC_TRY(lrc_check_tensor(&args->out, "rmsnorm_forward: out", rows, err));
    if (args->addend.data) {
        LRC_TRY(lrc_check_tensor(&args->addend, "rmsnorm_forward: addend", rows, err));
        LRC_TRY(lrc_check_tensor(&args->sum, "rmsnorm_forward: sum", rows, err));
    }
    if (dim < 1)
        return lrc_fail(err, LRC_STATUS_SHAPE, "rmsnorm_forward: x: want at least 1 column, got %lld",
                        (long long)dim);
    if (!(args->eps > 0.0f))
        return lrc_fail(err, LRC_STATUS_NUMERIC, "rmsnorm_forward: eps: want more than 0, got %g",
                        (double)args->eps);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_rmsnorm_backward_check(const struct lrc_rmsnorm_backward_args *args,
                                           struct lrc_error                       *err)
{
    const int64_t                n = args->x.shape[0], dim = args->x.shape[1];
    const struct lrc_check_want *rows = LRC_CHECK_2D(LRC_CHECK_ACTIVATION, n, dim);
    LRC_TRY(lrc_check_tensor(&args->x, "rmsnorm_backward: x", rows, err));
    LRC_TRY(lrc_check_tensor(&args->d_out, "rmsnorm_backward: d_out", rows, err));
    LRC_TRY(
        lrc_check_tensor(&args->weight, "rmsnorm_backward: weight", LRC_CHECK_1D(LRC_CHECK_FLOAT, dim), err));
    LRC_TRY(lrc_check_tensor(&args->d_x, "rmsnorm_backward: d_x", rows, err));
    LRC_TRY(lrc_check_array(args->rstd, "rmsnorm_backward: rstd", n, err));
    if (args->d_residual.data)
        LRC_TRY(lrc_check_tensor(&args->d_residual, "rmsnorm_backward: d_residual", rows, err));
    if (args->d_weight.data)
        LRC_TRY(lrc_check_tensor(&args->d_weight, "rmsnorm_backward: d_weight",
                                 LRC_CHECK_1D(LRC_CHECK_F32, dim), err));
    if (dim < 1)
        return lrc_fail(err, LRC_STATUS_SHAPE, "rmsnorm_backward: x: want at least 1 column, got %lld",
                        (long long)dim);
    return LRC_STATUS_OK;
}
