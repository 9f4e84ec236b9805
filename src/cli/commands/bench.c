#include "cli/bench_compare.h"
#include "cli/bench_settings.h"
#include "cli/op_table.h"
#include "base/log.h"
#include "cli/model_options.h"
#include "cli/yardstick.h"

#include "base/file.h"
#include "base/json.h"
#include "base/machine.h"
#include "base/rng.h"
#include "device.h"
#include "model/synthetic.h"
#include "train/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { OPS_MAX = 64, OP_STEPS = 2 };

struct result {
    double               ms[LRC_BENCH_STEPS_MAX];
    double               loss_first, loss_last, norm_a, norm_b;
    struct lrc_yardstick before, after;
    double               wall_ms; /* of all timed steps */
    int64_t              allocated_bytes, process_bytes, held_bytes;
    int64_t              op_steps; /* that op_times saw */
    double               flops_per_token;
};

struct bench {
    const struct lrc_backend   *backend;
    struct lrc_bench_settings   settings;
    struct result               result;
    struct lrc_model            model;
    struct lrc_adapter          adapter;
    struct lrc_trainables       trainables;
    struct lrc_arena            arena; /* optimizer */
    struct lrc_optimizer_memory optimizer;
    struct lrc_pass             pass;
    struct lrc_stepper          stepper;
    struct lrc_batch            batch;
    enum lrc_dtype              activation;
    struct lrc_buf              earlier; /* the file of --compare */
};

/* Rows of random tokens, all trained. */
static enum lrc_status make_batch(struct lrc_batch *batch, const struct lrc_bench_settings *s,
                                  struct lrc_error *err)
{
    const int64_t n = s->batch * s->seq;
    *batch = (struct lrc_batch){ .n_tokens = n, .n_real = n, .n_docs = s->batch };
    batch->tokens = lrc_calloc(n, sizeof *batch->tokens);
    batch->targets = lrc_calloc(n, sizeof *batch->targets);
    batch->positions = lrc_calloc(n, sizeof *batch->positions);
    batch->row_ids = lrc_calloc(n, sizeof *batch->row_ids);
    batch->doc_offsets = lrc_calloc(s->batch + 1, sizeof *batch->doc_offsets);
    batch->trained_index = lrc_calloc(n, sizeof *batch->trained_index);
    batch->trained_target = lrc_calloc(n, sizeof *batch->trained_target);
    if (!batch->tokens || !batch->targets || !batch->positions || !batch->row_ids || !batch->doc_offsets ||
        !batch->trained_index || !batch->trained_target)
        return lrc_fail_nomem(err, "bench");
    for (int64_t i = 0; i < n; i++) {
        batch->tokens[i] =
            (int32_t)lrc_rng_below(lrc_rng_philox(7, 0, (uint64_t)i), (uint64_t)s->shape.vocab);
        batch->positions[i] = (int32_t)(i % s->seq);
        batch->row_ids[i] = (uint32_t)(i / s->seq);
        batch->doc_offsets[i / s->seq + 1] = (int32_t)(i + 1);
    }
    for (int64_t i = 0; i < n; i++) {
        const int is_last = (i + 1) % s->seq == 0;
        batch->targets[i] = is_last ? -1 : batch->tokens[i + 1];
        if (is_last)
            continue;
        batch->trained_index[batch->n_trained] = (int32_t)i;
        batch->trained_target[batch->n_trained++] = batch->targets[i];
    }
    return LRC_STATUS_OK;
}

static void free_batch(struct lrc_batch *batch)
{
    void *const arrays[] = { batch->tokens,      batch->targets,       batch->positions,     batch->row_ids,
                             batch->doc_offsets, batch->trained_index, batch->trained_target };
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        lrc_free(arrays[i]);
}

/* By way of the host, where the backend has memory of its own. */
static enum lrc_status fill_adapter(struct bench *b, struct lrc_error *err)
{
    const size_t bytes = (size_t)b->adapter.n_params * sizeof(float);
    float       *values = lrc_calloc(b->adapter.n_params, sizeof *values);
    if (!values)
        return lrc_fail_nomem(err, "bench");
    lrc_adapter_reset(&b->adapter, values, 1, LRC_ADAPTER_KAIMING);
    enum lrc_status status = b->backend->upload(NULL, b->adapter.values, values, bytes, err);
    if (status == LRC_STATUS_OK)
        status = b->backend->synchronize(NULL, err);
    lrc_free(values);
    return status;
}

