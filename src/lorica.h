/* Lorica as a library: fine-tune, merge and write text from a program of one's own.
 *
 *     cc program.c $(pkg-config --cflags --libs --static lorica)
 *
 * The functions do what the commands of the program do. They print nothing, never exit and open no network
 * connection. One thread at a time may call them; they compute with OpenMP's threads, as many as
 * omp_set_num_threads() or OMP_NUM_THREADS says. Text is UTF-8, NUL-terminated, and borrowed for the call. */
#ifndef LORICA_H
#define LORICA_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LRC_MUST_CHECK __attribute__((warn_unused_result))
#else
#define LRC_MUST_CHECK
#endif

/* ---- errors: every fallible function returns a status, and fills *err when it is not LRC_STATUS_OK ---- */

/* name, words, exit code of the program */
#define LRC_STATUS_MAP(XX)                                                                                   \
    XX(OK, "ok", 0)                                                                                          \
    XX(USAGE, "bad command line", 2)                                                                         \
    XX(CONFIG, "bad configuration", 2)                                                                       \
    XX(DATA, "bad data row", 2)                                                                              \
    XX(NOMEM, "does not fit in memory", 3)                                                                   \
    XX(NOSPACE, "does not fit on disk", 3)                                                                   \
    XX(FORMAT, "malformed file", 4)                                                                          \
    XX(UNSUPPORTED, "unsupported file", 4)                                                                   \
    XX(SHAPE, "tensor shape or dtype mismatch", 1)                                                           \
    XX(IO, "input/output error", 1)                                                                          \
    XX(DEVICE, "device or library error", 1)                                                                 \
    XX(NUMERIC, "non-finite or out-of-range value", 1)                                                       \
    XX(INTERRUPTED, "interrupted", 130)                                                                      \
    XX(TERMINATED, "terminated", 143)

enum lrc_status {
#define XX(name, text, exit_code) LRC_STATUS_##name,
    LRC_STATUS_MAP(XX)
#undef XX
};

enum { LRC_ERROR_MESSAGE_MAX = 1024 };

struct lrc_error {
    enum lrc_status status;
    char            message[LRC_ERROR_MESSAGE_MAX]; /* a sentence, printable as is */
};

const char *lrc_status_text(enum lrc_status status);
int         lrc_status_exit_code(enum lrc_status status);
const char *lrc_version(void);

/* ---- messages: without a sink nothing is shown ---- */

/* PROBLEM: one of several mistakes in a config, a data file or a model folder, before the call fails. */
enum lrc_log_level { LRC_LOG_INFO, LRC_LOG_WARN, LRC_LOG_PROBLEM };

typedef void lrc_log_sink(enum lrc_log_level level, const char *line); /* line has no newline */
void         lrc_log_set_sink(lrc_log_sink *sink);                     /* NULL: silent */

/* done of total, the rate (tokens per second) and the loss where there are such, else 0 and NaN */
typedef void lrc_progress(int64_t done, int64_t total, double rate, double loss);

/* ---- training ---- */

struct lrc_train_options {
    int         resume;     /* go on from a checkpoint, if there is one */
    const char *resume_dir; /* this one; NULL: the newest complete one in output_dir */
    int         dry_run;    /* everything but the steps; writes nothing */
    /* as dry_run, but no weight is read and nothing large allocated: the report's regions alone */
    int plan;
    /* SIGINT or SIGTERM once that has come: finish the step, checkpoint, return; may be NULL */
    const volatile sig_atomic_t *stop;
    lrc_progress                *progress; /* may be NULL */
};

/* One named piece of memory; names are static. */
enum { LRC_PLAN_REGIONS_MAX = 160 };
struct lrc_plan_region {
    const char *name;
    /* "host", "file" (mapped, in the page cache), "device", "process" (the same for every run) */
    const char *where;
    int64_t     bytes;
};

struct lrc_train_report {
    int64_t n_steps, n_steps_done, n_examples, n_held_out, n_trainable, n_tokens;
    double  loss_first, loss_last;
    double  eval_loss_first, eval_loss_last; /* NaN without held-out data */
    double  time_s, tokens_per_second;
    /* planned: all but the device; available -1: unknown */
    int64_t                planned_bytes, available_bytes, peak_bytes;
    int64_t                device_bytes, device_available_bytes;
    int64_t                n_regions;
    struct lrc_plan_region regions[LRC_PLAN_REGIONS_MAX];
};

