#include "train/run__private.h"

#include "base/log.h"
#include "base/machine.h"
#include "data/token_store.h"
#include "device.h"
#include <stdio.h>
#include <string.h>

static enum lrc_dtype activation_of(const struct lrc_run *run)
{
    const char *bf16 = run->config->bf16;
    if (strcmp(bf16, "auto") == 0)
        return lrc_device_has_bf16(run->backend) ? LRC_DTYPE_BF16 : LRC_DTYPE_F32;
    return strcmp(bf16, "true") == 0 ? LRC_DTYPE_BF16 : LRC_DTYPE_F32;
}

static void largest_batch(const struct lrc_run *run, struct lrc_pass_options *options)
{
    int64_t n_docs = 0, n_tokens = 0, n_trained = 0;
    lrc_batch_stream_limits(run->stream, &options->n_tokens, &options->n_docs, &options->n_trained);
    if (run->held_out_stream)
        lrc_batch_stream_limits(run->held_out_stream, &n_tokens, &n_docs, &n_trained);
    options->n_tokens = n_tokens > options->n_tokens ? n_tokens : options->n_tokens;
    options->n_docs = n_docs > options->n_docs ? n_docs : options->n_docs;
    options->n_trained = n_trained > options->n_trained ? n_trained : options->n_trained;
}

static void add_region(struct lrc_train_report *report, const char *name, const char *where, int64_t bytes)
{
    LRC_ASSERT(report->n_regions < LRC_PLAN_REGIONS_MAX);
    if (bytes > 0)
        report->regions[report->n_regions++] = (struct lrc_plan_region){ name, where, bytes };
    *(strcmp(where, "device") == 0 ? &report->device_bytes : &report->planned_bytes) += bytes;
}

static void add_arena(struct lrc_train_report *report, const struct lrc_arena *arena)
{
    for (int i = 0; i < arena->n_regions; i++)
        add_region(report, arena->regions[i].name, lrc_arena_where(arena),
                   (int64_t)lrc_arena_added_bytes(arena, i));
}

/* In memory, or what is kept there of tokens on the disk. */
static int64_t token_bytes(const struct lrc_dataset *dataset)
{
    const int64_t bytes = 2 * (int64_t)sizeof(int32_t) * dataset->n_ids;
    if (dataset->borrows_tokens)
        return 0;
    return dataset->store && bytes > LRC_TOKEN_STORE_BYTES ? LRC_TOKEN_STORE_BYTES : bytes;
}

/* What became of the rows, where the examples lie, and how they are packed. */
static int64_t row_bytes(const struct lrc_dataset *dataset)
{
    const int64_t n_records = dataset->rows ? dataset->n_rows : 0;
    return n_records * (int64_t)sizeof *dataset->rows +
           dataset->n_examples * (int64_t)sizeof *dataset->examples;
}

/* What a run on the CPU takes beside all that depends on its config, in the parts of docs/memory.md: code and
 * data of the program and its libraries, small blocks of the heap and stacks, what libhdf5 holds while a
 * checkpoint is written, and the step in which that is hashed. */
static const int64_t PROCESS_BYTES = 27000000;
/* Code and room that oneDNN makes for the products of weight gradients. */
static const int64_t PROCESS_FULL_BYTES = 14000000;

static void list_regions(struct lrc_run *run)
{
    struct lrc_train_report *report = run->report;
    report->n_regions = 0;
    report->planned_bytes = 0;
    report->device_bytes = 0;
    add_region(report, "base weights, mapped", "file", (int64_t)run->model.mapped_bytes);
    const struct lrc_arena *const arenas[] = {
        &run->model.arena, &run->model.away,      &run->adapter.arena,
        &run->full.arena,  &run->optimizer_arena, &run->snapshot.arena,
        &run->pass.arena,  &run->pass.staging,    &run->model.staging,
    };
    for (size_t i = 0; i < sizeof arenas / sizeof arenas[0]; i++)
        add_arena(report, arenas[i]);
    /* what is quantized on a device passes through memory that the arenas behind the base's take when it is
     * done */
    const int64_t loading = (int64_t)run->model.loading.size_bytes,
                  later = report->device_bytes - (int64_t)run->model.arena.size_bytes;
    if (run->model.device && loading > later)
        add_region(report, "upload of the base", "device", loading - later);
    add_region(report, "batches, read ahead", "host",
               (int64_t)(lrc_batch_stream_bytes(run->stream) +
                         (run->held_out_stream ? lrc_batch_stream_bytes(run->held_out_stream) : 0)));
    add_region(report, "tokens and targets", "host",
               token_bytes(&run->dataset) + token_bytes(&run->held_out));
    add_region(report, "rows", "host",
               row_bytes(&run->dataset) + row_bytes(&run->held_out) +
                   (int64_t)lrc_batch_stream_packing_bytes(run->stream));
    add_region(report, "tokenizer and template", "host", run->text_bytes);
    add_region(report, "program and libraries", "process", PROCESS_BYTES);
    if (run->is_full && !run->backend->memory)
        add_region(report, "oneDNN", "process", PROCESS_FULL_BYTES);
}

