#include "config_fixture.h"

#include "base/file.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void test_config_load(struct test_config *test, const char *text, const char *const *overrides)
{
    int n = 0;
    *test = (struct test_config){ .dir = "/tmp/lorica_config_XXXXXX" };
    cr_assert_not_null(mkdtemp(test->dir));
    (void)snprintf(test->path, sizeof test->path, "%s/c.yaml", test->dir);
    cr_assert_eq(lrc_file_write(test->path, text, strlen(text), &test->err), LRC_STATUS_OK);
    while (overrides && overrides[n])
        n++;
    test->status = lrc_config_load(&test->config, test->path, overrides, n, &test->problems, &test->err);
}

void test_config_load_more(struct test_config *test, const char *text)
{
    char whole[4096];
    cr_assert_lt(snprintf(whole, sizeof whole, "%s%s", LRC_TEST_CONFIG_MINIMAL, text), (int)sizeof whole);
    test_config_load(test, whole, NULL);
}

void test_config_release(struct test_config *test)
{
    lrc_config_release(&test->config);
    lrc_problems_release(&test->problems);
    cr_expect_eq(lrc_dir_remove(test->dir, &test->err), LRC_STATUS_OK);
}

int test_config_has_problem(const struct test_config *test, const char *sentence)
{
    const size_t n = strlen(sentence);
    for (const char *line = lrc_buf_text(&test->problems.text); *line; line += strcspn(line, "\n") + 1) {
        const size_t length = strcspn(line, "\n");
        if (length >= n && strncmp(line + length - n, sentence, n) == 0)
            return 1;
    }
    return 0;
}
