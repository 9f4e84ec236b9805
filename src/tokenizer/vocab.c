#include "tokenizer/vocab.h"

#include "base/alloc.h"
#include <string.h>

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

uint64_t lrc_hash_text(const char *text, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u ^ n;
    while (n >= 8) {
        uint64_t word;
        memcpy(&word, text, 8);
        h = mix(h ^ word) * 0xFF51AFD7ED558CCDu;
        text += 8;
        n -= 8;
    }
    uint64_t tail = 0;
    memcpy(&tail, text, n);
    return mix(h ^ tail);
}

static int piece_equals(const struct lrc_vocab *vocab, int32_t id, const char *piece, size_t n)
{
    const struct lrc_vocab_piece *p = &vocab->pieces[id];
    return p->n == n && memcmp(vocab->text.data + p->offset, piece, n) == 0;
}

/* The slot that holds piece, or the empty one where it belongs. */
static int64_t slot_of(const struct lrc_vocab *vocab, const char *piece, size_t n)
{
    const uint64_t mask = (uint64_t)vocab->n_slots - 1;
    uint64_t       at = lrc_hash_text(piece, n) & mask;
    while (vocab->slots[at] != 0 && !piece_equals(vocab, vocab->slots[at] - 1, piece, n))
        at = (at + 1) & mask;
    return (int64_t)at;
}

static enum lrc_status grow_slots(struct lrc_vocab *vocab, struct lrc_error *err)
{
    if ((vocab->n_pieces + 1) * 2 <= vocab->n_slots)
        return LRC_STATUS_OK;
    const int64_t n_slots = vocab->n_slots ? vocab->n_slots * 2 : 64;
    int32_t      *slots = lrc_calloc(n_slots, sizeof *slots);
    if (!slots)
        return lrc_fail_nomem(err, "vocabulary");
    lrc_free(vocab->slots);
    vocab->slots = slots;
    vocab->n_slots = n_slots;
    for (int64_t id = 0; id < vocab->n_ids; id++) {
        const struct lrc_vocab_piece *p = &vocab->pieces[id];
        if (p->there)
            slots[slot_of(vocab, vocab->text.data + p->offset, p->n)] = (int32_t)id + 1;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status grow_pieces(struct lrc_vocab *vocab, int64_t n_ids, struct lrc_error *err)
{
    if (n_ids > vocab->cap_ids) {
        const int64_t           cap = n_ids > vocab->cap_ids * 2 ? n_ids : vocab->cap_ids * 2;
        struct lrc_vocab_piece *pieces = lrc_realloc(vocab->pieces, cap, sizeof *pieces);
        if (!pieces)
            return lrc_fail_nomem(err, "vocabulary");
        memset(pieces + vocab->cap_ids, 0, (size_t)(cap - vocab->cap_ids) * sizeof *pieces);
        vocab->pieces = pieces;
        vocab->cap_ids = cap;
    }
    if (n_ids > vocab->n_ids)
        vocab->n_ids = n_ids;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_vocab_add(struct lrc_vocab *vocab, const char *piece, size_t n, int64_t id,
                              struct lrc_error *err)
{
    const int n_shown = (int)(n < 60 ? n : 60);
    if (id < 0 || id >= LRC_VOCAB_IDS_MAX)
        return lrc_fail(err, LRC_STATUS_FORMAT, "vocabulary: want an id from 0 to %d for '%.*s', got %lld",
                        LRC_VOCAB_IDS_MAX - 1, n_shown, piece, (long long)id);
    if (lrc_vocab_piece(vocab, id, NULL))
        return lrc_fail(err, LRC_STATUS_FORMAT, "vocabulary: id %lld: want one piece, got '%.60s' and '%.*s'",
                        (long long)id, lrc_vocab_piece(vocab, id, NULL), n_shown, piece);
    LRC_TRY(grow_slots(vocab, err));
    const int64_t slot = slot_of(vocab, piece, n);
    if (vocab->slots[slot] != 0)
        return lrc_fail(err, LRC_STATUS_FORMAT, "vocabulary: piece '%.*s': want one id, got %d and %lld",
                        n_shown, piece, vocab->slots[slot] - 1, (long long)id);
    LRC_TRY(grow_pieces(vocab, id + 1, err));
    const size_t offset = vocab->text.len;
    lrc_buf_append(&vocab->text, piece, n);
    lrc_buf_putc(&vocab->text, '\0');
    LRC_TRY(lrc_buf_check(&vocab->text, err));
    vocab->pieces[id] = (struct lrc_vocab_piece){ offset, n, 1 };
    vocab->slots[slot] = (int32_t)id + 1;
    vocab->n_pieces++;
    return LRC_STATUS_OK;
}

int32_t lrc_vocab_find(const struct lrc_vocab *vocab, const char *piece, size_t n)
{
    return vocab->n_slots ? vocab->slots[slot_of(vocab, piece, n)] - 1 : -1;
}

const char *lrc_vocab_piece(const struct lrc_vocab *vocab, int64_t id, size_t *n)
{
    if (id < 0 || id >= vocab->n_ids || !vocab->pieces[id].there)
        return NULL;
    if (n)
        *n = vocab->pieces[id].n;
    return vocab->text.data + vocab->pieces[id].offset;
}

void lrc_vocab_release(struct lrc_vocab *vocab)
{
    lrc_buf_release(&vocab->text);
    lrc_free(vocab->pieces);
    lrc_free(vocab->slots);
    *vocab = (struct lrc_vocab){ 0 };
}
