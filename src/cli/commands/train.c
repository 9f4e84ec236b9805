#include "cli/command.h"

#include "base/alloc.h"
#include "base/json.h"
#include "cli/progress.h"
#include "cli/stop.h"
#include "train/train.h"
#include <math.h>
#include <signal.h>
#include <string.h>

/* Options that stand for a config key win over the file, as key=value does. */
static enum lrc_status gather_overrides(const struct lrc_cli *cli, struct lrc_buf *memory,
                                        const char **overrides, int *n, struct lrc_error *err)
{
    static const char *const keys[] = { "device", "threads", "seed", "bf16" };
    *n = 0;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (lrc_cli_has(cli, keys[i])) {
            lrc_buf_printf(&memory[i], "%s=%s", keys[i], lrc_cli_option(cli, keys[i]));
            LRC_TRY(lrc_buf_check(&memory[i], err));
            overrides[(*n)++] = lrc_buf_text(&memory[i]);
        }
    if (lrc_cli_has(cli, "load-in-4bit"))
        overrides[(*n)++] = "load_in_4bit=true";
    return LRC_STATUS_OK;
}

static void print_report(const struct lrc_cli *cli, const struct lrc_config *config,
                         const struct lrc_train_report *report)
{
    struct lrc_buf text = { 0 };
    if (lrc_cli_has(cli, "json")) {
        const struct {
            const char *key;
            double      value;
        } numbers[] = {
            { "steps", (double)report->n_steps },
            { "steps_done", (double)report->n_steps_done },
            { "examples", (double)report->n_examples },
            { "held_out", (double)report->n_held_out },
            { "trainable_parameters", (double)report->n_trainable },
            { "tokens", (double)report->n_tokens },
            { "loss_first", report->loss_first },
            { "loss_last", report->loss_last },
            { "eval_loss_first", report->eval_loss_first },
            { "eval_loss_last", report->eval_loss_last },
            { "time_s", report->time_s },
            { "tokens_per_second", report->tokens_per_second },
            { "planned_bytes", (double)report->planned_bytes },
            { "peak_bytes", (double)report->peak_bytes },
        };
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            lrc_buf_printf(&text, "%s\"%s\": ", i ? ", " : "{", numbers[i].key);
            lrc_json_append_number(&text, numbers[i].value);
        }
        lrc_buf_puts(&text, "}\n");
    } else if (!lrc_cli_has(cli, "dry-run")) {
        lrc_buf_printf(&text, "%s: %lld steps in %.1f s, %.0f tokens/s", config->output_dir,
                       (long long)report->n_steps_done, report->time_s, report->tokens_per_second);
        if (!isnan(report->eval_loss_first))
            lrc_buf_printf(&text, "; held-out loss %.4f -> %.4f", report->eval_loss_first,
                           report->eval_loss_last);
        lrc_buf_putc(&text, '\n');
    }
    lrc_cli_write(lrc_buf_text(&text), text.len);
    lrc_buf_release(&text);
}

static enum lrc_status train(const struct lrc_cli *cli, const struct lrc_config *config,
                             struct lrc_problems *problems, struct lrc_error *err)
{
    const char                    *resume = lrc_cli_option(cli, "resume");
    const struct lrc_train_options options = {
        .resume = resume != NULL,
        .resume_dir = resume && resume[0] ? resume : NULL,
        .dry_run = lrc_cli_has(cli, "dry-run"),
        .stop = lrc_stop_catch(),
        .progress = lrc_progress_update,
    };
    struct lrc_train_report report;
    (void)signal(SIGPIPE,
                 SIG_IGN); /* `2>&1 | tee log` and Ctrl-C: tee is gone first, and the checkpoint is to come */
    const enum lrc_status status = lrc_train(config, &options, &report, problems, err);
    lrc_progress_end();
    if (status == LRC_STATUS_OK)
        print_report(cli, config, &report);
    return status;
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_config config = { 0 };
    struct lrc_buf    memory[4] = { 0 };
    const int         n_given = cli->n_arguments - 1;
    int               n_options;
    const char      **overrides = lrc_calloc(n_given + 5, sizeof *overrides);
    if (!overrides)
        return lrc_fail_nomem(err, "command line");

    memcpy(overrides, cli->arguments + 1, (size_t)n_given * sizeof *overrides);
    enum lrc_status status = gather_overrides(cli, memory, overrides + n_given, &n_options, err);
    if (status == LRC_STATUS_OK)
        status = lrc_config_load(&config, cli->arguments[0], overrides, n_given + n_options, problems, err);
    if (status == LRC_STATUS_OK)
        status = train(cli, &config, problems, err);
    lrc_config_release(&config);
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
        lrc_buf_release(&memory[i]);
    lrc_free(overrides);
    return status;
}

static const struct lrc_option train_options[] = {
    { "resume", "[DIR]", "go on from the newest complete checkpoint in output_dir, or from DIR" },
    { "dry-run", NULL, "everything but the steps: reads, tokenizes, plans, writes nothing" },
    { NULL, NULL, NULL },
};

const struct lrc_command lrc_command_train = {
    .name = "train",
    .arguments = "CONFIG [key=value ...]",
    .summary = "the whole job: load, quantize, tokenize, train, save",
    .arguments_min = 1,
    .arguments_max = -1,
    .options = train_options,
    .common = LRC_COMMON_ALL,
    .run = run,
};
