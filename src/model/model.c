#include "model/model_private.h"

#include "base/alloc.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct lrc_model_hasher {
    pthread_t            thread;
    struct lrc_model_dir dir; /* a copy: the model itself may change meanwhile */
    enum lrc_hash_pages  pages;
    char                 hex[LRC_HASH_HEX_MAX];
    enum lrc_status      status;
    struct lrc_error     error;
    atomic_int           is_done;
};

static void *hash_dir(void *context)
{
    struct lrc_model_hasher *hasher = context;
    hasher->status = lrc_model_dir_hash(hasher->hex, &hasher->dir, hasher->pages, &hasher->error);
    atomic_store(&hasher->is_done, 1);
    return NULL;
}

void lrc_model_hash_start(struct lrc_model *model, enum lrc_hash_pages pages)
{
    if (model->hash[0] != '\0' || model->hasher)
        return;
    model->hasher = lrc_calloc(1, sizeof *model->hasher);
    if (!model->hasher)
        return; /* then it is computed when it is asked for */
    model->hasher->dir = model->dir;
    model->hasher->pages = pages;
    if (pthread_create(&model->hasher->thread, NULL, hash_dir, model->hasher) != 0) {
        lrc_free(model->hasher);
        model->hasher = NULL;
    }
}

int lrc_model_is_hashing(const struct lrc_model *model)
{
    return model->hasher && !atomic_load(&model->hasher->is_done);
}

static enum lrc_status wait_for_hash(struct lrc_model *model, struct lrc_error *err)
{
    struct lrc_model_hasher *hasher = model->hasher;
    (void)pthread_join(hasher->thread, NULL);
    model->hasher = NULL;
    if (hasher->status == LRC_STATUS_OK)
        memcpy(model->hash, hasher->hex, sizeof model->hash);
    const enum lrc_status status = hasher->status == LRC_STATUS_OK
                                       ? LRC_STATUS_OK
                                       : lrc_fail(err, hasher->status, "%s", hasher->error.message);
    lrc_free(hasher);
    return status;
}

void lrc_model_release(struct lrc_model *model)
{
    if (model->hasher)
        (void)wait_for_hash(model, NULL); /* it reads what is closed here */
    lrc_arena_release(&model->arena);
    lrc_arena_release(&model->away);
    lrc_model_device__loaded(model);
    lrc_free(model->layers);
    lrc_model_config_release(&model->config);
    lrc_model_dir_close(&model->dir);
    *model = (struct lrc_model){ 0 };
}

enum lrc_status lrc_model_hash(struct lrc_model *model, struct lrc_error *err)
{
    if (model->hasher)
        return wait_for_hash(model, err);
    return model->hash[0] != '\0' ? LRC_STATUS_OK
                                  : lrc_model_dir_hash(model->hash, &model->dir, LRC_HASH_KEEPS_PAGES, err);
}

void lrc_model_module_name(char name[LRC_MODULE_NAME_MAX], const struct lrc_model *model, int64_t layer,
                           enum lrc_module module)
{
    (void)snprintf(name, LRC_MODULE_NAME_MAX, model->config.family->name_module[module], (int)layer);
}

static int has_bias(const struct lrc_model_config *config, int module)
{
    switch ((enum lrc_module)module) {
    case LRC_MODULE_Q:
    case LRC_MODULE_K:
    case LRC_MODULE_V: return config->bias_qkv;
    case LRC_MODULE_O: return config->bias_o;
    default: return config->bias_mlp;
    }
}

static void module_shape(int64_t shape[2], const struct lrc_model_config *config, int module)
{
    const int64_t hidden = config->hidden_size, inner = config->intermediate_size;
    const int64_t heads = config->n_heads * config->head_dim,
                  kv_heads = config->n_kv_heads * config->head_dim;
    switch ((enum lrc_module)module) {
    case LRC_MODULE_Q: shape[0] = heads, shape[1] = hidden; break;
    case LRC_MODULE_K:
    case LRC_MODULE_V: shape[0] = kv_heads, shape[1] = hidden; break;
    case LRC_MODULE_O: shape[0] = hidden, shape[1] = heads; break;
    case LRC_MODULE_GATE:
    case LRC_MODULE_UP: shape[0] = inner, shape[1] = hidden; break;
    default: shape[0] = hidden, shape[1] = inner; break;
    }
}

