/* A conversation through the model's chat template; the assistant's turns are trained.
 *
 *   {"messages": [{"role": "user", "content": "..."}, ...], "tools": [...]}
 *   {"conversations": [{"from": "human", "value": "..."}, ...], "system": "..."}      (ShareGPT)
 *
 * A message may say "train" or "training": true or false, or "weight": 0; message_field_training names
 * another member. Its content may be a list of {"type": "text", "text": "..."}, one text without anything
 * between them. Other members (tool_calls, name, ...) go to the template as they are.
 */
#include "base/alloc.h"
#include "data/encode.h"

#include <string.h>

static const char *messages_column(const json_t *row, const struct lrc_dataset_spec *spec)
{
    if (spec->field_messages)
        return spec->field_messages;
    return json_object_get(row, "messages") || !json_object_get(row, "conversations") ? "messages"
                                                                                      : "conversations";
}

static int claims(const json_t *row, const struct lrc_dataset_spec *spec)
{
    return json_is_array(json_object_get(row, messages_column(row, spec))) && !lrc_row_is_preference(row);
}

const char *lrc_role_of(const char *name)
{
    static const struct {
        const char *name, *role;
    } names[] = {
        { "human", "user" },
        { "gpt", "assistant" },
        { "chatgpt", "assistant" },
        { "bot", "assistant" },
        { "function_call", "assistant" },
        { "observation", "tool" },
        { "function_response", "tool" },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].role;
    return name;
}

/* The given column, or the first of two usual ones that the message has. */
static const char *member_name(const json_t *message, const char *given, const char *own, const char *also)
{
    if (given)
        return given;
    return json_object_get(message, own) || !json_object_get(message, also) ? own : also;
}

static enum lrc_status check_parts(const json_t *parts, const char *content_name, size_t i,
                                   struct lrc_error *err)
{
    for (size_t part = 0; part < json_array_size(parts); part++) {
        const json_t *object = json_array_get(parts, part);
        const char   *type = json_string_value(json_object_get(object, "type"));
        if (!type || strcmp(type, "text") != 0 || !json_is_string(json_object_get(object, "text")))
            return lrc_fail(
                err, LRC_STATUS_DATA,
                "message %zu: '%s'[%zu]: want {\"type\": \"text\", \"text\": a string}, got %s%.40s%s", i,
                content_name, part, type ? "type '" : lrc_json_type_name(object), type ? type : "",
                type ? "'" : "");
    }
    return LRC_STATUS_OK;
}

/* NULL when out of memory. */
static json_t *join_parts(const json_t *parts)
{
    struct lrc_buf text = { 0 };
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *words = json_object_get(json_array_get(parts, i), "text");
        lrc_buf_append(&text, json_string_value(words), json_string_length(words));
    }
    json_t *joined = text.failed ? NULL : json_stringn(lrc_buf_text(&text), text.len);
    lrc_buf_release(&text);
    return joined;
}

static enum lrc_status check_message(const json_t *message, const char *role_name, const char *content_name,
                                     size_t i, struct lrc_error *err)
{
    if (!json_is_object(message))
        return lrc_fail(err, LRC_STATUS_DATA, "message %zu: want an object, got %s", i,
                        lrc_json_type_name(message));
    if (json_object_get(message, "train_detail"))
        return lrc_fail(err, LRC_STATUS_DATA,
                        "message %zu: want 'train' of a whole message or of a part, got 'train_detail'", i);
    const json_t *role = json_object_get(message, role_name),
                 *content = json_object_get(message, content_name);
    if (!json_is_string(role))
        return lrc_fail(err, LRC_STATUS_DATA, "message %zu: '%s': want a string, got %s", i, role_name,
                        lrc_json_type_name(role));
    const int may_lack_content =
        json_is_array(json_object_get(message, "tool_calls")) && (!content || json_is_null(content));
    if (json_is_array(content))
        return check_parts(content, content_name, i, err);
    if (!json_is_string(content) && !may_lack_content)
        return lrc_fail(err, LRC_STATUS_DATA, "message %zu: '%s': want a string, got %s", i, content_name,
                        lrc_json_type_name(content));
    return LRC_STATUS_OK;
}

