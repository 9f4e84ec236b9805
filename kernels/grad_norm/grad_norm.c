#include "backend.h"

#include "common/check.h"
#include "grad_norm/grad_norm_layout.h"

#include <inttypes.h>

size_t lrc_grad_norm_workspace_bytes(void)
{
    return LRC_GRAD_NORM_SUMS_MAX * sizeof(double);
}

enum lrc_status lrc_grad_norm_check(const struct lrc_grad_norm_args *args, struct lrc_error *err)
{
    if (args->n_grads < 0)
        return lrc_fail(err, LRC_STATUS_SHAPE, "grad_norm: n_grads: want at least 0, got %" PRId64,
                        args->n_grads);
    LRC_TRY(lrc_check_array(args->grads, "grad_norm: grads", args->n_grads, err));
    for (int64_t i = 0; i < args->n_grads; i++) {
        const struct lrc_tensor *grad = &args->grads[i];
        struct lrc_check_want    want = { .dtypes = LRC_CHECK_F32, .n_dims = grad->n_dims };
        memcpy(want.shape, grad->shape, sizeof want.shape);
        LRC_TRY(lrc_check_tensor(grad, "grad_norm: grads", &want, err));
        LRC_TRY(lrc_check_contiguous(grad, "grad_norm: grads", err));
    }
    LRC_TRY(lrc_check_array(args->norm, "grad_norm: norm", 1, err));
    LRC_TRY(lrc_check_array(args->clip, "grad_norm: clip", 1, err));
    if (!(args->max_norm >= 0.0f))
        return lrc_fail(err, LRC_STATUS_NUMERIC, "grad_norm: max_norm: want at least 0, got %g",
                        (double)args->max_norm);
    if (!args->workspace || args->workspace_bytes < lrc_grad_norm_workspace_bytes() ||
        ((uintptr_t)args->workspace & (sizeof(double) - 1)) != 0)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "grad_norm: workspace: want %zu bytes for doubles, got %zu at %p",
                        lrc_grad_norm_workspace_bytes(), args->workspace_bytes, args->workspace);
    return LRC_STATUS_OK;
}
