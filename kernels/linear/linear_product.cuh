/* c = left W' + low right, W' = Wᵀ or W, of linear_cuda.cu.
 *
 * The adapter's part is added in one of four ways:
 * APPEND one product [left | low] [W' ; right]: rounded once, no further pass over c. left is copied,
 * unless
 *           it is a copy already, and W' dequantized beside `right`, or copied
 *   BEFORE  low right goes to c, rounded, and the large product adds to it
 *   AFTER   the large product's float32 sums are in c or in a tile, and low right is added to them
 *   NONE    no adapter
 * Dropout masks the adapter's part alone and a bias is added to float32 sums: both need AFTER. */
#ifndef LRC_LINEAR_PRODUCT_CUH
#define LRC_LINEAR_PRODUCT_CUH

#include "linear/linear_rows.cuh"
#include "dequantize/dequantize_cuda.h"

constexpr int64_t WIDTH_STEP = 64; /* columns of a window, but for the last ones of a result */

enum linear_form { LINEAR_NONE, LINEAR_APPEND, LINEAR_BEFORE, LINEAR_AFTER };

/* What is left of the workspace beside the small factors: the more, the wider the windows. */
struct linear_room {
    unsigned char       *memory;
    size_t               size_bytes;
    struct lrc_gemm_room gemm;
};

struct linear_product {
    struct lrc_stream       *stream;
    enum lrc_dtype           compute;
    linear_rows              left;      /* (m,k) */
    int64_t                  left_tail; /* columns behind each row of a direct left, for APPEND */
    const struct lrc_weight *weight;
    bool                     transposed; /* W', (k,n), is Wᵀ */
    linear_factor            low;        /* (m,rank); data NULL: no low-rank part */
    int64_t                  rank;
    linear_factor            right; /* (rank,n), or (n,rank) when `transposed` */

    const struct lrc_dropout *dropout; /* masks the low-rank part; NULL: none */
    struct lrc_tensor         bias;    /* (n); data NULL: none */
    struct lrc_tensor         c;       /* (m,n) */
    enum lrc_gemm_mode        mode;
};

/* How the room is divided, and what goes through it. */
struct linear_plan {
    enum linear_form form;
    bool             weight_direct, left_direct, to_c; /* W and left are used where they lie; sums go to c */
    int64_t          tail;                             /* columns of left and rows of W' that are appended */
    int64_t          width, step;                      /* columns and rows of a window */
    unsigned char   *left, *panel;
    float           *tile, *masked;
};

static size_t left_bytes(const linear_product &p, const linear_plan &plan, int64_t step)
{
    return plan.left_direct
               ? 0
               : aligned((size_t)(step * (p.left.tensor.shape[1] + plan.tail)) * lrc_dtype_bytes(p.compute));
}

static size_t panel_bytes(const linear_product &p, const linear_plan &plan, int64_t width)
{
    return plan.weight_direct
               ? 0
               : aligned((size_t)(width * (p.left.tensor.shape[1] + plan.tail)) * lrc_dtype_bytes(p.compute));
}

static size_t window_bytes(const linear_product &p, const linear_plan &plan, int64_t width, int64_t step)
{
    const size_t sums = aligned((size_t)(step * width) * sizeof(float));
    return left_bytes(p, plan, step) + panel_bytes(p, plan, width) + (plan.to_c ? 0 : sums) +
           (p.dropout ? sums : 0);
}

static linear_plan plan_of_form(const linear_product &p, enum linear_form form)
{
    const size_t bytes = lrc_dtype_bytes(p.compute);
    const bool   is_appended = form == LINEAR_APPEND;
    linear_plan  plan = {};
    plan.form = form;
    plan.tail = is_appended ? lrc_linear__tail(p.rank) : 0;
    plan.left_direct = rows_are_direct(p.left) && p.left_tail >= plan.tail;
    plan.weight_direct = p.weight->type == LRC_BLOCK_DENSE && p.weight->dtype == p.compute &&
                         ((uintptr_t)p.weight->data & (bytes - 1)) == 0 && p.weight->room >= plan.tail;
    plan.to_c =
        p.c.dtype == LRC_DTYPE_F32 || (p.compute == LRC_DTYPE_BF16 && !p.bias.data && (form != LINEAR_AFTER));
    return plan;
}

