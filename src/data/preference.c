#include "data/preference.h"

#include "base/alloc.h"
#include <string.h>

extern const struct lrc_data_format lrc_data_format_chat_template;

int lrc_answer_is_text(const json_t *answer)
{
    return json_is_string(answer);
}

int lrc_answer_is_messages(const json_t *answer)
{
    return json_is_object(answer) || (json_is_array(answer) && json_is_object(json_array_get(answer, 0)));
}

const json_t *lrc_row_prompt(const char **key, const json_t *row, const struct lrc_dataset_spec *spec)
{
    const char *const given = spec->field_prompt ? spec->field_prompt : spec->field_messages;
    const char *const names[] = { given ? given : "prompt", "messages", "conversations" };
    for (size_t i = 0; i < (given ? 1 : sizeof names / sizeof *names); i++) {
        const json_t *prompt = json_object_get(row, names[i]);
        *key = names[i];
        if (prompt && !json_is_null(prompt))
            return prompt;
    }
    *key = names[0];
    return NULL;
}

/* A copy that says it is not trained. */
static int append_untrained(json_t *messages, const json_t *message)
{
    json_t *copy = json_is_object(message) ? json_copy((json_t *)(uintptr_t)message) : NULL;
    if (!copy) /* no message at all: chat_template says so */
        return json_array_append(messages, (json_t *)(uintptr_t)message) == 0;
    if (json_object_set_new(copy, "train", json_false()) == 0)
        return json_array_append_new(messages, copy) == 0;
    json_decref(copy);
    return 0;
}

/* n_context: of the first messages. */
static int append_all(json_t *messages, const json_t *column, size_t n_context)
{
    if (json_is_object(column))
        return n_context > 0 ? append_untrained(messages, column)
                             : json_array_append(messages, (json_t *)(uintptr_t)column) == 0;
    for (size_t i = 0; i < json_array_size(column); i++) {
        json_t *message = json_array_get(column, i);
        if (i < n_context ? !append_untrained(messages, message) : json_array_append(messages, message) != 0)
            return 0;
    }
    return 1;
}

enum lrc_status lrc_encode_answer_messages(struct lrc_encoded *out, const struct lrc_data_context *context,
                                           const json_t *row, const json_t *prompt, const json_t *answer,
                                           size_t n_context, struct lrc_error *err)
{
    struct lrc_dataset_spec spec = *context->spec;
    struct lrc_data_context inner = *context;
    json_t                 *joined = json_object(), *messages = json_array();
    enum lrc_status         status = LRC_STATUS_OK;
    int                     ok = joined && messages && append_all(messages, prompt, SIZE_MAX) &&
             append_all(messages, answer, n_context);
    static const char *const shared[] = { "system", "tools" };
    for (size_t i = 0; ok && i < sizeof shared / sizeof *shared; i++) {
        json_t *column = json_object_get(row, shared[i]);
        ok = !column || json_object_set(joined, shared[i], column) == 0;
    }
    ok = ok && json_object_set(joined, "messages", messages) == 0;
    spec.field_messages = "messages";
    spec.message_field_training = NULL; /* "train", which append_untrained() writes */
    inner.spec = &spec;
    inner.train_on_inputs = 0;
    inner.roles_to_train = NULL;
    inner.last_turn_only = 0;
    status = ok ? lrc_data_format_chat_template.encode(out, &inner, joined, err)
                : lrc_fail_nomem(err, "a conversation");
    json_decref(joined);
    json_decref(messages);
    return status;
}

enum lrc_status lrc_encode_answer_text(struct lrc_encoded *out, const struct lrc_data_context *context,
                                       const struct lrc_text *prompt, const struct lrc_text *answer,
                                       struct lrc_error *err)
{
    struct lrc_buf          text = { 0 };
    struct lrc_data_context inner = *context;
    inner.train_on_inputs = 0;
    if (prompt->n + answer->n == 0)
        return LRC_STATUS_OK;
    lrc_buf_append(&text, prompt->bytes, prompt->n);
    lrc_buf_append(&text, answer->bytes, answer->n);
    const enum lrc_status status = lrc_encode_answer(out, &inner, &text, prompt->n, err);
    lrc_buf_release(&text);
    return status;
}
