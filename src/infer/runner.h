/* A model ready to run: on its backend, with its adapter. */
#ifndef LRC_INFER_RUNNER_H
#define LRC_INFER_RUNNER_H

#include "adapter/adapter.h"

enum lrc_bf16 {
    LRC_BF16_AUTO, /* where the backend multiplies it natively, but for a dense float32 model */
    LRC_BF16_TRUE,
    LRC_BF16_FALSE
};

struct lrc_runner_options {
    const struct lrc_backend *backend;
    const char               *adapter_dir; /* NULL: none */
    enum lrc_bf16             bf16;
    int                       load_in_4bit; /* NF4, blocks of 64, double quantization */
    int64_t                   n_positions;  /* as in lrc_model_options */
};

struct lrc_runner {
    struct lrc_model          model;
    struct lrc_adapter        loaded;
    const struct lrc_adapter *adapter; /* &loaded, or NULL */
    const struct lrc_backend *backend;
    enum lrc_dtype            activation;
};

/* errors:    those of lrc_model_load(), lrc_model_commit() and lrc_adapter_load().
 * ownership: *runner stays where it is; lrc_runner_release(), after a failure too. */
enum lrc_status lrc_runner_load(struct lrc_runner *runner, const char *model_dir,
                                const struct lrc_runner_options *options, struct lrc_problems *problems,
                                struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_runner_release(struct lrc_runner *runner); /* safe on a zeroed runner */

#endif
