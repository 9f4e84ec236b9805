#include "checkpoint/checkpoint.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "checkpoint/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char state_name[] = "state.h5";
static const char aside_suffix[] = ".tmp";

/* "<output_dir>/checkpoint-<step><suffix>"; NULL when out of memory. lrc_free(). */
static char *step_path(const char *output_dir, int64_t step, const char *suffix)
{
    char name[64];
    (void)snprintf(name, sizeof name, "checkpoint-%" PRId64 "%s", step, suffix);
    return lrc_path_join(output_dir, name);
}

static enum lrc_status sync_files(const char *dir, struct lrc_error *err)
{
    char **names;
    int64_t n_names;
    enum lrc_status status = lrc_dir_list(dir, &names, &n_names, err);
    LRC_TRY(status);
    for (int64_t i = 0; status == LRC_STATUS_OK && i < n_names; i++) {
        char *path = lrc_path_join(dir, names[i]);
        status = path ? lrc_file_sync(path, err) : lrc_fail_nomem(err, dir);
        lrc_free(path);
    }
    lrc_dir_list_free(names, n_names);
    return status == LRC_STATUS_OK ? lrc_file_sync(dir, err) : status;
}

struct saving {
    const struct lrc_run_state *state;
    const char *config_json;
    const struct lrc_trainables *trainables;
    const struct lrc_optimizer *optimizer;
    lrc_checkpoint_extra *extra;
    void *context;
};

static enum lrc_status write_aside(const char *aside, const struct saving *saving, struct lrc_error *err)
{
    LRC_TRY(lrc_dir_remove(aside, err));
    LRC_TRY(lrc_dir_make(aside, err));
    if (saving->extra)
        LRC_TRY(saving->extra(saving->context, aside, err));
    char *path = lrc_path_join(aside, state_name);
    if (!path)
        return lrc_fail_nomem(err, aside);
    enum lrc_status status = lrc_state_file_write(path, saving->state, saving->config_json,
                                                  saving->trainables, saving->optimizer, err);
    lrc_free(path);
    return status == LRC_STATUS_OK ? sync_files(aside, err) : status;
}

/* A folder that is not empty cannot be renamed over: the two change places, so that there is a complete one
 * at any moment. File systems that cannot do that get two renames. */
