#include "train/run__private.h"

#include "base/log.h"
#include "base/machine.h"
#include "data/ledger.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

double lrc_run__time(const struct lrc_run *run)
{
    return run->time_before + (lrc_machine_seconds() - run->time_started);
}

/* Cut back to what the checkpoint knew: lines written after it will be written again. A file that is shorter
 * (removed, or another output folder) goes on from where it ends: ftruncate would fill it up with NUL bytes.
 */
enum lrc_status lrc_run__open_metrics(struct lrc_run *run, struct lrc_error *err)
{
    char *path = lrc_path_join(run->config->output_dir, "metrics.jsonl");
    if (!path)
        return lrc_fail_nomem(err, "metrics.jsonl");
    enum lrc_status status = LRC_STATUS_OK;
    struct stat     info;
    run->metrics = fopen(path, "abe");
    if (!run->metrics || fstat(fileno(run->metrics), &info) != 0)
        status = lrc_fail_errno(err, "%s: cannot open", path);
    else if (info.st_size < run->state.metrics_bytes)
        run->state.metrics_bytes = info.st_size;
    else if (ftruncate(fileno(run->metrics), run->state.metrics_bytes) != 0)
        status = lrc_fail_errno(err, "%s: cannot cut back", path);
    lrc_free(path);
    return status;
}

static void put_number(struct lrc_buf *line, const char *key, double value)
{
    lrc_buf_printf(line, "%s\"%s\": ", line->len > 1 ? ", " : "", key);
    lrc_json_append_number(line, value);
}

static enum lrc_status put_line(struct lrc_run *run, struct lrc_buf *line, struct lrc_error *err)
{
    lrc_buf_puts(line, "}\n");
    enum lrc_status status = lrc_buf_check(line, err);
    if (status == LRC_STATUS_OK &&
        (fwrite(line->data, 1, line->len, run->metrics) != line->len || fflush(run->metrics) != 0))
        status = lrc_fail_errno(err, "metrics.jsonl: cannot write");
    run->state.metrics_bytes += (int64_t)line->len;
    lrc_buf_release(line);
    return status;
}

static double epoch_of(const struct lrc_run *run)
{
    return (double)run->state.step / (double)run->steps_per_epoch;
}

enum lrc_status lrc_run__log_step(struct lrc_run *run, const struct lrc_window *window,
                                  const struct lrc_step_result *result, double learning_rate,
                                  struct lrc_error *err)
{
    struct lrc_buf line = { 0 };
    const double   seconds = lrc_run__time(run);
    (void)window;

    lrc_buf_putc(&line, '{');
    put_number(&line, "step", (double)run->state.step);
    put_number(&line, "epoch", epoch_of(run));
    put_number(&line, "loss", run->state.loss_sum / (double)run->state.loss_steps);
    put_number(&line, "learning_rate", learning_rate);
    put_number(&line, "grad_norm", result->grad_norm);
    put_number(&line, "tokens", (double)run->state.n_tokens);
    put_number(&line, "trained_tokens", (double)run->state.n_trained);
    put_number(&line, "tokens_per_second", (double)run->state.n_tokens / seconds);
    put_number(&line, "time_s", seconds);
    run->state.loss_sum = 0.0;
    run->state.loss_steps = 0;
    return put_line(run, &line, err);
}

enum lrc_status lrc_run__log_eval(struct lrc_run *run, double eval_loss, struct lrc_error *err)
{
    struct lrc_buf line = { 0 };
    lrc_buf_putc(&line, '{');
    put_number(&line, "step", (double)run->state.step);
    put_number(&line, "eval_loss", eval_loss);
    put_number(&line, "eval_perplexity", exp(eval_loss));
    lrc_log_info("step %lld: eval_loss %.4f", (long long)run->state.step, eval_loss);
    return put_line(run, &line, err);
}

enum lrc_status lrc_run__write_ledger(struct lrc_run *run, struct lrc_error *err)
{
    char *path = lrc_path_join(run->config->output_dir, "rows.jsonl");
    if (!path)
        return lrc_fail_nomem(err, "rows.jsonl");
    const enum lrc_status status = lrc_ledger_write(path, &run->dataset, &run->held_out, err);
    lrc_free(path);
    return status;
}

