/* Loss of a model on rows. */
#ifndef LRC_INFER_SCORE_H
#define LRC_INFER_SCORE_H

#include "model/pass.h"

struct lrc_score_row {
    double  loss_sum;  /* -log p over the row's trained targets */
    int64_t n_trained;
};

struct lrc_score {
    struct lrc_score_row *rows; /* (n_examples of the dataset) */
    int64_t               n_rows;
    double                loss_sum;
    int64_t               n_trained;
};

struct lrc_score_options {
    const struct lrc_backend *backend;
    enum lrc_dtype            activation;
    /* NULL, or write "logits.<row>" (tokens, V) F32 of every row to this safetensors file */
    const char               *logits_path;
    void (*progress)(int64_t done, int64_t total, double tokens_per_second, double loss); /* may be NULL */
};

/* errors: NUMERIC for a loss that is not finite, naming the row. ownership: lrc_free(score->rows). */
enum lrc_status lrc_score_run(struct lrc_score *score, struct lrc_model *model,
                              const struct lrc_adapter *adapter, const struct lrc_dataset *dataset,
                              const struct lrc_score_options *options, struct lrc_error *err) LRC_MUST_CHECK;

#endif
