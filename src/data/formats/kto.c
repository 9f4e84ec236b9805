/* A prompt, an answer, and whether the answer is a good one; the answer is trained.
 *
 *   {"prompt": "..." or [messages], "completion": "..." or [messages], "label": true}      (TRL)
 *   {"messages" or "conversations": [messages], "label": false}      (the last message is the answer)
 *
 * The row becomes one example: of the chosen side when label is true, else of the rejected one. */
#include "data/preference.h"

#include <string.h>

static const char *label_column(const struct lrc_dataset_spec *spec)
{
    return lrc_column(spec->field_label, "label");
}

static const char *completion_column(const struct lrc_dataset_spec *spec)
{
    return lrc_column(spec->field_completion, "completion");
}

static int claims(const json_t *row, const struct lrc_dataset_spec *spec)
{
    const char   *key;
    const json_t *completion = json_object_get(row, completion_column(spec));
    return json_is_boolean(json_object_get(row, label_column(spec))) && !json_object_get(row, "chosen") &&
           (lrc_answer_is_text(completion) || lrc_answer_is_messages(completion) ||
            lrc_answer_is_messages(lrc_row_prompt(&key, row, spec)));
}

static int row_needs_template(const json_t *row, const struct lrc_dataset_spec *spec)
{
    return !lrc_answer_is_text(json_object_get(row, completion_column(spec)));
}

/* CSV has strings alone. */
static enum lrc_status read_label(int *label, const json_t *row, const struct lrc_dataset_spec *spec,
                                  struct lrc_error *err)
{
    const char   *key = label_column(spec);
    const json_t *column = json_object_get(row, key);
    const char   *text = json_string_value(column);
    const int     is_true = text && (strcmp(text, "true") == 0 || strcmp(text, "True") == 0);
    const int     is_false = text && (strcmp(text, "false") == 0 || strcmp(text, "False") == 0);
    if (!json_is_boolean(column) && !is_true && !is_false)
        return lrc_fail(err, LRC_STATUS_DATA, "'%s': want true or false, got %s", key,
                        lrc_json_type_name(column));
    *label = json_is_true(column) || is_true;
    return LRC_STATUS_OK;
}

static enum lrc_status encode_texts(struct lrc_encoded *out, const struct lrc_data_context *context,
                                    const json_t *row, const char *prompt_name, struct lrc_error *err)
{
    struct lrc_text prompt, answer;
    LRC_TRY(lrc_row_text_required(&prompt, row, prompt_name, err));
    LRC_TRY(lrc_row_text_required(&answer, row, completion_column(context->spec), err));
    return lrc_encode_answer_text(out, context, &prompt, &answer, err);
}

static enum lrc_status encode(struct lrc_encoded *out, const struct lrc_data_context *context,
                              const json_t *row, struct lrc_error *err)
{
    const char   *prompt_name, *name = completion_column(context->spec);
    const json_t *answer = json_object_get(row, name);
    const json_t *prompt = lrc_row_prompt(&prompt_name, row, context->spec);
    int           label = 0;
    LRC_TRY(read_label(&label, row, context->spec, err));
    if (lrc_answer_is_text(answer)) {
        LRC_TRY(encode_texts(out, context, row, prompt_name, err));
    } else {
        if (answer && !lrc_answer_is_messages(answer))
            return lrc_fail(err, LRC_STATUS_DATA, "'%s': want a string or messages, got %s", name,
                            lrc_json_type_name(answer));
        if (!lrc_answer_is_messages(prompt))
            return lrc_fail(err, LRC_STATUS_DATA, "'%s': want messages, got %s", prompt_name,
                            lrc_json_type_name(prompt));
        if (!context->template)
            return lrc_fail(err, LRC_STATUS_CONFIG, "want a chat template for messages, got none");
        const size_t n = json_array_size(prompt);
        LRC_TRY(answer ? lrc_encode_answer_messages(out, context, row, prompt, answer, 0, err)
                       : lrc_encode_answer_messages(out, context, row, NULL, prompt, n > 0 ? n - 1 : 0, err));
    }
    out->side = label ? LRC_SIDE_CHOSEN : LRC_SIDE_REJECTED;
    return LRC_STATUS_OK;
}

const struct lrc_data_format lrc_data_format_kto = { .name = "kto",
                                                     .needs_tokenizer = 1,
                                                     .row_needs_template = row_needs_template,
                                                     .is_preference = 1,
                                                     .claims = claims,
                                                     .encode = encode };