enum lrc_status lrc_run__save_weights(struct lrc_run *run, const char *dir, struct lrc_error *err)
{
    const struct lrc_trainables *rows = &run->snapshot.rows;
    return run->is_full ? lrc_full_save(&run->full, rows, dir, err)
                        : lrc_adapter_save(&run->adapter, rows->rows[0].value.data, &run->model, dir, err);
}

static void put_string(struct lrc_buf *text, const char *key, const char *value)
{
    lrc_buf_printf(text, ",\n  \"%s\": ", key);
    lrc_json_append_string(text, value, strlen(value));
}

static void put_tally(struct lrc_buf *text, const char *key, const struct lrc_dataset *dataset)
{
    static const char *const names[LRC_ROW_FATE_COUNT] = {
#define XX(name, words) words,
        LRC_ROW_FATE_MAP(XX)
#undef XX
    };
    lrc_buf_printf(
        text, ",\n  \"%s\": {\"rows\": %lld, \"examples\": %lld, \"tokens\": %lld, \"trained_tokens\": %lld",
        key, (long long)dataset->n_rows, (long long)dataset->n_examples, (long long)dataset->n_tokens,
        (long long)dataset->n_trained);
    for (int f = 0; f < LRC_ROW_FATE_COUNT; f++)
        lrc_buf_printf(text, ", \"%s\": %lld", names[f], (long long)dataset->tally[f]);
    if (dataset->hash[0])
        lrc_buf_printf(text, ", \"files_sha256\": \"%s\"", dataset->hash);
    lrc_buf_putc(text, '}');
}

static enum lrc_status write_run_json(struct lrc_run *run, struct lrc_error *err)
{
    struct lrc_buf text = { 0 };
    lrc_buf_puts(&text, "{\n  \"lorica\": ");
    lrc_json_append_string(&text, LRC_VERSION, strlen(LRC_VERSION));
    put_string(&text, "device", run->state.device);
    lrc_buf_printf(&text, ",\n  \"threads\": %d", omp_get_max_threads());
    put_string(&text, "base_sha256", run->state.base_hash);
    put_string(&text, "tokens_sha256", run->state.data_hash);
    put_tally(&text, "training_data", &run->dataset);
    if (run->held_out_stream)
        put_tally(&text, "held_out_data", &run->held_out);
    lrc_buf_printf(&text,
                   ",\n  \"steps\": %lld,\n  \"tokens\": %lld,\n  \"trained_tokens\": %lld,\n  "
                   "\"trainable_parameters\": %lld",
                   (long long)run->state.step, (long long)run->state.n_tokens,
                   (long long)run->state.n_trained, (long long)run->trainables.n_elems);
    lrc_buf_printf(&text, ",\n  \"peak_bytes\": %lld,\n  \"time_s\": ", (long long)lrc_machine_peak_bytes());
    lrc_json_append_number(&text, lrc_run__time(run));
    lrc_buf_puts(&text, ",\n  \"eval_loss\": ");
    lrc_json_append_number(&text, run->report->eval_loss_last);
    lrc_buf_printf(&text, ",\n  \"config\": %s\n}\n", lrc_buf_text(&run->config_json));

    char           *path = lrc_path_join(run->config->output_dir, "run.json");
    enum lrc_status status = path ? lrc_buf_check(&text, err) : lrc_fail_nomem(err, "run.json");
    if (status == LRC_STATUS_OK)
        status = lrc_file_write(path, text.data, text.len, err);
    lrc_free(path);
    lrc_buf_release(&text);
    return status;
}

