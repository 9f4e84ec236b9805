#include "template/template.h"

#include "base/alloc.h"
#include "template/conversation.h"
#include "template/render.h"
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

enum { TEXT_MAX_BYTES = 4 << 20 };
#define TREE_MAX_BYTES ((size_t)1 << 30)

/* "\r\n" and "\r" become "\n", and one "\n" at the end is cut, as jinja2's keep_trailing_newline=False. */
static size_t normalize_lines(char *out, const char *text, size_t n)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r' && i + 1 < n && text[i + 1] == '\n')
            continue;
        out[n_out++] = text[i] == '\r' ? '\n' : text[i];
    }
    n_out -= n_out > 0 && out[n_out - 1] == '\n';
    out[n_out] = '\0';
    return n_out;
}

static int is_utf8(const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t       point;
        const utf8proc_ssize_t step =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &point);
        if (step < 1)
            return 0;
        i += (size_t)step;
    }
    return 1;
}

enum lrc_status lrc_template_parse(struct lrc_template **out, const char *text, size_t n, const char *name,
                                   struct lrc_error *err)
{
    *out = NULL;
    if (n > TEXT_MAX_BYTES)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a template of at most 4 MiB, got %zu bytes", name,
                        n);
    if (!is_utf8(text, n))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want UTF-8, got other bytes", name);
    struct lrc_template *t = lrc_calloc(1, sizeof *t);
    if (!t)
        return lrc_fail_nomem(err, "template");
    t->memory.max_bytes = TREE_MAX_BYTES;
    t->name = lrc_strdup(name);
    t->text = lrc_calloc((int64_t)n + 1, 1);
    t->source = lrc_calloc((int64_t)n + 1, 1);
    enum lrc_status status = LRC_STATUS_OK;
    if (!t->name || !t->text || !t->source) {
        status = lrc_fail_nomem(err, "template");
    } else {
        if (n > 0)
            memcpy(t->text, text, n);
        status = lrc_template__build(t, normalize_lines(t->source, text, n), err);
    }
    if (status == LRC_STATUS_OK)
        *out = t;
    else
        lrc_template_free(t);
    return status;
}

void lrc_template_free(struct lrc_template *t)
{
    if (!t)
        return;
    lrc_template_free(t->tool_use);
    lrc_bump__release(&t->memory);
    lrc_free(t->names);
    lrc_free(t->source);
    lrc_free(t->text);
    lrc_free(t->name);
    lrc_free(t);
}

const char *lrc_template_text(const struct lrc_template *t)
{
    return t->text;
}

const char *lrc_template_tools_text(const struct lrc_template *t)
{
    return t->tool_use ? t->tool_use->text : NULL;
}

static enum lrc_status set_variable(struct lrc_render *r, const char *name, struct lrc_value value)
{
    struct lrc_value key;
    LRC_TRY(lrc_string__borrow(r, &key, name, strlen(name)));
    return lrc_dict__set(r, r->variables, key, value);
}

static enum lrc_status set_json(struct lrc_render *r, const char *name, const json_t *json)
{
    struct lrc_value value;
    LRC_TRY(lrc_value__from_json(r, &value, json));
    return set_variable(r, name, value);
}

static enum lrc_status set_token(struct lrc_render *r, const char *name, const char *token)
{
    struct lrc_value value;
    if (!token)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_string__borrow(r, &value, token, strlen(token)));
    return set_variable(r, name, value);
}

/* "YYYY-MM-DD", then perhaps "THH:MM:SS". */
static enum lrc_status set_date(struct lrc_render *r, const json_t *json)
{
    static const int low[6] = { 1, 1, 1, 0, 0, 0 }, high[6] = { 9999, 12, 31, 23, 59, 59 };
    const char      *text = json_string_value(json);
    int              d[6] = { 0 };
    const int        n =
        text ? sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &d[0], &d[1], &d[2], &d[3], &d[4], &d[5]) : 0;
    int good = n >= 3;
    for (int i = 0; i < 6; i++)
        good = good && d[i] >= low[i] && d[i] <= high[i];
    if (!good)
        return lrc_render__fail(r, LRC_STATUS_DATA,
                                "strftime_now: want a date 'YYYY-MM-DD' or 'YYYY-MM-DDTHH:MM:SS', got %s",
                                text ? text : lrc_json_type_name(json));
    memcpy(r->date, d, sizeof d);
    return LRC_STATUS_OK;
}

