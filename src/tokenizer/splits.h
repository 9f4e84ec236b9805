/* A text cut into pieces: what pre-tokenizers and decoders hand from stage to stage. */
#ifndef LRC_TOKENIZER_SPLITS_H
#define LRC_TOKENIZER_SPLITS_H

#include "base/buf.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

struct lrc_splits {
    struct lrc_buf text; /* the pieces one after the other */
    size_t        *ends; /* where each ends in text */
    int64_t        n, cap;
    int            at_start; /* piece 0 begins where the raw text begins */
    int            failed;   /* sticky, as in lrc_buf */
};

/* Pieces are written into text, then closed. Empty pieces are kept: decoders need them. */
void            lrc_splits_close(struct lrc_splits *splits);
void            lrc_splits_append(struct lrc_splits *splits, const char *piece, size_t n);
void            lrc_splits_clear(struct lrc_splits *splits);
void            lrc_splits_release(struct lrc_splits *splits);
enum lrc_status lrc_splits_check(const struct lrc_splits *splits, struct lrc_error *err) LRC_MUST_CHECK;

static inline const char *lrc_splits_get(const struct lrc_splits *splits, int64_t i, size_t *n)
{
    const size_t start = i > 0 ? splits->ends[i - 1] : 0;
    *n = splits->ends[i] - start;
    return lrc_buf_text(&splits->text) + start;
}

#endif
