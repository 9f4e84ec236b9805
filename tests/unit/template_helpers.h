/* Shorthand for the template tests. */
#ifndef LRC_TESTS_TEMPLATE_HELPERS_H
#define LRC_TESTS_TEMPLATE_HELPERS_H

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "template/template.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Renders text over an object of variables (messages, tools, tokens among them). out and spans are the
 * caller's. */
static inline enum lrc_status render_text(struct lrc_buf *out, struct lrc_buf *spans, const char *text,
                                          const json_t *variables, enum lrc_prompt prompt,
                                          struct lrc_error *err)
{
    struct lrc_template *t;
    struct lrc_template_input input = {.messages = json_object_get(variables, "messages"),
                                       .tools = json_object_get(variables, "tools"),
                                       .variables = variables,
                                       .prompt = prompt};
    err->message[0] = '\0';
    LRC_TRY(lrc_template_parse(&t, text, strlen(text), "t", err));
    const enum lrc_status status = lrc_template_render(t, out, spans, &input, err);
    lrc_template_free(t);
    return status;
}

/* The text a template gives over variables written as JSON; "!" and the error when it fails. The caller frees
 * it. */
static inline char *rendered(const char *text, const char *variables_json)
{
    struct lrc_error err = {0};
    struct lrc_buf out = {0};
    json_t *variables;
    cr_assert_eq(lrc_json_parse(&variables, variables_json, strlen(variables_json), "variables", &err),
                 LRC_STATUS_OK, "%s", err.message);
    if (render_text(&out, NULL, text, variables, LRC_PROMPT_NONE, &err) != LRC_STATUS_OK) {
        lrc_buf_clear(&out);
        lrc_buf_printf(&out, "!%s", err.message);
    }
    json_decref(variables);
    char *copy = lrc_strdup(lrc_buf_text(&out));
    lrc_buf_release(&out);
    return copy;
}

#define EXPECT_RENDERED(text, variables, want)                                                               \
    do {                                                                                                     \
        char *got_ = rendered(text, variables);                                                              \
        cr_expect_str_eq(got_, want, "%s\n  want %s\n  got  %s", text, want, got_);                          \
        lrc_free(got_);                                                                                      \
    } while (0)

static inline json_t *load_json(const char *path)
{
    struct lrc_error err;
    json_t *json;
    cr_assert_eq(lrc_json_load(&json, path, &err), LRC_STATUS_OK, "%s", err.message);
    return json;
}

#endif
