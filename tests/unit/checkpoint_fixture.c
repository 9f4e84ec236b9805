#include "checkpoint_fixture.h"

#include "base/alloc.h"
#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char test_run_config[] =
    "{\"learning_rate\": 0.0002, \"output_dir\": \"r\xc3\xa9sultats\", \"lora_r\": 16}";

void test_run_empty(struct test_run *run)
{
    static const int64_t shapes[TEST_RUN_ROWS][2] = {{4, 17}, {6, 50}, {7, 0}};
    memset(run, 0, sizeof *run);
    run->optimizer = (struct lrc_optimizer){
        .name = "adamw_torch", .n_states = 2, .state_names = {"exp_avg", "exp_avg_sq"}};
    run->trainables = (struct lrc_trainables){.rows = run->rows, .n = TEST_RUN_ROWS};
    for (int i = 0; i < TEST_RUN_ROWS; i++) {
        struct lrc_trainable *row = &run->rows[i];
        (void)snprintf(row->name, sizeof row->name,
                       "base_model.model.model.layers.%d.self_attn.q_proj.lora_A.weight", i);
        for (int set = 0; set < TEST_RUN_SETS; set++) {
            struct lrc_tensor *tensor = set == 0 ? &row->value : &row->state[set - 1];
            *tensor = shapes[i][1] > 0
                          ? lrc_tensor_2d(run->values[i][set], LRC_DTYPE_F32, shapes[i][0], shapes[i][1])
                          : lrc_tensor_1d(run->values[i][set], LRC_DTYPE_F32, shapes[i][0]);
        }
    }
}

void test_run_fill(struct test_run *run, int64_t step, uint32_t salt)
{
    static const float special[] = {NAN, INFINITY, -INFINITY, -0.0f, 0x1p-149f, 0x1.fffffep127f};
    test_run_empty(run);
    for (int i = 0; i < TEST_RUN_ROWS; i++)
        for (int set = 0; set < TEST_RUN_SETS; set++)
            for (int64_t e = 0; e < lrc_tensor_elems(&run->rows[i].value); e++) {
                const uint32_t h =
                    ((uint32_t)e * 9u + (uint32_t)set * 3u + (uint32_t)i + salt * 77u) * 2654435761u;
                run->values[i][set][e] = e < 6 ? special[e] : (float)(int32_t)h * 0x1p-40f;
            }
    run->state = (struct lrc_run_state){
        .step = step,
        .n_tokens = 1000 * step,
        .n_trained = 700 * step,
        .time_s = 0.1 * (double)step + 1.0 / 3.0,
        .loss_sum = 2.25 + (double)salt,
        .loss_steps = 3,
        .metrics_bytes = INT64_C(1) << 40,
        .best_eval_loss = NAN,
        .best_step = -1,
        .evals_without_gain = 2,
        .n_steps = 9999,
    };
    memset(run->state.base_hash, 'a', sizeof run->state.base_hash - 1);
    memset(run->state.data_hash, '7', sizeof run->state.data_hash - 1);
    memset(run->state.device, 'd', sizeof run->state.device - 1); /* the longest that fits */
    (void)snprintf(run->state.version, sizeof run->state.version, "0.1.0");
}

static int texts_equal(const struct lrc_run_state *a, const struct lrc_run_state *b)
{
    return strcmp(a->base_hash, b->base_hash) == 0 && strcmp(a->data_hash, b->data_hash) == 0 &&
           strcmp(a->device, b->device) == 0 && strcmp(a->version, b->version) == 0;
}

int test_run_equal(const struct test_run *a, const struct test_run *b)
{
    const struct lrc_run_state *s = &a->state, *t = &b->state;
    if (memcmp(a->values, b->values, sizeof a->values) != 0 || !texts_equal(s, t))
        return 0;
    if (memcmp(&s->time_s, &t->time_s, sizeof s->time_s) != 0 ||
        memcmp(&s->loss_sum, &t->loss_sum, sizeof s->loss_sum) != 0 ||
        memcmp(&s->best_eval_loss, &t->best_eval_loss, sizeof s->best_eval_loss) != 0)
        return 0;
    return s->step == t->step && s->n_tokens == t->n_tokens && s->n_trained == t->n_trained &&
           s->loss_steps == t->loss_steps && s->metrics_bytes == t->metrics_bytes &&
           s->best_step == t->best_step && s->evals_without_gain == t->evals_without_gain &&
           s->n_steps == t->n_steps;
}

static enum lrc_status write_adapter(void *context, const char *dir, struct lrc_error *err)
{
    (void)context;
    char *path = lrc_path_join(dir, "adapter_model.safetensors");
    enum lrc_status status = path ? lrc_file_write(path, "adapter", 7, err) : lrc_fail_nomem(err, dir);
    lrc_free(path);
    return status;
}

enum lrc_status test_run_save(const struct test_run *run, const char *output_dir, struct lrc_error *err)
{
    return lrc_checkpoint_save(output_dir, &run->state, test_run_config, &run->trainables, &run->optimizer,
                               write_adapter, NULL, err);
}

enum lrc_status test_run_load(struct test_run *run, const char *dir, struct lrc_error *err)
{
    struct lrc_buf config = {0};
    struct lrc_problems problems = {0};
    test_run_empty(run);
    enum lrc_status status = lrc_checkpoint_read_state(&run->state, &config, dir, err);
    if (status == LRC_STATUS_OK && strcmp(lrc_buf_text(&config), test_run_config) != 0)
        status =
            lrc_fail(err, LRC_STATUS_NUMERIC, "another configuration came back: %s", lrc_buf_text(&config));
    if (status == LRC_STATUS_OK)
        status = lrc_checkpoint_load(&run->trainables, &run->optimizer, dir, &problems, err);
    lrc_problems_release(&problems);
    lrc_buf_release(&config);
    return status;
}
