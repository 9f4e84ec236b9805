#include "backend.h"

#include "common/vec_cpu.h"
#include "rope/rope_rotate.h"

/* Pairs [first, first + n) of one head: x_low[i] with x_high[i]. */
static void rotate_block(const struct lrc_tensor *low, const struct lrc_tensor *high, const float *cosine,
                         const float *sine, float direction)
{
    LRC_VEC_BUFFER(low_buffer);
    LRC_VEC_BUFFER(high_buffer);
    const struct lrc_vec_span at = { 0, 0, low->shape[0] };
    const float              *a = lrc_vec_read(low, at, low_buffer);
    const float              *b = lrc_vec_read(high, at, high_buffer);
    float                    *out_low = lrc_vec_begin(low, at, low_buffer);
    float                    *out_high = lrc_vec_begin(high, at, high_buffer);
#pragma omp simd
    for (int64_t i = 0; i < at.n; i++) {
        const float x = a[i], y = b[i], c = cosine[i], s = direction * sine[i];
        out_low[i] = x * c - y * s;
        out_high[i] = y * c + x * s;
    }
    lrc_vec_finish(low, at, out_low);
    lrc_vec_finish(high, at, out_high);
}

static void rotate_row(const struct lrc_rope_rotation *rotation, int64_t t)
{
    const struct lrc_tensor *x = rotation->x;
    const int64_t            n_pairs = rotation->n_pairs, table = rotation->positions[t] * n_pairs;
    const size_t             elem_bytes = lrc_dtype_bytes(x->dtype);
    for (int64_t h = 0; h < x->shape[1]; h++) {
        unsigned char *head =
            (unsigned char *)x->data + (size_t)(t * x->stride[0] + h * x->stride[1]) * elem_bytes;
        for (int64_t first = 0; first < n_pairs; first += LRC_VEC_BLOCK) {
            const int64_t           n = lrc_vec_block(first, n_pairs);
            const struct lrc_tensor low = lrc_tensor_1d(head + (size_t)first * elem_bytes, x->dtype, n);
            const struct lrc_tensor high =
                lrc_tensor_1d(head + (size_t)(n_pairs + first) * elem_bytes, x->dtype, n);
            rotate_block(&low, &high, rotation->cos_table + table + first,
                         rotation->sin_table + table + first, rotation->direction);
        }
    }
}

static void rotate(const struct lrc_rope_rotation *rotation)
{
    const int64_t n_rows = rotation->n_pairs > 0 ? rotation->x->shape[0] : 0;
#pragma omp parallel for schedule(static) if (lrc_tensor_elems(rotation->x) > LRC_VEC_PARALLEL_MIN)
    for (int64_t t = 0; t < n_rows; t++)
        rotate_row(rotation, t);
}

enum lrc_status LRC_CPU(rope_forward)(struct lrc_stream *stream, const struct lrc_rope_forward_args *args,
                                      struct lrc_error *err)
{
    (void)stream;
    (void)err;
    rotate(LRC_ROPE_ROTATION(args, x, 1.0f));
    return LRC_STATUS_OK;
}

enum lrc_status LRC_CPU(rope_backward)(struct lrc_stream *stream, const struct lrc_rope_backward_args *args,
                                       struct lrc_error *err)
{
    (void)stream;
    (void)err;
    rotate(LRC_ROPE_ROTATION(args, d_x, -1.0f));
    return LRC_STATUS_OK;
}
