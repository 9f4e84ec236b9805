#include "model/pass__walk.h"

enum lrc_status lrc_pass_begin_step(struct lrc_pass *pass, double learning_rate, int64_t step,
                                    struct lrc_error *err)
{
    /* the last step's transfer is over: lrc_pass_read_step() waited for it */
    struct lrc_step_scalars *scalars = pass->host_scalars ? pass->host_scalars : pass->scalars;
    pass->n_logprob = 0;
    scalars->learning_rate = learning_rate;
    scalars->step = (uint32_t)step;
    if (!pass->host_scalars)
        return LRC_STATUS_OK;
    return pass->options.backend->upload(pass->options.stream, pass->scalars, scalars, sizeof *scalars, err);
}

enum lrc_status lrc_pass_read_step(struct lrc_pass *pass, const float **logprob, int64_t *n, float *grad_norm,
                                   struct lrc_error *err)
{
    const struct lrc_backend *backend = pass->options.backend;
    *logprob = pass->host_logprob ? pass->host_logprob : pass->logprob;
    *n = pass->n_logprob;
    pass->n_logprob = 0;
    if (pass->host_scalars) {
        LRC_TRY(backend->download(pass->options.stream, pass->host_scalars, pass->scalars,
                                  sizeof *pass->host_scalars, err));
        LRC_TRY(backend->synchronize(pass->options.stream, err));
    }
    *grad_norm = (pass->host_scalars ? pass->host_scalars : pass->scalars)->grad_norm;
    return LRC_STATUS_OK;
}

/* The batch to where the walk reads it. */
static enum lrc_status take_batch(struct lrc_pass *pass, const struct lrc_batch *batch, float coef,
                                  struct lrc_error *err)
{
    LRC_ASSERT(batch->n_tokens <= pass->options.n_tokens && batch->n_trained <= pass->options.n_trained);
    LRC_TRY(lrc_feed_put(&pass->feed, &pass->now, batch, coef, err));
    pass->n_trained = batch->n_trained;
    return LRC_STATUS_OK;
}

/* The batch's log-probabilities behind those of the step so far, in host memory. */
static enum lrc_status keep_logprob(struct lrc_pass *pass, struct lrc_error *err)
{
    const struct lrc_pass_options *o = &pass->options;
    const int64_t                  before = pass->n_logprob;
    pass->n_logprob += pass->n_trained;
    LRC_ASSERT(pass->n_logprob <= (o->n_window > o->n_trained ? o->n_window : o->n_trained));
    if (!pass->host_logprob)
        return LRC_STATUS_OK;
    return o->backend->download(o->stream, pass->host_logprob + before, pass->logprob,
                                (size_t)pass->n_trained * sizeof(float), err);
}

enum lrc_status lrc_pass_forward(struct lrc_pass *pass, const struct lrc_adapter *adapter,
                                 const struct lrc_batch *batch, struct lrc_error *err)
{
    LRC_ASSERT(pass->options.n_cache == 0 || pass->n_past + batch->n_tokens <= pass->options.n_cache);
    LRC_TRY(take_batch(pass, batch, 0.0f, err));
    const struct lrc_walk walk = {
        .pass = pass, .adapter = adapter, .batch = &pass->now.batch, .n_tokens = batch->n_tokens
    };
    LRC_TRY(lrc_walk__forward(&walk, err));
    if (pass->options.n_cache > 0)
        pass->n_past += batch->n_real;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_pass_loss(struct lrc_pass *pass, double *loss_sum, struct lrc_error *err)
{
    const struct lrc_walk walk = { .pass = pass,
                                   .batch = &pass->now.batch,
                                   .n_tokens = pass->now.batch.n_tokens };
    const float          *logprob;
    int64_t               n;
    float                 grad_norm;
    pass->n_logprob = 0;
    LRC_TRY(lrc_walk__head(&walk, LRC_WALK_FORWARD, err));
    LRC_TRY(keep_logprob(pass, err));
    LRC_TRY(lrc_pass_read_step(pass, &logprob, &n, &grad_norm, err));
    *loss_sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        *loss_sum -= (double)logprob[i];
    return LRC_STATUS_OK;
}

/* What is recorded for a shape: nothing in it may depend on anything else that changes. */
static enum lrc_status launch_batch(void *context, struct lrc_stream *stream, struct lrc_error *err)
{
    const struct lrc_walk   *walk = context;
    struct lrc_pass         *pass = walk->pass;
    struct lrc_stream *const before = pass->options.stream;
    pass->options.stream = pass->offload.stream = stream;
    enum lrc_status status = lrc_walk__forward(walk, err);
    if (status == LRC_STATUS_OK)
        status = lrc_walk__head(walk, LRC_WALK_AND_BACK, err);
    if (status == LRC_STATUS_OK)
        status = lrc_walk__backward(walk, err);
    pass->options.stream = pass->offload.stream = before;
    return status;
}

enum lrc_status lrc_pass_train(struct lrc_pass *pass, const struct lrc_adapter *adapter,
                               const struct lrc_model_gradients *gradients, const struct lrc_batch *batch,
                               float coef, struct lrc_error *err)
{
    struct lrc_walk walk = { pass, adapter, &pass->now.batch, gradients, batch->n_tokens };
    LRC_ASSERT(pass->options.use != LRC_TAPE_INFERENCE);
    LRC_TRY(take_batch(pass, batch, coef, err));
    if (!pass->now.coef) {
        for (int64_t i = 0; i < batch->n_trained; i++)
            pass->coef[i] = coef;
        pass->now.coef = pass->coef;
    }
    const struct lrc_batch       *now = &pass->now.batch;
    const struct lrc_replay_shape shape = { now->n_tokens, now->n_docs, now->n_trained, adapter, gradients };
    if (pass->options.backend->graph_begin)
        LRC_TRY(lrc_replay_run(&pass->replay, &shape, launch_batch, &walk, pass->options.stream, err));
    else
        LRC_TRY(launch_batch(&walk, pass->options.stream, err));
    return keep_logprob(pass, err);
}
