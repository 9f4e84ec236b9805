/* BPE of a SentencePiece file, which has no merges but scores: neighbours merge when together they are a
 * piece, those that make the piece of the highest score first.
 *
 * Every way to cut a piece in two is entered as a merge whose rank is that of the score, and so bpe.c runs
 * it. source: sentencepiece, bpe_model.cc */
#include "tokenizer/kinds/bpe.h"

#include "base/alloc.h"
#include "tokenizer/unicode.h"
#include <stdlib.h>

/* Every cut of a piece is looked up, which takes the square of its length. */
enum { PIECE_BYTES_MAX = 4096 };

static int is_mergeable(const struct lrc_scored_piece *piece)
{
    return piece->type == LRC_PIECE_NORMAL || piece->type == LRC_PIECE_USER_DEFINED;
}

/* Symbol of a half of a piece. A single character gets one if it has none. -1: it can never stand alone. */
static enum lrc_status half_symbol(struct lrc_bpe *bpe, const char *text, size_t n, int32_t *symbol,
                                   struct lrc_error *err)
{
    int32_t cp;
    *symbol = lrc_vocab_find(&bpe->symbols, text, n);
    if (*symbol >= 0 || lrc_utf8_step(&cp, text, n) != n)
        return LRC_STATUS_OK;
    const int64_t n_ids = bpe->base.vocab.n_ids;
    const int64_t id = bpe->symbols.n_ids > n_ids ? bpe->symbols.n_ids : n_ids;
    LRC_TRY(lrc_vocab_add(&bpe->symbols, text, n, id, err));
    *symbol = (int32_t)id;
    return LRC_STATUS_OK;
}

static enum lrc_status add_cuts(struct lrc_bpe *bpe, const struct lrc_scored_piece *piece, int32_t id,
                                int32_t rank, struct lrc_error *err)
{
    int32_t cp;
    for (size_t at = lrc_utf8_step(&cp, piece->text, piece->n); at < piece->n;) {
        int32_t left, right;
        LRC_TRY(half_symbol(bpe, piece->text, at, &left, err));
        LRC_TRY(half_symbol(bpe, piece->text + at, piece->n - at, &right, err));
        if (left >= 0 && right >= 0)
            LRC_TRY(
                lrc_bpe__add_merge(bpe, (struct lrc_bpe_merge){ lrc_bpe__pair(left, right), rank, id }, err));
        at += lrc_utf8_step(&cp, piece->text + at, piece->n - at);
    }
    return LRC_STATUS_OK;
}

struct ranked {
    float   score;
    int32_t id;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (left->score != right->score)
        return left->score > right->score ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

static enum lrc_status add_pieces(struct lrc_bpe *bpe, const struct lrc_scored_pieces *pieces,
                                  struct lrc_error *err)
{
    for (int64_t id = 0; id < pieces->n; id++) {
        const struct lrc_scored_piece *piece = &pieces->pieces[id];
        if (piece->n == 0)
            continue;
        if (piece->n > PIECE_BYTES_MAX)
            return lrc_fail(err, LRC_STATUS_FORMAT, "vocabulary: piece %lld: want at most %d bytes, got %zu",
                            (long long)id, PIECE_BYTES_MAX, piece->n);
        LRC_TRY(lrc_vocab_add(&bpe->base.vocab, piece->text, piece->n, id, err));
        if (is_mergeable(piece))
            LRC_TRY(lrc_vocab_add(&bpe->symbols, piece->text, piece->n, id, err));
    }
    return LRC_STATUS_OK;
}

/* Equal scores are an equal rank: then the leftmost merges first. */
static enum lrc_status add_ranked(struct lrc_bpe *bpe, const struct lrc_scored_pieces *pieces,
                                  struct lrc_error *err)
{
    struct ranked *order = lrc_calloc(pieces->n, sizeof *order);
    if (!order)
        return lrc_fail_nomem(err, "scores");
    int64_t n = 0;
    for (int32_t id = 0; id < pieces->n; id++)
        if (pieces->pieces[id].n > 0 && is_mergeable(&pieces->pieces[id]))
            order[n++] = (struct ranked){ pieces->pieces[id].score, id };
    qsort(order, (size_t)n, sizeof *order, by_score);

    enum lrc_status status = LRC_STATUS_OK;
    int32_t         rank = 0;
    for (int64_t i = 0; i < n && status == LRC_STATUS_OK; i++) {
        rank += i > 0 && order[i].score != order[i - 1].score;
        status = add_cuts(bpe, &pieces->pieces[order[i].id], order[i].id, rank, err);
    }
    lrc_free(order);
    return status;
}

enum lrc_status lrc_bpe_new_scored(struct lrc_token_model **model, const struct lrc_scored_pieces *pieces,
                                   struct lrc_error *err)
{
    struct lrc_bpe *bpe = lrc_bpe__new();
    if (!bpe)
        return lrc_fail_nomem(err, "BPE model");
    bpe->own_symbols = 1;
    bpe->base.unk_id = pieces->unk_id;
    bpe->base.byte_fallback = pieces->byte_fallback;
    bpe->base.fuse_unk = 1;
    bpe->ignore_merges = pieces->whole_first;
    enum lrc_status status = add_pieces(bpe, pieces, err);
    if (status == LRC_STATUS_OK)
        status = add_ranked(bpe, pieces, err);
    if (status == LRC_STATUS_OK)
        status = lrc_bpe__index(bpe, err);
    if (status != LRC_STATUS_OK) {
        lrc_bpe__free(&bpe->base);
        return status;
    }
    *model = &bpe->base;
    return LRC_STATUS_OK;
}
