#include "data/ledger.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include <string.h>

static void put_row(struct lrc_buf *line, const struct lrc_dataset *dataset, int64_t row, const char *set)
{
    static const char *const words[LRC_ROW_FATE_COUNT] = {
#define XX(name, text) [LRC_ROW_##name] = text,
        LRC_ROW_FATE_MAP(XX)
#undef XX
    };
    const struct lrc_row_record *record = &dataset->rows[row];
    const char                  *file = dataset->files[record->file];
    lrc_buf_printf(line, "{\"row\": %lld, \"file\": ", (long long)row);
    lrc_json_append_string(line, file, strlen(file));
    lrc_buf_printf(
        line,
        ", \"line\": %lld, \"set\": \"%s\", \"fate\": \"%s\", \"examples\": %lld, \"tokens\": %lld, "
        "\"kept_tokens\": %lld, \"trained_tokens\": %lld}\n",
        (long long)record->line, set, words[record->fate], (long long)record->n_examples,
        (long long)record->n_tokens, (long long)record->n_kept, (long long)record->n_trained);
}

/* is_held: by row; NULL when all rows are of one set. */
static enum lrc_status put_rows(struct lrc_out *out, const struct lrc_dataset *dataset,
                                const unsigned char *is_held, const char *set, struct lrc_error *err)
{
    struct lrc_buf  line = { 0 };
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t row = 0; dataset->rows && row < dataset->n_rows && status == LRC_STATUS_OK; row++) {
        lrc_buf_clear(&line);
        put_row(&line, dataset, row, is_held && is_held[row] ? "held out" : set);
        status = lrc_buf_check(&line, err);
        if (status == LRC_STATUS_OK)
            status = lrc_out_write(out, line.data, line.len, err);
    }
    lrc_buf_release(&line);
    return status;
}

static enum lrc_status put_sets(struct lrc_out *out, const struct lrc_dataset *training,
                                const struct lrc_dataset *held_out, struct lrc_error *err)
{
    unsigned char *is_held = NULL;
    if (held_out->borrows_tokens) {
        is_held = lrc_calloc(training->n_rows, 1);
        if (!is_held)
            return lrc_fail_nomem(err, "the row ledger");
        for (int64_t i = 0; i < held_out->n_examples; i++)
            is_held[held_out->examples[i].row_id] = 1;
    }
    enum lrc_status status = put_rows(out, training, is_held, "training", err);
    if (status == LRC_STATUS_OK)
        status = put_rows(out, held_out, NULL, "held out", err);
    lrc_free(is_held);
    return status;
}

enum lrc_status lrc_ledger_write(const char *path, const struct lrc_dataset *training,
                                 const struct lrc_dataset *held_out, struct lrc_error *err)
{
    struct lrc_out out;
    LRC_TRY(lrc_out_open(&out, path, err));
    enum lrc_status status = put_sets(&out, training, held_out, err);
    if (status == LRC_STATUS_OK)
        return lrc_out_commit(&out, err);
    lrc_out_abort(&out);
    return status;
}
