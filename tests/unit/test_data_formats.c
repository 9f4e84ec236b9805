#include "base/alloc.h"
#include "data/dataset.h"
#include "data_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect(int kind, int train_on_inputs, const char *format, const char *row, const char *wanted)
{
    struct lrc_tokenizer         *tokenizer = data_fixture_tokenizer(kind);
    const struct lrc_data_context context = { .tokenizer = tokenizer,
                                              .train_on_inputs = train_on_inputs,
                                              .vocab_size = 128 };
    data_fixture_expect(&context, format, row, wanted);
    lrc_tokenizer_free(tokenizer);
}

Test(data_formats, completion_trains_everything)
{
    expect(FIXTURE_PLAIN, 0, "completion", "{\"text\": \"xabc\"}", "+x+ab+c+</s>");
}

Test(data_formats, bos_comes_once_and_eos_once)
{
    expect(FIXTURE_BOS, 0, "completion", "{\"text\": \"xy\"}", "-<s>+x+y+</s>");
    expect(FIXTURE_BOS, 0, "prompt_completion", "{\"prompt\": \"x\", \"completion\": \"y\"}",
           "-<s>-x+y+</s>");
    expect(FIXTURE_BOS, 0, "input_output",
           "{\"segments\": [{\"label\": false, \"text\": \"x\"}, {\"label\": true, \"text\": \"y\"}]}",
           "-<s>-x+y");
}

Test(data_formats, prompt_is_not_trained)
{
    expect(FIXTURE_PLAIN, 0, "prompt_completion", "{\"prompt\": \"Q?\", \"completion\": \" A\"}",
           "-Q-?+ +A+</s>");
    expect(FIXTURE_PLAIN, 1, "prompt_completion", "{\"prompt\": \"Q?\", \"completion\": \" A\"}",
           "+Q+?+ +A+</s>");
    expect(FIXTURE_PLAIN, 0, "prompt_completion", "{\"prompt\": \"\", \"completion\": \"A\"}", "+A+</s>");
    expect(FIXTURE_PLAIN, 0, "prompt_completion", "{\"prompt\": \"Q\", \"completion\": \"\"}", "-Q+</s>");
}

Test(data_formats, no_token_crosses_from_prompt_to_completion)
{
    expect(FIXTURE_PLAIN, 0, "prompt_completion", "{\"prompt\": \"xa\", \"completion\": \"bab\"}",
           "-x-a+b+ab+</s>");
}

Test(data_formats, text_is_marked_once_at_its_start)
{
    expect(FIXTURE_MARKED, 0, "prompt_completion", "{\"prompt\": \"x\", \"completion\": \"y\"}",
           "-_-x+y+</s>");
    expect(FIXTURE_MARKED, 0, "input_output",
           "{\"segments\": [{\"label\": false, \"text\": \"x\"}, {\"label\": true, \"text\": \"y\"}, "
           "{\"label\": false, \"text\": \"z\"}]}",
           "-_-x+y-z");
}

static char *as_tokens(const char *text, char sign)
{
    struct lrc_buf out = { 0 };
    for (; *text; text++)
        lrc_buf_printf(&out, *text == '\n' ? "%c\\n" : "%c%c", sign, *text);
    return out.data;
}

static void expect_alpaca(const char *row, const char *prompt, const char *answer)
{
    char          *untrained = as_tokens(prompt, '-'), *trained = as_tokens(answer, '+');
    struct lrc_buf wanted = { 0 };
    lrc_buf_printf(&wanted, "%s%s+</s>", untrained, trained);
    expect(FIXTURE_PLAIN, 0, "alpaca", row, wanted.data);
    lrc_free(untrained);
    lrc_free(trained);
    lrc_buf_release(&wanted);
}

/* The wording has no "ab", so that every character is a token. */
Test(data_formats, alpaca_is_worded_as_published)
{
    expect_alpaca("{\"instruction\": \"Do it.\", \"input\": \"\", \"output\": \"Done.\"}",
                  "Below is an instruction that describes a task. Write a response that appropriately "
                  "completes the request.\n\n"
                  "### Instruction:\nDo it.\n\n### Response:\n",
                  "Done.");
    expect_alpaca("{\"instruction\": \"Do it.\", \"input\": \"Now\", \"output\": \"Done.\"}",
                  "Below is an instruction that describes a task, paired with an input that provides further "
                  "context. Write a "
                  "response that appropriately completes the request.\n\n### Instruction:\nDo it.\n\n### "
                  "Input:\nNow\n\n### Response:\n",
                  "Done.");
}