/* A copy with members "role" and "content" in place of the columns' own names. NULL when out of memory. */
static json_t *rename_members(const json_t *message, const char *role_name, const char *content_name)
{
    json_t *copy = json_copy((json_t *)message);
    json_t *column = json_object_get(message, content_name);
    json_t *content = json_is_array(column) ? join_parts(column) : json_incref(column);
    int     failed = !copy || (column && !content);
    failed |= copy && json_object_set_new(
                          copy, "role",
                          json_string(lrc_role_of(json_string_value(json_object_get(message, role_name)))));
    if (copy && strcmp(role_name, "role") != 0)
        (void)json_object_del(copy, role_name);
    if (copy && strcmp(content_name, "content") != 0)
        (void)json_object_del(copy, content_name);
    if (copy && content)
        failed |= json_object_set(copy, "content", content) != 0;
    json_decref(content);
    if (!failed)
        return copy;
    json_decref(copy);
    return NULL;
}

/* A call as templates know it. NULL when the object is none, or out of memory. */
static json_t *to_call(json_t *object)
{
    json_t *arguments = json_object_get(object, "arguments");
    if (!json_is_string(json_object_get(object, "name")) ||
        !(json_is_object(arguments) || json_is_string(arguments)))
        return NULL;
    return json_pack("{s:s, s:O}", "type", "function", "function", object);
}

/* ShareGPT and LLaMA-Factory write a call as a turn whose text is {"name", "arguments"}, or a list of such.
 * A template that knows calls writes them its own way. message stays as it is when its text is something
 * else. */
static enum lrc_status read_calls(json_t *message, struct lrc_error *err)
{
    const json_t    *content = json_object_get(message, "content");
    struct lrc_error other;
    json_t          *value, *calls = json_array();
    if (!calls)
        return lrc_fail_nomem(err, "a conversation");
    if (!json_is_string(content) ||
        lrc_json_parse(&value, json_string_value(content), json_string_length(content), "call", &other) !=
            LRC_STATUS_OK)
        value = NULL;
    const size_t n = json_is_array(value) ? json_array_size(value) : value ? 1 : 0;
    for (size_t i = 0; i < n; i++) {
        json_t *call = to_call(json_is_array(value) ? json_array_get(value, i) : value);
        if (call)
            (void)json_array_append_new(calls, call);
    }
    int failed = 0;
    if (n > 0 && json_array_size(calls) == n)
        failed = json_object_set(message, "tool_calls", calls) != 0 ||
                 json_object_set_new(message, "content", json_string("")) != 0;
    json_decref(value);
    json_decref(calls);
    return failed ? lrc_fail_nomem(err, "a conversation") : LRC_STATUS_OK;
}

static int knows_calls(const struct lrc_template *template)
{
    if (!template)
        return 0;
    const char *tools = lrc_template_tools_text(template);
    return strstr(lrc_template_text(template), "tool_calls") || (tools && strstr(tools, "tool_calls"));
}

/* What a part says of itself: true, false, a weight, of which 0 is false; null when nothing. */
static json_t *part_says(const json_t *part)
{
    const json_t *train = json_object_get(part, "train"), *weight = json_object_get(part, "weight");
    if (json_is_boolean(train))
        return json_boolean(json_is_true(train));
    return json_is_number(weight) && json_number_value(weight) == 0 ? json_false() : json_null();
}

/* A message's entry of lrc_conversation.parts. */
static enum lrc_status add_parts(struct lrc_conversation *conversation, const json_t *content,
                                 struct lrc_error *err)
{
    const size_t n_before = json_array_size(conversation->messages) - 1;
    json_t      *entry = json_is_array(content) ? json_array() : json_null();
    int          says = 0;
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i);
        json_t       *trained = part_says(part);
        says |= !json_is_null(trained);
        if (json_array_append_new(
                entry, json_pack("[I, o]", (json_int_t)json_string_length(json_object_get(part, "text")),
                                 trained)) != 0)
            break;
    }
    if (!says && !conversation->parts) {
        json_decref(entry);
        return LRC_STATUS_OK;
    }
    if (!conversation->parts)
        conversation->parts = json_array();
    while (json_array_size(conversation->parts) < n_before)
        if (json_array_append_new(conversation->parts, json_null()) != 0)
            break;
    return json_array_append_new(conversation->parts, entry) == 0 ? LRC_STATUS_OK
                                                                  : lrc_fail_nomem(err, "a conversation");
}

