#include "base/json.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/stop.h"
#include "convert/convert.h"

#include <string.h>

static void print_json(const struct lrc_convert_report *report, const char *out)
{
    struct lrc_buf text = { 0 };
    lrc_buf_puts(&text, "{\"out\": ");
    lrc_json_append_string(&text, out, strlen(out));
    lrc_buf_printf(
        &text,
        ", \"tensors\": %lld, \"quantized\": %lld, \"weights\": %lld, \"base_bytes\": %lld, \"bytes\": %lld",
        (long long)report->n_tensors, (long long)report->n_quantized, (long long)report->n_weights,
        (long long)report->base_bytes, (long long)report->n_bytes);
    lrc_buf_puts(&text, ", \"seconds\": ");
    lrc_json_append_number(&text, report->seconds);
    lrc_buf_puts(&text, "}\n");
    lrc_cli_write(lrc_buf_text(&text), text.len);
    lrc_buf_release(&text);
}

static void read_options(struct lrc_convert_options *options, const struct lrc_cli *cli,
                         struct lrc_problems *problems)
{
    const char *type = lrc_cli_option(cli, "type"), *twice = lrc_cli_option(cli, "double-quant");
    options->type = lrc_quant_type_find(type ? type : "nf4");
    options->double_quant = !twice || strcmp(twice, "true") == 0;
    if (!options->out || options->out[0] == '\0')
        lrc_problems_add(problems, "--out: want the folder to make, got nothing");
    if (!options->type)
        lrc_problems_add(problems, "--type: want nf4 or fp4, got '%s'", type);
    if (!options->double_quant && strcmp(twice, "false") != 0)
        lrc_problems_add(problems, "--double-quant: want true or false, got '%s'", twice);
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_convert_report  report;
    struct lrc_convert_options options = {
        .model = cli->arguments[0],
        .out = lrc_cli_option(cli, "out"),
        .stop = lrc_stop_catch(),
        .progress = lrc_progress_update,
    };
    read_options(&options, cli, problems);
    LRC_TRY(lrc_problems_fail(problems, LRC_STATUS_USAGE, "quantize", err));
    LRC_TRY(lrc_cli_set_threads(cli, err));
    const enum lrc_status status = lrc_convert(&options, &report, problems, err);
    lrc_progress_end();
    LRC_TRY(status);
    if (lrc_cli_has(cli, "json"))
        print_json(&report, options.out);
    else
        lrc_cli_print("%s: %lld linears in %s; %lld tensors, %.1f MiB of %.1f MiB\n", options.out,
                      (long long)report.n_quantized, options.type->name, (long long)report.n_tensors,
                      (double)report.n_bytes / 0x1p20, (double)report.base_bytes / 0x1p20);
    return LRC_STATUS_OK;
}

static const struct lrc_option quantize_options[] = {
    { "out", "DIR", "the folder to make" },
    { "type", "TYPE", "nf4 (default) or fp4" },
    { "double-quant", "BOOL", "the blocks' scales in 8 bits, too: true (default) or false" },
    { NULL, NULL, NULL },
};

const struct lrc_command lrc_command_quantize = {
    .name = "quantize",
    .arguments = "MODEL --out DIR",
    .summary = "a model's linears in 4 bits, as bitsandbytes and transformers store them",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = quantize_options,
    .common = LRC_COMMON_THREADS,
    .run = run,
};
