/* The whole job: load, quantize, tokenize, train, save. */
#ifndef LRC_TRAIN_TRAIN_H
#define LRC_TRAIN_TRAIN_H

#include "base/problems.h"
#include "config/config.h"

/* errors: of everything it calls; INTERRUPTED or TERMINATED after a signal, with a checkpoint written. */
enum lrc_status lrc_train(const struct lrc_config *config, const struct lrc_train_options *options,
                          struct lrc_train_report *report, struct lrc_problems *problems,
                          struct lrc_error *err) LRC_MUST_CHECK;

#endif
