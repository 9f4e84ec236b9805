#include "linear/linear_product.cuh"
#include "linear/linear_rank.cuh"

/* ---- workspace ---- */

struct linear_scratch {
    unsigned char     *a, *b, *low; /* adapter factors, and scale * u or d_u, in the compute type */
    float             *d_u;
    struct linear_room room;
};

/* The small factors first. Products get memory of their own when there is what
 * lrc_linear_workspace_wide_bytes() asks for. */
static struct linear_scratch scratch_place(void *workspace, size_t workspace_bytes, int64_t n_rows,
                                           const struct lrc_weight *weight, int64_t rank,
                                           enum lrc_dtype compute)
{
    const struct lrc_linear_layout layout =
        lrc_linear__layout(n_rows, weight->cols, weight->rows, rank, compute);
    unsigned char        *base = static_cast<unsigned char *>(workspace), *end = base + workspace_bytes;
    struct linear_scratch scratch = {};
    scratch.a = base;
    scratch.b = scratch.a + (layout.b - layout.a);
    scratch.low = scratch.a + (layout.low - layout.a);
    scratch.d_u = reinterpret_cast<float *>(scratch.a + (layout.d_u - layout.a));
    scratch.room.memory = scratch.a + (layout.bias - layout.a);
    if (workspace_bytes >= lrc_linear_workspace_wide_bytes(n_rows, weight, rank, compute)) {
        end -= (uintptr_t)end % 256;
        scratch.room.gemm.size_bytes = LRC_GEMM_ROOM_BYTES - 256;
        end -= scratch.room.gemm.size_bytes;
        scratch.room.gemm.memory = end;
    }
    scratch.room.size_bytes = (size_t)(end - scratch.room.memory);
    return scratch;
}

static struct linear_rows rows_of(struct lrc_stream *stream, const struct lrc_tensor &tensor,
                                  const struct lrc_dropout *dropout, enum lrc_dtype compute,
                                  const struct linear_room &room)
{
    return { stream, tensor, dropout, compute, room.memory, room.size_bytes };
}

/* ---- products of rank R, and sums over rows ---- */

/* c (m,n) += left (T,m)ᵀ right (T,n): a sum over rows, a chunk of them at a time. */
static enum lrc_status row_product_run(const linear_rows &left, const linear_rows &right, void *c,
                                       const linear_room &room, struct lrc_error *err)
{
    const int64_t n_rows = left.tensor.shape[0], step = min64(rows_chunk(left), rows_chunk(right));
    for (int64_t row = 0; row < n_rows; row += step) {
        struct lrc_gemm gemm = {};
        gemm.m = left.tensor.shape[1];
        gemm.n = right.tensor.shape[1];
        gemm.k = min64(step, n_rows - row);
        LRC_TRY(rows_get(left, row, gemm.k, &gemm.a, err));
        LRC_TRY(rows_get(right, row, gemm.k, &gemm.b, err));
        gemm.a.transposed = 1;
        gemm.c = c;
        gemm.c_stride = gemm.n;
        gemm.dtype = left.compute;
        gemm.c_dtype = LRC_DTYPE_F32;
        gemm.mode = LRC_GEMM_ADD;
        LRC_TRY(lrc_gemm_cuda(left.stream, &gemm, &room.gemm, err));
    }
    return LRC_STATUS_OK;
}

/* c (T,n) = left (T,k) right (k,n), float32. */
static enum lrc_status narrow_product(float *c, const linear_rows &left, struct lrc_gemm_operand right,
                                      int64_t n, const linear_room &room, struct lrc_error *err)
{
    const int64_t n_rows = left.tensor.shape[0], step = rows_chunk(left);
    for (int64_t row = 0; row < n_rows; row += step) {
        struct lrc_gemm gemm = {};
        gemm.m = min64(step, n_rows - row);
        gemm.n = n;
        gemm.k = left.tensor.shape[1];
        LRC_TRY(rows_get(left, row, gemm.m, &gemm.a, err));
        gemm.b = right;
        gemm.c = c + row * n;
        gemm.c_stride = n;
        gemm.dtype = left.compute;
        gemm.c_dtype = LRC_DTYPE_F32;
        gemm.mode = LRC_GEMM_SET;
        LRC_TRY(lrc_gemm_cuda(left.stream, &gemm, &room.gemm, err));
    }
    return LRC_STATUS_OK;
}

/* ---- the entries ---- */

