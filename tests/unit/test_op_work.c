#include "cli/op_work.h"

#include <criterion/criterion.h>

static float room[4096];

static struct lrc_tensor bf16(int64_t rows, int64_t cols)
{
    return lrc_tensor_2d(room, LRC_DTYPE_BF16, rows, cols);
}

static double forward_pairs(const int32_t *offsets, int64_t n_docs, int64_t n_past, int64_t window)
{
    const struct lrc_attention_forward_args args = {
        .q = lrc_tensor_3d(room, LRC_DTYPE_F32, offsets[n_docs], 3, 8),
        .shape = { .doc_offsets = offsets, .n_docs = n_docs, .n_past = n_past, .window = window },
    };
    return lrc_op_work_attention_forward(&args).flops / (4.0 * 3.0 * 8.0);
}

/* Counted one by one. */
static double pairs_by_hand(const int32_t *offsets, int64_t n_docs, int64_t n_past, int64_t window)
{
    double pairs = 0.0;
    for (int64_t d = 0; d < n_docs; d++)
        for (int64_t i = n_past; i < n_past + offsets[d + 1] - offsets[d]; i++)
            for (int64_t j = 0; j <= i; j++)
                pairs += window == 0 || j > i - window;
    return pairs;
}

Test(op_work, attention_counts_the_pairs_that_are_visible)
{
    static const int32_t docs[] = { 0, 5, 5, 18 }, one[] = { 0, 4 };
    for (int64_t window = 0; window < 20; window++) {
        cr_assert_eq(forward_pairs(docs, 3, 0, window), pairs_by_hand(docs, 3, 0, window), "window %d",
                     (int)window);
        cr_assert_eq(forward_pairs(one, 1, 9, window), pairs_by_hand(one, 1, 9, window), "past, window %d",
                     (int)window);
    }
}

Test(op_work, linear_counts_weight_and_adapter)
{
    const struct lrc_weight         weight = { .rows = 7, .cols = 5 };
    const struct lrc_linear_adapter adapter = { .a = lrc_tensor_2d(room, LRC_DTYPE_F32, 2, 5),
                                                .b = lrc_tensor_2d(room, LRC_DTYPE_F32, 7, 2) };
    struct lrc_linear_forward_args  forward = { .x = bf16(3, 5), .weight = &weight };
    cr_assert_eq(lrc_op_work_linear_forward(&forward).flops, 2 * 3 * 35);
    forward.adapter = &adapter;
    cr_assert_eq(lrc_op_work_linear_forward(&forward).flops, 2 * 3 * (35 + 10 + 14));
    struct lrc_linear_backward_args backward = { .d_out = bf16(3, 7),
                                                 .weight = &weight,
                                                 .adapter = &adapter };
    cr_assert_eq(lrc_op_work_linear_backward(&backward).flops, 4 * 3 * 24, "nothing but the adapter");
    backward.d_x = bf16(3, 5);
    cr_assert_eq(lrc_op_work_linear_backward(&backward).flops, 2 * 3 * 35 + 4 * 3 * 24);
    backward.d_weight = lrc_tensor_2d(room, LRC_DTYPE_F32, 7, 5);
    cr_assert_eq(lrc_op_work_linear_backward(&backward).flops, 4 * 3 * 35 + 4 * 3 * 24);
    cr_assert_eq(lrc_op_work_linear_backward(&backward).bytes, 0);
}

Test(op_work, other_ops_count_what_they_move)
{
    const struct lrc_add_args add = { bf16(3, 4), bf16(3, 4), lrc_tensor_2d(room, LRC_DTYPE_F32, 3, 4) };
    cr_assert_eq(lrc_op_work_add(&add).bytes, 12 * (2 + 2 + 4));
    struct lrc_rmsnorm_backward_args norm = { .d_out = bf16(3, 4),
                                              .x = bf16(3, 4),
                                              .weight = lrc_tensor_1d(room, LRC_DTYPE_BF16, 4),
                                              .rstd = room,
                                              .d_x = bf16(3, 4) };
    cr_assert_eq(lrc_op_work_rmsnorm_backward(&norm).bytes, 3 * 24 + 8 + 12);
    norm.d_residual = bf16(3, 4);
    cr_assert_eq(lrc_op_work_rmsnorm_backward(&norm).bytes, 4 * 24 + 8 + 12);
    const struct lrc_rope_forward_args rope = { .x = lrc_tensor_3d(room, LRC_DTYPE_BF16, 3, 2, 8),
                                                .n_pairs = 3 };
    cr_assert_eq(lrc_op_work_rope_forward(&rope).bytes, 2 * 3 * 2 * 6 * 2 + 3 * (24 + 4));
    const struct lrc_weight          nf4 = { .type = LRC_BLOCK_NF4, .rows = 4, .cols = 64 };
    const struct lrc_dequantize_args dequantize = { &nf4, 0, bf16(4, 64) };
    cr_assert_eq(lrc_op_work_dequantize(&dequantize).bytes, 256 / 2 + 256 * 2);
}
