/* What becomes of rows: split, duplicate, masked; and the ledger that says so. */
#include "base/alloc.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data/ledger.h"
#include "data_fixture.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct setup {
    const char                *dir;
    char                       path[1100];
    struct lrc_dataset_spec    spec;
    struct lrc_dataset_options options;
    struct lrc_dataset         dataset;
    struct lrc_problems        problems;
    struct lrc_error           err;
};

static void begin(struct setup *setup, const char *name, const char *rows)
{
    *setup = (struct setup){ .dir = test_folder(name) };
    (void)snprintf(setup->path, sizeof setup->path, "%s/r.jsonl", setup->dir);
    cr_assert_eq(lrc_file_write(setup->path, rows, strlen(rows), &setup->err), LRC_STATUS_OK, "%s",
                 setup->err.message);
    setup->spec.path = setup->path;
    setup->options =
        (struct lrc_dataset_options){ .sequence_len = 4, .max_lost_rows_fraction = 1, .vocab_size = 100 };
}

static enum lrc_status load(struct setup *setup)
{
    lrc_dataset_release(&setup->dataset);
    return lrc_dataset_load(&setup->dataset, &setup->spec, 1, &setup->options, &setup->problems, &setup->err);
}

static void finish(struct setup *setup)
{
    struct lrc_error err;
    lrc_dataset_release(&setup->dataset);
    lrc_problems_release(&setup->problems);
    cr_assert_eq(lrc_dir_remove(setup->dir, &err), LRC_STATUS_OK, "%s", err.message);
}

/* Examples as "row:ids>targets". */
static void expect_examples(const struct lrc_dataset *dataset, const char *wanted)
{
    struct lrc_buf shown = { 0 };
    for (int64_t e = 0; e < dataset->n_examples; e++) {
        const struct lrc_example *example = &dataset->examples[e];
        lrc_buf_printf(&shown, "%s%u:", e ? " " : "", example->row_id);
        for (int64_t i = 0; i < example->n_tokens; i++)
            lrc_buf_printf(&shown, "%s%d", i ? "," : "", dataset->ids[example->first + i]);
        for (int64_t i = 0; i < example->n_tokens; i++)
            lrc_buf_printf(&shown, "%s%d", i ? "," : ">", dataset->targets[example->first + i]);
    }
    cr_expect_str_eq(lrc_buf_text(&shown), wanted, "got  %s\nwant %s", lrc_buf_text(&shown), wanted);
    lrc_buf_release(&shown);
}

static const char long_rows[] = "{\"input_ids\": [1,2,3,4]}\n"
                                "{\"input_ids\": [1,2,3,4,5,6,7,8,9]}\n"
                                "{\"input_ids\": [1,2,3,4,5,6], \"labels\": [-100,-100,-100,-100,5,6]}\n"
                                "{\"input_ids\": [1,2,3,4,5], \"labels\": [-100,-100,-100,-100,5]}\n";

Test(data_fates, long_rows_are_split_into_documents)
{
    struct setup setup;
    begin(&setup, "fates-split", long_rows);
    setup.options.excess = LRC_EXCESS_SPLIT;
    cr_assert_eq(load(&setup), LRC_STATUS_OK, "%s", setup.err.message);
    expect_examples(&setup.dataset, "0:1,2,3,4>2,3,4,-1 1:1,2,3,4>2,3,4,-1 1:5,6,7,8>6,7,8,-1 2:5,6>6,-1");
    cr_expect_eq(setup.dataset.tally[LRC_ROW_SPLIT], 2);
    cr_expect_eq(setup.dataset.tally[LRC_ROW_NO_TARGET], 1, "a piece's first token is no target");
    cr_expect_eq(setup.dataset.rows[1].n_examples, 2);
    cr_expect_eq(setup.dataset.rows[1].n_tokens, 9);
    cr_expect_eq(setup.dataset.rows[1].n_kept, 8);
    cr_expect_eq(setup.dataset.n_tokens, 14);
    cr_expect_eq(setup.dataset.n_trained, 10);
    cr_expect_eq(setup.dataset.longest, 4);
    setup.options.max_lost_rows_fraction = 0.25;
    cr_expect_eq(load(&setup), LRC_STATUS_OK, "split rows are not lost");
    setup.options.keep_untrained = 1;
    cr_assert_eq(load(&setup), LRC_STATUS_OK);
    cr_expect_eq(setup.dataset.n_examples, 8);
    finish(&setup);
}

