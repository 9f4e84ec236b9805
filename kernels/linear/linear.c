#include "backend.h"
#include "common/check.h"
#include "common/check_weight.h"
#include "linear/linear_cpu_layout.h"
#include "linear/linear_layout.h"

#include <inttypes.h>

int64_t lrc_linear__panel(int64_t k, enum lrc_dtype compute)
{
    const int64_t fits =
        LRC_LINEAR_PANEL_BYTES / (lrc_linear__clamp(k, 1, INT32_MAX) * (int64_t)lrc_dtype_bytes(compute));
    return lrc_linear__clamp(fits / 64 * 64, LRC_LINEAR_PANEL_MIN, LRC_LINEAR_PANEL_MAX);
}

int64_t lrc_linear__chunk(int64_t n_cols, enum lrc_dtype compute)
{
    const int64_t fits = LRC_LINEAR_PANEL_BYTES /
                         (lrc_linear__clamp(n_cols, 1, INT32_MAX) * (int64_t)lrc_dtype_bytes(compute));
    return lrc_linear__clamp(fits / 64 * 64, LRC_LINEAR_CHUNK_MIN, LRC_LINEAR_CHUNK_MAX);
}

struct lrc_linear_layout lrc_linear__layout(int64_t n_rows, int64_t in, int64_t out, int64_t rank,
                                            enum lrc_dtype compute)
{
    const size_t             bytes = lrc_dtype_bytes(compute);
    const int64_t            forward = in * lrc_linear__clamp(lrc_linear__panel(in, compute), 0, out);
    const int64_t            backward = out * lrc_linear__clamp(lrc_linear__panel(out, compute), 0, in);
    const int64_t            rows_in = in * lrc_linear__clamp(lrc_linear__chunk(in, compute), 0, n_rows);
    const int64_t            rows_out = out * lrc_linear__clamp(lrc_linear__chunk(out, compute), 0, n_rows);
    const int64_t            tile_rows = lrc_linear__clamp(n_rows, 0, LRC_LINEAR_CHUNK_MAX);
    struct lrc_linear_layout layout = { 0 };
    layout.panel = lrc_linear__take(&layout.total, 1, forward > backward ? forward : backward, bytes);
    layout.rows = lrc_linear__take(&layout.total, 1, rows_in > rows_out ? rows_in : rows_out, bytes);
    layout.tile = lrc_linear__take(&layout.total, tile_rows, LRC_LINEAR_PANEL_MAX, sizeof(float));
    layout.masked =
        lrc_linear__take(&layout.total, rank > 0 ? tile_rows : 0, LRC_LINEAR_PANEL_MAX, sizeof(float));
    layout.a = lrc_linear__take(&layout.total, rank, in, bytes);
    layout.b = lrc_linear__take(&layout.total, rank, out, bytes);
    layout.low = lrc_linear__take(&layout.total, rank, n_rows, bytes);
    layout.d_u = lrc_linear__take(&layout.total, rank, n_rows, sizeof(float));
    layout.bias = lrc_linear__take(&layout.total, 1, out, sizeof(float));
    return layout;
}

size_t lrc_linear_workspace_bytes(int64_t n_rows, int64_t in, int64_t out, int64_t rank,
                                  enum lrc_dtype activation)
{
    const size_t cpu = lrc_linear__cpu_layout(n_rows, in, out, rank).total;
    const size_t other = lrc_linear__layout(n_rows, in, out, rank, activation).total;
    return cpu > other ? cpu : other;
}

size_t lrc_linear_workspace_wide_bytes(int64_t n_rows, const struct lrc_weight *weight, int64_t rank,
                                       enum lrc_dtype activation)
{
    const int64_t in = weight->cols, out = weight->rows, tail = lrc_linear__tail(rank);
    const int     is_direct = weight->type == LRC_BLOCK_DENSE && weight->dtype == activation;
    size_t        total = lrc_linear_workspace_bytes(n_rows, in, out, rank, activation);
    /* x or d_out beside the adapter's part, where it pays: the narrower one. Without an adapter, d_out
     * alone. */
    (void)lrc_linear__take(&total, n_rows, rank > 0 ? (in < out ? in : out) + tail : out,
                           lrc_dtype_bytes(activation));
    if (!is_direct)
        (void)lrc_linear__take(&total, in + tail, out + tail, lrc_dtype_bytes(activation));
    return total + LRC_LINEAR_GEMM_BYTES;
}

