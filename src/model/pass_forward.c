#include "model/pass__walk.h"

#include "base/rng.h"
#include <math.h>

struct lrc_tensor lrc_walk__slot(const struct lrc_walk *walk, enum lrc_tape_slot slot, int64_t layer)
{
    return lrc_tape_get(&walk->pass->tape, slot, layer, walk->n_tokens);
}

struct lrc_tensor lrc_walk__heads(struct lrc_tensor rows, int64_t n_heads)
{
    struct lrc_tensor heads =
        lrc_tensor_3d(rows.data, rows.dtype, rows.shape[0], n_heads, rows.shape[1] / n_heads);
    heads.stride[0] = rows.stride[0];
    return heads;
}

int64_t lrc_walk__room(struct lrc_tensor rows)
{
    return rows.stride[0] - rows.shape[1];
}

struct lrc_tensor lrc_walk__u(const struct lrc_walk *walk, int64_t layer, enum lrc_module module)
{
    const struct lrc_linear_adapter *found = lrc_adapter_at(walk->adapter, layer, module);
    if (!found)
        return (struct lrc_tensor){ 0 };
    int64_t before = 0; /* down has a slot of its own */
    for (int m = 0; m < (int)module && module != LRC_MODULE_DOWN; m++) {
        const struct lrc_linear_adapter *other = lrc_adapter_at(walk->adapter, layer, (enum lrc_module)m);
        before += other ? other->a.shape[0] : 0;
    }
    const struct lrc_tensor slot =
        lrc_walk__slot(walk, module == LRC_MODULE_DOWN ? LRC_TAPE_U_DOWN : LRC_TAPE_U, layer);
    return lrc_tensor_2d((float *)slot.data + before * walk->n_tokens, LRC_DTYPE_F32, walk->n_tokens,
                         found->a.shape[0]);
}

struct lrc_dropout lrc_walk__dropout(const struct lrc_walk *walk, int64_t layer, enum lrc_module module)
{
    const struct lrc_pass_options *options = &walk->pass->options;
    if (options->use == LRC_TAPE_INFERENCE)
        return (struct lrc_dropout){ 0 };
    return (struct lrc_dropout){
        .p = options->dropout,
        .key = lrc_rng_key(options->seed, LRC_RNG_DROPOUT, (uint32_t)layer, (uint32_t)module),
        .step = &walk->pass->scalars->step,
        .row_ids = walk->batch->row_ids,
        .positions = walk->batch->positions,
    };
}

struct lrc_attention_shape lrc_walk__attention_shape(const struct lrc_walk *walk, int64_t layer)
{
    const struct lrc_model *model = walk->pass->model;
    return (struct lrc_attention_shape){
        .doc_offsets = walk->batch->doc_offsets,
        .doc_offsets_device = walk->pass->now.doc_offsets_device,
        .n_docs = walk->batch->n_docs,
        .longest = model->n_positions,
        .n_past = walk->pass->n_past,
        .window = model->layers[layer].window,
        .scale = 1.0f / sqrtf((float)model->config.head_dim),
    };
}

enum lrc_status lrc_walk__norm(const struct lrc_walk *walk, struct lrc_tensor x,
                               const struct lrc_tensor *weight, struct lrc_tensor out, float *rstd,
                               struct lrc_error *err)
{
    const struct lrc_rmsnorm_forward_args args = {
        .x = x,
        .weight = *weight,
        .out = out,
        .rstd = rstd,
        .eps = walk->pass->model->config.rms_norm_eps,
    };
    return lrc_rmsnorm_forward(walk->pass->options.backend, walk->pass->options.stream, &args, err);
}

enum lrc_status lrc_walk__gated(const struct lrc_walk *walk, int64_t layer, struct lrc_error *err)
{
    const struct lrc_gated_forward_args args = {
        .gate = lrc_walk__slot(walk, LRC_TAPE_GATE, layer),
        .up = lrc_walk__slot(walk, LRC_TAPE_UP, layer),
        .out = lrc_walk__slot(walk, LRC_TAPE_ACT, layer),
        .activation = LRC_ACTIVATION_SILU,
    };
    return lrc_gated_forward(walk->pass->options.backend, walk->pass->options.stream, &args, err);
}

