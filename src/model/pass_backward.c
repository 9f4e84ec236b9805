#include "model/pass__walk.h"

static struct lrc_tensor none(void)
{
    return (struct lrc_tensor){ 0 };
}

/* Gradient buffer of the pass as (T, cols). */
static struct lrc_tensor buffer(const struct lrc_walk *walk, void *memory, enum lrc_dtype dtype, int64_t cols)
{
    return lrc_tensor_2d(memory, dtype, walk->n_tokens, cols);
}

/* One that a linear reads: with room behind each row. */
static struct lrc_tensor buffer_in(const struct lrc_walk *walk, void *memory, int64_t cols)
{
    struct lrc_tensor rows = buffer(walk, memory, walk->pass->options.activation, cols);
    rows.stride[0] += walk->pass->room;
    return rows;
}

static enum lrc_status linear(const struct lrc_walk *walk, int64_t layer, enum lrc_module module,
                              struct lrc_tensor d_out, struct lrc_tensor x, struct lrc_tensor d_x,
                              enum lrc_accumulate accumulate, struct lrc_error *err)
{
    const struct lrc_model_linear          *base = &walk->pass->model->layers[layer].linear[module];
    const struct lrc_model_layer_gradients *gradients =
        walk->gradients ? &walk->gradients->layers[layer] : NULL;
    const struct lrc_linear_backward_args args = {
        .d_out = d_out,
        .d_out_room = lrc_walk__room(d_out),
        .x = x,
        .weight = &base->weight,
        .adapter = lrc_adapter_at(walk->adapter, layer, module),
        .u = lrc_walk__u(walk, layer, module),
        .dropout = lrc_walk__dropout(walk, layer, module),
        .d_x = d_x,
        .accumulate = accumulate,
        .d_weight = gradients ? gradients->weight[module] : none(),
        .d_bias = gradients ? gradients->bias[module] : none(),
        .workspace = walk->pass->workspace,
        .workspace_bytes = walk->pass->workspace_bytes,
    };
    return lrc_linear_backward(walk->pass->options.backend, walk->pass->options.stream, &args, err);
}

/* d_x += norm's backward of d_norm: the residual stream carries the gradient past the norm. */
static enum lrc_status norm(const struct lrc_walk *walk, struct lrc_tensor x, const struct lrc_tensor *weight,
                            const float *rstd, struct lrc_tensor d_weight, struct lrc_error *err)
{
    const int64_t                          hidden = walk->pass->model->config.hidden_size;
    const struct lrc_tensor                d_x = buffer(walk, walk->pass->d_x, LRC_DTYPE_F32, hidden);
    const struct lrc_rmsnorm_backward_args args = {
        .d_out = buffer(walk, walk->pass->d_norm, LRC_DTYPE_F32, hidden),
        .x = x,
        .weight = *weight,
        .rstd = rstd,
        .d_residual = d_x,
        .d_x = d_x,
        .d_weight = d_weight,
    };
    return lrc_rmsnorm_backward(walk->pass->options.backend, walk->pass->options.stream, &args, err);
}

static enum lrc_status rope(const struct lrc_walk *walk, struct lrc_tensor d_heads, struct lrc_error *err)
{
    const struct lrc_model             *model = walk->pass->model;
    const struct lrc_rope_backward_args args = {
        .d_x = d_heads,
        .cos_table = model->rope_cos,
        .sin_table = model->rope_sin,
        .positions = walk->batch->positions,
        .n_positions = model->n_positions,
        .n_pairs = model->config.head_dim / 2,
    };
    return lrc_rope_backward(walk->pass->options.backend, walk->pass->options.stream, &args, err);
}

static enum lrc_status mlp(const struct lrc_walk *walk, int64_t layer, struct lrc_error *err)
{
    struct lrc_pass               *pass = walk->pass;
    const struct lrc_model_config *config = &pass->model->config;
    const struct lrc_model_layer  *weights = &pass->model->layers[layer];
    const struct lrc_tensor        d_x = buffer(walk, pass->d_x, LRC_DTYPE_F32, config->hidden_size);
    const struct lrc_tensor        d_n2 = buffer(walk, pass->d_norm, LRC_DTYPE_F32, config->hidden_size);
    const struct lrc_tensor        act = lrc_walk__slot(walk, LRC_TAPE_ACT, layer),
                            gate = lrc_walk__slot(walk, LRC_TAPE_GATE, layer),
                            up = lrc_walk__slot(walk, LRC_TAPE_UP, layer),
                            mid = lrc_walk__slot(walk, LRC_TAPE_MID, layer),
                            n2 = lrc_walk__slot(walk, LRC_TAPE_NORM_2, layer);
    float *rstd = lrc_walk__slot(walk, LRC_TAPE_RSTD_2, layer).data;

    /* what is read for the last time becomes its gradient in place */
    LRC_TRY(lrc_walk__gated(walk, layer, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_DOWN, d_x, act, act, LRC_ACCUMULATE_SET, err));
    const struct lrc_gated_backward_args gated = {
        .d_out = act,
        .gate = gate,
        .up = up,
        .d_gate = gate,
        .d_up = up,
        .activation = LRC_ACTIVATION_SILU,
    };
    LRC_TRY(lrc_gated_backward(pass->options.backend, pass->options.stream, &gated, err));
    LRC_TRY(lrc_walk__norm(walk, mid, &weights->norm_mlp, n2, rstd, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_GATE, gate, n2, d_n2, LRC_ACCUMULATE_SET, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_UP, up, n2, d_n2, LRC_ACCUMULATE_ADD, err));
    return norm(walk, mid, &weights->norm_mlp, rstd,
                walk->gradients ? walk->gradients->layers[layer].norm_mlp : none(), err);
}

