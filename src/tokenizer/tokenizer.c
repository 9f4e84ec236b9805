#include "tokenizer/tokenizer_parts.h"

#include "base/alloc.h"
#include "tokenizer/unicode.h"
#include <pthread.h>
#include <string.h>

/* ---- memory of a call ---- */

/* Running text repeats itself, so the ids of short words are remembered. Direct-mapped: a newer word takes
 * the place of an older. */
enum { WORD_BYTES_MAX = 30, WORD_IDS_MAX = 8, WORD_SLOTS = 4096, KEPT_TEXT_BYTES_MAX = 1 << 16 };

struct word {
    unsigned char n, n_ids; /* n = 0: empty */
    char          text[WORD_BYTES_MAX];
    int32_t       ids[WORD_IDS_MAX];
};

/* What one encode call works with. */
struct lrc_encode_space {
    struct lrc_encode_space *next; /* in the list of idle ones */
    struct lrc_matcher       matcher;
    struct lrc_buf           normalized;
    struct lrc_splits        splits, spare;
    struct lrc_model_scratch model;
    struct word              words[WORD_SLOTS];
};

/* All but the words. */
static void space_release(struct lrc_encode_space *space)
{
    lrc_matcher_release(&space->matcher);
    lrc_buf_release(&space->normalized);
    lrc_splits_release(&space->splits);
    lrc_splits_release(&space->spare);
    lrc_model_scratch_release(&space->model);
}

/* An idle one, or a new one: NULL when there is no memory. */
static struct lrc_encode_space *space_take(struct lrc_idle_spaces *idle)
{
    (void)pthread_mutex_lock(&idle->lock);
    struct lrc_encode_space *space = idle->first;
    if (space)
        idle->first = space->next;
    (void)pthread_mutex_unlock(&idle->lock);
    return space ? space : lrc_calloc(1, sizeof *space);
}

/* What a long text needed is not kept. */
static void space_give_back(struct lrc_idle_spaces *idle, struct lrc_encode_space *space, size_t n_text)
{
    if (n_text > KEPT_TEXT_BYTES_MAX)
        space_release(space);
    (void)pthread_mutex_lock(&idle->lock);
    space->next = idle->first;
    idle->first = space;
    (void)pthread_mutex_unlock(&idle->lock);
}

/* One encode call: what it reads and writes. */
struct call {
    const struct lrc_tokenizer *tokenizer;
    struct lrc_ids             *ids;
    struct lrc_encode_space    *space;
};

static void remember(struct word *word, const char *text, size_t n, const struct lrc_ids *ids, int64_t first)
{
    const int64_t n_ids = ids->len - first;
    if (ids->failed || n_ids > WORD_IDS_MAX)
        return;
    memcpy(word->text, text, n);
    for (int64_t i = 0; i < n_ids; i++)
        word->ids[i] = ids->data[first + i];
    word->n = (unsigned char)n;
    word->n_ids = (unsigned char)n_ids;
}

static enum lrc_status encode_word(struct call *call, const char *text, size_t n, struct lrc_error *err)
{
    const struct lrc_token_model *model = call->tokenizer->model;
    struct lrc_ids               *ids = call->ids;
    if (n > WORD_BYTES_MAX)
        return model->kind->encode(model, ids, text, n, &call->space->model, err);
    struct word *word = &call->space->words[lrc_hash_text(text, n) >> 20 & (WORD_SLOTS - 1)];
    if (word->n == n && memcmp(word->text, text, n) == 0) {
        for (int i = 0; i < word->n_ids; i++)
            lrc_ids_append(ids, word->ids[i]);
        return LRC_STATUS_OK;
    }
    const int64_t first = ids->len;
    LRC_TRY(model->kind->encode(model, ids, text, n, &call->space->model, err));
    remember(word, text, n, ids, first);
    return LRC_STATUS_OK;
}

static enum lrc_status encode_piece(struct call *call, const char *text, size_t n, struct lrc_error *err)
{
    const struct lrc_token_model *model = call->tokenizer->model;
    while (n > WORD_BYTES_MAX && model->kind->segment) {
        const size_t n_first = model->kind->segment(model, text, n);
        LRC_TRY(encode_word(call, text, n_first, err));
        text += n_first;
        n -= n_first;
    }
    return n > 0 ? encode_word(call, text, n, err) : LRC_STATUS_OK;
}

/* ---- text to ids ---- */

