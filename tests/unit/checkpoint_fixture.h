/* A small run to save and load: three tensors, two optimizer states each. */
#ifndef LRC_TESTS_UNIT_CHECKPOINT_FIXTURE_H
#define LRC_TESTS_UNIT_CHECKPOINT_FIXTURE_H

#include "checkpoint/checkpoint.h"

enum { TEST_RUN_ROWS = 3, TEST_RUN_SETS = 3, TEST_RUN_ELEMS_MAX = 6 * 50 };

struct test_run {
    struct lrc_optimizer optimizer;
    struct lrc_trainables trainables;
    struct lrc_trainable rows[TEST_RUN_ROWS];
    float values[TEST_RUN_ROWS][TEST_RUN_SETS][TEST_RUN_ELEMS_MAX];
    struct lrc_run_state state;
};

/* salt: other values. All kinds of floats are among them: NaN, infinities, subnormals, -0. */
void test_run_fill(struct test_run *run, int64_t step, uint32_t salt);
/* The shapes and names alone, values zero. */
void test_run_empty(struct test_run *run);
/* Bit for bit. */
int test_run_equal(const struct test_run *a, const struct test_run *b);

/* "{...}" of some length, the same each time. */
extern const char test_run_config[];

enum lrc_status test_run_save(const struct test_run *run, const char *output_dir, struct lrc_error *err);
/* The state of the folder into run; what was wrong, if anything, is in err. */
enum lrc_status test_run_load(struct test_run *run, const char *dir, struct lrc_error *err);

#endif
