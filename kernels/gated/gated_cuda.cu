#include "common/vec_cuda.cuh"

struct gated_forward_views {
    struct lrc_vec_view gate, up, out;
};

static __global__ void __launch_bounds__(LRC_VEC_THREADS)
    gated_forward_kernel(struct gated_forward_views v, struct lrc_vec_tiles tiles)
{
    const struct lrc_vec_place at = lrc_vec_place_of(tiles);
    if (at.col >= at.n_cols)
        return;
    const struct lrc_vec_raw raw_gate = lrc_vec_fetch(v.gate, at), raw_up = lrc_vec_fetch(v.up, at);
    float                    gate[LRC_VEC_GROUP], up[LRC_VEC_GROUP];
    lrc_vec_widen(gate, raw_gate, v.gate.dtype);
    lrc_vec_widen(up, raw_up, v.up.dtype);
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++)
        up[i] = gate[i] * lrc_vec_sigmoid(gate[i]) * up[i];
    lrc_vec_store(v.out, at, up);
}

LRC_CUDA_OP(gated_forward)(struct lrc_stream *stream, const struct lrc_gated_forward_args *args,
                           struct lrc_error *err)
{
    const struct lrc_tensor *const all[] = { &args->gate, &args->up, &args->out };
    const struct lrc_vec_tiles     tiles = lrc_vec_tiles_same(all, 3);
    if (tiles.n_rows == 0 || tiles.n_cols == 0)
        return LRC_STATUS_OK;
    const struct gated_forward_views views = { lrc_vec_view_of(&args->gate, tiles.n_rows),
                                               lrc_vec_view_of(&args->up, tiles.n_rows),
                                               lrc_vec_view_of(&args->out, tiles.n_rows) };
    LRC_LAUNCH(gated_forward_kernel, lrc_vec_grid(tiles.n_rows * tiles.n_chunks), LRC_VEC_THREADS, 0, stream,
               views, tiles);
    return LRC_CUDA_LAUNCHED(err, "gated_forward: (%lld, %lld)", (long long)args->gate.shape[0],
                             (long long)args->gate.shape[1]);
}

struct gated_backward_views {
    struct lrc_vec_view d_out, gate, up, d_gate, d_up;
};

static __global__ void __launch_bounds__(LRC_VEC_THREADS)
    gated_backward_kernel(struct gated_backward_views v, struct lrc_vec_tiles tiles)
{
    const struct lrc_vec_place at = lrc_vec_place_of(tiles);
    if (at.col >= at.n_cols)
        return;
    const struct lrc_vec_raw raw_gate = lrc_vec_fetch(v.gate, at), raw_up = lrc_vec_fetch(v.up, at);
    const struct lrc_vec_raw raw_d_out = lrc_vec_fetch(v.d_out, at);
    float                    gate[LRC_VEC_GROUP], up[LRC_VEC_GROUP], d_out[LRC_VEC_GROUP];
    lrc_vec_widen(gate, raw_gate, v.gate.dtype);
    lrc_vec_widen(up, raw_up, v.up.dtype);
    lrc_vec_widen(d_out, raw_d_out, v.d_out.dtype);
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++) {
        const float x = gate[i], y = up[i], d = d_out[i], sigmoid = lrc_vec_sigmoid(x);
        gate[i] = d * y * (sigmoid * (1.0f + x * (1.0f - sigmoid)));
        up[i] = d * (x * sigmoid);
    }
    lrc_vec_store(v.d_gate, at, gate);
    lrc_vec_store(v.d_up, at, up);
}

LRC_CUDA_OP(gated_backward)(struct lrc_stream *stream, const struct lrc_gated_backward_args *args,
                            struct lrc_error *err)
{
    const struct lrc_tensor *const all[] = { &args->gate, &args->up, &args->d_out, &args->d_gate,
                                             &args->d_up };
    const struct lrc_vec_tiles     tiles = lrc_vec_tiles_same(all, 5);
    if (tiles.n_rows == 0 || tiles.n_cols == 0)
        return LRC_STATUS_OK;
    const struct gated_backward_views views = { lrc_vec_view_of(&args->d_out, tiles.n_rows),
                                                lrc_vec_view_of(&args->gate, tiles.n_rows),
                                                lrc_vec_view_of(&args->up, tiles.n_rows),
                                                lrc_vec_view_of(&args->d_gate, tiles.n_rows),
                                                lrc_vec_view_of(&args->d_up, tiles.n_rows) };
    LRC_LAUNCH(gated_backward_kernel, lrc_vec_grid(tiles.n_rows * tiles.n_chunks), LRC_VEC_THREADS, 0, stream,
               views, tiles);
    return LRC_CUDA_LAUNCHED(err, "gated_backward: (%lld, %lld)", (long long)args->gate.shape[0],
                             (long long)args->gate.shape[1]);
}