/* Normalized text without added tokens. */
static enum lrc_status encode_normal(struct call *call, const char *text, size_t n, enum lrc_at at,
                                     struct lrc_error *err)
{
    if (n == 0)
        return LRC_STATUS_OK;
    lrc_splits_clear(&call->space->splits);
    lrc_splits_append(&call->space->splits, text, n);
    call->space->splits.at_start = at == LRC_AT_START;
    LRC_TRY(lrc_pre_tokenizer_apply(&call->tokenizer->pre_tokenizer, &call->space->splits,
                                    &call->space->spare, &call->space->matcher, err));
    for (int64_t i = 0; i < call->space->splits.n; i++) {
        size_t      n_piece;
        const char *piece = lrc_splits_get(&call->space->splits, i, &n_piece);
        if (n_piece > 0)
            LRC_TRY(encode_piece(call, piece, n_piece, err));
    }
    return LRC_STATUS_OK;
}

/* Raw text without raw added tokens. */
static enum lrc_status encode_gap(struct call *call, const char *text, size_t n, enum lrc_at at,
                                  struct lrc_error *err)
{
    if (n == 0)
        return LRC_STATUS_OK;
    struct lrc_buf *normal = &call->space->normalized;
    lrc_buf_clear(normal);
    lrc_buf_append(normal, text, n);
    LRC_TRY(lrc_normalizer_apply(&call->tokenizer->normalizer, normal, at, &call->space->matcher, err));
    struct lrc_added_scan scan = { .added = &call->tokenizer->added,
                                   .trie = &call->tokenizer->added.normalized };
    scan.text = lrc_buf_text(normal);
    scan.n = normal->len;
    for (size_t done = 0;; done = scan.end) {
        const struct lrc_added_token *token = lrc_added_scan_next(&scan);
        const size_t                  stop = token ? scan.start : scan.n;
        LRC_TRY(encode_normal(call, scan.text + done, stop - done, done == 0 ? at : LRC_AT_LATER, err));
        if (!token)
            return LRC_STATUS_OK;
        lrc_ids_append(call->ids, token->id);
    }
}

static enum lrc_status encode_text(struct call *call, const char *text, size_t n, struct lrc_error *err)
{
    struct lrc_added_scan scan = {
        .added = &call->tokenizer->added, .trie = &call->tokenizer->added.raw, .text = text, .n = n
    };
    for (size_t done = 0;; done = scan.end) {
        const struct lrc_added_token *token = lrc_added_scan_next(&scan);
        const size_t                  stop = token ? scan.start : n;
        LRC_TRY(encode_gap(call, text + done, stop - done, done == 0 ? LRC_AT_START : LRC_AT_LATER, err));
        if (!token)
            return LRC_STATUS_OK;
        lrc_ids_append(call->ids, token->id);
    }
}

static void append_all(struct lrc_ids *ids, const struct lrc_ids *more)
{
    for (int64_t i = 0; i < more->len; i++)
        lrc_ids_append(ids, more->data[i]);
}

enum lrc_status lrc_tokenizer_encode(const struct lrc_tokenizer *tokenizer, struct lrc_ids *ids,
                                     const char *text, size_t n, enum lrc_special special,
                                     struct lrc_error *err)
{
    const size_t valid = n > 0 ? lrc_utf8_valid(text, n) : 0;
    if (valid < n)
        return lrc_fail(err, LRC_STATUS_DATA, "text: want UTF-8, got byte 0x%02x at %zu",
                        (unsigned char)text[valid], valid);
    struct call call = { .tokenizer = tokenizer, .ids = ids, .space = space_take(tokenizer->idle) };
    if (!call.space)
        return lrc_fail_nomem(err, "encoding");
    if (special == LRC_SPECIAL_ADD)
        append_all(ids, &tokenizer->post_processor.before);
    enum lrc_status status = encode_text(&call, n > 0 ? text : "", n, err);
    if (status == LRC_STATUS_OK && special == LRC_SPECIAL_ADD)
        append_all(ids, &tokenizer->post_processor.after);
    /* a buffer that could not grow fails for ever */
    space_give_back(tokenizer->idle, call.space, status == LRC_STATUS_OK ? n : SIZE_MAX);
    return status == LRC_STATUS_OK ? lrc_ids_check(ids, err) : status;
}

/* ---- ids to text ---- */

/* What the decoder gets for an id; NULL: not there. */
static const char *text_of(const struct lrc_tokenizer *tokenizer, int32_t id, size_t *n)
{
    const struct lrc_added_token *token = lrc_added_tokens_find(&tokenizer->added, id);
    return token ? lrc_added_tokens_text(&tokenizer->added, token, n)
                 : lrc_vocab_piece(&tokenizer->model->vocab, id, n);
}

