/* A conversation as the chat template sees it. */
#include "base/json.h"
#include "cli/command.h"
#include "template/template.h"
#include "tokenizer/tokenizer.h"

#include <stddef.h>

static const struct lrc_option options[] = {
    {"messages", "FILE",
     "JSON: an array of {role, content}, or an object with messages, tools and variables of the template"},
    {"chat-template", "NAME|FILE", "a built-in template or a file; without it, the model's own"},
    {"no-generation-prompt", NULL, "do not open the assistant's turn at the end"},
    {NULL, NULL, NULL},
};

/* Everything of the object but messages and tools is a variable. */
static enum lrc_status read_input(struct lrc_template_input *input, json_t **json, const char *path,
                                  struct lrc_error *err)
{
    LRC_TRY(lrc_json_load(json, path, err));
    input->messages = json_is_array(*json) ? *json : json_object_get(*json, "messages");
    input->tools = json_object_get(*json, "tools");
    input->variables = json_is_object(*json) ? *json : NULL;
    if (!json_is_array(input->messages))
        return lrc_fail(err, LRC_STATUS_DATA,
                        "%s: want an array of messages, or an object with 'messages', got %s", path,
                        lrc_json_type_name(json_is_object(*json) ? input->messages : *json));
    return LRC_STATUS_OK;
}

static enum lrc_status render(struct lrc_buf *text, const struct lrc_cli *cli,
                              const struct lrc_template_input *input, struct lrc_error *err)
{
    struct lrc_template *t;
    LRC_TRY(lrc_template_load(&t, lrc_cli_option(cli, "chat-template"), cli->arguments[0], err));
    const enum lrc_status status = lrc_template_render(t, text, NULL, input, err);
    lrc_template_free(t);
    return status;
}

static void write_text(const struct lrc_buf *text, int as_json)
{
    struct lrc_buf out = {0};
    if (as_json) {
        lrc_buf_puts(&out, "{\"text\":");
        lrc_json_append_string(&out, lrc_buf_text(text), text->len);
        lrc_buf_puts(&out, "}\n");
        lrc_cli_write(lrc_buf_text(&out), out.len);
    } else {
        lrc_cli_write(lrc_buf_text(text), text->len);
    }
    lrc_buf_release(&out);
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    (void)problems;
    struct lrc_template_input input = {.prompt = LRC_PROMPT_GENERATION};
    struct lrc_tokenizer *tokenizer = NULL;
    struct lrc_buf text = {0};
    json_t *json = NULL;
    const char *path = lrc_cli_option(cli, "messages");
    if (!path)
        return lrc_fail(err, LRC_STATUS_USAGE, "render: want --messages FILE, got none");
    enum lrc_status status = read_input(&input, &json, path, err);
    if (status == LRC_STATUS_OK)
        status = lrc_tokenizer_load(&tokenizer, cli->arguments[0], err);
    if (status != LRC_STATUS_OK)
        goto done;
    input.bos_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_BOS);
    input.eos_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_EOS);
    input.pad_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_PAD);
    input.unk_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_UNK);
    if (lrc_cli_has(cli, "no-generation-prompt"))
        input.prompt = LRC_PROMPT_NONE;
    status = render(&text, cli, &input, err);
    if (status == LRC_STATUS_OK)
        write_text(&text, lrc_cli_has(cli, "json"));
done:
    lrc_tokenizer_free(tokenizer);
    lrc_buf_release(&text);
    json_decref(json);
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
