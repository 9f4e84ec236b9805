/* Chat templates: a conversation as the text the model was trained on.
 *
 * A template is Jinja, as published in tokenizer_config.json or chat_template.jinja, run by our own sandboxed
 * engine: bounded steps, depth and output, no files, no clock: strftime_now() tells the 26th of July 2024
 * unless the variable "strftime_now" holds another date ("2025-07-10" or "2025-07-10T12:00:00"). */
#ifndef LRC_TEMPLATE_TEMPLATE_H
#define LRC_TEMPLATE_TEMPLATE_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"

struct lrc_template; /* opaque; read-only once made, any number of threads may render */

/* A template from its text. name is used in sentences.
 * errors: FORMAT with line and what was wanted; UNSUPPORTED for a statement, filter or test we do not have,
 * named; NOMEM. ownership: lrc_template_free(). */
enum lrc_status lrc_template_parse(struct lrc_template **out, const char *text, size_t n, const char *name,
                                   struct lrc_error *err) LRC_MUST_CHECK;

/* The template a run uses. choice:
 *   "tokenizer_default" or NULL   the model's "default" one, and its "tool_use" one where there are tools
 *   "tokenizer_default_fallback_NAME"   the same, and the built-in NAME when the model has none
 *   a built-in name (chatml, llama3, mistral ...), one of the model's names, or a file's path
 * A model's templates, the first place that has any: chat_template.jinja with
 * additional_chat_templates/NAME.jinja; "chat_template" of tokenizer_config.json, then of chat_template.json:
 * a text, a list of {name, template} or an object of texts by name.
 * errors: CONFIG when the choice names nothing (lists the built-in names) or the model has no template. */
enum lrc_status lrc_template_load(struct lrc_template **out, const char *choice, const char *model_dir,
                                  struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_template_free(struct lrc_template *t);

/* The text, for copying into an output folder. Borrowed. */
const char *lrc_template_text(const struct lrc_template *t);
/* That of the model's own template for conversations with tools; NULL when the first serves both.
 * Borrowed. */
const char *lrc_template_tools_text(const struct lrc_template *t);

enum lrc_prompt {
    LRC_PROMPT_NONE,
    LRC_PROMPT_GENERATION, /* add_generation_prompt */
    LRC_PROMPT_CONTINUE    /* continue_final_message: the last message is left open */
};

struct lrc_template_input {
    /* array of {"role", "content", ...}. What is null is left out, unless the template fails so;
     * reasoning gets every name that templates read. */
    const json_t *messages;
    const json_t *tools; /* array, or NULL */
    const json_t
        *variables; /* object of further variables (documents, enable_thinking, date_string ...), or NULL */
    const char     *bos_token; /* NULL: not set */
    const char     *eos_token;
    const char     *pad_token;
    const char     *unk_token;
    enum lrc_prompt prompt;
};

/* Append the rendered text. generation: when not NULL, byte spans [begin, end) of text inside {% generation
 * %} blocks are appended to it as pairs of int64_t (relative to the start of this rendering). errors: DATA
 * when the template raises (raise_exception's words) or the data does not fit it; NUMERIC when a bound is
 * hit, named; NOMEM. */
enum lrc_status lrc_template_render(const struct lrc_template *t, struct lrc_buf *text,
                                    struct lrc_buf *generation, const struct lrc_template_input *input,
                                    struct lrc_error *err) LRC_MUST_CHECK;

#endif
