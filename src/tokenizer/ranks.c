#include "tokenizer/ranks.h"

#include "base/alloc.h"
#include "tokenizer/base64.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/unicode.h"
#include <string.h>

enum lrc_status lrc_ranks_append(struct lrc_ranks *ranks, const char *base64, size_t n, const char *where,
                                 struct lrc_error *err)
{
    struct lrc_buf bytes = { 0 };
    const size_t   n_read = lrc_base64_decode(&bytes, base64, n);
    const int      is_whole = n_read == n && bytes.len > 0;
    for (size_t i = 0; i < bytes.len && is_whole; i++)
        lrc_utf8_append(&ranks->spelled.text, lrc_byte_to_char((unsigned char)bytes.data[i]));
    lrc_splits_close(&ranks->spelled);
    const enum lrc_status status = lrc_buf_check(&bytes, err);
    lrc_buf_release(&bytes);
    if (status != LRC_STATUS_OK)
        return status;
    if (!is_whole)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a piece in base64, got '%.*s'", where,
                        (int)(n < 60 ? n : 60), base64);
    return lrc_splits_check(&ranks->spelled, err);
}

static enum lrc_status check_bytes(const struct lrc_token_model *model, const char *name,
                                   struct lrc_error *err)
{
    struct lrc_buf spelled = { 0 };
    int            byte = 0;
    for (int32_t id = 0; byte < 256 && id >= 0; byte += id >= 0) {
        lrc_buf_clear(&spelled);
        lrc_utf8_append(&spelled, lrc_byte_to_char((unsigned char)byte));
        id = lrc_vocab_find(&model->vocab, lrc_buf_text(&spelled), spelled.len);
    }
    const enum lrc_status status = lrc_buf_check(&spelled, err);
    lrc_buf_release(&spelled);
    if (status != LRC_STATUS_OK || byte == 256)
        return status;
    return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a piece for each of the 256 bytes, got none for 0x%02x",
                    name, (unsigned)byte);
}

enum lrc_status lrc_ranks_set_model(struct lrc_tokenizer *tokenizer, const struct lrc_ranks *ranks,
                                    const char *name, struct lrc_error *err)
{
    const int64_t            n = ranks->first_id + ranks->spelled.n;
    struct lrc_scored_piece *pieces = lrc_calloc(n, sizeof *pieces);
    if (!pieces)
        return lrc_fail_nomem(err, "pieces of a rank file");
    for (int64_t rank = 0; rank < ranks->spelled.n; rank++) {
        struct lrc_scored_piece *piece = &pieces[ranks->first_id + rank];
        piece->text = lrc_splits_get(&ranks->spelled, rank, &piece->n);
        piece->score = -(float)rank; /* exact: ranks are below 2^22 */
        piece->type = LRC_PIECE_NORMAL;
    }
    const struct lrc_scored_pieces all = { .pieces = pieces, .n = n, .unk_id = -1, .whole_first = 1 };
    enum lrc_status                status = lrc_bpe_new_scored(&tokenizer->model, &all, err);
    lrc_free(pieces);
    return status == LRC_STATUS_OK ? check_bytes(tokenizer->model, name, err) : status;
}

enum lrc_status lrc_ranks_add_special(struct lrc_tokenizer *tokenizer, struct lrc_special_name token,
                                      int64_t id, struct lrc_error *err)
{
    const struct lrc_added_token added = { .id = (int32_t)id, .special = 1 };
    struct lrc_buf               text = { 0 };
    lrc_buf_puts(&text, token.text);
    if (token.suffix)
        lrc_buf_printf(&text, "%lld%s", (long long)token.number, token.suffix);
    enum lrc_status status = lrc_buf_check(&text, err);
    if (status == LRC_STATUS_OK)
        status = lrc_added_tokens_add(&tokenizer->added, lrc_buf_text(&text), text.len, added, err);
    lrc_buf_release(&text);
    return status;
}

enum lrc_status lrc_ranks_set_roles(struct lrc_tokenizer *tokenizer,
                                    const char *const texts[LRC_TOKEN_ROLE_COUNT], struct lrc_error *err)
{
    for (int role = 0; role < LRC_TOKEN_ROLE_COUNT; role++)
        if (texts[role] && lrc_vocab_find(&tokenizer->added.vocab, texts[role], strlen(texts[role])) >= 0)
            LRC_TRY(lrc_tokenizer_set_role(tokenizer, (enum lrc_token_role)role, texts[role], err));
    return LRC_STATUS_OK;
}
