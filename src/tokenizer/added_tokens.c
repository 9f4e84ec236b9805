#include "tokenizer/added_tokens.h"

#include "base/alloc.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/unicode.h"
#include <stdlib.h>

enum lrc_status lrc_added_tokens_add(struct lrc_added_tokens *added, const char *content, size_t n,
                                     struct lrc_added_token token, struct lrc_error *err)
{
    if (n == 0 || lrc_vocab_find(&added->vocab, content, n) >= 0)
        return LRC_STATUS_OK;
    if (added->n == added->cap) {
        const int64_t           cap = added->cap ? added->cap * 2 : 16;
        struct lrc_added_token *tokens = lrc_realloc(added->tokens, cap, sizeof *tokens);
        if (!tokens)
            return lrc_fail_nomem(err, "added tokens");
        added->tokens = tokens;
        added->cap = cap;
    }
    LRC_TRY(lrc_vocab_add(&added->vocab, content, n, token.id, err));
    added->tokens[added->n++] = token;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_added_tokens_read(struct lrc_added_tokens *added, const json_t *json, int64_t id,
                                      const struct lrc_vocab *model, const char *name, struct lrc_error *err)
{
    struct lrc_added_token token = { 0 };
    const json_t          *content = json_object_get(json, "content");

    if (!json_is_string(content))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'added_tokens': 'content': want a string, got %s", name,
                        lrc_json_type_name(content));
    const char   *text = json_string_value(content);
    const size_t  n = json_string_length(content);
    const int32_t known = lrc_vocab_find(model, text, n);
    if (known < 0 && (id < 0 || id >= LRC_VOCAB_IDS_MAX || lrc_vocab_piece(model, id, NULL)))
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: 'added_tokens': '%.60s': want a free id below %d, got %lld", name, text,
                        LRC_VOCAB_IDS_MAX, (long long)id);
    token.id = known >= 0 ? known : (int32_t)id;
    LRC_TRY(lrc_json_get_bool(&token.special, json, "special", name, err));
    token.normalized = !token.special;
    LRC_TRY(lrc_json_get_bool(&token.normalized, json, "normalized", name, err));
    LRC_TRY(lrc_json_get_bool(&token.single_word, json, "single_word", name, err));
    LRC_TRY(lrc_json_get_bool(&token.lstrip, json, "lstrip", name, err));
    LRC_TRY(lrc_json_get_bool(&token.rstrip, json, "rstrip", name, err));
    return lrc_added_tokens_add(added, text, n, token, err);
}

const char *lrc_added_tokens_text(const struct lrc_added_tokens *added, const struct lrc_added_token *token,
                                  size_t *n)
{
    *n = token->n_text;
    return lrc_buf_text(&added->texts) + token->text_offset;
}

static enum lrc_status index_one(struct lrc_added_tokens *added, int32_t i,
                                 const struct lrc_normalizer *normalizer, struct lrc_matcher *matcher,
                                 struct lrc_error *err)
{
    struct lrc_added_token *token = &added->tokens[i];
    struct lrc_buf          text = { 0 };
    struct lrc_trie        *trie = token->normalized ? &added->normalized : &added->raw;
    size_t                  n;
    const char             *content = lrc_vocab_piece(&added->vocab, token->id, &n);
    enum lrc_status         status = LRC_STATUS_OK;

    lrc_buf_append(&text, content, n);
    if (token->normalized && !token->verbatim)
        status = lrc_normalizer_apply(normalizer, &text, LRC_AT_START, matcher, err);
    if (status == LRC_STATUS_OK)
        status = lrc_buf_check(&text, err);
    if (status == LRC_STATUS_OK)
        status = lrc_trie_add(trie, lrc_buf_text(&text), text.len, i, err);
    if (status == LRC_STATUS_OK) {
        token->text_offset = added->texts.len;
        token->n_text = text.len;
        lrc_buf_append(&added->texts, lrc_buf_text(&text), text.len);
        status = lrc_buf_check(&added->texts, err);
    }
    lrc_buf_release(&text);
    return status;
}

static int by_id(const void *a, const void *b)
{
    const struct lrc_added_token *left = a, *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

enum lrc_status lrc_added_tokens_index(struct lrc_added_tokens     *added,
                                       const struct lrc_normalizer *normalizer, struct lrc_error *err)
{
    struct lrc_matcher matcher = { 0 };
    enum lrc_status    status = LRC_STATUS_OK;
    if (added->n > 0)
        qsort(added->tokens, (size_t)added->n, sizeof *added->tokens, by_id);
    for (int32_t i = 0; i < added->n && status == LRC_STATUS_OK; i++)
        status = index_one(added, i, normalizer, &matcher, err);
    lrc_matcher_release(&matcher);
    return status;
}

void lrc_added_tokens_release(struct lrc_added_tokens *added)
{
    lrc_free(added->tokens);
    lrc_vocab_release(&added->vocab);
    lrc_buf_release(&added->texts);
    lrc_trie_release(&added->raw);
    lrc_trie_release(&added->normalized);
    *added = (struct lrc_added_tokens){ 0 };
}

static int word_before(const char *text, size_t at)
{
    int32_t cp;
    if (at == 0)
        return 0;
    const size_t last = lrc_utf8_last(text, at);
    (void)lrc_utf8_step(&cp, text + last, at - last);
    return lrc_char_is_word(cp);
}

static int word_after(const char *text, size_t n, size_t at)
{
    int32_t cp;
    if (at == n)
        return 0;
    (void)lrc_utf8_step(&cp, text + at, n - at);
    return lrc_char_is_word(cp);
}

static size_t spaces_before(const char *text, size_t at, size_t bound)
{
    while (at > bound) {
        int32_t      cp;
        const size_t last = lrc_utf8_last(text, at);
        (void)lrc_utf8_step(&cp, text + last, at - last);
        if (last < bound || !lrc_char_is_space(cp))
            break;
        at = last;
    }
    return at;
}

static size_t spaces_after(const char *text, size_t n, size_t at)
{
    while (at < n) {
        int32_t      cp;
        const size_t step = lrc_utf8_step(&cp, text + at, n - at);
        if (!lrc_char_is_space(cp))
            break;
        at += step;
    }
    return at;
}

const struct lrc_added_token *lrc_added_scan_next(struct lrc_added_scan *scan)
{
    while (scan->from < scan->n && scan->trie->n_nodes > 0) {
        size_t        n_match = 1;
        const size_t  at = scan->from;
        const int32_t found = lrc_trie_longest(scan->trie, scan->text + at, scan->n - at, &n_match);
        scan->from = at + (found >= 0 ? n_match : 1);
        if (found < 0)
            continue;
        const struct lrc_added_token *token = &scan->added->tokens[found];
        const size_t                  stop = at + n_match;
        if (token->single_word && (word_before(scan->text, at) || word_after(scan->text, scan->n, stop)))
            continue;
        const size_t bound = scan->end;
        scan->start = at < bound ? bound : token->lstrip ? spaces_before(scan->text, at, bound) : at;
        scan->end = token->rstrip ? spaces_after(scan->text, scan->n, stop) : stop;
        if (scan->end < bound)
            scan->end = bound;
        return token;
    }
    return NULL;
}

const struct lrc_added_token *lrc_added_tokens_find(const struct lrc_added_tokens *added, int32_t id)
{
    int64_t low = 0, high = added->n; /* sorted by id after lrc_added_tokens_index() */
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (added->tokens[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < added->n && added->tokens[low].id == id ? &added->tokens[low] : NULL;
}
