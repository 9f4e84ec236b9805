/* Writes one checkpoint at a time on a thread of its own, while the next steps run. */
#ifndef LRC_CHECKPOINT_WRITER_H
#define LRC_CHECKPOINT_WRITER_H

#include "checkpoint/checkpoint.h"

#include <pthread.h>

/* What is written: borrowed, and left alone by the caller, until lrc_checkpoint_writer_wait(). */
struct lrc_checkpoint_job {
    const char                  *output_dir;
    struct lrc_run_state         state;
    const char                  *config_json;
    const struct lrc_trainables *rows; /* in host memory */
    const struct lrc_optimizer  *optimizer;
    lrc_checkpoint_extra        *extra;
    void                        *context;
    int     metrics;          /* descriptor of the file that state.metrics_bytes counts, synced first; -1 */
    int64_t limit, keep_step; /* lrc_checkpoint_prune() */
};

struct lrc_checkpoint_writer {
    struct lrc_checkpoint_job job;
    pthread_t                 thread;
    int                       is_running;
    struct lrc_error          err;
    enum lrc_status           status;
};

/* Waits for the one before, then begins. errors: those of the one before; DEVICE when there is no thread. */
enum lrc_status lrc_checkpoint_writer_start(struct lrc_checkpoint_writer    *writer,
                                            const struct lrc_checkpoint_job *job,
                                            struct lrc_error                *err) LRC_MUST_CHECK;
/* Until it is on the disk under its name, and old ones are gone. errors: of writing it. Fine when nothing is
 * written. */
enum lrc_status lrc_checkpoint_writer_wait(struct lrc_checkpoint_writer *writer, struct lrc_error *err);

#endif
