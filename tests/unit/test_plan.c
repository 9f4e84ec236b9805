/* What a run plans is what it takes: to the byte, whatever is asked for. */
#include "base/arena.h"
#include "base/file.h"
#include "support.h"
#include "train/train.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static int64_t committed_while_training;

static void look(int64_t done, int64_t total, double tokens_per_second, double loss)
{
    (void)done;
    (void)total;
    (void)tokens_per_second;
    (void)loss;
    committed_while_training = lrc_arena_committed_bytes();
}

static void write_rows(const char *dir)
{
    char             path[512];
    struct lrc_buf   text = { 0 };
    struct lrc_error err;
    for (int r = 0; r < 9; r++) {
        lrc_buf_puts(&text, "{\"input_ids\": [3");
        for (int i = 0; i < 5 + 3 * r; i++)
            lrc_buf_printf(&text, ", %d", 3 + (7 * r + 13 * i) % 60);
        lrc_buf_puts(&text, "]}\n");
    }
    (void)snprintf(path, sizeof path, "%s/rows.jsonl", dir);
    cr_assert_eq(lrc_file_write(path, text.data, text.len, &err), LRC_STATUS_OK, "%s", err.message);
    (void)snprintf(path, sizeof path, "%s/c.yaml", dir);
    lrc_buf_clear(&text);
    lrc_buf_printf(&text,
                   "base_model: %s/tests/golden/data/llama/model\nadapter: lora\nlora_r: 4\nlora_alpha: 8\n"
                   "datasets: [{path: rows.jsonl, type: tokenized}]\nval_set_size: 2\nlearning_rate: 1.0e-3\n"
                   "bf16: false\nmax_steps: 1\nsequence_len: 64\noutput_dir: out\n",
                   LRC_SOURCE_DIR);
    cr_assert_eq(lrc_file_write(path, text.data, text.len, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_buf_release(&text);
}

static enum lrc_status run(const char *dir, const char *const *overrides, int n_overrides,
                           struct lrc_train_report *report, struct lrc_error *err)
{
    const struct lrc_train_options options = { .progress = look };
    struct lrc_config              config = { 0 };
    struct lrc_problems            problems = { 0 };
    char                           path[512];
    (void)snprintf(path, sizeof path, "%s/out", dir);
    cr_assert_eq(lrc_dir_remove(path, err), LRC_STATUS_OK, "%s", err->message);
    (void)snprintf(path, sizeof path, "%s/c.yaml", dir);
    cr_assert_eq(lrc_config_load(&config, path, overrides, n_overrides, &problems, err), LRC_STATUS_OK, "%s",
                 lrc_buf_text(&problems.text));
    const enum lrc_status status = lrc_train(&config, &options, report, &problems, err);
    lrc_config_release(&config);
    lrc_problems_release(&problems);
    return status;
}

/* Of the plan, what lies in arenas: not mapped files, rows, tokenizer. */
static int64_t planned_in_arenas(const struct lrc_train_report *report)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < report->n_regions; i++)
        if (strcmp(report->regions[i].where, "host") == 0 &&
            strcmp(report->regions[i].name, "tokens and targets") != 0 &&
            strcmp(report->regions[i].name, "rows") != 0 &&
            strcmp(report->regions[i].name, "tokenizer and template") != 0)
            bytes += report->regions[i].bytes;
    return bytes;
}

enum { OVERRIDES_MAX = 4 };

Test(plan, equals_what_is_committed)
{
    static const char *const cases[][OVERRIDES_MAX] = {
        { "lora_r=4" },
        { "micro_batch_size=3", "gradient_accumulation_steps=2" },
        { "sequence_len=16", "excess_length_strategy=truncate", "max_lost_rows_fraction=1" },
        { "lora_r=9", "lora_alpha=9", "lora_target_modules=[q_proj, down_proj]" },
        { "gradient_checkpointing=true", "bf16=true" },
        { "adapter=qlora", "sample_packing=true" },
        { "adapter=full", "micro_batch_size=2" },
    };
    const char *dir = test_folder("plan");
    write_rows(dir);
    const int64_t before = lrc_arena_committed_bytes();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lrc_train_report report;
        struct lrc_error        err = { 0 };
        int                     n = 0;
        while (n < OVERRIDES_MAX && cases[i][n])
            n++;
        committed_while_training = -1;
        cr_assert_eq(run(dir, cases[i], n, &report, &err), LRC_STATUS_OK, "%s: %s", cases[i][0], err.message);
        cr_expect_eq(committed_while_training - before, planned_in_arenas(&report),
                     "%s: want the %lld bytes planned, got %lld", cases[i][0],
                     (long long)planned_in_arenas(&report), (long long)(committed_while_training - before));
        cr_expect_eq(lrc_arena_committed_bytes(), before, "%s: not all released", cases[i][0]);
    }
}

Test(plan, max_memory_refuses_before_anything_is_loaded_and_names_the_knobs)
{
    const char *const overrides[] = { "max_memory=1MB", "gradient_checkpointing=false", "sequence_len=64",
                                      "micro_batch_size=4" };
    const char       *dir = test_folder("plan-max");
    struct lrc_train_report report;
    struct lrc_error        err = { 0 };
    write_rows(dir);
    cr_expect_eq(run(dir, overrides, 4, &report, &err), LRC_STATUS_NOMEM);
    static const char *const want[] = { "by max_memory", "gradient_checkpointing: true saves ",
                                        "half the micro_batch_size saves ", "load_in_4bit saves about ",
                                        "nothing was loaded" };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        cr_expect_not_null(strstr(err.message, want[i]), "no '%s' in: %s", want[i], err.message);
    cr_expect_eq(lrc_status_exit_code(err.status), 3);
}

/* The sentence says what a knob saves: with the knob turned, the plan is that much smaller. */
Test(plan, a_knob_saves_what_is_said)
{
    const char *const plain[] = { "max_memory=1MB", "gradient_checkpointing=false" }, *const turned[] = {
        "max_memory=1MB", "gradient_checkpointing=true"
    };
    const char             *dir = test_folder("plan-knob");
    struct lrc_train_report without, with;
    struct lrc_error        err = { 0 };
    write_rows(dir);
    cr_assert_eq(run(dir, plain, 2, &without, &err), LRC_STATUS_NOMEM, "%s", err.message);
    double      said = -1.0;
    const char *at = strstr(err.message, "gradient_checkpointing: true saves ");
    cr_assert_not_null(at, "%s", err.message);
    cr_assert_eq(sscanf(at, "gradient_checkpointing: true saves %lf MB", &said), 1, "%s", err.message);
    cr_assert_eq(run(dir, turned, 2, &with, &err), LRC_STATUS_NOMEM, "%s", err.message);
    const double saved = (double)(without.planned_bytes - with.planned_bytes) * 1e-6;
    cr_expect(saved > 0.0 && saved - said < 0.00501 && said - saved < 0.00501, "said %g MB, saves %g MB",
              said, saved);
}
