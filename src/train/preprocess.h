/* The data of a run without the run: rows tokenized, into the token cache where the configuration names one.
 */
#ifndef LRC_TRAIN_PREPROCESS_H
#define LRC_TRAIN_PREPROCESS_H

#include "config/config.h"
#include "data/dataset.h"

#include <signal.h>

struct lrc_preprocessed {
    struct lrc_tokenizer *tokenizer; /* NULL when no type needs one */
    struct lrc_dataset    dataset;   /* before val_set_size is taken from it */
    struct lrc_dataset    tests;     /* of test_datasets; empty without */
};

/* Reads config.json and the tokenizer of base_model, no weights.
 *
 * progress:  may be NULL.
 * stop:      SIGINT or SIGTERM once that has come; what is done stays in the cache. May be NULL.
 * errors:    as training's up to the weights; IO, NOSPACE when the cache cannot be written; INTERRUPTED,
 *            TERMINATED.
 * ownership: lrc_preprocessed_release(). */
enum lrc_status lrc_preprocess(struct lrc_preprocessed *out, const struct lrc_config *config,
                               void (*progress)(const struct lrc_load_progress *progress),
                               const volatile sig_atomic_t *stop, struct lrc_problems *problems,
                               struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_preprocessed_release(struct lrc_preprocessed *preprocessed); /* safe on a zeroed one */

#endif