/* Bytes that a form moves beside the product itself; what is copied is read and written. */
static double bytes_of_form(const linear_product &p, const linear_plan &plan)
{
    const double m = (double)p.c.shape[0], n = (double)p.c.shape[1], k = (double)p.left.tensor.shape[1];
    const double bytes = (double)lrc_dtype_bytes(p.compute);
    if (plan.form != LINEAR_APPEND)
        return 2 * m * n * (double)lrc_dtype_bytes(p.c.dtype);
    const bool weight_lies = plan_of_form(p, LINEAR_AFTER).weight_direct && !plan.weight_direct;
    const bool left_lies = rows_are_direct(p.left) && !plan.left_direct;
    return (left_lies ? 2 * m * k * bytes : 0) + (weight_lies ? 2 * n * k * bytes : 0);
}

static linear_plan plan_choose(const linear_product &p, const linear_room &room)
{
    if (!p.low.data)
        return plan_of_form(p, LINEAR_NONE);
    const bool is_narrow = p.compute == LRC_DTYPE_BF16 && p.c.dtype == LRC_DTYPE_BF16;
    if (p.dropout || p.bias.data)
        return plan_of_form(p, LINEAR_AFTER);
    const linear_plan appended = plan_of_form(p, LINEAR_APPEND),
                      apart = plan_of_form(p, is_narrow ? LINEAR_BEFORE : LINEAR_AFTER);
    const bool fits = window_bytes(p, appended, p.c.shape[1], p.c.shape[0]) <= room.size_bytes;
    return fits && bytes_of_form(p, appended) < bytes_of_form(p, apart) ? appended : apart;
}

/* Everything at once where that fits; else as many columns as fit with a chunk of rows, then as many rows as
 * fit. lrc_linear__layout() has room for one window of lrc_linear__panel() columns. */
static linear_plan plan_make(const linear_product &p, const linear_room &room)
{
    const int64_t m = p.c.shape[0], n = p.c.shape[1], k = p.left.tensor.shape[1];
    linear_plan   plan = plan_choose(p, room);
    plan.width = n;
    plan.step = m;
    if (window_bytes(p, plan, n, m) > room.size_bytes) {
        plan.step =
            min64(m, plan.left_direct ? (int64_t)LRC_LINEAR_CHUNK_MAX : lrc_linear__chunk(k, p.compute));
        plan.width = min64(n, lrc_linear__panel(k, p.compute));
        while (plan.width < n &&
               window_bytes(p, plan, min64(n, plan.width + WIDTH_STEP), plan.step) <= room.size_bytes)
            plan.width = min64(n, plan.width + WIDTH_STEP);
        while (plan.step < m && window_bytes(p, plan, plan.width, min64(m, 2 * plan.step)) <= room.size_bytes)
            plan.step = min64(m, 2 * plan.step);
    }
    plan.left = room.memory;
    plan.panel = plan.left + left_bytes(p, plan, plan.step);
    plan.tile = reinterpret_cast<float *>(plan.panel + panel_bytes(p, plan, plan.width));
    plan.masked = plan.to_c
                      ? plan.tile
                      : plan.tile + aligned((size_t)(plan.step * plan.width) * sizeof(float)) / sizeof(float);
    return plan;
}

static int64_t right_stride(const linear_product &p)
{
    return p.transposed ? p.rank : p.c.shape[1];
}

/* `right` behind W' at `panel`, as rows of W' or, transposed, as columns of what is stored. */
static enum lrc_status panel_append(const linear_product &p, const linear_plan &plan, int64_t col, int64_t n,
                                    const struct lrc_gemm_operand &panel, struct lrc_error *err)
{
    const size_t       bytes = lrc_dtype_bytes(p.compute);
    const int64_t      k = p.left.tensor.shape[1];
    struct linear_part part = {};
    part.dtype = p.compute;
    part.from_dtype = p.right.dtype;
    part.scale = p.right.scale;
    part.from_stride = right_stride(p);
    part.from = static_cast<const unsigned char *>(p.right.data) +
                (size_t)(p.transposed ? col * p.rank : col) * lrc_dtype_bytes(p.right.dtype);

    part.to = static_cast<unsigned char *>(const_cast<void *>(panel.data)) +
              (size_t)(p.transposed ? k : k * panel.stride) * bytes;
    part.to_stride = panel.stride;
    if (p.transposed) {
        part.n_rows = part.rows_there = n;
        part.n_cols = plan.tail;
        part.cols_there = p.rank;
    } else {
        part.n_cols = part.cols_there = n;
        part.n_rows = plan.tail;
        part.rows_there = p.rank;
    }
    return part_copy(p.stream, part, err);
}

