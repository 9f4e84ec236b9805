#include "base/alloc.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

static const char chatml[] = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
                             "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static void expect_by(const char *template_text, int kind, int train_on_inputs, const char *row,
                      const char *wanted)
{
    struct lrc_error      err;
    struct lrc_template  *template;
    struct lrc_tokenizer *tokenizer = data_fixture_tokenizer(kind);
    cr_assert_eq(lrc_template_parse(&template, template_text, strlen(template_text), "test", &err),
                 LRC_STATUS_OK, "%s", err.message);
    const struct lrc_data_context context = {
        .tokenizer = tokenizer, .template = template, .train_on_inputs = train_on_inputs, .vocab_size = 128
    };
    data_fixture_expect(&context, "chat_template", row, wanted);
    lrc_template_free(template);
    lrc_tokenizer_free(tokenizer);
}

static void expect(const char *row, const char *wanted)
{
    expect_by(chatml, FIXTURE_PLAIN, 0, row, wanted);
}

#define USER "-<|im_start|>-u-s-e-r-\\n"
#define ASSISTANT "-<|im_start|>-a-s-s-i-s-t-a-n-t-\\n"
#define END "-<|im_end|>-\\n"

Test(data_chat, every_assistant_turn_is_trained_up_to_its_end)
{
    expect("{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": "
           "\"A\"},"
           "{\"role\": \"user\", \"content\": \"R\"}, {\"role\": \"assistant\", \"content\": \"B\"}]}",
           USER "-Q" END ASSISTANT "+A+<|im_end|>-\\n" USER "-R" END ASSISTANT "+B+<|im_end|>-\\n");
}

Test(data_chat, sharegpt_names_are_mapped)
{
    expect("{\"conversations\": [{\"from\": \"human\", \"value\": \"Q\"}, {\"from\": \"gpt\", \"value\": "
           "\"A\"}]}",
           USER "-Q" END ASSISTANT "+A+<|im_end|>-\\n");
    expect("{\"conversations\": [{\"from\": \"system\", \"value\": \"S\"}, {\"from\": \"user\", \"value\": "
           "\"Q\"}, {\"from\": \"assistant\", \"value\": \"A\"}]}",
           "-<|im_start|>-s-y-s-t-e-m-\\n-S" END USER "-Q" END ASSISTANT "+A+<|im_end|>-\\n");
    expect("{\"system\": \"S\", \"conversations\": [{\"from\": \"human\", \"value\": \"Q\"}, {\"from\": "
           "\"function_call\", \"value\": \"F\"}, {\"from\": \"observation\", \"value\": \"O\"}]}",
           "-<|im_start|>-s-y-s-t-e-m-\\n-S" END USER "-Q" END ASSISTANT
           "+F+<|im_end|>-\\n-<|im_start|>-t-o-o-l-\\n-O" END);
}

Test(data_chat, turns_can_be_left_untrained)
{
    expect("{\"messages\": [{\"role\": \"assistant\", \"content\": \"A\", \"train\": false}, {\"role\": "
           "\"assistant\", \"content\": \"B\", \"weight\": 0},"
           "{\"role\": \"assistant\", \"content\": \"C\", \"weight\": 1}]}",
           ASSISTANT "-A" END ASSISTANT "-B" END ASSISTANT "+C+<|im_end|>-\\n");
}

Test(data_chat, without_assistant_nothing_is_trained)
{
    expect("{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}]}", USER "-Q" END);
}

Test(data_chat, train_on_inputs_trains_everything)
{
    expect_by(chatml, FIXTURE_PLAIN, 1,
              "{\"messages\": [{\"role\": \"u\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": "
              "\"A\"}]}",
              "+<|im_start|>+u+\\n+Q+<|im_end|>+\\n+<|im_start|>+a+s+s+i+s+t+a+n+t+\\n+A+<|im_end|>+\\n");
}

Test(data_chat, post_processor_adds_nothing)
{
    expect_by(chatml, FIXTURE_BOS, 0, "{\"messages\": [{\"role\": \"assistant\", \"content\": \"A\"}]}",
              ASSISTANT "+A+<|im_end|>-\\n");
}

/* Only " </s>" ends a turn, and BOS is the template's. The prompt's last "a" and the answer's "b" stay two
 * tokens, as they come in generation. */
Test(data_chat, turns_without_markers_are_cut_by_text)
{
    static const char plain[] = "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[{{ "
                                "m['content'] }}a{% else %}{{ m['content'] }}"
                                "{{ eos_token }}{% endif %}{% endfor %}";
    expect_by(plain, FIXTURE_PLAIN, 0,
              "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
              "\"content\": \"by\"}, {\"role\": \"user\", \"content\": \"z\"},"
              " {\"role\": \"assistant\", \"content\": \"\"}]}",
              "-<s>-[-x-a+b+y+</s>-[-z-a+</s>");
}

Test(data_chat, generation_blocks_say_what_is_trained)
{
    static const char marked[] = "{% for m in messages %}{% if m['role'] == 'user' %}[{{ m['content'] }}]{% "
                                 "else %}:{% generation %}{{ m['content'] }}</s>"
                                 "{% endgeneration %}{{ '\\n' }}{% endif %}{% endfor %}";
    expect_by(marked, FIXTURE_PLAIN, 0,
              "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
              "\"content\": \"y\"}, {\"role\": \"assistant\", \"content\": \"z\"}]}",
              "-[-x-]-:+y+</s>-\\n-:+z+</s>-\\n");
}

