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

/* The template a run uses. choice: "tokenizer_default" (or NULL): chat_template.jinja of model_dir, else
 * chat_template of tokenizer_config.json (a string, or a list of named ones: "default"); a built-in name
 * (chatml, llama2, llama3, mistral,
 * ...); or a file's path.
 * errors: CONFIG when the choice names nothing (lists the built-in names) or the model has no template. */
enum lrc_status lrc_template_load(struct lrc_template **out, const char *choice, const char *model_dir,
                                  struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_template_free(struct lrc_template *t);

/* The text, for copying into an output folder. Borrowed. */
const char *lrc_template_text(const struct lrc_template *t);

enum lrc_prompt {
    LRC_PROMPT_NONE,
    LRC_PROMPT_GENERATION, /* add_generation_prompt */
    LRC_PROMPT_CONTINUE    /* continue_final_message: the last message is left open */
};

struct lrc_template_input {
    const json_t
        *messages;       /* array of {"role", "content", ...}; what is null is left out, reasoning gets every
                               name that templates read */
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
