/* Byte-pair encoding: of all neighbours that may merge, those of the lowest rank merge first, the leftmost on
 * ties.
 *
 * Symbols are a linked list over the characters; candidates wait in a heap ordered by (rank, position) and
 * are checked when they come out. n characters make at most 2n candidates, so a piece takes O(n log n).
 * source: Sennrich et al. 2016, arXiv:1508.07909; tokenizers, models/bpe/word.rs (what wins on ties) */
#include "tokenizer/kinds/bpe.h"

#include "base/alloc.h"
#include "tokenizer/stage.h"
#include "tokenizer/unicode.h"
#include <string.h>

static const struct lrc_vocab *symbols_of(const struct lrc_bpe *bpe)
{
    return bpe->own_symbols ? &bpe->symbols : &bpe->base.vocab;
}

/* ---- the merge table ---- */

static int64_t slot_of(const struct lrc_bpe_merge *merges, int64_t n_slots, uint64_t pair)
{
    uint64_t at = pair * 0x9E3779B97F4A7C15u;
    at = (at ^ at >> 32) & (uint64_t)(n_slots - 1);
    while (merges[at].pair != pair && merges[at].pair != LRC_BPE_EMPTY)
        at = (at + 1) & (uint64_t)(n_slots - 1);
    return (int64_t)at;
}

static enum lrc_status grow_merges(struct lrc_bpe *bpe, struct lrc_error *err)
{
    if ((bpe->n_merges + 1) * 2 <= bpe->n_slots)
        return LRC_STATUS_OK;
    const int64_t         n_slots = bpe->n_slots ? bpe->n_slots * 2 : 64;
    struct lrc_bpe_merge *merges = lrc_calloc(n_slots, sizeof *merges);
    if (!merges)
        return lrc_fail_nomem(err, "merges");
    for (int64_t i = 0; i < n_slots; i++)
        merges[i].pair = LRC_BPE_EMPTY;
    for (int64_t i = 0; i < bpe->n_slots; i++)
        if (bpe->merges[i].pair != LRC_BPE_EMPTY)
            merges[slot_of(merges, n_slots, bpe->merges[i].pair)] = bpe->merges[i];
    lrc_free(bpe->merges);
    bpe->merges = merges;
    bpe->n_slots = n_slots;
    return LRC_STATUS_OK;
}

/* A pair given again gets the later rank, as in the reference. */
enum lrc_status lrc_bpe__add_merge(struct lrc_bpe *bpe, struct lrc_bpe_merge merge, struct lrc_error *err)
{
    LRC_TRY(grow_merges(bpe, err));
    struct lrc_bpe_merge *slot = &bpe->merges[slot_of(bpe->merges, bpe->n_slots, merge.pair)];
    bpe->n_merges += slot->pair == LRC_BPE_EMPTY;
    *slot = merge;
    return LRC_STATUS_OK;
}

static const struct lrc_bpe_merge *find_merge(const struct lrc_bpe *bpe, int32_t left, int32_t right)
{
    if (bpe->n_merges == 0)
        return NULL;
    const struct lrc_bpe_merge *merge =
        &bpe->merges[slot_of(bpe->merges, bpe->n_slots, lrc_bpe__pair(left, right))];
    return merge->pair != LRC_BPE_EMPTY ? merge : NULL;
}

/* ---- merging ---- */

enum { NO_SYMBOL = -1, MERGED = -2 };

struct symbol {
    int32_t  id;         /* MERGED: taken up by the symbol before; NO_SYMBOL: an unknown character */
    int32_t  prev, next; /* -1: none */
    uint32_t start, n;   /* bytes of the piece */
};

struct candidate {
    uint64_t key;    /* rank << 32 | position of the left symbol */
    int32_t  symbol; /* what it would become */
};

struct heap {
    struct candidate *items;
    int64_t           n;
};

