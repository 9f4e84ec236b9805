#include "template/conversation.h"

#include "base/alloc.h"
#include "template/text.h"
#include <string.h>

/* transformers' own words, so that a template which trims its messages trims it the same way. */
static const char mark[] = "CONTINUE_FINAL_MESSAGE_TAG ";

static int drop_nulls(json_t *message)
{
    const char *name;
    json_t     *value;
    void       *next;
    int         dropped = 1;
    json_object_foreach_safe(message, next, name, value)
    {
        if (json_is_null(value))
            dropped &= json_object_del(message, name) == 0;
    }
    return dropped;
}

/* The first of the names wins. "thinking" goes in front where it is new: the order shows when a template
 * prints a whole message. NULL when out of memory. */
static json_t *alias_reasoning(json_t *message)
{
    static const char *const names[] = { "reasoning_content", "thinking", "reasoning" };
    json_t                  *reasoning = NULL;
    for (int i = 0; i < 3 && !reasoning; i++)
        reasoning = json_object_get(message, names[i]);
    if (!reasoning)
        return json_incref(message);
    json_t *out = json_object();
    if (json_object_set(out, "thinking", reasoning) == 0 && json_object_update(out, message) == 0 &&
        json_object_set(out, "reasoning_content", reasoning) == 0)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *prepare_message(json_t *message)
{
    if (!json_is_object(message))
        return json_incref(message);
    json_t *copy = json_copy(message);
    json_t *out = copy && drop_nulls(copy) ? alias_reasoning(copy) : NULL;
    json_decref(copy);
    return out;
}

/* text with the mark behind it; NULL when out of memory. */
static json_t *marked(const json_t *text)
{
    struct lrc_buf buf = { 0 };
    lrc_buf_append(&buf, json_string_value(text), json_string_length(text));
    lrc_buf_puts(&buf, mark);
    json_t *out = buf.failed ? NULL : json_stringn(lrc_buf_text(&buf), buf.len);
    lrc_buf_release(&buf);
    return out;
}

/* The content, or the last part of it that is text, ends with the mark. */
static enum lrc_status mark_last(json_t *messages, struct lrc_error *err)
{
    const size_t n = json_array_size(messages);
    json_t      *message = n > 0 ? json_array_get(messages, n - 1) : NULL,
           *content = json_object_get(message, "content");
    if (json_is_string(content))
        return json_object_set_new(message, "content", marked(content)) == 0
                   ? LRC_STATUS_OK
                   : lrc_fail_nomem(err, "a conversation");
    json_t *parts = json_deep_copy(content);
    for (size_t i = json_array_size(parts); i > 0; i--) {
        json_t *part = json_array_get(parts, i - 1), *text = json_object_get(part, "text");
        if (!json_is_string(text))
            continue;
        if (json_object_set_new(part, "text", marked(text)) != 0 ||
            json_object_set_new(message, "content", parts) != 0)
            return lrc_fail_nomem(err, "a conversation");
        return LRC_STATUS_OK;
    }
    json_decref(parts);
    return lrc_fail(err, LRC_STATUS_DATA, "messages: want a last message with text to go on with, got %s",
                    n > 0 ? "one without" : "no message");
}

int lrc_conversation__has_nulls(const json_t *messages)
{
    const char *name;
    json_t     *value;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_object_foreach(json_array_get(messages, i), name, value)
        {
            if (json_is_null(value))
                return 1;
        }
    }
    return 0;
}

enum lrc_status lrc_conversation__prepare(json_t **out, const json_t *messages, enum lrc_prompt prompt,
                                          struct lrc_error *err)
{
    *out = NULL;
    json_t *copy = json_array();
    if (!copy)
        return lrc_fail_nomem(err, "a conversation");
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (json_array_append_new(copy, prepare_message(json_array_get(messages, i))) != 0) {
            json_decref(copy);
            return lrc_fail_nomem(err, "a conversation");
        }
    const enum lrc_status status = prompt == LRC_PROMPT_CONTINUE ? mark_last(copy, err) : LRC_STATUS_OK;
    if (status == LRC_STATUS_OK)
        *out = copy;
    else
        json_decref(copy);
    return status;
}

enum lrc_status lrc_conversation__cut(struct lrc_buf *text, size_t begin, struct lrc_error *err)
{
    const size_t n_mark = sizeof mark - 1, n_word = n_mark - 1;
    for (size_t at = text->len; at >= begin + n_word; at--) {
        const size_t found = at - n_word;
        if (memcmp(text->data + found, mark, n_word) != 0)
            continue;
        const int trimmed = found + n_mark > text->len || text->data[found + n_word] != ' ';
        size_t    end = found;
        if (trimmed) /* as the template trims a message's end */
            end -= lrc_text__space_after(text->data + begin, found - begin);
        text->len = end;
        text->data[end] = '\0';
        return LRC_STATUS_OK;
    }
    return lrc_fail(
        err, LRC_STATUS_DATA,
        "chat_template: want the last message's text in what it writes, to go on from there, got none of it");
}
