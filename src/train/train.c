#include "train/train.h"

#include "base/log.h"
#include "base/machine.h"
#include "train/run__private.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Same folder under whatever name; the result must not be written over its own sources. */
static int is_same_dir(const char *a, const char *b)
{
    struct stat first, second;
    return b && stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

static int is_of_a_run(char **names, int64_t n_names)
{
    for (int64_t i = 0; i < n_names; i++)
        if (strcmp(names[i], "metrics.jsonl") == 0 || strcmp(names[i], "run.json") == 0 ||
            strncmp(names[i], "rows.jsonl", 10) == 0 || strncmp(names[i], "checkpoint-", 11) == 0)
            return 1;
    return n_names == 0;
}

static enum lrc_status check_output_dir(const struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    const int                may_be_there =
        run->options->resume || config->resume_from_checkpoint || config->auto_resume_from_checkpoints;
    if (!lrc_path_exists(config->output_dir))
        return LRC_STATUS_OK;
    if (is_same_dir(config->output_dir, config->base_model) ||
        is_same_dir(config->output_dir, config->lora_model_dir))
        return lrc_fail(err, LRC_STATUS_CONFIG,
                        "output_dir: want another folder than the base's and the adapter's, got '%s'",
                        config->output_dir);
    char  **names;
    int64_t n_names;
    LRC_TRY(lrc_dir_list(config->output_dir, &names, &n_names, err));
    const int is_free = may_be_there ? is_of_a_run(names, n_names) : n_names == 0;
    lrc_dir_list_free(names, n_names);
    if (!is_free && may_be_there)
        return lrc_fail(
            err, LRC_STATUS_CONFIG,
            "output_dir: want the folder of a run, or an empty or new one, got '%s' with other files",
            config->output_dir);
    if (!is_free)
        return lrc_fail(err, LRC_STATUS_CONFIG,
                        "output_dir: want an empty or new folder, got '%s' with %lld %s; --resume goes "
                        "on with a run",
                        config->output_dir, (long long)n_names, n_names == 1 ? "entry" : "entries");
    return LRC_STATUS_OK;
}

/* SHA-256 over what is trained on: the tokens of all rows, and which rows both parts have. It holds data,
 * tokenizer, template, split, weights. */
static enum lrc_status hash_tokens(struct lrc_run *run, struct lrc_error *err)
{
    const struct lrc_dataset *const both[] = { &run->dataset, &run->held_out };
    struct lrc_hash                 hash;
    LRC_TRY(lrc_hash_init(&hash, err));
    for (size_t d = 0; d < 2; d++) {
        lrc_hash_update(&hash, both[d]->tokens_hash, sizeof both[d]->tokens_hash);
        for (int64_t i = 0; i < both[d]->n_examples; i++)
            lrc_hash_update(&hash, &both[d]->examples[i].id, sizeof both[d]->examples[i].id);
        lrc_hash_update(&hash, "/", 1);
    }
    lrc_hash_finish(&hash, run->state.data_hash);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_run__hash_base(struct lrc_run *run, struct lrc_error *err)
{
    LRC_TRY(lrc_model_hash(&run->model, err));
    memcpy(run->state.base_hash, run->model.hash, sizeof run->state.base_hash);
    return LRC_STATUS_OK;
}

static enum lrc_status init_state(struct lrc_run *run, struct lrc_error *err)
{
    run->state.best_eval_loss = NAN;
    run->state.n_steps = run->n_steps;
    (void)snprintf(run->state.device, sizeof run->state.device, "%s", run->backend->name);
    (void)snprintf(run->state.version, sizeof run->state.version, "%s", LRC_VERSION);
    lrc_config_write_json(run->config, &run->config_json);
    LRC_TRY(lrc_buf_check(&run->config_json, err));
    return hash_tokens(run, err);
}

static void log_plan(const struct lrc_run *run)
{
    const struct lrc_model_config *c = &run->model.config;
    lrc_log_info("%s: %s, %lld layers, hidden %lld, vocabulary %lld; %s base, %s compute on %s",
                 run->config->base_model, c->family->model_type, (long long)c->n_layers,
                 (long long)c->hidden_size, (long long)c->vocab_size,
                 run->model.layers[0].linear[0].weight.type == LRC_BLOCK_DENSE
                     ? lrc_dtype_info[run->model.layers[0].linear[0].weight.dtype].name
                     : lrc_quant_type_of(run->model.layers[0].linear[0].weight.type)->name,
                 lrc_dtype_info[run->pass.options.activation].name, run->backend->name);
    struct lrc_buf device = { 0 };
    if (run->report->device_bytes > 0)
        lrc_buf_printf(&device, ", %.1f MB on the device", (double)run->report->device_bytes * 1e-6);
    lrc_log_info("%lld trainable parameters, %lld steps (%lld per epoch), %.1f MB planned%s",
                 (long long)run->report->n_trainable, (long long)run->n_steps,
                 (long long)run->steps_per_epoch, (double)run->report->planned_bytes * 1e-6,
                 lrc_buf_text(&device));
    lrc_buf_release(&device);
}

static enum lrc_status run_all(struct lrc_run *run, struct lrc_problems *problems, struct lrc_error *err)
{
    char *dir = NULL;

    if (!run->options->plan)
        LRC_TRY(check_output_dir(run, err));
    LRC_TRY(lrc_run__load(run, problems, err));
    LRC_TRY(lrc_run__prepare(run, problems, err));
    if (run->options->plan)
        return LRC_STATUS_OK;
    log_plan(run);
    if (run->options->dry_run)
        return LRC_STATUS_OK;
    LRC_TRY(init_state(run, err));

    LRC_TRY(lrc_dir_make(run->config->output_dir, err));
    LRC_TRY(lrc_dir_lock(&run->output_lock, run->config->output_dir, err));
    LRC_TRY(check_output_dir(run, err)); /* another run may have come and gone since it was looked at first */
    LRC_TRY(lrc_checkpoint_clean(run->config->output_dir, err));
    LRC_TRY(lrc_run__find_checkpoint(run, &dir, err));
    const enum lrc_status restored = dir ? lrc_run__restore(run, dir, problems, err) : LRC_STATUS_OK;
    lrc_free(dir);
    LRC_TRY(restored);
    LRC_TRY(lrc_run__open_metrics(run, err));
    LRC_TRY(lrc_run__write_ledger(run, err));

    run->time_started = lrc_machine_seconds();
    LRC_TRY(lrc_run__loop(run, err));
    run->report->time_s = lrc_run__time(run);
    run->report->tokens_per_second = (double)run->report->n_tokens / (run->report->time_s - run->time_before);
    LRC_TRY(lrc_run__write_outputs(run, err));
    run->report->peak_bytes = lrc_machine_peak_bytes();
    return LRC_STATUS_OK;
}

static void release(struct lrc_run *run)
{
    (void)lrc_checkpoint_writer_wait(&run->writer, NULL); /* what ended the run is told */
    if (run->metrics)
        fclose(run->metrics);
    if (run->output_lock >= 0)
        close(run->output_lock);
    lrc_buf_release(&run->config_json);
    lrc_pass_release(&run->pass);
    lrc_snapshot_release(&run->snapshot);
    lrc_arena_release(&run->optimizer_arena);
    lrc_free(run->trainables.rows);
    lrc_free(run->trainables.grads);
    lrc_full_release(&run->full);
    lrc_adapter_release(&run->adapter);
    lrc_batch_stream_free(run->held_out_stream);
    lrc_batch_stream_free(run->stream);
    lrc_dataset_release(&run->held_out);
    lrc_dataset_release(&run->dataset);
    lrc_template_free(run->template);
    lrc_tokenizer_free(run->tokenizer);
    lrc_model_release(&run->model);
}

enum lrc_status lrc_train(const struct lrc_config *config, const struct lrc_train_options *options,
                          struct lrc_train_report *report, struct lrc_problems *problems,
                          struct lrc_error *err)
{
    *report = (struct lrc_train_report){
        .loss_first = NAN, .loss_last = NAN, .eval_loss_first = NAN, .eval_loss_last = NAN
    };
    struct lrc_run        run = { .config = config,
                                  .options = options,
                                  .report = report,
                                  .output_lock = -1,
                                  .is_full = strcmp(config->adapter, "full") == 0 };
    const enum lrc_status status = run_all(&run, problems, err);
    release(&run);
    return status;
}
