#include "backend.h"

#include "common/check.h"

#include <inttypes.h>

enum lrc_status lrc_embedding_forward_check(const struct lrc_embedding_forward_args *args,
                                            struct lrc_error                        *err)
{
    const struct lrc_weight *weight = args->weight;
    if (!weight)
        return lrc_fail(err, LRC_STATUS_SHAPE, "embedding_forward: weight: want a weight handle, got NULL");
    if (weight->type != LRC_BLOCK_DENSE)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "embedding_forward: weight: want a dense weight, got block type %d",
                        (int)weight->type);
    if (weight->room != 0)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "embedding_forward: weight: want a contiguous matrix, got room of %" PRId64,
                        weight->room);
    const struct lrc_tensor view =
        lrc_tensor_2d((void *)(uintptr_t)weight->data, weight->dtype, weight->rows, weight->cols);
    const int64_t n_tokens = args->out.shape[0];
    LRC_TRY(lrc_check_tensor(&view, "embedding_forward: weight",
                             LRC_CHECK_2D(LRC_CHECK_FLOAT, LRC_CHECK_ANY, LRC_CHECK_ANY), err));
    LRC_TRY(lrc_check_tensor(&args->out, "embedding_forward: out",
                             LRC_CHECK_2D(LRC_CHECK_ACTIVATION, LRC_CHECK_ANY, weight->cols), err));
    return lrc_check_array(args->tokens, "embedding_forward: tokens", n_tokens, err);
}

enum lrc_status lrc_embedding_backward_check(const struct lrc_embedding_backward_args *args,
                                             struct lrc_error                         *err)
{
    const int64_t n_tokens = args->d_out.shape[0], dim = args->d_out.shape[1];
    LRC_TRY(lrc_check_tensor(&args->d_out, "embedding_backward: d_out",
                             LRC_CHECK_2D(LRC_CHECK_ACTIVATION, n_tokens, dim), err));
    LRC_TRY(lrc_check_tensor(&args->d_weight, "embedding_backward: d_weight",
                             LRC_CHECK_2D(LRC_CHECK_F32, LRC_CHECK_ANY, dim), err));
    return lrc_check_array(args->tokens, "embedding_backward: tokens", n_tokens, err);
}
