#include "model/pass__walk.h"

#include <omp.h>
#include <string.h>

/* Logits of one chunk: large enough for the product's best rate, small beside the activations. Every chunk
 * reads the head once in each direction, which is one FLOP per byte and row in bf16; a device computes 150 to
 * 250 FLOPs in the time of a byte, and 256 MB are 512 rows of 128k words. Where layers are recomputed to save
 * memory half of that must do; a CPU does with a quarter. */
struct head_limits {
    int64_t bytes, rows;
};
static const struct head_limits head_small = { 64 << 20, 512 }, head_saving = { 128 << 20, 512 },
                                head_device = { 256 << 20, 1024 };
enum { HEAD_CHUNK_MIN = 16 };

enum { ATTENTION_DOCS = 16 }; /* of a batch, as far as attention's workspace counts on */
static const size_t ATTENTION_WIDE_MAX = (size_t)4 << 30;

static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Whether ops get the workspace that they work best with. */
static int is_wide(const struct lrc_pass_options *o)
{
    return o->backend->memory && !o->narrow;
}

int64_t lrc_pass_head_rows(const struct lrc_pass_options *o, int64_t vocab_size)
{
    const struct head_limits *limits = !is_wide(o)                   ? &head_small
                                       : o->use == LRC_TAPE_TRAINING ? &head_device
                                                                     : &head_saving;
    const int64_t             fit =
        limits->bytes / (vocab_size * (int64_t)sizeof(float)) / HEAD_CHUNK_MIN * HEAD_CHUNK_MIN;
    const int64_t rows = at_least(fit < limits->rows ? fit : limits->rows, HEAD_CHUNK_MIN),
                  most = at_least(o->n_trained, HEAD_CHUNK_MIN);
    return rows < most ? rows : most;
}

static size_t linear_workspace(const struct lrc_pass_options *o, int64_t n_rows,
                               const struct lrc_weight *weight, int64_t rank)
{
    return is_wide(o) ? lrc_linear_workspace_wide_bytes(n_rows, weight, rank, o->activation)
                      : lrc_linear_workspace_bytes(n_rows, weight->cols, weight->rows, rank, o->activation);
}

/* Memory is short when layers are recomputed; in inference there is no backward pass to gain. */
static size_t attention_workspace(const struct lrc_pass *pass)
{
    const struct lrc_model_config *c = &pass->model->config;
    const struct lrc_pass_options *o = &pass->options;
    const size_t  least = lrc_attention_workspace_bytes(o->n_tokens, c->n_heads, c->n_kv_heads, c->head_dim,
                                                       o->backend->memory ? 1 : omp_get_max_threads());
    const int64_t longest = o->n_tokens < pass->model->n_positions ? o->n_tokens : pass->model->n_positions;
    if (!is_wide(o) || o->use != LRC_TAPE_TRAINING)
        return least;
    const size_t wide = lrc_attention_workspace_wide_bytes(o->n_tokens, ATTENTION_DOCS, longest, c->n_heads,
                                                           c->n_kv_heads, c->head_dim);
    return wide <= ATTENTION_WIDE_MAX ? wide : least;
}

static size_t workspace_of(const struct lrc_pass *pass)
{
    const struct lrc_pass_options *o = &pass->options;
    size_t                         most = attention_workspace(pass);
    for (int64_t i = 0; i < pass->model->config.n_layers * LRC_MODULE_COUNT; i++) {
        const struct lrc_model_layer *layer = &pass->model->layers[i / LRC_MODULE_COUNT];
        most = larger(most, linear_workspace(o, o->n_tokens, &layer->linear[i % LRC_MODULE_COUNT].weight,
                                             o->ranks.any));
    }
    most = larger(most, linear_workspace(o, pass->head_chunk, &pass->model->output, 0));
    return larger(most, lrc_grad_norm_workspace_bytes());
}

static enum lrc_status plan_head(struct lrc_pass *pass, struct lrc_error *err)
{
    const struct lrc_model_config *c = &pass->model->config;
    struct lrc_arena              *arena = &pass->arena;
    const size_t                   act = lrc_dtype_bytes(pass->options.activation);
    const int                      training = pass->options.use != LRC_TAPE_INFERENCE;
    const uint32_t                 head = LRC_PHASE(HEAD);

    const int64_t n = at_least(pass->options.n_trained, 1);
    pass->head_chunk = lrc_pass_head_rows(&pass->options, c->vocab_size);

    LRC_TRY(lrc_arena_plan(arena, "log-probabilities", &pass->logprob,
                           pass->options.backend->memory ? n : at_least(n, pass->options.n_window),
                           sizeof(float), err));
    if (training && !pass->options.backend->memory)
        LRC_TRY(lrc_arena_plan(arena, "coefficients", &pass->coef, n, sizeof(float), err));
    LRC_TRY(lrc_arena_plan_during(arena, head, "head rows", &pass->head_rows, n * c->hidden_size, act, err));
    LRC_TRY(lrc_arena_plan_during(arena, head, "head norm", &pass->head_norm,
                                  at_least(n, pass->head_chunk) * c->hidden_size, act, err));
    LRC_TRY(lrc_arena_plan_during(arena, head, "head statistics", &pass->head_rstd, n, sizeof(float), err));
    LRC_TRY(lrc_arena_plan_during(arena, head, "logits chunk", &pass->logits,
                                  pass->head_chunk * c->vocab_size, sizeof(float), err));
    LRC_TRY(lrc_arena_plan_during(arena, head, "log-sum-exp", &pass->lse, n, sizeof(float), err));
    if (!training)
        return LRC_STATUS_OK;
    return lrc_arena_plan_during(arena, head, "d head", &pass->d_head, n * c->hidden_size, sizeof(float),
                                 err);
}

