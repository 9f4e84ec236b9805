#include "train/run__private.h"

#include "base/log.h"
#include "base/machine.h"
#include "data/token_cache.h"
#include "device.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

static int is_qlora(const struct lrc_config *config)
{
    return config->load_in_4bit || strcmp(config->adapter, "qlora") == 0;
}

static enum lrc_status load_model(struct lrc_run *run, struct lrc_problems *problems, struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    run->model_options = (struct lrc_model_options){
        .device = run->backend,
        .load_in_4bit = is_qlora(config),
        .embedding_offloading = config->embedding_offloading,
        .quant = { lrc_quant_type_find(config->bnb_4bit_quant_type), 64, config->bnb_4bit_use_double_quant },
        .trainable = run->is_full,
        .room = lrc_linear_room(config->lora_r), /* one of a larger rank is copied at each product */
        .n_positions = config->sequence_len + LRC_BATCH_ROUND_TOKENS,
        .plan_only = 1, /* weights are read when all is known to fit */
    };
    LRC_TRY(lrc_model_load(&run->model, config->base_model, &run->model_options, problems, err));
    if (config->sequence_len > run->model.config.max_positions)
        lrc_problems_add(problems, "%s: sequence_len: want at most the model's %lld positions, got %lld",
                         lrc_config_where(config, "sequence_len"), (long long)run->model.config.max_positions,
                         (long long)config->sequence_len);
    return lrc_problems_fail(problems, LRC_STATUS_CONFIG, "configuration", err);
}

enum lrc_status lrc_run__load_text_tools(struct lrc_run *run, struct lrc_problems *problems,
                                         struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    struct lrc_dataset_needs needs, test_needs;
    (void)problems;
    LRC_TRY(lrc_dataset_needs(&needs, config->datasets.items, config->datasets.n, err));
    LRC_TRY(lrc_dataset_needs(&test_needs, config->test_datasets.items, config->test_datasets.n, err));
    const int64_t before = lrc_machine_heap_bytes();
    const char   *preference = needs.preference ? needs.preference : test_needs.preference;
    if (preference && !run->reads_preferences)
        return lrc_fail(err, LRC_STATUS_CONFIG,
                        "rl: want a preference objective for rows of type '%s', which is not available yet; "
                        "preprocess reads them",
                        preference);
    if (needs.tokenizer || test_needs.tokenizer) {
        LRC_TRY(lrc_tokenizer_load(&run->tokenizer, config->base_model, err));
        if (lrc_tokenizer_n_ids(run->tokenizer) > run->model.config.vocab_size)
            return lrc_fail(err, LRC_STATUS_FORMAT,
                            "%s: want a tokenizer of at most the model's %lld ids, got %lld",
                            config->base_model, (long long)run->model.config.vocab_size,
                            (long long)lrc_tokenizer_n_ids(run->tokenizer));
    }
    if (needs.template || test_needs.template)
        LRC_TRY(lrc_template_load(&run->template, config->chat_template, config->base_model, err));
    run->text_bytes = lrc_machine_heap_bytes() - before;
    return LRC_STATUS_OK;
}

static enum lrc_status load_list(struct lrc_run *run, struct lrc_dataset *dataset,
                                 const struct lrc_dataset_list    *list,
                                 const struct lrc_dataset_options *options, struct lrc_problems *problems,
                                 struct lrc_error *err)
{
    if (!run->config->dataset_prepared_path)
        return lrc_dataset_load(dataset, list->items, list->n, options, problems, err);
    const struct lrc_token_cache cache = {
        .dir = run->config->dataset_prepared_path,
        .model_dir = run->config->base_model,
        .write = options->counts_only ? LRC_CACHE_WRITE_NEVER
                 : run->must_cache    ? LRC_CACHE_WRITE_MUST
                                      : LRC_CACHE_WRITE_TRY,
    };
    return lrc_dataset_load_cached(dataset, list, options, &cache, problems, err);
}

