#include "model/pass__walk.h"

#include <math.h>

static const struct lrc_backend *backend_of(const struct lrc_pass *pass)
{
    return pass->options.backend;
}

static struct lrc_tensor final_rows(const struct lrc_pass *pass, int64_t n_rows)
{
    return lrc_tape_get(&pass->tape, LRC_TAPE_X, pass->model->config.n_layers, n_rows);
}

static enum lrc_status output_forward(const struct lrc_pass *pass, struct lrc_tensor normed,
                                      struct lrc_tensor logits, struct lrc_error *err)
{
    const struct lrc_linear_forward_args args = {
        .x = normed,
        .weight = &pass->model->output,
        .out = logits,
        .workspace = pass->workspace,
        .workspace_bytes = pass->workspace_bytes,
    };
    return lrc_linear_forward(backend_of(pass), pass->options.stream, &args, err);
}

enum lrc_status lrc_pass_logits(struct lrc_pass *pass, const float **logits, int64_t first, int64_t n,
                                struct lrc_error *err)
{
    const struct lrc_model_config *config = &pass->model->config;
    LRC_ASSERT(n <= pass->head_chunk);
    const struct lrc_tensor all = final_rows(pass, first + n);
    const struct lrc_tensor normed =
        lrc_tensor_2d(pass->head_norm, pass->options.activation, n, config->hidden_size);
    const struct lrc_rmsnorm_forward_args norm = {
        .x = lrc_tensor_rows(&all, first, n),
        .weight = pass->model->final_norm,
        .out = normed,
        .eps = config->rms_norm_eps,
    };
    LRC_TRY(lrc_rmsnorm_forward(backend_of(pass), pass->options.stream, &norm, err));
    LRC_TRY(
        output_forward(pass, normed, lrc_tensor_2d(pass->logits, LRC_DTYPE_F32, n, config->vocab_size), err));
    *logits = pass->logits;
    if (!backend_of(pass)->memory)
        return LRC_STATUS_OK;
    LRC_ASSERT(n <= pass->options.n_logits);
    *logits = pass->host_logits;
    LRC_TRY(backend_of(pass)->download(pass->options.stream, pass->host_logits, pass->logits,
                                       (size_t)(n * config->vocab_size) * sizeof(float), err));
    return backend_of(pass)->synchronize(pass->options.stream, err);
}

/* Where the batch's log-probabilities come to lie. On a device always in one place, for a recording keeps
 * it. */
static float *logprob_now(const struct lrc_pass *pass)
{
    return pass->host_logprob ? pass->logprob : pass->logprob + pass->n_logprob;
}

/* Rows first .. first + n - 1 of the trained positions: log-probabilities, and on the way back their gradient
 * into d_head. */
static enum lrc_status head_chunk(const struct lrc_walk *walk, int64_t first, int64_t n,
                                  enum lrc_walk_head way, struct lrc_error *err)
{
    const struct lrc_pass         *pass = walk->pass;
    const struct lrc_model_config *config = &pass->model->config;
    const int64_t                  n_all = walk->batch->n_trained, hidden = config->hidden_size;
    const struct lrc_tensor        normed_all =
        lrc_tensor_2d(pass->head_norm, pass->options.activation, n_all, hidden);
    const struct lrc_tensor normed = lrc_tensor_rows(&normed_all, first, n);
    const struct lrc_tensor logits = lrc_tensor_2d(pass->logits, LRC_DTYPE_F32, n, config->vocab_size);

    LRC_TRY(output_forward(pass, normed, logits, err));
    const struct lrc_cross_entropy_forward_args forward = {
        .logits = logits,
        .targets = walk->batch->trained_target + first,
        .logprob = logprob_now(pass) + first,
        .lse = pass->lse + first,
    };
    LRC_TRY(lrc_cross_entropy_forward(backend_of(pass), pass->options.stream, &forward, err));
    if (way == LRC_WALK_FORWARD)
        return LRC_STATUS_OK;

