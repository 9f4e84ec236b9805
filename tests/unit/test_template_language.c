/* The language: each statement, operator, filter, test and method against what jinja2 makes of it. */
#include "template_helpers.h"

static void check_snippet(const char *text, const json_t *variables, const json_t *want)
{
    struct lrc_error err = {0};
    struct lrc_buf out = {0};
    const enum lrc_status status = render_text(&out, NULL, text, variables, LRC_PROMPT_NONE, &err);
    if (json_is_string(want)) {
        cr_expect_eq(status, LRC_STATUS_OK, "%s: %s", text, err.message);
        cr_expect(out.len == json_string_length(want) &&
                      memcmp(lrc_buf_text(&out), json_string_value(want), out.len) == 0,
                  "%s\n  want %s\n  got  %s", text, json_string_value(want), lrc_buf_text(&out));
    } else {
        cr_expect_neq(status, LRC_STATUS_OK, "%s: want an error, got %s", text, lrc_buf_text(&out));
        cr_expect_eq(strncmp(err.message, "t:", 2), 0, "%s: %s", text, err.message);
        cr_expect_eq(out.len, 0);
    }
    lrc_buf_release(&out);
}

Test(template_language, snippets_render_as_jinja2_renders_them)
{
    json_t *golden = load_json(LRC_SOURCE_DIR "/tests/golden/template_language.json");
    const json_t *cases = json_object_get(golden, "cases");
    cr_assert_gt(json_array_size(cases), 100);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        check_snippet(json_string_value(json_object_get(one, "template")),
                      json_object_get(golden, "variables"), json_object_get(one, "text"));
    }
    json_decref(golden);
}

Test(template_language, lists_and_dicts_can_be_changed)
{
    EXPECT_RENDERED(
        "{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}{{ l.pop() }}{{ l }}{{ l.pop(0) }}{{ l }}", "{}",
        "[1, 2]2[1]1[]");
    EXPECT_RENDERED("{% set l = [1,2,3] %}{% for x in l %}{{ x }}{% set _ = l.pop(0) %}{% endfor %}{{ l }}",
                    "{}", "123[]");
    EXPECT_RENDERED("{% set l = [] %}{% set _ = l.extend('ab') %}{{ l }}", "{}", "['a', 'b']");
    EXPECT_RENDERED("{% set d = {'a': 1} %}{% set _ = d.update({'b': 2}, c=3) %}{{ d }}{{ d.pop('a') }}{{ "
                    "d.pop('z', 9) }}{{ d }}",
                    "{}", "{'a': 1, 'b': 2, 'c': 3}19{'b': 2, 'c': 3}");
}

Test(template_language, large_dicts_keep_order_and_find_every_key)
{
    EXPECT_RENDERED(
        "{% set d = {} %}{% for i in range(500) %}{% set _ = d.update(dict([(i, i * 2)])) %}{% endfor %}"
        "{% for i in range(0, 500, 3) %}{% set _ = d.pop(i) %}{% endfor %}"
        "{{ d|length }} {{ d[499] }} {{ 498 in d }} {{ 1.0 in d }} {{ (d|list)[:4] }}",
        "{}", "333 998 False True [1, 2, 4, 5]");
}

Test(template_language, from_json_reads_what_tojson_writes)
{
    EXPECT_RENDERED("{{ (x|tojson|from_json) == x }}{{ ('{\"a\": [1]}'|from_json).a[0] }}",
                    "{\"x\": {\"k\": [1, 2.5, null, \"s\"]}}", "True1");
    EXPECT_RENDERED("{{ '{'|from_json }}", "{}", "!t:1: from_json: want a str with JSON, got something else");
}

Test(template_language, date_is_fixed_unless_given)
{
    EXPECT_RENDERED("{{ strftime_now('%d %b %Y') }}", "{}", "26 Jul 2024");
    EXPECT_RENDERED("{{ strftime_now('%A %-d %B %Y, %I:%M %p, day %j') }}",
                    "{\"strftime_now\": \"2025-03-01T15:04:05\"}",
                    "Saturday 1 March 2025, 03:04 PM, day 060");
    EXPECT_RENDERED("{{ strftime_now('%Y') }}", "{\"strftime_now\": \"2025-13-01\"}",
                    "!t:1: strftime_now: want a date 'YYYY-MM-DD' or 'YYYY-MM-DDTHH:MM:SS', got 2025-13-01");
    EXPECT_RENDERED("{{ strftime_now('%Q') }}", "{}", "!t:1: strftime_now: want a field we have, got '%Q'");
}

Test(template_language, mistakes_at_run_time_name_the_line)
{
    EXPECT_RENDERED("a\n{{ x.y }}\n", "{}",
                    "!t:2: want something defined to take 'y' of, got 'x', which is not");
    EXPECT_RENDERED("a\n\n{{ 'a' + 1 }}", "{}", "!t:3: want operands that '+' can combine, got str and int");
    EXPECT_RENDERED("{{ x + 1 }}", "{}",
                    "!t:1: want operands of '+' that are defined, got 'x', which is not");
    EXPECT_RENDERED("\n{{ raise_exception('no ' ~ 'way') }}", "{}", "!t:2: the template raises: no way");
    EXPECT_RENDERED("{{ 9223372036854775807 + 1 }}", "{}",
                    "!t:1: want an integer of 64 bits, got a larger one");
    EXPECT_RENDERED("{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{}",
                    "!t:1: want at most 1 arguments of the macro, got 2");
    EXPECT_RENDERED("{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "{}",
                    "!t:1: want arguments the macro has, got a keyword it does not take");
}