static void heap_push(struct heap *heap, struct candidate item)
{
    int64_t at = heap->n++;
    while (at > 0 && heap->items[(at - 1) / 2].key > item.key) {
        heap->items[at] = heap->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->items[at] = item;
}

static struct candidate heap_pop(struct heap *heap)
{
    const struct candidate top = heap->items[0], last = heap->items[--heap->n];
    int64_t                at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= heap->n)
            break;
        if (child + 1 < heap->n && heap->items[child + 1].key < heap->items[child].key)
            child++;
        if (heap->items[child].key >= last.key)
            break;
        heap->items[at] = heap->items[child];
        at = child;
    }
    heap->items[at] = last;
    return top;
}

static void push_pair(const struct lrc_bpe *bpe, struct heap *heap, const struct symbol *symbols,
                      int32_t left)
{
    const int32_t right = left >= 0 ? symbols[left].next : -1;
    if (right < 0 || symbols[left].id < 0 || symbols[right].id < 0)
        return;
    const struct lrc_bpe_merge *merge = find_merge(bpe, symbols[left].id, symbols[right].id);
    if (merge)
        heap_push(heap, (struct candidate){ (uint64_t)(uint32_t)merge->rank << 32 | (uint32_t)left,
                                            merge->symbol });
}

/* Whether a candidate still stands: its symbols may have merged with others since. */
static int still_stands(const struct lrc_bpe *bpe, const struct symbol *symbols, struct candidate candidate)
{
    const int32_t left = (int32_t)(candidate.key & UINT32_MAX), right = symbols[left].next;
    if (symbols[left].id < 0 || right < 0)
        return 0;
    const struct lrc_bpe_merge *merge = find_merge(bpe, symbols[left].id, symbols[right].id);
    return merge && merge->symbol == candidate.symbol;
}

static void merge_all(const struct lrc_bpe *bpe, struct symbol *symbols, int32_t n, struct heap *heap)
{
    for (int32_t i = 0; i + 1 < n; i++)
        push_pair(bpe, heap, symbols, i);
    while (heap->n > 0) {
        const struct candidate candidate = heap_pop(heap);
        if (!still_stands(bpe, symbols, candidate))
            continue;
        const int32_t left = (int32_t)(candidate.key & UINT32_MAX), right = symbols[left].next;
        symbols[left].id = candidate.symbol;
        symbols[left].n += symbols[right].n;
        symbols[left].next = symbols[right].next;
        symbols[right].id = MERGED;
        if (symbols[left].next >= 0)
            symbols[symbols[left].next].prev = left;
        push_pair(bpe, heap, symbols, symbols[left].prev);
        push_pair(bpe, heap, symbols, left);
    }
}

/* ---- a piece of text ---- */

/* Symbol of a character that wears the word's prefix or suffix. */
static int32_t decorated(const struct lrc_bpe *bpe, const char *text, size_t n, int is_first, int is_last)
{
    char         spelled[64];
    size_t       at = 0;
    const size_t n_prefix = is_first ? 0 : bpe->prefix.len, n_suffix = is_last ? bpe->suffix.len : 0;
    if (n_prefix + n + n_suffix > sizeof spelled)
        return NO_SYMBOL;
    memcpy(spelled + at, lrc_buf_text(&bpe->prefix), n_prefix);
    memcpy(spelled + (at += n_prefix), text, n);
    memcpy(spelled + (at += n), lrc_buf_text(&bpe->suffix), n_suffix);
    return lrc_vocab_find(symbols_of(bpe), spelled, at + n_suffix);
}

struct reading {
    struct symbol *symbols;
    int32_t        n;
    int            after_unknown;
};

static void add_symbol(struct reading *reading, int32_t id, size_t start, size_t n)
{
    reading->symbols[reading->n] =
        (struct symbol){ id, reading->n - 1, reading->n + 1, (uint32_t)start, (uint32_t)n };
    reading->n++;
}

/* Models with merges see an unknown character as its bytes, as unk, or not at all: what stands beside it then
 * meets. Models with scores keep it apart until the ids are written. */
