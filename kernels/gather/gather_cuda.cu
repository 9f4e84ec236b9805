#include "common/copy_rows.cuh"

LRC_CUDA_OP(gather_forward)(struct lrc_stream *stream, const struct lrc_gather_forward_args *args,
                            struct lrc_error *err)
{
    const int64_t             n_rows = args->out.shape[0], n_cols = args->out.shape[1];
    const struct lrc_row_copy copy = { lrc_vec_view_of(&args->out, n_rows),
                                       lrc_vec_view_of(&args->x, args->x.shape[0]), args->index,
                                       LRC_COPY_ROWS_PICK_IN, lrc_vec_tiles_of(n_rows, n_cols) };
    return lrc_copy_rows(stream, "gather_forward", &copy, err);
}

static __global__ void __launch_bounds__(LRC_VEC_THREADS)
    gather_zero_kernel(struct lrc_vec_view d_x, struct lrc_vec_tiles tiles)
{
    const struct lrc_vec_place at = lrc_vec_place_of(tiles);
    const float                zero[LRC_VEC_GROUP] = { 0 };
    if (at.col < at.n_cols)
        lrc_vec_store(d_x, at, zero);
}

/* Two passes: picked rows are written twice, but a row need not find out whether it is picked, for which
 * indices in no order would have to be searched. A memset would not leave out what lies between strided rows.
 */
LRC_CUDA_OP(gather_backward)(struct lrc_stream *stream, const struct lrc_gather_backward_args *args,
                             struct lrc_error *err)
{
    const struct lrc_tensor *const all[] = { &args->d_x };
    const struct lrc_vec_tiles     whole = lrc_vec_tiles_same(all, 1);
    const int64_t                  n_rows = args->d_out.shape[0], n_cols = args->d_out.shape[1];
    if (whole.n_rows == 0 || whole.n_cols == 0)
        return LRC_STATUS_OK;
    LRC_LAUNCH(gather_zero_kernel, lrc_vec_grid(whole.n_rows * whole.n_chunks), LRC_VEC_THREADS, 0, stream,
               lrc_vec_view_of(&args->d_x, whole.n_rows), whole);
    LRC_TRY(LRC_CUDA_LAUNCHED(err, "gather_backward: zero of (%lld, %lld)", (long long)args->d_x.shape[0],
                              (long long)n_cols));
    const struct lrc_row_copy copy = { lrc_vec_view_of(&args->d_x, args->d_x.shape[0]),
                                       lrc_vec_view_of(&args->d_out, n_rows), args->index,
                                       LRC_COPY_ROWS_PICK_OUT, lrc_vec_tiles_of(n_rows, n_cols) };
    return lrc_copy_rows(stream, "gather_backward", &copy, err);
}
