/* The command line: arguments to struct lrc_cli, and usage text from the option tables. */
#ifndef LRC_CLI_OPTIONS_H
#define LRC_CLI_OPTIONS_H

#include "base/buf.h"
#include "cli/command.h"

/* Parse what follows the command's name. All mistakes go to problems.
 *
 * errors:    USAGE when there was any; NOMEM.
 * ownership: cli borrows arguments; lrc_cli_release(). */
enum lrc_status lrc_cli_parse(struct lrc_cli *cli, const struct lrc_command *command, char **arguments,
                              int n_arguments, struct lrc_problems *problems,
                              struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_cli_release(struct lrc_cli *cli);

/* What -h prints. */
void lrc_usage_write_command(struct lrc_buf *buf, const struct lrc_command *command);
void lrc_usage_write_overview(struct lrc_buf *buf);

#endif
