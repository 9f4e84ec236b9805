/* Checkpoints written while the run goes on, and the snapshot that they are written from. */
#include "base/file.h"
#include "checkpoint/snapshot.h"
#include "checkpoint/writer.h"
#include "checkpoint_fixture.h"
#include "support.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static struct test_run  saved, loaded;
static struct lrc_error err;

static struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t  changed;
    int             is_open;
} gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };

/* Stands in the writer's way until the gate is opened. */
static enum lrc_status wait_at_gate(void *context, const char *dir, struct lrc_error *error)
{
    struct gate *at = context;
    (void)dir;
    (void)error;
    pthread_mutex_lock(&at->mutex);
    while (!at->is_open)
        pthread_cond_wait(&at->changed, &at->mutex);
    pthread_mutex_unlock(&at->mutex);
    return LRC_STATUS_OK;
}

static enum lrc_status refuse(void *context, const char *dir, struct lrc_error *error)
{
    (void)context;
    return lrc_fail(error, LRC_STATUS_NOSPACE, "%s: want room, got none", dir);
}

static struct lrc_checkpoint_job job_of(const struct test_run *run, const char *dir,
                                        lrc_checkpoint_extra *extra)
{
    return (struct lrc_checkpoint_job){
        .output_dir = dir,
        .state = run->state,
        .config_json = test_run_config,
        .rows = &run->trainables,
        .optimizer = &run->optimizer,
        .extra = extra,
        .context = &gate,
        .metrics = -1,
        .keep_step = -1,
    };
}

Test(checkpoint_writer, the_caller_goes_on_while_it_writes)
{
    static struct lrc_checkpoint_writer writer;
    const char                         *dir = test_folder("writer");
    char                               *path;
    test_run_fill(&saved, 7, 1);
    const struct lrc_checkpoint_job job = job_of(&saved, dir, wait_at_gate);
    cr_assert_eq(lrc_checkpoint_writer_start(&writer, &job, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_checkpoint_newest(&path, dir, &err), LRC_STATUS_OK);
    cr_expect_null(path, "visible before it is complete");
    pthread_mutex_lock(&gate.mutex);
    gate.is_open = 1;
    pthread_cond_signal(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
    cr_assert_eq(lrc_checkpoint_writer_wait(&writer, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_checkpoint_newest(&path, dir, &err), LRC_STATUS_OK);
    cr_assert_not_null(path);
    cr_assert_eq(test_run_load(&loaded, path, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect(test_run_equal(&saved, &loaded));
    lrc_free(path);
}

Test(checkpoint_writer, an_error_is_told_once_by_the_next_call_fault)
{
    static struct lrc_checkpoint_writer writer;
    const char                         *dir = test_folder("writer-fault");
    test_run_fill(&saved, 3, 1);
    const struct lrc_checkpoint_job fails = job_of(&saved, dir, refuse), works = job_of(&saved, dir, NULL);
    cr_assert_eq(lrc_checkpoint_writer_start(&writer, &fails, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_eq(lrc_checkpoint_writer_start(&writer, &works, &err), LRC_STATUS_NOSPACE);
    cr_expect_not_null(strstr(err.message, "want room, got none"), "%s", err.message);
    cr_expect_eq(lrc_checkpoint_writer_wait(&writer, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_checkpoint_writer_start(&writer, &works, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_eq(lrc_checkpoint_writer_wait(&writer, &err), LRC_STATUS_OK, "%s", err.message);
}

Test(checkpoint_writer, metrics_that_cannot_be_synced_are_an_error_fault)
{
    static struct lrc_checkpoint_writer writer;
    test_run_fill(&saved, 3, 1);
    struct lrc_checkpoint_job job = job_of(&saved, test_folder("writer-metrics"), NULL);
    job.metrics = 9999; /* no such descriptor */
    cr_assert_eq(lrc_checkpoint_writer_start(&writer, &job, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_eq(lrc_checkpoint_writer_wait(&writer, &err), LRC_STATUS_IO);
}

Test(snapshot, keeps_what_was_taken_and_gives_it_back)
{
    struct lrc_snapshot    snapshot = { 0 };
    struct lrc_trainables *live = &saved.trainables;
    test_run_fill(&saved, 1, 5);
    test_run_fill(&loaded, 1, 5);
    for (int i = 0; i < TEST_RUN_ROWS; i++)
        live->n_elems += lrc_tensor_elems(&live->rows[i].value);
    cr_assert_eq(lrc_snapshot_plan(&snapshot, lrc_backend_cpu(), live->n_elems, &saved.optimizer, &err),
                 LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_arena_commit(&snapshot.arena, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_snapshot_bind(&snapshot, live, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_snapshot_take(&snapshot, live, &err), LRC_STATUS_OK, "%s", err.message);
    for (int i = 0; i < TEST_RUN_ROWS; i++)
        for (int set = 0; set < TEST_RUN_SETS; set++)
            memset(saved.values[i][set], 0x55,
                   (size_t)lrc_tensor_elems(&live->rows[i].value) * sizeof(float));
    cr_expect_neq(memcmp(saved.values, loaded.values, sizeof saved.values), 0);
    cr_assert_eq(lrc_snapshot_put(&snapshot, live, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_eq(memcmp(saved.values, loaded.values, sizeof saved.values), 0);
    lrc_snapshot_release(&snapshot);
}