static enum lrc_status linear(const struct lrc_walk *walk, int64_t layer, enum lrc_module module,
                              struct lrc_tensor x, struct lrc_tensor out, struct lrc_error *err)
{
    const struct lrc_model_linear       *base = &walk->pass->model->layers[layer].linear[module];
    const struct lrc_linear_forward_args args = {
        .x = x,
        .x_room = lrc_walk__room(x),
        .weight = &base->weight,
        .bias = base->bias,
        .adapter = lrc_adapter_at(walk->adapter, layer, module),
        .u = lrc_walk__u(walk, layer, module),
        .dropout = lrc_walk__dropout(walk, layer, module),
        .out = out,
        .workspace = walk->pass->workspace,
        .workspace_bytes = walk->pass->workspace_bytes,
    };
    return lrc_linear_forward(walk->pass->options.backend, walk->pass->options.stream, &args, err);
}

static enum lrc_status rope(const struct lrc_walk *walk, struct lrc_tensor heads, struct lrc_error *err)
{
    const struct lrc_model            *model = walk->pass->model;
    const struct lrc_rope_forward_args args = {
        .x = heads,
        .cos_table = model->rope_cos,
        .sin_table = model->rope_sin,
        .positions = walk->batch->positions,
        .n_positions = model->n_positions,
        .n_pairs = model->config.head_dim / 2,
    };
    return lrc_rope_forward(walk->pass->options.backend, walk->pass->options.stream, &args, err);
}

static enum lrc_status residual(const struct lrc_walk *walk, struct lrc_tensor a, struct lrc_tensor b,
                                struct lrc_tensor out, struct lrc_error *err)
{
    const struct lrc_add_args args = { .a = a, .b = b, .out = out };
    return lrc_add(walk->pass->options.backend, walk->pass->options.stream, &args, err);
}

/* Keys or values of the layer: a tape slot, or n rows of the cache from `first` on. */
static struct lrc_tensor key_rows(const struct lrc_walk *walk, enum lrc_tape_slot slot, int64_t layer,
                                  int64_t first, int64_t n)
{
    const struct lrc_pass *pass = walk->pass;
    if (pass->options.n_cache == 0)
        return lrc_walk__slot(walk, slot, layer);
    const int64_t  cols = pass->model->config.n_kv_heads * pass->model->config.head_dim;
    unsigned char *cache = slot == LRC_TAPE_K ? pass->cache_k : pass->cache_v;
    return lrc_tensor_2d(cache + (size_t)((layer * pass->options.n_cache + first) * cols) *
                                     lrc_dtype_bytes(pass->options.activation),
                         pass->options.activation, n, cols);
}

static enum lrc_status attention(const struct lrc_walk *walk, int64_t layer, struct lrc_error *err)
{
    const struct lrc_model_config *config = &walk->pass->model->config;
    const struct lrc_tensor        x = lrc_walk__slot(walk, LRC_TAPE_X, layer),
                            n1 = lrc_walk__slot(walk, LRC_TAPE_NORM_1, layer);
    const struct lrc_tensor q = lrc_walk__slot(walk, LRC_TAPE_Q, layer),
                            out = lrc_walk__slot(walk, LRC_TAPE_ATT, layer);
    const struct lrc_tensor mid = lrc_walk__slot(walk, LRC_TAPE_MID, layer);
    const int64_t           n_past = walk->pass->n_past;
    const struct lrc_tensor k = key_rows(walk, LRC_TAPE_K, layer, n_past, walk->n_tokens);
    const struct lrc_tensor v = key_rows(walk, LRC_TAPE_V, layer, n_past, walk->n_tokens);

    LRC_TRY(lrc_walk__norm(walk, x, &walk->pass->model->layers[layer].norm_attention, n1,
                           lrc_walk__slot(walk, LRC_TAPE_RSTD_1, layer).data, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_Q, n1, q, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_K, n1, k, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_V, n1, v, err));
    LRC_TRY(rope(walk, lrc_walk__heads(q, config->n_heads), err));
    LRC_TRY(rope(walk, lrc_walk__heads(k, config->n_kv_heads), err));

