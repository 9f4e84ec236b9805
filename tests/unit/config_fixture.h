/* A config from text, in a folder of its own. */
#ifndef LRC_TESTS_CONFIG_FIXTURE_H
#define LRC_TESTS_CONFIG_FIXTURE_H

#include "config/config.h"

#define LRC_TEST_CONFIG_MINIMAL \
    "base_model: base\n"        \
    "adapter: lora\n"           \
    "lora_r: 8\n"               \
    "lora_alpha: 16\n"          \
    "datasets: [{path: data.jsonl, type: alpaca}]\n" \
    "learning_rate: 2e-4\n"     \
    "output_dir: out\n"

struct test_config {
    char                dir[64];
    char                path[96];
    struct lrc_config   config;
    struct lrc_problems problems;
    struct lrc_error    err;
    enum lrc_status     status;
};

/* Loads text with overrides ("a=1", ..., NULL). */
void test_config_load(struct test_config *test, const char *text, const char *const *overrides);
/* LRC_TEST_CONFIG_MINIMAL followed by text. */
void test_config_load_more(struct test_config *test, const char *text);
void test_config_release(struct test_config *test);
/* 1 when a problem line ends with sentence (after "<path>:"). */
int test_config_has_problem(const struct test_config *test, const char *sentence);

#endif
