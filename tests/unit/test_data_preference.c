/* Rows of `dpo` and `kto`: every shape that TRL, Axolotl and LLaMA-Factory write. */
#include "base/alloc.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data_fixture.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char chatml[] = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
                             "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

struct setup {
    struct lrc_tokenizer *tokenizer;
    struct lrc_template *template;
    struct lrc_data_context context;
};

static void begin(struct setup *s, int kind)
{
    struct lrc_error err;
    s->tokenizer = data_fixture_tokenizer(kind);
    cr_assert_eq(lrc_template_parse(&s->template, chatml, sizeof chatml - 1, "t", &err), LRC_STATUS_OK);
    s->context = (struct lrc_data_context){
        .tokenizer = s->tokenizer, .template = s->template, .vocab_size = 128, .train_on_inputs = 1
    };
}

static void end(struct setup *s)
{
    lrc_template_free(s->template);
    lrc_tokenizer_free(s->tokenizer);
}

static void expect(int kind, const char *format, const char *row, const char *wanted)
{
    struct setup s;
    begin(&s, kind);
    data_fixture_expect(&s.context, format, row, wanted);
    end(&s);
}

#define USER      "-<|im_start|>-u-s-e-r-\\n"
#define ASSISTANT "-<|im_start|>-a-s-s-i-s-t-a-n-t-\\n"
#define END       "-<|im_end|>-\\n"
#define M_USER(x) "{\"role\": \"user\", \"content\": \"" x "\"}"
#define M_BOT(x)  "{\"role\": \"assistant\", \"content\": \"" x "\"}"

Test(data_preference, pair_of_texts)
{
    expect(FIXTURE_PLAIN, "dpo", "{\"prompt\": \"Q\", \"chosen\": \"A\", \"rejected\": \"B\"}",
           "-Q+A+</s>-Q+B+</s>");
    expect(FIXTURE_BOS, "dpo", "{\"prompt\": \"Q\", \"chosen\": \"A\", \"rejected\": \"B\"}",
           "-<s>-Q+A+</s>-<s>-Q+B+</s>");
    expect(FIXTURE_PLAIN, "dpo", "{\"chosen\": \"Q: A\", \"rejected\": \"Q: B\"}",
           "-Q-:+ +A+</s>-Q-:+ +B+</s>");
    expect(FIXTURE_PLAIN, "dpo", "{\"chosen\": \"Q\", \"rejected\": \"QB\"}", "-Q+</s>-Q+B+</s>");
}

Test(data_preference, pair_of_messages)
{
    static const char wanted[] =
        USER "-Q" END ASSISTANT "+A+<|im_end|>-\\n" USER "-Q" END ASSISTANT "+B+<|im_end|>-\\n";
    expect(FIXTURE_PLAIN, "dpo",
           "{\"prompt\": [" M_USER("Q") "], \"chosen\": [" M_BOT("A") "], \"rejected\": [" M_BOT("B") "]}",
           wanted);
    expect(FIXTURE_PLAIN, "dpo",
           "{\"chosen\": [" M_USER("Q") ", " M_BOT("A") "], \"rejected\": [" M_USER("Q") ", " M_BOT("B") "]}",
           wanted);
    expect(FIXTURE_PLAIN, "dpo",
           "{\"prompt\": \"Q\", \"chosen\": [" M_USER("Q") ", " M_BOT("A") "], \"rejected\": [" M_USER(
               "Q") ", " M_BOT("B") "]}",
           wanted);
    expect(FIXTURE_PLAIN, "dpo",
           "{\"messages\": [" M_USER("Q") "], \"chosen\": " M_BOT("A") ", \"rejected\": " M_BOT("B") "}",
           wanted);
    expect(FIXTURE_PLAIN, "dpo",
           "{\"conversations\": [{\"from\": \"human\", \"value\": \"Q\"}], \"chosen\": {\"from\": \"gpt\", "
           "\"value\": \"A\"}, \"rejected\": {\"from\": \"gpt\", \"value\": \"B\"}}",
           wanted);
}

