#include "tokenizer/splits.h"

#include "base/alloc.h"

void lrc_splits_close(struct lrc_splits *splits)
{
    if (splits->n == splits->cap && !splits->failed) {
        const int64_t cap = splits->cap ? splits->cap * 2 : 64;
        size_t       *ends = lrc_realloc(splits->ends, cap, sizeof *ends);
        if (ends) {
            splits->ends = ends;
            splits->cap = cap;
        }
        splits->failed = !ends;
    }
    if (!splits->failed)
        splits->ends[splits->n++] = splits->text.len;
}

void lrc_splits_append(struct lrc_splits *splits, const char *piece, size_t n)
{
    lrc_buf_append(&splits->text, piece, n);
    lrc_splits_close(splits);
}

void lrc_splits_clear(struct lrc_splits *splits)
{
    lrc_buf_clear(&splits->text);
    splits->n = 0;
    splits->at_start = 0;
}

void lrc_splits_release(struct lrc_splits *splits)
{
    lrc_buf_release(&splits->text);
    lrc_free(splits->ends);
    *splits = (struct lrc_splits){ 0 };
}

enum lrc_status lrc_splits_check(const struct lrc_splits *splits, struct lrc_error *err)
{
    return splits->failed || splits->text.failed
               ? lrc_fail(err, LRC_STATUS_NOMEM, "pieces of text: out of memory")
               : LRC_STATUS_OK;
}
