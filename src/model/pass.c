#include "model/pass.h"

#include <omp.h>

/* Logits of one chunk stay within this many bytes: large enough for the GEMM's best rate, small beside the
 * activations. */
enum { HEAD_CHUNK_BYTES = 64 << 20, HEAD_CHUNK_MIN = 16, HEAD_CHUNK_MAX = 512 };

static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static size_t workspace_of(const struct lrc_pass *pass)
{
    const struct lrc_model_config  *c = &pass->model->config;
    const struct lrc_pass_options  *o = &pass->options;
    size_t most = lrc_attention_workspace_bytes(o->n_tokens, c->n_heads, c->n_kv_heads, c->head_dim,
                                                omp_get_max_threads());
    for (int m = 0; m < LRC_MODULE_COUNT; m++) {
        const struct lrc_weight *weight = &pass->model->layers[0].linear[m].weight;
        const size_t             bytes =
            lrc_linear_workspace_bytes(o->n_tokens, weight->cols, weight->rows, o->rank_max, o->activation);
        most = bytes > most ? bytes : most;
    }
    const size_t head =
        lrc_linear_workspace_bytes(pass->head_chunk, c->hidden_size, c->vocab_size, 0, o->activation);
    const size_t norm = lrc_grad_norm_workspace_bytes();
    most = norm > most ? norm : most;
    return head > most ? head : most;
}

static enum lrc_status plan_head(struct lrc_pass *pass, struct lrc_error *err)
{
    const struct lrc_model_config *c = &pass->model->config;
    struct lrc_arena              *arena = &pass->arena;
    const size_t                   act = lrc_dtype_bytes(pass->options.activation);
    const int                      training = pass->options.use != LRC_TAPE_INFERENCE;

    int64_t chunk =
        HEAD_CHUNK_BYTES / (c->vocab_size * (int64_t)sizeof(float)) / HEAD_CHUNK_MIN * HEAD_CHUNK_MIN;
    chunk = chunk < HEAD_CHUNK_MIN ? HEAD_CHUNK_MIN : chunk > HEAD_CHUNK_MAX ? HEAD_CHUNK_MAX : chunk;
    const int64_t n = at_least(pass->options.n_trained, 1);
    pass->head_chunk = chunk < at_least(n, HEAD_CHUNK_MIN) ? chunk : at_least(n, HEAD_CHUNK_MIN);

    LRC_TRY(lrc_arena_plan(arena, "head rows", &pass->head_rows, n * c->hidden_size, act, err));
    LRC_TRY(lrc_arena_plan(arena, "head norm", &pass->head_norm,
                           at_least(n, pass->head_chunk) * c->hidden_size, act, err));
    LRC_TRY(lrc_arena_plan(arena, "head statistics", &pass->head_rstd, n, sizeof(float), err));
    LRC_TRY(lrc_arena_plan(arena, "logits chunk", &pass->logits, pass->head_chunk * c->vocab_size,
                           sizeof(float), err));
    LRC_TRY(lrc_arena_plan(arena, "log-probabilities", &pass->logprob, n, sizeof(float), err));
    LRC_TRY(lrc_arena_plan(arena, "log-sum-exp", &pass->lse, n, sizeof(float), err));
    if (!training)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_arena_plan(arena, "coefficients", &pass->coef, n, sizeof(float), err));
    return lrc_arena_plan(arena, "d head", &pass->d_head, n * c->hidden_size, sizeof(float), err);
}

static enum lrc_status plan_gradients(struct lrc_pass *pass, struct lrc_error *err)
{
    const struct lrc_model_config *c = &pass->model->config;
    struct lrc_arena              *arena = &pass->arena;
    const size_t                   act = lrc_dtype_bytes(pass->options.activation);
    const int64_t n = pass->options.n_tokens, q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim;

    LRC_TRY(lrc_arena_plan(arena, "d residual", &pass->d_x, n * c->hidden_size, sizeof(float), err));
    LRC_TRY(lrc_arena_plan(arena, "d norm", &pass->d_norm, n * c->hidden_size, sizeof(float), err));
    LRC_TRY(lrc_arena_plan(arena, "d gate", &pass->d_act, n * c->intermediate_size, act, err));
    LRC_TRY(lrc_arena_plan(arena, "d attention", &pass->d_att, n * q, act, err));
    LRC_TRY(lrc_arena_plan(arena, "d queries", &pass->d_q, n * q, act, err));
    LRC_TRY(lrc_arena_plan(arena, "d keys", &pass->d_k, n * kv, act, err));
    return lrc_arena_plan(arena, "d values", &pass->d_v, n * kv, act, err);
}

enum lrc_status lrc_pass_plan(struct lrc_pass *pass, struct lrc_model *model,
                              const struct lrc_pass_options *options, struct lrc_error *err)
{
    *pass = (struct lrc_pass){ .options = *options, .model = model };
    const struct lrc_model_config *c = &model->config;

    LRC_TRY(lrc_arena_plan(&pass->arena, "step scalars", &pass->scalars, 1, sizeof *pass->scalars, err));
    LRC_TRY(lrc_tape_plan(&pass->tape, &pass->arena, c, options->n_tokens, options->rank_sum,
                          options->activation, options->use, err));
    LRC_TRY(plan_head(pass, err));
    if (options->use != LRC_TAPE_INFERENCE)
        LRC_TRY(plan_gradients(pass, err));
    if (options->n_cache > 0) {
        const int64_t n = c->n_layers * options->n_cache * c->n_kv_heads * c->head_dim;
        LRC_TRY(lrc_arena_plan(&pass->arena, "key cache", &pass->cache_k, n,
                               lrc_dtype_bytes(options->activation), err));
        LRC_TRY(lrc_arena_plan(&pass->arena, "value cache", &pass->cache_v, n,
                               lrc_dtype_bytes(options->activation), err));
    }
    pass->workspace_bytes = workspace_of(pass);
    return lrc_arena_plan(&pass->arena, "workspace", &pass->workspace, (int64_t)pass->workspace_bytes, 1,
                          err);
}

enum lrc_status lrc_pass_init(struct lrc_pass *pass, struct lrc_model *model,
                              const struct lrc_pass_options *options, struct lrc_error *err)
{
    LRC_TRY(lrc_pass_plan(pass, model, options, err));
    return lrc_arena_commit(&pass->arena, err);
}

void lrc_pass_release(struct lrc_pass *pass)
{
    lrc_arena_release(&pass->arena);
    *pass = (struct lrc_pass){ 0 };
}
