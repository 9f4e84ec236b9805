#include "infer/generate.h"

enum { PREFILL_TOKENS = 256 }; /* of the prompt at a time: bounds the activations */

struct generation {
    struct lrc_pass           pass;
    const struct lrc_adapter *adapter;
    int32_t                   positions[PREFILL_TOKENS];
    uint32_t                  row_ids[PREFILL_TOKENS];
    int32_t                  *scratch; /* (V) */
};

/* Tokens that follow those already in the cache. */
static enum lrc_status feed(struct generation *g, const int32_t *tokens, int64_t n, struct lrc_error *err)
{
    int32_t doc_offsets[2] = { 0, (int32_t)n };
    for (int64_t i = 0; i < n; i++)
        g->positions[i] = (int32_t)(g->pass.n_past + i);
    const struct lrc_batch batch = {
        .n_tokens = n,
        .n_real = n,
        .tokens = (int32_t *)(uintptr_t)tokens,
        .positions = g->positions,
        .row_ids = g->row_ids,
        .doc_offsets = doc_offsets,
        .n_docs = 1,
    };
    return lrc_pass_forward(&g->pass, g->adapter, &batch, err);
}

static enum lrc_status next_token(struct generation *g, int32_t *token, int64_t n_fed,
                                  const struct lrc_sampling *sampling, struct lrc_error *err)
{
    const float *logits;
    LRC_TRY(lrc_pass_logits(&g->pass, &logits, n_fed - 1, 1, err));
    return lrc_sample(token, logits, g->pass.model->config.vocab_size, sampling, g->pass.n_past, g->scratch,
                      err);
}

static int is_end(const struct lrc_generate_options *options, int32_t token)
{
    for (int i = 0; i < options->n_end_ids; i++)
        if (options->end_ids[i] == token)
            return 1;
    return 0;
}

static enum lrc_status run(struct generation *g, enum lrc_stop *stop, const struct lrc_ids *prompt,
                           const struct lrc_generate_options *options, struct lrc_error *err)
{
    int64_t n_fed = 0;
    for (int64_t first = 0; first < prompt->len; first += n_fed) {
        n_fed = prompt->len - first < PREFILL_TOKENS ? prompt->len - first : PREFILL_TOKENS;
        LRC_TRY(feed(g, prompt->data + first, n_fed, err));
    }
    for (int64_t i = 0; i < options->max_new_tokens; i++) {
        int32_t token;
        LRC_TRY(next_token(g, &token, n_fed, &options->sampling, err));
        if (is_end(options, token)) {
            *stop = LRC_STOP_EOS;
            return LRC_STATUS_OK;
        }
        const enum lrc_status status = options->on_token(options->context, token, err);
        if (status == LRC_STATUS_INTERRUPTED) {
            *stop = LRC_STOP_CALLER;
            return LRC_STATUS_OK;
        }
        LRC_TRY(status);
        if (i + 1 < options->max_new_tokens)
            LRC_TRY(feed(g, &token, 1, err));
        n_fed = 1;
    }
    *stop = LRC_STOP_LENGTH;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_generate(enum lrc_stop *stop, struct lrc_model *model, const struct lrc_adapter *adapter,
                             const struct lrc_ids *prompt, const struct lrc_generate_options *options,
                             struct lrc_error *err)
{
    const int64_t n_all = prompt->len + options->max_new_tokens;
    if (prompt->len == 0)
        return lrc_fail(err, LRC_STATUS_DATA, "generate: want a prompt of at least one token, got none");
    for (int64_t i = 0; i < prompt->len; i++)
        if (prompt->data[i] < 0 || prompt->data[i] >= model->config.vocab_size)
            return lrc_fail(err, LRC_STATUS_DATA, "generate: want ids below the vocabulary's %lld, got %d",
                            (long long)model->config.vocab_size, (int)prompt->data[i]);
    if (n_all > model->n_positions)
        return lrc_fail(
            err, LRC_STATUS_DATA,
            "generate: want prompt and new tokens within the model's %lld positions, got %lld + %lld",
            (long long)model->n_positions, (long long)prompt->len, (long long)options->max_new_tokens);

    struct generation *g = lrc_calloc(1, sizeof *g);
    if (!g)
        return lrc_fail_nomem(err, "generate");
    const struct lrc_pass_options pass_options = {
        .backend = options->backend,
        .activation = options->activation,
        .use = LRC_TAPE_INFERENCE,
        .n_tokens = prompt->len < PREFILL_TOKENS ? prompt->len : PREFILL_TOKENS,
        .n_trained = 1,
        .n_logits = 1,
        .n_cache = n_all,
        .ranks = adapter ? adapter->ranks : (struct lrc_tape_ranks){ 0 },
    };
    g->adapter = adapter;
    g->scratch = lrc_calloc(model->config.vocab_size, sizeof *g->scratch);
    enum lrc_status status =
        g->scratch ? lrc_pass_init(&g->pass, model, &pass_options, err) : lrc_fail_nomem(err, "generate");
    if (status == LRC_STATUS_OK)
        status = run(g, stop, prompt, options, err);
    lrc_pass_release(&g->pass);
    lrc_free(g->scratch);
    lrc_free(g);
    return status;
}
