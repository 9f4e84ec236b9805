/* Byte-level vocabularies without merges: each piece has a rank, and neighbours merge when together they are a
 * piece, those of the lowest rank first, leftmost on ties; a cut that is a piece as a whole is that piece. This is
 * what tiktoken runs, and so the rank files of OpenAI, Meta, Qwen and Mistral.
 *
 * source: tiktoken, src/lib.rs (byte_pair_merge) */
#ifndef LRC_TOKENIZER_RANKS_H
#define LRC_TOKENIZER_RANKS_H

#include "tokenizer/splits.h"
#include "tokenizer/tokenizer_parts.h"

/* Pieces in the byte alphabet, by rank; an empty one: no piece has this rank. Release spelled.pieces. */
struct lrc_ranks {
    struct lrc_splits spelled;
    int64_t           first_id; /* of rank 0 */
};

/* The bytes of one more piece, in base64; where names the line or element in errors. errors: FORMAT, NOMEM. */
enum lrc_status lrc_ranks_append(struct lrc_ranks *ranks, const char *base64, size_t n, const char *where,
                                 struct lrc_error *err) LRC_MUST_CHECK;

/* Set the tokenizer's model. errors: FORMAT (a byte that no piece stands for, a piece twice), NOMEM. */
enum lrc_status lrc_ranks_set_model(struct lrc_tokenizer *tokenizer, const struct lrc_ranks *ranks,
                                    const char *name, struct lrc_error *err) LRC_MUST_CHECK;

/* A special token: text, or text<number>suffix. errors: FORMAT (the id is taken), NOMEM. */
struct lrc_special_name {
    const char *text, *suffix;
    int64_t     number;
};
enum lrc_status lrc_ranks_add_special(struct lrc_tokenizer *tokenizer, struct lrc_special_name token,
                                      int64_t id, struct lrc_error *err) LRC_MUST_CHECK;

/* Roles by the tokens' texts; NULL, or a text that is not there: not set. errors: NOMEM. */
enum lrc_status lrc_ranks_set_roles(struct lrc_tokenizer *tokenizer,
                                    const char *const     texts[LRC_TOKEN_ROLE_COUNT],
                                    struct lrc_error     *err) LRC_MUST_CHECK;

#endif
