#include "checkpoint/checkpoint.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/state_file.h"
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "checkpoint-";

/* Step of a folder name "checkpoint-<step>"; -1 for any other name. */
static int64_t step_of(const char *name)
{
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return -1;
    const char *digits = name + sizeof prefix - 1;
    const size_t n = strlen(digits);
    if (n == 0 || n > 18 || strspn(digits, "0123456789") != n)
        return -1;
    return strtoll(digits, NULL, 10);
}

static enum lrc_status sync_all(const char *dir, struct lrc_error *err)
{
    char  **names;
    int64_t n_names;
    LRC_TRY(lrc_dir_list(dir, &names, &n_names, err));
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t i = 0; i < n_names && status == LRC_STATUS_OK; i++) {
        char *path = lrc_path_join(dir, names[i]);
        status = path ? lrc_file_sync(path, err) : lrc_fail_nomem(err, dir);
        lrc_free(path);
    }
    lrc_dir_list_free(names, n_names);
    return status == LRC_STATUS_OK ? lrc_file_sync(dir, err) : status;
}

/* Moves the finished folder into place; one of the same step, written before an interruption, gives way. */
static enum lrc_status publish(const char *aside, const char *path, const char *output_dir, struct lrc_error *err)
{
    LRC_TRY(lrc_dir_remove(path, err));
    if (rename(aside, path) != 0)
        return lrc_fail_errno(err, "%s: cannot rename to %s", aside, path);
    return lrc_file_sync(output_dir, err);
}

enum lrc_status lrc_checkpoint_save(const char *output_dir, const struct lrc_run_state *state, const char *config_json,
                                    const struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer,
                                    lrc_checkpoint_extra *extra, void *context, struct lrc_error *err)
{
    struct lrc_buf path = { 0 }, aside = { 0 };
    lrc_buf_printf(&path, "%s/%s%lld", output_dir, prefix, (long long)state->step);
    lrc_buf_printf(&aside, "%s.tmp", lrc_buf_text(&path));
    enum lrc_status status = lrc_buf_check(&aside, err);
    if (status == LRC_STATUS_OK)
        status = lrc_dir_remove(aside.data, err);
    if (status == LRC_STATUS_OK)
        status = lrc_dir_make(aside.data, err);
    if (status == LRC_STATUS_OK && extra)
        status = extra(context, aside.data, err);
    if (status == LRC_STATUS_OK)
        status = lrc_state_write(aside.data, state, config_json, trainables, optimizer, err);
    if (status == LRC_STATUS_OK)
        status = sync_all(aside.data, err);
    if (status == LRC_STATUS_OK)
        status = publish(aside.data, path.data, output_dir, err);
    if (status != LRC_STATUS_OK && !aside.failed)
        (void)!lrc_dir_remove(aside.data, NULL);
    lrc_buf_release(&path);
    lrc_buf_release(&aside);
    return status;
}

enum lrc_status lrc_checkpoint_read_state(struct lrc_run_state *state, struct lrc_buf *config_json, const char *dir, struct lrc_error *err)
{
    return lrc_state_read(state, config_json, dir, err);
}

enum lrc_status lrc_checkpoint_load(struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer, const char *dir,
                                    struct lrc_problems *problems, struct lrc_error *err)
{
    return lrc_state_read_tensors(trainables, optimizer, dir, problems, err);
}

/* Steps of the checkpoint folders, ascending. lrc_free(). */
static enum lrc_status list_steps(int64_t **steps, int64_t *n_steps, const char *output_dir, struct lrc_error *err)
{
    char  **names;
    int64_t n_names;
    *steps = NULL;
    *n_steps = 0;
    LRC_TRY(lrc_dir_list(output_dir, &names, &n_names, err));
    *steps = lrc_calloc(n_names, sizeof **steps);
    for (int64_t i = 0; *steps && i < n_names; i++) {
        const int64_t step = step_of(names[i]);
        int64_t       at = *n_steps;
        if (step < 0)
            continue;
        for (; at > 0 && (*steps)[at - 1] > step; at--) /* names sort as text: 10 before 9 */
            (*steps)[at] = (*steps)[at - 1];
        (*steps)[at] = step;
        ++*n_steps;
    }
    lrc_dir_list_free(names, n_names);
    return *steps ? LRC_STATUS_OK : lrc_fail_nomem(err, output_dir);
}

enum lrc_status lrc_checkpoint_newest(char **path, const char *output_dir, struct lrc_error *err)
{
    int64_t *steps, n_steps;
    *path = NULL;
    LRC_TRY(list_steps(&steps, &n_steps, output_dir, err));
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t i = n_steps; i-- > 0 && !*path && status == LRC_STATUS_OK;) {
        struct lrc_run_state state;
        struct lrc_error     damage;
        struct lrc_buf       dir = { 0 };
        lrc_buf_printf(&dir, "%s/%s%lld", output_dir, prefix, (long long)steps[i]);
        status = lrc_buf_check(&dir, err);
        if (status == LRC_STATUS_OK && lrc_state_read(&state, NULL, dir.data, &damage) == LRC_STATUS_OK) {
            *path = dir.data; /* handed over */
            dir = (struct lrc_buf){ 0 };
        } else if (status == LRC_STATUS_OK) {
            lrc_log_warn("%s; passed over", damage.message);
        }
        lrc_buf_release(&dir);
    }
    lrc_free(steps);
    return status;
}

enum lrc_status lrc_checkpoint_prune(const char *output_dir, int64_t limit, int64_t keep_step, struct lrc_error *err)
{
    int64_t *steps, n_steps;
    LRC_TRY(list_steps(&steps, &n_steps, output_dir, err));
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t i = 0; limit > 0 && i < n_steps - limit && status == LRC_STATUS_OK; i++) {
        struct lrc_buf dir = { 0 };
        if (steps[i] == keep_step)
            continue;
        lrc_buf_printf(&dir, "%s/%s%lld", output_dir, prefix, (long long)steps[i]);
        status = lrc_buf_check(&dir, err);
        if (status == LRC_STATUS_OK)
            status = lrc_dir_remove(dir.data, err);
        lrc_buf_release(&dir);
    }
    lrc_free(steps);
    return status == LRC_STATUS_OK ? lrc_checkpoint_clean(output_dir, err) : status;
}

enum lrc_status lrc_checkpoint_clean(const char *output_dir, struct lrc_error *err)
{
    char  **names;
    int64_t n_names;
    LRC_TRY(lrc_dir_list(output_dir, &names, &n_names, err));
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t i = 0; i < n_names && status == LRC_STATUS_OK; i++) {
        const size_t n = strlen(names[i]);
        if (n <= 4 || strcmp(names[i] + n - 4, ".tmp") != 0)
            continue;
        char *path = lrc_path_join(output_dir, names[i]);
        status = path ? lrc_dir_remove(path, err) : lrc_fail_nomem(err, output_dir);
        lrc_free(path);
    }
    lrc_dir_list_free(names, n_names);
    return status;
}