Test(data_fates, pieces_of_a_row_are_held_out_together)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct setup       setup;
        struct lrc_dataset held_out;
        begin(&setup, "fates-held", long_rows);
        setup.options.excess = LRC_EXCESS_SPLIT;
        cr_assert_eq(load(&setup), LRC_STATUS_OK);
        cr_assert_eq(lrc_dataset_split(&setup.dataset, &held_out, 1, 1, seed, &setup.err), LRC_STATUS_OK);
        cr_assert_eq(setup.dataset.n_examples + held_out.n_examples, 4);
        for (int64_t i = 0; i < held_out.n_examples; i++)
            cr_assert_eq(held_out.examples[i].row_id, held_out.examples[0].row_id);
        cr_assert_eq(held_out.n_examples, held_out.examples[0].row_id == 1 ? 2 : 1);
        for (int64_t i = 0; i < setup.dataset.n_examples; i++)
            cr_assert_neq(setup.dataset.examples[i].row_id, held_out.examples[0].row_id);
        cr_assert_eq(lrc_dataset_split(&setup.dataset, &(struct lrc_dataset){ 0 }, 2, 1, seed, &setup.err),
                     LRC_STATUS_CONFIG);
        lrc_dataset_release(&held_out);
        finish(&setup);
    }
}

static const char equal_rows[] = "{\"input_ids\": [1,2,3]}\n"
                                 "{\"input_ids\": [1,2]}\n"
                                 "{\"input_ids\": [1,2,3], \"labels\": [-100,-100,3]}\n"
                                 "{\"input_ids\": [1,2,3]}\n"
                                 "{\"input_ids\": [1,2,3], \"labels\": [1,2,3]}\n"
                                 "{\"input_ids\": [1,2], \"labels\": [-100,-100]}\n"
                                 "{\"input_ids\": [1,2]}\n";

Test(data_fates, duplicates_are_dropped_on_request_only)
{
    struct setup setup;
    begin(&setup, "fates-equal", equal_rows);
    cr_assert_eq(load(&setup), LRC_STATUS_OK);
    cr_expect_eq(setup.dataset.n_examples, 6);
    setup.options.drop_duplicates = 1;
    setup.options.max_lost_rows_fraction = 0.2;
    cr_assert_eq(load(&setup), LRC_STATUS_OK, "duplicates are not lost: %s", setup.err.message);
    expect_examples(&setup.dataset, "0:1,2,3>2,3,-1 1:1,2>2,-1 2:1,2,3>-1,3,-1");
    cr_expect_eq(setup.dataset.tally[LRC_ROW_DUPLICATE], 3);
    cr_expect_eq(setup.dataset.tally[LRC_ROW_NO_TARGET], 1);
    cr_expect_eq(setup.dataset.n_tokens, 8);
    finish(&setup);
}

Test(data_fates, duplicates_among_many_rows_are_found)
{
    struct setup   setup;
    struct lrc_buf rows = { 0 };
    for (int i = 0; i < 6000; i++)
        lrc_buf_printf(&rows, "{\"input_ids\": [%d,%d,%d]}\n", i % 2500 / 100, i % 100, 7);
    begin(&setup, "fates-many", rows.data);
    setup.options.drop_duplicates = 1;
    cr_assert_eq(load(&setup), LRC_STATUS_OK);
    cr_expect_eq(setup.dataset.n_examples, 2500);
    cr_expect_eq(setup.dataset.tally[LRC_ROW_DUPLICATE], 3500);
    for (int64_t i = 0; i < 2500; i++)
        cr_assert_eq(setup.dataset.examples[i].row_id, (uint32_t)i);
    lrc_buf_release(&rows);
    finish(&setup);
}

