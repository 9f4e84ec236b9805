/* What of a conversation is trained, with templates that write turns in the ways published ones do. */
#include "base/alloc.h"
#include "data_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

struct setting {
    struct lrc_dataset_spec spec;
    int                     last_turn_only;
};

static void expect_set(const struct setting *setting, const char *template_text, const char *row,
                       const char *wanted)
{
    struct lrc_error err;
    struct lrc_template *template;
    struct lrc_tokenizer *tokenizer = data_fixture_tokenizer(FIXTURE_PLAIN);
    cr_assert_eq(lrc_template_parse(&template, template_text, strlen(template_text), "test", &err),
                 LRC_STATUS_OK, "%s", err.message);
    const struct lrc_data_context context = { .tokenizer = tokenizer,
                                              .template = template,
                                              .spec = &setting->spec,
                                              .last_turn_only = setting->last_turn_only,
                                              .vocab_size = 128 };
    data_fixture_expect(&context, "chat_template", row, wanted);
    lrc_template_free(template);
    lrc_tokenizer_free(tokenizer);
}

static void expect(const char *template_text, const char *row, const char *wanted)
{
    expect_set(&(struct setting){ 0 }, template_text, row, wanted);
}

#define MESSAGES(messages)  "{\"messages\": [" messages "]}"
#define TURN(role, content) "{\"role\": \"" role "\", \"content\": \"" content "\"}"
#define CALL(content, name, arguments)                                                                       \
    "{\"role\": \"assistant\", \"content\": \"" content                                                      \
    "\", \"tool_calls\": [{\"function\": {\"name\": \"" name "\", \"arguments\": " arguments "}}]}"

/* The first letter of the role, the words, the calls, the end. */
#define HEAD   "<s>{{ m.role[0] }}:"
#define CALLS  "{% for c in m.tool_calls %}({{ c.function.name }}{{ c.function.arguments }}){% endfor %}"
#define PROMPT "{% if add_generation_prompt %}<s>a:{% endif %}"

/* A thought stands only in answers behind the last question. */
static const char thinking[] =
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = "
    "loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}" HEAD
    "{% if m.role == 'assistant' and loop.index0 > ns.last and (loop.last or m.reasoning_content) %}"
    "<{{ m.reasoning_content }}>{% endif %}{{ m.content }}" CALLS "</s>\n{% endfor %}" PROMPT;

Test(data_masks, a_call_is_trained_where_its_thought_is_left_out)
{
    expect(thinking,
           MESSAGES(TURN("user", "x") ", " CALL("", "f", "\"1\"") ", " TURN("tool", "r") ", " TURN(
               "assistant", "y") ", " TURN("user", "z") ", " TURN("assistant", "w")),
           "-<s>-u-:-x-</s>-\\n-<s>-a-:+(+f+1+)+</s>-\\n-<s>-t-:-r-</s>-\\n-<s>-a-:+y+</s>-\\n-<s>-u-:-z-</"
           "s>-\\n"
           "-<s>-a-:+<+>+w+</s>-\\n");
    expect(thinking,
           MESSAGES(TURN("user", "x") ", " CALL("ok", "f",
                                                "\"1\"") ", " TURN("tool", "r") ", " TURN("assistant", "y")),
           "-<s>-u-:-x-</s>-\\n-<s>-a-:+o+k+(+f+1+)+</s>-\\n-<s>-t-:-r-</s>-\\n-<s>-a-:+<+>+y+</s>-\\n");
}

/* The first exchange's second answer came behind a thought that the text no longer has: no prompt asks for it
 * there. */
Test(data_masks, an_answer_without_its_prompt_is_context)
{
    expect(
        thinking,
        MESSAGES(TURN("user", "x") ", {\"role\": \"assistant\", \"content\": \"v\", \"reasoning_content\": "
                                   "\"h\"}, " TURN("tool", "r") ", " TURN("assistant", "y") ", " TURN(
                                       "user", "z") ", " TURN("assistant", "w")),
        "-<s>-u-:-x-</s>-\\n-<s>-a-:+v+</s>-\\n-<s>-t-:-r-</s>-\\n-<s>-a-:-y-</s>-\\n-<s>-u-:-z-</s>-\\n"
        "-<s>-a-:+<+>+w+</s>-\\n");
}

Test(data_masks, reasoning_has_one_name)
{
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = { "reasoning_content", "thinking", "reasoning" };
        struct lrc_buf           row = { 0 };
        lrc_buf_printf(&row, MESSAGES("{\"role\": \"assistant\", \"content\": \"v\", \"%s\": \"h\"}"),
                       names[i]);
        expect("{% for m in messages %}[{{ m.reasoning_content }}{{ m.thinking }}]{{ m.content }}</s>{% "
               "endfor %}",
               lrc_buf_text(&row), "+[+h+h+]+v+</s>");
        lrc_buf_release(&row);
    }
}