static enum lrc_status write_card(struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    struct lrc_buf           text = { 0 };
    char                    *base = lrc_path_absolute(config->base_model),
         *path = lrc_path_join(config->output_dir, "README.md");

    lrc_buf_printf(&text, "---\nlibrary_name: %s\ntags: [lorica]\n---\n\n# %s\n\n",
                   run->is_full ? "transformers" : "peft", lrc_path_base(config->output_dir));
    lrc_buf_printf(&text, "Fine-tuned with Lorica %s from `%s` (weights' SHA-256 `%s`).\n\n## Data\n\n",
                   LRC_VERSION, base ? base : config->base_model, run->state.base_hash);
    for (int i = 0; i < config->datasets.n; i++)
        lrc_buf_printf(&text, "- `%s`\n", lrc_path_base(config->datasets.items[i].path));
    lrc_buf_printf(
        &text,
        "\n%lld rows, %lld of them trained on; %lld tokens seen, %lld of them trained.\n\n## Settings\n\n",
        (long long)run->dataset.n_rows, (long long)run->dataset.n_examples, (long long)run->state.n_tokens,
        (long long)run->state.n_trained);
    lrc_buf_printf(&text, "| | |\n|---|---|\n| method | %s |\n", config->adapter);
    if (!run->is_full)
        lrc_buf_printf(&text, "| rank, alpha, dropout | %lld, %g, %g |\n", (long long)run->adapter.config.r,
                       run->adapter.config.lora_alpha, run->adapter.config.lora_dropout);
    lrc_buf_printf(&text,
                   "| trainable parameters | %lld |\n| steps | %lld |\n| learning rate | %g, %s |\n| compute "
                   "type | %s |\n\n## Result\n\n",
                   (long long)run->trainables.n_elems, (long long)run->state.step, config->learning_rate,
                   config->lr_scheduler, lrc_dtype_info[run->pass.options.activation].name);
    if (run->held_out_stream)
        lrc_buf_printf(&text, "Held-out loss %.4f (perplexity %.2f) over %lld trained tokens.\n",
                       run->report->eval_loss_last, exp(run->report->eval_loss_last),
                       (long long)run->held_out.n_trained);
    else
        lrc_buf_puts(&text, "No rows were held out, so nothing was measured.\n");
    lrc_buf_puts(&text, "\n`run.json` holds every setting, hash and timing; `metrics.jsonl` the course of "
                        "the run, `rows.jsonl` what became of every input row.\n");

    enum lrc_status status = base && path ? lrc_buf_check(&text, err) : lrc_fail_nomem(err, "README.md");
    if (status == LRC_STATUS_OK)
        status = lrc_file_write(path, text.data, text.len, err);
    lrc_free(base);
    lrc_free(path);
    lrc_buf_release(&text);
    return status;
}

/* A template that is not the base's own goes along, in place of all that the base has, so that the result is
 * talked to as it was trained. */
static enum lrc_status write_template(struct lrc_run *run, struct lrc_error *err)
{
    if (!run->template || strcmp(run->config->chat_template, "tokenizer_default") == 0)
        return LRC_STATUS_OK;
    const char     *text = lrc_template_text(run->template);
    char           *path = lrc_path_join(run->config->output_dir, "chat_template.jinja");
    char           *others = lrc_path_join(run->config->output_dir, LRC_TEMPLATES_DIR);
    enum lrc_status status = path && others ? LRC_STATUS_OK : lrc_fail_nomem(err, "chat_template.jinja");
    if (status == LRC_STATUS_OK)
        status = lrc_file_write(path, text, strlen(text), err);
    if (status == LRC_STATUS_OK)
        status = lrc_dir_remove(others, err);
    lrc_free(path);
    lrc_free(others);
    return status;
}

enum lrc_status lrc_run__write_outputs(struct lrc_run *run, struct lrc_error *err)
{
    if (fflush(run->metrics) != 0 || fsync(fileno(run->metrics)) != 0)
        return lrc_fail_errno(err, "metrics.jsonl: cannot write");
    LRC_TRY(lrc_run__hash_base(run, err));
    LRC_TRY(lrc_snapshot_take(&run->snapshot, &run->trainables, err));
    LRC_TRY(lrc_run__save_weights(run, run->config->output_dir, err));
    LRC_TRY(lrc_model_dir_copy_tokenizer(run->config->base_model, run->config->output_dir, err));
    LRC_TRY(write_template(run, err));
    LRC_TRY(write_card(run, err));
    return write_run_json(run, err);
}