static void add_unknown(const struct lrc_bpe *bpe, struct reading *reading, const char *text, size_t start,
                        size_t n)
{
    const struct lrc_token_model *model = &bpe->base;
    if (bpe->own_symbols) {
        add_symbol(reading, NO_SYMBOL, start, n);
    } else if (lrc_token_model_has_bytes(model, text + start, n)) {
        for (size_t i = 0; i < n; i++)
            add_symbol(reading, model->byte_ids[(unsigned char)text[start + i]], start + i, 1);
    } else if (model->unk_id >= 0) {
        if (!(reading->after_unknown && model->fuse_unk))
            add_symbol(reading, model->unk_id, start, n);
        reading->after_unknown = 1;
    }
}

static int32_t symbol_of(const struct lrc_bpe *bpe, const char *text, size_t n, int32_t cp)
{
    return cp < LRC_BPE_EARLY_CHARS ? bpe->early[cp] : lrc_vocab_find(symbols_of(bpe), text, n);
}

/* Characters of text to symbols. Returns how many: never more than n. */
static int32_t read_symbols(const struct lrc_bpe *bpe, struct symbol *symbols, const char *text, size_t n)
{
    const int      plain = bpe->prefix.len == 0 && bpe->suffix.len == 0;
    struct reading reading = { .symbols = symbols };
    for (size_t at = 0; at < n;) {
        int32_t       cp;
        const size_t  step = lrc_utf8_step(&cp, text + at, n - at);
        const int32_t id = plain ? symbol_of(bpe, text + at, step, cp)
                                 : decorated(bpe, text + at, step, at == 0, at + step == n);
        if (id >= 0) {
            add_symbol(&reading, id, at, step);
            reading.after_unknown = 0;
        } else {
            add_unknown(bpe, &reading, text, at, step);
        }
        at += step;
    }
    if (reading.n > 0)
        symbols[reading.n - 1].next = -1;
    return reading.n;
}

static void write_ids(const struct lrc_bpe *bpe, struct lrc_ids *ids, const struct symbol *symbols,
                      const char *text)
{
    const int64_t n_ids = bpe->base.vocab.n_ids;
    int           after_unknown = 0;
    for (int32_t i = 0; i >= 0; i = symbols[i].next) {
        const int known = symbols[i].id >= 0 && symbols[i].id < n_ids;
        if (known)
            lrc_ids_append(ids, symbols[i].id);
        else
            lrc_token_model_unknown(&bpe->base, ids, text + symbols[i].start, symbols[i].n, after_unknown);
        after_unknown = !known;
    }
}

static enum lrc_status encode(const struct lrc_token_model *model, struct lrc_ids *ids, const char *text,
                              size_t n, struct lrc_model_scratch *scratch, struct lrc_error *err)
{
    const struct lrc_bpe *bpe = (const struct lrc_bpe *)model;
    if (bpe->ignore_merges) {
        const int32_t whole = lrc_vocab_find(&model->vocab, text, n);
        if (whole >= 0) {
            lrc_ids_append(ids, whole);
            return LRC_STATUS_OK;
        }
    }
    if (n > LRC_PIECE_BYTES_MAX)
        return lrc_fail(err, LRC_STATUS_DATA, "text: want at most %d bytes without a cut, got %zu",
                        LRC_PIECE_BYTES_MAX, n);
    struct symbol *symbols = lrc_space_reserve(&scratch->spaces[0], (int64_t)n, sizeof *symbols);
    /* n - 1 pairs at the start, and each of the n - 1 merges at most adds two and has taken one out. */
    struct heap heap = { lrc_space_reserve(&scratch->spaces[1], 2 * (int64_t)n, sizeof *heap.items), 0 };
    if (!symbols || !heap.items)
        return lrc_fail_nomem(err, "symbols of a text");
    const int32_t count = read_symbols(bpe, symbols, text, n);
    if (count == 0)
        return LRC_STATUS_OK;
    merge_all(bpe, symbols, count, &heap);
    write_ids(bpe, ids, symbols, text);
    return LRC_STATUS_OK;
}

/* ---- reading ---- */

void lrc_bpe__free(struct lrc_token_model *model)
{
    struct lrc_bpe *bpe = (struct lrc_bpe *)model;
    lrc_vocab_release(&bpe->base.vocab);
    lrc_vocab_release(&bpe->symbols);
    lrc_buf_release(&bpe->prefix);
    lrc_buf_release(&bpe->suffix);
    lrc_free(bpe->merges);
    lrc_char_pairs_release(&bpe->pairs);
    lrc_free(bpe);
}

