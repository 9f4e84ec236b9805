#include "checkpoint/writer.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static enum lrc_status write_job(const struct lrc_checkpoint_job *job, struct lrc_error *err)
{
    if (job->metrics >= 0 && fsync(job->metrics) != 0)
        return lrc_fail_errno(err, "%s: metrics.jsonl: cannot write", job->output_dir);
    LRC_TRY(lrc_checkpoint_save(job->output_dir, &job->state, job->config_json, job->rows, job->optimizer,
                                job->extra, job->context, err));
    return lrc_checkpoint_prune(job->output_dir, job->limit, job->keep_step, err);
}

static void *run(void *context)
{
    struct lrc_checkpoint_writer *writer = context;
    writer->status = write_job(&writer->job, &writer->err);
    return NULL;
}

enum lrc_status lrc_checkpoint_writer_start(struct lrc_checkpoint_writer    *writer,
                                            const struct lrc_checkpoint_job *job, struct lrc_error *err)
{
    sigset_t all, before;
    LRC_TRY(lrc_checkpoint_writer_wait(writer, err));
    writer->job = *job;
    /* signals are for the thread that trains */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    const int failed = pthread_create(&writer->thread, NULL, run, writer);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return lrc_fail(err, LRC_STATUS_DEVICE, "checkpoint: want a thread to write it, got: %s",
                        strerror(failed));
    writer->is_running = 1;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_checkpoint_writer_wait(struct lrc_checkpoint_writer *writer, struct lrc_error *err)
{
    if (!writer->is_running)
        return LRC_STATUS_OK;
    (void)pthread_join(writer->thread, NULL);
    writer->is_running = 0;
    if (writer->status != LRC_STATUS_OK)
        return lrc_fail(err, writer->status, "%s", writer->err.message);
    return LRC_STATUS_OK;
}