/* Where the run computes: planned and available bytes there. */
static int64_t planned_of(const struct lrc_run *run)
{
    return run->backend->memory ? run->report->device_bytes : run->report->planned_bytes;
}

static int64_t available_to(const struct lrc_run *run)
{
    return run->backend->memory ? run->report->device_available_bytes : run->report->available_bytes;
}

/* Bytes that a pass with other options would save. */
static int64_t saved_by(const struct lrc_run *run, const struct lrc_pass_options *options)
{
    struct lrc_pass pass;
    if (lrc_pass_plan(&pass, (struct lrc_model *)(uintptr_t)&run->model, options, NULL) != LRC_STATUS_OK)
        return 0;
    return (int64_t)run->pass.arena.size_bytes - (int64_t)pass.arena.size_bytes;
}

/* "1.50 GB", "2.30 MB" */
struct amount {
    char text[32];
};

static struct amount amount_of(int64_t bytes)
{
    struct amount amount;
    const double  gb = (double)bytes * 1e-9;
    (void)snprintf(amount.text, sizeof amount.text, "%.2f %s", gb < 0.1 && gb > -0.1 ? gb * 1e3 : gb,
                   gb < 0.1 && gb > -0.1 ? "MB" : "GB");
    return amount;
}

static int64_t embedding_bytes(const struct lrc_model *model)
{
    const struct lrc_weight *weight = &model->embedding;
    return weight->rows * weight->cols * (int64_t)lrc_dtype_bytes(weight->dtype);
}

/* One that saves next to nothing is no help. */
static void add_knob(struct lrc_buf *knobs, const char *what, int64_t bytes)
{
    if (bytes >= 10000)
        lrc_buf_printf(knobs, "%s %s; ", what, amount_of(bytes).text);
}

static void list_knobs(const struct lrc_run *run, struct lrc_buf *knobs)
{
    const int               on_device = run->backend->memory != NULL;
    struct lrc_pass_options options = run->pass.options;
    const int               recomputes = options.use == LRC_TAPE_CHECKPOINTING;
    options.use = LRC_TAPE_CHECKPOINTING;
    if (!recomputes)
        add_knob(knobs, "gradient_checkpointing: true saves", saved_by(run, &options));
    options.offloads = 1;
    if (on_device && !run->pass.options.offloads)
        add_knob(knobs,
                 recomputes ? "activation_offloading: true saves"
                            : "gradient_checkpointing: true with activation_offloading: true saves",
                 saved_by(run, &options));
    if (on_device && !run->config->optimizer_offloading)
        add_knob(knobs, "optimizer_offloading: true saves", (int64_t)run->optimizer_arena.size_bytes);
    if (on_device && !run->is_full && !run->model.config.tied && run->model.away.size_bytes == 0)
        add_knob(knobs, "embedding_offloading: true saves", embedding_bytes(&run->model));
    options = run->pass.options;
    options.n_tokens =
        (options.n_tokens / 2 + LRC_BATCH_ROUND_TOKENS - 1) / LRC_BATCH_ROUND_TOKENS * LRC_BATCH_ROUND_TOKENS;
    options.n_trained = (options.n_trained + 1) / 2;
    add_knob(knobs,
             run->config->micro_batch_size > 1 ? "half the micro_batch_size saves"
                                               : "half the sequence_len saves",
             saved_by(run, &options));
    if (!run->model_options.load_in_4bit && !run->is_full && !run->model.config.is_bnb_4bit)
        add_knob(knobs, "load_in_4bit saves about",
                 (int64_t)(on_device ? run->model.arena.size_bytes : run->model.mapped_bytes) / 10 * 7);
}

static const struct lrc_plan_region *largest_region(const struct lrc_train_report *report, int on_device)
{
    const struct lrc_plan_region *largest = NULL;
    for (int64_t i = 0; i < report->n_regions; i++) {
        const struct lrc_plan_region *region = &report->regions[i];
        if ((strcmp(region->where, "device") == 0) == on_device &&
            (!largest || region->bytes > largest->bytes))
            largest = region;
    }
    return largest;
}

/* on_device: of the two memories, the one that it does not fit into. */
static enum lrc_status fail_too_large(const struct lrc_run *run, int on_device, struct lrc_error *err)
{
    const struct lrc_train_report *report = run->report;
    const struct lrc_plan_region  *largest = largest_region(report, on_device);
    struct lrc_buf                 knobs = { 0 };
    if (on_device == (run->backend->memory != NULL))
        list_knobs(run, &knobs);
    const enum lrc_status status = lrc_fail(
        err, LRC_STATUS_NOMEM, "%smemory: want %s, got %s %s; '%s' takes %s; %snothing was loaded",
        on_device ? "device " : "", amount_of(on_device ? report->device_bytes : report->planned_bytes).text,
        amount_of(on_device ? report->device_available_bytes : report->available_bytes).text,
        !on_device && run->config->max_memory == report->available_bytes ? "by max_memory" : "available",
        largest ? largest->name : "?", amount_of(largest ? largest->bytes : 0).text, lrc_buf_text(&knobs));
    lrc_buf_release(&knobs);
    return status;
}