static enum lrc_status make_adapter(struct bench *b, struct lrc_error *err)
{
    struct lrc_peft_config peft = { .r = b->settings.rank, .lora_alpha = 2.0 * (double)b->settings.rank };
    enum lrc_status        status = lrc_bench_targets(&peft, b->settings.targets, err);
    if (status == LRC_STATUS_OK)
        status = lrc_adapter_init(&b->adapter, &b->model, &peft, LRC_ADAPTER_TRAINING, err);
    lrc_peft_config_release(&peft);
    LRC_TRY(status);
    LRC_TRY(fill_adapter(b, err));
    return lrc_adapter_trainables(&b->trainables, &b->adapter, &b->model, err);
}

static enum lrc_status make_all(struct bench *b, struct lrc_error *err)
{
    const struct lrc_bench_settings *s = &b->settings;
    const struct lrc_quant_options   quant = { lrc_quant_type_find("nf4"), 64, 1 };
    const int                        is_f32 = strcmp(s->mode, "f32") == 0;
    const struct lrc_optimizer      *type = lrc_optimizer_find("adamw_torch");

    b->activation = is_f32 ? LRC_DTYPE_F32 : LRC_DTYPE_BF16;
    const struct lrc_synthetic_options synthetic = {
        .device = b->backend,
        .dtype = b->activation,
        .quant = strcmp(s->mode, "nf4") == 0 ? &quant : NULL,
        .n_positions = s->seq,
        .room = lrc_linear_room(s->rank),
        .embedding_offloading = s->ckpt == LRC_BENCH_CKPT_OFFLOAD_ALL,
    };
    LRC_TRY(lrc_model_synthetic(&b->model, &s->shape, &synthetic, err));
    LRC_TRY(make_adapter(b, err));
    LRC_TRY(make_batch(&b->batch, s, err));
    const struct lrc_pass_options options = {
        /* on a device, waiting for each op would be measured with it */
        .backend = b->backend->memory ? b->backend : lrc_op_times_start(b->backend),
        .activation = b->activation,
        .use = s->ckpt == LRC_BENCH_CKPT_OFF ? LRC_TAPE_TRAINING : LRC_TAPE_CHECKPOINTING,
        .offloads = s->ckpt >= LRC_BENCH_CKPT_OFFLOAD,
        .n_tokens = s->batch * s->seq,
        .n_docs = s->batch,
        .n_trained = s->batch * s->seq,
        .ranks = b->adapter.ranks,
    };
    LRC_TRY(lrc_pass_init(&b->pass, &b->model, &options, err));
    b->arena.memory = s->ckpt == LRC_BENCH_CKPT_OFFLOAD_ALL ? b->backend->mapped : b->backend->memory;
    LRC_TRY(lrc_optimizer_plan(&b->optimizer, &b->arena, b->trainables.n_elems, type, err));
    LRC_TRY(lrc_arena_commit(&b->arena, err));
    lrc_optimizer_bind(&b->optimizer, &b->trainables, type);
    b->stepper =
        (struct lrc_stepper){ &b->pass, &b->adapter, NULL, &b->trainables, { type, 0.9, 0.999, 1e-8, 0.0 },
                              0.0f };
    b->result.held_bytes = (int64_t)(b->model.arena.size_bytes + (size_t)b->adapter.n_params * sizeof(float));
    b->result.allocated_bytes =
        (int64_t)(b->model.arena.size_bytes + b->adapter.arena.size_bytes + b->pass.arena.size_bytes);
    if (s->ckpt != LRC_BENCH_CKPT_OFFLOAD_ALL)
        b->result.allocated_bytes += (int64_t)b->arena.size_bytes;
    return LRC_STATUS_OK;
}

/* FLOPs that training must do per token: 4 per frozen element that multiplies, 6 per adapter element, three
 * times the causal attention's forward pass; recomputation, dequantization and padding do not count. */
