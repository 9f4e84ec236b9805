/* Tokens written in the text itself: found before the model sees the text, leftmost first, the longest of
 * those. */
#ifndef LRC_TOKENIZER_ADDED_TOKENS_H
#define LRC_TOKENIZER_ADDED_TOKENS_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include "tokenizer/trie.h"
#include "tokenizer/vocab.h"
#include <stddef.h>
#include <stdint.h>

struct lrc_normalizer;

struct lrc_added_token {
    int32_t id;
    int     single_word;    /* only where no word character touches it */
    int     lstrip, rstrip; /* takes the white space beside it */
    int     normalized;     /* its normalized content is sought in the normalized text */
    int     verbatim;       /* with normalized: sought as it stands (SentencePiece's user-defined pieces) */
    int     special;        /* left out by LRC_SKIP_SPECIAL */
    size_t  text_offset, n_text; /* in texts */
};

struct lrc_added_tokens {
    struct lrc_added_token *tokens;
    int64_t                 n, cap;
    struct lrc_vocab        vocab; /* their contents and ids */
    struct lrc_buf          texts; /* what the decoder gets of them */
    struct lrc_trie         raw;   /* values: index into tokens */
    struct lrc_trie         normalized;
};

/* What the decoder sees of a token, as in tokenizers 0.23 (0.19 still gave the content as written). */
const char *lrc_added_tokens_text(const struct lrc_added_tokens *added, const struct lrc_added_token *token,
                                  size_t *n);

/* Add a token; one whose content is there already is left as it was. errors: FORMAT (id taken), NOMEM. */
enum lrc_status lrc_added_tokens_add(struct lrc_added_tokens *added, const char *content, size_t n,
                                     struct lrc_added_token token, struct lrc_error *err) LRC_MUST_CHECK;

/* One element of "added_tokens" or one value of "added_tokens_decoder" (its key is the id). An id the model's
 * vocabulary gives the content wins over the one in the file. */
enum lrc_status lrc_added_tokens_read(struct lrc_added_tokens *added, const json_t *json, int64_t id,
                                      const struct lrc_vocab *model, const char *name,
                                      struct lrc_error *err) LRC_MUST_CHECK;

/* Build the two tries, once all tokens are there. */
enum lrc_status lrc_added_tokens_index(struct lrc_added_tokens     *added,
                                       const struct lrc_normalizer *normalizer,
                                       struct lrc_error            *err) LRC_MUST_CHECK;
void            lrc_added_tokens_release(struct lrc_added_tokens *added);

const struct lrc_added_token *lrc_added_tokens_find(const struct lrc_added_tokens *added,
                                                    int32_t                        id); /* NULL: not there */

/* Tokens of one trie in a text, from left to right; NULL when there are no more. [start, end) is what the
 * token takes, white space included. Start with .text, .n, .added, .trie and zeros. */
struct lrc_added_scan {
    const struct lrc_added_tokens *added;
    const struct lrc_trie         *trie;
    const char                    *text;
    size_t                         n, from;    /* from: where the search goes on */
    size_t                         start, end; /* end: of the last token found, 0 before the first */
};
const struct lrc_added_token *lrc_added_scan_next(struct lrc_added_scan *scan);

#endif