/* The tool's result goes between a turn's call and its words. */
Test(data_masks, a_result_inside_the_turn_is_refused)
{
    static const char merging[] = "{% for m in messages %}{% if m.role != 'tool' %}" HEAD CALLS
                                  "{% if m.tool_calls and not loop.last %}[{{ loop.nextitem.content }}]{% "
                                  "endif %}{{ m.content }}</s>{% endif %}"
                                  "{% endfor %}" PROMPT;
    expect(merging, MESSAGES(TURN("user", "x") ", " CALL("", "f", "\"1\"")),
           "-<s>-u-:-x-</s>-<s>-a-:+(+f+1+)+</s>");
    expect(
        merging,
        MESSAGES(TURN("user", "x") ", " CALL("ok", "f",
                                             "\"1\"") ", " TURN("tool", "rrr") ", " TURN("assistant", "y")),
        "the template cannot be split at turn 1: want the text up to the end of the turn to open the whole "
        "conversation's text, got a difference at byte 19");
}

Test(data_masks, arguments_may_be_an_object)
{
    expect("{% for m in messages %}" CALLS "</s>{% endfor %}", MESSAGES(CALL("", "f", "{\"a\": 1}")),
           "+(+f+{+'+a+'+:+ +1+}+)+</s>");
}

Test(data_masks, a_call_that_the_template_leaves_out_is_refused)
{
    expect(
        "{% for m in messages %}" HEAD "{{ m.content }}</s>{% endfor %}" PROMPT,
        MESSAGES(TURN("user", "x") ", " CALL("ok", "weather", "{}")),
        "turn 1: want a template that writes calls of tools, got one that leaves out the call of 'weather'");
}

Test(data_masks, a_template_that_takes_parts_gets_parts)
{
    static const char parts[] =
        "{% for m in messages %}" HEAD
        "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}"
        "</s>{% endfor %}" PROMPT;
    static const char added[] =
        "{% for m in messages %}" HEAD "{{ m.content[0].text + '' }}</s>{% endfor %}" PROMPT;
    static const char row[] = MESSAGES(
        TURN("user", "x") ", " TURN("assistant", "y") ", " TURN("user", "z") ", " TURN("assistant", "w"));
    static const char wanted[] = "-<s>-u-:-x-</s>-<s>-a-:+y+</s>-<s>-u-:-z-</s>-<s>-a-:+w+</s>";
    expect(parts, row, wanted);
    expect(added, row, wanted);
    expect("{% for m in messages %}{{ m.role }}{% endfor %}", row,
           "want a template that writes what the messages say, got one that writes nothing of it");
    expect("{{ messages[0].content.nope.x }}", row,
           "test:1: want something defined to take 'x' of, got 'nope', which is not");
}

/* It always opens the next answer, and ends a finished conversation with the end of text. */
Test(data_masks, what_follows_the_end_of_turn_is_context)
{
    expect("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}\n{% else %}<s>a:{{ m.content "
           "}}<|im_end|>\n"
           "{% endif %}{% endfor %}<s>a:",
           MESSAGES(TURN("user", "x") ", " TURN("assistant", "y")),
           "-x-\\n-<s>-a-:+y+<|im_end|>-\\n-<s>-a-:");
    expect("{% for m in messages %}" HEAD "\n{{ m.content }}<|im_end|>\n{% endfor %}"
           "{% if add_generation_prompt %}<s>a:\n{% else %}</s>{% endif %}",
           MESSAGES(TURN("user", "x") ", " TURN("assistant", "y")),
           "-<s>-u-:-\\n-x-<|im_end|>-\\n-<s>-a-:-\\n+y+<|im_end|>-\\n-</s>");
}

static const char plain[] = "{% for m in messages %}" HEAD "{{ m.content }}</s>{% endfor %}" PROMPT;

Test(data_masks, the_last_turn_may_be_the_only_one)
{
    const struct setting last = { .last_turn_only = 1 };
    static const char    marked[] =
        "{% for m in messages %}{{ m.role[0] }}{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}</s>{% endgeneration %}{% else %}{{ m.content }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}a{% endif %}";
    static const char row[] = MESSAGES(TURN("user", "x") ", " TURN("assistant", "y") ", " TURN(
        "user", "z") ", " TURN("assistant", "w") ", " TURN("user", "v"));
    expect_set(&last, plain, row,
               "-<s>-u-:-x-</s>-<s>-a-:-y-</s>-<s>-u-:-z-</s>-<s>-a-:+w+</s>-<s>-u-:-v-</s>");
    expect_set(&last, marked, row, "-u-x-a-y-</s>-u-z-a+w+</s>-u-v");
}

#define SAID(role, content, name, said)                                                                      \
    "{\"role\": \"" role "\", \"content\": \"" content "\", \"" name "\": " said "}"