Test(data_preference, answers_in_the_prompt_are_not_trained)
{
    expect(FIXTURE_PLAIN, "dpo",
           "{\"system\": \"S\", \"prompt\": [" M_USER("Q") ", " M_BOT("x") ", " M_USER(
               "R") "], \"chosen\": [" M_BOT("A") "], \"rejected\": [" M_BOT("B") "]}",
           "-<|im_start|>-s-y-s-t-e-m-\\n-S" END USER "-Q" END ASSISTANT "-x" END USER "-R" END ASSISTANT
           "+A+<|im_end|>-\\n"
           "-<|im_start|>-s-y-s-t-e-m-\\n-S" END USER "-Q" END ASSISTANT "-x" END USER "-R" END ASSISTANT
           "+B+<|im_end|>-\\n");
}

Test(data_preference, kto_rows)
{
    expect(FIXTURE_PLAIN, "kto", "{\"prompt\": \"Q\", \"completion\": \"A\", \"label\": true}", "-Q+A+</s>");
    expect(FIXTURE_PLAIN, "kto", "{\"prompt\": \"Q\", \"completion\": \"A\", \"label\": \"False\"}",
           "-Q+A+</s>");
    static const char wanted[] = USER "-Q" END ASSISTANT "-x" END USER "-R" END ASSISTANT "+A+<|im_end|>-\\n";
    expect(FIXTURE_PLAIN, "kto",
           "{\"prompt\": [" M_USER("Q") ", " M_BOT("x") ", " M_USER("R") "], \"completion\": [" M_BOT(
               "A") "], \"label\": false}",
           wanted);
    expect(
        FIXTURE_PLAIN, "kto",
        "{\"messages\": [" M_USER("Q") ", " M_BOT("x") ", " M_USER("R") ", " M_BOT("A") "], \"label\": true}",
        wanted);
}

Test(data_preference, mistakes_are_named)
{
    expect(FIXTURE_PLAIN, "dpo", "{\"prompt\": \"Q\", \"chosen\": \"A\"}",
           "'rejected': want a string, as in the chosen answer, got nothing");
    expect(FIXTURE_PLAIN, "dpo", "{\"prompt\": \"Q\", \"rejected\": \"A\"}",
           "'chosen': want a string or messages, got nothing");
    expect(FIXTURE_PLAIN, "dpo", "{\"prompt\": \"Q\", \"chosen\": [" M_BOT("A") "], \"rejected\": \"B\"}",
           "'rejected': want messages, as in the chosen answer, got a string");
    expect(FIXTURE_PLAIN, "dpo", "{\"prompt\": [" M_USER("Q") "], \"chosen\": \"A\", \"rejected\": \"B\"}",
           "'prompt': want a string, as the answers are, got an array");
    expect(FIXTURE_PLAIN, "dpo",
           "{\"prompt\": [" M_USER("Q") "], \"chosen\": [" M_BOT("A") "], \"rejected\": [{}]}",
           "message 1: 'role': want a string, got nothing");
    expect(FIXTURE_PLAIN, "dpo", "{\"prompt\": [3], \"chosen\": [" M_BOT("A") "], \"rejected\": [{}]}",
           "message 0: want an object, got an integer");
    expect(FIXTURE_PLAIN, "dpo", "{\"prompt\": 3, \"chosen\": [" M_BOT("A") "], \"rejected\": [{}]}",
           "'prompt': want a string or messages, got an integer");
    expect(FIXTURE_PLAIN, "kto", "{\"prompt\": \"Q\", \"completion\": \"A\"}",
           "'label': want true or false, got nothing");
    expect(FIXTURE_PLAIN, "kto", "{\"prompt\": \"Q\", \"completion\": \"A\", \"label\": \"yes\"}",
           "'label': want true or false, got a string");
    expect(FIXTURE_PLAIN, "kto", "{\"completion\": \"A\", \"label\": true}",
           "'prompt': want a string, got nothing");
    expect(FIXTURE_PLAIN, "kto", "{\"prompt\": \"Q\", \"completion\": [" M_BOT("A") "], \"label\": true}",
           "'prompt': want messages, got a string");
    expect(FIXTURE_PLAIN, "kto", "{\"prompt\": \"Q\", \"completion\": 5, \"label\": true}",
           "'completion': want a string or messages, got an integer");
}

