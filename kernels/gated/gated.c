#include "backend.h"

#include "common/check.h"

static enum lrc_status check_activation(enum lrc_activation activation, const char *where,
                                        struct lrc_error *err)
{
    if (activation == LRC_ACTIVATION_SILU)
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want a known activation, got %d", where, (int)activation);
}

enum lrc_status lrc_gated_forward_check(const struct lrc_gated_forward_args *args, struct lrc_error *err)
{
    const struct lrc_check_want *rows =
        LRC_CHECK_2D(LRC_CHECK_ACTIVATION, args->gate.shape[0], args->gate.shape[1]);
    LRC_TRY(lrc_check_tensor(&args->gate, "gated_forward: gate", rows, err));
    LRC_TRY(lrc_check_tensor(&args->up, "gated_forward: up", rows, err));
    LRC_TRY(lrc_check_tensor(&args->out, "gated_forward: out", rows, err));
    return check_activation(args->activation, "gated_forward: activation", err);
}

enum lrc_status lrc_gated_backward_check(const struct lrc_gated_backward_args *args, struct lrc_error *err)
{
    const struct lrc_check_want *rows =
        LRC_CHECK_2D(LRC_CHECK_ACTIVATION, args->gate.shape[0], args->gate.shape[1]);
    LRC_TRY(lrc_check_tensor(&args->gate, "gated_backward: gate", rows, err));
    LRC_TRY(lrc_check_tensor(&args->up, "gated_backward: up", rows, err));
    LRC_TRY(lrc_check_tensor(&args->d_out, "gated_backward: d_out", rows, err));
    LRC_TRY(lrc_check_tensor(&args->d_gate, "gated_backward: d_gate", rows, err));
    LRC_TRY(lrc_check_tensor(&args->d_up, "gated_backward: d_up", rows, err));
    return check_activation(args->activation, "gated_backward: activation", err);
}