enum lrc_status lrc_tokenizer_decode(const struct lrc_tokenizer *tokenizer, struct lrc_buf *text,
                                     const int32_t *ids, int64_t n_ids, enum lrc_skip skip,
                                     struct lrc_error *err)
{
    struct lrc_splits splits = { 0 }, spare = { 0 };
    enum lrc_status   status = LRC_STATUS_OK;
    for (int64_t i = 0; i < n_ids; i++) {
        size_t      n;
        const char *piece = text_of(tokenizer, ids[i], &n);
        if (!piece) {
            status =
                lrc_fail(err, LRC_STATUS_DATA, "token %lld: want an id of the vocabulary (0 to %lld), got %d",
                         (long long)i, (long long)lrc_tokenizer_n_ids(tokenizer) - 1, ids[i]);
            goto done;
        }
        if (skip == LRC_SKIP_NONE || !lrc_tokenizer_is_special(tokenizer, ids[i]))
            lrc_splits_append(&splits, piece, n);
    }
    status = lrc_decoder_apply(&tokenizer->decoder, text, &splits, &spare, err);
done:
    lrc_splits_release(&splits);
    lrc_splits_release(&spare);
    return status;
}

/* ---- asking ---- */

int64_t lrc_tokenizer_n_ids(const struct lrc_tokenizer *tokenizer)
{
    const int64_t n_model = tokenizer->model->vocab.n_ids, n_added = tokenizer->added.vocab.n_ids;
    return n_model > n_added ? n_model : n_added;
}

const char *lrc_tokenizer_piece(const struct lrc_tokenizer *tokenizer, int32_t id)
{
    const char *piece = lrc_vocab_piece(&tokenizer->added.vocab, id, NULL);
    return piece ? piece : lrc_vocab_piece(&tokenizer->model->vocab, id, NULL);
}

int32_t lrc_tokenizer_find(const struct lrc_tokenizer *tokenizer, const char *piece, size_t n)
{
    const int32_t id = lrc_vocab_find(&tokenizer->added.vocab, piece, n);
    return id >= 0 ? id : lrc_vocab_find(&tokenizer->model->vocab, piece, n);
}

int lrc_tokenizer_is_special(const struct lrc_tokenizer *tokenizer, int32_t id)
{
    const struct lrc_added_token *token = lrc_added_tokens_find(&tokenizer->added, id);
    return token && token->special;
}

const char *lrc_tokenizer_role_text(const struct lrc_tokenizer *tokenizer, enum lrc_token_role role)
{
    return tokenizer->roles[role];
}

int32_t lrc_tokenizer_role_id(const struct lrc_tokenizer *tokenizer, enum lrc_token_role role)
{
    const char *text = tokenizer->roles[role];
    return text ? lrc_tokenizer_find(tokenizer, text, strlen(text)) : -1;
}

/* ---- life ---- */

struct lrc_tokenizer *lrc_tokenizer_new(void)
{
    struct lrc_tokenizer   *tokenizer = lrc_calloc(1, sizeof *tokenizer);
    struct lrc_idle_spaces *idle = lrc_calloc(1, sizeof *idle);
    if (!tokenizer || !idle || pthread_mutex_init(&idle->lock, NULL) != 0) {
        lrc_free(tokenizer);
        lrc_free(idle);
        return NULL;
    }
    tokenizer->idle = idle;
    return tokenizer;
}

static void idle_free(struct lrc_idle_spaces *idle)
{
    while (idle->first) {
        struct lrc_encode_space *space = idle->first;
        idle->first = space->next;
        space_release(space);
        lrc_free(space);
    }
    (void)pthread_mutex_destroy(&idle->lock);
    lrc_free(idle);
}

void lrc_tokenizer_free(struct lrc_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    idle_free(tokenizer->idle);
    lrc_added_tokens_release(&tokenizer->added);
    lrc_normalizer_release(&tokenizer->normalizer);
    lrc_pre_tokenizer_release(&tokenizer->pre_tokenizer);
    if (tokenizer->model)
        tokenizer->model->kind->free(tokenizer->model);
    lrc_post_processor_release(&tokenizer->post_processor);
    lrc_decoder_release(&tokenizer->decoder);
    for (int role = 0; role < LRC_TOKEN_ROLE_COUNT; role++)
        lrc_free(tokenizer->roles[role]);
    lrc_free(tokenizer);
}