int64_t lrc_linear_room(int64_t rank)
{
    const int64_t step = LRC_LINEAR_ROOM_STEP;
    return rank <= LRC_LINEAR_ROOM_MAX ? (rank + step - 1) / step * step : 0;
}

/* (T, n), and `room` columns behind each row. */
static enum lrc_status check_rows(const struct lrc_tensor *tensor, const char *where, int64_t n_rows,
                                  int64_t n_cols, int64_t room, struct lrc_error *err)
{
    LRC_TRY(lrc_check_tensor(tensor, where, LRC_CHECK_2D(LRC_CHECK_ACTIVATION, n_rows, n_cols), err));
    if (room >= 0 && (tensor->shape[0] <= 1 || room <= tensor->stride[0] - tensor->shape[1]))
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_SHAPE,
                    "%s: want room of 0 to %" PRId64 " columns behind each row, got %" PRId64, where,
                    tensor->stride[0] - tensor->shape[1], room);
}

static enum lrc_status check_matrix(const struct lrc_tensor *tensor, const char *where,
                                    const struct lrc_check_want *want, struct lrc_error *err)
{
    LRC_TRY(lrc_check_tensor(tensor, where, want, err));
    return lrc_check_contiguous(tensor, where, err);
}

static enum lrc_status check_weight(const struct lrc_weight *weight, const char *where, struct lrc_error *err)
{
    LRC_TRY(lrc_check_weight(weight, where, err));
    if (weight->rows < 1 || weight->cols < 1 || weight->rows > INT32_MAX || weight->cols > INT32_MAX)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "%s: want at least 1 row and column and less than 2^31, got %" PRId64 " x %" PRId64,
                        where, weight->rows, weight->cols);
    return LRC_STATUS_OK;
}

static enum lrc_status check_dropout(const struct lrc_dropout *dropout, const char *where, int64_t n_rows,
                                     struct lrc_error *err)
{
    if (dropout->p == 0)
        return LRC_STATUS_OK;
    if (!(dropout->p > 0 && dropout->p < 1))
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want p in [0, 1), got %g", where, (double)dropout->p);
    if (n_rows > 0 && (!dropout->step || !dropout->row_ids || !dropout->positions))
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: want step, row_ids and positions, got NULL", where);
    return LRC_STATUS_OK;
}

static enum lrc_status check_adapter(const struct lrc_linear_adapter *adapter,
                                     const struct lrc_weight *weight, const struct lrc_tensor *u,
                                     int64_t n_rows, struct lrc_error *err)
{
    LRC_TRY(check_matrix(&adapter->a, "linear: adapter a",
                         LRC_CHECK_2D(LRC_CHECK_F32, LRC_CHECK_ANY, weight->cols), err));
    const int64_t rank = adapter->a.shape[0];
    if (rank < 1)
        return lrc_fail(err, LRC_STATUS_SHAPE, "linear: adapter a: want a rank of at least 1, got %" PRId64,
                        rank);
    LRC_TRY(
        check_matrix(&adapter->b, "linear: adapter b", LRC_CHECK_2D(LRC_CHECK_F32, weight->rows, rank), err));
    return check_matrix(u, "linear: u", LRC_CHECK_2D(LRC_CHECK_F32, n_rows, rank), err);
}

