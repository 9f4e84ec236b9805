#include "train/preprocess.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "data/ledger.h"
#include "train/run__private.h"
#include <omp.h>
#include <string.h>

static enum lrc_status read_model_config(struct lrc_model_config *model, const char *dir,
                                         struct lrc_problems *problems, struct lrc_error *err)
{
    json_t *json = NULL;
    LRC_TRY(lrc_model_dir_check(dir, err));
    char *path = lrc_path_join(dir, "config.json");
    if (!path)
        return lrc_fail_nomem(err, dir);
    enum lrc_status status = lrc_json_load(&json, path, err);
    lrc_free(path);
    if (status == LRC_STATUS_OK)
        status = lrc_model_config_read(model, json, NULL, problems, err);
    json_decref(json);
    return status;
}

/* Beside the cache, and before rows are found to be too few: it says which were lost. */
static enum lrc_status write_ledger(const struct lrc_run *run, struct lrc_error *err)
{
    const char *dir = run->config->dataset_prepared_path;
    if (!dir)
        return LRC_STATUS_OK;
    char *path = lrc_path_join(dir, "rows.jsonl");
    if (!path)
        return lrc_fail_nomem(err, "rows.jsonl");
    enum lrc_status status = lrc_dir_make(dir, err); /* stdin has no cache that made it */
    if (status == LRC_STATUS_OK)
        status = lrc_ledger_write(path, &run->dataset, &run->held_out, err);
    if (status == LRC_STATUS_OK)
        lrc_log_info("rows and what became of them: %s", path);
    lrc_free(path);
    return status;
}

static enum lrc_status load(struct lrc_run *run, struct lrc_problems *problems, struct lrc_error *err)
{
    if (run->config->threads > 0)
        omp_set_num_threads((int)run->config->threads);
    LRC_TRY(read_model_config(&run->model.config, run->config->base_model, problems, err));
    LRC_TRY(lrc_run__load_text_tools(run, problems, err));
    LRC_TRY(lrc_run__load_data(run, problems, err));
    LRC_TRY(write_ledger(run, err));
    const struct lrc_dataset_options options = lrc_run__data_options(run);
    LRC_TRY(lrc_dataset_check(&run->dataset, &options, err));
    return run->config->test_datasets.n > 0 ? lrc_dataset_check(&run->held_out, &options, err)
                                            : LRC_STATUS_OK;
}

enum lrc_status lrc_preprocess(struct lrc_preprocessed *out, const struct lrc_config *config,
                               void (*progress)(const struct lrc_load_progress *progress),
                               const volatile sig_atomic_t *stop, struct lrc_problems *problems,
                               struct lrc_error *err)
{
    const struct lrc_train_options options = { .stop = stop };
    struct lrc_run                 run = { .config = config,
                                           .options = &options,
                                           .must_cache = 1,
                                           .reads_preferences = 1,
                                           .defers_check = 1,
                                           .rows_progress = progress };
    const enum lrc_status          status = load(&run, problems, err);
    *out = (struct lrc_preprocessed){ run.tokenizer, run.dataset, run.held_out };
    lrc_template_free(run.template);
    lrc_model_config_release(&run.model.config);
    if (status != LRC_STATUS_OK)
        lrc_preprocessed_release(out);
    return status;
}

void lrc_preprocessed_release(struct lrc_preprocessed *preprocessed)
{
    lrc_dataset_release(&preprocessed->dataset);
    lrc_dataset_release(&preprocessed->tests);
    lrc_tokenizer_free(preprocessed->tokenizer);
    *preprocessed = (struct lrc_preprocessed){ 0 };
}
