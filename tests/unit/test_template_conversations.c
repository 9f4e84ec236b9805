/* Our own templates over conversations of every shape, as transformers' apply_chat_template renders them. */
#include "template_helpers.h"

static void put_case(struct lrc_buf *out, const json_t *one)
{
    lrc_buf_printf(out, "%s, %s, prompt %lld", json_string_value(json_object_get(one, "template")),
                   json_string_value(json_object_get(one, "conversation")),
                   (long long)json_integer_value(json_object_get(one, "prompt")));
}

static int same_spans(const struct lrc_buf *spans, const json_t *want)
{
    int same = spans->len / sizeof(int64_t) == json_array_size(want);
    for (size_t i = 0; i < json_array_size(want) && same; i++) {
        int64_t at;
        memcpy(&at, spans->data + i * sizeof at, sizeof at);
        same = at == json_integer_value(json_array_get(want, i));
    }
    return same;
}

static void expect_case(const json_t *all, const json_t *one)
{
    const char      *name = json_string_value(json_object_get(one, "template"));
    const json_t    *text = json_object_get(one, "text");
    const char      *title = json_string_value(json_object_get(one, "conversation"));
    json_t          *variables = json_copy(json_object_get(json_object_get(all, "conversations"), title));
    struct lrc_error err = { 0 };
    struct lrc_buf   out = { 0 }, spans = { 0 }, label = { 0 };
    json_object_update(variables, json_object_get(all, "tokens"));
    const enum lrc_status status =
        render_text(&out, &spans, json_string_value(json_object_get(json_object_get(all, "templates"), name)),
                    variables, (enum lrc_prompt)json_integer_value(json_object_get(one, "prompt")), &err);
    put_case(&label, one);
    if (json_is_null(text)) {
        cr_expect_neq(status, LRC_STATUS_OK, "%s: want an error, got %s", lrc_buf_text(&label),
                      lrc_buf_text(&out));
    } else {
        cr_expect_eq(status, LRC_STATUS_OK, "%s: %s", lrc_buf_text(&label), err.message);
        cr_expect(out.len == json_string_length(text) &&
                      memcmp(lrc_buf_text(&out), json_string_value(text), out.len) == 0,
                  "%s\n  want %s\n  got  %s", lrc_buf_text(&label), json_string_value(text),
                  lrc_buf_text(&out));
        if (json_array_size(json_object_get(one, "spans")) > 0)
            cr_expect(same_spans(&spans, json_object_get(one, "spans")), "%s: other spans",
                      lrc_buf_text(&label));
    }
    lrc_buf_release(&out);
    lrc_buf_release(&spans);
    lrc_buf_release(&label);
    json_decref(variables);
}

Test(template_conversations, render_as_transformers_renders_them)
{
    json_t       *all = load_json(LRC_SOURCE_DIR "/tests/golden/conversations.json");
    const json_t *cases = json_object_get(all, "cases");
    cr_assert_geq(json_array_size(cases), 400);
    for (size_t i = 0; i < json_array_size(cases); i++)
        expect_case(all, json_array_get(cases, i));
    json_decref(all);
}
