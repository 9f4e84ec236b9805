#include "data/data_format.h"

#include "data/encode.h"
#include <string.h>

const struct lrc_data_format *lrc_data_format_find(const char *name)
{
    for (const struct lrc_data_format *const *format = lrc_data_format_all; *format; format++)
        if (strcmp((*format)->name, name) == 0 || ((*format)->also && strcmp((*format)->also, name) == 0))
            return *format;
    return NULL;
}

void lrc_encoded_clear(struct lrc_encoded *encoded)
{
    encoded->ids.len = 0;
    lrc_buf_clear(&encoded->trained);
    encoded->n_chosen = 0;
    encoded->side = LRC_SIDE_NONE;
}

void lrc_encoded_release(struct lrc_encoded *encoded)
{
    lrc_ids_release(&encoded->ids);
    lrc_buf_release(&encoded->trained);
}

enum lrc_status lrc_encoded_check(const struct lrc_encoded *encoded, struct lrc_error *err)
{
    LRC_TRY(lrc_ids_check(&encoded->ids, err));
    return lrc_buf_check(&encoded->trained, err);
}

const char *lrc_column(const char *name, const char *own)
{
    return name ? name : own;
}

int lrc_row_has_string(const json_t *row, const char *key)
{
    return json_is_string(json_object_get(row, key));
}

int lrc_row_is_preference(const json_t *row)
{
    return json_object_get(row, "chosen") || json_object_get(row, "rejected") ||
           json_is_boolean(json_object_get(row, "label"));
}

enum lrc_status lrc_row_text(struct lrc_text *text, const json_t *row, const char *key, struct lrc_error *err)
{
    const json_t *member = json_object_get(row, key);
    if (!member || json_is_null(member))
        return LRC_STATUS_OK;
    if (!json_is_string(member))
        return lrc_fail(err, LRC_STATUS_DATA, "'%s': want a string, got %s", key, lrc_json_type_name(member));
    *text = (struct lrc_text){ json_string_value(member), json_string_length(member) };
    return LRC_STATUS_OK;
}

enum lrc_status lrc_row_text_required(struct lrc_text *text, const json_t *row, const char *key,
                                      struct lrc_error *err)
{
    *text = (struct lrc_text){ 0 };
    LRC_TRY(lrc_row_text(text, row, key, err));
    if (!text->bytes)
        return lrc_fail(err, LRC_STATUS_DATA, "'%s': want a string, got %s", key,
                        lrc_json_type_name(json_object_get(row, key)));
    return LRC_STATUS_OK;
}

void lrc_encode_id(struct lrc_encoded *out, int32_t id, enum lrc_trained trained)
{
    lrc_ids_append(&out->ids, id);
    lrc_buf_putc(&out->trained, (char)(trained == LRC_TRAINED_YES));
}

/* Gives the ids appended to out->ids since the last flag theirs. */
static void flag_new_ids(struct lrc_encoded *out, enum lrc_trained trained)
{
    while (!out->trained.failed && (int64_t)out->trained.len < out->ids.len)
        lrc_buf_putc(&out->trained, (char)(trained == LRC_TRAINED_YES));
}

enum lrc_status lrc_encode_text(struct lrc_encoded *out, const struct lrc_data_context *context,
                                const char *text, size_t n, enum lrc_special special,
                                enum lrc_trained trained, struct lrc_error *err)
{
    if (special == LRC_SPECIAL_ADD)
        LRC_TRY(lrc_encode_bos(out, context, err));
    LRC_TRY(lrc_tokenizer_encode(context->tokenizer, &out->ids, text, n, LRC_SPECIAL_NONE, err));
    flag_new_ids(out, trained);
    return lrc_encoded_check(out, err);
}

/* A post-processor may add ids on both sides. What stands before a known text is told by encoding one with
 * and without. */
enum lrc_status lrc_encode_bos(struct lrc_encoded *out, const struct lrc_data_context *context,
                               struct lrc_error *err)
{
    struct lrc_ids  plain = { 0 }, framed = { 0 };
    enum lrc_status status = lrc_tokenizer_encode(context->tokenizer, &plain, "a", 1, LRC_SPECIAL_NONE, err);
    if (status == LRC_STATUS_OK)
        status = lrc_tokenizer_encode(context->tokenizer, &framed, "a", 1, LRC_SPECIAL_ADD, err);
    for (int64_t first = 0; status == LRC_STATUS_OK && plain.len > 0 && first + plain.len <= framed.len;
         first++) {
        if (memcmp(framed.data + first, plain.data, (size_t)plain.len * sizeof *plain.data) != 0)
            continue;
        for (int64_t i = 0; i < first; i++)
            lrc_encode_id(out, framed.data[i], LRC_TRAINED_NO);
        break;
    }
    lrc_ids_release(&plain);
    lrc_ids_release(&framed);
    return status == LRC_STATUS_OK ? lrc_encoded_check(out, err) : status;
}