Test(data_fates, mostly_masked_rows_are_an_error_when_checked)
{
    static const char masked[] = "{\"input_ids\": [1,2]}\n"
                                 "{\"input_ids\": [1,2], \"labels\": [-100,-100]}\n"
                                 "{\"input_ids\": [1,2], \"labels\": [1,-100]}\n";
    struct setup      setup;
    begin(&setup, "fates-masked", masked);
    cr_assert_eq(load(&setup), LRC_STATUS_OK);
    setup.options.check_masks = 1;
    cr_assert_eq(load(&setup), LRC_STATUS_DATA);
    cr_expect_str_eq(setup.err.message,
                     "data: want a trained token in at least half of the rows, got none in 2 of 3; are type, "
                     "roles_to_train and sequence_len right? (with max_lost_rows_fraction given, its limit "
                     "counts instead)");
    setup.options.keep_untrained = 1;
    cr_expect_eq(load(&setup), LRC_STATUS_OK);
    finish(&setup);
    begin(&setup, "fates-masked", "{\"input_ids\": [1,2]}\n{\"input_ids\": [1]}\n");
    setup.options.check_masks = 1;
    cr_expect_eq(load(&setup), LRC_STATUS_OK, "half is not more than half");
    finish(&setup);
}

Test(data_fates, a_classification_is_no_preference)
{
    struct setup setup;
    begin(&setup, "fates-preference", "{\"text\": \"a\", \"label\": true}");
    cr_expect_eq(load(&setup), LRC_STATUS_CONFIG);
    finish(&setup);
}