LRC_CUDA_OP(linear_forward)
(struct lrc_stream *stream, const struct lrc_linear_forward_args *args, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const struct lrc_weight         *weight = args->weight;
    const int64_t                    n_rows = args->x.shape[0], rank = adapter ? adapter->a.shape[0] : 0;
    const enum lrc_dtype             compute = args->x.dtype;
    if (n_rows == 0)
        return LRC_STATUS_OK;
    const linear_scratch scratch =
        scratch_place(args->workspace, args->workspace_bytes, n_rows, weight, rank, compute);
    linear_product p = {};
    p.stream = stream;
    p.compute = compute;
    p.left = rows_of(stream, args->x, nullptr, compute, scratch.room);
    p.left_tail = args->x_room;
    p.weight = weight;
    p.transposed = true;
    p.bias = args->bias;
    p.c = args->out;
    p.mode = LRC_GEMM_SET;
    if (adapter) {
        const linear_rows x = rows_of(stream, args->x, dropout_or_null(args->dropout), compute, scratch.room);
        linear_factor     a = factor_of(adapter->a, 1.0f, scratch.a);
        LRC_TRY(factor_round(stream, &a, compute, err));
        LRC_TRY(narrow_product(static_cast<float *>(args->u.data), x, { a.data, weight->cols, 1 }, rank,
                               scratch.room, err));
        p.low = factor_of(args->u, adapter->scale, scratch.low);
        p.rank = rank;
        p.right = factor_of(adapter->b, 1.0f, scratch.b);
    }
    return product_run(p, scratch.room, err);
}

static rank_task rank_task_of(const linear_rows &y, const void *left, enum lrc_dtype left_dtype, float scale,
                              int64_t rank)
{
    rank_task task = {};
    task.y = static_cast<const uint16_t *>(y.tensor.data);
    task.y_stride = y.tensor.stride[0];
    task.n_rows = y.tensor.shape[0];
    task.n_cols = y.tensor.shape[1];
    task.left = left;
    task.left_dtype = left_dtype;
    task.left_scale = scale;
    task.rank = rank;
    return task;
}

/* d_b, and d_u in the compute type into scratch.low, d_out read once. */
static enum lrc_status out_backward_once(const struct lrc_linear_backward_args *args,
                                         const linear_rows &d_out, const linear_scratch &scratch,
                                         float *parts, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const int64_t   n_rows = args->x.shape[0], rank = adapter->a.shape[0], out = args->weight->rows;
    const rank_grid grid = rank_grid_of(n_rows, out, rank, true);
    rank_task       task = rank_task_of(d_out, args->u.data, LRC_DTYPE_F32, adapter->scale, rank);
    task.b = static_cast<const float *>(adapter->b.data);
    task.n_each = grid.n_each;
    task.sums = parts;
    task.d_u = task.sums + grid.x * rank * out;
    LRC_TRY(rank_run(d_out.stream, task, grid, err));
    const rank_parts d_b = {
        task.sums, grid.x, rank, out, adapter->d_b.data, LRC_DTYPE_F32, 1, rank, 1.0f, 1
    };
    const rank_parts d_u = { task.d_u,      grid.y, rank, n_rows,         scratch.low,
                             d_out.compute, 1,      rank, adapter->scale, 0 };
    return rank_finish(d_out.stream, d_b, d_u, err);
}

/* d_a, of d_u in the compute type. */
static enum lrc_status x_backward_once(const struct lrc_linear_backward_args *args, const linear_rows &x,
                                       const linear_scratch &scratch, float *parts, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const int64_t   n_rows = args->x.shape[0], rank = adapter->a.shape[0], in = args->weight->cols;
    const rank_grid grid = rank_grid_of(n_rows, in, rank, false);
    rank_task       task = rank_task_of(x, scratch.low, x.compute, 1.0f, rank);
    task.n_each = grid.n_each;
    task.sums = parts;
    LRC_TRY(rank_run(x.stream, task, grid, err));
    const rank_parts d_a = { task.sums, grid.y, rank, in, adapter->d_a.data, LRC_DTYPE_F32, in, 1, 1.0f, 1 };
    return rank_finish(x.stream, d_a, {}, err);
}

/* The same through the library: any type, rank and place. */
static enum lrc_status out_backward(const struct lrc_linear_backward_args *args, const linear_rows &d_out,
                                    const linear_scratch &scratch, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const int64_t                    rank = adapter->a.shape[0], n_low = args->x.shape[0] * rank;
    const struct lrc_tensor          low = lrc_tensor_2d(scratch.low, d_out.compute, args->x.shape[0], rank);
    const linear_rows low_rows = rows_of(d_out.stream, low, nullptr, d_out.compute, scratch.room);
    linear_factor     b = factor_of(adapter->b, 1.0f, scratch.b);
    LRC_TRY(scale_to(d_out.stream, scratch.low, d_out.compute, args->u.data, n_low, adapter->scale, err));
    LRC_TRY(row_product_run(d_out, low_rows, adapter->d_b.data, scratch.room, err));
    LRC_TRY(factor_round(d_out.stream, &b, d_out.compute, err));
    LRC_TRY(narrow_product(scratch.d_u, d_out, { b.data, rank, 0 }, rank, scratch.room, err));
    return scale_to(d_out.stream, scratch.low, d_out.compute, scratch.d_u, n_low, adapter->scale, err);
}

