/* {"instruction": "...", "input": "...", "output": "..."}: the output is trained, end of text appended.
 *
 * source: the wording of Taori et al. 2023, "Stanford Alpaca"; the newline after "### Response:" as in what
 * is trained and served with it since. */
#include "data/encode.h"

static const char with_input[] =
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n";
static const char without_input[] =
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n";

static const char *instruction_column(const struct lrc_dataset_spec *spec)
{
    return lrc_column(spec->field_instruction, "instruction");
}

static const char *output_column(const struct lrc_dataset_spec *spec)
{
    return lrc_column(spec->field_output, "output");
}

static int claims(const json_t *row, const struct lrc_dataset_spec *spec)
{
    return lrc_row_has_string(row, instruction_column(spec)) &&
           lrc_row_has_string(row, output_column(spec)) && !lrc_row_is_preference(row);
}

static void append_section(struct lrc_buf *prompt, const char *title, const struct lrc_text *text)
{
    lrc_buf_printf(prompt, "### %s:\n", title);
    lrc_buf_append(prompt, text->bytes, text->n);
    lrc_buf_puts(prompt, "\n\n");
}

static enum lrc_status encode(struct lrc_encoded *out, const struct lrc_data_context *context,
                              const json_t *row, struct lrc_error *err)
{
    struct lrc_text instruction, input = { 0 }, output;
    struct lrc_buf  text = { 0 };
    LRC_TRY(lrc_row_text_required(&instruction, row, instruction_column(context->spec), err));
    LRC_TRY(lrc_row_text(&input, row, lrc_column(context->spec->field_input, "input"), err));
    LRC_TRY(lrc_row_text_required(&output, row, output_column(context->spec), err));
    if (instruction.n + input.n + output.n == 0)
        return LRC_STATUS_OK;
    lrc_buf_puts(&text, input.n ? with_input : without_input);
    append_section(&text, "Instruction", &instruction);
    if (input.n)
        append_section(&text, "Input", &input);
    lrc_buf_puts(&text, "### Response:\n");
    const size_t n_prompt = text.len;
    lrc_buf_append(&text, output.bytes, output.n);
    const enum lrc_status status = lrc_encode_answer(out, context, &text, n_prompt, err);
    lrc_buf_release(&text);
    return status;
}

const struct lrc_data_format lrc_data_format_alpaca = {
    .name = "alpaca", .needs_tokenizer = 1, .claims = claims, .encode = encode
};
