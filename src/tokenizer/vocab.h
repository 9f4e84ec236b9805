/* Pieces of text and their ids, both ways. */
#ifndef LRC_TOKENIZER_VOCAB_H
#define LRC_TOKENIZER_VOCAB_H

#include "base/buf.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

enum { LRC_VOCAB_IDS_MAX = 1 << 22 }; /* bounds what a damaged id can make us allocate */

struct lrc_vocab_piece {
    size_t offset; /* in text */
    size_t n;      /* bytes */
    int    there;  /* 0: no piece has this id */
};

struct lrc_vocab {
    struct lrc_buf          text;   /* all pieces, each with a NUL after it */
    struct lrc_vocab_piece *pieces; /* by id */
    int64_t                 n_ids;  /* one more than the largest id */
    int64_t                 cap_ids;
    int32_t                *slots;   /* open addressing: id + 1, 0 for an empty slot */
    int64_t                 n_slots; /* power of two, at least twice n_pieces */
    int64_t                 n_pieces;
};

/* errors: FORMAT when the id is out of range or taken, or the piece is there already; NOMEM. */
enum lrc_status lrc_vocab_add(struct lrc_vocab *vocab, const char *piece, size_t n, int64_t id,
                              struct lrc_error *err) LRC_MUST_CHECK;
int32_t     lrc_vocab_find(const struct lrc_vocab *vocab, const char *piece, size_t n); /* -1: not there */
const char *lrc_vocab_piece(const struct lrc_vocab *vocab, int64_t id,
                            size_t *n); /* NULL: not there; n may be NULL */
void        lrc_vocab_release(struct lrc_vocab *vocab);

uint64_t lrc_hash_text(const char *text, size_t n); /* for tables in memory, never stored */

#endif
