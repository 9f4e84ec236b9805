/* Text generation with a KV cache. */
#ifndef LRC_INFER_GENERATE_H
#define LRC_INFER_GENERATE_H

#include "model/pass.h"

/* One token from logits (n): greedy takes the largest, the lower id on a tie; otherwise softmax(logits /
 * temperature) over the top_k largest, cut to the smallest set whose probability reaches top_p (Holtzman et
 * al. 2020, arXiv:1904.09751), drawn with the counter RNG at `position`. scratch: n indices.
 *
 * errors: NUMERIC when no logit is finite. */
enum lrc_status lrc_sample(int32_t *token, const float *logits, int64_t n,
                           const struct lrc_sampling *sampling, int64_t position, int32_t *scratch,
                           struct lrc_error *err) LRC_MUST_CHECK;

struct lrc_generate_options {
    const struct lrc_backend *backend;
    enum lrc_dtype            activation;
    struct lrc_sampling       sampling;
    int64_t                   max_new_tokens;
    const int32_t            *end_ids; /* any of them ends the text */
    int                       n_end_ids;
    /* called for each new token (not for the end id); INTERRUPTED ends the generation well, with
     * LRC_STOP_CALLER */
    enum lrc_status (*on_token)(void *context, int32_t token, struct lrc_error *err);
    void *context;
};

/* errors: DATA when prompt is empty or prompt and new tokens exceed the model's positions; NOMEM; those of
 *         on_token. */
enum lrc_status lrc_generate(enum lrc_stop *stop, struct lrc_model *model, const struct lrc_adapter *adapter,
                             const struct lrc_ids *prompt, const struct lrc_generate_options *options,
                             struct lrc_error *err) LRC_MUST_CHECK;

#endif