    const struct lrc_cross_entropy_backward_args backward = {
        .logits = logits,
        .targets = walk->batch->trained_target + first,
        .lse = pass->lse + first,
        .coef = pass->now.coef + first,
        .d_logits = logits,
    };
    LRC_TRY(lrc_cross_entropy_backward(backend_of(pass), pass->options.stream, &backward, err));
    const struct lrc_linear_backward_args linear = {
        .d_out = logits,
        .x = normed,
        .weight = &pass->model->output,
        .d_x = lrc_tensor_2d(pass->d_head + first * hidden, LRC_DTYPE_F32, n, hidden),
        .accumulate = LRC_ACCUMULATE_SET,
        .d_weight = walk->gradients ? walk->gradients->output : (struct lrc_tensor){ 0 },
        .workspace = pass->workspace,
        .workspace_bytes = pass->workspace_bytes,
    };
    return lrc_linear_backward(backend_of(pass), pass->options.stream, &linear, err);
}

/* d_head back through the final norm and to the rows it was gathered from. */
static enum lrc_status head_backward(const struct lrc_walk *walk, struct lrc_error *err)
{
    const struct lrc_pass                 *pass = walk->pass;
    const struct lrc_batch                *batch = walk->batch;
    const int64_t                          hidden = pass->model->config.hidden_size, n = batch->n_trained;
    const struct lrc_tensor                d_rows = lrc_tensor_2d(pass->d_head, LRC_DTYPE_F32, n, hidden);
    const struct lrc_rmsnorm_backward_args norm = {
        .d_out = d_rows,
        .x = lrc_tensor_2d(pass->head_rows, pass->options.activation, n, hidden),
        .weight = pass->model->final_norm,
        .rstd = pass->head_rstd,
        .d_x = d_rows,
        .d_weight = walk->gradients ? walk->gradients->final_norm : (struct lrc_tensor){ 0 },
    };
    LRC_TRY(lrc_rmsnorm_backward(backend_of(pass), pass->options.stream, &norm, err));
    const struct lrc_gather_backward_args scatter = {
        .d_out = d_rows,
        .index = batch->trained_index,
        .d_x = lrc_tensor_2d(pass->d_x, LRC_DTYPE_F32, batch->n_tokens, hidden),
    };
    return lrc_gather_backward(backend_of(pass), pass->options.stream, &scatter, err);
}

enum lrc_status lrc_walk__head(const struct lrc_walk *walk, enum lrc_walk_head way, struct lrc_error *err)
{
    const struct lrc_pass         *pass = walk->pass;
    const struct lrc_model_config *config = &pass->model->config;
    const int64_t                  n = walk->batch->n_trained;
    const struct lrc_tensor        rows =
        lrc_tensor_2d(pass->head_rows, pass->options.activation, n, config->hidden_size);

    const struct lrc_gather_forward_args gather = { .x = final_rows(pass, walk->n_tokens),
                                                    .index = walk->batch->trained_index,
                                                    .out = rows };
    LRC_TRY(lrc_gather_forward(backend_of(pass), pass->options.stream, &gather, err));
    const struct lrc_rmsnorm_forward_args norm = {
        .x = rows,
        .weight = pass->model->final_norm,
        .out = lrc_tensor_2d(pass->head_norm, pass->options.activation, n, config->hidden_size),
        .rstd = pass->head_rstd,
        .eps = config->rms_norm_eps,
    };
    LRC_TRY(lrc_rmsnorm_forward(backend_of(pass), pass->options.stream, &norm, err));

    for (int64_t first = 0; first < n; first += pass->head_chunk) {
        const int64_t left = n - first;
        LRC_TRY(head_chunk(walk, first, left < pass->head_chunk ? left : pass->head_chunk, way, err));
    }
    return way == LRC_WALK_AND_BACK ? head_backward(walk, err) : LRC_STATUS_OK;
}