Test(data_formats, alpaca_input_may_be_left_out)
{
    struct lrc_tokenizer         *tokenizer = data_fixture_tokenizer(FIXTURE_PLAIN);
    const struct lrc_data_context context = { .tokenizer = tokenizer };
    char *absent = data_fixture_encode(&context, "alpaca", "{\"instruction\": \"x\", \"output\": \"y\"}");
    char *null = data_fixture_encode(&context, "alpaca",
                                     "{\"instruction\": \"x\", \"input\": null, \"output\": \"y\"}");
    char *empty = data_fixture_encode(&context, "alpaca",
                                      "{\"instruction\": \"x\", \"input\": \"\", \"output\": \"y\"}");
    cr_assert_str_eq(absent, empty);
    cr_assert_str_eq(null, empty);
    lrc_free(absent);
    lrc_free(null);
    lrc_free(empty);
    lrc_tokenizer_free(tokenizer);
}

Test(data_formats, segments_are_as_labelled_and_nothing_is_added)
{
    expect(FIXTURE_PLAIN, 0, "input_output",
           "{\"segments\": [{\"label\": true, \"text\": \"x</s>\"}, {\"label\": false, \"text\": \"\"}, "
           "{\"label\": false, \"text\": \"ya\"},"
           " {\"label\": true, \"text\": \"b\"}]}",
           "+x+</s>-y-a+b");
}

Test(data_formats, empty_rows_have_no_tokens)
{
    expect(FIXTURE_BOS, 0, "completion", "{\"text\": \"\"}", "");
    expect(FIXTURE_BOS, 0, "prompt_completion", "{\"prompt\": \"\", \"completion\": \"\"}", "");
    expect(FIXTURE_BOS, 0, "alpaca", "{\"instruction\": \"\", \"input\": \"\", \"output\": \"\"}", "");
    expect(FIXTURE_BOS, 0, "input_output", "{\"segments\": []}", "");
    expect(FIXTURE_BOS, 0, "input_output", "{\"segments\": [{\"label\": true, \"text\": \"\"}]}", "");
    expect(FIXTURE_BOS, 0, "chat_template", "{\"messages\": []}", "");
}

Test(data_formats, wrong_columns_are_named)
{
    expect(0, 0, "completion", "{}", "'text': want a string, got nothing");
    expect(0, 0, "completion", "{\"text\": 5}", "'text': want a string, got an integer");
    expect(0, 0, "completion", "{\"text\": null}", "'text': want a string, got null");
    expect(0, 0, "prompt_completion", "{\"prompt\": \"x\"}", "'completion': want a string, got nothing");
    expect(0, 0, "prompt_completion", "{\"prompt\": [], \"completion\": \"\"}",
           "'prompt': want a string, got an array");
    expect(0, 0, "alpaca", "{\"instruction\": \"x\", \"input\": 1, \"output\": \"y\"}",
           "'input': want a string, got an integer");
    expect(0, 0, "alpaca", "{\"instruction\": \"x\"}", "'output': want a string, got nothing");
    expect(0, 0, "input_output", "{\"segments\": {}}",
           "'segments': want an array of {label, text}, got an object");
    expect(0, 0, "input_output", "{\"segments\": [1]}", "'segments'[0]: want an object, got an integer");
    expect(0, 0, "input_output", "{\"segments\": [{\"label\": 1, \"text\": \"\"}]}",
           "'segments'[0]: 'label': want true or false, got an integer");
    expect(0, 0, "input_output", "{\"segments\": [{\"label\": true}]}",
           "'segments'[0]: 'text': want a string, got nothing");
    expect(0, 0, "chat_template", "{}", "'messages': want an array of messages, got nothing");
    expect(0, 0, "chat_template", "{\"messages\": [3]}", "message 0: want an object, got an integer");
    expect(0, 0, "chat_template", "{\"messages\": [{\"role\": \"user\"}]}",
           "message 0: 'content': want a string, got nothing");
    expect(0, 0, "chat_template", "{\"conversations\": [{\"from\": 1, \"value\": \"\"}]}",
           "message 0: 'from': want a string, got an integer");
    expect(0, 0, "chat_template", "{\"messages\": [{\"role\": \"user\", \"content\": \"\"}], \"tools\": {}}",
           "'tools': want an array, got an object");
}

