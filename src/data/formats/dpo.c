/* A prompt, an answer to prefer and one to avoid; in each the answer is trained.
 *
 *   {"prompt": "...", "chosen": "...", "rejected": "..."}
 *   {"prompt": [messages], "chosen": [messages], "rejected": [messages]}      (TRL)
 *   {"chosen": [all messages], "rejected": [all messages]}     (the prompt is what both begin with)
 *   {"messages" or "conversations": [messages], "chosen": message, "rejected": message}
 *                                                              (Axolotl, LLaMA-Factory)
 *
 * The row becomes two examples that share its number: the chosen one, then the rejected one. */
#include "data/preference.h"

#include <string.h>

static const char *chosen_column(const struct lrc_dataset_spec *spec)
{
    return lrc_column(spec->field_chosen, "chosen");
}

static const char *rejected_column(const struct lrc_dataset_spec *spec)
{
    return lrc_column(spec->field_rejected, "rejected");
}

static int is_answer(const json_t *answer)
{
    return lrc_answer_is_text(answer) || lrc_answer_is_messages(answer);
}

static int claims(const json_t *row, const struct lrc_dataset_spec *spec)
{
    return is_answer(json_object_get(row, chosen_column(spec))) &&
           is_answer(json_object_get(row, rejected_column(spec)));
}

static int row_needs_template(const json_t *row, const struct lrc_dataset_spec *spec)
{
    return lrc_answer_is_messages(json_object_get(row, chosen_column(spec)));
}

static struct lrc_text text_of(const json_t *string)
{
    return (struct lrc_text){ json_string_value(string), json_string_length(string) };
}

/* Bytes that both begin with; a character is not cut, and the space before the first difference is the
 * answer's, as TRL has it: its token begins with it. */
static size_t shared_text(const struct lrc_text *a, const struct lrc_text *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->bytes[n] == b->bytes[n])
        n++;
    while (n > 0 && n < a->n && ((unsigned char)a->bytes[n] & 0xc0) == 0x80)
        n--;
    return n > 0 && a->bytes[n - 1] == ' ' ? n - 1 : n;
}

static size_t shared_messages(const json_t *a, const json_t *b)
{
    size_t n = 0;
    while (n < json_array_size(a) && n < json_array_size(b) &&
           json_equal(json_array_get(a, n), json_array_get(b, n)))
        n++;
    return n;
}

static enum lrc_status encode_texts(struct lrc_encoded *out, const struct lrc_data_context *context,
                                    const json_t *prompt, const json_t *const answers[2],
                                    struct lrc_error *err)
{
    struct lrc_text texts[2] = { text_of(answers[0]), text_of(answers[1]) }, before = { 0 };
    if (prompt) {
        before = text_of(prompt);
    } else {
        const size_t n = shared_text(&texts[0], &texts[1]);
        before = (struct lrc_text){ texts[0].bytes, n };
        for (int i = 0; i < 2; i++)
            texts[i] = (struct lrc_text){ texts[i].bytes + n, texts[i].n - n };
    }
    for (int i = 0; i < 2; i++) {
        LRC_TRY(lrc_encode_answer_text(out, context, &before, &texts[i], err));
        if (i == 0)
            out->n_chosen = out->ids.len;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status encode_messages(struct lrc_encoded *out, const struct lrc_data_context *context,
                                       const json_t *row, const json_t *prompt,
                                       const json_t *const answers[2], struct lrc_error *err)
{
    const size_t n_context = prompt ? 0 : shared_messages(answers[0], answers[1]);
    for (int i = 0; i < 2; i++) {
        struct lrc_encoded one = { 0 }; /* a template's text stands alone */
        enum lrc_status    status =
            lrc_encode_answer_messages(&one, context, row, prompt, answers[i], n_context, err);
        for (int64_t k = 0; status == LRC_STATUS_OK && k < one.ids.len; k++)
            lrc_encode_id(out, one.ids.data[k], one.trained.data[k] ? LRC_TRAINED_YES : LRC_TRAINED_NO);
        lrc_encoded_release(&one);
        LRC_TRY(status);
        if (i == 0)
            out->n_chosen = out->ids.len;
    }
    return lrc_encoded_check(out, err);
}

static enum lrc_status encode(struct lrc_encoded *out, const struct lrc_data_context *context,
                              const json_t *row, struct lrc_error *err)
{
    const char *const   columns[2] = { chosen_column(context->spec), rejected_column(context->spec) };
    const json_t *const answers[2] = { json_object_get(row, columns[0]), json_object_get(row, columns[1]) };
    const char         *prompt_name;
    const json_t       *prompt = lrc_row_prompt(&prompt_name, row, context->spec);
    const int           are_texts = lrc_answer_is_text(answers[0]);
    for (int i = 0; i < 2; i++)
        if (!is_answer(answers[i]) || lrc_answer_is_text(answers[i]) != are_texts)
            return lrc_fail(err, LRC_STATUS_DATA, "'%s': want %s, got %s", columns[i],
                            i == 0      ? "a string or messages"
                            : are_texts ? "a string, as in the chosen answer"
                                        : "messages, as in the chosen answer",
                            lrc_json_type_name(answers[i]));
    if (are_texts) {
        if (prompt && !json_is_string(prompt))
            return lrc_fail(err, LRC_STATUS_DATA, "'%s': want a string, as the answers are, got %s",
                            prompt_name, lrc_json_type_name(prompt));
        LRC_TRY(encode_texts(out, context, prompt, answers, err));
    } else {
        if (prompt && !json_is_string(prompt) && !json_is_array(prompt) && !json_is_object(prompt))
            return lrc_fail(err, LRC_STATUS_DATA, "'%s': want a string or messages, got %s", prompt_name,
                            lrc_json_type_name(prompt));
        if (json_is_string(prompt)) /* beside whole conversations it repeats how they begin */
            prompt = NULL;
        if (!context->template)
            return lrc_fail(err, LRC_STATUS_CONFIG, "want a chat template for messages, got none");
        LRC_TRY(encode_messages(out, context, row, prompt, answers, err));
    }
    if (out->n_chosen == 0 || out->n_chosen == out->ids.len)
        lrc_encoded_clear(out); /* an empty side */
    return LRC_STATUS_OK;
}

const struct lrc_data_format lrc_data_format_dpo = { .name = "dpo",
                                                     .needs_tokenizer = 1,
                                                     .row_needs_template = row_needs_template,
                                                     .is_preference = 1,
                                                     .claims = claims,
                                                     .encode = encode };