static double flops_per_token(const struct bench *b)
{
    const struct lrc_model_shape *shape = &b->settings.shape;
    const double                  q = (double)(shape->n_heads * shape->head_dim),
                 kv = (double)(shape->n_kv_heads * shape->head_dim);
    const double hidden = (double)shape->hidden,
                 layer = 2.0 * hidden * q + 2.0 * hidden * kv + 3.0 * hidden * (double)shape->intermediate;
    const double frozen = (double)shape->n_layers * layer + hidden * (double)shape->vocab;
    const double attention = (double)shape->n_layers * 4.0 * ((double)b->settings.seq / 2.0) * q;
    return 4.0 * frozen + 6.0 * (double)b->adapter.n_params + 3.0 * attention;
}

/* Norms of all A's and all B's gradients of the last step. */
static enum lrc_status measure_norms(struct bench *b, struct lrc_error *err)
{
    double       sums[2] = { 0.0, 0.0 };
    float       *grads = lrc_calloc(b->adapter.n_params, sizeof *grads);
    const float *grad = grads;
    if (!grads)
        return lrc_fail_nomem(err, "bench");
    enum lrc_status status =
        b->backend->download(NULL, grads, b->adapter.grads, (size_t)b->adapter.n_params * sizeof *grads, err);
    if (status == LRC_STATUS_OK)
        status = b->backend->synchronize(NULL, err);
    for (int64_t i = 0; i < b->trainables.n; i++)
        for (int64_t e = 0, n = lrc_tensor_elems(&b->trainables.rows[i].grad); e < n; e++, grad++)
            sums[i % 2] += (double)*grad * (double)*grad; /* rows come as A, B, A, B */
    b->result.norm_a = sqrt(sums[0]);
    b->result.norm_b = sqrt(sums[1]);
    lrc_free(grads);
    return status;
}

static enum lrc_status run_step(struct bench *b, struct lrc_step_result *result, int64_t step,
                                struct lrc_error *err)
{
    const struct lrc_window window = { .batches = &b->batch,
                                       .n_batches = 1,
                                       .n_trained = b->batch.n_trained,
                                       .n_tokens = b->batch.n_real,
                                       .step = step };
    return lrc_step_run(&b->stepper, result, &window, 1e-3, err);
}

/* Every timed step between two events; events: (steps + 1). */
static enum lrc_status time_steps(struct bench *b, struct lrc_event **events, struct lrc_error *err)
{
    const int64_t          warmup = b->settings.warmup, n = b->settings.steps;
    struct lrc_step_result result;
    double                 started = 0.0;
    for (int64_t i = 0; i <= n; i++)
        LRC_TRY(b->backend->event_new(&events[i], err));
    for (int64_t step = 0; step < warmup + n; step++) {
        if (step == warmup) {
            lrc_op_times_clear();
            LRC_TRY(b->backend->synchronize(NULL, err));
            LRC_TRY(b->backend->event_record(NULL, events[0], err));
            started = lrc_machine_seconds();
        }
        LRC_TRY(run_step(b, &result, step, err));
        if (step >= warmup)
            LRC_TRY(b->backend->event_record(NULL, events[step - warmup + 1], err));
        if (step == 0)
            b->result.loss_first = result.loss;
        b->result.loss_last = result.loss;
    }
    LRC_TRY(b->backend->event_wait(events[n], err));
    b->result.wall_ms = (lrc_machine_seconds() - started) * 1e3;
    for (int64_t i = 0; i < n; i++)
        LRC_TRY(b->backend->event_elapsed(&b->result.ms[i], events[i], events[i + 1], err));
    return LRC_STATUS_OK;
}

/* Ops one by one. On the CPU the timed steps have told already. */
static enum lrc_status time_ops(struct bench *b, struct lrc_error *err)
{
    struct lrc_step_result result;
    b->result.op_steps = b->settings.steps;
    if (!b->backend->memory)
        return LRC_STATUS_OK;
    b->result.op_steps = OP_STEPS;
    b->pass.options.backend = lrc_op_times_start(b->backend);
    for (int64_t i = 0; i < OP_STEPS; i++)
        LRC_TRY(run_step(b, &result, b->settings.warmup + b->settings.steps + i, err));
    return LRC_STATUS_OK;
}