struct lrc_dataset_options lrc_run__data_options(const struct lrc_run *run)
{
    const struct lrc_config *config = run->config;
    return (struct lrc_dataset_options){
        .tokenizer = run->tokenizer,
        .template = run->template,
        .sequence_len = config->sequence_len,
        .excess = strcmp(config->excess_length_strategy, "drop") == 0       ? LRC_EXCESS_DROP
                  : strcmp(config->excess_length_strategy, "truncate") == 0 ? LRC_EXCESS_TRUNCATE
                  : strcmp(config->excess_length_strategy, "split") == 0    ? LRC_EXCESS_SPLIT
                                                                            : LRC_EXCESS_RAISE,
        .max_lost_rows_fraction = config->max_lost_rows_fraction,
        .check_masks = !lrc_config_is_set(config, "max_lost_rows_fraction"),
        .train_on_inputs = config->train_on_inputs,
        .roles_to_train = &config->roles_to_train,
        .last_turn_only = config->mask_history,
        .drop_duplicates = config->dataset_exact_deduplication,
        .vocab_size = run->model.config.vocab_size,
        .progress = run->rows_progress,
        .counts_only = run->options->dry_run || run->options->plan,
        .stop = run->options->stop,
    };
}

enum lrc_status lrc_run__load_data(struct lrc_run *run, struct lrc_problems *problems, struct lrc_error *err)
{
    const struct lrc_config   *config = run->config;
    struct lrc_dataset_options options = lrc_run__data_options(run);
    if (run->defers_check) {
        options.max_lost_rows_fraction = 1;
        options.check_masks = 0;
    }
    LRC_TRY(load_list(run, &run->dataset, &config->datasets, &options, problems, err));
    if (config->test_datasets.n > 0)
        return load_list(run, &run->held_out, &config->test_datasets, &options, problems, err);
    return LRC_STATUS_OK;
}

static enum lrc_status split_data(struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    const uint64_t           seed = (uint64_t)config->seed;
    if (config->val_set_size > 0.0)
        LRC_TRY(lrc_dataset_split(&run->dataset, &run->held_out, config->val_set_size,
                                  config->shuffle_merged_datasets, seed, err));
    return lrc_dataset_weigh(&run->dataset, config->datasets.items, config->datasets.n, seed, err);
}

