/* Text to token ids and back. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "formats/model_dir.h"
#include "tokenizer/tokenizer.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct lrc_option options[] = {
    { "text", "TEXT", "the text to encode (with --decode: the ids)" },
    { "file", "FILE", "read it from a file" },
    { "decode", NULL, "the way back: ids, separated by blanks, commas or as a JSON array, to text" },
    { "no-special", NULL, "add no special tokens (BOS, EOS); with --decode: leave them out of the text" },
    { "speed", NULL,
      "encode the text three times and print tokens, seconds of the fastest and tokens per second" },
    { NULL, NULL, NULL },
};

static enum lrc_status read_stdin(struct lrc_buf *text, struct lrc_error *err)
{
    char   block[65536];
    size_t n;
    while ((n = fread(block, 1, sizeof block, stdin)) > 0)
        lrc_buf_append(text, block, n);
    if (ferror(stdin))
        return lrc_fail_errno(err, "standard input: cannot read");
    return lrc_buf_check(text, err);
}

static enum lrc_status read_input(struct lrc_buf *text, const struct lrc_cli *cli, struct lrc_error *err)
{
    const char *given = lrc_cli_option(cli, "text"), *file = lrc_cli_option(cli, "file");
    const int   from_stdin = cli->n_arguments > 1;
    if (from_stdin && strcmp(cli->arguments[1], "-") != 0)
        return lrc_fail(err, LRC_STATUS_USAGE,
                        "tokenize: want '-' after the model, got '%s' (a text goes behind --text)",
                        cli->arguments[1]);
    if ((given != NULL) + (file != NULL) + from_stdin != 1)
        return lrc_fail(err, LRC_STATUS_USAGE, "tokenize: want one of --text TEXT, --file FILE and -, got %s",
                        given || file || from_stdin ? "several" : "none");
    if (from_stdin)
        return read_stdin(text, err);
    if (file)
        return lrc_file_read(text, file, err);
    lrc_buf_puts(text, given);
    return lrc_buf_check(text, err);
}

/* "1 2, 3" or "[1, 2, 3]". */
static enum lrc_status parse_ids(struct lrc_ids *ids, const struct lrc_buf *text, struct lrc_error *err)
{
    const char *at = lrc_buf_text(text);
    for (at += strspn(at, " \t\r\n,[]"); *at; at += strspn(at, " \t\r\n,[]")) {
        char *end;
        errno = 0;
        const long id = strtol(at, &end, 10);
        if (end == at || errno != 0 || id < 0 || id > INT32_MAX || !strchr(" \t\r\n,[]", *end))
            return lrc_fail(err, LRC_STATUS_DATA, "ids: want integers from 0 to 2147483647, got '%.20s'", at);
        lrc_ids_append(ids, (int32_t)id);
        at = end;
    }
    if (strlen(lrc_buf_text(text)) != text->len)
        return lrc_fail(err, LRC_STATUS_DATA, "ids: want text, got a NUL byte");
    return lrc_ids_check(ids, err);
}

static void append_ids(struct lrc_buf *out, const struct lrc_ids *ids)
{
    lrc_buf_puts(out, "{\"ids\":[");
    for (int64_t i = 0; i < ids->len; i++)
        lrc_buf_printf(out, "%s%d", i ? "," : "", ids->data[i]);
    lrc_buf_puts(out, "]");
}

static void show_ids(struct lrc_buf *out, const struct lrc_tokenizer *tokenizer, const struct lrc_ids *ids,
                     int as_json)
{
    if (as_json) {
        append_ids(out, ids);
        lrc_buf_puts(out, ",\"pieces\":[");
    }
    for (int64_t i = 0; i < ids->len; i++) {
        const char *piece = lrc_tokenizer_piece(tokenizer, ids->data[i]);
        piece = piece ? piece : "";
        lrc_buf_puts(out, as_json && i ? "," : "");
        if (!as_json)
            lrc_buf_printf(out, "%d\t", ids->data[i]);
        lrc_json_append_string(out, piece, strlen(piece));
        lrc_buf_puts(out, as_json ? "" : "\n");
    }
    lrc_buf_puts(out, as_json ? "]}\n" : "");
}