static enum lrc_status replace(const char *aside, const char *path, const char *old, struct lrc_error *err)
{
    if (!lrc_path_exists(path))
        return rename(aside, path) == 0 ? LRC_STATUS_OK
                                        : lrc_fail_errno(err, "%s: cannot rename to %s", aside, path);
    if (renameat2(AT_FDCWD, aside, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
        return lrc_dir_remove(aside, err);
    LRC_TRY(lrc_dir_remove(old, err));
    if (rename(path, old) != 0 || rename(aside, path) != 0)
        return lrc_fail_errno(err, "%s: cannot rename to %s", aside, path);
    return lrc_dir_remove(old, err);
}

enum lrc_status lrc_checkpoint_save(const char *output_dir, const struct lrc_run_state *state,
                                    const char *config_json, const struct lrc_trainables *trainables,
                                    const struct lrc_optimizer *optimizer, lrc_checkpoint_extra *extra,
                                    void *context, struct lrc_error *err)
{
    const struct saving saving = {state, config_json, trainables, optimizer, extra, context};
    char *path = step_path(output_dir, state->step, ""),
         *aside = step_path(output_dir, state->step, aside_suffix),
         *old = step_path(output_dir, state->step, ".old.tmp");
    enum lrc_status status = path && aside && old ? LRC_STATUS_OK : lrc_fail_nomem(err, output_dir);
    if (status != LRC_STATUS_OK)
        goto done;
    status = write_aside(aside, &saving, err);
    if (status == LRC_STATUS_OK)
        status = replace(aside, path, old, err);
    if (status == LRC_STATUS_OK)
        status = lrc_file_sync(output_dir, err);
    else if (lrc_dir_remove(aside, NULL) != LRC_STATUS_OK) /* the first failure is the one in err */
        lrc_log_warn("%s: cannot be removed", aside);
done:
    lrc_free(old);
    lrc_free(aside);
    lrc_free(path);
    return status;
}

static char *state_path(const char *dir, struct lrc_error *err)
{
    char *path = lrc_path_join(dir, state_name);
    if (!path)
        (void)lrc_fail_nomem(err, dir);
    return path;
}

enum lrc_status lrc_checkpoint_read_state(struct lrc_run_state *state, struct lrc_buf *config_json,
                                          const char *dir, struct lrc_error *err)
{
    char *path = state_path(dir, err);
    if (!path)
        return LRC_STATUS_NOMEM;
    const enum lrc_status status = lrc_state_file_read(state, config_json, path, err);
    lrc_free(path);
    return status;
}

enum lrc_status lrc_checkpoint_load(struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer,
                                    const char *dir, struct lrc_problems *problems, struct lrc_error *err)
{
    char *path = state_path(dir, err);
    if (!path)
        return LRC_STATUS_NOMEM;
    const enum lrc_status status = lrc_state_file_load(trainables, optimizer, path, problems, err);
    lrc_free(path);
    return status;
}

/* 1 and *step for "checkpoint-<digits>" as we write it: no sign, no leading zeros. */
static int is_checkpoint_name(int64_t *step, const char *name)
{
    static const char start[] = "checkpoint-";
    char again[64];
    if (strncmp(name, start, sizeof start - 1) != 0)
        return 0;
    *step = strtoll(name + sizeof start - 1, NULL, 10);
    (void)snprintf(again, sizeof again, "%s%" PRId64, start, *step);
    return *step >= 0 && strcmp(name, again) == 0;
}

static int compare_steps_down(const void *left, const void *right)
{
    const int64_t *a = left, *b = right;
    return (*a < *b) - (*a > *b);
}

/* Steps of all folders named like a checkpoint, newest first; none when output_dir is not there. ownership:
 * lrc_free(*steps). */
static enum lrc_status list_steps(int64_t **steps, int64_t *n_steps, const char *output_dir,
                                  struct lrc_error *err)
{
    char **names;
    int64_t n_names, step;
    *steps = NULL;
    *n_steps = 0;
    if (!lrc_path_exists(output_dir))
        return LRC_STATUS_OK;
    LRC_TRY(lrc_dir_list(output_dir, &names, &n_names, err));
    *steps = lrc_calloc(n_names, sizeof **steps);
    for (int64_t i = 0; *steps && i < n_names; i++)
        if (is_checkpoint_name(&step, names[i]))
            (*steps)[(*n_steps)++] = step;
    lrc_dir_list_free(names, n_names);
    if (!*steps)
        return lrc_fail_nomem(err, output_dir);
    qsort(*steps, (size_t)*n_steps, sizeof **steps, compare_steps_down);
    return LRC_STATUS_OK;
}

/* *good: it can be resumed from. errors: NOMEM only; whatever else is wrong with it is a warning. */
static enum lrc_status examine(int *good, const char *dir, struct lrc_error *err)
{
    struct lrc_run_state state;
    struct lrc_buf config = {0};
    struct lrc_error damage = {0};
    const enum lrc_status status = lrc_checkpoint_read_state(&state, &config, dir, &damage);
    lrc_buf_release(&config);
    *good = status == LRC_STATUS_OK;
    if (status == LRC_STATUS_NOMEM)
        return lrc_fail(err, status, "%s", damage.message);
    if (!*good)
        lrc_log_warn("passed over a checkpoint: %s", damage.message);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_checkpoint_newest(char **path, const char *output_dir, struct lrc_error *err)
{
    int64_t *steps, n_steps;
    *path = NULL;
    LRC_TRY(list_steps(&steps, &n_steps, output_dir, err));
    enum lrc_status status = LRC_STATUS_OK;
    int good = 0;
    for (int64_t i = 0; status == LRC_STATUS_OK && !good && i < n_steps; i++) {
        *path = step_path(output_dir, steps[i], "");
        status = *path ? examine(&good, *path, err) : lrc_fail_nomem(err, output_dir);
        if (good)
            break;
        lrc_free(*path);
        *path = NULL;
    }
    lrc_free(steps);
    return status;
}

/* First out of sight, then out of the disk: half a checkpoint is never seen under its name. */
static enum lrc_status remove_checkpoint(const char *output_dir, int64_t step, struct lrc_error *err)
{
    char *path = step_path(output_dir, step, ""), *aside = step_path(output_dir, step, aside_suffix);
    enum lrc_status status = path && aside ? lrc_dir_remove(aside, err) : lrc_fail_nomem(err, output_dir);
    if (status == LRC_STATUS_OK && rename(path, aside) != 0)
        status = lrc_fail_errno(err, "%s: cannot rename to %s", path, aside);
    if (status == LRC_STATUS_OK)
        status = lrc_dir_remove(aside, err);
    lrc_free(aside);
    lrc_free(path);
    return status;
}

/* By name, seal and length: reading every byte of every checkpoint at each save would cost more than the
 * save. What is not ours, or is damaged, is neither counted nor removed. */
static enum lrc_status looks_complete(int *complete, const char *output_dir, int64_t step,
                                      struct lrc_error *err)
{
    char *dir = step_path(output_dir, step, ""), *path = dir ? lrc_path_join(dir, state_name) : NULL;
    const enum lrc_status status = path ? LRC_STATUS_OK : lrc_fail_nomem(err, output_dir);
    *complete = path && lrc_h5_seal_check(path, LRC_STATE_KIND, LRC_H5_CHECK_LENGTH, NULL) == LRC_STATUS_OK;
    lrc_free(path);
    lrc_free(dir);
    return status;
}

enum lrc_status lrc_checkpoint_prune(const char *output_dir, int64_t limit, int64_t keep_step,
                                     struct lrc_error *err)
{
    int64_t *steps, n_steps, n_kept = 0;
    LRC_TRY(lrc_checkpoint_clean(output_dir, err));
    LRC_TRY(list_steps(&steps, &n_steps, output_dir, err));
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t i = 0; status == LRC_STATUS_OK && limit > 0 && i < n_steps; i++) {
        int complete = 0;
        status = looks_complete(&complete, output_dir, steps[i], err);
        if (!complete || n_kept++ < limit || steps[i] == keep_step)
            continue;
        status = remove_checkpoint(output_dir, steps[i], err);
    }
    lrc_free(steps);
    return status;
}

enum lrc_status lrc_checkpoint_clean(const char *output_dir, struct lrc_error *err)
{
    char **names;
    int64_t n_names;
    if (!lrc_path_exists(output_dir))
        return LRC_STATUS_OK;
    LRC_TRY(lrc_dir_list(output_dir, &names, &n_names, err));
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t i = 0; status == LRC_STATUS_OK && i < n_names; i++) {
        const size_t n = strlen(names[i]), n_suffix = sizeof aside_suffix - 1;
        if (n <= n_suffix || strcmp(names[i] + n - n_suffix, aside_suffix) != 0)
            continue;
        char *path = lrc_path_join(output_dir, names[i]);
        /* files are what was written aside; a folder is ours by its name only */
        const int is_ours = path && (!lrc_path_is_dir(path) || strncmp(names[i], "checkpoint-", 11) == 0);
        status = !path     ? lrc_fail_nomem(err, output_dir)
                 : is_ours ? lrc_dir_remove(path, err)
                           : LRC_STATUS_OK;
        lrc_free(path);
    }
    lrc_dir_list_free(names, n_names);
    return status;
}
