/* The precompiled_charsmap of SentencePiece: replacements of characters, sought by longest match.
 *
 *   1. u32 LE: bytes of the trie
 *   2. the trie: u32 LE units of a darts-clone double array
 *   3. the replacements, each with a NUL after it; a trie value is an offset here
 *
 * source: sentencepiece, normalizer.cc; darts-clone, darts.h (unit layout) */
#ifndef LRC_TOKENIZER_CHARSMAP_H
#define LRC_TOKENIZER_CHARSMAP_H

#include "base/buf.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

struct lrc_charsmap {
    uint32_t      *units; /* NULL: no replacements */
    int64_t        n_units;
    struct lrc_buf replacements;
};

/* errors: FORMAT, NOMEM. Empty bytes give an empty map. */
enum lrc_status lrc_charsmap_read(struct lrc_charsmap *charsmap, const char *bytes, size_t n,
                                  const char *name, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_charsmap_release(struct lrc_charsmap *charsmap);

enum lrc_charsmap_match { LRC_CHARSMAP_LONGEST, LRC_CHARSMAP_SHORTEST };

/* The replacement of the longest (shortest) key that text begins with and the key's length; NULL when there
 * is none. */
const char *lrc_charsmap_find(const struct lrc_charsmap *charsmap, const char *text, size_t n,
                              enum lrc_charsmap_match match, size_t *n_key);

/* Append text as Hugging Face's Precompiled does it: a grapheme cluster of less than six bytes as a whole,
 * else each character. errors: none of its own; the buffer's failure is sticky. */
void lrc_charsmap_apply(const struct lrc_charsmap *charsmap, struct lrc_buf *out, const char *text, size_t n);

#endif
