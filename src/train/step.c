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

enum lrc_status lrc_step_run(const struct lrc_stepper *stepper, struct lrc_step_result *result,
                             const struct lrc_window *window, double learning_rate, struct lrc_error *err)
{
    struct lrc_pass          *pass = stepper->pass;
    const struct lrc_backend *backend = pass->options.backend;
    struct lrc_stream        *stream = pass->options.stream;
    struct lrc_trainables    *trainables = stepper->trainables;
    double                    loss_sum = 0.0;

    pass->scalars->learning_rate = learning_rate;
    pass->scalars->step = (uint32_t)window->step;
    backend->zero(stream, trainables->grad_memory, trainables->grad_bytes);

    for (int64_t b = 0; b < window->n_batches; b++) {
        const struct lrc_batch *batch = &window->batches[b];
        double                  batch_loss;
        if (batch->n_trained == 0)
            continue;
        LRC_TRY(lrc_pass_forward(pass, stepper->adapter, batch, err));
        LRC_TRY(lrc_pass_loss(pass, &batch_loss, batch, -1.0 / (double)window->n_trained, stepper->gradients,
                              err));
        loss_sum += batch_loss;
        if (!isfinite(loss_sum))
            return fail_not_finite(window, "loss", loss_sum, err);
        LRC_TRY(lrc_pass_backward(pass, stepper->adapter, batch, stepper->gradients, err));
    }

    const struct lrc_grad_norm_args clip = {
        .grads = trainables->grads,
        .n_grads = trainables->n,
        .max_norm = stepper->max_grad_norm,
        .norm = &pass->scalars->grad_norm,
        .clip = &pass->scalars->clip,
    };
    LRC_TRY(lrc_grad_norm(backend, stream, &clip, err));
    if (!isfinite(pass->scalars->grad_norm))
        return fail_not_finite(window, "gradient norm", (double)pass->scalars->grad_norm, err);

    for (int64_t i = 0; i < trainables->n; i++)
        LRC_TRY(stepper->optimizer.type->step(backend, stream, &trainables->rows[i], pass->scalars,
                                              &stepper->optimizer, err));

    result->loss = loss_sum / (double)window->n_trained;
    result->grad_norm = (double)pass->scalars->grad_norm;
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
                status = lrc_pass_loss(pass, &loss_sum, &window->batches[b], 0.0, NULL, err);
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
