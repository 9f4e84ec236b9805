#include "cli/op_work.h"

static double size(const struct lrc_tensor *t)
{
    return t->data ? (double)lrc_tensor_elems(t) * (double)lrc_dtype_bytes(t->dtype) : 0.0;
}

static struct lrc_op_work moved(double bytes)
{
    return (struct lrc_op_work){ .bytes = bytes };
}

/* n elements of 4 bytes, where there are any. */
static double words(const void *data, int64_t n)
{
    return data ? 4.0 * (double)n : 0.0;
}

struct lrc_op_work lrc_op_work_adamw(const struct lrc_adamw_args *a)
{
    return moved(2.0 * (size(&a->param) + size(&a->m) + size(&a->v)) + size(&a->grad));
}

struct lrc_op_work lrc_op_work_add(const struct lrc_add_args *a)
{
    return moved(size(&a->a) + size(&a->b) + size(&a->out));
}

/* Pairs of a query row and a row that it sees. */
static double visible_pairs(const struct lrc_attention_shape *s)
{
    double pairs = 0.0;
    for (int64_t d = 0; d < s->n_docs; d++) {
        const double rows = (double)(s->doc_offsets[d + 1] - s->doc_offsets[d]), past = (double)s->n_past,
                     window = (double)s->window;
        /* query i sees min(window, past + i + 1) rows: the first `growing` ones fewer than the window */
        double growing = rows;
        if (s->window > 0 && past + rows > window)
            growing = window > past ? window - past : 0.0;
        pairs += growing * past + growing * (growing + 1.0) / 2.0 + (rows - growing) * window;
    }
    return pairs;
}

struct lrc_op_work lrc_op_work_attention_forward(const struct lrc_attention_forward_args *a)
{
    return (struct lrc_op_work){ .flops = 4.0 * visible_pairs(&a->shape) *
                                          (double)(a->q.shape[1] * a->q.shape[2]) };
}

struct lrc_op_work lrc_op_work_attention_backward(const struct lrc_attention_backward_args *a)
{
    return (struct lrc_op_work){ .flops = 8.0 * visible_pairs(&a->shape) *
                                          (double)(a->q.shape[1] * a->q.shape[2]) };
}

struct lrc_op_work lrc_op_work_cross_entropy_forward(const struct lrc_cross_entropy_forward_args *a)
{
    return moved(size(&a->logits) + 12.0 * (double)a->logits.shape[0]);
}

struct lrc_op_work lrc_op_work_cross_entropy_backward(const struct lrc_cross_entropy_backward_args *a)
{
    return moved(size(&a->logits) + size(&a->d_logits) + 12.0 * (double)a->logits.shape[0]);
}

/* Scales of blocks are left out: less than 4 % of the codes and the result. */
struct lrc_op_work lrc_op_work_dequantize(const struct lrc_dequantize_args *a)
{
    const double each = a->weight->type == LRC_BLOCK_DENSE ? (double)lrc_dtype_bytes(a->weight->dtype) : 0.5;
    return moved(each * (double)lrc_tensor_elems(&a->out) + size(&a->out));
}

struct lrc_op_work lrc_op_work_embedding_forward(const struct lrc_embedding_forward_args *a)
{
    return moved(2.0 * size(&a->out) + words(a->tokens, a->out.shape[0]));
}

struct lrc_op_work lrc_op_work_embedding_backward(const struct lrc_embedding_backward_args *a)
{
    return moved(size(&a->d_out) + 8.0 * (double)lrc_tensor_elems(&a->d_out) +
                 words(a->tokens, a->d_out.shape[0]));
}

struct lrc_op_work lrc_op_work_gated_forward(const struct lrc_gated_forward_args *a)
{
    return moved(size(&a->gate) + size(&a->up) + size(&a->out));
}

struct lrc_op_work lrc_op_work_gated_backward(const struct lrc_gated_backward_args *a)
{
    return moved(size(&a->d_out) + size(&a->gate) + size(&a->up) + size(&a->d_gate) + size(&a->d_up));
}

struct lrc_op_work lrc_op_work_gather_forward(const struct lrc_gather_forward_args *a)
{
    return moved(2.0 * size(&a->out) + words(a->index, a->out.shape[0]));
}

struct lrc_op_work lrc_op_work_gather_backward(const struct lrc_gather_backward_args *a)
{
    return moved(size(&a->d_out) + size(&a->d_x) + words(a->index, a->d_out.shape[0]));
}

struct lrc_op_work lrc_op_work_grad_norm(const struct lrc_grad_norm_args *a)
{
    double bytes = 0.0;
    for (int64_t i = 0; i < a->n_grads; i++)
        bytes += size(&a->grads[i]);
    return moved(bytes);
}

/* rows * rank * (in + out), twice. */
static double adapter_flops(const struct lrc_linear_adapter *adapter, double rows)
{
    if (!adapter)
        return 0.0;
    return 2.0 * rows * (double)(lrc_tensor_elems(&adapter->a) + lrc_tensor_elems(&adapter->b));
}

struct lrc_op_work lrc_op_work_linear_forward(const struct lrc_linear_forward_args *a)
{
    const double rows = (double)a->x.shape[0];
    return (struct lrc_op_work){ .flops = 2.0 * rows * (double)(a->weight->rows * a->weight->cols) +
                                          adapter_flops(a->adapter, rows) };
}

struct lrc_op_work lrc_op_work_linear_backward(const struct lrc_linear_backward_args *a)
{
    const double rows = (double)a->d_out.shape[0],
                 weight = 2.0 * rows * (double)(a->weight->rows * a->weight->cols);
    return (struct lrc_op_work){ .flops = (a->d_x.data ? weight : 0.0) + (a->d_weight.data ? weight : 0.0) +
                                          2.0 * adapter_flops(a->adapter, rows) };
}

struct lrc_op_work lrc_op_work_quantize_blocks(const struct lrc_quantize_blocks_args *a)
{
    const double n = (double)lrc_tensor_elems(&a->x);
    return moved(size(&a->x) + 0.5 * n + 4.0 * n / (double)a->block_elems);
}

struct lrc_op_work lrc_op_work_rmsnorm_forward(const struct lrc_rmsnorm_forward_args *a)
{
    const double summed = a->addend.data ? size(&a->addend) + size(&a->sum) : 0.0;
    return moved(size(&a->x) + size(&a->weight) + size(&a->out) + summed + words(a->rstd, a->x.shape[0]));
}

struct lrc_op_work lrc_op_work_rmsnorm_backward(const struct lrc_rmsnorm_backward_args *a)
{
    return moved(size(&a->d_out) + size(&a->x) + size(&a->weight) + size(&a->d_residual) + size(&a->d_x) +
                 2.0 * size(&a->d_weight) + words(a->rstd, a->x.shape[0]));
}

/* The rotated part of x, read and written, and a row of both tables for each position. */
static double rope_bytes(const struct lrc_tensor *x, int64_t n_pairs)
{
    const double rotated = (double)(x->shape[0] * x->shape[1] * 2 * n_pairs);
    return 2.0 * rotated * (double)lrc_dtype_bytes(x->dtype) +
           (double)x->shape[0] * (8.0 * (double)n_pairs + 4.0);
}

struct lrc_op_work lrc_op_work_rope_forward(const struct lrc_rope_forward_args *a)
{
    return moved(rope_bytes(&a->x, a->n_pairs));
}

struct lrc_op_work lrc_op_work_rope_backward(const struct lrc_rope_backward_args *a)
{
    return moved(rope_bytes(&a->d_x, a->n_pairs));
}
