#include "common/vec_cuda.cuh"
#include "rope/rope_rotate.h"

struct rope_rotation {
    struct lrc_vec_view x;           /* row: a token; heads by head_stride */
    int64_t             head_stride; /* in elements */
    int64_t             n_heads, n_pairs;
    const int32_t      *positions;
    struct lrc_vec_view cosine, sine; /* (n_positions, P) */
    float               direction;    /* factor of every sine */
};

/* Pairs at.col .. + 8 of one head: `low` its first element, `high` the partner. */
static __device__ __forceinline__ void rotate_group(const struct rope_rotation &r, struct lrc_vec_place low,
                                                    struct lrc_vec_place table, int64_t first)
{
    struct lrc_vec_place high = low;
    low.col = first + table.col; /* columns of a token's row; the end moves along */
    low.n_cols = first + r.n_pairs;
    high.col = low.col + r.n_pairs;
    high.n_cols = low.n_cols + r.n_pairs;
    const struct lrc_vec_raw raw_low = lrc_vec_fetch(r.x, low), raw_high = lrc_vec_fetch(r.x, high);
    float                    c[LRC_VEC_GROUP], s[LRC_VEC_GROUP], a[LRC_VEC_GROUP], b[LRC_VEC_GROUP];
    lrc_vec_load(c, r.cosine, table);
    lrc_vec_load(s, r.sine, table);
    lrc_vec_widen(a, raw_low, r.x.dtype);
    lrc_vec_widen(b, raw_high, r.x.dtype);
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++) {
        const float x = a[i], y = b[i], sine = r.direction * s[i];
        a[i] = x * c[i] - y * sine;
        b[i] = y * c[i] + x * sine;
    }
    lrc_vec_store(r.x, low, a);
    lrc_vec_store(r.x, high, b);
}

/* A block per token, threads (group of pairs, head): the token's cosines are read once a head from the
 * first-level cache. */
static __global__ void __launch_bounds__(LRC_VEC_THREADS) rope_kernel(struct rope_rotation r)
{
    const int64_t t = blockIdx.x, position = r.positions[t];
    for (int64_t h = threadIdx.y; h < r.n_heads; h += blockDim.y)
        for (int64_t i = (int64_t)threadIdx.x * LRC_VEC_GROUP; i < r.n_pairs;
             i += (int64_t)blockDim.x * LRC_VEC_GROUP)
            rotate_group(r, { t, 0, 0 }, { position, i, r.n_pairs }, h * r.head_stride);
}

static struct lrc_vec_view table_view(const float *table, int64_t n_positions, int64_t n_pairs)
{
    const struct lrc_tensor tensor = {
        const_cast<float *>(table), LRC_DTYPE_F32, 2, { n_positions, n_pairs, 0, 0 }, { n_pairs, 1, 0, 0 }
    };
    return lrc_vec_view_of(&tensor, n_positions);
}

/* Threads to a head: a power of two, at most a warp, so that blocks are whole warps when there are heads
 * enough. */
static dim3 block_of(int64_t n_heads, int64_t n_pairs)
{
    unsigned groups = 1, heads = 1;
    while (groups < LRC_CUDA_LANES && (int64_t)groups * LRC_VEC_GROUP < n_pairs)
        groups *= 2;
    while (heads * groups < LRC_VEC_THREADS && (int64_t)heads < n_heads)
        heads *= 2;
    return dim3(groups, heads);
}

static enum lrc_status rotate(struct lrc_stream *stream, const char *entry,
                              const struct lrc_rope_rotation &rotation, struct lrc_error *err)
{
    const struct lrc_tensor *x = rotation.x;
    const int64_t            n_tokens = x->shape[0], n_heads = x->shape[1], n_pairs = rotation.n_pairs;
    if (n_tokens == 0 || n_heads == 0 || n_pairs == 0)
        return LRC_STATUS_OK;
    struct rope_rotation    r = {};
    const struct lrc_tensor rows = { x->data, x->dtype, 2, { n_tokens, 1, 0, 0 }, { x->stride[0], 1, 0, 0 } };
    const int64_t           elem_bytes = x->dtype == LRC_DTYPE_F32 ? 4 : 2;
    r.x = lrc_vec_view_of(&rows, n_tokens);
    if (n_pairs * elem_bytes % 16 != 0 || (n_heads > 1 && x->stride[1] * elem_bytes % 16 != 0))
        r.x.is_aligned = 0; /* a head or its second half does not begin on 16 bytes */
    r.head_stride = x->stride[1];
    r.n_heads = n_heads;
    r.n_pairs = n_pairs;
    r.positions = rotation.positions;
    r.cosine = table_view(rotation.cos_table, rotation.n_positions, n_pairs);
    r.sine = table_view(rotation.sin_table, rotation.n_positions, n_pairs);
    r.direction = rotation.direction;
    LRC_LAUNCH(rope_kernel, lrc_vec_grid(n_tokens), block_of(n_heads, n_pairs), 0, stream, r);
    return LRC_CUDA_LAUNCHED(err, "%s: (%lld, %lld, %lld)", entry, (long long)n_tokens, (long long)n_heads,
                             (long long)x->shape[2]);
}

LRC_CUDA_OP(rope_forward)(struct lrc_stream *stream, const struct lrc_rope_forward_args *args,
                          struct lrc_error *err)
{
    return rotate(stream, "rope_forward",
                  { &args->x, args->cos_table, args->sin_table, args->positions, args->n_positions,
                    args->n_pairs, 1.0f },
                  err);
}

LRC_CUDA_OP(rope_backward)(struct lrc_stream *stream, const struct lrc_rope_backward_args *args,
                           struct lrc_error *err)
{
    return rotate(stream, "rope_backward",
                  { &args->d_x, args->cos_table, args->sin_table, args->positions, args->n_positions,
                    args->n_pairs, -1.0f },
                  err);
}
