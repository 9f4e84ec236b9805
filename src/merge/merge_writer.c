#include "merge/merge_private.h"

#include <string.h>

static void *work(void *context)
{
    struct lrc_merge_writer *writer = context;
    (void)pthread_mutex_lock(&writer->mutex);
    for (;;) {
        while (!writer->bytes && !writer->stop)
            (void)pthread_cond_wait(&writer->changed, &writer->mutex);
        if (!writer->bytes)
            break;
        const int run = writer->status == LRC_STATUS_OK;
        (void)pthread_mutex_unlock(&writer->mutex);
        enum lrc_status status = LRC_STATUS_OK;
        if (run) {
            lrc_merge_sum_add(&writer->sum, writer->bytes, writer->n_bytes);
            status = writer->write(writer->file, writer->bytes, writer->n_bytes, &writer->error);
        }
        (void)pthread_mutex_lock(&writer->mutex);
        if (status != LRC_STATUS_OK)
            writer->status = status;
        writer->bytes = NULL;
        (void)pthread_cond_broadcast(&writer->changed);
    }
    (void)pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

enum lrc_status lrc_merge_writer_start(struct lrc_merge_writer *writer, lrc_merge_write *write, void *file,
                                       struct lrc_error *err)
{
    *writer = (struct lrc_merge_writer){.write = write, .file = file};
    lrc_merge_sum_init(&writer->sum);
    (void)pthread_mutex_init(&writer->mutex, NULL);
    (void)pthread_cond_init(&writer->changed, NULL);
    const int code = pthread_create(&writer->thread, NULL, work, writer);
    if (code == 0)
        return LRC_STATUS_OK;
    (void)pthread_cond_destroy(&writer->changed);
    (void)pthread_mutex_destroy(&writer->mutex);
    return lrc_fail(err, LRC_STATUS_NOMEM, "merge: cannot start a thread: %s", strerror(code));
}

static enum lrc_status forward(const struct lrc_merge_writer *writer, struct lrc_error *err)
{
    return writer->status == LRC_STATUS_OK ? LRC_STATUS_OK
                                           : lrc_fail(err, writer->status, "%s", writer->error.message);
}

enum lrc_status lrc_merge_writer_put(struct lrc_merge_writer *writer, const void *bytes, size_t n,
                                     struct lrc_error *err)
{
    (void)pthread_mutex_lock(&writer->mutex);
    while (writer->bytes)
        (void)pthread_cond_wait(&writer->changed, &writer->mutex);
    const enum lrc_status status = forward(writer, err);
    if (status == LRC_STATUS_OK && n > 0) {
        writer->bytes = bytes;
        writer->n_bytes = n;
        (void)pthread_cond_broadcast(&writer->changed);
    }
    (void)pthread_mutex_unlock(&writer->mutex);
    return status;
}

enum lrc_status lrc_merge_writer_stop(struct lrc_merge_writer *writer, struct lrc_error *err)
{
    (void)pthread_mutex_lock(&writer->mutex);
    writer->stop = 1;
    (void)pthread_cond_broadcast(&writer->changed);
    (void)pthread_mutex_unlock(&writer->mutex);
    (void)pthread_join(writer->thread, NULL); /* it finishes what it has */
    (void)pthread_cond_destroy(&writer->changed);
    (void)pthread_mutex_destroy(&writer->mutex);
    return forward(writer, err);
}
