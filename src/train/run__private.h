/* The state of one training run, shared by the files of train/. */
#ifndef LRC_TRAIN_RUN__PRIVATE_H
#define LRC_TRAIN_RUN__PRIVATE_H

#include "checkpoint/snapshot.h"
#include "checkpoint/writer.h"
#include "data/batch.h"
#include "train/full.h"
#include "train/step.h"
#include "train/train.h"

struct lrc_run {
    const struct lrc_config        *config;
    const struct lrc_train_options *options;
    struct lrc_train_report        *report;
    const struct lrc_backend       *backend;

    struct lrc_model         model;
    struct lrc_model_options model_options;
    struct lrc_tokenizer    *tokenizer;
    struct lrc_template *template;
    int64_t                  text_bytes; /* of both */
    struct lrc_dataset       dataset;
    struct lrc_dataset       held_out;
    struct lrc_batch_stream *stream;
    struct lrc_batch_stream *held_out_stream; /* NULL: nothing held out */

    /* a token cache that cannot be written is an error */
    int must_cache;
    void (*rows_progress)(const struct lrc_load_progress *progress); /* may be NULL */
    int defers_check;                                                /* lrc_dataset_check() is the caller's */
    int reads_preferences; /* preference rows are tokenized; else they are refused */

    int                         is_full;
    struct lrc_adapter          adapter;
    struct lrc_full             full;
    struct lrc_trainables       trainables;
    struct lrc_arena            optimizer_arena;
    struct lrc_optimizer_memory optimizer_memory;
    struct lrc_pass             pass;
    struct lrc_stepper          stepper;
    /* written while the next steps run */
    struct lrc_snapshot          snapshot;
    struct lrc_checkpoint_writer writer;

    const struct lrc_schedule  *schedule;
    struct lrc_schedule_options schedule_options;
    /* save_steps 0: at the end of epochs */
    int64_t n_steps, steps_per_epoch, logging_steps, eval_steps, save_steps;

    struct lrc_run_state state;
    struct lrc_buf       config_json;
    FILE                *metrics;
    /* clock at the session's start; seconds of earlier sessions */
    double time_started, time_before;
    int    output_lock; /* lrc_dir_lock() of output_dir, or -1 */
};

/* setup.c: everything up to the first step. */
enum lrc_status lrc_run__load(struct lrc_run *run, struct lrc_problems *problems,
                              struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_run__prepare(struct lrc_run *run, struct lrc_problems *problems,
                                 struct lrc_error *err) LRC_MUST_CHECK;

/* setup_adapter.c: after the model is known; its values once the memory is there. */
enum lrc_status lrc_run__plan_adapter(struct lrc_run *run, struct lrc_problems *problems,
                                      struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_run__fill_adapter(struct lrc_run *run, struct lrc_problems *problems,
                                      struct lrc_error *err) LRC_MUST_CHECK;

/* The parts of loading that need no weights: model.config.vocab_size is enough. */
enum lrc_status            lrc_run__load_text_tools(struct lrc_run *run, struct lrc_problems *problems,
                                                    struct lrc_error *err) LRC_MUST_CHECK;
struct lrc_dataset_options lrc_run__data_options(const struct lrc_run *run);
enum lrc_status            lrc_run__load_data(struct lrc_run *run, struct lrc_problems *problems,
                                              struct lrc_error *err) LRC_MUST_CHECK;

/* train.c: the base's hash into the state, waited for: it is computed beside the first steps. */
enum lrc_status lrc_run__hash_base(struct lrc_run *run, struct lrc_error *err) LRC_MUST_CHECK;

/* plan.c: the pass and the optimizer planned, checkpointing chosen, all regions into the report.
 * errors: NOMEM when it does not fit, naming what would help and what it would save. */
enum lrc_status lrc_run__plan(struct lrc_run *run, struct lrc_error *err) LRC_MUST_CHECK;

/* resume.c: the checkpoint to go on from (NULL: the beginning), and going on from it. */
enum lrc_status lrc_run__find_checkpoint(struct lrc_run *run, char **dir,
                                         struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_run__restore(struct lrc_run *run, const char *dir, struct lrc_problems *problems,
                                 struct lrc_error *err) LRC_MUST_CHECK;

/* loop.c */
enum lrc_status lrc_run__loop(struct lrc_run *run, struct lrc_error *err) LRC_MUST_CHECK;

/* record.c: metrics.jsonl, and what the run leaves in output_dir. */
enum lrc_status lrc_run__open_metrics(struct lrc_run *run, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_run__write_ledger(struct lrc_run *run, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_run__log_step(struct lrc_run *run, const struct lrc_window *window,
                                  const struct lrc_step_result *result, double learning_rate,
                                  struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_run__log_eval(struct lrc_run *run, double eval_loss,
                                  struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_run__write_outputs(struct lrc_run *run, struct lrc_error *err) LRC_MUST_CHECK;
/* What the snapshot holds. */
enum lrc_status lrc_run__save_weights(struct lrc_run *run, const char *dir,
                                      struct lrc_error *err) LRC_MUST_CHECK;

double lrc_run__time(const struct lrc_run *run); /* seconds so far, over all sessions */

#endif
