/* A conversation as the chat template sees it. */
#include "base/json.h"
#include "cli/command.h"
#include "cli/token_view.h"
#include "data/data_format.h"
#include "data/row_file.h"
#include "formats/model_dir.h"

#include <stddef.h>
#include <stdint.h>

static const struct lrc_option options[] = {
    { "messages", "FILE",
      "JSON: an array of {role, content}, or an object with messages, tools and variables of the template; "
      "with --line: "
      "a data file" },
    { "line", "N", "the row of the data file that begins in line N" },
    { "chat-template", "NAME|FILE", "a built-in template or a file; without it, the model's own" },
    { "no-generation-prompt", NULL, "do not open the assistant's turn at the end" },
    { "continue", NULL, "leave the last message open, to go on with it" },
    { "trained", NULL, "mark what is trained: in colour, or in [[...]] where there is no terminal" },
    { "ids", NULL, "with --trained: every token's id and piece as well" },
    { NULL, NULL, NULL },
};

/* What is rendered, with where it stands for sentences. */
struct subject {
    json_t                 *row; /* owned */
    struct lrc_conversation conversation;
    struct lrc_buf          place; /* "FILE" or "FILE:LINE" */
};

static void release(struct subject *subject)
{
    json_decref(subject->row);
    lrc_conversation_release(&subject->conversation);
    lrc_buf_release(&subject->place);
}

/* Everything of the object but messages and tools is a variable. */
static enum lrc_status read_json(struct subject *subject, const char *path, struct lrc_error *err)
{
    LRC_TRY(lrc_json_load(&subject->row, path, err));
    const int is_array = json_is_array(subject->row);
    json_t   *messages = is_array ? subject->row : json_object_get(subject->row, "messages");
    if (!json_is_array(messages))
        return lrc_fail(err, LRC_STATUS_DATA,
                        "%s: want an array of messages, or an object with 'messages', got %s", path,
                        lrc_json_type_name(json_is_object(subject->row) ? messages : subject->row));
    subject->conversation.messages = json_incref(messages);
    subject->conversation.tools = json_incref(json_object_get(subject->row, "tools"));
    lrc_buf_puts(&subject->place, path);
    return LRC_STATUS_OK;
}

/* The row of the file's batch that is then read. */
static enum lrc_status find_line(int64_t *index, struct lrc_row_file *file, int64_t line,
                                 struct lrc_error *err)
{
    do {
        LRC_TRY(lrc_row_file_next(file, INT64_MAX, err));
        for (*index = 0; *index < file->n_rows; (*index)++)
            if (file->rows[*index].line == line)
                return LRC_STATUS_OK;
    } while (file->n_rows > 0);
    return lrc_fail(err, LRC_STATUS_DATA, "%s:%lld: want a row that begins in this line, got none",
                    file->path, (long long)line);
}

static enum lrc_status read_row(struct subject *subject, const char *path, int64_t line,
                                const struct lrc_template *template, struct lrc_problems *problems,
                                struct lrc_error *err)
{
    const struct lrc_dataset_spec spec = { 0 };
    const struct lrc_data_context context = { .spec = &spec, .template = template };
    struct lrc_row_file           file = { 0 };
    struct lrc_error              reason = { 0 };
    int64_t                       index;
    enum lrc_status status = lrc_row_file_open(&file, path, LRC_ROW_KIND_AUTO, NULL, problems, err);
    if (status == LRC_STATUS_OK)
        status = find_line(&index, &file, line, err);
    if (status == LRC_STATUS_OK)
        status = lrc_row_file_parse(&subject->row, &file, index, err);
    lrc_buf_printf(&subject->place, "%s:%lld", file.path, (long long)line);
    lrc_row_file_close(&file);
    LRC_TRY(status);
    status = lrc_conversation_of_row(&subject->conversation, subject->row, &context, &reason);
    if (status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM)
        return status;
    return lrc_fail(err, status, "%s: %s", lrc_buf_text(&subject->place), reason.message);
}

static enum lrc_status read_options(int64_t *line, const struct lrc_cli *cli, struct lrc_error *err)
{
    if (!lrc_cli_has(cli, "messages"))
        return lrc_fail(err, LRC_STATUS_USAGE, "render: want --messages FILE, got none");
    if (lrc_cli_has(cli, "ids") && !lrc_cli_has(cli, "trained"))
        return lrc_fail(err, LRC_STATUS_USAGE, "--ids: want --trained with it, got none");
    return lrc_cli_int(cli, "line", line, 1, INT64_MAX, err);
}

static enum lrc_status write_text(const struct lrc_buf *text, int as_json, struct lrc_error *err)
{
    struct lrc_buf out = { 0 };
    if (as_json) {
        lrc_buf_puts(&out, "{\"text\":");
        lrc_json_append_string(&out, lrc_buf_text(text), text->len);
        lrc_buf_puts(&out, "}\n");
    } else {
        lrc_buf_append(&out, lrc_buf_text(text), text->len);
    }
    const enum lrc_status status = lrc_buf_check(&out, err);
    if (status == LRC_STATUS_OK)
        lrc_cli_write(lrc_buf_text(&out), out.len);
    lrc_buf_release(&out);
    return status;
}