static enum lrc_status plan_gradients(struct lrc_pass *pass, struct lrc_error *err)
{
    const struct lrc_model_config *c = &pass->model->config;
    struct lrc_arena              *arena = &pass->arena;
    const size_t                   act = lrc_dtype_bytes(pass->options.activation);
    const int64_t n = pass->options.n_tokens, room = pass->room, q = c->n_heads * c->head_dim,
                  kv = c->n_kv_heads * c->head_dim;
    const uint32_t heads = LRC_PHASES(BACK_ATTENTION, BACK_QKV);

    LRC_TRY(lrc_arena_plan_during(arena, LRC_PHASES(HEAD, BACK_QKV), "d residual", &pass->d_x,
                                  n * c->hidden_size, sizeof(float), err));
    LRC_TRY(lrc_arena_plan_during(arena, LRC_PHASE(BACK_UP) | LRC_PHASE(BACK_QKV), "d norm", &pass->d_norm,
                                  n * c->hidden_size, sizeof(float), err));
    LRC_TRY(lrc_arena_plan_during(arena, LRC_PHASE(BACK_ATTENTION), "d attention", &pass->d_att, n * q, act,
                                  err));
    LRC_TRY(lrc_arena_plan_during(arena, heads, "d queries", &pass->d_q, n * (q + room), act, err));
    LRC_TRY(lrc_arena_plan_during(arena, heads, "d keys", &pass->d_k, n * (kv + room), act, err));
    return lrc_arena_plan_during(arena, heads, "d values", &pass->d_v, n * (kv + room), act, err);
}

/* The host's side of what goes to a device and comes back. */
static enum lrc_status plan_staging(struct lrc_pass *pass, struct lrc_error *err)
{
    struct lrc_arena *staging = &pass->staging;
    const int64_t     n = at_least(pass->options.n_trained, 1);
    int64_t           n_logits = pass->options.n_logits;
    n_logits = n_logits < pass->head_chunk ? n_logits : pass->head_chunk;
    LRC_TRY(lrc_arena_plan(staging, "step scalars", &pass->host_scalars, 1, sizeof *pass->host_scalars, err));
    LRC_TRY(lrc_arena_plan(staging, "log-probabilities", &pass->host_logprob,
                           at_least(n, pass->options.n_window), sizeof(float), err));
    if (n_logits > 0)
        LRC_TRY(lrc_arena_plan(staging, "logits", &pass->host_logits,
                               n_logits * pass->model->config.vocab_size, sizeof(float), err));
    return LRC_STATUS_OK;
}

enum lrc_status lrc_pass_plan(struct lrc_pass *pass, struct lrc_model *model,
                              const struct lrc_pass_options *options, struct lrc_error *err)
{
    const struct lrc_backend *backend = options->backend;
    *pass = (struct lrc_pass){ .options = *options, .model = model };
    const struct lrc_model_config *c = &model->config;

    pass->arena.memory = backend->memory;
    pass->staging.memory = backend->staging;
    pass->feed = (struct lrc_feed){ .backend = backend,
                                    .stream = options->stream,
                                    .n_tokens = options->n_tokens,
                                    .n_docs = options->n_docs,
                                    .n_trained = options->n_trained };
    const int offloads =
        options->offloads && options->use == LRC_TAPE_CHECKPOINTING && backend->memory != NULL;
    LRC_TRY(lrc_arena_plan(&pass->arena, "step scalars", &pass->scalars, 1, sizeof *pass->scalars, err));
    LRC_TRY(lrc_feed_plan(&pass->feed, &pass->arena, &pass->staging, err));
    pass->options.n_trained = pass->feed.n_trained;
    pass->room = is_wide(options) ? lrc_linear_room(options->ranks.any) : 0;
    const struct lrc_tape_options tape = { .n_tokens = options->n_tokens,
                                           .ranks = options->ranks,
                                           .room = pass->room,
                                           .activation = options->activation,
                                           .use = options->use,
                                           .offloads = offloads };
    LRC_TRY(lrc_tape_plan(&pass->tape, &pass->arena, c, &tape, err));
    LRC_TRY(plan_head(pass, err));
    if (backend->memory)
        LRC_TRY(plan_staging(pass, err));
    pass->offload =
        (struct lrc_offload){ .backend = backend, .stream = options->stream, .tape = &pass->tape };
    if (offloads)
        LRC_TRY(lrc_offload_plan(&pass->offload, &pass->staging, c->n_layers, err));
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

enum lrc_status lrc_pass_commit(struct lrc_pass *pass, struct lrc_error *err)
{
    LRC_ASSERT(pass->options.backend->memory == (pass->model->device ? pass->model->device->memory : NULL));
    LRC_TRY(lrc_arena_commit(&pass->arena, err));
    LRC_TRY(lrc_arena_commit(&pass->staging, err));
    LRC_TRY(lrc_offload_commit(&pass->offload, err));
    if (pass->options.use != LRC_TAPE_INFERENCE)
        LRC_TRY(lrc_replay_commit(&pass->replay, pass->options.backend, err));
    return lrc_feed_commit(&pass->feed, err);
}

enum lrc_status lrc_pass_init(struct lrc_pass *pass, struct lrc_model *model,
                              const struct lrc_pass_options *options, struct lrc_error *err)
{
    LRC_TRY(lrc_pass_plan(pass, model, options, err));
    return lrc_pass_commit(pass, err);
}

void lrc_pass_release(struct lrc_pass *pass)
{
    lrc_replay_release(&pass->replay);
    lrc_feed_release(&pass->feed);
    lrc_offload_release(&pass->offload);
    lrc_arena_release(&pass->staging);
    lrc_arena_release(&pass->arena);
    *pass = (struct lrc_pass){ 0 };
}