/* As reasoning models do it: the last answer opens with an empty thought, earlier ones do not. */
Test(data_chat, earlier_turns_may_be_written_otherwise)
{
    static const char reasoning[] =
        "{% for m in messages %}<|im_start|>{{ m['role'][0] }}\n{% if m['role'] == 'assistant' and loop.last "
        "%}{T}{% endif %}{{ m['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>a\n{% endif %}";
    expect_by(reasoning, FIXTURE_PLAIN, 0,
              "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
              "\"content\": \"y\"}, {\"role\": \"user\", \"content\": \"v\"},"
              " {\"role\": \"assistant\", \"content\": \"z\"}]}",
              "-<|im_start|>-u-\\n-x-<|im_end|>-\\n-<|im_start|>-a-\\n+y+<|im_end|>-\\n-<|im_start|>-u-\\n-v-"
              "<|im_end|>-\\n-<|im_start|>-a-\\n+{+T+}+z+<|im_end|>-\\n");
}

/* The prompt for an answer opens a thought that the rows do not have. */
Test(data_chat, prompt_may_go_on_where_the_answer_does_not)
{
    static const char thinking[] =
        "{% for m in messages %}<|im_start|>{{ m['role'][0] }}{{ m['content'] }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>a{T}{% endif %}";
    expect_by(thinking, FIXTURE_PLAIN, 0,
              "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
              "\"content\": \"y\"}, {\"role\": \"user\", \"content\": \"v\"}]}",
              "-<|im_start|>-u-x-</s>-<|im_start|>-a+y+</s>-<|im_start|>-u-v-</s>");
}

/* The end of turn is left out behind the last message: there the end of text is appended. */
Test(data_chat, every_answer_ends)
{
    static const char unended[] =
        "{% for m in messages %}[{{ m['content'] }}{% if not loop.last %}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_end|>\n[{% endif %}";
    static const char rows[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", \"content\": "
        "\"y\"}, "
        "{\"role\": \"user\", \"content\": \"v\"}, {\"role\": \"assistant\", \"content\": \"z\"}]}";
    expect_by(unended, FIXTURE_PLAIN, 0, rows,
              "-[-x-<|im_end|>-\\n-[+y+<|im_end|>-\\n-[-v-<|im_end|>-\\n-[+z+</s>");
    expect_by(unended, FIXTURE_NO_EOS, 0, rows,
              "-[-x-<|im_end|>-\\n-[+y+<|im_end|>-\\n-[-v-<|im_end|>-\\n-[+z");
}

/* The thought of an earlier turn is written closed where the prompt opens one. */
Test(data_chat, history_may_close_what_the_prompt_opens)
{
    static const char closing[] =
        "{% for m in messages %}<|im_start|>{{ m['role'][0] }}{% if m['role'] == 'assistant' %}{/}{% endif %}"
        "{{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}<|im_start|>a{T}{% endif %}";
    expect_by(closing, FIXTURE_PLAIN, 0,
              "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
              "\"content\": \"y\"}]}",
              "-<|im_start|>-u-x-</s>-<|im_start|>-a-{-/-}+y+</s>");
}

/* The system message goes into the last user turn, and only while it is the last: training would lose it. */
Test(data_chat, template_that_loses_the_system_message_is_named)
{
    static const char losing[] =
        "{% for m in messages %}{% if m['role'] == 'user' %}[{% if loop.last %}{{ messages[0]['content'] }}"
        "{% endif %}{{ m['content'] }}]{% elif m['role'] == 'assistant' %}{{ m['content'] }}</s>{% endif "
        "%}{% endfor %}";
    expect_by(losing, FIXTURE_PLAIN, 0,
              "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": "
              "\"x\"}, "
              "{\"role\": \"assistant\", \"content\": \"y\"}]}",
              "the template cannot be split at turn 2: want the text before the turn to open the whole "
              "conversation's text, "
              "got a difference at byte 1");
}

Test(data_chat, template_that_cannot_be_split_is_named)
{
    static const char counted[] =
        "{{ messages|length }}{% for m in messages %}{{ m['content'] }}{% endfor %}";
    expect_by(counted, FIXTURE_PLAIN, 0,
              "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
              "\"content\": \"y\"}]}",
              "the template cannot be split at turn 1: want the text before the turn to open the whole "
              "conversation's text, got a "
              "difference at byte 0");
}

Test(data_chat, tools_may_be_a_text)
{
    static const char with_tools[] =
        "{{ tools[0]['name'] }}{% for m in messages %}[{{ m['content'] }}{% endfor %}";
    expect_by(with_tools, FIXTURE_PLAIN, 0,
              "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"tools\": \"[{\\\"name\\\": "
              "\\\"f\\\"}]\"}",
              "-f-[-x");
    expect_by(with_tools, FIXTURE_PLAIN, 0,
              "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"tools\": [{\"name\": \"f\"}]}",
              "-f-[-x");
}
