/* Which characters are pieces of a vocabulary, and which stand side by side in one. */
#ifndef LRC_TOKENIZER_CHAR_PAIRS_H
#define LRC_TOKENIZER_CHAR_PAIRS_H

#include "base/status.h"
#include "tokenizer/vocab.h"
#include <stddef.h>
#include <stdint.h>

enum { LRC_CHAR_PAIR_BITS = 1 << 20, LRC_CHARS_END = 0x110000 };

struct lrc_char_pairs {
    uint64_t *pairs; /* by hash: a pair that is in no piece may be taken for one, never the other way round */
    uint64_t *chars; /* by code point */
};

/* Of the pieces with ids below n_ids. errors: NOMEM. */
enum lrc_status lrc_char_pairs_index(struct lrc_char_pairs *pairs, const struct lrc_vocab *vocab,
                                     int64_t n_ids, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_char_pairs_release(struct lrc_char_pairs *pairs);

/* Bytes of text, n >= 1, up to the first place between two characters that are pieces and are together in none; n when
 * there is no such place. */
size_t lrc_char_pairs_cut(const struct lrc_char_pairs *pairs, const char *text, size_t n);

#endif
