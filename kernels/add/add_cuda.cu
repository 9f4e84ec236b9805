#include "common/vec_cuda.cuh"

static __global__ void __launch_bounds__(LRC_VEC_THREADS)
    add_kernel(struct lrc_vec_view a, struct lrc_vec_view b, struct lrc_vec_view out,
               struct lrc_vec_tiles tiles)
{
    const struct lrc_vec_place at = lrc_vec_place_of(tiles);
    if (at.col >= at.n_cols)
        return;
    const struct lrc_vec_raw raw_a = lrc_vec_fetch(a, at), raw_b = lrc_vec_fetch(b, at);
    float                    sum[LRC_VEC_GROUP], other[LRC_VEC_GROUP];
    lrc_vec_widen(sum, raw_a, a.dtype);
    lrc_vec_widen(other, raw_b, b.dtype);
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++)
        sum[i] += other[i];
    lrc_vec_store(out, at, sum);
}

LRC_CUDA_OP(add)(struct lrc_stream *stream, const struct lrc_add_args *args, struct lrc_error *err)
{
    const struct lrc_tensor *const all[] = { &args->a, &args->b, &args->out };
    const struct lrc_vec_tiles     tiles = lrc_vec_tiles_same(all, 3);
    if (tiles.n_rows == 0 || tiles.n_cols == 0)
        return LRC_STATUS_OK;
    LRC_LAUNCH(add_kernel, lrc_vec_grid(tiles.n_rows * tiles.n_chunks), LRC_VEC_THREADS, 0, stream,
               lrc_vec_view_of(&args->a, tiles.n_rows), lrc_vec_view_of(&args->b, tiles.n_rows),
               lrc_vec_view_of(&args->out, tiles.n_rows), tiles);
    return LRC_CUDA_LAUNCHED(err, "add: (%lld, %lld)", (long long)args->out.shape[0],
                             (long long)args->out.shape[1]);
}
