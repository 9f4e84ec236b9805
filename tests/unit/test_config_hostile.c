#include "config/config.h"
#include "config/yaml_tree.h"
#include "config_fixture.h"
#include "support.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/nearest.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_only(const char *text, const char *sentence)
{
    struct test_config test;
    test_config_load(&test, text, NULL);
    cr_expect_eq(test.status, LRC_STATUS_CONFIG);
    cr_expect(test_config_has_problem(&test, sentence), "want '%s', got:\n%s", sentence,
              lrc_buf_text(&test.problems.text));
    cr_expect_eq(test.problems.count, 1, "%s", lrc_buf_text(&test.problems.text));
    test_config_release(&test);
}

Test(config_hostile, yaml_beyond_plain_settings_is_refused_in_one_sentence)
{
    expect_only("a: &x 1\n", "c.yaml:1: want plain settings, got a YAML anchor (&name)");
    expect_only("\na: &x {b: 1}\n", "c.yaml:2: want plain settings, got a YAML anchor (&name)");
    expect_only("a: *x\n", "c.yaml:1: want plain settings, got a YAML alias (*name)");
    expect_only("a: !!str x\n", "c.yaml:1: want plain settings, got a YAML tag (!name)");
    expect_only("a: 1\n---\nb: 2\n", "c.yaml:2: want one YAML document, got a second one");
    expect_only("a: [[[[[[[[[1]]]]]]]]]\n", "c.yaml:1: want settings nested at most 8 deep, got deeper ones");
    expect_only("a: \"x\\0y\"\n", "c.yaml:1: want text, got a NUL character in it");
    expect_only("- a\n- b\n", "c.yaml:1: want 'key: value' lines, got a list");
    expect_only("just text\n", "c.yaml:1: want 'key: value' lines, got text");
}

Test(config_hostile, broken_yaml_names_its_line)
{
    expect_only("a: 1\nb: [1\n", "c.yaml:3: want YAML, got a mistake: did not find expected ',' or ']', "
                                 "while parsing a flow sequence");
    expect_only("a: 1\nb: \xff\n", "c.yaml:2: want YAML, got a mistake: invalid leading UTF-8 octet");
}

Test(config_hostile, empty_file_lacks_the_required_keys)
{
    struct test_config test;
    test_config_load(&test, "", NULL);
    cr_expect_eq(test.status, LRC_STATUS_CONFIG);
    cr_expect_eq(test.problems.count, 5, "%s", lrc_buf_text(&test.problems.text));
    test_config_release(&test);
}

Test(config_hostile, huge_files_are_refused_unread)
{
    const size_t n = LRC_YAML_BYTES_MAX + 1;
    char        *text = malloc(n + 1);
    cr_assert_not_null(text);
    memset(text, '\n', n);
    text[n] = '\0';
    expect_only(text, "c.yaml: want at most 1 MiB of YAML, got 1048577 bytes");
    free(text);
}

Test(config_hostile, too_many_values_are_refused)
{
    struct lrc_buf text = { 0 };
    lrc_buf_puts(&text, "a: [");
    for (int i = 0; i <= LRC_YAML_NODES_MAX; i++)
        lrc_buf_puts(&text, "1,");
    lrc_buf_puts(&text, "]\n");
    expect_only(lrc_buf_text(&text), "c.yaml:1: want at most 20000 values, got more");
    lrc_buf_release(&text);
}

static int64_t n_until_failure;

static void *failing_allocate(size_t size_bytes)
{
    return n_until_failure-- > 0 ? aligned_alloc(64, (size_bytes + 63) / 64 * 64) : NULL;
}

static void *failing_reallocate(void *memory, size_t size_bytes)
{
    return n_until_failure-- > 0 ? realloc(memory, size_bytes) : NULL;
}

Test(config_hostile, every_allocation_may_fail_fault)
{
    const struct lrc_allocator usual = lrc_allocator;
    char                      *path = lrc_path_join(test_folder("config-fault"), "c.yaml");
    const char      *text = LRC_TEST_CONFIG_MINIMAL "target_modules: [a, b]\nrank_pattern: {q: 1}\n";
    struct lrc_error err;
    int64_t          n;
    cr_assert_eq(lrc_file_write(path, text, strlen(text), &err), LRC_STATUS_OK);
    for (n = 0; n < 1000; n++) {
        struct lrc_config   config = { 0 };
        struct lrc_problems problems = { 0 };
        n_until_failure = n;
        lrc_allocator.allocate = failing_allocate;
        lrc_allocator.reallocate = failing_reallocate;
        lrc_allocator.release = free;
        const enum lrc_status status = lrc_config_load(&config, path, NULL, 0, &problems, &err);
        lrc_config_release(&config);
        lrc_problems_release(&problems);
        lrc_allocator = usual;
        if (status == LRC_STATUS_OK)
            break;
        cr_expect_eq(status, LRC_STATUS_NOMEM, "allocation %lld: %s", (long long)n, err.message);
    }
    cr_expect_gt(n, 20);
    cr_expect_lt(n, 1000);
    lrc_free(path);
}

Test(config_hostile, yaml_test_suite_is_read_without_a_crash)
{
    const char      *assets = getenv("LRC_ASSETS");
    char             dir[512], **names;
    int64_t          n_names, n_read = 0;
    struct lrc_error err;
    if (!assets)
        cr_skip_test("LRC_ASSETS is not set");
    (void)snprintf(dir, sizeof dir, "%s/yaml+yaml-test-suite/src", assets);
    cr_assert_eq(lrc_dir_list(dir, &names, &n_names, &err), LRC_STATUS_OK, "%s", err.message);
    for (int64_t i = 0; i < n_names; i++) {
        struct lrc_config   config = { 0 };
        struct lrc_problems problems = { 0 };
        char                path[1024];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        cr_expect_neq(lrc_config_load(&config, path, NULL, 0, &problems, &err), LRC_STATUS_OK);
        lrc_config_release(&config);
        lrc_problems_release(&problems);
        n_read++;
    }
    lrc_dir_list_free(names, n_names);
    cr_expect_gt(n_read, 300);
}

Test(config_hostile, edit_distance_counts_swaps_once)
{
    cr_expect_eq(lrc_edit_distance("", ""), 0);
    cr_expect_eq(lrc_edit_distance("", "abc"), 3);
    cr_expect_eq(lrc_edit_distance("kitten", "sitting"), 3);
    cr_expect_eq(lrc_edit_distance("leraning", "learning"), 1);
    cr_expect_eq(lrc_edit_distance("lora_r", "lora_r"), 0);
}
