/* The token cache ahead of training, and a look at what is trained. */
#include "base/alloc.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/stop.h"
#include "cli/token_view.h"
#include "train/preprocess.h"

#include <stdio.h>
#include <string.h>

static int is_target(const void *targets, int64_t i)
{
    return i > 0 && ((const int32_t *)targets)[i - 1] >= 0;
}

/* ids, targets: room for the longest row. */
static enum lrc_status show_row(struct lrc_token_view *view, const struct lrc_dataset *dataset, int64_t i,
                                int with_ids, int32_t *ids, int32_t *targets, struct lrc_error *err)
{
    static const char *const sides[] = {
        [LRC_SIDE_NONE] = "", [LRC_SIDE_CHOSEN] = ", chosen", [LRC_SIDE_REJECTED] = ", rejected"
    };
    const struct lrc_example *example = &dataset->examples[i];
    LRC_TRY(lrc_dataset_read(dataset, example, ids, targets, err));
    const struct lrc_marked_tokens tokens = { ids, example->n_tokens, is_target, targets };
    lrc_buf_clear(&view->out);
    lrc_buf_printf(&view->out, "row %u%s: %lld tokens, %lld trained\n", example->row_id, sides[example->side],
                   (long long)example->n_tokens, (long long)example->n_trained);
    LRC_TRY(lrc_token_view_text(view, &tokens, err));
    if (with_ids)
        lrc_token_view_list(view, &tokens);
    lrc_buf_putc(&view->out, '\n');
    LRC_TRY(lrc_buf_check(&view->out, err));
    lrc_cli_write(view->out.data, view->out.len);
    return LRC_STATUS_OK;
}

static enum lrc_status show_rows(const struct lrc_cli *cli, const struct lrc_preprocessed *data,
                                 int64_t n_rows, struct lrc_error *err)
{
    struct lrc_token_view view = { .tokenizer = data->tokenizer };
    int32_t              *ids = lrc_calloc(data->dataset.longest, sizeof *ids);
    int32_t              *targets = lrc_calloc(data->dataset.longest, sizeof *targets);
    lrc_token_view_init(&view);
    enum lrc_status status = ids && targets ? LRC_STATUS_OK : lrc_fail_nomem(err, "the rows to be shown");
    for (int64_t i = 0; i < n_rows && i < data->dataset.n_examples && status == LRC_STATUS_OK; i++)
        status = show_row(&view, &data->dataset, i, lrc_cli_has(cli, "ids"), ids, targets, err);
    lrc_free(ids);
    lrc_free(targets);
    lrc_buf_release(&view.out);
    return status;
}

static void print_summary(const struct lrc_cli *cli, const struct lrc_preprocessed *data)
{
    const struct lrc_dataset *rows = &data->dataset, *tests = &data->tests;
    const int64_t             n_kept = rows->n_examples - rows->n_further;
    if (lrc_cli_has(cli, "json"))
        lrc_cli_print("{\"rows\": %lld, \"kept\": %lld, \"examples\": %lld, \"tokens\": %lld, \"trained\": "
                      "%lld, \"longest\": %lld, "
                      "\"test_rows\": %lld, \"test_kept\": %lld}\n",
                      (long long)rows->n_rows, (long long)n_kept, (long long)rows->n_examples,
                      (long long)rows->n_tokens, (long long)rows->n_trained, (long long)rows->longest,
                      (long long)tests->n_rows, (long long)(tests->n_examples - tests->n_further));
    else
        lrc_cli_print("%lld of %lld rows, %lld tokens, %lld trained, longest %lld\n", (long long)n_kept,
                      (long long)rows->n_rows, (long long)rows->n_tokens, (long long)rows->n_trained,
                      (long long)rows->longest);
}

static void show_progress(const struct lrc_load_progress *progress)
{
    lrc_progress_rows(progress->n_rows, progress->bytes, progress->bytes_all);
}

static enum lrc_status preprocess(const struct lrc_cli *cli, const struct lrc_config *config,
                                  struct lrc_problems *problems, struct lrc_error *err)
{
    int64_t                 n_shown = 0;
    struct lrc_preprocessed data = { 0 };
    LRC_TRY(lrc_cli_int(cli, "show", &n_shown, 1, INT64_MAX, err));
    if (n_shown == 0 && !config->dataset_prepared_path)
        return lrc_fail(
            err, LRC_STATUS_CONFIG,
            "preprocess: want dataset_prepared_path, the folder of the token cache, or --show N, got "
            "neither");
    if (n_shown == 0 && lrc_cli_has(cli, "ids"))
        return lrc_fail(err, LRC_STATUS_USAGE, "--ids: want --show N with it, got none");
    enum lrc_status status = lrc_preprocess(&data, config, show_progress, lrc_stop_catch(), problems, err);
    lrc_progress_end();
    if (status == LRC_STATUS_OK && n_shown > 0 && !lrc_cli_has(cli, "json"))
        status = show_rows(cli, &data, n_shown, err);
    if (status == LRC_STATUS_OK)
        print_summary(cli, &data);
    lrc_preprocessed_release(&data);
    return status;
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_config config = { 0 };
    struct lrc_buf    threads = { 0 };
    int               n = cli->n_arguments - 1;
    const char      **overrides = lrc_calloc(n + 1, sizeof *overrides);
    if (!overrides)
        return lrc_fail_nomem(err, "command line");
    memcpy(overrides, cli->arguments + 1, (size_t)n * sizeof *overrides);
    enum lrc_status status = LRC_STATUS_OK;
    if (lrc_cli_has(cli, "threads")) {
        lrc_buf_printf(&threads, "threads=%s", lrc_cli_option(cli, "threads"));
        status = lrc_buf_check(&threads, err);
        overrides[n++] = lrc_buf_text(&threads);
    }
    if (status == LRC_STATUS_OK)
        status = lrc_config_load(&config, cli->arguments[0], overrides, n, problems, err);
    if (status == LRC_STATUS_OK)
        status = preprocess(cli, &config, problems, err);
    lrc_config_release(&config);
    lrc_buf_release(&threads);
    lrc_free(overrides);
    return status;
}

static const struct lrc_option preprocess_options[] = {
    { "show", "N", "print the first N rows, trained tokens in colour or in [[...]]" },
    { "ids", NULL, "with --show: also every token's id and piece, + for trained ones" },
    { NULL, NULL, NULL },
};

const struct lrc_command lrc_command_preprocess = {
    .name = "preprocess",
    .arguments = "CONFIG [key=value ...]",
    .summary = "token cache ahead of training; shows rows with what is trained",
    .arguments_min = 1,
    .arguments_max = -1,
    .options = preprocess_options,
    .common = LRC_COMMON_THREADS,
    .run = run,
};