Test(data_formats, eos_is_needed_where_it_is_appended)
{
    static const char sentence[] =
        "tokenizer: want an eos_token to end every text with, got none (without one the model never stops)";
    expect(FIXTURE_NO_EOS, 0, "completion", "{\"text\": \"x\"}", sentence);
    expect(FIXTURE_NO_EOS, 0, "prompt_completion", "{\"prompt\": \"x\", \"completion\": \"y\"}", sentence);
    expect(FIXTURE_NO_EOS, 0, "alpaca", "{\"instruction\": \"x\", \"output\": \"y\"}", sentence);
    expect(FIXTURE_NO_EOS, 0, "input_output", "{\"segments\": [{\"label\": true, \"text\": \"x\"}]}", "+x");
}

Test(data_formats, columns_can_be_renamed)
{
    struct lrc_tokenizer         *tokenizer = data_fixture_tokenizer(FIXTURE_PLAIN);
    const struct lrc_dataset_spec spec = { .field_text = "body",
                                           .field_prompt = "q",
                                           .field_completion = "a" };
    const struct lrc_data_context context = { .tokenizer = tokenizer, .spec = &spec };
    data_fixture_expect(&context, "completion", "{\"body\": \"x\"}", "+x+</s>");
    data_fixture_expect(&context, "prompt_completion", "{\"q\": \"x\", \"a\": \"y\"}", "-x+y+</s>");
    lrc_tokenizer_free(tokenizer);
}

/* Which formats claim a row, in table order. */
static char *claimants(const char *row)
{
    const struct lrc_dataset_spec spec = { 0 };
    struct lrc_buf                names = { 0 };
    json_t                       *json = json_loads(row, 0, NULL);
    cr_assert(json);
    for (const struct lrc_data_format *const *format = lrc_data_format_all; *format; format++)
        if ((*format)->claims(json, &spec))
            lrc_buf_printf(&names, "%s%s", names.len ? " " : "", (*format)->name);
    json_decref(json);
    char *text = lrc_strdup(lrc_buf_text(&names));
    lrc_buf_release(&names);
    return text;
}

Test(data_formats, columns_tell_the_type)
{
    static const char *const cases[][2] = {
        { "{\"text\": \"x\"}", "completion" },
        { "{\"text\": \"x\", \"label\": 3}", "completion" },
        { "{\"prompt\": \"x\", \"completion\": \"y\"}", "prompt_completion" },
        { "{\"instruction\": \"x\", \"input\": \"\", \"output\": \"y\", \"text\": \"all\"}", "alpaca" },
        { "{\"segments\": []}", "input_output" },
        { "{\"messages\": []}", "chat_template" },
        { "{\"conversations\": [], \"tools\": \"[]\", \"id\": 1}", "chat_template" },
        { "{\"input_ids\": [], \"labels\": [], \"attention_mask\": []}", "tokenized" },
        { "{\"prompt\": \"x\", \"completion\": \"y\", \"label\": true}", "kto" },
        { "{\"conversations\": [], \"chosen\": {}, \"rejected\": {}}", "dpo" },
        { "{\"messages\": [], \"label\": false}", "" },
        { "{\"messages\": [{}], \"label\": false}", "kto" },
        { "{\"chosen\": \"x\", \"rejected\": \"y\"}", "dpo" },
        { "{\"prompt\": \"x\", \"chosen\": \"x\", \"rejected\": 1}", "" },
        { "{\"text\": \"x\", \"label\": true}", "" },
        { "{\"text\": 3}", "" },
        { "{}", "" },
        { "{\"text\": \"x\", \"messages\": []}", "chat_template completion" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *names = claimants(cases[i][0]);
        cr_expect_str_eq(names, cases[i][1], "%s: %s", cases[i][0], names);
        lrc_free(names);
    }
}

Test(data_formats, every_format_is_found_by_its_names)
{
    for (const struct lrc_data_format *const *format = lrc_data_format_all; *format; format++) {
        cr_assert_eq(lrc_data_format_find((*format)->name), *format);
        cr_assert(!(*format)->also || lrc_data_format_find((*format)->also) == *format);
        cr_assert((*format)->claims && (*format)->encode);
    }
    cr_assert_eq(lrc_data_format_find("alpca"), NULL);
}