Test(template_language, mistakes_of_syntax_name_the_line)
{
    EXPECT_RENDERED("{% if x %}\n{{ 1 }}", "{}",
                    "!t:2: want {% endif %} for the block of line 1, got the end of the template");
    EXPECT_RENDERED("{% if x %}\n{{ 1 }", "{}", "!t:2: want no closing bracket, got '}'");
    EXPECT_RENDERED("\n{{ 1|nope }}", "{}", "!t:2: want a filter we have, got 'nope'");
    EXPECT_RENDERED("{{ 1 is nope }}", "{}", "!t:1: want a test we have, got 'nope'");
    EXPECT_RENDERED("{% include 'x' %}", "{}", "!t:1: want a statement we have, got 'include'");
    EXPECT_RENDERED("{% fro x %}", "{}", "!t:1: want a statement (for, if, set, macro ...), got 'fro'");
    EXPECT_RENDERED("{{ 99999999999999999999 }}", "{}", "!t:1: want an integer of 64 bits, got a larger one");
    EXPECT_RENDERED("{% continue %}", "{}", "!t:1: want 'continue' inside a loop, got it outside");
    EXPECT_RENDERED("{% for x in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{}",
                    "!t:1: want 'break' inside a loop, got it outside");
}

static enum lrc_status parse_status(const char *text, size_t n)
{
    struct lrc_error err;
    struct lrc_template *t;
    const enum lrc_status status = lrc_template_parse(&t, text, n, "t", &err);
    cr_expect_eq(t == NULL, status != LRC_STATUS_OK);
    lrc_template_free(t);
    return status;
}

Test(template_language, statuses_tell_syntax_from_what_we_do_not_have)
{
    cr_expect_eq(parse_status("{{ 1 + }}", 9), LRC_STATUS_FORMAT);
    cr_expect_eq(parse_status("\xff", 1), LRC_STATUS_FORMAT);
    cr_expect_eq(parse_status("{{ x|nope }}", 12), LRC_STATUS_UNSUPPORTED);
    cr_expect_eq(parse_status("{% block x %}{% endblock %}", 27), LRC_STATUS_UNSUPPORTED);
    cr_expect_eq(parse_status("a\0b", 3), LRC_STATUS_OK);
    cr_expect_eq(parse_status("{{ '\0' }}", 9), LRC_STATUS_OK);
    cr_expect_eq(parse_status("{{ \0 }}", 7), LRC_STATUS_FORMAT);
    cr_expect_eq(parse_status("", 0), LRC_STATUS_OK);
}

Test(template_language, generation_blocks_give_byte_spans)
{
    static const char text[] =
        "é{% for m in [1, 2] %}<{% generation %}ü{{ m }}{% endgeneration %}>{% endfor %}"
        "{% macro a() %}[{% generation %}x{% endgeneration %}]{% endmacro %}{{ a() }}";
    struct lrc_error err = {0};
    struct lrc_buf out = {0}, spans = {0};
    int64_t got[6];
    const int64_t want[6] = {3, 6, 8, 11, 13, 14};
    lrc_buf_puts(&out, "before");
    cr_assert_eq(render_text(&out, &spans, text, NULL, LRC_PROMPT_NONE, &err), LRC_STATUS_OK, "%s",
                 err.message);
    cr_expect_str_eq(lrc_buf_text(&out), "beforeé<ü1><ü2>[x]");
    cr_assert_eq(spans.len, sizeof got);
    memcpy(got, spans.data, sizeof got);
    for (int i = 0; i < 6; i++)
        cr_expect_eq(got[i], want[i], "span %d: %lld", i, (long long)got[i]);
    lrc_buf_release(&out);
    lrc_buf_release(&spans);
}

Test(template_language, generation_in_a_captured_text_is_an_error_only_when_spans_are_wanted)
{
    static const char text[] = "{% set x %}{% generation %}a{% endgeneration %}{% endset %}{{ x }}";
    struct lrc_error err = {0};
    struct lrc_buf out = {0}, spans = {0};
    cr_expect_eq(render_text(&out, &spans, text, NULL, LRC_PROMPT_NONE, &err), LRC_STATUS_DATA);
    cr_expect_eq(out.len, 0);
    cr_expect_eq(render_text(&out, NULL, text, NULL, LRC_PROMPT_NONE, &err), LRC_STATUS_OK);
    cr_expect_str_eq(lrc_buf_text(&out), "a");
    lrc_buf_release(&out);
    lrc_buf_release(&spans);
}

Test(template_language, variables_shadow_and_tokens_are_undefined_unless_given)
{
    EXPECT_RENDERED("{{ bos_token is defined }}{{ tools is none }}{{ add_generation_prompt }}", "{}",
                    "FalseTrueFalse");
    EXPECT_RENDERED("{{ range }}{{ tools|length }}", "{\"range\": 5, \"tools\": [1]}", "51");
}