/* What the page cache holds of the base is counted as taken, though the system could do without. */
static void find_available(struct lrc_run *run)
{
    struct lrc_train_report *report = run->report;
    const int64_t            most = run->config->max_memory;
    report->available_bytes = lrc_machine_available_bytes();
    if (most > 0 && (report->available_bytes < 0 || most < report->available_bytes))
        report->available_bytes = most;
    report->device_available_bytes = run->backend->memory ? lrc_device_free_bytes(run->backend) : 0;
}

static enum lrc_status check_fits(struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_train_report *report = run->report;
    if (report->device_available_bytes >= 0 && report->device_bytes > report->device_available_bytes)
        return fail_too_large(run, 1, err);
    if (report->available_bytes >= 0 && report->planned_bytes > report->available_bytes)
        return fail_too_large(run, 0, err);
    return LRC_STATUS_OK;
}

/* More than 80 % of what is available where the run computes. */
static int is_tight(const struct lrc_run *run)
{
    const int64_t available = available_to(run);
    return available >= 0 && planned_of(run) > available / 10 * 8;
}

static enum lrc_status plan_again(struct lrc_run *run, const struct lrc_pass_options *options,
                                  struct lrc_error *err)
{
    LRC_TRY(lrc_pass_plan(&run->pass, &run->model, options, err));
    list_regions(run);
    return LRC_STATUS_OK;
}

/* Keys that say nothing here. */
static void warn_of_offloading(const struct lrc_run *run)
{
    const struct lrc_config *config = run->config;
    const struct {
        const char *key;
        int         is_on;
    } keys[] = { { "activation_offloading", config->activation_offloading },
                 { "embedding_offloading", config->embedding_offloading },
                 { "optimizer_offloading", config->optimizer_offloading } };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i].is_on && !run->backend->memory)
            lrc_log_warn("%s: %s has no effect on the CPU", lrc_config_where(config, keys[i].key),
                         keys[i].key);
    if (run->backend->memory && config->embedding_offloading && run->model.away.size_bytes == 0)
        lrc_log_warn("%s: embedding_offloading has no effect: %s", lrc_config_where(config, keys[1].key),
                     run->is_full ? "the embedding is trained" : "the output layer shares the embedding");
}

enum lrc_status lrc_run__plan(struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_config    *config = run->config;
    const struct lrc_optimizer *type = lrc_optimizer_find(config->optimizer);
    const int64_t               n_elems = run->is_full ? run->full.n_elems : run->adapter.n_params;
    struct lrc_pass_options     options = {
            .backend = run->backend,
            .activation = activation_of(run),
            .use =
            strcmp(config->gradient_checkpointing, "true") == 0 ? LRC_TAPE_CHECKPOINTING : LRC_TAPE_TRAINING,
            .ranks = run->adapter.ranks,
            .dropout = run->is_full ? 0.0f : (float)run->adapter.config.lora_dropout,
            .seed = (uint64_t)config->seed,
    };
    options.offloads = config->activation_offloading;
    warn_of_offloading(run);
    largest_batch(run, &options);
    options.n_window = options.n_trained * config->gradient_accumulation_steps;
    run->optimizer_arena.memory = config->optimizer_offloading ? run->backend->mapped : run->backend->memory;
    LRC_TRY(lrc_optimizer_plan(&run->optimizer_memory, &run->optimizer_arena, n_elems, type, err));
    run->snapshot.in_place = run->is_full && !run->backend->memory;
    LRC_TRY(lrc_snapshot_plan(&run->snapshot, run->backend, n_elems, type, err));
    LRC_TRY(lrc_pass_plan(&run->pass, &run->model, &options, err));
    list_regions(run);
    find_available(run);

    /* first what only costs speed in the products, then what computes layers twice */
    if (run->backend->memory && is_tight(run)) {
        options.narrow = 1;
        LRC_TRY(plan_again(run, &options, err));
    }
    if (strcmp(config->gradient_checkpointing, "auto") == 0 && is_tight(run)) {
        lrc_log_info("gradient checkpointing on: without it the run takes %s of %s available%s",
                     amount_of(planned_of(run)).text, amount_of(available_to(run)).text,
                     run->backend->memory ? " on the device" : "");
        options.use = LRC_TAPE_CHECKPOINTING;
        LRC_TRY(plan_again(run, &options, err));
    }
    return check_fits(run, err);
}