struct lrc_bpe *lrc_bpe__new(void)
{
    struct lrc_bpe *bpe = lrc_calloc(1, sizeof *bpe);
    if (bpe) {
        bpe->base.kind = &lrc_token_model_bpe;
        bpe->base.unk_id = -1;
    }
    return bpe;
}

/* Words that wear a prefix or suffix, and those taken whole, cannot be cut. */
static size_t segment(const struct lrc_token_model *model, const char *text, size_t n)
{
    const struct lrc_bpe *bpe = (const struct lrc_bpe *)model;
    return bpe->pairs.pairs ? lrc_char_pairs_cut(&bpe->pairs, text, n) : n;
}

enum lrc_status lrc_bpe__index(struct lrc_bpe *bpe, struct lrc_error *err)
{
    lrc_token_model_index_bytes(&bpe->base);
    for (int32_t cp = 0; cp < LRC_BPE_EARLY_CHARS; cp++) {
        const char   spelled[2] = { (char)(cp < 0x80 ? cp : 0xC0 | cp >> 6), (char)(0x80 | (cp & 0x3F)) };
        const size_t n = cp < 0x80 ? 1 : 2;
        bpe->early[cp] = lrc_vocab_find(symbols_of(bpe), spelled, n);
    }
    if (bpe->ignore_merges || bpe->prefix.len > 0 || bpe->suffix.len > 0)
        return LRC_STATUS_OK;
    return lrc_char_pairs_index(&bpe->pairs, symbols_of(bpe), bpe->base.vocab.n_ids, err);
}

static enum lrc_status read_vocab(struct lrc_bpe *bpe, const json_t *json, const char *name,
                                  struct lrc_error *err)
{
    json_t     *vocab = json_object_get(json, "vocab"), *id;
    const char *piece;
    if (!json_is_object(vocab))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'vocab': want an object, got %s", name,
                        lrc_json_type_name(vocab));
    json_object_foreach(vocab, piece, id)
    {
        if (!json_is_integer(id))
            return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'vocab': '%.60s': want an integer, got %s", name,
                            piece, lrc_json_type_name(id));
        LRC_TRY(lrc_vocab_add(&bpe->base.vocab, piece, strlen(piece), json_integer_value(id), err));
    }
    return LRC_STATUS_OK;
}

struct halves {
    const char *left, *right;
    size_t      n_left, n_right;
};

/* "left right" (older files) or ["left", "right"]. */
static int split_merge(struct halves *halves, const json_t *json)
{
    const json_t *left = json_array_get(json, 0), *right = json_array_get(json, 1);
    if (json_array_size(json) == 2 && json_is_string(left) && json_is_string(right)) {
        *halves = (struct halves){ json_string_value(left), json_string_value(right),
                                   json_string_length(left), json_string_length(right) };
        return 1;
    }
    const char *text = json_string_value(json);
    const char *space = text ? strchr(text, ' ') : NULL;
    if (!space || strchr(space + 1, ' '))
        return 0;
    *halves = (struct halves){ text, space + 1, (size_t)(space - text), strlen(space + 1) };
    return 1;
}

