#include "cli/command.h"

#include "base/json.h"
#include "train/train.h"
#include <string.h>

static void print_json(const struct lrc_train_report *report, int fits)
{
    struct lrc_buf out = { 0 };
    lrc_buf_puts(&out, "{\"regions\": [");
    for (int64_t i = 0; i < report->n_regions; i++) {
        lrc_buf_printf(&out, "%s{\"name\": ", i ? ", " : "");
        lrc_json_append_string(&out, report->regions[i].name, strlen(report->regions[i].name));
        lrc_buf_printf(&out, ", \"where\": \"%s\", \"bytes\": %lld}", report->regions[i].where,
                       (long long)report->regions[i].bytes);
    }
    lrc_buf_printf(&out,
                   "], \"host_bytes\": %lld, \"device_bytes\": %lld, \"available_bytes\": %lld, "
                   "\"device_available_bytes\": %lld, \"steps\": %lld, \"examples\": %lld, "
                   "\"trainable_parameters\": %lld, \"fits\": %s}\n",
                   (long long)report->planned_bytes, (long long)report->device_bytes,
                   (long long)report->available_bytes, (long long)report->device_available_bytes,
                   (long long)report->n_steps, (long long)report->n_examples, (long long)report->n_trainable,
                   fits ? "true" : "false");
    lrc_cli_write(lrc_buf_text(&out), out.len);
    lrc_buf_release(&out);
}

static void print_text(const struct lrc_train_report *report, int fits)
{
    for (int64_t i = 0; i < report->n_regions; i++)
        lrc_cli_print("%-28s %-7s %12.3f MB\n", report->regions[i].name, report->regions[i].where,
                      (double)report->regions[i].bytes * 1e-6);
    if (report->device_bytes > 0)
        lrc_cli_print("%-28s %-7s %12.3f MB of %.0f MB available\n", "on the device", "",
                      (double)report->device_bytes * 1e-6, (double)report->device_available_bytes * 1e-6);
    lrc_cli_print("%-28s %-7s %12.3f MB of %.0f MB available: %s\n",
                  report->device_bytes > 0 ? "on the host" : "in all", "",
                  (double)report->planned_bytes * 1e-6, (double)report->available_bytes * 1e-6,
                  fits ? "fits" : "does not fit");
    lrc_cli_print("%lld rows, %lld held out, %lld steps, %lld trainable parameters\n",
                  (long long)report->n_examples, (long long)report->n_held_out, (long long)report->n_steps,
                  (long long)report->n_trainable);
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    const struct lrc_train_options options = { .plan = 1 };
    struct lrc_config              config = { 0 };
    struct lrc_train_report        report = { 0 };
    enum lrc_status                status =
        lrc_config_load(&config, cli->arguments[0], cli->arguments + 1, cli->n_arguments - 1, problems, err);
    if (status == LRC_STATUS_OK)
        status = lrc_train(&config, &options, &report, problems, err);
    if (report.n_regions > 0 && (status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM)) {
        if (lrc_cli_has(cli, "json"))
            print_json(&report, status == LRC_STATUS_OK);
        else
            print_text(&report, status == LRC_STATUS_OK);
    }
    lrc_config_release(&config);
    return status;
}

const struct lrc_command lrc_command_plan = {
    .name = "plan",
    .arguments = "CONFIG [key=value ...]",
    .summary = "the memory a run would take, region by region, and whether it fits; reads no weights",
    .arguments_min = 1,
    .arguments_max = -1,
    .common = LRC_COMMON_NONE,
    .run = run,
};