static void show_text(struct lrc_buf *out, const struct lrc_ids *ids, const struct lrc_buf *text, int as_json)
{
    if (as_json) {
        append_ids(out, ids);
        lrc_buf_puts(out, ",\"text\":");
        lrc_json_append_string(out, lrc_buf_text(text), text->len);
        lrc_buf_puts(out, "}");
    } else {
        lrc_buf_append(out, lrc_buf_text(text), text->len);
    }
    lrc_buf_putc(out, '\n');
}

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static enum lrc_status show_speed(struct lrc_buf *out, const struct lrc_tokenizer *tokenizer,
                                  const struct lrc_buf *text, enum lrc_special special, int as_json,
                                  struct lrc_error *err)
{
    enum { N_TIMES = 3 };
    struct lrc_ids  ids = { 0 };
    enum lrc_status status = LRC_STATUS_OK;
    double          best_s = INFINITY;
    for (int i = 0; i < N_TIMES && status == LRC_STATUS_OK; i++) {
        const double start_s = seconds_now();
        ids.len = 0;
        status = lrc_tokenizer_encode(tokenizer, &ids, lrc_buf_text(text), text->len, special, err);
        best_s = fmin(best_s, seconds_now() - start_s);
    }
    const double per_s = best_s > 0 ? (double)ids.len / best_s : 0;
    lrc_buf_printf(out,
                   as_json ? "{\"tokens\":%lld,\"seconds\":%.6f,\"tokens_per_s\":%.0f}\n"
                           : "%lld tokens, %.6f s, %.0f tokens/s\n",
                   (long long)ids.len, best_s, per_s);
    lrc_ids_release(&ids);
    return status;
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    (void)problems;
    const int              as_json = lrc_cli_has(cli, "json"), bare = lrc_cli_has(cli, "no-special");
    const enum lrc_special special = bare ? LRC_SPECIAL_NONE : LRC_SPECIAL_ADD;
    struct lrc_buf         input = { 0 }, text = { 0 }, out = { 0 };
    struct lrc_ids         ids = { 0 };
    struct lrc_tokenizer  *tokenizer = NULL;
    enum lrc_status        status = read_input(&input, cli, err);
    if (status == LRC_STATUS_OK)
        status = lrc_model_dir_check(cli->arguments[0], err);
    if (status == LRC_STATUS_OK)
        status = lrc_tokenizer_load(&tokenizer, cli->arguments[0], err);
    if (status != LRC_STATUS_OK)
        goto done;
    if (lrc_cli_has(cli, "decode")) {
        status = parse_ids(&ids, &input, err);
        if (status == LRC_STATUS_OK)
            status = lrc_tokenizer_decode(tokenizer, &text, ids.data, ids.len,
                                          bare ? LRC_SKIP_SPECIAL : LRC_SKIP_NONE, err);
        show_text(&out, &ids, &text, as_json);
    } else if (lrc_cli_has(cli, "speed")) {
        status = show_speed(&out, tokenizer, &input, special, as_json, err);
    } else {
        status = lrc_tokenizer_encode(tokenizer, &ids, lrc_buf_text(&input), input.len, special, err);
        show_ids(&out, tokenizer, &ids, as_json);
    }
    if (status == LRC_STATUS_OK)
        status = lrc_buf_check(&out, err);
    if (status == LRC_STATUS_OK)
        lrc_cli_write(out.data, out.len);
done:
    lrc_buf_release(&input);
    lrc_buf_release(&text);
    lrc_buf_release(&out);
    lrc_ids_release(&ids);
    lrc_tokenizer_free(tokenizer);
    return status;
}

const struct lrc_command lrc_command_tokenize = {
    .name = "tokenize",
    .arguments = "MODEL (--text TEXT | --file FILE | -)",
    .summary = "text to token ids and pieces, and back",
    .arguments_min = 1,
    .arguments_max = 2,
    .options = options,
    .common = LRC_COMMON_NONE,
    .run = run,
};
