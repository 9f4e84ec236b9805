#include "backend.h"

#include "common/check.h"

static enum lrc_status check_logits(const struct lrc_tensor *logits, const char *where, struct lrc_error *err)
{
    LRC_TRY(lrc_check_tensor(logits, where, LRC_CHECK_2D(LRC_CHECK_ACTIVATION, LRC_CHECK_ANY, LRC_CHECK_ANY),
                             err));
    if (logits->shape[1] < 1)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want at least 1 column, got 0", where);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_cross_entropy_forward_check(const struct lrc_cross_entropy_forward_args *args,
                                                struct lrc_error                            *err)
{
    LRC_TRY(check_logits(&args->logits, "cross_entropy_forward: logits", err));
    const int64_t n = args->logits.shape[0];
    LRC_TRY(lrc_check_array(args->targets, "cross_entropy_forward: targets", n, err));
    LRC_TRY(lrc_check_array(args->logprob, "cross_entropy_forward: logprob", n, err));
    return lrc_check_array(args->lse, "cross_entropy_forward: lse", n, err);
}

enum lrc_status lrc_cross_entropy_backward_check(const struct lrc_cross_entropy_backward_args *args,
                                                 struct lrc_error                             *err)
{
    LRC_TRY(check_logits(&args->logits, "cross_entropy_backward: logits", err));
    const int64_t n = args->logits.shape[0];
    LRC_TRY(lrc_check_tensor(&args->d_logits, "cross_entropy_backward: d_logits",
                             LRC_CHECK_2D(LRC_CHECK_ACTIVATION, n, args->logits.shape[1]), err));
    LRC_TRY(lrc_check_array(args->targets, "cross_entropy_backward: targets", n, err));
    LRC_TRY(lrc_check_array(args->lse, "cross_entropy_backward: lse", n, err));
    return lrc_check_array(args->coef, "cross_entropy_backward: coef", n, err);
}
