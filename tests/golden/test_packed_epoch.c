/* A packed epoch is the unpacked one in another order: the same sum of -log p, over the real model. */
#include "golden/golden.h"
#include "base/rng.h"
#include "train/step.h"

#include <math.h>
#include <stdio.h>

enum { N_ROWS = 40, SEQUENCE_LEN = 48, ROW_MAX = 30, VOCABULARY = 83 };

struct rows {
    struct lrc_dataset dataset;
    struct lrc_example examples[N_ROWS];
    int32_t ids[N_ROWS * ROW_MAX], targets[N_ROWS * ROW_MAX];
};

static void make_rows(struct rows *rows)
{
    int64_t at = 0;
    for (int r = 0; r < N_ROWS; r++) {
        const struct lrc_rng_block block = lrc_rng_philox(5, 0, (uint64_t)r);
        const int64_t n = 2 + (int64_t)(block.word[0] % (ROW_MAX - 1)), n_prompt = n / 3;
        rows->examples[r] = (struct lrc_example){
            .first = at, .n_tokens = n, .n_trained = n - 1 - n_prompt, .row_id = (uint32_t)r};
        for (int64_t i = 0; i < n; i++)
            rows->ids[at + i] = (int32_t)(lrc_rng_philox(6, (uint64_t)r, (uint64_t)i).word[0] % VOCABULARY);
        for (int64_t i = 0; i < n; i++)
            rows->targets[at + i] = i >= n_prompt && i + 1 < n ? rows->ids[at + i + 1] : -1;
        at += n;
    }
    rows->dataset = (struct lrc_dataset){.ids = rows->ids,
                                         .targets = rows->targets,
                                         .n_ids = at,
                                         .examples = rows->examples,
                                         .n_examples = N_ROWS};
}

static struct lrc_eval_result epoch_loss(struct lrc_model *model, const struct lrc_dataset *dataset,
                                         int64_t pack_tokens)
{
    const struct lrc_batch_options order = {
        .micro_batch_size = 2, .accumulation_steps = 3, .shuffle = 1, .pack_tokens = pack_tokens, .seed = 9};
    struct lrc_pass_options options = {
        .backend = golden_backend(), .activation = LRC_DTYPE_F32, .use = LRC_TAPE_INFERENCE};
    struct lrc_error err = {0};
    struct lrc_batch_stream *stream;
    struct lrc_pass pass;
    struct lrc_eval_result result;
    cr_assert_eq(lrc_batch_stream_new(&stream, dataset, &order, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_batch_stream_limits(stream, &options.n_tokens, &options.n_docs, &options.n_trained);
    cr_assert_eq(lrc_pass_init(&pass, model, &options, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_eval_run(&pass, NULL, stream, &result, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_pass_release(&pass);
    lrc_batch_stream_free(stream);
    return result;
}

/* float32 log-probabilities of about 4.4 each: 2^-20 of the sum is far above their rounding, and far below
 * what one token that sees another row's would change. */
Test(golden_packing, packed_epoch_has_the_loss_of_the_unpacked_one)
{
    static struct rows rows;
    struct lrc_model model;
    struct lrc_problems problems = {0};
    struct lrc_error err = {0};
    const struct lrc_model_options options = {.device = golden_backend(),
                                              .room = lrc_linear_room(16),
                                              .n_positions = 2 * SEQUENCE_LEN + LRC_BATCH_ROUND_TOKENS};
    make_rows(&rows);
    cr_assert_eq(
        lrc_model_load(&model, LRC_SOURCE_DIR "/tests/golden/data/llama/model", &options, &problems, &err),
        LRC_STATUS_OK, "%s", err.message);
    const struct lrc_eval_result plain = epoch_loss(&model, &rows.dataset, 0),
                                 packed = epoch_loss(&model, &rows.dataset, SEQUENCE_LEN);
    cr_expect_eq(plain.n_trained, packed.n_trained);
    cr_expect(fabs(plain.loss_sum - packed.loss_sum) <= 0x1p-20 * plain.loss_sum, "%.9g, packed %.9g",
              plain.loss_sum, packed.loss_sum);
    lrc_model_release(&model);
}