/* The whole job that a config file describes: load, quantize, tokenize, train, save. overrides: "key=value",
 * which win over the file; NULL when n_overrides is 0.
 *
 * errors: INTERRUPTED or TERMINATED after a signal, with a checkpoint written; else whatever was wrong. */
enum lrc_status lrc_train_run(const char *config_path, const char *const *overrides, int n_overrides,
                              const struct lrc_train_options *options, struct lrc_train_report *report,
                              struct lrc_error *err) LRC_MUST_CHECK;

/* ---- merging ---- */

struct lrc_merge_options {
    const char   *base;     /* model folder */
    const char   *adapter;  /* folder in PEFT's format */
    const char   *out;      /* folder to make; empty if it is there */
    int           any_base; /* also when the adapter was trained on another base of the same shapes */
    lrc_progress *progress; /* tensors; may be NULL */
};

struct lrc_merge_report {
    int64_t n_tensors;      /* written */
    int64_t n_merged;       /* linears with an adapter */
    int64_t n_weights;      /* elements of those */
    int64_t n_changed;      /* of them, after rounding */
    int64_t n_bytes;        /* of all weight files */
    double  proof_max;      /* largest share of its bound that a proof used: below 1 */
    double  seconds;        /* all of it */
    double  reread_seconds; /* of which reading again what was written */
};

/* An adapter into the weights of its base: W' = round(W + scale * B A). out appears complete or not at all.
 *
 * errors: USAGE when out is there and not empty; NOSPACE before anything is written; FORMAT, UNSUPPORTED, IO,
 * NOMEM from reading; NUMERIC when a weight is not finite, a proof fails, or nothing changed at all. */
enum lrc_status lrc_merge_run(const struct lrc_merge_options *options, struct lrc_merge_report *report,
                              struct lrc_error *err) LRC_MUST_CHECK;

/* ---- writing text ---- */

struct lrc_session; /* a model ready to write */

struct lrc_session_options {
    const char *model;        /* folder */
    const char *adapter;      /* folder in PEFT's format; NULL: none */
    const char *device;       /* "auto", "cpu", "cuda"; NULL: auto */
    int         load_in_4bit; /* NF4 */
    int64_t     n_positions;  /* prompt and answer together at most; 0: 4,096, or the model's own if fewer */
};

struct lrc_session_prompt {
    const char *text;    /* what to go on from */
    int         is_chat; /* text is a user's turn: the chat template is applied */
    const char *system;  /* with is_chat: a system turn before it; NULL: none */
    const char
        *chat_template; /* with is_chat: a template's name or file; NULL: the adapter's, or the model's */
};

struct lrc_sampling {
    double   temperature; /* 0: greedy */
    int64_t  top_k;       /* 0: off */
    double   top_p;       /* 1: off */
    uint64_t seed;
};

/* A piece of the answer, whole characters; not 0: that is enough. */
typedef int lrc_on_text(void *context, const char *piece, size_t n);

enum lrc_stop { LRC_STOP_LENGTH, LRC_STOP_EOS, LRC_STOP_CALLER };

/* errors: of reading a model, a tokenizer, an adapter. ownership: lrc_session_free(). */
enum lrc_status lrc_session_open(struct lrc_session **session, const struct lrc_session_options *options,
                                 struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_session_free(struct lrc_session *session); /* NULL is fine */

/* The answer to a prompt, piece by piece. Nothing is kept from one call to the next. sampling NULL: what the
 * model's generation_config.json says, greedy without it. stop may be NULL.
 *
 * errors: DATA when prompt and n_new_max tokens exceed the session's positions, or the prompt is empty or not
 * UTF-8; CONFIG when a template is wanted and there is none. */
enum lrc_status lrc_session_write(struct lrc_session *session, const struct lrc_session_prompt *prompt,
                                  const struct lrc_sampling *sampling, int64_t n_new_max,
                                  lrc_on_text *on_text, void *context, enum lrc_stop *stop,
                                  struct lrc_error *err) LRC_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
