/* Text rows through the whole loader: from a file to targets. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "data/dataset.h"
#include "data_fixture.h"

#include <criterion/criterion.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char chatml[] = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
                             "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static const struct {
    const char *type, *rows;
} kinds[] = {
    { "alpaca", "{\"instruction\": \"x\", \"input\": \"y\", \"output\": \"z\"}\n" },
    { "chat_template", "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
                       "\"content\": \"y\"}]}\n"
                       "{\"conversations\": [{\"from\": \"human\", \"value\": \"x\"}, {\"from\": \"gpt\", "
                       "\"value\": \"y\"}], \"system\": \"z\"}\n" },
    { "completion", "{\"text\": \"xyz\"}\n" },
    { "input_output",
      "{\"segments\": [{\"label\": false, \"text\": \"xa\"}, {\"label\": true, \"text\": \"by\"}]}\n" },
    { "prompt_completion", "{\"prompt\": \"xa\", \"completion\": \"by\"}\n" },
    { "tokenized", "{\"input_ids\": [1, 2, 3]}\n" },
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

struct setup {
    char                       path[64];
    struct lrc_dataset_spec    spec;
    struct lrc_dataset_options options;
    struct lrc_tokenizer      *tokenizer;
    struct lrc_template *template;
};

static void begin(struct setup *setup, const char *text)
{
    struct lrc_error err;
    *setup =
        (struct setup){ .path = "/tmp/lrc_load_XXXXXX", .tokenizer = data_fixture_tokenizer(FIXTURE_PLAIN) };
    const int fd = mkstemp(setup->path);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(lrc_file_write(setup->path, text, strlen(text), &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_template_parse(&setup->template, chatml, strlen(chatml), "test", &err), LRC_STATUS_OK,
                 "%s", err.message);
    setup->spec.path = setup->path;
    setup->options = (struct lrc_dataset_options){ .tokenizer = setup->tokenizer,
                                                   .template = setup->template,
                                                   .sequence_len = 512,
                                                   .max_lost_rows_fraction = 1,
                                                   .vocab_size = 128 };
}

static void finish(struct setup *setup)
{
    lrc_tokenizer_free(setup->tokenizer);
    lrc_template_free(setup->template);
    unlink(setup->path);
}

Test(data_load, every_type_is_found_and_loaded)
{
    for (int i = 0; i < N_KINDS; i++) {
        struct setup             setup;
        struct lrc_dataset       found = { 0 }, named = { 0 };
        struct lrc_problems      problems = { 0 };
        struct lrc_error         err;
        struct lrc_dataset_needs needs;
        begin(&setup, kinds[i].rows);
        cr_assert_eq(lrc_dataset_load(&found, &setup.spec, 1, &setup.options, &problems, &err), LRC_STATUS_OK,
                     "%s: %s", kinds[i].type, err.message);
        setup.spec.type = kinds[i].type;
        cr_assert_eq(lrc_dataset_load(&named, &setup.spec, 1, &setup.options, &problems, &err), LRC_STATUS_OK,
                     "%s", err.message);
        cr_assert_eq(found.n_ids, named.n_ids);
        cr_assert_eq(memcmp(found.ids, named.ids, (size_t)found.n_ids * sizeof *found.ids), 0);
        cr_assert_eq(memcmp(found.targets, named.targets, (size_t)found.n_ids * sizeof *found.targets), 0);
        cr_assert_eq(lrc_dataset_needs(&needs, &setup.spec, 1, &err), LRC_STATUS_OK);
        cr_assert_eq(needs.tokenizer, strcmp(kinds[i].type, "tokenized") != 0);
        cr_assert_eq(needs.template, strcmp(kinds[i].type, "chat_template") == 0);
        lrc_dataset_release(&found);
        lrc_dataset_release(&named);
        lrc_problems_release(&problems);
        finish(&setup);
    }
}

Test(data_load, missing_tokenizer_and_template_are_named)
{
    for (int i = 0; i < N_KINDS; i++) {
        const struct lrc_data_format *format = lrc_data_format_find(kinds[i].type);
        struct setup                  setup;
        struct lrc_dataset            dataset;
        struct lrc_problems           problems = { 0 };
        struct lrc_error              err;
        begin(&setup, kinds[i].rows);
        setup.options.template = NULL;
        cr_assert_eq(lrc_dataset_load(&dataset, &setup.spec, 1, &setup.options, &problems, &err),
                     format->needs_template ? LRC_STATUS_CONFIG : LRC_STATUS_OK);
        lrc_dataset_release(&dataset);
        setup.options.tokenizer = NULL;
        cr_assert_eq(lrc_dataset_load(&dataset, &setup.spec, 1, &setup.options, &problems, &err),
                     format->needs_tokenizer ? LRC_STATUS_CONFIG : LRC_STATUS_OK);
        lrc_dataset_release(&dataset);
        finish(&setup);
    }
}

Test(data_load, columns_of_several_types_are_an_error)
{
    struct setup        setup;
    struct lrc_dataset  dataset;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    begin(&setup, "{\"text\": \"x\", \"messages\": []}");
    cr_assert_eq(lrc_dataset_load(&dataset, &setup.spec, 1, &setup.options, &problems, &err),
                 LRC_STATUS_CONFIG);
    cr_assert(strstr(err.message, "fit several types: chat_template, completion; want type: one of them"),
              "%s", err.message);
    finish(&setup);
}

Test(data_load, ids_beyond_the_model_are_a_problem)
{
    struct setup        setup;
    struct lrc_dataset  dataset;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    begin(&setup, "{\"text\": \"AB\"}\n{\"text\": \"Az\"}");
    setup.options.vocab_size = 'z';
    cr_assert_eq(lrc_dataset_load(&dataset, &setup.spec, 1, &setup.options, &problems, &err),
                 LRC_STATUS_DATA);
    cr_assert(strstr(problems.text.data,
                     ":2: token 1: want an id below the model's vocabulary size 122, got 122\n"),
              "%s", problems.text.data);
    lrc_problems_release(&problems);
    finish(&setup);
}

Test(data_load, threads_do_not_change_the_result)
{
    struct setup        setup;
    struct lrc_dataset  one, many;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    struct lrc_buf      text = { 0 };
    for (int r = 0; r < 2000; r++)
        lrc_buf_printf(&text, "{\"prompt\": \"%d%s\", \"completion\": \"%d\"}\n", r * r, r % 3 ? "a" : "", r);
    begin(&setup, text.data);
    omp_set_num_threads(1);
    cr_assert_eq(lrc_dataset_load(&one, &setup.spec, 1, &setup.options, &problems, &err), LRC_STATUS_OK, "%s",
                 err.message);
    omp_set_num_threads(4);
    cr_assert_eq(lrc_dataset_load(&many, &setup.spec, 1, &setup.options, &problems, &err), LRC_STATUS_OK,
                 "%s", err.message);
    cr_assert_eq(one.n_ids, many.n_ids);
    cr_assert_eq(one.n_examples, 2000);
    cr_assert_eq(memcmp(one.ids, many.ids, (size_t)one.n_ids * sizeof *one.ids), 0);
    cr_assert_eq(memcmp(one.targets, many.targets, (size_t)one.n_ids * sizeof *one.targets), 0);
    for (int r = 0; r < 2000; r++) {
        cr_assert_eq(one.examples[r].first, many.examples[r].first);
        cr_assert_eq(one.examples[r].n_trained, many.examples[r].n_trained);
        cr_assert_eq(one.examples[r].row_id, (uint32_t)r);
        cr_assert_eq(many.examples[r].row_id, (uint32_t)r);
    }
    lrc_dataset_release(&one);
    lrc_dataset_release(&many);
    lrc_buf_release(&text);
    finish(&setup);
}

static struct lrc_buf warned;

static void remember_warnings(enum lrc_log_level level, const char *line)
{
    if (level == LRC_LOG_WARN)
        lrc_buf_puts(&warned, line);
}

static const char *warnings_of(const char *template_text, int kind, const char *rows)
{
    struct setup        setup;
    struct lrc_dataset  dataset;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    begin(&setup, rows);
    lrc_tokenizer_free(setup.tokenizer);
    setup.options.tokenizer = setup.tokenizer = data_fixture_tokenizer(kind);
    lrc_template_free(setup.template);
    cr_assert_eq(lrc_template_parse(&setup.template, template_text, strlen(template_text), "test", &err),
                 LRC_STATUS_OK, "%s", err.message);
    setup.options.template = setup.template;
    lrc_buf_clear(&warned);
    lrc_log_set_sink(remember_warnings);
    cr_assert_eq(lrc_dataset_load(&dataset, &setup.spec, 1, &setup.options, &problems, &err), LRC_STATUS_OK,
                 "%s", err.message);
    lrc_log_set_sink(NULL);
    lrc_dataset_release(&dataset);
    finish(&setup);
    return lrc_buf_text(&warned);
}

Test(data_load, template_without_an_end_of_turn_is_warned_of)
{
    static const char endless[] = "{% for m in messages %}[{{ m['content'] }}{% endfor %}";
    cr_assert_str_eq(warnings_of(chatml, FIXTURE_PLAIN, kinds[1].rows), "");
    cr_assert_str_eq(warnings_of(chatml, FIXTURE_PLAIN, kinds[0].rows), "");
    cr_assert_str_eq(warnings_of(endless, FIXTURE_PLAIN, kinds[1].rows), "", "the end of text is appended");
    cr_assert(strstr(warnings_of(endless, FIXTURE_NO_EOS, kinds[1].rows),
                     "no trained turn ends with a special token"));
    lrc_buf_release(&warned);
}

static atomic_int           n_allocations, fail_at;
static struct lrc_allocator real;

static void *counted_allocate(size_t size_bytes)
{
    return atomic_fetch_add(&n_allocations, 1) == fail_at ? NULL : real.allocate(size_bytes);
}

static void *counted_reallocate(void *memory, size_t size_bytes)
{
    return atomic_fetch_add(&n_allocations, 1) == fail_at ? NULL : real.reallocate(memory, size_bytes);
}

static void load_with_faults(const char *type, const char *rows)
{
    struct setup        setup;
    struct lrc_dataset  dataset;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    begin(&setup, rows);
    setup.spec.type = type;
    omp_set_num_threads(1);
    for (int i = 0;; i++) {
        n_allocations = 0;
        fail_at = i;
        lrc_allocator.allocate = counted_allocate;
        lrc_allocator.reallocate = counted_reallocate;
        const enum lrc_status status =
            lrc_dataset_load(&dataset, &setup.spec, 1, &setup.options, &problems, &err);
        lrc_allocator = real;
        lrc_dataset_release(&dataset);
        if (status == LRC_STATUS_OK && n_allocations <= i)
            break;
        cr_assert(status == LRC_STATUS_NOMEM || status == LRC_STATUS_OK, "%s, allocation %d: %s", type, i,
                  err.message);
    }
    finish(&setup);
}

/* A log line is the only thing that may go without its memory: then the load is OK. */
Test(data_load, every_allocation_may_fail_fault)
{
    real = lrc_allocator;
    for (int i = 0; i < N_KINDS; i++)
        load_with_faults(kinds[i].type, kinds[i].rows);
}

