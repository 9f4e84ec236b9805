#include "cli/options.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Which commands take it (0: every one), and what a value must be: a choice, or a number from min to max. */
struct common_option {
    struct lrc_option option;
    unsigned          bit;
    const char       *choices;
    int64_t           min, max;
};

static const struct common_option common_options[] = {
    { { "device", "auto|cpu|cuda", "what computes (default: auto)" },
      LRC_COMMON_DEVICE,
      "auto|cpu|cuda",
      0,
      0 },
    { { "threads", "N", "threads that compute (default: one per core)" }, LRC_COMMON_THREADS, NULL, 1, 1024 },
    { { "seed", "N", "seed of every random choice" }, LRC_COMMON_SEED, NULL, 0, 4294967295 },
    { { "bf16", "auto|true|false", "compute in bfloat16 (false: in float32)" },
      LRC_COMMON_BF16,
      "auto|true|false",
      0,
      0 },
    { { "load-in-4bit", NULL, "hold the model's linear layers in 4 bits" },
      LRC_COMMON_LOAD_IN_4BIT,
      NULL,
      0,
      0 },
    { { "json", NULL, "print one JSON document on stdout" }, 0, NULL, 0, 0 },
    { { "quiet", NULL, "no progress and no log, only warnings and errors" }, 0, NULL, 0, 0 },
    { { "help", NULL, "print this text" }, 0, NULL, 0, 0 },
};
enum { N_COMMON = sizeof common_options / sizeof common_options[0] };

static int takes(const struct lrc_command *command, const struct common_option *common)
{
    return common->bit == 0 || command->common == LRC_COMMON_ALL || (command->common & common->bit) != 0;
}

/* The i-th option of a command, its own first; NULL after the last. A command's own option hides a common
 * one. */
static const struct lrc_option *option_at(const struct lrc_command *command, int i)
{
    const struct lrc_option *own = command->options;
    for (; own && own->name; own++) {
        if (i-- == 0)
            return own;
    }
    for (int c = 0; c < N_COMMON; c++) {
        int is_hidden = !takes(command, &common_options[c]);
        for (own = command->options; own && own->name; own++)
            is_hidden = is_hidden || strcmp(own->name, common_options[c].option.name) == 0;
        if (!is_hidden && i-- == 0)
            return &common_options[c].option;
    }
    return NULL;
}

const struct lrc_command *lrc_command_find(const char *name)
{
    for (int i = 0; lrc_command_all[i]; i++) {
        if (strcmp(lrc_command_all[i]->name, name) == 0)
            return lrc_command_all[i];
    }
    return NULL;
}

static const struct lrc_option *find_or_tell(const struct lrc_command *command, const char *name, size_t n,
                                             struct lrc_problems *problems)
{
    char               word[128];
    struct lrc_nearest nearest = { .word = word };
    const size_t       n_kept = n < sizeof word ? n : sizeof word - 1;
    memcpy(word, name, n_kept);
    word[n_kept] = '\0';
    for (int i = 0; option_at(command, i); i++) {
        const struct lrc_option *option = option_at(command, i);
        if (strlen(option->name) == n && strncmp(option->name, name, n) == 0)
            return option;
        lrc_nearest_offer(&nearest, option->name);
    }
    if (nearest.best)
        lrc_problems_add(problems, "command line: unknown option '--%s' (did you mean '--%s'?)", word,
                         nearest.best);
    else
        lrc_problems_add(problems, "command line: unknown option '--%s'", word);
    return NULL;
}

static void push_option(struct lrc_cli *cli, const char *name, const char *value)
{
    ((const char **)cli->option_names)[cli->n_options] = name;
    ((const char **)cli->option_values)[cli->n_options++] = value;
}