enum lrc_status lrc_run__load(struct lrc_run *run, struct lrc_problems *problems, struct lrc_error *err)
{
    if (run->config->threads > 0)
        omp_set_num_threads((int)run->config->threads);
    LRC_TRY(lrc_device_choose(&run->backend, run->config->device, "device", err));
    LRC_TRY(load_model(run, problems, err));
    LRC_TRY(lrc_run__load_text_tools(run, problems, err));
    LRC_TRY(lrc_run__load_data(run, problems, err));
    LRC_TRY(split_data(run, err));
    lrc_machine_heap_trim(); /* of the files' text and trees */
    return LRC_STATUS_OK;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static void plan_steps(struct lrc_run *run)
{
    const struct lrc_config *config = run->config;
    const int64_t            per_epoch = lrc_batch_stream_steps_per_epoch(run->stream);
    const double             n_epochs = config->num_epochs > 0.0 ? config->num_epochs : 1.0;

    run->steps_per_epoch = per_epoch;
    run->n_steps = config->max_steps > 0 ? config->max_steps : (int64_t)ceil(n_epochs * (double)per_epoch);
    run->logging_steps = config->logging_steps;
    if (run->logging_steps == 0) {
        const int64_t tenth = run->n_steps / 200 < 10 ? run->n_steps / 200 : 10;
        run->logging_steps = tenth > 1 ? tenth : 1;
    }
    run->eval_steps = config->eval_steps > 0        ? config->eval_steps
                      : config->evals_per_epoch > 0 ? ceil_div(per_epoch, config->evals_per_epoch)
                                                    : 0;
    run->save_steps = config->save_steps > 0        ? config->save_steps
                      : config->saves_per_epoch > 0 ? ceil_div(per_epoch, config->saves_per_epoch)
                                                    : 0;
    run->schedule = lrc_schedule_find(config->lr_scheduler);
    run->schedule_options = (struct lrc_schedule_options){
        .n_steps = run->n_steps,
        .warmup_steps = lrc_config_is_set(config, "warmup_steps")
                            ? config->warmup_steps
                            : (int64_t)ceil((double)run->n_steps * config->warmup_ratio),
        .min_lr_ratio = config->cosine_min_lr_ratio,
    };
}

static enum lrc_status make_streams(struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_config       *config = run->config;
    const struct lrc_batch_options options = {
        .micro_batch_size = config->micro_batch_size,
        .accumulation_steps = config->gradient_accumulation_steps,
        .shuffle = config->shuffle_merged_datasets,
        .group_by_length = config->group_by_length,
        .pack_tokens = config->sample_packing ? config->sequence_len : 0,
        .longest_first = config->longest_batch_first,
        .seed = (uint64_t)config->seed,
    };
    const struct lrc_batch_options in_order = { .micro_batch_size = config->micro_batch_size,
                                                .accumulation_steps = 1 };
    LRC_TRY(lrc_batch_stream_new(&run->stream, &run->dataset, &options, err));
    if (run->held_out.n_examples > 0)
        LRC_TRY(lrc_batch_stream_new(&run->held_out_stream, &run->held_out, &in_order, err));
    plan_steps(run);
    return LRC_STATUS_OK;
}

/* All that was planned, in memory: the base first, then what is trained. */
static enum lrc_status commit(struct lrc_run *run, struct lrc_problems *problems, struct lrc_error *err)
{
    lrc_model_hash_start(&run->model, run->model_options.load_in_4bit || run->is_full ? LRC_HASH_DROPS_PAGES
                                                                                      : LRC_HASH_KEEPS_PAGES);
    LRC_TRY(lrc_model_commit(&run->model, &run->model_options, err));
    if (run->is_full) {
        LRC_TRY(lrc_full_commit(&run->full, err));
        LRC_TRY(lrc_full_trainables(&run->trainables, &run->full, err));
    } else {
        LRC_TRY(lrc_adapter_commit(&run->adapter, err));
        LRC_TRY(lrc_adapter_trainables(&run->trainables, &run->adapter, &run->model, err));
    }
    LRC_TRY(lrc_arena_commit(&run->optimizer_arena, err));
    lrc_optimizer_bind(&run->optimizer_memory, &run->trainables, lrc_optimizer_find(run->config->optimizer));
    LRC_TRY(lrc_arena_commit(&run->snapshot.arena, err));
    LRC_TRY(lrc_snapshot_bind(&run->snapshot, &run->trainables, err));
    if (!run->is_full)
        LRC_TRY(lrc_run__fill_adapter(run, problems, err));
    return lrc_pass_commit(&run->pass, err);
}

enum lrc_status lrc_run__prepare(struct lrc_run *run, struct lrc_problems *problems, struct lrc_error *err)
{
    const struct lrc_config    *config = run->config;
    const struct lrc_optimizer *type = lrc_optimizer_find(config->optimizer);

    LRC_ASSERT(type != NULL); /* the config reader knows the same names */
    if (run->is_full)
        LRC_TRY(lrc_full_plan(&run->full, &run->model, err));
    else
        LRC_TRY(lrc_run__plan_adapter(run, problems, err));
    LRC_TRY(make_streams(run, err));
    run->report->n_steps = run->n_steps;
    run->report->n_examples = run->dataset.n_examples;
    run->report->n_held_out = run->held_out.n_examples;
    run->report->n_trainable = run->is_full ? run->full.n_elems : run->adapter.n_params;
    LRC_TRY(lrc_run__plan(run, err));
    if (run->options->plan)
        return LRC_STATUS_OK;
    LRC_TRY(commit(run, problems, err));
    run->stepper = (struct lrc_stepper){
        .pass = &run->pass,
        .adapter = run->is_full ? NULL : &run->adapter,
        .gradients = run->is_full ? &run->full.gradients : NULL,
        .trainables = &run->trainables,
        .optimizer = { type, config->adam_beta1, config->adam_beta2, config->adam_epsilon,
                       config->weight_decay },
        .max_grad_norm = (float)config->max_grad_norm,
    };
    return LRC_STATUS_OK;
}
