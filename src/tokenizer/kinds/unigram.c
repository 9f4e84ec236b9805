/* Unigram: of all ways to write a text as pieces, the one with the greatest sum of scores; the first found
 * wins ties.
 *
 * best[i] is the best way to write the first i bytes; every character is a step to the ends of all pieces
 * that begin there. source: Kudo 2018, arXiv:1804.10959; sentencepiece, unigram_model.cc (EncodeOptimized) */
#include "base/alloc.h"
#include "tokenizer/token_model.h"
#include "tokenizer/trie.h"
#include "tokenizer/unicode.h"
#include <math.h>
#include <string.h>

static const double UNKNOWN_PENALTY = 10.0;
static const float  USER_DEFINED_BONUS = 0.1F;

struct unigram {
    struct lrc_token_model base;
    struct lrc_trie        trie;
    double                *scores; /* by id */
    double                 unknown_score;
    int                    single_precision; /* SentencePiece adds scores in float, Hugging Face in double */
};

struct step {
    double  score;
    int64_t start; /* -1: not reached */
    int32_t id;    /* -1: an unknown character */
};

static void offer(struct step *best, double score, int64_t start, int32_t id)
{
    if (best->start < 0 || score > best->score)
        *best = (struct step){ score, start, id };
}

static double sum(const struct unigram *unigram, double a, double b)
{
    return unigram->single_precision ? (double)((float)a + (float)b) : a + b;
}

static void find_best(const struct unigram *unigram, struct step *best, const char *text, size_t n)
{
    for (size_t i = 1; i <= n; i++)
        best[i] = (struct step){ 0, -1, -1 };
    best[0] = (struct step){ 0, 0, -1 };
    for (size_t start = 0; start < n;) {
        int32_t      cp, node = 0;
        const size_t one = lrc_utf8_step(&cp, text + start, n - start);
        const double so_far = best[start].score;
        int          has_one = 0;
        for (size_t end = start;
             end < n && (node = lrc_trie_step(&unigram->trie, node, (unsigned char)text[end])) >= 0;) {
            end++;
            const int32_t id = unigram->trie.nodes[node].value;
            if (id < 0)
                continue;
            offer(&best[end], sum(unigram, unigram->scores[id], so_far), (int64_t)start, id);
            has_one |= end - start == one;
        }
        if (!has_one)
            offer(&best[start + one], sum(unigram, unigram->unknown_score, so_far), (int64_t)start, -1);
        start += one;
    }
}

/* Turns the links around: best[i].start becomes where the piece that starts at i ends. */
static void turn_round(struct step *best, size_t n)
{
    int64_t end = (int64_t)n;
    int32_t id = best[n].id;
    int64_t start = best[n].start;
    while (end > 0) {
        const struct step before = best[start];
        best[start].start = end;
        best[start].id = id;
        end = start;
        id = before.id;
        start = before.start;
    }
}

static int is_unknown(const struct unigram *unigram, const struct step *step)
{
    return step->id < 0 || step->id == unigram->base.unk_id;
}

/* Unknown pieces side by side are one. Hugging Face then looks whether the vocabulary has it after all ("<unk>" written
 * in the text). Returns where it ends. */
static int64_t write_unknown(const struct unigram *unigram, struct lrc_ids *ids, const struct step *best,
                             const char *text, int64_t start, int64_t n)
{
    int64_t end = start;
    while (end < n && is_unknown(unigram, &best[end]))
        end = best[end].start;
    const size_t  n_run = (size_t)(end - start);
    const int32_t id =
        unigram->single_precision ? -1 : lrc_vocab_find(&unigram->base.vocab, text + start, n_run);
    if (id >= 0)
        lrc_ids_append(ids, id);
    else
        lrc_token_model_unknown(&unigram->base, ids, text + start, n_run, 0);
    return end;
}

static enum lrc_status encode(const struct lrc_token_model *model, struct lrc_ids *ids, const char *text,
                              size_t n, struct lrc_model_scratch *scratch, struct lrc_error *err)
{
    const struct unigram *unigram = (const struct unigram *)model;
    if (n > LRC_PIECE_BYTES_MAX)
        return lrc_fail(err, LRC_STATUS_DATA, "text: want at most %d bytes without a cut, got %zu",
                        LRC_PIECE_BYTES_MAX, n);
    struct step *best = lrc_space_reserve(&scratch->spaces[0], (int64_t)n + 1, sizeof *best);
    if (!best)
        return lrc_fail_nomem(err, "pieces of a text");
    find_best(unigram, best, text, n);
    turn_round(best, n);
    for (int64_t at = 0; at < (int64_t)n;) {
        if (is_unknown(unigram, &best[at])) {
            at = write_unknown(unigram, ids, best, text, at, (int64_t)n);
        } else {
            lrc_ids_append(ids, best[at].id);
            at = best[at].start;
        }
    }
    return LRC_STATUS_OK;
}

static void unigram_free(struct lrc_token_model *model)
{
    struct unigram *unigram = (struct unigram *)model;
    lrc_vocab_release(&unigram->base.vocab);
    lrc_trie_release(&unigram->trie);
    lrc_free(unigram->scores);
    lrc_free(unigram);
}

