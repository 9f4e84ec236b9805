#include "merge/merge.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/rng.h"
#include "merge/merge_private.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

/* The base's hash, computed beside the merge of the first file, against what the adapter says. */
static enum lrc_status check_hash(struct lrc_merge_run *run, struct lrc_error *err)
{
    if (run->recorded[0] == '\0' || run->options->any_base)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_model_hash(&run->model, err));
    if (strcmp(run->recorded, run->model.hash) == 0)
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_FORMAT,
                    "%s: want the base it was trained on (weights' SHA-256 %.12s...), got %s (%.12s...); "
                    "--any-base merges all the same, for the same model in another precision",
                    run->options->adapter, run->recorded, run->options->base, run->model.hash);
}

/* Which base the adapter says it was trained on. With any_base that is taken for granted and not computed. */
static enum lrc_status read_recorded(struct lrc_merge_run *run, struct lrc_error *err)
{
    struct lrc_safetensors file;
    char                  *path = lrc_path_join(run->options->adapter, "adapter_model.safetensors");
    if (!path)
        return lrc_fail_nomem(err, run->options->adapter);
    enum lrc_status status = lrc_safetensors_open(&file, path, err);
    lrc_free(path);
    LRC_TRY(status);
    const char *recorded = lrc_safetensors_metadata(&file, "lorica.base_sha256");
    if (recorded)
        (void)snprintf(run->recorded, sizeof run->recorded, "%s", recorded);
    if (recorded && run->options->any_base)
        lrc_log_warn(
            "%s: merged into %s without asking whether it was trained on it; only shapes are checked",
            run->options->adapter, run->options->base);
    lrc_safetensors_close(&file);
    return status;
}

static enum lrc_status load(struct lrc_merge_run *run, struct lrc_problems *problems, struct lrc_error *err)
{
    const struct lrc_model_options options = { .n_positions = 1 };
    LRC_TRY(lrc_model_load(&run->model, run->options->base, &options, problems, err));
    LRC_TRY(read_recorded(run, err));
    memcpy(run->model.hash, run->recorded, sizeof run->model.hash); /* believed until check_hash() */
    LRC_TRY(lrc_adapter_load(&run->adapter, &run->model, run->options->adapter, LRC_ADAPTER_INFERENCE,
                             problems, err));
    run->model.hash[0] = '\0';
    if (run->recorded[0] != '\0' && !run->options->any_base)
        lrc_model_hash_start(&run->model, LRC_HASH_DROPS_PAGES);
    return LRC_STATUS_OK;
}

static enum lrc_status check_disk(struct lrc_merge_run *run, struct lrc_error *err)
{
    uint64_t need = 0;
    for (int64_t i = 0; i < run->model.dir.n_tensors; i++) {
        struct lrc_merge_entry entry;
        lrc_merge_classify(&entry, run, run->model.dir.tensors[i].entry);
        need += lrc_merge_entry_bytes(&entry);
    }
    return lrc_out_dir_check_disk(&run->out, need, err);
}

static int64_t longest_row(const struct lrc_model *model)
{
    int64_t cols_max = 1;
    for (int64_t layer = 0; layer < model->config.n_layers; layer++)
        for (int m = 0; m < LRC_MODULE_COUNT; m++) {
            const int64_t cols = model->layers[layer].linear[m].weight.cols;
            cols_max = cols > cols_max ? cols : cols_max;
        }
    return cols_max;
}

/* Random signs: one bit of Philox each. */
static void draw_signs(double *signs, int64_t n)
{
    const uint64_t key = lrc_rng_key(0x6d65726765, LRC_RNG_SAMPLE, 0, 0);
    for (int64_t i = 0; i < n; i++)
        signs[i] = lrc_rng_philox(key, 0, (uint64_t)i).word[0] & 1u ? 1.0 : -1.0;
}

static enum lrc_status allocate(struct lrc_merge_run *run, struct lrc_error *err)
{
    run->cols_max = longest_row(&run->model);
    const int64_t elems_min = LRC_MERGE_TILE_ROWS * run->cols_max;
    run->step_elems = elems_min > LRC_MERGE_STEP_ELEMS ? elems_min : LRC_MERGE_STEP_ELEMS;
    run->panel_elems = elems_min > LRC_MERGE_PANEL_ELEMS ? elems_min : LRC_MERGE_PANEL_ELEMS;
    run->n_workers = omp_get_max_threads();
    run->signs = lrc_calloc(LRC_MERGE_PROBES * run->cols_max, sizeof *run->signs);
    run->worker = lrc_calloc(run->n_workers, sizeof *run->worker);
    if (!run->signs || !run->worker)
        return lrc_fail_nomem(err, "merge buffers");
    for (int i = 0; i < run->n_workers; i++) {
        struct lrc_merge_worker *worker = &run->worker[i];
        worker->weight = lrc_calloc(run->panel_elems, sizeof *worker->weight);
        worker->out = lrc_calloc(run->step_elems, sizeof(float));
        worker->sums = lrc_calloc(run->panel_elems, sizeof *worker->sums);
        if (!worker->weight || !worker->out || !worker->sums)
            return lrc_fail_nomem(err, "merge buffers");
    }
    draw_signs(run->signs, LRC_MERGE_PROBES * run->cols_max);
    return LRC_STATUS_OK;
}

static void release_workers(struct lrc_merge_run *run)
{
    for (int i = 0; run->worker && i < run->n_workers; i++) {
        lrc_free(run->worker[i].sums);
        lrc_free(run->worker[i].out);
        lrc_free(run->worker[i].weight);
    }
    lrc_free(run->worker);
    lrc_free(run->signs);
}

static enum lrc_status write_all(struct lrc_merge_run *run, struct lrc_error *err)
{
    LRC_TRY(lrc_out_dir_make(&run->out, err));
    for (int i = 0; i < run->model.dir.n_shards; i++) {
        LRC_TRY(lrc_merge_shard(run, i, err));
        if (i == 0)
            LRC_TRY(check_hash(run, err));
    }
    for (int i = 0; i < run->n_workers; i++) {
        const struct lrc_merge_worker *worker = &run->worker[i];
        run->report->n_changed += worker->n_changed;
        run->report->proof_max = fmax(run->report->proof_max, worker->proof_max);
    }
    if (run->report->n_changed == 0)
        return lrc_fail(err, LRC_STATUS_NUMERIC,
                        "%s: want an adapter that changes a weight, got none that does: B is zero, or every "
                        "change is below "
                        "the rounding of its tensor",
                        run->options->adapter);
    return lrc_merge_rest(run, err);
}

static enum lrc_status merge(struct lrc_merge_run *run, struct lrc_problems *problems, struct lrc_error *err)
{
    LRC_TRY(lrc_out_dir_choose(&run->out, run->options->out, err));
    LRC_TRY(load(run, problems, err));
    LRC_TRY(check_disk(run, err));
    LRC_TRY(allocate(run, err));
    return lrc_out_dir_end(&run->out, write_all(run, err), err);
}

enum lrc_status lrc_merge(const struct lrc_merge_options *options, struct lrc_merge_report *report,
                          struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_merge_run run = { .options = options, .report = report, .backend = lrc_backend_cpu() };
    const double         started = lrc_machine_seconds();
    *report = (struct lrc_merge_report){ 0 };
    const enum lrc_status status = merge(&run, problems, err);
    report->seconds = lrc_machine_seconds() - started;
    release_workers(&run);
    lrc_adapter_release(&run.adapter);
    lrc_model_release(&run.model);
    lrc_out_dir_release(&run.out);
    return status;
}
