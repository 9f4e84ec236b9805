/* Models against transformers, PEFT and bitsandbytes: logits, losses, gradients, a training curve,
 * generation, in float32. Small golden folders of our own lie in tests/golden/data (made by
 * scripts/golden/make_models.py); LRC_FIXTURES may name a folder with more of the same layout. */
#include "golden/golden.h"
#include "infer/generate.h"
#include "merge/merge.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const families[] = { "llama", "llama_gqa_tied", "mistral", "qwen2" };
enum { N_FAMILIES = sizeof families / sizeof families[0], MAX_TOKENS = 64 };

struct loaded {
    struct golden      golden;
    struct lrc_model   model;
    struct lrc_adapter adapter;
    struct lrc_pass    pass;
    struct lrc_batch   batch;
};

static void own_root(char root[GOLDEN_PATH_MAX])
{
    (void)snprintf(root, GOLDEN_PATH_MAX, "%s/tests/golden/data", LRC_SOURCE_DIR);
}

static void load_model(struct loaded *l, const char *path, int trainable)
{
    const struct lrc_model_options options = { .device = golden_backend(),
                                               .trainable = trainable,
                                               .room = lrc_linear_room(16),
                                               .n_positions = MAX_TOKENS };
    struct lrc_problems            problems = { 0 };
    struct lrc_error               err = { 0 };
    cr_assert_eq(lrc_model_load(&l->model, path, &options, &problems, &err), LRC_STATUS_OK, "%s: %s %s", path,
                 err.message, lrc_buf_text(&problems.text));
    lrc_problems_release(&problems);
}

static void load_adapter(struct loaded *l, const char *dir, const char *name)
{
    char                path[GOLDEN_PATH_MAX + 32];
    struct lrc_problems problems = { 0 };
    struct lrc_error    err = { 0 };
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    cr_assert_eq(lrc_adapter_load(&l->adapter, &l->model, path, LRC_ADAPTER_TRAINING, &problems, &err),
                 LRC_STATUS_OK, "%s: %s %s", path, err.message, lrc_buf_text(&problems.text));
    lrc_problems_release(&problems);
}

static void make_pass(struct loaded *l, enum lrc_tape_use use, enum lrc_dtype activation,
                      const struct lrc_backend *backend)
{
    struct lrc_error              err = { 0 };
    const struct lrc_pass_options options = {
        .backend = backend,
        .activation = activation,
        .use = use,
        .n_tokens = MAX_TOKENS,
        .n_docs = MAX_TOKENS,
        .n_trained = MAX_TOKENS,
        .n_window = 2 * MAX_TOKENS,
        .n_logits = MAX_TOKENS,
        .ranks = l->adapter.ranks,
    };
    cr_assert_eq(lrc_pass_init(&l->pass, &l->model, &options, &err), LRC_STATUS_OK, "%s", err.message);
}

static void load_batch(struct loaded *l, const struct golden *from)
{
    int64_t  n;
    int64_t *ids = golden_ints(from, "input_ids", &n), *labels = golden_ints(from, "labels", &n);
    l->batch = golden_batch(ids, labels, NULL, 2, n / 2, NULL, 0);
    lrc_free(ids);
    lrc_free(labels);
}

static void release(struct loaded *l)
{
    golden_batch_free(&l->batch);
    lrc_pass_release(&l->pass);
    lrc_adapter_release(&l->adapter);
    lrc_model_release(&l->model);
    golden_close(&l->golden);
}