static enum lrc_status unigram_new(struct unigram **out, int64_t n, struct lrc_error *err)
{
    struct unigram *unigram = lrc_calloc(1, sizeof *unigram);
    double         *scores = lrc_calloc(n, sizeof *scores);
    if (!unigram || !scores) {
        lrc_free(unigram);
        lrc_free(scores);
        return lrc_fail_nomem(err, "Unigram model");
    }
    unigram->base.kind = &lrc_token_model_unigram;
    unigram->base.unk_id = -1;
    unigram->base.fuse_unk = 1;
    unigram->scores = scores;
    unigram->unknown_score = 0;
    *out = unigram;
    return LRC_STATUS_OK;
}

static enum lrc_status read_piece(struct unigram *unigram, const json_t *json, int64_t id, const char *name,
                                  struct lrc_error *err)
{
    const json_t *piece = json_array_get(json, 0), *score = json_array_get(json, 1);
    if (!json_is_string(piece) || !json_is_number(score))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'vocab'[%lld]: want a piece and its score, got %s", name,
                        (long long)id, lrc_json_type_name(json));
    const char  *text = json_string_value(piece);
    const size_t n = json_string_length(piece);
    LRC_TRY(lrc_vocab_add(&unigram->base.vocab, text, n, id, err));
    LRC_TRY(lrc_trie_add(&unigram->trie, text, n, (int32_t)id, err));
    unigram->scores[id] = json_number_value(score);
    if (id == 0 || unigram->scores[id] < unigram->unknown_score)
        unigram->unknown_score = unigram->scores[id];
    return LRC_STATUS_OK;
}

static enum lrc_status read_pieces(struct unigram *unigram, const json_t *json, const char *name,
                                   struct lrc_error *err)
{
    const json_t *piece;
    size_t        id;
    int64_t       unk_id = -1;
    json_array_foreach(json_object_get(json, "vocab"), id, piece)
        LRC_TRY(read_piece(unigram, piece, (int64_t)id, name, err));
    LRC_TRY(lrc_json_get_int(&unk_id, json, "unk_id", name, err));
    LRC_TRY(lrc_json_get_bool(&unigram->base.byte_fallback, json, "byte_fallback", name, err));
    if (unk_id < -1 || unk_id >= unigram->base.vocab.n_ids)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'unk_id': want an id below %lld, got %lld", name,
                        (long long)unigram->base.vocab.n_ids, (long long)unk_id);
    unigram->base.unk_id = (int32_t)unk_id;
    unigram->unknown_score -= UNKNOWN_PENALTY;
    lrc_token_model_index_bytes(&unigram->base);
    return LRC_STATUS_OK;
}

static enum lrc_status unigram_read(struct lrc_token_model **model, const json_t *json, const char *name,
                                    struct lrc_error *err)
{
    struct unigram *unigram;
    const json_t   *vocab = json_object_get(json, "vocab");
    if (!json_is_array(vocab))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'vocab': want an array, got %s", name,
                        lrc_json_type_name(vocab));
    LRC_TRY(unigram_new(&unigram, (int64_t)json_array_size(vocab), err));
    const enum lrc_status status = read_pieces(unigram, json, name, err);
    if (status != LRC_STATUS_OK) {
        unigram_free(&unigram->base);
        return status;
    }
    *model = &unigram->base;
    return LRC_STATUS_OK;
}

const struct lrc_token_model_kind lrc_token_model_unigram = { "Unigram", unigram_read, encode, unigram_free,
                                                              NULL };

/* ---- out of a SentencePiece file ---- */

struct range {
    float low, high;
};

static struct range score_range(const struct lrc_scored_pieces *pieces)
{
    struct range range = { INFINITY, -INFINITY };
    for (int64_t id = 0; id < pieces->n; id++) {
        if (pieces->pieces[id].type != LRC_PIECE_NORMAL)
            continue;
        range.low = fminf(range.low, pieces->pieces[id].score);
        range.high = fmaxf(range.high, pieces->pieces[id].score);
    }
    return range.low <= range.high ? range : (struct range){ 0, 0 };
}

static enum lrc_status add_scored(struct unigram *unigram, const struct lrc_scored_pieces *pieces,
                                  struct lrc_error *err)
{
    const struct range range = score_range(pieces);
    for (int64_t id = 0; id < pieces->n; id++) {
        const struct lrc_scored_piece *piece = &pieces->pieces[id];
        LRC_TRY(lrc_vocab_add(&unigram->base.vocab, piece->text, piece->n, id, err));
        if (piece->type != LRC_PIECE_NORMAL && piece->type != LRC_PIECE_USER_DEFINED)
            continue;
        /* A user-defined piece always wins over what it is made of. */
        const float bonus = (float)piece->n * range.high - USER_DEFINED_BONUS;
        unigram->scores[id] = (double)(piece->type == LRC_PIECE_NORMAL ? piece->score : bonus);
        LRC_TRY(lrc_trie_add(&unigram->trie, piece->text, piece->n, (int32_t)id, err));
    }
    unigram->unknown_score = (double)range.low - UNKNOWN_PENALTY;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_unigram_new_scored(struct lrc_token_model **model, const struct lrc_scored_pieces *pieces,
                                       struct lrc_error *err)
{
    struct unigram *unigram;
    LRC_TRY(unigram_new(&unigram, pieces->n, err));
    unigram->single_precision = 1;
    unigram->base.unk_id = pieces->unk_id;
    unigram->base.byte_fallback = pieces->byte_fallback;
    const enum lrc_status status = add_scored(unigram, pieces, err);
    if (status != LRC_STATUS_OK) {
        unigram_free(&unigram->base);
        return status;
    }
    lrc_token_model_index_bytes(&unigram->base);
    *model = &unigram->base;
    return LRC_STATUS_OK;
}
