#include "train/step.h"

#include "base/buf.h"
#include <math.h>

/* Which rows a window holds, for the sentence about a non-finite value: up to 16 of them. */
static void name_rows(struct lrc_buf *text, const struct lrc_window *window)
{
    int n_named = 0;
    for (int64_t b = 0; b < window->n_batches; b++) {
        const struct lrc_batch *batch = &window->batches[b];
        for (int64_t d = 0; d < batch->n_docs && n_named <= 16; d++) {
            const int32_t first = batch->doc_offsets[d];
            if (first >= batch->n_real)
                continue; /* filler */
            if (n_named++ < 16)
                lrc_buf_printf(text, "%s%u", n_named > 1 ? ", " : "", batch->doc_rows[d]);
            else
                lrc_buf_puts(text, ", ...");
        }
    }
}

static enum lrc_status fail_not_finite(const struct lrc_window *window, const char *what, double value,
                                       struct lrc_error *err)
{
    struct lrc_buf rows = { 0 };
    name_rows(&rows, window);
    const enum lrc_status status = lrc_fail(
        err, LRC_STATUS_NUMERIC,
        "step %lld: want a finite %s, got %g; rows of this step (counted from 0): %s; nothing was updated",
        (long long)window->step + 1, what, value, lrc_buf_text(&rows));
    lrc_buf_release(&rows);
    return status;
}

/* Every trained position of the window, batch by batch: the sum of a batch does not depend on what came
 * before. */
static double sum_losses(const struct lrc_window *window, const float *logprob)
{
    double loss_sum = 0.0;
    for (int64_t b = 0; b < window->n_batches; b++) {
        double batch_sum = 0.0;
        for (int64_t i = 0; i < window->batches[b].n_trained; i++)
            batch_sum -= (double)logprob[i];
        logprob += window->batches[b].n_trained;
        loss_sum += batch_sum;
    }
    return loss_sum;
}

static int follows(const struct lrc_tensor *a, const struct lrc_tensor *b, int64_t n)
{
    return !a->data || (const float *)a->data + n == (const float *)b->data;
}

/* The row and those after it whose tensors lie right behind one another and are treated alike, as one: the
 * update is element by element, so that it changes no bit, and an adapter becomes a single call. Returns the
 * row after. */
static int64_t merge_rows(struct lrc_trainable *merged, const struct lrc_trainables *trainables,
                          int64_t first, int n_states)
{
    int64_t n = lrc_tensor_elems(&trainables->rows[first].value), next = first + 1;
    *merged = trainables->rows[first];
    for (; next < trainables->n; next++) {
        const struct lrc_trainable *row = &trainables->rows[next];
        int joins = row->decays == merged->decays && follows(&merged->value, &row->value, n) &&
                    follows(&merged->grad, &row->grad, n);
        for (int s = 0; joins && s < n_states; s++)
            joins = follows(&merged->state[s], &row->state[s], n);
        if (!joins)
            break;
        n += lrc_tensor_elems(&row->value);
    }
    merged->value = lrc_tensor_1d(merged->value.data, LRC_DTYPE_F32, n);
    merged->grad = lrc_tensor_1d(merged->grad.data, LRC_DTYPE_F32, n);
    for (int s = 0; s < n_states; s++)
        merged->state[s] = lrc_tensor_1d(merged->state[s].data, LRC_DTYPE_F32, n);
    return next;
}

static enum lrc_status update(const struct lrc_stepper *stepper, struct lrc_error *err)
{
    const struct lrc_pass      *pass = stepper->pass;
    const struct lrc_optimizer *type = stepper->optimizer.type;
    for (int64_t i = 0; i < stepper->trainables->n;) {
        struct lrc_trainable row;
        i = merge_rows(&row, stepper->trainables, i, type->n_states);
        LRC_TRY(type->step(pass->options.backend, pass->options.stream, &row, pass->scalars,
                           &stepper->optimizer, err));
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_step_run(const struct lrc_stepper *stepper, struct lrc_step_result *result,
                             const struct lrc_window *window, double learning_rate, struct lrc_error *err)
{
    struct lrc_pass          *pass = stepper->pass;
    const struct lrc_backend *backend = pass->options.backend;
    struct lrc_stream        *stream = pass->options.stream;
    struct lrc_trainables    *trainables = stepper->trainables;
    const float               coef = (float)(-1.0 / (double)window->n_trained);

    LRC_TRY(lrc_pass_begin_step(pass, learning_rate, window->step, err));
    backend->zero(stream, trainables->grad_memory, trainables->grad_bytes);

    for (int64_t b = 0; b < window->n_batches; b++) {
        const struct lrc_batch *batch = &window->batches[b];
        if (batch->n_trained == 0)
            continue;
        LRC_TRY(lrc_pass_train(pass, stepper->adapter, stepper->gradients, batch, coef, err));
    }

    const struct lrc_grad_norm_args clip = {
        .grads = trainables->grads,
        .n_grads = trainables->n,
        .max_norm = stepper->max_grad_norm,
        .norm = &pass->scalars->grad_norm,
        .clip = &pass->scalars->clip,
        .workspace = pass->workspace,
        .workspace_bytes = pass->workspace_bytes,
    };
    LRC_TRY(lrc_grad_norm(backend, stream, &clip, err));

    const float *logprob;
    int64_t      n_logprob;
    float        grad_norm;
    LRC_TRY(lrc_pass_read_step(pass, &logprob, &n_logprob, &grad_norm, err));
    LRC_ASSERT(n_logprob == window->n_trained);
    const double loss_sum = sum_losses(window, logprob);
    if (!isfinite(loss_sum))
        return fail_not_finite(window, "loss", loss_sum, err);
    if (!isfinite(grad_norm))
        return fail_not_finite(window, "gradient norm", (double)grad_norm, err);
    LRC_TRY(update(stepper, err));

    result->loss = loss_sum / (double)window->n_trained;
    result->grad_norm = (double)grad_norm;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_eval_run(struct lrc_pass *pass, const struct lrc_adapter *adapter,
                             struct lrc_batch_stream *stream, struct lrc_eval_result *result,
                             struct lrc_error *err)
{
    const enum lrc_tape_use use = pass->options.use;
    const int64_t           n_steps = lrc_batch_stream_steps_per_epoch(stream);
    enum lrc_status         status = LRC_STATUS_OK;

    *result = (struct lrc_eval_result){ 0 };
    pass->options.use = LRC_TAPE_INFERENCE; /* no dropout; the memory stays what it is */
    for (int64_t step = 0; step < n_steps && status == LRC_STATUS_OK; step++) {
        const struct lrc_window *window;
        status = lrc_batch_stream_get(stream, &window, step, err);
        for (int64_t b = 0; status == LRC_STATUS_OK && b < window->n_batches; b++) {
            double loss_sum;
            status = lrc_pass_forward(pass, adapter, &window->batches[b], err);
            if (status == LRC_STATUS_OK)
                status = lrc_pass_loss(pass, &loss_sum, err);
            if (status == LRC_STATUS_OK) {
                result->loss_sum += loss_sum;
                result->n_trained += window->batches[b].n_trained;
            }
        }
    }
    pass->options.use = use;
    if (status == LRC_STATUS_OK && !isfinite(result->loss_sum))
        return lrc_fail(err, LRC_STATUS_NUMERIC, "evaluation: want a finite loss, got %g", result->loss_sum);
    return status;
}