static enum lrc_status read_merge(struct lrc_bpe *bpe, const json_t *json, int64_t rank,
                                  struct lrc_buf *joined, const char *name, struct lrc_error *err)
{
    struct halves halves;
    if (!split_merge(&halves, json))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'merges'[%lld]: want two pieces, got %s", name,
                        (long long)rank,
                        json_is_string(json) ? json_string_value(json) : lrc_json_type_name(json));
    const struct lrc_vocab *vocab = &bpe->base.vocab;
    /* Of the right half, left out of the whole. */
    const size_t n_prefix = halves.n_right >= bpe->prefix.len ? bpe->prefix.len : 0;
    lrc_buf_clear(joined);
    lrc_buf_append(joined, halves.left, halves.n_left);
    lrc_buf_append(joined, halves.right + n_prefix, halves.n_right - n_prefix);
    LRC_TRY(lrc_buf_check(joined, err));
    const int32_t left = lrc_vocab_find(vocab, halves.left, halves.n_left);
    const int32_t right = lrc_vocab_find(vocab, halves.right, halves.n_right);
    const int32_t whole = lrc_vocab_find(vocab, lrc_buf_text(joined), joined->len);
    if (left < 0 || right < 0 || whole < 0)
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: 'merges'[%lld]: want '%.60s', '%.60s' and '%.120s' in the vocabulary", name,
                        (long long)rank, halves.left, halves.right, lrc_buf_text(joined));
    return lrc_bpe__add_merge(bpe, (struct lrc_bpe_merge){ lrc_bpe__pair(left, right), (int32_t)rank, whole },
                              err);
}

static enum lrc_status read_merges(struct lrc_bpe *bpe, const json_t *json, const char *name,
                                   struct lrc_error *err)
{
    const json_t   *merges = json_object_get(json, "merges"), *merge;
    struct lrc_buf  joined = { 0 };
    enum lrc_status status = LRC_STATUS_OK;
    size_t          rank;
    if (!json_is_array(merges) || json_array_size(merges) > INT32_MAX)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'merges': want an array, got %s", name,
                        lrc_json_type_name(merges));
    json_array_foreach(merges, rank, merge)
    {
        status = read_merge(bpe, merge, (int64_t)rank, &joined, name, err);
        if (status != LRC_STATUS_OK)
            break;
    }
    lrc_buf_release(&joined);
    return status;
}

static enum lrc_status read_options(struct lrc_bpe *bpe, const json_t *json, const char *name,
                                    struct lrc_error *err)
{
    const char *unk = NULL, *prefix = "", *suffix = "";
    double      dropout = 0;
    LRC_TRY(lrc_json_get_number(&dropout, json, "dropout", name, err));
    if (dropout != 0)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                        "%s: 'dropout': want none (it makes other ids of the same text every time), got %g",
                        name, dropout);
    LRC_TRY(lrc_json_get_string(&unk, json, "unk_token", name, err));
    LRC_TRY(lrc_json_get_string(&prefix, json, "continuing_subword_prefix", name, err));
    LRC_TRY(lrc_json_get_string(&suffix, json, "end_of_word_suffix", name, err));
    LRC_TRY(lrc_json_get_bool(&bpe->base.fuse_unk, json, "fuse_unk", name, err));
    LRC_TRY(lrc_json_get_bool(&bpe->base.byte_fallback, json, "byte_fallback", name, err));
    LRC_TRY(lrc_json_get_bool(&bpe->ignore_merges, json, "ignore_merges", name, err));
    lrc_buf_puts(&bpe->prefix, prefix);
    lrc_buf_puts(&bpe->suffix, suffix);
    LRC_TRY(lrc_buf_check(&bpe->prefix, err));
    LRC_TRY(lrc_buf_check(&bpe->suffix, err));
    LRC_TRY(read_vocab(bpe, json, name, err));
    if (unk)
        bpe->base.unk_id = lrc_vocab_find(&bpe->base.vocab, unk, strlen(unk));
    return LRC_STATUS_OK;
}

static enum lrc_status bpe_read(struct lrc_token_model **model, const json_t *json, const char *name,
                                struct lrc_error *err)
{
    struct lrc_bpe *bpe = lrc_bpe__new();
    if (!bpe)
        return lrc_fail_nomem(err, "BPE model");
    enum lrc_status status = read_options(bpe, json, name, err);
    if (status == LRC_STATUS_OK)
        status = read_merges(bpe, json, name, err);
    if (status == LRC_STATUS_OK)
        status = lrc_bpe__index(bpe, err);
    if (status != LRC_STATUS_OK) {
        lrc_bpe__free(&bpe->base);
        return status;
    }
    *model = &bpe->base;
    return LRC_STATUS_OK;
}

const struct lrc_token_model_kind lrc_token_model_bpe = { "BPE", bpe_read, encode, lrc_bpe__free, segment };
