/* One optimizer step, and evaluation. */
#ifndef LRC_TRAIN_STEP_H
#define LRC_TRAIN_STEP_H

#include "data/batch.h"
#include "model/pass.h"
#include "optim/optim.h"

/* What a step works on. Borrows everything. */
struct lrc_stepper {
    struct lrc_pass                  *pass;
    const struct lrc_adapter         *adapter;   /* NULL in full fine-tuning */
    const struct lrc_model_gradients *gradients; /* NULL with an adapter */
    struct lrc_trainables            *trainables;
    struct lrc_optimizer_options      optimizer;
    float                             max_grad_norm; /* 0: no clipping */
};

struct lrc_step_result {
    double loss;      /* mean over the window's trained tokens */
    double grad_norm; /* before clipping */
};

/* Forward, backward, clip, update over one accumulation window.
 *
 *   loss = sum over all micro-batches of -log p(target) / n_trained(window)
 *
 * The sum is divided by the window's own token count, not averaged over micro-batches: short batches must not
 * weigh more (transformers >= 4.46; num_items_in_batch).
 *
 * errors: NUMERIC when loss or gradient norm is not finite: names the step and its rows; nothing has been
 *         updated then. */
enum lrc_status lrc_step_run(const struct lrc_stepper *stepper, struct lrc_step_result *result,
                             const struct lrc_window *window, double learning_rate,
                             struct lrc_error *err) LRC_MUST_CHECK;

/* Sum of -log p and number of trained tokens over a whole stream, in order. */
struct lrc_eval_result {
    double  loss_sum;
    int64_t n_trained;
};
enum lrc_status lrc_eval_run(struct lrc_pass *pass, const struct lrc_adapter *adapter,
                             struct lrc_batch_stream *stream, struct lrc_eval_result *result,
                             struct lrc_error *err) LRC_MUST_CHECK;

#endif