/* The option at words[i]; returns the index of the last word it used. */
static int parse_option(struct lrc_cli *cli, char **words, int n_words, int i, struct lrc_problems *problems)
{
    const char              *name = words[i] + 2;
    const size_t             n = strcspn(name, "=");
    const char              *inline_value = name[n] == '=' ? name + n + 1 : NULL;
    const struct lrc_option *option = find_or_tell(cli->command, name, n, problems);
    if (!option)
        return i;
    if (!option->argument) {
        if (inline_value)
            lrc_problems_add(problems, "--%s: want no value, got '%.80s'", option->name, inline_value);
        push_option(cli, option->name, "");
    } else if (inline_value) {
        push_option(cli, option->name, inline_value);
    } else if (option->argument[0] == '[') {
        push_option(cli, option->name, "");
    } else if (i + 1 < n_words && strncmp(words[i + 1], "--", 2) != 0) {
        push_option(cli, option->name, words[++i]);
    } else if (i + 1 < n_words) {
        lrc_problems_add(problems, "--%s: want %s, got '%.80s' (--%s=... takes a value with dashes)",
                         option->name, option->argument, words[i + 1], option->name);
    } else {
        lrc_problems_add(problems, "--%s: want %s, got nothing", option->name, option->argument);
    }
    return i;
}

static int64_t read_int(const char *text, int64_t min, int64_t max, int *ok)
{
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    *ok = end != text && *end == '\0' && errno == 0 && strchr(" \t\n\v\f\r", *text) == NULL && value >= min &&
          value <= max;
    return value;
}

static int is_choice(const char *choices, const char *text)
{
    const size_t n = strlen(text);
    for (const char *part = choices; *part; part += strcspn(part, "|"), part += *part == '|') {
        if (strcspn(part, "|") == n && strncmp(part, text, n) == 0)
            return 1;
    }
    return 0;
}

static void check_common(const struct lrc_cli *cli, struct lrc_problems *problems)
{
    for (int c = 0; c < N_COMMON; c++) {
        const struct common_option *common = &common_options[c];
        const char *value = takes(cli->command, common) ? lrc_cli_option(cli, common->option.name) : NULL;
        int         ok = 1;
        if (!value || !common->option.argument)
            continue;
        if (common->choices && !is_choice(common->choices, value))
            lrc_problems_add(problems, "--%s: want one of %s, got '%.80s'", common->option.name,
                             common->choices, value);
        if (!common->choices)
            (void)read_int(value, common->min, common->max, &ok);
        if (!ok)
            lrc_problems_add(problems, "--%s: want an integer from %lld to %lld, got '%.80s'",
                             common->option.name, (long long)common->min, (long long)common->max, value);
    }
}

/* After an unknown option it cannot be told which words are its value, so a surplus is not reported then. */
static void check_count(const struct lrc_cli *cli, int has_unknown, struct lrc_problems *problems)
{
    const struct lrc_command *command = cli->command;
    const char *what = command->arguments && *command->arguments ? command->arguments : "no arguments";
    if (cli->n_arguments < command->arguments_min)
        lrc_problems_add(problems, "command line: want %s, got %s", what,
                         cli->n_arguments ? "fewer arguments" : "nothing");
    if (!has_unknown && command->arguments_max >= 0 && cli->n_arguments > command->arguments_max)
        lrc_problems_add(problems, "command line: want %s, got '%.80s'%s", what,
                         cli->arguments[command->arguments_max],
                         command->arguments_max > 0 ? " as well" : "");
}

enum lrc_status lrc_cli_parse(struct lrc_cli *cli, const struct lrc_command *command, char **arguments,
                              int n_arguments, struct lrc_problems *problems, struct lrc_error *err)
{
    const char **positional = lrc_calloc(n_arguments, sizeof *positional);
    int          only_arguments = 0;
    const int    count = problems->count;
    *cli = (struct lrc_cli){ .command = command, .arguments = positional };
    cli->option_names = lrc_calloc(n_arguments, sizeof *cli->option_names);
    cli->option_values = lrc_calloc(n_arguments, sizeof *cli->option_values);
    if (!positional || !cli->option_names || !cli->option_values) {
        lrc_cli_release(cli);
        return lrc_fail_nomem(err, "command line");
    }
    for (int i = 0; i < n_arguments; i++) {
        const char *word = arguments[i];
        if (only_arguments || word[0] != '-' || word[1] == '\0')
            positional[cli->n_arguments++] = word;
        else if (strcmp(word, "--") == 0)
            only_arguments = 1;
        else if (strcmp(word, "-h") == 0)
            push_option(cli, "help", "");
        else if (word[1] == '-')
            i = parse_option(cli, arguments, n_arguments, i, problems);
        else
            lrc_problems_add(problems, "command line: unknown option '%.80s'", word);
    }
    if (lrc_cli_has(cli, "help"))
        return LRC_STATUS_OK;
    check_count(cli, problems->count > count, problems);
    check_common(cli, problems);
    return lrc_problems_fail(problems, LRC_STATUS_USAGE, "command line", err);
}

