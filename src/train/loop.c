#include "train/run__private.h"

#include "base/log.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static enum lrc_status save_weights(void *context, const char *dir, struct lrc_error *err)
{
    return lrc_run__save_weights(context, dir, err);
}

/* Values and states as they are now; written while the next steps run. */
static enum lrc_status checkpoint(struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    LRC_TRY(lrc_checkpoint_writer_wait(&run->writer, err));
    LRC_TRY(lrc_snapshot_take(&run->snapshot, &run->trainables, err));
    if (fflush(run->metrics) != 0)
        return lrc_fail_errno(err, "metrics.jsonl: cannot write");
    run->state.time_s = lrc_run__time(run);
    const struct lrc_checkpoint_job job = {
        .output_dir = config->output_dir,
        .state = run->state,
        .config_json = lrc_buf_text(&run->config_json),
        .rows = &run->snapshot.rows,
        .optimizer = run->stepper.optimizer.type,
        .extra = save_weights,
        .context = run,
        .metrics = fileno(run->metrics),
        .limit = config->save_total_limit,
        .keep_step = config->load_best_model_at_end ? run->state.best_step : -1,
    };
    LRC_TRY(lrc_checkpoint_writer_start(&run->writer, &job, err));
    return run->snapshot.in_place ? lrc_checkpoint_writer_wait(&run->writer, err) : LRC_STATUS_OK;
}

/* *improved: the best evaluation so far, so that its weights are worth a checkpoint. */
static enum lrc_status evaluate(struct lrc_run *run, int *improved, struct lrc_error *err)
{
    struct lrc_eval_result result;
    *improved = 0;
    LRC_TRY(lrc_eval_run(&run->pass, run->stepper.adapter, run->held_out_stream, &result, err));
    const double loss = result.loss_sum / (double)result.n_trained;
    LRC_TRY(lrc_run__log_eval(run, loss, err));
    if (run->state.step == 0)
        run->report->eval_loss_first = loss;
    run->report->eval_loss_last = loss;
    if (isnan(run->state.best_eval_loss) || loss < run->state.best_eval_loss) {
        *improved = run->state.step > 0;
        run->state.best_eval_loss = loss;
        run->state.best_step = run->state.step;
        run->state.evals_without_gain = 0;
    } else {
        run->state.evals_without_gain++;
    }
    return LRC_STATUS_OK;
}

static int is_due(int64_t step, int64_t every, const struct lrc_window *window, int64_t n_steps)
{
    return step == n_steps || (every > 0 ? step % every == 0 : window->ends_epoch);
}

static int stopped_early(const struct lrc_run *run)
{
    const int64_t patience = run->config->early_stopping_patience;
    return patience > 0 && run->state.evals_without_gain >= patience;
}

static enum lrc_status one_step(struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_window *window;
    struct lrc_step_result   result;
    int                      improved = 0;
    const double             factor = run->schedule->factor(&run->schedule_options, run->state.step);
    const double             learning_rate = run->config->learning_rate * factor;

    LRC_TRY(lrc_batch_stream_get(run->stream, &window, run->state.step, err));
    LRC_TRY(lrc_step_run(&run->stepper, &result, window, learning_rate, err));
    run->state.step++;
    run->state.n_tokens += window->n_tokens;
    run->state.n_trained += window->n_trained;
    run->state.loss_sum += result.loss;
    run->state.loss_steps++;
    if (run->report->n_steps_done++ == 0)
        run->report->loss_first = result.loss;
    run->report->loss_last = result.loss;
    run->report->n_tokens += window->n_tokens;

    const int64_t step = run->state.step;
    if (step % run->logging_steps == 0 || step == 1 || step == run->n_steps)
        LRC_TRY(lrc_run__log_step(run, window, &result, learning_rate, err));
    if (run->held_out_stream && is_due(step, run->eval_steps, window, run->n_steps))
        LRC_TRY(evaluate(run, &improved, err));
    const int keeps_best = improved && run->config->load_best_model_at_end;
    if (keeps_best || stopped_early(run) || is_due(step, run->save_steps, window, run->n_steps))
        LRC_TRY(checkpoint(run, err));
    return LRC_STATUS_OK;
}

/* The stop signal came: leave a checkpoint (if this step has none yet) and say where to go on. */
static enum lrc_status stop(struct lrc_run *run, int signal_number, struct lrc_error *err)
{
    LRC_TRY(checkpoint(run, err));
    LRC_TRY(lrc_checkpoint_writer_wait(&run->writer, err));
    return lrc_fail(err, signal_number == SIGTERM ? LRC_STATUS_TERMINATED : LRC_STATUS_INTERRUPTED,
                    "stopped after step %lld of %lld; --resume goes on from %s/checkpoint-%lld",
                    (long long)run->state.step, (long long)run->n_steps, run->config->output_dir,
                    (long long)run->state.step);
}

static enum lrc_status load_best(struct lrc_run *run, struct lrc_error *err)
{
    if (!run->config->load_best_model_at_end || run->state.best_step <= 0 ||
        run->state.best_step == run->state.step)
        return LRC_STATUS_OK;
    struct lrc_buf      dir = { 0 };
    struct lrc_problems problems = { 0 };
    lrc_buf_printf(&dir, "%s/checkpoint-%lld", run->config->output_dir, (long long)run->state.best_step);
    enum lrc_status status = lrc_buf_check(&dir, err);
    if (status == LRC_STATUS_OK)
        status = lrc_checkpoint_load(&run->snapshot.rows, run->stepper.optimizer.type, lrc_buf_text(&dir),
                                     &problems, err);
    if (status == LRC_STATUS_OK)
        status = lrc_snapshot_put(&run->snapshot, &run->trainables, err);
    if (status == LRC_STATUS_OK)
        lrc_log_info("the result is checkpoint-%lld, eval_loss %.4f", (long long)run->state.best_step,
                     run->state.best_eval_loss);
    lrc_problems_release(&problems);
    lrc_buf_release(&dir);
    return status;
}

enum lrc_status lrc_run__loop(struct lrc_run *run, struct lrc_error *err)
{
    const int64_t tokens_before = run->state.n_tokens;
    int           improved;

    if (run->held_out_stream && run->state.step == 0)
        LRC_TRY(evaluate(run, &improved, err));
    while (run->state.step < run->n_steps && !stopped_early(run)) {
        LRC_TRY(one_step(run, err));
        const double seconds = lrc_run__time(run) - run->time_before;
        if (run->options->progress)
            run->options->progress(run->state.step, run->n_steps,
                                   (double)(run->state.n_tokens - tokens_before) / seconds,
                                   run->report->loss_last);
        if (run->options->stop && *run->options->stop && run->state.step < run->n_steps)
            return stop(run, *run->options->stop, err);
    }
    if (stopped_early(run))
        lrc_log_info("stopped early: %lld evaluations without a lower loss",
                     (long long)run->state.evals_without_gain);
    LRC_TRY(lrc_checkpoint_writer_wait(&run->writer, err));
    return load_best(run, err);
}
