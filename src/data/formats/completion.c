/* {"text": "..."}: all of it trained, end of text appended. */
#include "data/encode.h"

static const char *text_column(const struct lrc_dataset_spec *spec)
{
    return lrc_column(spec->field_text, "text");
}

/* Stanford's Alpaca rows carry their rendered prompt in "text" as well; they are alpaca's. */
static int claims(const json_t *row, const struct lrc_dataset_spec *spec)
{
    return lrc_row_has_string(row, text_column(spec)) && !json_object_get(row, "instruction") &&
           !lrc_row_is_preference(row);
}

static enum lrc_status encode(struct lrc_encoded *out, const struct lrc_data_context *context,
                              const json_t *row, struct lrc_error *err)
{
    struct lrc_text text;
    LRC_TRY(lrc_row_text_required(&text, row, text_column(context->spec), err));
    if (text.n == 0)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_encode_text(out, context, text.bytes, text.n, LRC_SPECIAL_ADD, LRC_TRAINED_YES, err));
    return lrc_encode_eos(out, context, err);
}

const struct lrc_data_format lrc_data_format_completion = {
    .name = "completion", .needs_tokenizer = 1, .claims = claims, .encode = encode
};