void lrc_cli_release(struct lrc_cli *cli)
{
    lrc_free((void *)cli->arguments);
    lrc_free((void *)cli->option_names);
    lrc_free((void *)cli->option_values);
    *cli = (struct lrc_cli){ 0 };
}

const char *lrc_cli_option(const struct lrc_cli *cli, const char *name)
{
    for (int i = cli->n_options - 1; i >= 0; i--) {
        if (strcmp(cli->option_names[i], name) == 0)
            return cli->option_values[i];
    }
    return NULL;
}

int lrc_cli_has(const struct lrc_cli *cli, const char *name)
{
    return lrc_cli_option(cli, name) != NULL;
}

enum lrc_status lrc_cli_int(const struct lrc_cli *cli, const char *name, int64_t *value, int64_t min,
                            int64_t max, struct lrc_error *err)
{
    const char *text = lrc_cli_option(cli, name);
    int         ok;
    if (!text)
        return LRC_STATUS_OK;
    const int64_t number = read_int(text, min, max, &ok);
    if (!ok)
        return lrc_fail(err, LRC_STATUS_USAGE, "--%s: want an integer from %lld to %lld, got '%.80s'", name,
                        (long long)min, (long long)max, text);
    *value = number;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_cli_note(struct lrc_problems *problems, enum lrc_status status,
                             const struct lrc_error *err)
{
    if (status != LRC_STATUS_USAGE)
        return status;
    lrc_problems_add(problems, "%s", err->message);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_cli_number(const struct lrc_cli *cli, const char *name, double *value, double min,
                               double max, struct lrc_error *err)
{
    const char *text = lrc_cli_option(cli, name);
    char       *end;
    if (!text)
        return LRC_STATUS_OK;
    const double number = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(number) || !(number >= min && number <= max))
        return lrc_fail(err, LRC_STATUS_USAGE, "--%s: want a number from %.10g to %.10g, got '%.80s'", name,
                        min, max, text);
    *value = number;
    return LRC_STATUS_OK;
}

/* "--adapter DIR", "--resume[=DIR]", "-h, --help" */
static void write_spelling(struct lrc_buf *buf, const struct lrc_option *option)
{
    lrc_buf_printf(buf, "%s--%s", strcmp(option->name, "help") == 0 ? "-h, " : "", option->name);
    if (option->argument && option->argument[0] == '[')
        lrc_buf_printf(buf, "[=%s", option->argument + 1);
    else if (option->argument)
        lrc_buf_printf(buf, " %s", option->argument);
}

void lrc_usage_write_command(struct lrc_buf *buf, const struct lrc_command *command)
{
    const int has_arguments = command->arguments && *command->arguments;
    lrc_buf_printf(buf, "lorica %s: %s\n\nUsage: lorica %s%s%s [options]\n\nOptions:\n", command->name,
                   command->summary, command->name, has_arguments ? " " : "",
                   has_arguments ? command->arguments : "");
    for (int i = 0; option_at(command, i); i++) {
        const struct lrc_option *option = option_at(command, i);
        const size_t             start = buf->len;
        lrc_buf_puts(buf, "  ");
        write_spelling(buf, option);
        const size_t length = buf->len - start;
        if (length > 28)
            lrc_buf_printf(buf, "\n%30s%s\n", "", option->help);
        else
            lrc_buf_printf(buf, "%*s%s\n", (int)(30 - length), "", option->help);
    }
}

void lrc_usage_write_overview(struct lrc_buf *buf)
{
    lrc_buf_puts(buf, "Lorica fine-tunes open language models on your own machine.\n\n"
                      "Usage: lorica COMMAND [arguments] [options]\n\nCommands:\n");
    for (int i = 0; lrc_command_all[i]; i++)
        lrc_buf_printf(buf, "  %-12s %s\n", lrc_command_all[i]->name, lrc_command_all[i]->summary);
    lrc_buf_puts(buf, "\n'lorica help COMMAND' (or 'lorica COMMAND -h') tells more; 'lorica --version' "
                      "prints the version.\n");
}