/* d_b, d_a, and d_u in the compute type into scratch.low. */
static enum lrc_status adapter_backward(struct lrc_stream                     *stream,
                                        const struct lrc_linear_backward_args *args, const linear_rows &d_out,
                                        const linear_scratch &scratch, struct lrc_error *err)
{
    const struct linear_room &room = scratch.room;
    const enum lrc_dtype      compute = args->x.dtype;
    const int64_t             rank = args->adapter->a.shape[0];
    const struct lrc_tensor   low = lrc_tensor_2d(scratch.low, compute, args->x.shape[0], rank);
    const linear_rows         x = rows_of(stream, args->x, dropout_or_null(args->dropout), compute, room);
    float *const              out_parts = rank_place(d_out, rank, true, room);
    float *const              x_parts = rank_place(x, rank, false, room);

    if (out_parts)
        LRC_TRY(out_backward_once(args, d_out, scratch, out_parts, err));
    else
        LRC_TRY(out_backward(args, d_out, scratch, err));
    if (x_parts)
        return x_backward_once(args, x, scratch, x_parts, err);
    return row_product_run(rows_of(stream, low, nullptr, compute, room), x, args->adapter->d_a.data, room,
                           err);
}

static enum lrc_status input_backward(const struct lrc_linear_backward_args *args, const linear_rows &d_out,
                                      int64_t tail, const linear_scratch &scratch, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    linear_product                   p = {};
    p.stream = d_out.stream;
    p.compute = args->x.dtype;
    p.left = d_out;
    p.left_tail = tail;
    p.weight = args->weight;
    p.c = args->d_x;
    p.mode = args->accumulate == LRC_ACCUMULATE_ADD ? LRC_GEMM_ADD : LRC_GEMM_SET;
    if (adapter) {
        p.rank = adapter->a.shape[0];
        p.low = factor_of(lrc_tensor_2d(scratch.low, p.compute, args->x.shape[0], p.rank), 1.0f, nullptr);
        p.right = factor_of(adapter->a, 1.0f, scratch.a);

        p.dropout = dropout_or_null(args->dropout);
    }
    return product_run(p, scratch.room, err);
}

/* d_out in the compute type, once for all products, with room behind each row for what is appended; *tail is
 * that room. Left as it is when it is in that type, or when the workspace is too small. */
static enum lrc_status d_out_prepare(struct lrc_tensor *d_out, int64_t *tail, struct linear_scratch *scratch,
                                     const struct lrc_linear_backward_args *args, const linear_rows &rows,
                                     struct lrc_error *err)
{
    const int64_t rank = args->adapter ? args->adapter->a.shape[0] : 0, n_rows = d_out->shape[0];
    const int64_t stride = d_out->shape[1] + lrc_linear__tail(rank);
    const size_t  bytes = aligned((size_t)(n_rows * stride) * lrc_dtype_bytes(rows.compute));
    const struct lrc_linear_layout layout =
        lrc_linear__layout(n_rows, args->weight->cols, args->weight->rows, rank, rows.compute);
    const size_t least = layout.total - (layout.bias - layout.a); /* for the products' windows */
    *tail = args->d_out_room;
    if (rows_are_direct(rows) || scratch->room.size_bytes < bytes + least)
        return LRC_STATUS_OK;
    LRC_TRY(rows_copy(rows, 0, n_rows, scratch->room.memory, stride, err));
    d_out->data = scratch->room.memory;
    d_out->dtype = rows.compute;
    d_out->stride[0] = stride;
    *tail = lrc_linear__tail(rank);
    scratch->room.memory += bytes;
    scratch->room.size_bytes -= bytes;
    return LRC_STATUS_OK;
}

LRC_CUDA_OP(linear_backward)
(struct lrc_stream *stream, const struct lrc_linear_backward_args *args, struct lrc_error *err)
{
    const struct lrc_weight *weight = args->weight;
    const enum lrc_dtype     compute = args->x.dtype;
    const int64_t            n_rows = args->x.shape[0], rank = args->adapter ? args->adapter->a.shape[0] : 0;
    if (n_rows == 0)
        return LRC_STATUS_OK;
    struct linear_scratch scratch =
        scratch_place(args->workspace, args->workspace_bytes, n_rows, weight, rank, compute);
    struct lrc_tensor rows = args->d_out;
    int64_t           tail = 0;
    LRC_TRY(d_out_prepare(&rows, &tail, &scratch, args, rows_of(stream, rows, nullptr, compute, scratch.room),
                          err));
    const linear_rows d_out = rows_of(stream, rows, nullptr, compute, scratch.room);
    if (args->adapter)
        LRC_TRY(adapter_backward(stream, args, d_out, scratch, err));
    if (args->d_weight.data) {
        const linear_rows x = rows_of(stream, args->x, nullptr, compute, scratch.room);
        LRC_TRY(row_product_run(d_out, x, args->d_weight.data, scratch.room, err));
    }
    if (args->d_x.data)
        LRC_TRY(input_backward(args, d_out, tail, scratch, err));
    if (!args->d_bias.data)
        return LRC_STATUS_OK;
    LRC_LAUNCH(linear_bias_kernel, (unsigned)lrc_cuda_blocks(weight->rows, COLUMNS), dim3(COLUMNS, SLICES), 0,
               stream, static_cast<float *>(args->d_bias.data), args->d_out);
    return LRC_CUDA_LAUNCHED(err, "linear_backward: d_bias (%lld, %lld)", (long long)n_rows,
                             (long long)weight->rows);
}