/* Columns [col, col + n) of W' as an operand, through the panel unless W can be used where it lies. */
static enum lrc_status weight_panel(const linear_product &p, const linear_plan &plan, int64_t col, int64_t n,
                                    struct lrc_gemm_operand *operand, struct lrc_error *err)
{
    const struct lrc_weight *weight = p.weight;
    const int64_t            from_stride = lrc_weight_stride(weight);
    const int64_t            first = p.transposed ? col * from_stride : col;
    if (plan.weight_direct) {
        *operand = { static_cast<const unsigned char *>(weight->data) +
                         (size_t)first * lrc_dtype_bytes(p.compute),
                     from_stride, p.transposed };
    } else {
        const int64_t                    stride = p.transposed ? weight->cols + plan.tail : n;
        const struct lrc_dequantize_part part = { first, from_stride, p.transposed ? n : weight->rows,
                                                  p.transposed ? weight->cols : n, stride };
        *operand = { plan.panel, stride, p.transposed };
        LRC_TRY(lrc_dequantize__cuda(p.stream, plan.panel, p.compute, weight, &part, err));
    }
    return plan.tail > 0 ? panel_append(p, plan, col, n, *operand, err) : LRC_STATUS_OK;
}

/* Rows [first, first + n) of left, with low behind them when it is appended. */
static enum lrc_status left_get(const linear_product &p, const linear_plan &plan, int64_t first, int64_t n,
                                struct lrc_gemm_operand *operand, struct lrc_error *err)
{
    const int64_t k = p.left.tensor.shape[1];
    if (plan.left_direct)
        LRC_TRY(rows_get(p.left, first, n, operand, err));
    else {
        *operand = { plan.left, k + plan.tail, 0 };
        LRC_TRY(rows_copy(p.left, first, n, plan.left, k + plan.tail, err));
    }
    if (plan.tail == 0)
        return LRC_STATUS_OK;
    struct linear_part part = {};
    const size_t       bytes = lrc_dtype_bytes(p.compute);
    part.dtype = p.compute;
    part.to = static_cast<unsigned char *>(const_cast<void *>(operand->data)) + (size_t)k * bytes;
    part.to_stride = operand->stride;
    part.from_dtype = p.low.dtype;
    part.scale = p.low.scale;
    part.from = static_cast<const unsigned char *>(p.low.data) +
                (size_t)(first * p.rank) * lrc_dtype_bytes(p.low.dtype);

    part.from_stride = part.cols_there = p.rank;
    part.n_rows = part.rows_there = n;
    part.n_cols = plan.tail;
    return part_copy(p.stream, part, err);
}

/* c (n_rows, n_cols) of the window, or the tile, = or += low right */
static enum lrc_status low_rank(const linear_product &p, const linear_window &window, struct lrc_gemm gemm,
                                const linear_room &room, struct lrc_error *err)
{
    const size_t  bytes = lrc_dtype_bytes(p.compute);
    const int64_t first = p.transposed ? window.col * p.rank : window.col;

    gemm.m = window.n_rows;
    gemm.n = window.n_cols;
    gemm.k = p.rank;
    gemm.a = { static_cast<const unsigned char *>(p.low.data) + (size_t)(window.row * p.rank) * bytes, p.rank,
               0 };
    gemm.b = { static_cast<const unsigned char *>(p.right.data) + (size_t)first * bytes, right_stride(p),
               p.transposed };

    gemm.dtype = p.compute;
    return lrc_gemm_cuda(p.stream, &gemm, &room.gemm, err);
}

