#include "cli/progress.h"
#include "cli/model_options.h"
#include "data/dataset.h"
#include "infer/score.h"

#include <math.h>

struct job {
    const struct lrc_cli *cli;
    struct lrc_runner     runner;
    struct lrc_tokenizer *tokenizer;
    struct lrc_template *template;
    struct lrc_dataset dataset;
    struct lrc_score   score;
};

static enum lrc_status load_data(struct job *job, const char *model_dir, struct lrc_problems *problems,
                                 struct lrc_error *err)
{
    const struct lrc_dataset_spec spec = { .path = job->cli->arguments[1],
                                           .type = lrc_cli_option(job->cli, "type") };
    struct lrc_dataset_options    options = {
           .sequence_len = job->runner.model.config.max_positions,
           .excess = LRC_EXCESS_RAISE,
           .max_lost_rows_fraction = 1.0,
           .keep_untrained = 1,
           .vocab_size = job->runner.model.config.vocab_size,
    };
    struct lrc_dataset_needs needs;
    LRC_TRY(lrc_dataset_needs(&needs, &spec, 1, err));
    if (needs.preference)
        return lrc_fail(err, LRC_STATUS_CONFIG, "%s: want rows to imitate, got preference rows of type '%s'",
                        spec.path, needs.preference);
    if (needs.tokenizer)
        LRC_TRY(lrc_tokenizer_load(&job->tokenizer, model_dir, err));
    if (needs.template)
        LRC_TRY(lrc_template_load(&job->template, lrc_cli_option(job->cli, "chat-template"), model_dir, err));
    options.tokenizer = job->tokenizer;
    options.template = job->template;
    return lrc_dataset_load(&job->dataset, &spec, 1, &options, problems, err);
}

static void append_loss(struct lrc_buf *out, double loss_sum, int64_t n_trained)
{
    /* null when there are none */
    lrc_json_append_number(out, n_trained > 0 ? loss_sum / (double)n_trained : NAN);
}

static void print_json(const struct lrc_score *score)
{
    struct lrc_buf out = { 0 };
    lrc_buf_puts(&out, "{\"loss\": ");
    append_loss(&out, score->loss_sum, score->n_trained);
    lrc_buf_puts(&out, ", \"perplexity\": ");
    lrc_json_append_number(&out,
                           score->n_trained > 0 ? exp(score->loss_sum / (double)score->n_trained) : NAN);
    lrc_buf_printf(&out, ", \"tokens\": %lld, \"rows\": [", (long long)score->n_trained);
    for (int64_t i = 0; i < score->n_rows; i++) {
        lrc_buf_printf(&out, "%s{\"loss\": ", i ? ", " : "");
        append_loss(&out, score->rows[i].loss_sum, score->rows[i].n_trained);
        lrc_buf_printf(&out, ", \"tokens\": %lld}", (long long)score->rows[i].n_trained);
    }
    lrc_buf_puts(&out, "]}\n");
    lrc_cli_write(lrc_buf_text(&out), out.len);
    lrc_buf_release(&out);
}

static void print_text(const struct job *job)
{
    const struct lrc_score *score = &job->score;
    for (int64_t i = 0; i < score->n_rows && lrc_cli_has(job->cli, "rows"); i++) {
        const struct lrc_score_row *row = &score->rows[i];
        if (row->n_trained > 0)
            lrc_cli_print("row %u: loss %.4f over %lld tokens\n", job->dataset.examples[i].row_id,
                          row->loss_sum / (double)row->n_trained, (long long)row->n_trained);
        else
            lrc_cli_print("row %u: no trained tokens\n", job->dataset.examples[i].row_id);
    }
    if (score->n_trained == 0) {
        lrc_cli_print("no loss: no trained tokens in %lld rows\n", (long long)score->n_rows);
        return;
    }
    const double loss = score->loss_sum / (double)score->n_trained;
    lrc_cli_print("loss %.4f, perplexity %.2f, %lld trained tokens of %lld rows\n", loss, exp(loss),
                  (long long)score->n_trained, (long long)score->n_rows);
}

static enum lrc_status score(struct job *job, struct lrc_problems *problems, struct lrc_error *err)
{
    const char *model_dir = job->cli->arguments[0];
    LRC_TRY(lrc_cli_set_threads(job->cli, err));
    LRC_TRY(lrc_cli_load_model(&job->runner, job->cli, model_dir, 0, problems, err));
    LRC_TRY(load_data(job, model_dir, problems, err));
    const struct lrc_score_options options = {
        .backend = job->runner.backend,
        .activation = job->runner.activation,
        .logits_path = lrc_cli_option(job->cli, "logits"),
        .progress = lrc_progress_update,
    };
    LRC_TRY(
        lrc_score_run(&job->score, &job->runner.model, job->runner.adapter, &job->dataset, &options, err));
    lrc_progress_end();
    if (lrc_cli_has(job->cli, "json"))
        print_json(&job->score);
    else
        print_text(job);
    return LRC_STATUS_OK;
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct job            job = { .cli = cli };
    const enum lrc_status status = score(&job, problems, err);
    if (status != LRC_STATUS_OK)
        lrc_cli_explain_memory(cli, &job.runner, "the longest row", err);
    lrc_free(job.score.rows);
    lrc_dataset_release(&job.dataset);
    lrc_template_free(job.template);
    lrc_tokenizer_free(job.tokenizer);
    lrc_runner_release(&job.runner);
    return status;
}

static const struct lrc_option score_options[] = {
    { "adapter", "DIR", "an adapter in PEFT's format" },
    { "type", "TYPE", "kind of rows, as in a config's datasets; found from the columns when left out" },
    { "chat-template", "NAME|FILE", "another template than the model's own" },
    { "logits", "FILE.safetensors",
      "also write every row's logits: \"logits.<row>\", float32 (tokens, vocabulary)" },
    { "rows", NULL, "one line per row" },
    { NULL, NULL, NULL },
};

const struct lrc_command lrc_command_score = {
    .name = "score",
    .arguments = "MODEL DATA",
    .summary = "loss and perplexity on held-out rows, per row and in all",
    .arguments_min = 2,
    .arguments_max = 2,
    .options = score_options,
    .common = LRC_COMMON_ALL,
    .run = run,
};
