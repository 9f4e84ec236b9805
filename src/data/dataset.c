#include "data/dataset.h"

#include "base/alloc.h"
#include "base/log.h"
#include "data/token_store.h"
#include <stdio.h>
#include <string.h>

void lrc_token_part_release(struct lrc_token_part *part)
{
    lrc_free(part->ids);
    lrc_free(part->targets);
    lrc_free(part->examples);
    lrc_free(part->rows);
    *part = (struct lrc_token_part){ 0 };
}

void lrc_dataset_release(struct lrc_dataset *dataset)
{
    if (!dataset->borrows_tokens) {
        lrc_free(dataset->ids);
        lrc_free(dataset->targets);
        lrc_token_store_close(dataset->store);
    }
    lrc_free(dataset->examples);
    lrc_free(dataset->rows);
    for (int64_t i = 0; i < dataset->n_files; i++)
        lrc_free(dataset->files[i]);
    lrc_free(dataset->files);
    lrc_free(dataset->file_specs);
    lrc_free(dataset->file_hashes);
    *dataset = (struct lrc_dataset){ 0 };
}

enum lrc_status lrc_dataset_read(const struct lrc_dataset *dataset, const struct lrc_example *example,
                                 int32_t *ids, int32_t *targets, struct lrc_error *err)
{
    const size_t bytes = (size_t)example->n_tokens * sizeof *ids;
    if (dataset->store)
        return lrc_token_store_read(dataset->store, example, ids, targets, err);
    LRC_ASSERT(dataset->ids);
    memcpy(ids, dataset->ids + example->first, bytes);
    memcpy(targets, dataset->targets + example->first, bytes);
    return LRC_STATUS_OK;
}

void lrc_dataset__number_further(struct lrc_dataset *dataset, struct lrc_example *example)
{
    example->id = (uint32_t)(UINT32_MAX - LRC_EXAMPLE_ID_SPARE - dataset->n_further++);
}

void lrc_dataset__recount(struct lrc_dataset *dataset)
{
    dataset->longest = dataset->n_tokens = dataset->n_trained = 0;
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        const struct lrc_example *example = &dataset->examples[i];
        dataset->longest = example->n_tokens > dataset->longest ? example->n_tokens : dataset->longest;
        dataset->n_tokens += example->n_tokens;
        dataset->n_trained += example->n_trained;
    }
}

/* 35120 as "35,120". */
static void append_count(struct lrc_buf *line, int64_t n)
{
    char      digits[24];
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            lrc_buf_putc(line, ',');
        lrc_buf_putc(line, digits[i]);
    }
}

static void append_fates(struct lrc_buf *line, const int64_t tally[LRC_ROW_FATE_COUNT])
{
    static const char *const words[LRC_ROW_FATE_COUNT] = {
#define XX(name, text) [LRC_ROW_##name] = text,
        LRC_ROW_FATE_MAP(XX)
#undef XX
    };
    for (int fate = 0; fate < LRC_ROW_FATE_COUNT; fate++) {
        if (tally[fate] == 0 && fate != LRC_ROW_KEPT)
            continue;
        lrc_buf_puts(line, fate == LRC_ROW_KEPT ? "" : ", ");
        append_count(line, tally[fate]);
        lrc_buf_printf(line, " %s", words[fate]);
    }
}

void lrc_dataset__log_fates(const char *subject, int64_t n_rows, const int64_t tally[LRC_ROW_FATE_COUNT],
                            int64_t n_tokens, int64_t n_trained)
{
    struct lrc_buf line = { 0 };
    lrc_buf_printf(&line, "%s: ", subject);
    append_count(&line, n_rows);
    lrc_buf_printf(&line, " row%s: ", n_rows == 1 ? "" : "s");
    append_fates(&line, tally);
    lrc_buf_puts(&line, "; ");
    append_count(&line, n_tokens);
    lrc_buf_puts(&line, " tokens, ");
    append_count(&line, n_trained);
    lrc_buf_puts(&line, " trained");
    lrc_log_info("%s", lrc_buf_text(&line));
    lrc_buf_release(&line);
}

/* A wrong type or template shows in this: rows are read, and nothing in them is learned. */
static enum lrc_status check_masks(const struct lrc_dataset *dataset, int64_t n_meant, struct lrc_error *err)
{
    const int64_t n_untrained = dataset->tally[LRC_ROW_NO_TARGET];
    if (2 * n_untrained <= n_meant)
        return LRC_STATUS_OK;
    return lrc_fail(
        err, LRC_STATUS_DATA,
        "data: want a trained token in at least half of the rows, got none in %lld of %lld; are type, "
        "roles_to_train and sequence_len right? (with max_lost_rows_fraction given, its limit counts "
        "instead)",
        (long long)n_untrained, (long long)n_meant);
}

enum lrc_status lrc_dataset_check(const struct lrc_dataset         *dataset,
                                  const struct lrc_dataset_options *options, struct lrc_error *err)
{
    const int64_t n_meant = dataset->n_rows - dataset->tally[LRC_ROW_NOT_IN_SPLIT];
    const int64_t n_lost = n_meant - dataset->tally[LRC_ROW_KEPT] - dataset->tally[LRC_ROW_SPLIT] -
                           dataset->tally[LRC_ROW_DUPLICATE];
    struct lrc_buf  fates = { 0 };
    enum lrc_status status = LRC_STATUS_OK;
    append_fates(&fates, dataset->tally);
    if (dataset->n_examples == 0)
        status = lrc_fail(err, LRC_STATUS_DATA,
                          "data: want at least one row with a trained token, got none of %lld (%s)",
                          (long long)dataset->n_rows, lrc_buf_text(&fates));
    if (status == LRC_STATUS_OK && options->check_masks)
        status = check_masks(dataset, n_meant, err);
    if (status == LRC_STATUS_OK && (double)n_lost > options->max_lost_rows_fraction * (double)n_meant)
        status = lrc_fail(err, LRC_STATUS_DATA,
                          "data: want at most %g of the rows lost (max_lost_rows_fraction), got %lld of %lld "
                          "(%s); sequence_len is %lld; "
                          "max_lost_rows_fraction: 1 allows it",
                          options->max_lost_rows_fraction, (long long)n_lost, (long long)n_meant,
                          lrc_buf_text(&fates), (long long)options->sequence_len);
    lrc_buf_release(&fates);
    return status;
}
