/* The program: finds the command, parses its line, runs it, and turns a status into words and an exit code.
 */
#include "base/log.h"
#include "base/nearest.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "common/gemm.h"
#include "device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lrc_cli_print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfprintf(stdout, format, args);
    va_end(args);
}

void lrc_cli_write(const void *bytes, size_t n)
{
    (void)fwrite(bytes, 1, n, stdout);
}

static void print_overview(FILE *stream)
{
    struct lrc_buf text = { 0 };
    lrc_usage_write_overview(&text);
    (void)fputs(lrc_buf_text(&text), stream);
    lrc_buf_release(&text);
}

static void print_help(const struct lrc_command *command)
{
    struct lrc_buf text = { 0 };
    lrc_usage_write_command(&text, command);
    lrc_cli_write(lrc_buf_text(&text), text.len);
    lrc_buf_release(&text);
}

static const struct lrc_command *find_or_tell(const char *name)
{
    const struct lrc_command *command = lrc_command_find(name);
    struct lrc_nearest        nearest = { .word = name };
    char                      message[256];
    if (command)
        return command;
    for (int i = 0; lrc_command_all[i]; i++)
        lrc_nearest_offer(&nearest, lrc_command_all[i]->name);
    if (name[0] == '-')
        (void)snprintf(message, sizeof message, "want a command first, got '%.80s'; 'lorica help' lists them",
                       name);
    else if (nearest.best)
        (void)snprintf(message, sizeof message, "unknown command '%.80s' (did you mean '%s'?)", name,
                       nearest.best);
    else
        (void)snprintf(message, sizeof message, "unknown command '%.80s'; 'lorica help' lists them", name);
    lrc_progress_error(message);
    return NULL;
}

static enum lrc_status run_parsed(const struct lrc_cli *cli, struct lrc_problems *problems,
                                  struct lrc_error *err)
{
    const char               *device = lrc_cli_option(cli, "device");
    const struct lrc_backend *backend;
    lrc_progress_init(lrc_cli_has(cli, "quiet") ? LRC_QUIET : LRC_LOUD);
    if (device && strcmp(device, "auto") != 0) /* a device that is not there is told before a file is read */
        LRC_TRY(lrc_device_choose(&backend, device, "--device", err));
    return cli->command->run(cli, problems, err);
}

static int run_command(const struct lrc_command *command, char **arguments, int n_arguments)
{
    struct lrc_cli      cli;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err = { .status = LRC_STATUS_OK };
    enum lrc_status     status = lrc_cli_parse(&cli, command, arguments, n_arguments, &problems, &err);
    if (status == LRC_STATUS_OK && lrc_cli_has(&cli, "help"))
        print_help(command);
    else if (status == LRC_STATUS_OK)
        status = run_parsed(&cli, &problems, &err);
    if (status != LRC_STATUS_OK) {
        lrc_progress_lines(lrc_buf_text(&problems.text));
        if (problems.count > LRC_PROBLEMS_SHOWN_MAX)
            lrc_progress_lines("... and more\n");
        lrc_progress_error(err.message);
    }
    if (status == LRC_STATUS_USAGE) {
        char hint[128];
        (void)snprintf(hint, sizeof hint, "'lorica help %s' tells more\n", command->name);
        lrc_progress_lines(hint);
    }
    lrc_problems_release(&problems);
    lrc_cli_release(&cli);
    return lrc_status_exit_code(status);
}

static int dispatch(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        print_overview(stderr);
        return lrc_status_exit_code(LRC_STATUS_USAGE);
    }
    if (strcmp(name, "--version") == 0) {
        lrc_cli_print("lorica %s\n", LRC_VERSION);
        return 0;
    }
    const int is_help = strcmp(name, "help") == 0;
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0 || (is_help && argc == 2)) {
        print_overview(stdout);
        return 0;
    }
    const struct lrc_command *command = find_or_tell(is_help ? argv[2] : name);
    if (!command)
        return lrc_status_exit_code(LRC_STATUS_USAGE);
    if (is_help) {
        print_help(command);
        return 0;
    }
    return run_command(command, argv + 2, argc - 2);
}

/* A thread that waits for work spins for some 30 us, then sleeps. libgomp's default of milliseconds makes two
 * programs on the same cores four times slower (measured: 10.6 s against 2.5 s for 30 steps of the demo
 * beside a busy machine; no difference on a quiet one). The library reads the variable when it is loaded, so
 * the program starts itself once more; a user's own choice stays. */
static void limit_spinning(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || setenv("GOMP_SPINCOUNT", "10000", 0) != 0)
        return;
    (void)execv("/proc/self/exe", argv); /* where that cannot be, go on as it is */
}

int main(int argc, char **argv)
{
    limit_spinning(argv);
    lrc_progress_init(LRC_LOUD);
    int exit_code = dispatch(argc, argv);
    lrc_gemm_release();
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit_code == 0) {
        struct lrc_error err;
        exit_code = lrc_status_exit_code(lrc_fail_errno(&err, "stdout: cannot write"));
        lrc_progress_error(err.message);
    }
    return exit_code;
}