enum lrc_status lrc_encode_eos(struct lrc_encoded *out, const struct lrc_data_context *context,
                               struct lrc_error *err)
{
    const int32_t eos = lrc_tokenizer_role_id(context->tokenizer, LRC_TOKEN_EOS);
    if (eos < 0)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                        "tokenizer: want an eos_token to end every text with, got none (without one the "
                        "model never stops)");
    lrc_encode_id(out, eos, LRC_TRAINED_YES);
    return lrc_encoded_check(out, err);
}

static enum lrc_status encode_apart(struct lrc_encoded *out, const struct lrc_data_context *context,
                                    const struct lrc_buf *text, const struct lrc_piece *pieces,
                                    int64_t n_pieces, struct lrc_error *err)
{
    size_t begin = 0;
    for (int64_t i = 0; i < n_pieces; begin = pieces[i].end, i++)
        LRC_TRY(lrc_encode_text(out, context, lrc_buf_text(text) + begin, pieces[i].end - begin,
                                LRC_SPECIAL_NONE, pieces[i].trained, err));
    return LRC_STATUS_OK;
}

static int starts_with(const struct lrc_ids *ids, const struct lrc_ids *head)
{
    return head->len <= ids->len &&
           (head->len == 0 || memcmp(ids->data, head->data, (size_t)head->len * sizeof *head->data) == 0);
}

/* Piece after piece: the ids of the whole text up to the piece's end, where they go on from what is there (a
 * tokenizer that marks the start of a text would mark the start of every piece otherwise); the piece alone
 * where they do not. */
static enum lrc_status encode_growing(struct lrc_encoded *built, const struct lrc_data_context *context,
                                      const struct lrc_buf *text, const struct lrc_piece *pieces,
                                      int64_t n_pieces, struct lrc_error *err)
{
    struct lrc_ids  head = { 0 };
    enum lrc_status status = LRC_STATUS_OK;
    size_t          begin = 0;
    for (int64_t i = 0; i < n_pieces && status == LRC_STATUS_OK; begin = pieces[i].end, i++) {
        if (pieces[i].end == begin)
            continue;
        head.len = 0;
        status =
            lrc_tokenizer_encode(context->tokenizer, &head, text->data, pieces[i].end, LRC_SPECIAL_NONE, err);
        if (status != LRC_STATUS_OK)
            break;
        if (!starts_with(&head, &built->ids)) {
            status = lrc_encode_text(built, context, text->data + begin, pieces[i].end - begin,
                                     LRC_SPECIAL_NONE, pieces[i].trained, err);
            continue;
        }
        for (int64_t j = built->ids.len; j < head.len; j++)
            lrc_encode_id(built, head.data[j], pieces[i].trained);
        status = lrc_encoded_check(built, err);
    }
    lrc_ids_release(&head);
    return status;
}

enum lrc_status lrc_encode_pieces(struct lrc_encoded *out, const struct lrc_data_context *context,
                                  const struct lrc_buf *text, const struct lrc_piece *pieces,
                                  int64_t n_pieces, struct lrc_error *err)
{
    if (n_pieces <= 1)
        return encode_apart(out, context, text, pieces, n_pieces, err);

    struct lrc_encoded built = { 0 };
    struct lrc_ids     whole = { 0 };
    enum lrc_status    status = encode_apart(&built, context, text, pieces, n_pieces, err);
    if (status == LRC_STATUS_OK)
        status = lrc_tokenizer_encode(context->tokenizer, &whole, lrc_buf_text(text), text->len,
                                      LRC_SPECIAL_NONE, err);
    if (status != LRC_STATUS_OK)
        goto done;
    if (whole.len != built.ids.len || !starts_with(&whole, &built.ids)) {
        lrc_encoded_clear(&built);
        status = encode_growing(&built, context, text, pieces, n_pieces, err);
        if (status != LRC_STATUS_OK)
            goto done;
    }
    for (int64_t i = 0; i < built.ids.len; i++)
        lrc_encode_id(out, built.ids.data[i], built.trained.data[i] ? LRC_TRAINED_YES : LRC_TRAINED_NO);
    status = lrc_encoded_check(out, err);
done:
    lrc_ids_release(&whole);
    lrc_encoded_release(&built);
    return status;
}

enum lrc_status lrc_encode_answer(struct lrc_encoded *out, const struct lrc_data_context *context,
                                  const struct lrc_buf *text, size_t n_prompt, struct lrc_error *err)
{
    const struct lrc_piece pieces[2] = {
        { n_prompt, context->train_on_inputs ? LRC_TRAINED_YES : LRC_TRAINED_NO },
        { text->len, LRC_TRAINED_YES },
    };
    LRC_TRY(lrc_buf_check(text, err));
    LRC_TRY(lrc_encode_bos(out, context, err));
    LRC_TRY(lrc_encode_pieces(out, context, text, pieces, 2, err));
    return lrc_encode_eos(out, context, err);
}
