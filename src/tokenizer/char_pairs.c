#include "tokenizer/char_pairs.h"

#include "base/alloc.h"
#include "tokenizer/unicode.h"

static uint32_t pair_bit(int32_t left, int32_t right)
{
    const uint64_t both = (uint64_t)(uint32_t)left << 21 | (uint32_t)right;
    return (uint32_t)(both * 0x9E3779B97F4A7C15u >> 44); /* the top 20 bits */
}

static int is_set(const uint64_t *bits, uint32_t at)
{
    return (int)(bits[at / 64] >> at % 64 & 1);
}

static void set(uint64_t *bits, uint32_t at)
{
    bits[at / 64] |= (uint64_t)1 << at % 64;
}

static void index_piece(struct lrc_char_pairs *pairs, const char *piece, size_t n)
{
    int32_t left = -1;
    for (size_t at = 0; at < n;) {
        int32_t      cp;
        const size_t step = lrc_utf8_step(&cp, piece + at, n - at);
        if (step == n && cp >= 0)
            set(pairs->chars, (uint32_t)cp);
        if (at > 0 && left >= 0 && cp >= 0)
            set(pairs->pairs, pair_bit(left, cp));
        left = cp;
        at += step;
    }
}

enum lrc_status lrc_char_pairs_index(struct lrc_char_pairs *pairs, const struct lrc_vocab *vocab,
                                     int64_t n_ids, struct lrc_error *err)
{
    pairs->pairs = lrc_calloc(LRC_CHAR_PAIR_BITS / 64, sizeof *pairs->pairs);
    pairs->chars = lrc_calloc(LRC_CHARS_END / 64, sizeof *pairs->chars);
    if (!pairs->pairs || !pairs->chars)
        return lrc_fail_nomem(err, "pairs of characters");
    for (int64_t id = 0; id < n_ids; id++) {
        size_t      n;
        const char *piece = lrc_vocab_piece(vocab, id, &n);
        if (piece)
            index_piece(pairs, piece, n);
    }
    return LRC_STATUS_OK;
}

void lrc_char_pairs_release(struct lrc_char_pairs *pairs)
{
    lrc_free(pairs->pairs);
    lrc_free(pairs->chars);
    *pairs = (struct lrc_char_pairs){ 0 };
}

size_t lrc_char_pairs_cut(const struct lrc_char_pairs *pairs, const char *text, size_t n)
{
    int32_t left, right;
    size_t  at = lrc_utf8_step(&left, text, n);
    for (; at < n; left = right) {
        const size_t step = lrc_utf8_step(&right, text + at, n - at);
        if (left >= 0 && right >= 0 && !is_set(pairs->pairs, pair_bit(left, right)) &&
            is_set(pairs->chars, (uint32_t)left) && is_set(pairs->chars, (uint32_t)right))
            return at;
        at += step;
    }
    return n;
}
