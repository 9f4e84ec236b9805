#include "backend.h"

#include "common/check.h"

#include <inttypes.h>

enum { BLOCK_MIN = 32, BLOCK_MAX = 4096 };

enum lrc_status lrc_quantize_blocks_check(const struct lrc_quantize_blocks_args *args, struct lrc_error *err)
{
    const int64_t         n = lrc_tensor_elems(&args->x), block = args->block_elems;
    struct lrc_check_want want = { .dtypes = LRC_CHECK_FLOAT, .n_dims = args->x.n_dims };
    memcpy(want.shape, args->x.shape, sizeof want.shape);
    LRC_TRY(lrc_check_tensor(&args->x, "quantize: x", &want, err));
    LRC_TRY(lrc_check_contiguous(&args->x, "quantize: x", err));
    if (block < BLOCK_MIN || block > BLOCK_MAX || (block & (block - 1)) != 0)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "quantize: block_elems: want a power of two from %d to %d, got %" PRId64, BLOCK_MIN,
                        BLOCK_MAX, block);
    for (int i = 1; i < 15; i++)
        if (!(args->levels.threshold[i - 1] <= args->levels.threshold[i]))
            return lrc_fail(err, LRC_STATUS_SHAPE,
                            "quantize: levels: want ascending thresholds, got %g after %g",
                            (double)args->levels.threshold[i], (double)args->levels.threshold[i - 1]);
    for (int i = 0; i < 16; i++)
        if (args->levels.code[i] > 15)
            return lrc_fail(err, LRC_STATUS_SHAPE, "quantize: levels: want codes of 4 bits, got %d",
                            args->levels.code[i]);
    LRC_TRY(lrc_check_array(args->packed, "quantize: packed", (n + 1) / 2, err));
    return lrc_check_array(args->absmax, "quantize: absmax", (n + block - 1) / block, err);
}
