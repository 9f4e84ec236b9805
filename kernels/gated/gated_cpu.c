#include "backend.h"

#include "common/vec_cpu.h"

static void forward_row(const struct lrc_gated_forward_args *args, int64_t row)
{
    LRC_VEC_BUFFER(gate_buffer);
    LRC_VEC_BUFFER(up_buffer);
    LRC_VEC_BUFFER(out_buffer);
    const int64_t dim = args->gate.shape[1];
    for (int64_t first = 0; first < dim; first += LRC_VEC_BLOCK) {
        const struct lrc_vec_span at = { row, first, lrc_vec_block(first, dim) };
        const float              *gate = lrc_vec_read(&args->gate, at, gate_buffer);
        const float              *up = lrc_vec_read(&args->up, at, up_buffer);
        float                    *out = lrc_vec_begin(&args->out, at, out_buffer);
#pragma omp simd
        for (int64_t i = 0; i < at.n; i++)
            out[i] = gate[i] * lrc_vec_sigmoid(gate[i]) * up[i];
        lrc_vec_finish(&args->out, at, out);
    }
}

enum lrc_status LRC_CPU(gated_forward)(struct lrc_stream *stream, const struct lrc_gated_forward_args *args,
                                       struct lrc_error *err)
{
    (void)stream;
    (void)err;
    const int64_t n_rows = args->gate.shape[0];
#pragma omp parallel for schedule(static) if (n_rows * args->gate.shape[1] > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n_rows; row++)
        forward_row(args, row);
    return LRC_STATUS_OK;
}

static void backward_row(const struct lrc_gated_backward_args *args, int64_t row)
{
    LRC_VEC_BUFFER(gate_buffer);
    LRC_VEC_BUFFER(up_buffer);
    LRC_VEC_BUFFER(d_out_buffer);
    LRC_VEC_BUFFER(d_gate_buffer);
    LRC_VEC_BUFFER(d_up_buffer);
    const int64_t dim = args->gate.shape[1];
    for (int64_t first = 0; first < dim; first += LRC_VEC_BLOCK) {
        const struct lrc_vec_span at = { row, first, lrc_vec_block(first, dim) };
        const float              *gate = lrc_vec_read(&args->gate, at, gate_buffer);
        const float              *up = lrc_vec_read(&args->up, at, up_buffer);
        const float              *d_out = lrc_vec_read(&args->d_out, at, d_out_buffer);
        float                    *d_gate = lrc_vec_begin(&args->d_gate, at, d_gate_buffer);
        float                    *d_up = lrc_vec_begin(&args->d_up, at, d_up_buffer);
#pragma omp simd
        for (int64_t i = 0; i < at.n; i++) {
            const float x = gate[i], y = up[i], d = d_out[i], sigmoid = lrc_vec_sigmoid(x);
            d_gate[i] = d * y * (sigmoid * (1.0f + x * (1.0f - sigmoid)));
            d_up[i] = d * (x * sigmoid);
        }
        lrc_vec_finish(&args->d_gate, at, d_gate);
        lrc_vec_finish(&args->d_up, at, d_up);
    }
}

enum lrc_status LRC_CPU(gated_backward)(struct lrc_stream *stream, const struct lrc_gated_backward_args *args,
                                        struct lrc_error *err)
{
    (void)stream;
    (void)err;
    const int64_t n_rows = args->gate.shape[0];
#pragma omp parallel for schedule(static) if (n_rows * args->gate.shape[1] > LRC_VEC_PARALLEL_MIN)
    for (int64_t row = 0; row < n_rows; row++)
        backward_row(args, row);
    return LRC_STATUS_OK;
}
