#include "base/json.h"
#include "cli/progress.h"
#include "cli/model_options.h"
#include "merge/merge.h"

#include <string.h>

static void print_json(const struct lrc_merge_report *report, const char *out)
{
    struct lrc_buf text = { 0 };
    lrc_buf_puts(&text, "{\"out\": ");
    lrc_json_append_string(&text, out, strlen(out));
    lrc_buf_printf(
        &text, ", \"tensors\": %lld, \"merged\": %lld, \"weights\": %lld, \"changed\": %lld, \"bytes\": %lld",
        (long long)report->n_tensors, (long long)report->n_merged, (long long)report->n_weights,
        (long long)report->n_changed, (long long)report->n_bytes);
    lrc_buf_puts(&text, ", \"proof\": ");
    lrc_json_append_number(&text, report->proof_max);
    lrc_buf_puts(&text, ", \"seconds\": ");
    lrc_json_append_number(&text, report->seconds);
    lrc_buf_puts(&text, ", \"reread_seconds\": ");
    lrc_json_append_number(&text, report->reread_seconds);
    lrc_buf_puts(&text, "}\n");
    lrc_cli_write(lrc_buf_text(&text), text.len);
    lrc_buf_release(&text);
}

static void print_text(const struct lrc_merge_report *report, const char *out)
{
    lrc_cli_print("%s: %lld linears merged, %.1f %% of their weights changed; %lld tensors, %.1f MiB\n", out,
                  (long long)report->n_merged, 100.0 * (double)report->n_changed / (double)report->n_weights,
                  (long long)report->n_tensors, (double)report->n_bytes / 0x1p20);
    lrc_cli_print("proof: W'x = Wx + scale B(Ax) in every row, at most %.0f %% of what rounding allows; "
                  "files read again\n",
                  100.0 * report->proof_max);
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_merge_report        report;
    const struct lrc_merge_options options = {
        .base = lrc_cli_option(cli, "base"),
        .adapter = lrc_cli_option(cli, "adapter"),
        .out = lrc_cli_option(cli, "out"),
        .any_base = lrc_cli_has(cli, "any-base"),
        .progress = lrc_progress_update,
    };
    if (!options.base)
        lrc_problems_add(problems, "--base: want the model's folder, got nothing");
    if (!options.adapter)
        lrc_problems_add(problems, "--adapter: want the adapter's folder, got nothing");
    if (!options.out || options.out[0] == '\0')
        lrc_problems_add(problems, "--out: want the folder to make, got nothing");
    LRC_TRY(lrc_problems_fail(problems, LRC_STATUS_USAGE, "merge", err));
    LRC_TRY(lrc_cli_set_threads(cli, err));
    const enum lrc_status status = lrc_merge(&options, &report, problems, err);
    lrc_progress_end();
    LRC_TRY(status);
    if (lrc_cli_has(cli, "json"))
        print_json(&report, options.out);
    else
        print_text(&report, options.out);
    return LRC_STATUS_OK;
}

static const struct lrc_option merge_options[] = {
    { "base", "MODEL", "the model that the adapter was trained on" },
    { "adapter", "DIR", "an adapter in PEFT's format" },
    { "out", "DIR", "the folder to make" },
    { "any-base", NULL,
      "also when the adapter names another base, as for the same model in another precision" },
    { NULL, NULL, NULL },
};

const struct lrc_command lrc_command_merge = {
    .name = "merge",
    .arguments = "--base MODEL --adapter DIR --out DIR",
    .summary = "an adapter into the weights of its base, shard by shard",
    .arguments_min = 0,
    .arguments_max = 0,
    .options = merge_options,
    .common = LRC_COMMON_THREADS,
    .run = run,
};