struct published {
    const char *file, *type; /* type by the columns when NULL */
    int64_t     n_rows;
};

/* Public data sets with the demo model's tokenizer: every row is accounted for and something is trained in
 * each kept one. */
static void load_published(const char *assets, const struct published *set)
{
    struct lrc_error      err;
    struct lrc_problems   problems = { 0 };
    struct lrc_dataset    dataset;
    struct lrc_tokenizer *tokenizer;
    struct lrc_template *template;
    char                         *path = lrc_path_join(assets, set->file);
    const struct lrc_dataset_spec spec = { .path = path, .type = set->type };
    if (!lrc_path_exists(path))
        cr_skip_test("%s is not there", path);
    cr_assert_eq(lrc_tokenizer_load(&tokenizer, LRC_SOURCE_DIR "/datasets/demo-base", &err), LRC_STATUS_OK,
                 "%s", err.message);
    cr_assert_eq(lrc_template_load(&template, NULL, LRC_SOURCE_DIR "/datasets/demo-base", &err),
                 LRC_STATUS_OK, "%s", err.message);
    const struct lrc_dataset_options options = { .tokenizer = tokenizer,
                                                 .template = template,
                                                 .sequence_len = 1024,
                                                 .excess = LRC_EXCESS_TRUNCATE,
                                                 .max_lost_rows_fraction = 1,
                                                 .vocab_size = lrc_tokenizer_n_ids(tokenizer) };
    cr_assert_eq(lrc_dataset_load(&dataset, &spec, 1, &options, &problems, &err), LRC_STATUS_OK, "%s\n%s",
                 err.message, lrc_buf_text(&problems.text));
    cr_assert_eq(dataset.n_rows, set->n_rows);
    cr_assert_eq(dataset.tally[LRC_ROW_KEPT] + dataset.tally[LRC_ROW_TRUNCATED], dataset.n_examples);
    cr_assert_geq(dataset.n_examples, set->n_rows * 9 / 10);
    for (int64_t i = 0; i < dataset.n_examples; i++)
        cr_assert_gt(dataset.examples[i].n_trained, 0);
    lrc_dataset_release(&dataset);
    lrc_template_free(template);
    lrc_tokenizer_free(tokenizer);
    lrc_free(path);
}

static void print_log(enum lrc_log_level level, const char *line)
{
    (void)level;
    cr_log_info("%s", line);
}

Test(data_load, published_data_sets_are_read)
{
    static const struct published sets[] = {
        { "ml-explore+mlx-examples/lora/data/train.jsonl", NULL, 1000 },
        { "ml-explore+mlx-examples/lora/data/valid.jsonl", "completion", 100 },
        { "lm-sys+FastChat/data/dummy_conversation.json", NULL, 500 },
        { "hiyouga+LLaMA-Factory/data/glaive_toolcall_en_demo.json", NULL, 300 },
        { "hiyouga+LLaMA-Factory/data/kto_en_demo.json", "chat_template", 300 },
        { "rasbt+LLMs-from-scratch/ch07/01_main-chapter-code/instruction-data.json", NULL, 1100 },
    };
    const char *assets = getenv("LRC_ASSETS");
    if (!assets)
        cr_skip_test("LRC_ASSETS is not set");
    lrc_log_set_sink(print_log);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        load_published(assets, &sets[i]);
    lrc_log_set_sink(NULL);
}