static void describe_norm(struct lrc_model_tensor *tensor, struct lrc_model *model, struct lrc_tensor *vector,
                          const char *pattern)
{
    (void)snprintf(tensor->name, sizeof tensor->name, pattern, (int)tensor->layer);
    tensor->vector = vector;
    tensor->n_dims = 1;
    tensor->shape[0] = model->config.hidden_size;
}

static void describe_table(struct lrc_model_tensor *tensor, struct lrc_model *model,
                           struct lrc_weight *weight, const char *name)
{
    (void)snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->weight = weight;
    tensor->n_dims = 2;
    tensor->shape[0] = model->config.vocab_size;
    tensor->shape[1] = model->config.hidden_size;
}

enum part { PART_WEIGHT, PART_BIAS };

static void describe_linear(struct lrc_model_tensor *tensor, struct lrc_model *model, int module,
                            enum part part)
{
    char name[LRC_MODULE_NAME_MAX];
    lrc_model_module_name(name, model, tensor->layer, (enum lrc_module)module);
    (void)snprintf(tensor->name, sizeof tensor->name, "%.*s.%s", LRC_MODULE_NAME_MAX - 8, name,
                   part == PART_WEIGHT ? "weight" : "bias");
    tensor->linear = &model->layers[tensor->layer].linear[module];
    tensor->module = module;
    module_shape(tensor->shape, &model->config, module);
    tensor->n_dims = part == PART_WEIGHT ? 2 : 1;
    if (part == PART_WEIGHT)
        tensor->weight = &tensor->linear->weight;
    else
        tensor->vector = &tensor->linear->bias;
}

/* The index-th tensor of a layer: two norms, then each linear and its bias. */
static void describe_in_layer(struct lrc_model_tensor *tensor, struct lrc_model *model, int64_t index)
{
    const struct lrc_model_family *family = model->config.family;
    struct lrc_model_layer        *layer = &model->layers[tensor->layer];
    if (index == 0) {
        describe_norm(tensor, model, &layer->norm_attention, family->name_norm_attention);
        return;
    }
    if (index == 1) {
        describe_norm(tensor, model, &layer->norm_mlp, family->name_norm_mlp);
        return;
    }
    index -= 2;
    for (int module = 0; module < LRC_MODULE_COUNT; module++) {
        const int64_t n = 1 + has_bias(&model->config, module);
        if (index < n) {
            describe_linear(tensor, model, module, index == 0 ? PART_WEIGHT : PART_BIAS);
            return;
        }
        index -= n;
    }
}

int lrc_model_tensor_at(struct lrc_model_tensor *tensor, struct lrc_model *model, int64_t index)
{
    const struct lrc_model_config *config = &model->config;
    int64_t                        n_in_layer = 2;
    for (int module = 0; module < LRC_MODULE_COUNT; module++)
        n_in_layer += 1 + has_bias(config, module);
    const int64_t n_in_layers = n_in_layer * config->n_layers;

    *tensor = (struct lrc_model_tensor){ .layer = -1, .module = -1 };
    if (index == 0) {
        describe_table(tensor, model, &model->embedding, config->family->name_embedding);
    } else if (index <= n_in_layers) {
        tensor->layer = (index - 1) / n_in_layer;
        describe_in_layer(tensor, model, (index - 1) % n_in_layer);
    } else if (index == n_in_layers + 1) {
        describe_norm(tensor, model, &model->final_norm, config->family->name_final_norm);
    } else if (index == n_in_layers + 2 && !config->tied) {
        describe_table(tensor, model, &model->output, config->family->name_output);
    } else {
        return 0;
    }
    return 1;
}
