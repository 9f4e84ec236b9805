/* Checkpoints: <output_dir>/checkpoint-<step>/ with the adapter (or the model) in its own format, and
 * state.h5 with everything that resuming bit for bit needs. A checkpoint becomes visible only when complete:
 * written as checkpoint-<step>.tmp, every file and the folder fsynced, then renamed. The layout of state.h5
 * is in docs/checkpoint.md. */
#ifndef LRC_CHECKPOINT_CHECKPOINT_H
#define LRC_CHECKPOINT_CHECKPOINT_H

#include "base/hash.h"
#include "base/problems.h"
#include "optim/optim.h"

enum { LRC_RUN_STATE_TEXT_MAX = 64 };

/* What a run knows beside its tensors, after `step` optimizer steps. */
struct lrc_run_state {
    int64_t step;
    int64_t n_tokens, n_trained; /* cumulative */
    double time_s;               /* cumulative, over all sessions of the run */
    double loss_sum;             /* of the steps since the last logged line */
    int64_t loss_steps;
    int64_t metrics_bytes; /* length of metrics.jsonl at this point */
    double best_eval_loss; /* NAN: none yet */
    int64_t best_step;
    int64_t evals_without_gain;
    int64_t n_steps; /* of the whole run as planned then */
    char base_hash[LRC_HASH_HEX_MAX];
    char data_hash[LRC_HASH_HEX_MAX];
    char device[LRC_RUN_STATE_TEXT_MAX]; /* backend's name: another one resumes, but not bit for bit */
    char version[LRC_RUN_STATE_TEXT_MAX];
};

/* Writes the files beside state.h5 into the folder (the adapter). */
typedef enum lrc_status lrc_checkpoint_extra(void *context, const char *dir, struct lrc_error *err);

/* config_json: the resolved configuration, compared by resume.
 * errors: IO, NOSPACE, NOMEM; on failure nothing visible has changed and the temporary folder is gone. */
enum lrc_status lrc_checkpoint_save(const char *output_dir, const struct lrc_run_state *state,
                                    const char *config_json, const struct lrc_trainables *trainables,
                                    const struct lrc_optimizer *optimizer, lrc_checkpoint_extra *extra,
                                    void *context, struct lrc_error *err) LRC_MUST_CHECK;

/* The scalars and the configuration alone (config_json appended to buf), to compare before anything is
 * loaded. errors: FORMAT when the file is damaged or incomplete; IO. */
enum lrc_status lrc_checkpoint_read_state(struct lrc_run_state *state, struct lrc_buf *config_json,
                                          const char *dir, struct lrc_error *err) LRC_MUST_CHECK;

/* Values and optimizer states into the rows of trainables.
 * problems: every tensor that is missing or misshapen. errors: FORMAT (checksum, too). */
enum lrc_status lrc_checkpoint_load(struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer,
                                    const char *dir, struct lrc_problems *problems,
                                    struct lrc_error *err) LRC_MUST_CHECK;

/* Path of the newest complete checkpoint of a run; *path NULL when there is none. A damaged one is passed
 * over with a warning. ownership: lrc_free(*path). */
enum lrc_status lrc_checkpoint_newest(char **path, const char *output_dir,
                                      struct lrc_error *err) LRC_MUST_CHECK;

/* Remove all but the newest `limit` complete checkpoints (0: no limit), never step keep_step (-1: none);
 * removes temporary leftovers. */
enum lrc_status lrc_checkpoint_prune(const char *output_dir, int64_t limit, int64_t keep_step,
                                     struct lrc_error *err) LRC_MUST_CHECK;

/* Remove temporary leftovers ("*.tmp") of an interrupted run. */
enum lrc_status lrc_checkpoint_clean(const char *output_dir, struct lrc_error *err) LRC_MUST_CHECK;

#endif
