#include "backend.h"

#include "common/check.h"

enum lrc_status lrc_add_check(const struct lrc_add_args *args, struct lrc_error *err)
{
    const struct lrc_check_want *rows =
        LRC_CHECK_2D(LRC_CHECK_ACTIVATION, args->a.shape[0], args->a.shape[1]);
    LRC_TRY(lrc_check_tensor(&args->a, "add: a", rows, err));
    LRC_TRY(lrc_check_tensor(&args->b, "add: b", rows, err));
    return lrc_check_tensor(&args->out, "add: out", rows, err);
}
