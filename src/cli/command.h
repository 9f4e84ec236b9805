/* A command of the program: one file in commands/, one entry in the generated table. */
#ifndef LRC_CLI_COMMAND_H
#define LRC_CLI_COMMAND_H

#include "base/problems.h"
#include "base/status.h"
#include <stdint.h>

struct lrc_option {
    const char *name;     /* "adapter" for --adapter */
    const char *argument; /* "DIR"; "[DIR]" when it may be left out; NULL for a flag */
    const char *help;
};

/* A parsed command line. Borrowed by run(). */
struct lrc_cli {
    const struct lrc_command *command;
    const char *const        *arguments; /* positional ones */
    int                       n_arguments;
    const char *const        *option_names;  /* as given, in order */
    const char *const        *option_values; /* "" for a flag or a left-out argument */
    int                       n_options;
};

/* The common options that a command takes. --quiet, --json and --help are everybody's. */
enum lrc_common {
    LRC_COMMON_ALL = 0,
    LRC_COMMON_DEVICE = 1,        /* --device auto|cpu|cuda */
    LRC_COMMON_THREADS = 2,       /* --threads N */
    LRC_COMMON_SEED = 4,          /* --seed N */
    LRC_COMMON_BF16 = 8,          /* --bf16 auto|true|false */
    LRC_COMMON_LOAD_IN_4BIT = 16, /* --load-in-4bit */
    LRC_COMMON_NONE = 32
};

struct lrc_command {
    const char              *name;
    const char              *arguments;                    /* for the usage line: "CONFIG [key=value ...]" */
    const char              *summary;                      /* one line */
    int                      arguments_min, arguments_max; /* max -1: any number */
    const struct lrc_option *options;                      /* ends with { NULL }; may be NULL */
    unsigned                 common;                       /* LRC_COMMON_ bits: the common options it takes */
    enum lrc_status (*run)(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err);
};

extern const struct lrc_command *const lrc_command_all[]; /* generated; NULL-terminated */
const struct lrc_command              *lrc_command_find(const char *name);

/* Value of an option, the last one when given twice; NULL when absent. */
const char *lrc_cli_option(const struct lrc_cli *cli, const char *name);
int         lrc_cli_has(const struct lrc_cli *cli, const char *name);

/* Typed values; *value stays as it was when the option is absent. errors: USAGE "--threads: want an integer
 * from 1 to 1024, got 'x'". */
enum lrc_status lrc_cli_int(const struct lrc_cli *cli, const char *name, int64_t *value, int64_t min,
                            int64_t max, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_cli_number(const struct lrc_cli *cli, const char *name, double *value, double min,
                               double max, struct lrc_error *err) LRC_MUST_CHECK;
/* A mistake in an option goes to problems, so that all are told at once; other failures are forwarded. */
enum lrc_status lrc_cli_note(struct lrc_problems *problems, enum lrc_status status,
                             const struct lrc_error *err) LRC_MUST_CHECK;

/* Results go to stdout through this; progress and log to stderr by the log sink. */
void lrc_cli_print(const char *format, ...) LRC_PRINTF(1, 2);
void lrc_cli_write(const void *bytes, size_t n);

#endif
