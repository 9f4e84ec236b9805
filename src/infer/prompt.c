#include "infer/prompt.h"

#include "base/alloc.h"
#include "base/file.h"
#include "template/template.h"

#include <string.h>

/* The prompt as one user turn, after an optional system turn. */
static json_t *messages_of(const struct lrc_session_prompt *prompt)
{
    json_t *messages = json_array();
    if (prompt->system)
        json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "system", "content", prompt->system));
    json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "user", "content", prompt->text));
    return messages;
}

static enum lrc_status load_template(struct lrc_template **template, const char *choice,
                                     const char *model_dir, const char *adapter_dir, struct lrc_error *err)
{
    char *own = adapter_dir ? lrc_path_join(adapter_dir, "chat_template.jinja") : NULL;
    if (!choice && own && lrc_path_exists(own))
        choice = own;
    const enum lrc_status status = lrc_template_load(template, choice, model_dir, err);
    lrc_free(own);
    return status;
}

static enum lrc_status render(struct lrc_buf *text, const struct lrc_session_prompt           *prompt,
                              const struct lrc_template *template, const struct lrc_tokenizer *tokenizer,
                              struct lrc_error *err)
{
    json_t                         *messages = messages_of(prompt);
    const struct lrc_template_input input = {
        .messages = messages,
        .bos_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_BOS),
        .eos_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_EOS),
        .pad_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_PAD),
        .unk_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_UNK),
        .prompt = LRC_PROMPT_GENERATION,
    };
    const enum lrc_status status =
        messages ? lrc_template_render(template, text, NULL, &input, err) : lrc_fail_nomem(err, "messages");
    json_decref(messages);
    return status;
}

enum lrc_status lrc_prompt_encode(struct lrc_ids *ids, const struct lrc_session_prompt *prompt,
                                  const struct lrc_tokenizer *tokenizer, const char *model_dir,
                                  const char *adapter_dir, struct lrc_error *err)
{
    if (!prompt->is_chat)
        return lrc_tokenizer_encode(tokenizer, ids, prompt->text, strlen(prompt->text), LRC_SPECIAL_ADD, err);
    struct lrc_template *template = NULL;
    struct lrc_buf  text = { 0 };
    enum lrc_status status = load_template(&template, prompt->chat_template, model_dir, adapter_dir, err);
    if (status == LRC_STATUS_OK)
        status = render(&text, prompt, template, tokenizer, err);
    if (status == LRC_STATUS_OK)
        status = lrc_tokenizer_encode(tokenizer, ids, lrc_buf_text(&text), text.len, LRC_SPECIAL_NONE, err);
    lrc_buf_release(&text);
    lrc_template_free(template);
    return status;
}

enum lrc_status lrc_sampling_default(struct lrc_sampling *sampling, int64_t *n_new_max,
                                     const json_t *generation_config, struct lrc_error *err)
{
    static const char name[] = "generation_config.json";
    const json_t     *config = generation_config;
    int               samples = 0;
    *sampling = (struct lrc_sampling){ .temperature = 0.0, .top_k = 0, .top_p = 1.0, .seed = 42 };
    LRC_TRY(lrc_json_get_bool(&samples, config, "do_sample", name, err));
    LRC_TRY(lrc_json_get_int(n_new_max, config, "max_new_tokens", name, err));
    if (!samples)
        return LRC_STATUS_OK;
    sampling->temperature = 1.0;
    LRC_TRY(lrc_json_get_number(&sampling->temperature, config, "temperature", name, err));
    LRC_TRY(lrc_json_get_int(&sampling->top_k, config, "top_k", name, err));
    return lrc_json_get_number(&sampling->top_p, config, "top_p", name, err);
}

int lrc_prompt_end_ids(int32_t *ids, const struct lrc_model_config *config,
                       const struct lrc_tokenizer *tokenizer)
{
    const int32_t own = lrc_tokenizer_role_id(tokenizer, LRC_TOKEN_EOS);
    int           n = config->n_end_ids;
    memcpy(ids, config->end_ids, (size_t)n * sizeof *ids);
    if (own >= 0)
        ids[n++] = own;
    return n;
}

enum lrc_status lrc_prompt_check_ids(const struct lrc_tokenizer    *tokenizer,
                                     const struct lrc_model_config *config, const char *model_dir,
                                     struct lrc_error *err)
{
    const int64_t n_ids = lrc_tokenizer_n_ids(tokenizer);
    return n_ids <= config->vocab_size
               ? LRC_STATUS_OK
               : lrc_fail(err, LRC_STATUS_FORMAT,
                          "%s: want a tokenizer of at most the model's %lld ids, got %lld", model_dir,
                          (long long)config->vocab_size, (long long)n_ids);
}