static enum lrc_status check_workspace(const void *workspace, size_t got, size_t want, struct lrc_error *err)
{
    if (want > 0 && (!workspace || got < want))
        return lrc_fail(err, LRC_STATUS_SHAPE, "linear: workspace: want %zu bytes, got %zu", want,
                        workspace ? got : (size_t)0);
    if (((uintptr_t)workspace & (sizeof(float) - 1)) != 0)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "linear: workspace: want an address that floats may have, got %p", workspace);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_linear_forward_check(const struct lrc_linear_forward_args *args, struct lrc_error *err)
{
    const struct lrc_weight *weight = args->weight;
    LRC_TRY(check_weight(weight, "linear_forward: weight", err));
    LRC_TRY(check_rows(&args->x, "linear_forward: x", LRC_CHECK_ANY, weight->cols, args->x_room, err));
    const int64_t n_rows = args->x.shape[0];
    LRC_TRY(check_rows(&args->out, "linear_forward: out", n_rows, weight->rows, 0, err));
    if (args->bias.data)
        LRC_TRY(check_matrix(&args->bias, "linear_forward: bias", LRC_CHECK_1D(LRC_CHECK_FLOAT, weight->rows),
                             err));
    if (args->adapter) {
        LRC_TRY(check_adapter(args->adapter, weight, &args->u, n_rows, err));
        LRC_TRY(check_dropout(&args->dropout, "linear_forward: dropout", n_rows, err));
    }
    const int64_t rank = args->adapter ? args->adapter->a.shape[0] : 0;
    return check_workspace(
        args->workspace, args->workspace_bytes,
        lrc_linear_workspace_bytes(n_rows, weight->cols, weight->rows, rank, args->x.dtype), err);
}

static enum lrc_status check_gradients(const struct lrc_linear_backward_args *args, int64_t n_rows,
                                       struct lrc_error *err)
{
    const struct lrc_weight *weight = args->weight;
    if (args->d_x.data) {
        LRC_TRY(check_rows(&args->d_x, "linear_backward: d_x", n_rows, weight->cols, 0, err));
        if (args->accumulate == LRC_ACCUMULATE_ADD && args->d_x.dtype != LRC_DTYPE_F32)
            return lrc_fail(err, LRC_STATUS_SHAPE, "linear_backward: d_x: want F32 to add into, got BF16");
    }
    if (args->d_weight.data)
        LRC_TRY(check_matrix(&args->d_weight, "linear_backward: d_weight",
                             LRC_CHECK_2D(LRC_CHECK_F32, weight->rows, weight->cols), err));
    if (args->d_bias.data)
        LRC_TRY(check_matrix(&args->d_bias, "linear_backward: d_bias",
                             LRC_CHECK_1D(LRC_CHECK_F32, weight->rows), err));
    if (!args->adapter)
        return LRC_STATUS_OK;
    const int64_t rank = args->adapter->a.shape[0];
    LRC_TRY(check_matrix(&args->adapter->d_a, "linear_backward: adapter d_a",
                         LRC_CHECK_2D(LRC_CHECK_F32, rank, weight->cols), err));
    return check_matrix(&args->adapter->d_b, "linear_backward: adapter d_b",
                        LRC_CHECK_2D(LRC_CHECK_F32, weight->rows, rank), err);
}

enum lrc_status lrc_linear_backward_check(const struct lrc_linear_backward_args *args, struct lrc_error *err)
{
    const struct lrc_weight *weight = args->weight;
    LRC_TRY(check_weight(weight, "linear_backward: weight", err));
    LRC_TRY(check_rows(&args->x, "linear_backward: x", LRC_CHECK_ANY, weight->cols, 0, err));
    const int64_t n_rows = args->x.shape[0];
    LRC_TRY(check_rows(&args->d_out, "linear_backward: d_out", n_rows, weight->rows, args->d_out_room, err));
    if (args->adapter) {
        LRC_TRY(check_adapter(args->adapter, weight, &args->u, n_rows, err));
        LRC_TRY(check_dropout(&args->dropout, "linear_backward: dropout", n_rows, err));
    }
    LRC_TRY(check_gradients(args, n_rows, err));
    const int64_t rank = args->adapter ? args->adapter->a.shape[0] : 0;
    return check_workspace(
        args->workspace, args->workspace_bytes,
        lrc_linear_workspace_bytes(n_rows, weight->cols, weight->rows, rank, args->x.dtype), err);
}