/* sums += low right, masked if the product has dropout */
static enum lrc_status low_rank_after(const linear_product &p, const linear_plan &plan,
                                      const linear_window &window, const linear_room &room,
                                      struct lrc_error *err)
{
    struct lrc_gemm gemm = {};
    gemm.c = p.dropout ? plan.masked : window.sums;
    gemm.c_stride = p.dropout ? window.n_cols : window.stride;
    gemm.c_dtype = LRC_DTYPE_F32;
    gemm.mode = p.dropout ? LRC_GEMM_SET : LRC_GEMM_ADD;
    LRC_TRY(low_rank(p, window, gemm, room, err));
    if (!p.dropout)
        return LRC_STATUS_OK;
    LRC_LAUNCH(linear_mask_kernel, grid_of(window.n_rows, lrc_cuda_blocks(window.n_cols, 4)), THREADS, 0,
               p.stream, window, plan.masked, *p.dropout);
    return LRC_CUDA_LAUNCHED(err, "linear: mask (%lld, %lld)", (long long)window.n_rows,
                             (long long)window.n_cols);
}

static enum lrc_status product_window(const linear_product &p, const linear_plan &plan, linear_window window,
                                      const struct lrc_gemm_operand &panel, const linear_room &room,
                                      struct lrc_error *err)
{
    const int64_t   stride = p.c.stride[0];
    struct lrc_gemm gemm = {};
    gemm.m = window.n_rows;
    gemm.n = window.n_cols;
    gemm.k = p.left.tensor.shape[1] + plan.tail;
    gemm.b = panel;
    gemm.c = plan.to_c ? static_cast<unsigned char *>(p.c.data) +
                             (size_t)(window.row * stride + window.col) * lrc_dtype_bytes(p.c.dtype)
                       : reinterpret_cast<unsigned char *>(plan.tile);
    gemm.c_stride = plan.to_c ? stride : window.n_cols;
    gemm.dtype = p.compute;
    gemm.c_dtype = plan.to_c ? p.c.dtype : LRC_DTYPE_F32;
    gemm.mode = plan.to_c ? p.mode : LRC_GEMM_SET;
    LRC_TRY(left_get(p, plan, window.row, window.n_rows, &gemm.a, err));
    if (plan.form == LINEAR_BEFORE) {
        LRC_TRY(low_rank(p, window, gemm, room, err));
        gemm.mode = LRC_GEMM_ADD;
    }
    LRC_TRY(lrc_gemm_cuda(p.stream, &gemm, &room.gemm, err));
    window.sums = static_cast<float *>(gemm.c);
    window.stride = gemm.c_stride;
    if (plan.form == LINEAR_AFTER)
        LRC_TRY(low_rank_after(p, plan, window, room, err));
    if (plan.to_c && !p.bias.data)
        return LRC_STATUS_OK;
    const int adds = !plan.to_c && p.mode == LRC_GEMM_ADD;
    LRC_LAUNCH(linear_finish_kernel, grid_of(window.n_rows, window.n_cols), THREADS, 0, p.stream, window, p.c,
               p.bias, adds);
    return LRC_CUDA_LAUNCHED(err, "linear: finish (%lld, %lld)", (long long)window.n_rows,
                             (long long)window.n_cols);
}

static enum lrc_status product_run(linear_product p, const linear_room &room, struct lrc_error *err)
{
    const int64_t     m = p.c.shape[0], n = p.c.shape[1];
    const linear_plan plan = plan_make(p, room);
    if (plan.form == LINEAR_BEFORE || plan.form == LINEAR_AFTER) { /* appending rounds on the way */
        LRC_TRY(factor_round(p.stream, &p.low, p.compute, err));
        LRC_TRY(factor_round(p.stream, &p.right, p.compute, err));
    }

    for (int64_t col = 0; col < n; col += plan.width) {
        const int64_t           n_cols = min64(plan.width, n - col);
        struct lrc_gemm_operand panel;
        LRC_TRY(weight_panel(p, plan, col, n_cols, &panel, err));
        for (int64_t row = 0; row < m; row += plan.step) {
            const linear_window window = { row, min64(plan.step, m - row), col, n_cols, nullptr, 0 };
            LRC_TRY(product_window(p, plan, window, panel, room, err));
        }
    }
    return LRC_STATUS_OK;
}

#endif
