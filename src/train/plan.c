#include "train/run__private.h"

#include "base/log.h"
#include "base/machine.h"
#include "data/token_store.h"
#include <stdio.h>
#include <string.h>

static enum lrc_dtype activation_of(const struct lrc_config *config)
{
    if (strcmp(config->bf16, "auto") == 0)
        return lrc_backend_cpu_has_bf16() ? LRC_DTYPE_BF16 : LRC_DTYPE_F32;
    return strcmp(config->bf16, "true") == 0 ? LRC_DTYPE_BF16 : LRC_DTYPE_F32;
}

static void largest_batch(const struct lrc_run *run, struct lrc_pass_options *options)
{
    int64_t n_docs, n_tokens = 0, n_trained = 0;
    lrc_batch_stream_limits(run->stream, &options->n_tokens, &n_docs, &options->n_trained);
    if (run->held_out_stream)
        lrc_batch_stream_limits(run->held_out_stream, &n_tokens, &n_docs, &n_trained);
    options->n_tokens = n_tokens > options->n_tokens ? n_tokens : options->n_tokens;
    options->n_trained = n_trained > options->n_trained ? n_trained : options->n_trained;
}

static void add_region(struct lrc_train_report *report, const char *name, const char *where, int64_t bytes)
{
    LRC_ASSERT(report->n_regions < LRC_PLAN_REGIONS_MAX);
    if (bytes > 0)
        report->regions[report->n_regions++] = (struct lrc_plan_region){ name, where, bytes };
    report->planned_bytes += bytes;
}

static void add_arena(struct lrc_train_report *report, const struct lrc_arena *arena)
{
    for (int i = 0; i < arena->n_regions; i++) {
        const size_t end = i + 1 < arena->n_regions ? arena->regions[i + 1].offset_bytes : arena->size_bytes;
        add_region(report, arena->regions[i].name, "host", (int64_t)(end - arena->regions[i].offset_bytes));
    }
}

/* In memory, or what is kept there of tokens on the disk. */
static int64_t token_bytes(const struct lrc_dataset *dataset)
{
    const int64_t bytes = 2 * (int64_t)sizeof(int32_t) * dataset->n_ids;
    if (dataset->borrows_tokens)
        return 0;
    return dataset->store && bytes > LRC_TOKEN_STORE_BYTES ? LRC_TOKEN_STORE_BYTES : bytes;
}

static void list_regions(struct lrc_run *run)
{
    struct lrc_train_report *report = run->report;
    report->n_regions = 0;
    report->planned_bytes = 0;
    add_region(report, "base weights, mapped", "file", (int64_t)run->model.mapped_bytes);
    add_arena(report, &run->model.arena);
    add_arena(report, &run->adapter.arena);
    add_arena(report, &run->full.arena);
    add_arena(report, &run->optimizer_arena);
    add_arena(report, &run->pass.arena);
    add_region(report, "tokens and targets", "host",
               token_bytes(&run->dataset) + token_bytes(&run->held_out));
}

/* Bytes that a pass with other options would save. */
static int64_t saved_by(const struct lrc_run *run, const struct lrc_pass_options *options)
{
    struct lrc_pass pass;
    if (lrc_pass_plan(&pass, (struct lrc_model *)(uintptr_t)&run->model, options, NULL) != LRC_STATUS_OK)
        return 0;
    return (int64_t)run->pass.arena.size_bytes - (int64_t)pass.arena.size_bytes;
}

static enum lrc_status fail_too_large(const struct lrc_run *run, struct lrc_error *err)
{
    struct lrc_pass_options options = run->pass.options;
    struct lrc_buf          knobs = { 0 };
    if (options.use != LRC_TAPE_CHECKPOINTING) {
        options.use = LRC_TAPE_CHECKPOINTING;
        lrc_buf_printf(&knobs, "gradient_checkpointing: true saves %.2f GB; ",
                       (double)saved_by(run, &options) * 1e-9);
    }
    options = run->pass.options;
    options.n_tokens =
        (options.n_tokens / 2 + LRC_BATCH_ROUND_TOKENS - 1) / LRC_BATCH_ROUND_TOKENS * LRC_BATCH_ROUND_TOKENS;
    options.n_trained = (options.n_trained + 1) / 2;
    if (run->config->micro_batch_size > 1)
        lrc_buf_printf(&knobs, "half the micro_batch_size saves %.2f GB; ",
                       (double)saved_by(run, &options) * 1e-9);
    else
        lrc_buf_printf(&knobs, "half the sequence_len saves %.2f GB; ",
                       (double)saved_by(run, &options) * 1e-9);
    if (!run->model_options.load_in_4bit && !run->is_full && !run->model.config.is_bnb_4bit)
        lrc_buf_printf(&knobs, "load_in_4bit saves about %.2f GB; ",
                       (double)run->model.mapped_bytes * 0.7e-9);
    const enum lrc_status status =
        lrc_fail(err, LRC_STATUS_NOMEM, "memory: want %.2f GB, got %.2f GB available; %snothing was loaded",
                 (double)run->report->planned_bytes * 1e-9, (double)run->report->available_bytes * 1e-9,
                 lrc_buf_text(&knobs));
    lrc_buf_release(&knobs);
    return status;
}

enum lrc_status lrc_run__plan(struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    struct lrc_train_report *report = run->report;
    const int64_t            n_elems = run->is_full ? run->full.n_elems : run->trainables.n_elems;
    struct lrc_pass_options  options = {
         .backend = lrc_backend_cpu(),
         .activation = activation_of(config),
         .use =
            strcmp(config->gradient_checkpointing, "true") == 0 ? LRC_TAPE_CHECKPOINTING : LRC_TAPE_TRAINING,
         .rank_max = run->adapter.rank_max,
         .rank_sum = run->adapter.rank_sum_max,
         .dropout = run->is_full ? 0.0f : (float)run->adapter.config.lora_dropout,
         .seed = (uint64_t)config->seed,
    };
    largest_batch(run, &options);
    LRC_TRY(lrc_optimizer_plan(&run->optimizer_memory, &run->optimizer_arena, n_elems,
                               lrc_optimizer_find(config->optimizer), err));
    LRC_TRY(lrc_pass_plan(&run->pass, &run->model, &options, err));
    list_regions(run);

    /* what the page cache holds of the base is counted, though the system could do without */
    report->available_bytes = lrc_machine_available_bytes();
    if (strcmp(config->gradient_checkpointing, "auto") == 0 && report->available_bytes >= 0 &&
        report->planned_bytes > report->available_bytes / 10 * 8) {
        lrc_log_info("gradient checkpointing on: without it the run takes %.1f GB of %.1f GB available",
                     (double)report->planned_bytes * 1e-9, (double)report->available_bytes * 1e-9);
        options.use = LRC_TAPE_CHECKPOINTING;
        LRC_TRY(lrc_pass_plan(&run->pass, &run->model, &options, err));
        list_regions(run);
    }
    if (report->available_bytes >= 0 && report->planned_bytes > report->available_bytes)
        return fail_too_large(run, err);
    return LRC_STATUS_OK;
}