static enum lrc_status set_variables(struct lrc_render *r, const struct lrc_template_input *input,
                                     const json_t *messages)
{
    struct lrc_value variables;
    LRC_TRY(lrc_dict__new(r, &variables));
    r->variables = variables.dict;
    LRC_TRY(set_token(r, "bos_token", input->bos_token));
    LRC_TRY(set_token(r, "eos_token", input->eos_token));
    LRC_TRY(set_token(r, "pad_token", input->pad_token));
    LRC_TRY(set_token(r, "unk_token", input->unk_token));
    LRC_TRY(set_json(r, "messages", messages));
    LRC_TRY(set_json(r, "tools", input->tools)); /* None when there are none, as transformers passes them */
    LRC_TRY(set_json(r, "documents", NULL));
    LRC_TRY(
        set_variable(r, "add_generation_prompt", lrc_value__bool(input->prompt == LRC_PROMPT_GENERATION)));
    json_t *object = (json_t *)(uintptr_t)input->variables; /* iterated, not changed */
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *name = json_object_iter_key(at);
        if ((input->messages && strcmp(name, "messages") == 0) ||
            (input->tools && strcmp(name, "tools") == 0))
            continue; /* the whole object of a file: set above */
        LRC_TRY(strcmp(name, "strftime_now") == 0 ? set_date(r, json_object_iter_value(at))
                                                  : set_json(r, name, json_object_iter_value(at)));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status render_messages(const struct lrc_template *t, struct lrc_buf *text,
                                       struct lrc_buf *generation, const struct lrc_template_input *input,
                                       const json_t *messages, struct lrc_error *err)
{
    struct lrc_render r = {
        .template = t,
        .err = err,
        .memory.max_bytes = LRC_RENDER_MEMORY_MAX_BYTES,
        .n_steps_left = LRC_RENDER_STEPS_MAX,
        .line = 1,
        .text = text,
        .text_begin = text->len,
        .generation = generation,
        .date = { 2024, 7, 26, 0, 0, 0 },
    };
    const size_t    generation_begin = generation ? generation->len : 0;
    enum lrc_status status = set_variables(&r, input, messages);
    if (status == LRC_STATUS_OK)
        status = lrc_scope__push(&r, NULL);
    if (status == LRC_STATUS_OK)
        status = lrc_eval__block(&r, t->root);
    if (status == LRC_STATUS_OK && input->prompt == LRC_PROMPT_CONTINUE)
        status = lrc_conversation__cut(text, r.text_begin, err);
    json_decref(r.kept_json);
    lrc_bump__release(&r.memory);
    if (status == LRC_STATUS_OK)
        return LRC_STATUS_OK;
    if (text->data) { /* nothing of a failed rendering stays */
        text->len = r.text_begin;
        text->data[text->len] = '\0';
    }
    if (generation && generation->data)
        generation->len = generation_begin;
    return status;
}

enum lrc_status lrc_template_render(const struct lrc_template *t, struct lrc_buf *text,
                                    struct lrc_buf *generation, const struct lrc_template_input *input,
                                    struct lrc_error *err)
{
    json_t *messages = NULL;
    if (t->tool_use && json_is_array(input->tools))
        return lrc_template_render(t->tool_use, text, generation, input, err);
    if (!json_is_array(input->messages))
        return render_messages(t, text, generation, input, input->messages, err);
    LRC_TRY(lrc_conversation__prepare(&messages, input->messages, input->prompt, err));
    enum lrc_status  status = render_messages(t, text, generation, input, messages, err);
    struct lrc_error other = { 0 };
    if (status == LRC_STATUS_DATA && lrc_conversation__has_nulls(input->messages) &&
        input->prompt != LRC_PROMPT_CONTINUE && /* some templates ask for None */
        render_messages(t, text, generation, input, input->messages, &other) == LRC_STATUS_OK)
        status = LRC_STATUS_OK;
    json_decref(messages);
    return status;
}