static enum lrc_status attention(const struct lrc_walk *walk, int64_t layer, struct lrc_error *err)
{
    struct lrc_pass               *pass = walk->pass;
    const struct lrc_model_config *config = &pass->model->config;
    const enum lrc_dtype           type = pass->options.activation;
    const int64_t                  n_q = config->n_heads, n_kv = config->n_kv_heads, dim = config->head_dim;
    const struct lrc_tensor        d_att = buffer(walk, pass->d_att, type, n_q * dim),
                            d_q = buffer_in(walk, pass->d_q, n_q * dim);
    const struct lrc_tensor d_k = buffer_in(walk, pass->d_k, n_kv * dim),
                            d_v = buffer_in(walk, pass->d_v, n_kv * dim);
    const struct lrc_tensor out = lrc_walk__slot(walk, LRC_TAPE_ATT, layer),
                            x = lrc_walk__slot(walk, LRC_TAPE_X, layer),
                            n1 = lrc_walk__slot(walk, LRC_TAPE_NORM_1, layer);
    const struct lrc_tensor *weight = &pass->model->layers[layer].norm_attention;
    float                   *rstd = lrc_walk__slot(walk, LRC_TAPE_RSTD_1, layer).data;
    const int                wants_d_x = walk->gradients || layer > walk->adapter->first_layer;
    const struct lrc_tensor  d_n1 =
        wants_d_x ? buffer(walk, pass->d_norm, LRC_DTYPE_F32, config->hidden_size) : none();

    LRC_TRY(linear(walk, layer, LRC_MODULE_O, buffer(walk, pass->d_x, LRC_DTYPE_F32, config->hidden_size),
                   out, d_att, LRC_ACCUMULATE_SET, err));
    const struct lrc_attention_backward_args args = {
        .d_out = lrc_walk__heads(d_att, n_q),
        .q = lrc_walk__heads(lrc_walk__slot(walk, LRC_TAPE_Q, layer), n_q),
        .k = lrc_walk__heads(lrc_walk__slot(walk, LRC_TAPE_K, layer), n_kv),
        .v = lrc_walk__heads(lrc_walk__slot(walk, LRC_TAPE_V, layer), n_kv),
        .out = lrc_walk__heads(out, n_q),
        .lse = lrc_walk__slot(walk, LRC_TAPE_LSE, layer).data,
        .d_q = lrc_walk__heads(d_q, n_q),
        .d_k = lrc_walk__heads(d_k, n_kv),
        .d_v = lrc_walk__heads(d_v, n_kv),
        .shape = lrc_walk__attention_shape(walk, layer),
        .workspace = pass->workspace,
        .workspace_bytes = pass->workspace_bytes,
    };
    LRC_TRY(lrc_attention_backward(pass->options.backend, pass->options.stream, &args, err));
    LRC_TRY(rope(walk, lrc_walk__heads(d_q, n_q), err));
    LRC_TRY(rope(walk, lrc_walk__heads(d_k, n_kv), err));
    LRC_TRY(lrc_walk__norm(walk, x, weight, n1, rstd, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_Q, d_q, n1, d_n1, LRC_ACCUMULATE_SET, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_K, d_k, n1, d_n1, LRC_ACCUMULATE_ADD, err));
    LRC_TRY(linear(walk, layer, LRC_MODULE_V, d_v, n1, d_n1, LRC_ACCUMULATE_ADD, err));
    if (!wants_d_x)
        return LRC_STATUS_OK;
    return norm(walk, x, weight, rstd,
                walk->gradients ? walk->gradients->layers[layer].norm_attention : none(), err);
}

enum lrc_status lrc_walk__backward(const struct lrc_walk *walk, struct lrc_error *err)
{
    struct lrc_pass *pass = walk->pass;
    const int64_t    lowest = walk->gradients ? 0 : walk->adapter->first_layer;

    for (int64_t layer = pass->model->config.n_layers - 1; layer >= lowest; layer--) {
        LRC_TRY(lrc_offload_fetch(&pass->offload, layer, lowest, walk->n_tokens, err));
        if (pass->options.use == LRC_TAPE_CHECKPOINTING)
            LRC_TRY(lrc_walk__layer(walk, layer, LRC_WALK_AGAIN, err));
        LRC_TRY(mlp(walk, layer, err));
        LRC_TRY(attention(walk, layer, err));
    }
    if (!walk->gradients)
        return LRC_STATUS_OK;
    const struct lrc_embedding_backward_args embed = {
        .d_out = buffer(walk, pass->d_x, LRC_DTYPE_F32, pass->model->config.hidden_size),
        .tokens = walk->batch->tokens,
        .d_weight = walk->gradients->embedding,
    };
    return lrc_embedding_backward(pass->options.backend, pass->options.stream, &embed, err);
}