static double forward_loss(struct loaded *l, const struct lrc_adapter *adapter, const struct lrc_batch *batch)
{
    struct lrc_error err = { 0 };
    double           loss_sum = NAN;
    cr_assert_eq(lrc_pass_forward(&l->pass, adapter, batch, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_pass_loss(&l->pass, &loss_sum, &err), LRC_STATUS_OK, "%s", err.message);
    return loss_sum / (double)batch->n_trained;
}

/* The mean loss, and its gradients. */
static double train_loss(struct loaded *l, const struct lrc_adapter *adapter,
                         const struct lrc_model_gradients *gradients, const struct lrc_batch *batch)
{
    struct lrc_error err = { 0 };
    const float      coef = (float)(-1.0 / (double)batch->n_trained);
    const float     *logprob;
    int64_t          n;
    float            grad_norm;
    double           loss_sum = 0.0;
    cr_assert_eq(lrc_pass_begin_step(&l->pass, 0.0, 0, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_pass_train(&l->pass, adapter, gradients, batch, coef, &err), LRC_STATUS_OK, "%s",
                 err.message);
    cr_assert_eq(lrc_pass_read_step(&l->pass, &logprob, &n, &grad_norm, &err), LRC_STATUS_OK, "%s",
                 err.message);
    cr_assert_eq(n, batch->n_trained);
    for (int64_t i = 0; i < n; i++)
        loss_sum -= (double)logprob[i];
    return loss_sum / (double)batch->n_trained;
}

static void expect_logits(struct loaded *l, const char *tensor, const char *key, int64_t first_row,
                          int64_t n_rows)
{
    struct lrc_error err = { 0 };
    const float     *logits;
    const int64_t    vocab = l->model.config.vocab_size;
    for (int64_t at = 0; at < n_rows; at += l->pass.head_chunk) {
        const int64_t n = n_rows - at < l->pass.head_chunk ? n_rows - at : l->pass.head_chunk;
        cr_assert_eq(lrc_pass_logits(&l->pass, &logits, first_row + at, n, &err), LRC_STATUS_OK, "%s",
                     err.message);
        golden_expect(&l->golden, tensor, key, logits, n * vocab, at * vocab);
    }
}

static void expect_gradients(struct loaded *l, const struct lrc_trainables *trainables)
{
    for (int64_t i = 0; i < trainables->n; i++) {
        char tensor[256];
        (void)snprintf(tensor, sizeof tensor, "grad.%s", trainables->rows[i].name);
        golden_expect_tensor(&l->golden, tensor, "grad", &trainables->rows[i].grad);
    }
}

/* Gradients of the mean loss with the adapter. */
static void adapter_gradients(struct loaded *l, struct lrc_trainables *trainables,
                              const struct lrc_batch *batch)
{
    struct lrc_error err = { 0 };
    cr_assert_eq(lrc_adapter_trainables(trainables, &l->adapter, &l->model, &err), LRC_STATUS_OK);
    golden_backend()->zero(NULL, trainables->grad_memory, trainables->grad_bytes);
    (void)train_loss(l, &l->adapter, NULL, batch);
}

static void free_trainables(struct lrc_trainables *trainables)
{
    lrc_free(trainables->rows);
    lrc_free(trainables->grads);
}

static void check_base(struct loaded *l)
{
    golden_expect_scalar(&l->golden, "loss", "loss", forward_loss(l, NULL, &l->batch), 0);
    expect_logits(l, "logits", "logits", 0, l->batch.n_tokens);
    int64_t  n;
    int64_t *ids = golden_ints(&l->golden, "pad.input_ids", &n),
            *labels = golden_ints(&l->golden, "pad.labels", &n);
    int64_t         *mask = golden_ints(&l->golden, "pad.attention_mask", &n);
    struct lrc_batch padded = golden_batch(ids, labels, mask, 2, n / 2, NULL, 0);
    golden_expect_scalar(&l->golden, "pad.loss", "pad.loss", forward_loss(l, NULL, &padded), 0);
    golden_batch_free(&padded);
    lrc_free(ids);
    lrc_free(labels);
    lrc_free(mask);
}

static void check_adapter(struct loaded *l)
{
    struct lrc_trainables trainables;
    const int64_t         half = l->batch.n_tokens / 2;
    golden_expect_scalar(&l->golden, "loss_lora", "loss_lora", forward_loss(l, &l->adapter, &l->batch), 0);
    expect_logits(l, "logits_lora_row1", "logits_lora_row1", half, half);
    adapter_gradients(l, &trainables, &l->batch);
    expect_gradients(l, &trainables);
    free_trainables(&trainables);
}

/* 8 steps of 2 micro-batches, as the fixtures' README describes them. */
static void train(struct loaded *l, const struct lrc_stepper *stepper, const struct golden *batches,
                  double learning_rate)
{
    const struct lrc_schedule        *schedule = lrc_schedule_find("linear");
    const struct lrc_schedule_options options = { .n_steps = 8, .warmup_steps = 2 };
    int64_t                           n;
    int64_t                          *ids = golden_ints(batches, "train.input_ids", &n),
            *labels = golden_ints(batches, "train.labels", &n);
    int64_t      *mask = golden_ints(batches, "train.attention_mask", &n);
    const int64_t n_micro = n / 16, n_cols = n_micro / 2;

    for (int64_t step = 0; step < 8; step++) {
        struct lrc_batch       micro[2];
        struct lrc_step_result result;
        struct lrc_error       err = { 0 };
        struct lrc_window      window = { .batches = micro, .n_batches = 2, .step = step };
        for (int64_t m = 0; m < 2; m++) {
            const int64_t at = (2 * step + m) * n_micro;
            micro[m] = golden_batch(ids + at, labels + at, mask + at, 2, n_cols, NULL, 0);
            window.n_trained += micro[m].n_trained;
            window.n_tokens += micro[m].n_real;
        }
        const double lr = learning_rate * schedule->factor(&options, step);
        cr_assert_eq(lrc_step_run(stepper, &result, &window, lr, &err), LRC_STATUS_OK, "%s", err.message);
        golden_expect_scalar(&l->golden, "train.loss", "train.loss", result.loss, step);
        golden_expect_scalar(&l->golden, "train.grad_norm", "train.grad_norm", result.grad_norm, step);
        golden_batch_free(&micro[0]);
        golden_batch_free(&micro[1]);
    }
    lrc_free(ids);
    lrc_free(labels);
    lrc_free(mask);
}

struct training {
    struct lrc_arena            arena;
    struct lrc_optimizer_memory memory;
    struct lrc_stepper          stepper;
};

static void training_init(struct training *t, struct loaded *l, struct lrc_trainables *trainables,
                          const struct lrc_adapter *adapter, const struct lrc_model_gradients *gradients)
{
    struct lrc_error            err = { 0 };
    const struct lrc_optimizer *type = lrc_optimizer_find("adamw_torch");
    *t = (struct training){ .arena.memory = golden_backend()->memory };
    cr_assert_eq(lrc_optimizer_plan(&t->memory, &t->arena, trainables->n_elems, type, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_arena_commit(&t->arena, &err), LRC_STATUS_OK);
    lrc_optimizer_bind(&t->memory, trainables, type);
    t->stepper = (struct lrc_stepper){
        &l->pass, adapter, gradients, trainables, { type, 0.9, 0.999, 1e-8, 0.01 }, 1.0f
    };
}

static void expect_final_adapter(struct loaded *l, const struct lrc_trainables *trainables)
{
    struct golden    final = l->golden; /* its tolerances */
    struct lrc_error err;
    char             path[GOLDEN_PATH_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/adapter_final/adapter_model.safetensors", l->golden.dir);
    cr_assert_eq(lrc_safetensors_open(&final.file, path, &err), LRC_STATUS_OK, "%s", err.message);
    for (int64_t i = 0; i < trainables->n; i++)
        golden_expect_tensor(&final, trainables->rows[i].name, "final_adapter", &trainables->rows[i].value);
    lrc_safetensors_close(&final.file);
}

static void check_training(struct loaded *l)
{
    struct lrc_trainables trainables;
    struct lrc_error      err = { 0 };
    struct training       training;
    cr_assert_eq(lrc_adapter_trainables(&trainables, &l->adapter, &l->model, &err), LRC_STATUS_OK);
    training_init(&training, l, &trainables, &l->adapter, NULL);
    train(l, &training.stepper, &l->golden, 1e-2);
    expect_final_adapter(l, &trainables);
    lrc_arena_release(&training.arena);
    free_trainables(&trainables);
}

static enum lrc_status append_token(void *context, int32_t token, struct lrc_error *err)
{
    lrc_ids_append(context, token);
    return lrc_ids_check(context, err);
}

static void check_generation(struct loaded *l)
{
    int64_t  n_prompt, n_want;
    int64_t *prompt = golden_ints(&l->golden, "generate.prompt", &n_prompt),
            *want = golden_ints(&l->golden, "generate.tokens", &n_want);
    struct lrc_ids                    ids = { 0 }, got = { 0 };
    enum lrc_stop                     stop;
    struct lrc_error                  err = { 0 };
    const struct lrc_generate_options options = {
        .backend = golden_backend(),
        .activation = LRC_DTYPE_F32,
        .sampling = { .top_p = 1.0 },
        .max_new_tokens = n_want,
        .on_token = append_token,
        .context = &got,
    };
    for (int64_t i = 0; i < n_prompt; i++)
        lrc_ids_append(&ids, (int32_t)prompt[i]);
    lrc_adapter_release(&l->adapter);
    load_adapter(l, l->golden.dir, "adapter_final");
    cr_assert_eq(lrc_generate(&stop, &l->model, &l->adapter, &ids, &options, &err), LRC_STATUS_OK, "%s",
                 err.message);
    cr_expect_eq(stop, LRC_STOP_LENGTH);
    cr_assert_eq(got.len, n_want);
    for (int64_t i = 0; i < n_want; i++)
        cr_expect_eq(got.data[i], (int32_t)want[i], "%s: token %lld: got %d, want %lld", l->golden.dir,
                     (long long)i, got.data[i], (long long)want[i]);
    lrc_ids_release(&ids);
    lrc_ids_release(&got);
    lrc_free(prompt);
    lrc_free(want);
}

static void check_family(const char *root, const char *name, const char *config_name,
                         const struct lrc_backend *backend)
{
    struct loaded    l = { 0 };
    struct lrc_error err;
    char             from[GOLDEN_PATH_MAX + 32], copy[GOLDEN_PATH_MAX];
    golden_open(&l.golden, root, name);
    (void)snprintf(from, sizeof from, "%s/model", l.golden.dir);
    golden_copy_model(copy, from, config_name);
    load_model(&l, copy, 0);
    load_adapter(&l, l.golden.dir, "adapter_init");
    make_pass(&l, LRC_TAPE_TRAINING, LRC_DTYPE_F32, backend);
    load_batch(&l, &l.golden);
    check_base(&l);
    check_adapter(&l);
    check_training(&l);
    check_generation(&l);
    release(&l);
    cr_assert_eq(lrc_dir_remove(copy, &err), LRC_STATUS_OK);
}

Test(golden_models, own_families_equal_the_reference_on_every_backend)
{
    char root[GOLDEN_PATH_MAX];
    own_root(root);
    for (int f = 0; f < N_FAMILIES; f++)
        for (const struct lrc_backend *const *backend = golden_backends(); *backend; backend++)
            check_family(root, families[f], "config.json", *backend);
}

Test(golden_models, checkpointing_changes_no_bit_of_the_gradients)
{
    char          root[GOLDEN_PATH_MAX];
    struct loaded l = { 0 };
    own_root(root);
    golden_open(&l.golden, root, "llama");
    char path[GOLDEN_PATH_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/model", l.golden.dir);
    load_model(&l, path, 0);
    load_adapter(&l, l.golden.dir, "adapter_init");
    load_batch(&l, &l.golden);

    struct lrc_trainables trainables;
    make_pass(&l, LRC_TAPE_TRAINING, LRC_DTYPE_F32, golden_backend());
    adapter_gradients(&l, &trainables, &l.batch);
    float *kept = lrc_calloc(trainables.n_elems, sizeof *kept),
          *again = lrc_calloc(trainables.n_elems, sizeof *again);
    cr_assert(kept && again);
    golden_to_host(kept, trainables.grad_memory, trainables.grad_bytes);
    lrc_pass_release(&l.pass);
    free_trainables(&trainables);

    make_pass(&l, LRC_TAPE_CHECKPOINTING, LRC_DTYPE_F32, golden_backend());
    adapter_gradients(&l, &trainables, &l.batch);
    golden_to_host(again, trainables.grad_memory, trainables.grad_bytes);
    cr_expect_eq(memcmp(kept, again, trainables.grad_bytes), 0);
    lrc_free(kept);
    lrc_free(again);
    free_trainables(&trainables);
    release(&l);
}

/* bf16 compute: the tolerance is twice the distance between bf16 and float32 compute of the reference itself.
 */
static void check_bf16(const char *root, const char *name)
{
    struct loaded l = { 0 };
    char          path[GOLDEN_PATH_MAX + 32];
    golden_open(&l.golden, root, name);
    (void)snprintf(path, sizeof path, "%s/model_bf16", l.golden.dir);
    load_model(&l, path, 0);
    load_batch(&l, &l.golden);
    make_pass(&l, LRC_TAPE_INFERENCE, LRC_DTYPE_F32, golden_backend());
    golden_expect_scalar(&l.golden, "loss_bf16_weights", "loss_bf16_weights",
                         forward_loss(&l, NULL, &l.batch), 0);
    expect_logits(&l, "logits_bf16_weights", "logits_bf16_weights", 0, l.batch.n_tokens);
    lrc_pass_release(&l.pass);
    make_pass(&l, LRC_TAPE_INFERENCE, LRC_DTYPE_BF16, golden_backend());
    golden_expect_scalar(&l.golden, "loss_bf16_compute", "loss_bf16_compute",
                         forward_loss(&l, NULL, &l.batch), 0);
    expect_logits(&l, "logits_bf16_compute", "logits_bf16_compute", 0, l.batch.n_tokens);
    release(&l);
}

static void check_full(const char *root)
{
    struct loaded         l = { 0 };
    struct golden         family;
    struct lrc_full       full;
    struct lrc_trainables trainables;
    struct training       training;
    struct lrc_error      err = { 0 };
    char                  path[GOLDEN_PATH_MAX + 32];
    golden_open(&family, root, "llama");
    golden_open(&l.golden, root, "llama/full");
    (void)snprintf(path, sizeof path, "%s/model", family.dir);
    load_model(&l, path, 1);
    make_pass(&l, LRC_TAPE_TRAINING, LRC_DTYPE_F32, golden_backend());
    load_batch(&l, &family);
    cr_assert_eq(lrc_full_init(&full, &l.model, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_full_trainables(&trainables, &full, &err), LRC_STATUS_OK, "%s", err.message);

    golden_expect_scalar(&l.golden, "loss", "loss", train_loss(&l, NULL, &full.gradients, &l.batch), 0);
    expect_gradients(&l, &trainables);

    training_init(&training, &l, &trainables, NULL, &full.gradients);
    train(&l, &training.stepper, &family, 1e-3);
    (void)forward_loss(&l, NULL, &l.batch);
    expect_logits(&l, "logits_trained_row1", "logits_trained_row1", l.batch.n_tokens / 2,
                  l.batch.n_tokens / 2);
    lrc_arena_release(&training.arena);
    free_trainables(&trainables);
    lrc_full_release(&full);
    golden_close(&family);
    release(&l);
}

Test(golden_models, own_full_fine_tuning_equals_the_reference)
{
    char root[GOLDEN_PATH_MAX];
    own_root(root);
    check_full(root);
}

static void check_packed(const char *root)
{
    struct loaded l = { 0 };
    struct golden family;
    int64_t       n, n_offsets;
    char          path[GOLDEN_PATH_MAX + 32];
    golden_open(&family, root, "llama");
    golden_open(&l.golden, root, "llama/packed");
    (void)snprintf(path, sizeof path, "%s/model", family.dir);
    load_model(&l, path, 0);
    load_adapter(&l, family.dir, "adapter_init");
    make_pass(&l, LRC_TAPE_TRAINING, LRC_DTYPE_F32, golden_backend());
    int64_t *ids = golden_ints(&l.golden, "input_ids", &n), *labels = golden_ints(&l.golden, "labels", &n);
    int64_t *offsets = golden_ints(&l.golden, "cu_seqlens", &n_offsets);
    l.batch = golden_batch(ids, labels, NULL, 1, n, offsets, n_offsets - 1);
    golden_expect_scalar(&l.golden, "loss", "loss", forward_loss(&l, NULL, &l.batch), 0);
    expect_logits(&l, "logits", "logits", 0, n);
    struct lrc_trainables trainables;
    golden_expect_scalar(&l.golden, "loss_lora", "loss_lora", forward_loss(&l, &l.adapter, &l.batch), 0);
    adapter_gradients(&l, &trainables, &l.batch);
    expect_gradients(&l, &trainables);
    free_trainables(&trainables);
    lrc_free(ids);
    lrc_free(labels);
    lrc_free(offsets);
    golden_close(&family);
    release(&l);
}

Test(golden_models, own_packed_row_equals_the_reference)
{
    char root[GOLDEN_PATH_MAX];
    own_root(root);
    check_packed(root);
}

/* The model of a family with another golden folder on top: NF4 weights, or another adapter. */
static void check_variant(const char *root, const char *family_name, const char *name, const char *model,
                          int trains)
{
    struct loaded l = { 0 };
    struct golden family;
    char          path[GOLDEN_PATH_MAX + 96], full_name[96];
    (void)snprintf(full_name, sizeof full_name, "%s/%s", family_name, name);
    golden_open(&family, root, family_name);
    golden_open(&l.golden, root, full_name);
    (void)snprintf(path, sizeof path, "%s/%s", root, model);
    load_model(&l, path, 0);
    load_adapter(&l, trains ? family.dir : l.golden.dir, "adapter_init");
    make_pass(&l, LRC_TAPE_TRAINING, LRC_DTYPE_F32, golden_backend());
    load_batch(&l, &family);
    check_adapter(&l);
    if (trains) { /* and the base alone */
        golden_expect_scalar(&l.golden, "loss", "loss", forward_loss(&l, NULL, &l.batch), 0);
        expect_logits(&l, "logits", "logits", 0, l.batch.n_tokens);
        struct lrc_trainables trainables;
        struct training       training;
        struct lrc_error      err;
        cr_assert_eq(lrc_adapter_trainables(&trainables, &l.adapter, &l.model, &err), LRC_STATUS_OK);
        training_init(&training, &l, &trainables, &l.adapter, NULL);
        train(&l, &training.stepper, &family, 1e-2);
        lrc_arena_release(&training.arena);
        free_trainables(&trainables);
    }
    golden_close(&family);
    release(&l);
}

Test(golden_models, own_nf4_base_equals_the_reference)
{
    char root[GOLDEN_PATH_MAX];
    own_root(root);
    check_variant(root, "llama", "qlora_nf4", "llama/qlora_nf4/model", 1);
}

static int fixtures(char root[GOLDEN_PATH_MAX])
{
    const char *folder = getenv("LRC_FIXTURES");
    if (!folder)
        return 0;
    (void)snprintf(root, GOLDEN_PATH_MAX, "%s/models", folder);
    return 1;
}

#define SKIP_WITHOUT_FIXTURES(root)                                                                          \
    if (!fixtures(root))                                                                                     \
    cr_skip_test("LRC_FIXTURES is not set: nothing to compare with")

Test(golden_fixtures, families_equal_the_reference_in_both_spellings_of_the_configuration)
{
    char root[GOLDEN_PATH_MAX];
    SKIP_WITHOUT_FIXTURES(root);
    for (int f = 0; f < N_FAMILIES; f++) {
        check_family(root, families[f], "config.json", golden_backend());
        check_family(root, families[f], "config_v4.json", golden_backend());
    }
}

Test(golden_fixtures, bf16_weights_and_compute_equal_the_reference)
{
    char root[GOLDEN_PATH_MAX];
    SKIP_WITHOUT_FIXTURES(root);
    check_bf16(root, "llama");
    check_bf16(root, "qwen2");
}

/* qlora_nf4 of that folder is not compared: its down_proj has 96 columns, and its values come from
 * bitsandbytes' CPU path, which reads the wrong block scale where columns are no multiple of the block. Ours
 * (golden_models) are of the stored weights. */
Test(golden_fixtures, full_and_packed_equal_the_reference)
{
    char root[GOLDEN_PATH_MAX];
    SKIP_WITHOUT_FIXTURES(root);
    check_full(root);
    check_packed(root);
}

/* The written model, loaded again. */
static void check_merged(const char *root, const char *name)
{
    struct loaded           l = { 0 };
    struct lrc_merge_report report;
    struct lrc_problems     problems = { 0 };
    struct lrc_error        err = { 0 };
    char base[GOLDEN_PATH_MAX + 32], adapter[GOLDEN_PATH_MAX + 32], out[] = "/tmp/lorica-merged-XXXXXX";
    golden_open(&l.golden, root, name);
    (void)snprintf(base, sizeof base, "%s/model", l.golden.dir);
    (void)snprintf(adapter, sizeof adapter, "%s/adapter_final", l.golden.dir);
    cr_assert_not_null(mkdtemp(out));
    const struct lrc_merge_options options = { .base = base, .adapter = adapter, .out = out };
    cr_assert_eq(lrc_merge(&options, &report, &problems, &err), LRC_STATUS_OK, "%s", err.message);
    load_model(&l, out, 0);
    load_batch(&l, &l.golden);
    make_pass(&l, LRC_TAPE_INFERENCE, LRC_DTYPE_F32, golden_backend());
    (void)forward_loss(&l, NULL, &l.batch);
    expect_logits(&l, "logits_merged_row1", "logits_merged_row1", l.batch.n_tokens / 2, l.batch.n_tokens / 2);
    release(&l);
    lrc_problems_release(&problems);
    cr_assert_eq(lrc_dir_remove(out, &err), LRC_STATUS_OK);
}

Test(golden_fixtures, merged_models_equal_the_reference)
{
    char root[GOLDEN_PATH_MAX];
    SKIP_WITHOUT_FIXTURES(root);
    for (int f = 0; f < N_FAMILIES; f++)
        check_merged(root, families[f]);
}

Test(golden_fixtures, adapter_variants_equal_the_reference)
{
    static const char *const variants[] = { "variants/rslora",   "variants/target_regex",
                                            "variants/exclude",  "variants/layers_to_transform",
                                            "variants/patterns", "variants/patterns_rslora" };
    char                     root[GOLDEN_PATH_MAX];
    SKIP_WITHOUT_FIXTURES(root);
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++)
        check_variant(root, "llama", variants[v], "llama/model", 0);
}
