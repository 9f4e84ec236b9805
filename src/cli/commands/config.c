#include "config/config.h"

#include "cli/command.h"

static void write_keys(const struct lrc_cli *cli, struct lrc_buf *text)
{
    if (lrc_cli_has(cli, "json")) {
        lrc_config_write_keys_json(text);
        lrc_buf_putc(text, '\n');
        return;
    }
    lrc_config_write_keys(text);
}

static enum lrc_status write_resolved(const struct lrc_cli *cli, struct lrc_buf *text,
                                      struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_config config = { 0 };
    LRC_TRY(
        lrc_config_load(&config, cli->arguments[0], cli->arguments + 1, cli->n_arguments - 1, problems, err));
    if (lrc_cli_has(cli, "json")) {
        lrc_config_write_json(&config, text);
        lrc_buf_putc(text, '\n');
    } else {
        lrc_config_write_yaml(&config, text);
    }
    lrc_config_release(&config);
    return LRC_STATUS_OK;
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_buf  text = { 0 };
    enum lrc_status status = LRC_STATUS_OK;
    if (cli->n_arguments == 0)
        write_keys(cli, &text);
    else
        status = write_resolved(cli, &text, problems, err);
    if (status == LRC_STATUS_OK)
        status = lrc_buf_check(&text, err);
    if (status == LRC_STATUS_OK)
        lrc_cli_write(lrc_buf_text(&text), text.len);
    lrc_buf_release(&text);
    return status;
}

const struct lrc_command lrc_command_config = {
    .name = "config",
    .arguments = "[CONFIG [key=value ...]]",
    .summary = "every key with its default, range and help; with CONFIG, the resolved settings and where "
               "each came from",
    .arguments_min = 0,
    .arguments_max = -1,
    .common = LRC_COMMON_NONE,
    .run = run,
};