    const struct lrc_attention_forward_args args = {
        .q = lrc_walk__heads(q, config->n_heads),
        .k = lrc_walk__heads(key_rows(walk, LRC_TAPE_K, layer, 0, n_past + walk->n_tokens),
                             config->n_kv_heads),
        .v = lrc_walk__heads(key_rows(walk, LRC_TAPE_V, layer, 0, n_past + walk->n_tokens),
                             config->n_kv_heads),
        .out = lrc_walk__heads(out, config->n_heads),
        .lse = lrc_walk__slot(walk, LRC_TAPE_LSE, layer).data,
        .shape = lrc_walk__attention_shape(walk, layer),
        .workspace = walk->pass->workspace,
        .workspace_bytes = walk->pass->workspace_bytes,
    };
    LRC_TRY(lrc_attention_forward(walk->pass->options.backend, walk->pass->options.stream, &args, err));
    return linear(walk, layer, LRC_MODULE_O, out, mid, err);
}

/* mid += x, and its norm. */
static enum lrc_status middle(const struct lrc_walk *walk, int64_t layer, struct lrc_error *err)
{
    const struct lrc_tensor               mid = lrc_walk__slot(walk, LRC_TAPE_MID, layer);
    const struct lrc_rmsnorm_forward_args args = {
        .x = lrc_walk__slot(walk, LRC_TAPE_X, layer),
        .weight = walk->pass->model->layers[layer].norm_mlp,
        .out = lrc_walk__slot(walk, LRC_TAPE_NORM_2, layer),
        .rstd = lrc_walk__slot(walk, LRC_TAPE_RSTD_2, layer).data,
        .eps = walk->pass->model->config.rms_norm_eps,
        .addend = mid,
        .sum = mid,
    };
    return lrc_rmsnorm_forward(walk->pass->options.backend, walk->pass->options.stream, &args, err);
}

enum lrc_status lrc_walk__layer(const struct lrc_walk *walk, int64_t layer, enum lrc_walk_part part,
                                struct lrc_error *err)
{
    const struct lrc_tensor mid = lrc_walk__slot(walk, LRC_TAPE_MID, layer),
                            n2 = lrc_walk__slot(walk, LRC_TAPE_NORM_2, layer);
    const struct lrc_tensor next = lrc_walk__slot(walk, LRC_TAPE_X, layer + 1);

    LRC_TRY(attention(walk, layer, err));
    LRC_TRY(middle(walk, layer, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_GATE, n2, lrc_walk__slot(walk, LRC_TAPE_GATE, layer), err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_UP, n2, lrc_walk__slot(walk, LRC_TAPE_UP, layer), err));
    if (part == LRC_WALK_AGAIN)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_walk__gated(walk, layer, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_DOWN, lrc_walk__slot(walk, LRC_TAPE_ACT, layer), next, err));
    return residual(walk, mid, next, next, err);
}

enum lrc_status lrc_walk__forward(const struct lrc_walk *walk, struct lrc_error *err)
{
    struct lrc_pass                        *pass = walk->pass;
    const int                               trains = pass->options.use != LRC_TAPE_INFERENCE;
    const struct lrc_embedding_forward_args embed = {
        .weight = &pass->model->embedding,
        .tokens = walk->batch->tokens,
        .out = lrc_walk__slot(walk, LRC_TAPE_X, 0),
    };
    LRC_TRY(lrc_embedding_forward(pass->options.backend, pass->options.stream, &embed, err));
    for (int64_t layer = 0; layer < pass->model->config.n_layers; layer++) {
        if (trains)
            LRC_TRY(lrc_offload_send(&pass->offload, layer, walk->n_tokens, err));
        if (trains)
            LRC_TRY(lrc_offload_make_room(&pass->offload, layer + 1, err));
        LRC_TRY(lrc_walk__layer(walk, layer, LRC_WALK_WHOLE, err));
    }
    return LRC_STATUS_OK;
}