static enum lrc_status add_message(struct lrc_conversation *conversation, const json_t *message,
                                   const struct lrc_data_context *context, size_t i, struct lrc_error *err)
{
    const struct lrc_dataset_spec *spec = context->spec;
    const char *role_name = member_name(message, spec->message_property_role, "role", "from");
    const char *content_name = member_name(message, spec->message_property_content, "content", "value");
    LRC_TRY(check_message(message, role_name, content_name, i, err));
    json_t *renamed = rename_members(message, role_name, content_name);
    if (!renamed || json_array_append_new(conversation->messages, renamed) != 0)
        return lrc_fail_nomem(err, "a conversation");
    LRC_TRY(add_parts(conversation, json_object_get(message, content_name), err));
    const int is_call = strcmp(json_string_value(json_object_get(message, role_name)), "function_call") == 0;
    return is_call && knows_calls(context->template) ? read_calls(renamed, err) : LRC_STATUS_OK;
}

/* LLaMA-Factory keeps the system message in a column of its own. */
static enum lrc_status add_system(json_t *messages, const json_t *row, struct lrc_error *err)
{
    struct lrc_text text = { 0 };
    LRC_TRY(lrc_row_text(&text, row, "system", err));
    if (text.n == 0)
        return LRC_STATUS_OK;
    if (json_array_append_new(messages,
                              json_pack("{s:s, s:s%}", "role", "system", "content", text.bytes, text.n)) != 0)
        return lrc_fail_nomem(err, "a conversation");
    return LRC_STATUS_OK;
}

/* An array, or the text of one. ownership: json_decref(). */
static enum lrc_status get_tools(json_t **tools, const json_t *row, struct lrc_error *err)
{
    json_t *column = json_object_get(row, "tools");
    *tools = NULL;
    if (!column || json_is_null(column) || (json_is_string(column) && json_string_length(column) == 0))
        return LRC_STATUS_OK;
    if (json_is_string(column))
        LRC_TRY(lrc_json_parse(tools, json_string_value(column), json_string_length(column), "'tools'", err));
    else
        *tools = json_incref(column);
    if (json_is_array(*tools))
        return LRC_STATUS_OK;
    const char *type = lrc_json_type_name(*tools);
    json_decref(*tools);
    *tools = NULL;
    return lrc_fail(err, LRC_STATUS_DATA, "'tools': want an array, got %s", type);
}

void lrc_conversation_release(struct lrc_conversation *conversation)
{
    json_decref(conversation->messages);
    json_decref(conversation->tools);
    json_decref(conversation->parts);
    *conversation = (struct lrc_conversation){ 0 };
}

enum lrc_status lrc_conversation_of_row(struct lrc_conversation *conversation, const json_t *row,
                                        const struct lrc_data_context *context, struct lrc_error *err)
{
    const char   *key = messages_column(row, context->spec);
    const json_t *column = json_object_get(row, key);
    *conversation = (struct lrc_conversation){ 0 };
    if (!json_is_array(column))
        return lrc_fail(err, LRC_STATUS_DATA, "'%s': want an array of messages, got %s", key,
                        lrc_json_type_name(column));
    LRC_TRY(get_tools(&conversation->tools, row, err));
    conversation->messages = json_array();
    enum lrc_status status = conversation->messages ? LRC_STATUS_OK : lrc_fail_nomem(err, "a conversation");
    if (status == LRC_STATUS_OK && json_array_size(column) > 0)
        status = add_system(conversation->messages, row, err);
    for (size_t i = 0; i < json_array_size(column) && status == LRC_STATUS_OK; i++)
        status = add_message(conversation, json_array_get(column, i), context, i, err);
    if (status != LRC_STATUS_OK)
        lrc_conversation_release(conversation);
    return status;
}

static enum lrc_status encode(struct lrc_encoded *out, const struct lrc_data_context *context,
                              const json_t *row, struct lrc_error *err)
{
    struct lrc_conversation conversation;
    LRC_TRY(lrc_conversation_of_row(&conversation, row, context, err));
    const enum lrc_status status = json_array_size(conversation.messages) > 0
                                       ? lrc_encode_messages(out, context, &conversation, err)
                                       : LRC_STATUS_OK;
    lrc_conversation_release(&conversation);
    return status;
}

const struct lrc_data_format lrc_data_format_chat_template = { .name = "chat_template",
                                                               .also = "sharegpt",
                                                               .needs_tokenizer = 1,
                                                               .needs_template = 1,
                                                               .claims = claims,
                                                               .encode = encode };