/* The process on the host; with a device the memory used on that, which it has for itself. */
static int64_t process_bytes(const struct bench *b)
{
    struct lrc_device_facts facts;
    if (b->backend->memory && lrc_device_look(&facts, NULL) == LRC_STATUS_OK)
        return facts.used_bytes;
    return lrc_machine_peak_bytes();
}

static enum lrc_status measure_steps(struct bench *b, struct lrc_error *err)
{
    struct lrc_event **events = lrc_calloc(b->settings.steps + 1, sizeof(struct lrc_event *));
    if (!events)
        return lrc_fail_nomem(err, "bench");
    enum lrc_status status = time_steps(b, events, err);
    for (int64_t i = 0; i <= b->settings.steps; i++)
        b->backend->event_free(events[i]);
    lrc_free(events);
    LRC_TRY(status);
    LRC_TRY(measure_norms(b, err));
    b->result.process_bytes = process_bytes(b);
    b->result.flops_per_token = flops_per_token(b);
    return time_ops(b, err);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct rates {
    double median, min, max, gemm, copy, mfu;
};

static struct rates rates_of(struct bench *b)
{
    const int64_t n = b->settings.steps;
    const double  tokens = (double)b->batch.n_real * 1e3;
    double       *ms = b->result.ms;
    qsort(ms, (size_t)n, sizeof *ms, ascending);
    struct rates rates = { tokens / (n % 2 ? ms[n / 2] : 0.5 * (ms[n / 2 - 1] + ms[n / 2])),
                           tokens / ms[n - 1],
                           tokens / ms[0],
                           fmax(b->result.before.gflops, b->result.after.gflops),
                           fmax(b->result.before.copy_gb_per_s, b->result.after.copy_gb_per_s),
                           0.0 };
    rates.mfu = rates.median * b->result.flops_per_token * 1e-9 / rates.gemm;
    return rates;
}

static struct lrc_op_peaks peaks_of(const struct rates *rates)
{
    return (struct lrc_op_peaks){ rates->gemm, rates->copy };
}

static void print_text(struct bench *b)
{
    const struct lrc_bench_settings *s = &b->settings;
    const struct rates               rates = rates_of(b);
    const struct lrc_op_peaks        peaks = peaks_of(&rates);
    struct lrc_op_time               times[OPS_MAX];
    const int                        n_ops = lrc_op_times_list(times, OPS_MAX);
    struct lrc_buf                   table = { 0 };
    lrc_cli_print("%s %s, batch %lld x %lld, rank %lld on %s, checkpointing %s, on %s\n", s->shape.name,
                  s->mode, (long long)s->batch, (long long)s->seq, (long long)s->rank, s->targets,
                  lrc_bench_ckpt_words[s->ckpt], b->backend->name);
    lrc_cli_print("%.1f tokens/s (%.1f to %.1f), %.1f %% of the %.0f GFLOP/s that products of the step's "
                  "shapes reach\n",
                  rates.median, rates.min, rates.max, 100.0 * rates.mfu, rates.gemm);
    lrc_cli_print("products: %.0f GFLOP/s before, %.0f after; square %.0f and %.0f; copy %.1f GB/s\n",
                  b->result.before.gflops, b->result.after.gflops, b->result.before.square,
                  b->result.after.square, rates.copy);
    lrc_cli_print("memory: %.3f GB in arenas, %.3f GB peak of the %s\n",
                  (double)b->result.allocated_bytes * 1e-9, (double)b->result.process_bytes * 1e-9,
                  b->backend->memory ? "device" : "process");
    lrc_cli_print("loss %.4f -> %.4f, gradient norms A %.4g, B %.4g\n\n", b->result.loss_first,
                  b->result.loss_last, b->result.norm_a, b->result.norm_b);
    lrc_op_table_text(&table, times, n_ops, b->result.op_steps, &peaks);
    lrc_cli_write(lrc_buf_text(&table), table.len);
    lrc_buf_release(&table);
}

static void put(struct lrc_buf *out, const char *key, double value)
{
    const char last = out->len > 0 ? out->data[out->len - 1] : '{';
    lrc_buf_printf(out, "%s\"%s\": ", last == '{' ? "" : ", ", key);
    lrc_json_append_number(out, value);
}

static void put_ops(struct lrc_buf *out, const struct bench *b, const struct rates *rates)
{
    const struct lrc_op_peaks peaks = peaks_of(rates);
    struct lrc_op_time        times[OPS_MAX];
    const int                 n_ops = lrc_op_times_list(times, OPS_MAX);
    lrc_buf_puts(out, ", \"op_ms\": {");
    for (int i = 0; i < n_ops && times[i].n_calls > 0; i++)
        put(out, times[i].name, times[i].seconds * 1e3 / (double)b->result.op_steps);
    lrc_buf_puts(out, "}, \"ops\": ");
    lrc_op_table_json(out, times, n_ops, b->result.op_steps, &peaks);
    lrc_buf_puts(out, "}\n");
}

static void write_json(struct lrc_buf *out, struct bench *b)
{
    const struct lrc_bench_settings *s = &b->settings;
    const struct lrc_model_shape    *shape = &s->shape;
    const struct rates               rates = rates_of(b);
    lrc_buf_puts(out, "{\"label\": ");
    lrc_json_append_string(out, s->label, strlen(s->label));
    lrc_buf_printf(out,
                   ", \"program\": \"lorica\", \"device\": \"%s\", \"mode\": \"%s\", \"shape\": \"%s\", "
                   "\"dims\": [%lld, %lld, "
                   "%lld, %lld, %lld, %lld, %lld, %s, %.1f]",
                   b->backend->name, s->mode, shape->name, (long long)shape->hidden,
                   (long long)shape->n_layers, (long long)shape->intermediate, (long long)shape->n_heads,
                   (long long)shape->n_kv_heads, (long long)shape->head_dim, (long long)shape->vocab,
                   shape->tied ? "true" : "false", shape->rope_theta);
    put(out, "batch", (double)s->batch);
    put(out, "seq", (double)s->seq);
    put(out, "rank", (double)s->rank);
    lrc_buf_printf(out, ", \"targets\": \"%s\", \"ckpt\": \"%s\"", s->targets, lrc_bench_ckpt_words[s->ckpt]);
    put(out, "steps", (double)s->steps);
    put(out, "warmup", (double)s->warmup);
    lrc_buf_puts(out, ", \"tokens_per_s\": {");
    put(out, "median", rates.median);
    put(out, "min", rates.min);
    put(out, "max", rates.max);
    lrc_buf_putc(out, '}');
    put(out, "wall_tokens_per_s", (double)(s->steps * b->batch.n_real) * 1e3 / b->result.wall_ms);
    lrc_buf_puts(out, ", \"memory\": {");
    put(out, "held_before_steps_bytes", (double)b->result.held_bytes);
    put(out, "peak_allocated_bytes", (double)b->result.allocated_bytes);
    put(out, "process_bytes", (double)b->result.process_bytes);
    lrc_buf_puts(out, "}, \"loss\": {");
    put(out, "first", b->result.loss_first);
    put(out, "last", b->result.loss_last);
    lrc_buf_puts(out, "}, \"grad_norm\": {");
    put(out, "a", b->result.norm_a);
    put(out, "b", b->result.norm_b);
    lrc_buf_puts(out, "}, \"flops_per_token\": {");
    put(out, "model", b->result.flops_per_token);
    lrc_buf_puts(out, "}, \"gemm_tflops\": {");
    put(out, "before", b->result.before.gflops * 1e-3);
    put(out, "after", b->result.after.gflops * 1e-3);
    lrc_buf_puts(out, "}, \"square_tflops\": {");
    put(out, "before", b->result.before.square * 1e-3);
    put(out, "after", b->result.after.square * 1e-3);
    lrc_buf_putc(out, '}');
    put(out, "copy_gb_per_s", rates.copy);
    put(out, "mfu_gemm", rates.mfu);
    put_ops(out, b, &rates);
}

/* The earlier file is read before anything is measured: a wrong name costs no time. */
static enum lrc_status print_results(struct bench *b, const struct lrc_cli *cli,
                                     const struct lrc_buf *earlier, struct lrc_error *err)
{
    const char     *name = lrc_cli_option(cli, "compare");
    struct lrc_buf  json = { 0 }, compared = { 0 };
    enum lrc_status status = LRC_STATUS_OK;
    write_json(&json, b);
    if (lrc_cli_has(cli, "json"))
        lrc_cli_write(lrc_buf_text(&json), json.len);
    else
        print_text(b);
    if (name)
        status = lrc_bench_compare(&compared, lrc_buf_text(&json), earlier->data, earlier->len, name, err);
    if (status == LRC_STATUS_OK && name)
        lrc_cli_print("\n%s", lrc_buf_text(&compared));
    lrc_buf_release(&compared);
    lrc_buf_release(&json);
    return status;
}

static enum lrc_status bench(struct bench *b, const struct lrc_cli *cli, struct lrc_problems *problems,
                             struct lrc_error *err)
{
    LRC_TRY(lrc_bench_settings_read(&b->settings, cli, problems, err));
    LRC_TRY(lrc_cli_set_threads(cli, err));
    if (lrc_cli_option(cli, "compare") && lrc_cli_has(cli, "json"))
        return lrc_fail(err, LRC_STATUS_USAGE,
                        "--compare: want a text, got --json, which prints one document and nothing else");
    if (lrc_cli_option(cli, "compare"))
        LRC_TRY(lrc_file_read(&b->earlier, lrc_cli_option(cli, "compare"), err));
    LRC_TRY(lrc_cli_choose_device(&b->backend, cli, err));
    if (b->settings.ckpt >= LRC_BENCH_CKPT_OFFLOAD && !b->backend->memory) {
        lrc_log_warn("offloading has no effect on the CPU");
        b->settings.ckpt = LRC_BENCH_CKPT_ON;
    }
    LRC_TRY(lrc_yardstick_measure(&b->result.before, b->backend, &b->settings, err));
    LRC_TRY(make_all(b, err));
    LRC_TRY(measure_steps(b, err));
    LRC_TRY(lrc_yardstick_measure(&b->result.after, b->backend, &b->settings, err));
    if (!isfinite(b->result.loss_last) || !(b->result.norm_b > 0.0))
        return lrc_fail(
            err, LRC_STATUS_NUMERIC,
            "bench: want a finite loss and a gradient of B, got loss %g and norm %g: nothing was trained",
            b->result.loss_last, b->result.norm_b);
    return print_results(b, cli, &b->earlier, err);
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct bench *b = lrc_calloc(1, sizeof *b);
    if (!b)
        return lrc_fail_nomem(err, "bench");
    const enum lrc_status status = bench(b, cli, problems, err);
    lrc_buf_release(&b->earlier);
    free_batch(&b->batch);
    lrc_pass_release(&b->pass);
    lrc_arena_release(&b->arena);
    lrc_free(b->trainables.rows);
    lrc_free(b->trainables.grads);
    lrc_adapter_release(&b->adapter);
    lrc_model_release(&b->model);
    lrc_free(b);
    return status;
}

static const struct lrc_option bench_options[] = {
    { "mode", "bf16|nf4|f32", "type of the base; nf4 computes in bf16; default bf16" },
    { "shape", "p1|1b|3b|8b|small|tiny", "shape of the model, random weights; default p1" },
    { "batch", "N", "rows; 4" },
    { "seq", "N", "tokens per row; 512" },
    { "rank", "N", "of the adapters; 16" },
    { "targets", "all|attn|mlp|qv", "linears with an adapter; all" },
    { "ckpt", "off|on|offload|offload-all",
      "gradient checkpointing; with layer inputs, or all that can be, on the host" },
    { "steps", "N", "timed steps; 5" },
    { "warmup", "N", "steps before; 2" },
    { "compare", "FILE", "lines of an earlier --json: the last one of the same run is set beside this one" },
    { "label", "TEXT", "copied into the JSON line" },
    { NULL, NULL, NULL },
};

const struct lrc_command lrc_command_bench = {
    .name = "bench",
    .arguments = "[CONFIG]",
    .summary =
        "this machine's training speed and memory at a named shape or that of a run's config, with random "
        "weights, beside the product rate it reaches",
    .arguments_min = 0,
    .arguments_max = 1,
    .options = bench_options,
    .common = LRC_COMMON_THREADS | LRC_COMMON_DEVICE,
    .run = run,
};
