/* Which template a run uses, and what the built-in ones make of a conversation. */
#include "template_helpers.h"

#include <unistd.h>

/* A built-in template over a conversation of four turns, and the text of its only assistant span. */
static void expect_builtin(const char *name, enum lrc_prompt prompt, const char *want,
                           const char *want_assistant)
{
    static const char messages_json[] =
        "[{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \" U1 \"},"
        "{\"role\": \"assistant\", \"content\": \"A1\"}, {\"role\": \"user\", \"content\": \"U2\"}]";
    struct lrc_error     err = { 0 };
    struct lrc_buf       out = { 0 }, spans = { 0 };
    struct lrc_template *t;
    json_t              *messages;
    int64_t              span[2];
    cr_assert_eq(lrc_json_parse(&messages, messages_json, strlen(messages_json), "m", &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_template_load(&t, name, NULL, &err), LRC_STATUS_OK, "%s", err.message);
    const struct lrc_template_input input = {
        .messages = messages, .bos_token = "<BOS>", .eos_token = "<EOS>", .prompt = prompt
    };
    cr_assert_eq(lrc_template_render(t, &out, &spans, &input, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_str_eq(lrc_buf_text(&out), want, "%s\n  want %s\n  got  %s", name, want, lrc_buf_text(&out));
    cr_assert_eq(spans.len, sizeof span, "%s: want one assistant span", name);
    memcpy(span, spans.data, sizeof span);
    cr_expect_eq(span[1] - span[0], (int64_t)strlen(want_assistant), "%s", name);
    cr_expect_eq(strncmp(lrc_buf_text(&out) + span[0], want_assistant, strlen(want_assistant)), 0, "%s",
                 name);
    lrc_template_free(t);
    json_decref(messages);
    lrc_buf_release(&out);
    lrc_buf_release(&spans);
}

Test(template_load, builtin_templates_write_the_published_formats)
{
    expect_builtin("chatml", LRC_PROMPT_GENERATION,
                   "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n U1 "
                   "<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n"
                   "<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n",
                   "A1<|im_end|>");
    expect_builtin("llama3", LRC_PROMPT_GENERATION,
                   "<BOS><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|"
                   "end_header_id|>\n\nU1<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\nA1<|eot_id|><|start_header_id|>user<|"
                   "end_header_id|>\n\nU2<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\n",
                   "A1<|eot_id|>");
    expect_builtin("llama2", LRC_PROMPT_GENERATION,
                   "<BOS>[INST] <<SYS>>\nS\n<</SYS>>\n\n U1 [/INST] A1 <EOS><BOS>[INST] U2 [/INST]",
                   "A1 <EOS>");
    expect_builtin("mistral", LRC_PROMPT_GENERATION, "<BOS>[INST]  U1 [/INST] A1<EOS>[INST] S\n\nU2[/INST]",
                   "A1<EOS>");
    expect_builtin(
        "zephyr", LRC_PROMPT_GENERATION,
        "<|system|>\nS<EOS>\n<|user|>\n U1 <EOS>\n<|assistant|>\nA1<EOS>\n<|user|>\nU2<EOS>\n<|assistant|>\n",
        "A1<EOS>");
    expect_builtin("gemma", LRC_PROMPT_GENERATION,
                   "<BOS><start_of_turn>user\nS\n\nU1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n<"
                   "start_of_turn>user\nU2"
                   "<end_of_turn>\n<start_of_turn>model\n",
                   "A1<end_of_turn>");
    expect_builtin("phi3", LRC_PROMPT_GENERATION,
                   "<|system|>\nS<|end|>\n<|user|>\n U1 "
                   "<|end|>\n<|assistant|>\nA1<|end|>\n<|user|>\nU2<|end|>\n<|assistant|>\n",
                   "A1<|end|>");
    expect_builtin(
        "phi3", LRC_PROMPT_NONE,
        "<|system|>\nS<|end|>\n<|user|>\n U1 <|end|>\n<|assistant|>\nA1<|end|>\n<|user|>\nU2<|end|>\n<EOS>",
        "A1<|end|>");
    expect_builtin("alpaca", LRC_PROMPT_GENERATION,
                   "<BOS>S\n\n### Instruction:\n U1 \n\n### Response:\nA1<EOS>\n\n### "
                   "Instruction:\nU2\n\n### Response:\n",
                   "A1<EOS>");
}

Test(template_load, builtin_templates_of_two_more_families)
{
    expect_builtin("phi4", LRC_PROMPT_GENERATION,
                   "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|> U1 <|im_end|>"
                   "<|im_start|>assistant<|im_sep|>A1<|im_end|><|im_start|>user<|im_sep|>U2<|im_end|>"
                   "<|im_start|>assistant<|im_sep|>",
                   "A1<|im_end|>");
    expect_builtin("vicuna", LRC_PROMPT_GENERATION,
                   "S\n\nUSER:  U1 \nASSISTANT: A1<EOS>\nUSER: U2\nASSISTANT:", " A1<EOS>");
    expect_builtin("phi_4", LRC_PROMPT_NONE,
                   "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|> U1 <|im_end|>"
                   "<|im_start|>assistant<|im_sep|>A1<|im_end|><|im_start|>user<|im_sep|>U2<|im_end|>",
                   "A1<|im_end|>");
}

struct folder {
    char path[64];
};

static struct folder make_folder(void)
{
    struct folder folder = { "/tmp/lrc_template_XXXXXX" };
    cr_assert(mkdtemp(folder.path));
    return folder;
}

static void write_file(const struct folder *folder, const char *name, const char *text)
{
    struct lrc_error err;
    char            *path = lrc_path_join(folder->path, name);
    cr_assert_eq(lrc_file_write(path, text, strlen(text), &err), LRC_STATUS_OK, "%s", err.message);
    lrc_free(path);
}

static void expect_loaded(const char *choice, const struct folder *folder, const char *want)
{
    struct lrc_error     err = { 0 };
    struct lrc_template *t;
    cr_assert_eq(lrc_template_load(&t, choice, folder->path, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_str_eq(lrc_template_text(t), want);
    lrc_template_free(t);
}

static void expect_not_loaded(const char *choice, const struct folder *folder, enum lrc_status want,
                              const char *words)
{
    struct lrc_error     err = { 0 };
    struct lrc_template *t;
    cr_expect_eq(lrc_template_load(&t, choice, folder->path, &err), want, "%s", err.message);
    cr_expect_null(t);
    cr_expect(strstr(err.message, words), "%s", err.message);
}

Test(template_load, model_folder_file_goes_before_config)
{
    struct lrc_error    err;
    const struct folder folder = make_folder();
    expect_not_loaded(NULL, &folder, LRC_STATUS_CONFIG, "got neither");
    write_file(&folder, "tokenizer_config.json", "{\"chat_template\": \"from config\\n\"}");
    expect_loaded("tokenizer_default", &folder, "from config\n");
    write_file(&folder, "tokenizer_config.json",
               "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"}, {\"name\": \"default\", "
               "\"template\": \"d\"}]}");
    expect_loaded(NULL, &folder, "d");
    write_file(&folder, "tokenizer_config.json",
               "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"}, 5, {}]}");
    expect_not_loaded(NULL, &folder, LRC_STATUS_CONFIG, "got neither");
    write_file(&folder, "tokenizer_config.json", "{");
    expect_not_loaded(NULL, &folder, LRC_STATUS_FORMAT, "tokenizer_config.json");
    write_file(&folder, "chat_template.jinja", "from file");
    expect_loaded(NULL, &folder, "from file");
    cr_expect_eq(lrc_dir_remove(folder.path, &err), LRC_STATUS_OK);
}

static void make_subfolder(const struct folder *folder, const char *name)
{
    struct lrc_error err;
    char            *path = lrc_path_join(folder->path, name);
    cr_assert_eq(lrc_dir_make(path, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_free(path);
}

/* What the folder's template writes, with tools and without. */
static void expect_by_tools(const struct folder *folder, const char *want, const char *want_with_tools)
{
    struct lrc_error     err = { 0 };
    struct lrc_template *t;
    json_t              *tools = json_array();
    cr_assert_eq(lrc_template_load(&t, NULL, folder->path, &err), LRC_STATUS_OK, "%s", err.message);
    for (int with = 0; with < 2; with++) {
        const struct lrc_template_input input = { .tools = with ? tools : NULL };
        struct lrc_buf                  out = { 0 };
        cr_assert_eq(lrc_template_render(t, &out, NULL, &input, &err), LRC_STATUS_OK, "%s", err.message);
        cr_expect_str_eq(lrc_buf_text(&out), with ? want_with_tools : want);
        lrc_buf_release(&out);
    }
    json_decref(tools);
    lrc_template_free(t);
}

Test(template_load, tools_have_a_template_of_their_own)
{
    struct lrc_error    err;
    const struct folder folder = make_folder();
    write_file(&folder, "chat_template.json", "{\"chat_template\": \"j\"}");
    expect_by_tools(&folder, "j", "j");
    write_file(&folder, "tokenizer_config.json",
               "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"}, {\"name\": \"default\", "
               "\"template\": \"d\"}, {\"name\": \"rag\", \"template\": \"r\"}]}");
    expect_by_tools(&folder, "d", "t");
    expect_loaded("rag", &folder, "r");
    write_file(&folder, "tokenizer_config.json",
               "{\"chat_template\": {\"default\": \"o\", \"tool_use\": \"u\"}}");
    expect_by_tools(&folder, "o", "u");
    write_file(&folder, "chat_template.jinja", "f");
    expect_by_tools(&folder, "f", "f");
    make_subfolder(&folder, "additional_chat_templates");
    write_file(&folder, "additional_chat_templates/tool_use.jinja", "a");
    expect_by_tools(&folder, "f", "a");
    write_file(&folder, "additional_chat_templates/tool_use.jinja", "{{");
    expect_not_loaded(NULL, &folder, LRC_STATUS_FORMAT, "tool_use.jinja:1");
    cr_expect_eq(lrc_dir_remove(folder.path, &err), LRC_STATUS_OK);
}

Test(template_load, a_model_without_one_may_fall_back)
{
    struct lrc_error     err;
    const struct folder  folder = make_folder();
    struct lrc_template *t;
    cr_assert_eq(lrc_template_load(&t, "tokenizer_default_fallback_chatml", folder.path, &err),
                 LRC_STATUS_OK);
    cr_expect(strstr(lrc_template_text(t), "<|im_start|>"));
    lrc_template_free(t);
    expect_not_loaded("tokenizer_default_fallback_nope", &folder, LRC_STATUS_CONFIG, "got neither");
    write_file(&folder, "chat_template.jinja", "f");
    expect_loaded("tokenizer_default_fallback_chatml", &folder, "f");
    cr_expect_eq(lrc_dir_remove(folder.path, &err), LRC_STATUS_OK);
}

Test(template_load, choice_is_a_name_or_a_file)
{
    struct lrc_error    err;
    const struct folder folder = make_folder();
    char               *path = lrc_path_join(folder.path, "mine.jinja");
    write_file(&folder, "mine.jinja", "{{ 1 }}");
    expect_loaded(path, &folder, "{{ 1 }}");
    write_file(&folder, "mine.jinja", "\n{{ 1 ");
    expect_not_loaded(path, &folder, LRC_STATUS_FORMAT,
                      "mine.jinja:2: want '}}', got the end of the template");
    expect_not_loaded("chatmll", &folder, LRC_STATUS_CONFIG,
                      "chatml, gemma, llama2, llama3, mistral, phi3, phi4, vicuna, zephyr, got 'chatmll'");
    lrc_free(path);
    cr_expect_eq(lrc_dir_remove(folder.path, &err), LRC_STATUS_OK);
}