static enum lrc_status render(const struct lrc_cli *cli, const struct subject                 *subject,
                              const struct lrc_template *template, const struct lrc_tokenizer *tokenizer,
                              struct lrc_error *err)
{
    struct lrc_buf                  text = { 0 };
    const struct lrc_template_input input = {
        .messages = subject->conversation.messages,
        .tools = subject->conversation.tools,
        .variables = json_is_object(subject->row) ? subject->row : NULL,
        .bos_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_BOS),
        .eos_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_EOS),
        .pad_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_PAD),
        .unk_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_UNK),
        .prompt = lrc_cli_has(cli, "continue")               ? LRC_PROMPT_CONTINUE
                  : lrc_cli_has(cli, "no-generation-prompt") ? LRC_PROMPT_NONE
                                                             : LRC_PROMPT_GENERATION,
    };
    enum lrc_status status = lrc_template_render(template, &text, NULL, &input, err);
    if (status == LRC_STATUS_OK)
        status = write_text(&text, lrc_cli_has(cli, "json"), err);
    lrc_buf_release(&text);
    return status;
}

static int is_flagged(const void *flags, int64_t i)
{
    return ((const char *)flags)[i] != 0;
}

static void put_json(struct lrc_buf *out, const struct lrc_encoded *encoded)
{
    lrc_buf_puts(out, "{\"ids\":[");
    for (int64_t i = 0; i < encoded->ids.len; i++)
        lrc_buf_printf(out, "%s%d", i ? "," : "", encoded->ids.data[i]);
    lrc_buf_puts(out, "],\"trained\":[");
    for (int64_t i = 0; i < encoded->ids.len; i++)
        lrc_buf_printf(out, "%s%s", i ? "," : "", is_flagged(encoded->trained.data, i) ? "true" : "false");
    lrc_buf_puts(out, "]}\n");
}

static enum lrc_status show_trained(const struct lrc_cli *cli, const struct subject *subject,
                                    const struct lrc_template *template,
                                    const struct lrc_tokenizer *tokenizer, struct lrc_error *err)
{
    const struct lrc_dataset_spec spec = { 0 };
    const struct lrc_data_context context = {
        .tokenizer = tokenizer, .template = template, .spec = &spec, .vocab_size = INT32_MAX
    };
    struct lrc_encoded    encoded = { 0 };
    struct lrc_token_view view = { .tokenizer = tokenizer };
    enum lrc_status       status = lrc_encode_messages(&encoded, &context, &subject->conversation, err);
    const struct lrc_marked_tokens tokens = { encoded.ids.data, encoded.ids.len, is_flagged,
                                              encoded.trained.data };
    lrc_token_view_init(&view);
    if (status == LRC_STATUS_OK && lrc_cli_has(cli, "json"))
        put_json(&view.out, &encoded);
    else if (status == LRC_STATUS_OK)
        status = lrc_token_view_text(&view, &tokens, err);
    if (status == LRC_STATUS_OK && lrc_cli_has(cli, "ids") && !lrc_cli_has(cli, "json"))
        lrc_token_view_list(&view, &tokens);
    if (status == LRC_STATUS_OK)
        status = lrc_buf_check(&view.out, err);
    if (status == LRC_STATUS_OK)
        lrc_cli_write(lrc_buf_text(&view.out), view.out.len);
    lrc_buf_release(&view.out);
    lrc_encoded_release(&encoded);
    return status;
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct subject        subject = { 0 };
    struct lrc_tokenizer *tokenizer = NULL;
    struct lrc_template *template = NULL;
    struct lrc_error reason = { 0 };
    int64_t          line = 0;
    enum lrc_status  status = read_options(&line, cli, err);
    const char      *path = lrc_cli_option(cli, "messages");
    if (status == LRC_STATUS_OK)
        status = lrc_model_dir_check(cli->arguments[0], err);
    if (status == LRC_STATUS_OK)
        status = lrc_tokenizer_load(&tokenizer, cli->arguments[0], err);
    if (status == LRC_STATUS_OK)
        status = lrc_template_load(&template, lrc_cli_option(cli, "chat-template"), cli->arguments[0], err);
    if (status == LRC_STATUS_OK)
        status = line > 0 ? read_row(&subject, path, line, template, problems, err)
                          : read_json(&subject, path, err);
    if (status == LRC_STATUS_OK) {
        status = lrc_cli_has(cli, "trained") ? show_trained(cli, &subject, template, tokenizer, &reason)
                                             : render(cli, &subject, template, tokenizer, &reason);
        if (status == LRC_STATUS_DATA)
            status = lrc_fail(err, status, "%s: %s", lrc_buf_text(&subject.place), reason.message);
        else if (status != LRC_STATUS_OK)
            *err = reason;
    }
    lrc_template_free(template);
    lrc_tokenizer_free(tokenizer);
    release(&subject);
    return status;
}

const struct lrc_command lrc_command_render = {
    .name = "render",
    .arguments = "MODEL --messages FILE",
    .summary = "a conversation as the chat template sees it",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .common = LRC_COMMON_NONE,
    .run = run,
};
