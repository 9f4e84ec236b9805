/* {"segments": [{"label": false, "text": "Q: "}, {"label": true, "text": "A</s>"}]}: a text in pieces, each
 * trained or not; nothing is appended, special tokens are written in the text. */
#include "data/encode.h"

static int claims(const json_t *row, const struct lrc_dataset_spec *spec)
{
    (void)spec;
    return json_is_array(json_object_get(row, "segments")) && !lrc_row_is_preference(row);
}

static enum lrc_status append_segment(struct lrc_buf *text, struct lrc_buf *pieces, const json_t *segment,
                                      size_t i, struct lrc_error *err)
{
    const json_t *label = json_object_get(segment, "label"), *words = json_object_get(segment, "text");
    if (!json_is_object(segment))
        return lrc_fail(err, LRC_STATUS_DATA, "'segments'[%zu]: want an object, got %s", i,
                        lrc_json_type_name(segment));
    if (!json_is_boolean(label))
        return lrc_fail(err, LRC_STATUS_DATA, "'segments'[%zu]: 'label': want true or false, got %s", i,
                        lrc_json_type_name(label));
    if (!json_is_string(words))
        return lrc_fail(err, LRC_STATUS_DATA, "'segments'[%zu]: 'text': want a string, got %s", i,
                        lrc_json_type_name(words));
    lrc_buf_append(text, json_string_value(words), json_string_length(words));
    const struct lrc_piece piece = { text->len, json_is_true(label) ? LRC_TRAINED_YES : LRC_TRAINED_NO };
    lrc_buf_append(pieces, &piece, sizeof piece);
    return LRC_STATUS_OK;
}

static enum lrc_status encode(struct lrc_encoded *out, const struct lrc_data_context *context,
                              const json_t *row, struct lrc_error *err)
{
    const json_t *segments = json_object_get(row, "segments");
    if (!json_is_array(segments))
        return lrc_fail(err, LRC_STATUS_DATA, "'segments': want an array of {label, text}, got %s",
                        lrc_json_type_name(segments));
    struct lrc_buf  text = { 0 }, pieces = { 0 };
    enum lrc_status status = LRC_STATUS_OK;
    for (size_t i = 0; i < json_array_size(segments) && status == LRC_STATUS_OK; i++)
        status = append_segment(&text, &pieces, json_array_get(segments, i), i, err);
    if (status == LRC_STATUS_OK)
        status = lrc_buf_check(&text, err);
    if (status == LRC_STATUS_OK)
        status = lrc_buf_check(&pieces, err);
    if (status != LRC_STATUS_OK || text.len == 0)
        goto done;
    status = lrc_encode_bos(out, context, err);
    if (status == LRC_STATUS_OK)
        status = lrc_encode_pieces(out, context, &text, (const struct lrc_piece *)(const void *)pieces.data,
                                   (int64_t)(pieces.len / sizeof(struct lrc_piece)), err);
done:
    lrc_buf_release(&text);
    lrc_buf_release(&pieces);
    return status;
}

const struct lrc_data_format lrc_data_format_input_output = {
    .name = "input_output", .needs_tokenizer = 1, .claims = claims, .encode = encode
};
