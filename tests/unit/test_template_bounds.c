/* Hostile templates end in one sentence, in bounded time and memory. */
#include "template_helpers.h"

static void expect_bound(const char *text, enum lrc_status want, const char *words)
{
    struct lrc_error      err = { 0 };
    struct lrc_buf        out = { 0 };
    const enum lrc_status status = render_text(&out, NULL, text, NULL, LRC_PROMPT_NONE, &err);
    cr_expect_eq(status, want, "%.100s: got %s (%s)", text, lrc_status_text(status), err.message);
    cr_expect(strstr(err.message, words), "%.100s: want '%s' in '%s'", text, words, err.message);
    cr_expect_eq(out.len, 0, "%.100s: want nothing of a failed rendering", text);
    lrc_buf_release(&out);
}

Test(template_bounds, steps_run_out, .timeout = 60)
{
    expect_bound("{% for a in range(99999) %}{% for b in range(99) %}{{ '' }}{% endfor %}{% endfor %}",
                 LRC_STATUS_NUMERIC, "want a rendering");
    expect_bound(
        "{% set s = 'x' * 1000000 %}{% for a in range(9999) %}{% if 'y' in s %}{% endif %}{% endfor %}",
        LRC_STATUS_NUMERIC, "steps");
    expect_bound(
        "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(100) %}{% set ns.a = [ns.a, ns.a] %}"
        "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
        LRC_STATUS_NUMERIC, "steps");
}

Test(template_bounds, memory_is_bounded, .timeout = 60)
{
    expect_bound("{% set ns = namespace(s='0123456789') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s "
                 "%}{% endfor %}",
                 LRC_STATUS_NUMERIC, "256 MiB of memory");
    expect_bound(
        "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        LRC_STATUS_NUMERIC, "256 MiB of memory");
    expect_bound("{{ 'x' * 9223372036854775807 }}", LRC_STATUS_NUMERIC, "256 MiB of memory");
    expect_bound("{{ ('x' * 1000000).replace('x', 'y' * 1000000) }}", LRC_STATUS_NUMERIC,
                 "256 MiB of memory");
    expect_bound("{{ [0] * 9223372036854775807 }}", LRC_STATUS_NUMERIC, "256 MiB of memory");
    expect_bound("{{ [[1]]|tojson(indent=1000000000) }}", LRC_STATUS_NUMERIC, "256 MiB of memory");
    expect_bound("{{ 'a\nb'|indent(4611686018427387904) }}", LRC_STATUS_NUMERIC, "256 MiB of memory");
}

Test(template_bounds, widths_and_counts_are_bounded, .timeout = 60)
{
    static const char *const wide[] = {
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%.1000000000f' % 1.5 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:.1000000000f}'.format(1.5) }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ 'a'|center(1000000000) }}",
        "{{ '1'.zfill(9223372036854775807) }}",
        "{{ 'a\t'.expandtabs(1000000000) }}",
    };
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        expect_bound(wide[i], LRC_STATUS_NUMERIC, "up to 1000000");
    expect_bound("{{ ('a\t' * 1000000).expandtabs(100000) }}",
                 LRC_STATUS_NUMERIC, "want a rendering");
    expect_bound("{{ ('x ' * 1000000)|wordwrap(1, wrapstring='y' * 1000000) }}", LRC_STATUS_NUMERIC,
                 "want a rendering");
    expect_bound("{{ [1]|batch(1000000000, 'x')|length }}", LRC_STATUS_NUMERIC, "want a rendering");
    expect_bound("{{ [1]|slice(1000000000)|length }}", LRC_STATUS_NUMERIC, "want a rendering");
    expect_bound("{{ range(100000)|join('x' * 1000000) }}", LRC_STATUS_NUMERIC, "256 MiB of memory");
    expect_bound("{{ ('%1000000s' * 1000) % ('a',) }}", LRC_STATUS_DATA, "want a value for each field");
    expect_bound("{% set ns = namespace(d={}) %}{% for i in range(99) %}{% set ns.d = dict(a=ns.d, b=ns.d) "
                 "%}{% endfor %}"
                 "{{ ns.d|tojson|length }}",
                 LRC_STATUS_NUMERIC, "want a rendering");
    expect_bound("{% set ns = namespace(d={}) %}{% for i in range(99999) %}{% for k in range(99999) %}"
                 "{% set _ = ns.d.update({i * 100000 + k: 'x' * 100}) %}{% endfor %}{% endfor %}",
                 LRC_STATUS_NUMERIC, "want a rendering");
}

Test(template_bounds, output_is_bounded, .timeout = 60)
{
    expect_bound("{% set s = 'x' * 1000000 %}{% for i in range(100) %}{{ s }}{% endfor %}",
                 LRC_STATUS_NUMERIC, "at most 64 MiB");
}

