/* Rows copied by index, from any float type to an activation type: gather and embedding.
 *
 *   out[n,:] = in[index[n],:]    (index on the side that picks)    or    out[index[n],:] = in[n,:]
 *
 * Index -1 is no row: zeros are read there, and nothing is written.
 *
 * Between equal types the bits are copied, NaN payloads too. */
#ifndef LRC_KERNELS_COMMON_COPY_ROWS_CUH
#define LRC_KERNELS_COMMON_COPY_ROWS_CUH

#include "common/vec_cuda.cuh"

enum lrc_copy_rows_side { LRC_COPY_ROWS_PICK_IN, LRC_COPY_ROWS_PICK_OUT };

struct lrc_row_copy {
    struct lrc_vec_view     out;
    struct lrc_vec_view     in;
    const int32_t          *index; /* (n_rows) */
    enum lrc_copy_rows_side side;
    struct lrc_vec_tiles    tiles;
};

static __global__ void __launch_bounds__(LRC_VEC_THREADS) copy_rows_kernel(struct lrc_row_copy c)
{
    struct lrc_vec_place from = lrc_vec_place_of(c.tiles), to = from;
    if (from.col >= from.n_cols)
        return;
    const int64_t picked = c.index[from.row];
    if (picked < 0) {
        const float zero[LRC_VEC_GROUP] = { 0 };
        if (c.side == LRC_COPY_ROWS_PICK_IN)
            lrc_vec_store(c.out, to, zero);
        return;
    }
    if (c.side == LRC_COPY_ROWS_PICK_IN)
        from.row = picked;
    else
        to.row = picked;
    struct lrc_vec_raw raw = lrc_vec_fetch(c.in, from);
    if (c.in.dtype != c.out.dtype) {
        float values[LRC_VEC_GROUP];
        lrc_vec_widen(values, raw, c.in.dtype);
        raw = lrc_vec_narrow(values, c.out.dtype);
    }
    lrc_vec_put(c.out, to, raw);
}

/* index's length is the number of rows on the other side. */
static inline enum lrc_status lrc_copy_rows(struct lrc_stream *stream, const char *entry,
                                            const struct lrc_row_copy *c, struct lrc_error *err)
{
    const int64_t n_rows = c->tiles.n_rows, n_cols = c->tiles.n_cols;
    if (n_rows == 0 || n_cols == 0)
        return LRC_STATUS_OK;
    LRC_LAUNCH(copy_rows_kernel, lrc_vec_grid(n_rows * c->tiles.n_chunks), LRC_VEC_THREADS, 0, stream, *c);
    return LRC_CUDA_LAUNCHED(err, "%s: (%lld, %lld)", entry, (long long)n_rows, (long long)n_cols);
}

#endif
