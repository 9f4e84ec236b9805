#include "base/file.h"
#include "base/log.h"
#include "checkpoint_fixture.h"
#include "support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct test_run saved, loaded;
static struct lrc_error err;

static const char *in(const char *dir, const char *name)
{
    static char paths[4][1200];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void save_step(const char *dir, int64_t step)
{
    test_run_fill(&saved, step, (uint32_t)step);
    cr_assert_eq(test_run_save(&saved, dir, &err), LRC_STATUS_OK, "%s", err.message);
}

Test(checkpoint, comes_back_bit_for_bit)
{
    const char *dir = test_folder("ckpt-round");
    save_step(dir, 40);
    cr_assert_eq(test_run_load(&loaded, in(dir, "checkpoint-40"), &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect(test_run_equal(&saved, &loaded));
    cr_expect(lrc_path_exists(in(dir, "checkpoint-40/adapter_model.safetensors")));
    cr_expect_not(lrc_path_exists(in(dir, "checkpoint-40.tmp")));
    loaded.values[2][1][6] += 1.0f;
    cr_expect_not(test_run_equal(&saved, &loaded), "the comparison sees one element");
}

Test(checkpoint, equal_states_give_equal_bytes)
{
    struct lrc_map a, b;
    const char *dir_a = test_folder("ckpt-equal-a"), *dir_b = test_folder("ckpt-equal-b");
    save_step(dir_a, 5);
    sleep(1); /* a time kept in seconds would show */
    save_step(dir_b, 5);
    cr_assert_eq(lrc_map_open(&a, in(dir_a, "checkpoint-5/state.h5"), &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_map_open(&b, in(dir_b, "checkpoint-5/state.h5"), &err), LRC_STATUS_OK);
    cr_assert_eq(a.size_bytes, b.size_bytes);
    cr_expect_eq(memcmp(a.data, b.data, a.size_bytes), 0);
    lrc_map_close(&a);
    lrc_map_close(&b);
}

Test(checkpoint, a_tensor_of_many_chunks_comes_back)
{
    enum { ROWS = 3, COLS = 400001 };
    struct lrc_problems problems = {0};
    const char *dir = test_folder("ckpt-chunks");
    float *values = lrc_calloc(3 * ROWS * COLS, sizeof *values);
    test_run_fill(&saved, 1, 1);
    saved.trainables.n = 1;
    saved.rows[0].value = lrc_tensor_2d(values, LRC_DTYPE_F32, ROWS, COLS);
    saved.rows[0].state[0] = lrc_tensor_2d(values + ROWS * COLS, LRC_DTYPE_F32, ROWS, COLS);
    saved.rows[0].state[1] = lrc_tensor_2d(values + 2 * ROWS * COLS, LRC_DTYPE_F32, ROWS, COLS);
    for (int i = 0; i < 3 * ROWS * COLS; i++)
        values[i] = (float)i;
    cr_assert_eq(test_run_save(&saved, dir, &err), LRC_STATUS_OK, "%s", err.message);
    memset(values, 0, (size_t)(3 * ROWS * COLS) * sizeof *values);
    cr_assert_eq(
        lrc_checkpoint_load(&saved.trainables, &saved.optimizer, in(dir, "checkpoint-1"), &problems, &err),
        LRC_STATUS_OK, "%s", err.message);
    for (int i = 0; i < 3 * ROWS * COLS; i++)
        cr_assert_eq(values[i], (float)i);
    lrc_free(values);
}

Test(checkpoint, saving_a_step_again_replaces_it)
{
    const char *dir = test_folder("ckpt-again");
    save_step(dir, 7);
    test_run_fill(&saved, 7, 99);
    cr_assert_eq(test_run_save(&saved, dir, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(test_run_load(&loaded, in(dir, "checkpoint-7"), &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect(test_run_equal(&saved, &loaded));
    cr_expect_not(lrc_path_exists(in(dir, "checkpoint-7.tmp")));
}

Test(checkpoint, tensors_that_do_not_fit_are_all_named)
{
    struct lrc_problems problems = {0};
    const char *dir = test_folder("ckpt-shapes");
    save_step(dir, 3);
    test_run_empty(&loaded);
    loaded.rows[0].value.shape[1] = 16;
    loaded.rows[0].value.stride[0] = 16;
    (void)snprintf(loaded.rows[1].name, sizeof loaded.rows[1].name, "absent");
    loaded.optimizer.state_names[1] = "momentum";
    cr_expect_eq(
        lrc_checkpoint_load(&loaded.trainables, &loaded.optimizer, in(dir, "checkpoint-3"), &problems, &err),
        LRC_STATUS_FORMAT);
    const char *text = lrc_buf_text(&problems.text);
    cr_expect(strstr(text, "layers.0.self_attn.q_proj.lora_A.weight/value': want the shape"), "%s", text);
    cr_expect(strstr(text, "want tensor 'absent', got none"), "%s", text);
    cr_expect(strstr(text, "layers.2.self_attn.q_proj.lora_A.weight/momentum': want a chunked dataset"), "%s",
              text);
    cr_expect_eq(loaded.values[2][0][6], 0.0f, "nothing is loaded when something does not fit");
    lrc_problems_release(&problems);
}

Test(checkpoint, another_optimizer_or_table_is_refused)
{
    struct lrc_problems problems = {0};
    const char *dir = test_folder("ckpt-optimizer");
    save_step(dir, 3);
    test_run_empty(&loaded);
    loaded.optimizer.name = "sgd";
    loaded.trainables.n = 2;
    cr_expect_eq(
        lrc_checkpoint_load(&loaded.trainables, &loaded.optimizer, in(dir, "checkpoint-3"), &problems, &err),
        LRC_STATUS_FORMAT);
    cr_expect(
        strstr(lrc_buf_text(&problems.text), "want the state of optimizer 'sgd', got that of 'adamw_torch'"));
    cr_expect(strstr(lrc_buf_text(&problems.text), "want 2 trained tensors, got 3"));
    lrc_problems_release(&problems);
}

static char warned[2048];

static void keep_warning(enum lrc_log_level level, const char *line)
{
    if (level == LRC_LOG_WARN)
        (void)snprintf(warned + strlen(warned), sizeof warned - strlen(warned), "%s\n", line);
}

Test(checkpoint, newest_passes_over_damage_with_a_warning)
{
    const char *dir = test_folder("ckpt-newest");
    char *path;
    cr_assert_eq(lrc_checkpoint_newest(&path, in(dir, "absent"), &err), LRC_STATUS_OK);
    cr_expect_null(path);
    cr_assert_eq(lrc_checkpoint_newest(&path, dir, &err), LRC_STATUS_OK);
    cr_expect_null(path);
    save_step(dir, 9);
    save_step(dir, 10); /* by number, not by name */
    save_step(dir, 100);
    cr_assert_eq(truncate(in(dir, "checkpoint-100/state.h5"), 3000), 0);
    cr_assert_eq(lrc_dir_make(in(dir, "checkpoint-0200"), &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_dir_make(in(dir, "checkpoint-300.tmp"), &err), LRC_STATUS_OK);
    lrc_log_set_sink(keep_warning);
    cr_assert_eq(lrc_checkpoint_newest(&path, dir, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_log_set_sink(NULL);
    cr_assert(path);
    cr_expect_str_eq(lrc_path_base(path), "checkpoint-10");
    cr_expect(strstr(warned, "checkpoint-100/state.h5: want the "), "%s", warned);
    lrc_free(path);
}

static void expect_steps(const char *dir, const char *want)
{
    char **names;
    int64_t n;
    struct lrc_buf got = {0};
    cr_assert_eq(lrc_dir_list(dir, &names, &n, &err), LRC_STATUS_OK);
    for (int64_t i = 0; i < n; i++)
        lrc_buf_printf(&got, "%s ", names[i]);
    cr_expect_str_eq(lrc_buf_text(&got), want);
    lrc_dir_list_free(names, n);
    lrc_buf_release(&got);
}

Test(checkpoint, prune_keeps_the_newest_and_the_best)
{
    const char *dir = test_folder("ckpt-prune");
    for (int64_t step = 8; step <= 12; step++)
        save_step(dir, step);
    cr_assert_eq(lrc_dir_make(in(dir, "checkpoint-1"), &err), LRC_STATUS_OK); /* somebody else's */
    cr_assert_eq(lrc_checkpoint_prune(dir, 0, -1, &err), LRC_STATUS_OK);
    expect_steps(dir, "checkpoint-1 checkpoint-10 checkpoint-11 checkpoint-12 checkpoint-8 checkpoint-9 ");
    cr_assert_eq(lrc_checkpoint_prune(dir, 2, 9, &err), LRC_STATUS_OK, "%s", err.message);
    expect_steps(dir, "checkpoint-1 checkpoint-11 checkpoint-12 checkpoint-9 ");
    cr_assert_eq(truncate(in(dir, "checkpoint-12/state.h5"), 3000), 0);
    cr_assert_eq(lrc_checkpoint_prune(dir, 1, -1, &err), LRC_STATUS_OK);
    expect_steps(
        dir,
        "checkpoint-1 checkpoint-11 checkpoint-12 "); /* a damaged one does not count as the one to keep */
}

Test(checkpoint, leftovers_are_removed)
{
    const char *dir = test_folder("ckpt-clean");
    save_step(dir, 2);
    cr_assert_eq(lrc_dir_make(in(dir, "checkpoint-3.tmp/deep"), &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_file_write(in(dir, "checkpoint-3.tmp/deep/file"), "x", 1, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_file_write(in(dir, "run.json.tmp"), "x", 1, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_file_write(in(dir, "tmp"), "x", 1, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_checkpoint_clean(dir, &err), LRC_STATUS_OK, "%s", err.message);
    expect_steps(dir, "checkpoint-2 tmp ");
    cr_expect_eq(lrc_checkpoint_clean(in(dir, "absent"), &err), LRC_STATUS_OK);
}

static enum lrc_status fail_extra(void *context, const char *dir, struct lrc_error *error)
{
    (void)context;
    return lrc_fail(error, LRC_STATUS_NOSPACE, "%s: no", dir);
}

Test(checkpoint, failed_adapter_leaves_the_old_checkpoint_and_nothing_else)
{
    const char *dir = test_folder("ckpt-extra");
    save_step(dir, 2);
    test_run_fill(&loaded, 2, 50);
    cr_expect_eq(lrc_checkpoint_save(dir, &loaded.state, "{}", &loaded.trainables, &loaded.optimizer,
                                     fail_extra, NULL, &err),
                 LRC_STATUS_NOSPACE);
    expect_steps(dir, "checkpoint-2 ");
    cr_assert_eq(test_run_load(&loaded, in(dir, "checkpoint-2"), &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect(test_run_equal(&saved, &loaded));
}

Test(checkpoint, failed_allocations_fail_the_call)
{
    const char *dir = test_folder("ckpt-nomem");
    save_step(dir, 4);
    int n_failed = 0;
    for (int64_t n = 0; n < 200; n++) {
        char *path = NULL;
        test_alloc_fail_at(n);
        enum lrc_status status = test_run_save(&saved, dir, &err);
        if (status == LRC_STATUS_OK)
            status = test_run_load(&loaded, in(dir, "checkpoint-4"), &err);
        if (status == LRC_STATUS_OK)
            status = lrc_checkpoint_newest(&path, dir, &err);
        if (status == LRC_STATUS_OK)
            status = lrc_checkpoint_prune(dir, 1, -1, &err);
        lrc_free(path);
        const int64_t live = test_alloc_live();
        test_alloc_restore();
        cr_assert_eq(live, 0, "allocation %d: %d blocks not released", (int)n, (int)live);
        cr_assert(status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM, "allocation %d: %s", (int)n,
                  err.message);
        n_failed += status == LRC_STATUS_NOMEM;
        cr_assert_eq(test_run_load(&loaded, in(dir, "checkpoint-4"), &err), LRC_STATUS_OK,
                     "allocation %d: %s", (int)n, err.message);
    }
    cr_expect_gt(n_failed, 20);
}

Test(checkpoint, other_programs_read_it)
{
    char command[1400];
    const char *dir = test_folder("ckpt-h5dump");
    if (system("command -v h5dump > /dev/null") != 0)
        cr_skip_test("h5dump is not installed");
    save_step(dir, 6);
    (void)snprintf(command, sizeof command, "h5dump -a step %s | grep -q '(0): 6'",
                   in(dir, "checkpoint-6/state.h5"));
    cr_expect_eq(system(command), 0);
    (void)snprintf(command, sizeof command, "h5dump -d config %s | grep -q learning_rate",
                   in(dir, "checkpoint-6/state.h5"));
    cr_expect_eq(system(command), 0);
}