Test(data_masks, the_row_says_which_turns_are_trained)
{
    const struct setting named = { .spec = { .message_field_training = "learn" } };
    expect(plain,
           MESSAGES(SAID("user", "x", "training", "true") ", " SAID("assistant", "y", "training", "false")),
           "-<s>-u-:+x+</s>-<s>-a-:-y-</s>");
    expect(
        plain,
        MESSAGES(SAID("assistant", "x", "weight", "0") ", " SAID("assistant", "y", "weight", "0.5") ", " SAID(
            "user", "z", "weight", "1") ", " SAID("assistant", "w", "train", "null")),
        "-<s>-a-:-x-</s>-<s>-a-:+y+</s>-<s>-u-:-z-</s>-<s>-a-:+w+</s>");
    expect_set(
        &named, plain,
        MESSAGES(SAID("assistant", "x", "train", "false") ", " SAID("assistant", "y", "learn", "false")),
        "-<s>-a-:+x+</s>-<s>-a-:-y-</s>");
}

Test(data_masks, parts_are_one_text)
{
    expect(plain,
           MESSAGES("{\"role\": \"assistant\", \"content\": [{\"type\": \"text\", \"text\": \"x\"}, "
                    "{\"type\": \"text\", "
                    "\"text\": \"y\"}]}"),
           "-<s>-a-:+x+y+</s>");
}

#define PART(text, more)   "{\"type\": \"text\", \"text\": \"" text "\"" more "}"
#define PARTS(role, parts) "{\"role\": \"" role "\", \"content\": [" parts "]}"

Test(data_masks, parts_say_whether_they_are_trained)
{
    static const char marked[] = "{% for m in messages %}{{ m.role[0] }}{% generation %}{{ m.content }}</s>"
                                 "{% endgeneration %}{% endfor %}{% if add_generation_prompt %}a{% endif %}";
    static const char row[] = MESSAGES(TURN("user", "q") ", " PARTS(
        "assistant",
        PART("x", ", \"train\": false") ", " PART("y", "") ", " PART("z", ", \"weight\": 0") ", " PART(
            "", ", \"train\": false") ", " PART("w", ", \"train\": true")));
    expect(plain, row, "-<s>-u-:-q-</s>-<s>-a-:-x+y-z+w+</s>");
    expect(marked, row, "-u-q-</s>-a-x+y-z+w+</s>");
    expect(plain, MESSAGES(TURN("assistant", "v") ", " PARTS("assistant", PART("x", ", \"train\": false"))),
           "-<s>-a-:+v+</s>-<s>-a-:-x+</s>");
    expect("{% for m in messages %}{{ m.content | upper }}</s>{% endfor %}",
           MESSAGES(PARTS("assistant", PART("A", "") ", " PART("B", ", \"train\": false"))), "+A-B+</s>");
    expect("{% for m in messages %}{{ m.content | trim }}</s>{% endfor %}",
           MESSAGES(PARTS("assistant", PART(" a", "") ", " PART("b", ", \"train\": false"))),
           "turn 0: want its parts in the text as they are in the row, got other words");
    expect(plain, MESSAGES(SAID("assistant", "x", "train_detail", "[]")),
           "message 0: want 'train' of a whole message or of a part, got 'train_detail'");
}

#define SHAREGPT(from, value) "{\"from\": \"" from "\", \"value\": \"" value "\"}"

Test(data_masks, a_call_as_a_text_is_a_call_where_the_template_knows_them)
{
    static const char with_calls[] =
        "{% for m in messages %}" HEAD "{{ m.content }}" CALLS "</s>{% endfor %}" PROMPT;
    static const char one[] = "{\"conversations\": [" SHAREGPT("human", "x") ", " SHAREGPT(
        "function_call",
        "{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": \\\"1\\\"}") ", " SHAREGPT("observation", "r") "]}";
    static const char two[] = "{\"conversations\": [" SHAREGPT(
        "function_call", "[{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": {}}, {\\\"name\\\": "
                         "\\\"g\\\", \\\"arguments\\\": {}}]") "]}";
    expect(with_calls, one, "-<s>-u-:-x-</s>-<s>-a-:+(+f+1+)+</s>-<s>-t-:-r-</s>");
    expect(with_calls, two, "-<s>-a-:+(+f+{+}+)+(+g+{+}+)+</s>");
    expect(plain, one,
           "-<s>-u-:-x-</s>-<s>-a-:+{+\"+n+a+m+e+\"+:+ +\"+f+\"+,+ +\"+a+r+g+u+m+e+n+t+s+\"+:+ "
           "+\"+1+\"+}+</s>-<s>-t-:-r-"
           "</s>");
    expect(with_calls, "{\"conversations\": [" SHAREGPT("function_call", "no call") "]}",
           "-<s>-a-:+n+o+ +c+a+l+l+</s>");
    expect(with_calls, "{\"conversations\": [" SHAREGPT("function_call", "[1, 2]") "]}",
           "-<s>-a-:+[+1+,+ +2+]+</s>");
}
