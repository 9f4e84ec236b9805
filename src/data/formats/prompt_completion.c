/* {"prompt": "...", "completion": "..."}: the completion is trained, end of text appended. */
#include "data/encode.h"

static const char *prompt_column(const struct lrc_dataset_spec *spec)
{
    return lrc_column(spec->field_prompt, "prompt");
}

static const char *completion_column(const struct lrc_dataset_spec *spec)
{
    return lrc_column(spec->field_completion, "completion");
}

static int claims(const json_t *row, const struct lrc_dataset_spec *spec)
{
    return lrc_row_has_string(row, prompt_column(spec)) && lrc_row_has_string(row, completion_column(spec)) &&
           !lrc_row_is_preference(row);
}

static enum lrc_status encode(struct lrc_encoded *out, const struct lrc_data_context *context,
                              const json_t *row, struct lrc_error *err)
{
    struct lrc_text prompt, completion;
    struct lrc_buf  text = { 0 };
    LRC_TRY(lrc_row_text_required(&prompt, row, prompt_column(context->spec), err));
    LRC_TRY(lrc_row_text_required(&completion, row, completion_column(context->spec), err));
    if (prompt.n + completion.n == 0)
        return LRC_STATUS_OK;
    lrc_buf_append(&text, prompt.bytes, prompt.n);
    lrc_buf_append(&text, completion.bytes, completion.n);
    const enum lrc_status status = lrc_encode_answer(out, context, &text, prompt.n, err);
    lrc_buf_release(&text);
    return status;
}

const struct lrc_data_format lrc_data_format_prompt_completion = {
    .name = "prompt_completion", .needs_tokenizer = 1, .claims = claims, .encode = encode
};