static void expect_file(const char *path, const char *wanted)
{
    struct lrc_buf   text = { 0 };
    struct lrc_error err;
    cr_assert_eq(lrc_file_read(&text, path, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_str_eq(lrc_buf_text(&text), wanted, "got\n%swant\n%s", lrc_buf_text(&text), wanted);
    lrc_buf_release(&text);
}

Test(data_fates, ledger_has_a_line_for_every_row)
{
    struct setup             setup;
    struct lrc_dataset       held_out;
    char                     ledger[1100];
    struct lrc_buf           wanted = { 0 };
    static const char *const ends[] = {
        "1, \"set\": \"training\", \"fate\": \"kept\", \"examples\": 1, \"tokens\": 4, \"kept_tokens\": 4, "
        "\"trained_tokens\": 3}",
        "2, \"set\": \"training\", \"fate\": \"truncated to sequence_len\", \"examples\": 1, \"tokens\": 9, "
        "\"kept_tokens\": 4, \"trained_tokens\": 3}",
        "3, \"set\": \"training\", \"fate\": \"dropped: no trained token\", \"examples\": 0, \"tokens\": 6, "
        "\"kept_tokens\": 0, \"trained_tokens\": 0}",
        "4, \"set\": \"training\", \"fate\": \"dropped: empty\", \"examples\": 0, \"tokens\": 0, "
        "\"kept_tokens\": 0, "
        "\"trained_tokens\": 0}",
        "6, \"set\": \"held out\", \"fate\": \"kept\", \"examples\": 1, \"tokens\": 2, \"kept_tokens\": 2, "
        "\"trained_tokens\": 1}",
    };
    begin(&setup, "fates-ledger",
          "{\"input_ids\": [1,2,3,4]}\n"
          "{\"input_ids\": [1,2,3,4,5,6,7,8,9]}\n"
          "{\"input_ids\": [1,2,3,4,5,6], \"labels\": [-100,-100,-100,-100,5,6]}\n"
          "{\"input_ids\": []}\n\n{\"input_ids\": [1, 2]}\n");
    setup.options.excess = LRC_EXCESS_TRUNCATE;
    cr_assert_eq(load(&setup), LRC_STATUS_OK);
    cr_assert_eq(lrc_dataset_split(&setup.dataset, &held_out, 1, 0, 0, &setup.err), LRC_STATUS_OK);
    (void)snprintf(ledger, sizeof ledger, "%s/rows.jsonl", setup.dir);
    cr_assert_eq(lrc_ledger_write(ledger, &setup.dataset, &held_out, &setup.err), LRC_STATUS_OK, "%s",
                 setup.err.message);
    for (int i = 0; i < 5; i++)
        lrc_buf_printf(&wanted, "{\"row\": %d, \"file\": \"%s\", \"line\": %s\n", i, setup.path, ends[i]);
    expect_file(ledger, wanted.data);
    lrc_dataset_release(&held_out);

    /* held-out files of their own follow with row numbers of their own */
    cr_assert_eq(lrc_dataset_load(&held_out, &setup.spec, 1, &setup.options, &setup.problems, &setup.err),
                 LRC_STATUS_OK);
    cr_assert_eq(lrc_ledger_write(ledger, &(struct lrc_dataset){ 0 }, &held_out, &setup.err), LRC_STATUS_OK);
    lrc_buf_clear(&wanted);
    cr_assert_eq(lrc_file_read(&wanted, ledger, &setup.err), LRC_STATUS_OK);
    cr_expect(strstr(wanted.data, "{\"row\": 0, ") && strstr(wanted.data, "{\"row\": 4, "));
    cr_expect_eq(strstr(wanted.data, "\"training\""), NULL);
    lrc_dataset_release(&held_out);
    lrc_buf_release(&wanted);
    finish(&setup);
}

static int n_lines(const char *path)
{
    struct lrc_buf   text = { 0 };
    struct lrc_error err;
    int              n = 0;
    cr_assert_eq(lrc_file_read(&text, path, &err), LRC_STATUS_OK, "%s", err.message);
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    lrc_buf_release(&text);
    return n;
}

/* Or a whole new one, when what failed was to sync its folder. */
Test(data_fates, a_failed_ledger_leaves_the_old_one_fault)
{
    struct setup       setup;
    struct lrc_dataset held_out;
    char               ledger[1100];
    begin(&setup, "fates-fault", long_rows);
    cr_assert_eq(load(&setup), LRC_STATUS_OK);
    cr_assert_eq(lrc_dataset_split(&setup.dataset, &held_out, 0, 0, 0, &setup.err), LRC_STATUS_OK);
    (void)snprintf(ledger, sizeof ledger, "%s/rows.jsonl", setup.dir);
    cr_assert_eq(lrc_file_write(ledger, "old", 3, &setup.err), LRC_STATUS_OK);
    for (int i = 0;; i++) {
        test_alloc_fail_at(i);
        const enum lrc_status status = lrc_ledger_write(ledger, &setup.dataset, &held_out, &setup.err);
        const int64_t         live = test_alloc_live();
        test_alloc_restore();
        cr_assert_eq(live, 0, "allocation %d", i);
        if (status == LRC_STATUS_OK) {
            cr_assert_eq(n_lines(ledger), 4);
            cr_assert_geq(i, 4);
            break;
        }
        cr_assert_eq(status, LRC_STATUS_NOMEM);
        if (n_lines(ledger) != 4)
            expect_file(ledger, "old");
    }
    cr_assert_neq(lrc_ledger_write("/nowhere/rows.jsonl", &setup.dataset, &held_out, &setup.err),
                  LRC_STATUS_OK);
    lrc_dataset_release(&held_out);
    finish(&setup);
}

Test(data_fates, every_allocation_may_fail_with_everything_on_fault)
{
    struct setup setup;
    begin(&setup, "fates-load-fault", long_rows);
    setup.spec.type = "tokenized";
    setup.options.excess = LRC_EXCESS_SPLIT;
    setup.options.drop_duplicates = 1;
    for (int i = 0;; i++) {
        test_alloc_fail_at(i);
        const enum lrc_status status = load(&setup);
        if (status == LRC_STATUS_OK)
            lrc_dataset_release(&setup.dataset);
        const int64_t live = test_alloc_live();
        test_alloc_restore();
        cr_assert_eq(live, 0, "allocation %d: %s", i, setup.err.message);
        if (status == LRC_STATUS_OK && i > 60)
            break;
        cr_assert(status == LRC_STATUS_NOMEM || status == LRC_STATUS_OK, "allocation %d: %s", i,
                  setup.err.message);
    }
    finish(&setup);
}

static const char chatml[] = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
                             "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
static const char marked[] =
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}|"
    "{% endgeneration %}{% else %}[{{ m['content'] }}]{% endif %}{% endfor %}";

static void expect_talk(const char *template_text, const char *const *roles, int n_roles, const char *row,
                        const char *wanted)
{
    struct lrc_error err;
    struct lrc_template *template;
    struct lrc_tokenizer  *tokenizer = data_fixture_tokenizer(FIXTURE_PLAIN);
    const char            *items[4];
    struct lrc_string_list list = { .items = items, .n = n_roles };
    for (int i = 0; i < n_roles; i++)
        items[i] = roles[i];
    cr_assert_eq(lrc_template_parse(&template, template_text, strlen(template_text), "test", &err),
                 LRC_STATUS_OK, "%s", err.message);
    const struct lrc_data_context context = {
        .tokenizer = tokenizer, .template = template, .roles_to_train = &list, .vocab_size = 128
    };
    data_fixture_expect(&context, "chat_template", row, wanted);
    lrc_template_free(template);
    lrc_tokenizer_free(tokenizer);
}

static const char talk[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
    "\"content\": \"y\"}, {\"role\": \"user\", \"content\": \"z\"}]}";
#define HEAD(role) "-<|im_start|>" role "-\\n"
#define USER       "-u-s-e-r"
#define ASSISTANT  "-a-s-s-i-s-t-a-n-t"

Test(data_fates, roles_to_train_choose_the_turns)
{
    static const char *const user[] = { "user" }, *const both[] = { "gpt", "human" },
                             *const none[] = { "tool" };
    expect_talk(
        chatml, NULL, 0, talk,
        HEAD(USER) "-x-<|im_end|>-\\n" HEAD(ASSISTANT) "+y+<|im_end|>-\\n" HEAD(USER) "-z-<|im_end|>-\\n");
    expect_talk(
        chatml, user, 1, talk,
        HEAD(USER) "+x+<|im_end|>-\\n" HEAD(ASSISTANT) "-y-<|im_end|>-\\n" HEAD(USER) "+z+<|im_end|>-\\n");
    expect_talk(
        chatml, both, 2, talk,
        HEAD(USER) "+x+<|im_end|>-\\n" HEAD(ASSISTANT) "+y+<|im_end|>-\\n" HEAD(USER) "+z+<|im_end|>-\\n");
    expect_talk(
        chatml, none, 1, talk,
        HEAD(USER) "-x-<|im_end|>-\\n" HEAD(ASSISTANT) "-y-<|im_end|>-\\n" HEAD(USER) "-z-<|im_end|>-\\n");
}

Test(data_fates, what_a_message_says_goes_before_generation_blocks)
{
    static const char *const user[] = { "user" };
    expect_talk(marked, NULL, 0, talk, "-[-x-]+y+|-[-z-]");
    expect_talk(marked, user, 1, talk, "-[+x-]-y-|-[+z-]");
    expect_talk(
        marked, NULL, 0,
        "{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\", \"weight\": 0}, {\"role\": \"user\", "
        "\"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"y\"}]}",
        "-x-|-[-q-]+y+|+</s>");
}

Test(data_fates, text_parts_of_a_message_are_joined)
{
    expect_talk(marked, NULL, 0,
                "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"x\"}, "
                "{\"type\": "
                "\"text\", \"text\": \"z\"}]}, {\"role\": \"assistant\", \"content\": [{\"type\": \"text\", "
                "\"text\": \"y\"}]}]}",
                "-[-x-z-]+y+|");
    expect_talk(
        marked, NULL, 0,
        "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"x\"}]}]}",
        "message 0: 'content'[0]: want {\"type\": \"text\", \"text\": a string}, got type 'image'");
    expect_talk(marked, NULL, 0, "{\"messages\": [{\"role\": \"user\", \"content\": [\"x\"]}]}",
                "message 0: 'content'[0]: want {\"type\": \"text\", \"text\": a string}, got a string");
}
