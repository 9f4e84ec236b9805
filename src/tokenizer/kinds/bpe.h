/* The table of merges that both ways of reading a BPE model fill: by rank (bpe.c) and by score
 * (bpe_scored.c). */
#ifndef LRC_TOKENIZER_KINDS_BPE_H
#define LRC_TOKENIZER_KINDS_BPE_H

#include "tokenizer/char_pairs.h"
#include "tokenizer/token_model.h"

enum { LRC_BPE_EARLY_CHARS = 0x180 }; /* symbols of the first code points, found without hashing */

struct lrc_bpe_merge {
    uint64_t pair; /* left symbol << 32 | right symbol; LRC_BPE_EMPTY: a free slot */
    int32_t  rank;
    int32_t  symbol; /* what they become */
};
#define LRC_BPE_EMPTY UINT64_MAX

struct lrc_bpe {
    struct lrc_token_model base;
    struct lrc_bpe_merge  *merges; /* open addressing */
    int64_t                n_slots, n_merges;
    int                    ignore_merges;
    struct lrc_buf         prefix, suffix; /* continuing_subword_prefix, end_of_word_suffix */
    /* Models with scores merge only some of the pieces, and also characters that are not pieces themselves.
     * Their symbols are a vocabulary of its own, with ids from n_ids for those characters. */
    struct lrc_vocab symbols;
    int              own_symbols;
    int32_t          early[LRC_BPE_EARLY_CHARS];
    /* Where a text may be cut before merging: between two characters that are pieces and stand side by side in no
     * piece, since a symbol across the cut would be such a piece. */
    struct lrc_char_pairs pairs;
};

static inline uint64_t lrc_bpe__pair(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

struct lrc_bpe *lrc_bpe__new(void); /* NULL: out of memory */
void            lrc_bpe__free(struct lrc_token_model *model);

/* A pair given again gets the later rank, as in the reference. errors: NOMEM. */
enum lrc_status lrc_bpe__add_merge(struct lrc_bpe *bpe, struct lrc_bpe_merge merge,
                                   struct lrc_error *err) LRC_MUST_CHECK;

/* byte_ids, early and pairs, once all symbols are there. errors: NOMEM. */
enum lrc_status lrc_bpe__index(struct lrc_bpe *bpe, struct lrc_error *err) LRC_MUST_CHECK;

#endif