Test(template_bounds, depth_of_values_and_calls_is_bounded)
{
    expect_bound("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", LRC_STATUS_NUMERIC, "nested");
    expect_bound("{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
                 LRC_STATUS_NUMERIC, "nested");
    expect_bound("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", LRC_STATUS_NUMERIC, "nested");
    expect_bound("{% for x in [1, 2, 3] recursive %}{% if loop.depth < 90 %}{{ loop([1, 2, 3]) }}{% endif "
                 "%}{% endfor %}",
                 LRC_STATUS_NUMERIC, "want ");
    expect_bound("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", LRC_STATUS_NUMERIC, "nested");
    expect_bound("{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}", LRC_STATUS_NUMERIC, "nested");
    expect_bound(
        "{% set l = [] %}{% set _ = l.append(l) %}{% set k = [] %}{% set _ = k.append(k) %}{{ l == k }}",
        LRC_STATUS_NUMERIC, "nested");
}

/* begin, then 50000 times middle, then end */
static void expect_deep(const char *begin, const char *middle, const char *end, enum lrc_status want)
{
    struct lrc_buf text = { 0 };
    lrc_buf_puts(&text, begin);
    for (int i = 0; i < 50000; i++)
        lrc_buf_puts(&text, middle);
    lrc_buf_puts(&text, end);
    expect_bound(lrc_buf_text(&text), want, "nested");
    lrc_buf_release(&text);
}

Test(template_bounds, depth_of_the_text_is_bounded)
{
    expect_deep("", "{% if 1 %}", "", LRC_STATUS_FORMAT);
    expect_deep("{{ ", "not ", "1 }}", LRC_STATUS_FORMAT);
    expect_deep("{{ ", "-", "1 }}", LRC_STATUS_FORMAT);
    expect_deep("{{ ", "(", "1 }}", LRC_STATUS_FORMAT);
    expect_deep("{{ ", "1 if 1 else ", "1 }}", LRC_STATUS_FORMAT);
    expect_deep("{{ ", "1+", "1 }}", LRC_STATUS_NUMERIC);
    expect_deep("{{ 1", "|abs", "}}", LRC_STATUS_NUMERIC);
}

Test(template_bounds, ranges_are_bounded)
{
    expect_bound("{{ range(100001) }}", LRC_STATUS_NUMERIC, "range: want at most 100000 elements");
    EXPECT_RENDERED("{{ range(100000)|length }}", "{}", "100000");
    EXPECT_RENDERED("{{ range(9223372036854775806, 9223372036854775807, 9223372036854775807)|list }}", "{}",
                    "[9223372036854775806]");
}

Test(template_bounds, messages_may_not_nest_without_end)
{
    struct lrc_error err = { 0 };
    struct lrc_buf   out = { 0 };
    json_t          *deep = json_array(), *variables = json_object();
    for (int i = 0; i < 1500; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    json_object_set_new(variables, "messages", deep);
    cr_expect_eq(render_text(&out, NULL, "x", variables, LRC_PROMPT_NONE, &err), LRC_STATUS_NUMERIC);
    json_decref(variables);
    lrc_buf_release(&out);
}

static int n_until_failure;
static void *(*real_reallocate)(void *, size_t);
static void *(*real_allocate)(size_t);

static void *failing_reallocate(void *memory, size_t size_bytes)
{
    return n_until_failure-- > 0 ? real_reallocate(memory, size_bytes) : NULL;
}

static void *failing_allocate(size_t size_bytes)
{
    return n_until_failure-- > 0 ? real_allocate(size_bytes) : NULL;
}

Test(template_bounds, no_memory_is_a_status_fault)
{
    static const char text[] =
        "{% for x in range(3000) %}{{ x ~ 'abc' }}{% endfor %}{% set y %}{{ [1, 2]|tojson }}{% endset %}";
    enum lrc_status status = LRC_STATUS_NOMEM;
    int             n_tried = 0;
    real_reallocate = lrc_allocator.reallocate;
    real_allocate = lrc_allocator.allocate;
    lrc_allocator.reallocate = failing_reallocate;
    lrc_allocator.allocate = failing_allocate;
    for (; status != LRC_STATUS_OK && n_tried < 200; n_tried++) {
        struct lrc_error err = { 0 };
        struct lrc_buf   out = { 0 };
        n_until_failure = n_tried;
        status = render_text(&out, NULL, text, NULL, LRC_PROMPT_NONE, &err);
        cr_expect(status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM, "allocation %d: %s", n_tried,
                  err.message);
        lrc_buf_release(&out);
    }
    lrc_allocator.reallocate = real_reallocate;
    lrc_allocator.allocate = real_allocate;
    cr_expect_eq(status, LRC_STATUS_OK);
    cr_expect_gt(n_tried, 5);
}
