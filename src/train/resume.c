#include "train/run__private.h"

#include "base/log.h"
#include <string.h>

enum lrc_status lrc_run__find_checkpoint(struct lrc_run *run, char **dir, struct lrc_error *err)
{
    const struct lrc_config *config = run->config;
    const char *asked = run->options->resume_dir ? run->options->resume_dir : config->resume_from_checkpoint;

    *dir = NULL;
    if (asked) {
        char     *state = lrc_path_join(asked, "state.h5");
        const int is_checkpoint = state && lrc_path_exists(state);
        lrc_free(state);
        if (!is_checkpoint)
            return lrc_fail(err, LRC_STATUS_USAGE,
                            "resume: want a checkpoint folder (with state.h5), got '%s'", asked);
        *dir = lrc_strdup(asked);
        return *dir ? LRC_STATUS_OK : lrc_fail_nomem(err, asked);
    }
    if ((!run->options->resume && !config->auto_resume_from_checkpoints) ||
        !lrc_path_is_dir(config->output_dir))
        return LRC_STATUS_OK;
    LRC_TRY(lrc_checkpoint_newest(dir, config->output_dir, err));
    if (!*dir && run->options->resume)
        lrc_log_info("resume: no complete checkpoint in %s; starting from the beginning", config->output_dir);
    return LRC_STATUS_OK;
}

/* Base and data are known by hash, not by where they lie. */
static int is_known_by_hash(const char *key)
{
    static const char *const keys[] = { "base_model", "datasets", "test_datasets", "val_set_size",
                                        "lora_model_dir" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(key, keys[i]) == 0)
            return 1;
    return 0;
}

static void compare_configs(const json_t *before, const json_t *now, struct lrc_problems *problems)
{
    const char *key;
    json_t     *value;
    json_object_foreach((json_t *)(uintptr_t)now, key, value)
    {
        const json_t *old = json_object_get(before, key);
        if (lrc_config_resume_may_change(key) || is_known_by_hash(key) || json_equal(old, value))
            continue;
        char *old_text = old ? json_dumps(old, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        char *new_text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        lrc_problems_add(problems, "resume: %s may not change: it was %s, now %s", key,
                         old_text ? old_text : "not set", new_text ? new_text : "?");
        free(old_text);
        free(new_text);
    }
}

static enum lrc_status check_config(const struct lrc_run *run, const struct lrc_buf *saved, const char *dir,
                                    struct lrc_problems *problems, struct lrc_error *err)
{
    json_t         *before = NULL, *now = NULL;
    enum lrc_status status = lrc_json_parse(&before, lrc_buf_text(saved), saved->len, dir, err);
    if (status == LRC_STATUS_OK)
        status =
            lrc_json_parse(&now, lrc_buf_text(&run->config_json), run->config_json.len, "configuration", err);
    if (status == LRC_STATUS_OK) {
        compare_configs(before, now, problems);
        status = lrc_problems_fail(problems, LRC_STATUS_CONFIG, dir, err);
    }
    json_decref(before);
    json_decref(now);
    return status;
}

static enum lrc_status check_state(const struct lrc_run *run, const struct lrc_run_state *saved,
                                   const char *dir, struct lrc_error *err)
{
    if (strcmp(saved->base_hash, run->state.base_hash) != 0)
        return lrc_fail(err, LRC_STATUS_CONFIG,
                        "%s: want the base it was trained on (%.12s...), got %s (%.12s...)", dir,
                        saved->base_hash, run->config->base_model, run->state.base_hash);
    if (strcmp(saved->data_hash, run->state.data_hash) != 0)
        return lrc_fail(
            err, LRC_STATUS_CONFIG,
            "%s: want the rows it was trained on (tokens' SHA-256 %.12s...), got others (%.12s...)", dir,
            saved->data_hash, run->state.data_hash);
    if (saved->step > run->n_steps)
        return lrc_fail(err, LRC_STATUS_CONFIG, "%s: want a run of at least its %lld steps, got %lld", dir,
                        (long long)saved->step, (long long)run->n_steps);
    if (saved->n_steps != run->n_steps)
        lrc_log_info(
            "resume: the run was planned for %lld steps and has %lld now: the schedule is recomputed",
            (long long)saved->n_steps, (long long)run->n_steps);
    if (strcmp(saved->device, run->state.device) != 0)
        lrc_log_warn(
            "resume: the checkpoint was made on %s, this is %s: the run goes on, but not bit for bit",
            saved->device, run->state.device);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_run__restore(struct lrc_run *run, const char *dir, struct lrc_problems *problems,
                                 struct lrc_error *err)
{
    struct lrc_run_state saved;
    struct lrc_buf       config = { 0 };
    enum lrc_status      status = lrc_checkpoint_read_state(&saved, &config, dir, err);
    if (status == LRC_STATUS_OK)
        status = check_config(run, &config, dir, problems, err);
    if (status == LRC_STATUS_OK)
        status = check_state(run, &saved, dir, err);
    if (status == LRC_STATUS_OK)
        status = lrc_checkpoint_load(&run->snapshot.rows, run->stepper.optimizer.type, dir, problems, err);
    if (status == LRC_STATUS_OK)
        status = lrc_snapshot_put(&run->snapshot, &run->trainables, err);
    lrc_buf_release(&config);
    LRC_TRY(status);

    memcpy(saved.device, run->state.device, sizeof saved.device);
    memcpy(saved.version, run->state.version, sizeof saved.version);
    saved.n_steps = run->n_steps;
    run->state = saved;
    run->time_before = saved.time_s;
    lrc_log_info("resume: going on after step %lld of %lld from %s", (long long)saved.step,
                 (long long)run->n_steps, dir);
    return LRC_STATUS_OK;
}
