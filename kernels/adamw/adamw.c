#include "backend.h"

#include "common/check.h"

#include <math.h>

static enum lrc_status check_tensors(const struct lrc_adamw_args *args, struct lrc_error *err)
{
    const struct {
        const struct lrc_tensor *tensor;
        const char              *where;
    } all[] = { { &args->param, "adamw: param" },
                { &args->grad, "adamw: grad" },
                { &args->m, "adamw: m" },
                { &args->v, "adamw: v" } };
    struct lrc_check_want want = { .dtypes = LRC_CHECK_F32, .n_dims = args->param.n_dims };
    memcpy(want.shape, args->param.shape, sizeof want.shape);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        LRC_TRY(lrc_check_tensor(all[i].tensor, all[i].where, &want, err));
        LRC_TRY(lrc_check_contiguous(all[i].tensor, all[i].where, err));
    }
    return LRC_STATUS_OK;
}

/* want: the range in words. Written so that NaN is out of range. */
static enum lrc_status check_setting(const char *name, double value, int in_range, const char *want,
                                     struct lrc_error *err)
{
    if (in_range)
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_NUMERIC, "adamw: %s: want %s, got %g", name, want, value);
}

enum lrc_status lrc_adamw_check(const struct lrc_adamw_args *args, struct lrc_error *err)
{
    const double beta1 = args->beta1, beta2 = args->beta2, eps = args->eps, decay = args->weight_decay,
                 ratio = args->lr_ratio;
    LRC_TRY(check_tensors(args, err));
    LRC_TRY(lrc_check_array(args->scalars, "adamw: scalars", 1, err));
    LRC_TRY(check_setting("beta1", beta1, beta1 >= 0 && beta1 < 1, "0 <= beta1 < 1", err));
    LRC_TRY(check_setting("beta2", beta2, beta2 >= 0 && beta2 < 1, "0 <= beta2 < 1", err));
    LRC_TRY(check_setting("eps", eps, eps >= 0 && isfinite(eps), "0 or more", err));
    LRC_TRY(check_setting("weight_decay", decay, decay >= 0 && isfinite(decay), "0 or more", err));
    return check_setting("lr_ratio", ratio, ratio >= 0 && isfinite(ratio), "0 or more", err);
}