Test(data_preference, columns_can_be_mapped)
{
    struct setup                  s;
    const struct lrc_dataset_spec spec = { .field_prompt = "question",
                                           .field_chosen = "good",
                                           .field_rejected = "bad",
                                           .field_label = "ok",
                                           .field_completion = "good" };
    begin(&s, FIXTURE_PLAIN);
    s.context.spec = &spec;
    data_fixture_expect(&s.context, "dpo", "{\"question\": \"Q\", \"good\": \"A\", \"bad\": \"B\"}",
                        "-Q+A+</s>-Q+B+</s>");
    data_fixture_expect(&s.context, "kto", "{\"question\": \"Q\", \"good\": \"A\", \"ok\": true}",
                        "-Q+A+</s>");
    end(&s);
}

/* Pairs as two examples that share a row: "row/id side:tokens>trained" */
static void expect_loaded(const char *rows, enum lrc_excess excess, const char *wanted)
{
    struct setup        s;
    struct lrc_dataset  dataset;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    struct lrc_buf      shown = { 0 };
    char                own[32]; /* tests run side by side */
    (void)snprintf(own, sizeof own, "preference-%d", (int)getpid());
    char                         *path = lrc_path_join(test_folder(own), "r.jsonl");
    const struct lrc_dataset_spec spec = { .path = path };
    begin(&s, FIXTURE_PLAIN);
    const struct lrc_dataset_options options = { .tokenizer = s.tokenizer,
                                                 .template = s.template,
                                                 .sequence_len = 5,
                                                 .excess = excess,
                                                 .max_lost_rows_fraction = 1,
                                                 .vocab_size = 128 };
    cr_assert_eq(lrc_file_write(path, rows, strlen(rows), &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_dataset_load(&dataset, &spec, 1, &options, &problems, &err), LRC_STATUS_OK, "%s",
                 err.message);
    for (int64_t i = 0; i < dataset.n_examples; i++) {
        const struct lrc_example *e = &dataset.examples[i];
        lrc_buf_printf(&shown, "%u/%lld %d:%lld>%lld ", e->row_id,
                       e->id > INT32_MAX ? (long long)e->id - UINT32_MAX : (long long)e->id, (int)e->side,
                       (long long)e->n_tokens, (long long)e->n_trained);
    }
    for (int64_t r = 0; r < dataset.n_rows; r++)
        lrc_buf_printf(&shown, "%d", (int)dataset.rows[r].fate);
    cr_expect_str_eq(lrc_buf_text(&shown), wanted, "got  %s\nwant %s", lrc_buf_text(&shown), wanted);
    lrc_buf_release(&shown);
    lrc_dataset_release(&dataset);
    lrc_problems_release(&problems);
    lrc_free(path);
    end(&s);
}

Test(data_preference, a_pair_is_two_examples_of_one_row)
{
    static const char rows[] = "{\"prompt\": \"Q\", \"chosen\": \"A\", \"rejected\": \"BC\"}\n"
                               "{\"prompt\": \"Q\", \"chosen\": \"A\", \"rejected\": \"BCDEFG\"}\n"
                               "{\"prompt\": \"QRSTU\", \"chosen\": \"A\", \"rejected\": \"BC\"}\n"
                               "{\"prompt\": \"\", \"chosen\": \"\", \"rejected\": \"\"}\n"
                               "{\"prompt\": \"R\", \"chosen\": \"A\", \"rejected\": \"B\"}\n";
    expect_loaded(rows, LRC_EXCESS_DROP, "0/0 1:3>2 0/-1 2:4>3 4/4 1:3>2 4/-2 2:3>2 03350");
    expect_loaded(rows, LRC_EXCESS_SPLIT, "0/0 1:3>2 0/-1 2:4>3 4/4 1:3>2 4/-2 2:3>2 03350");
    expect_loaded(rows, LRC_EXCESS_TRUNCATE,
                  "0/0 1:3>2 0/-1 2:4>3 1/1 1:3>2 1/-2 2:5>4 4/4 1:3>2 4/-3 2:3>2 01450");
}

Test(data_preference, a_label_is_a_side)
{
    expect_loaded("{\"prompt\": \"Q\", \"completion\": \"A\", \"label\": true}\n"
                  "{\"prompt\": \"Q\", \"completion\": \"A\", \"label\": false}\n",
                  LRC_EXCESS_DROP, "0/0 1:3>2 1/1 2:3>2 00");
}
