#include "model/synthetic.h"

#include "model/model_private.h"

#include "base/rng.h"
#include <string.h>

static const struct lrc_model_shape shapes[] = {
    { "p1", 2048, 4, 8192, 32, 8, 64, 32000, 1, 5e5 },
    { "1b", 2048, 16, 8192, 32, 8, 64, 128256, 1, 5e5 },
    { "3b", 3072, 28, 8192, 24, 8, 128, 128256, 1, 5e5 },
    { "8b", 4096, 32, 14336, 32, 8, 128, 128256, 0, 5e5 },
    { "small", 576, 8, 1536, 9, 3, 64, 49152, 1, 1e4 },
    { "tiny", 64, 2, 176, 4, 2, 16, 512, 1, 1e4 },
};

const struct lrc_model_shape *lrc_model_shape_find(const char *name)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

static size_t round_up(size_t n)
{
    return (n + LRC_ARENA_ALIGN_BYTES - 1) / LRC_ARENA_ALIGN_BYTES * LRC_ARENA_ALIGN_BYTES;
}

/* Uniform in +-0.02 sqrt(3). */
static void fill_random(void *data, enum lrc_dtype dtype, int64_t n, uint64_t key)
{
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < (n + 3) / 4; block++) {
        const struct lrc_rng_block words = lrc_rng_philox(key, 0, (uint64_t)block);
        const int64_t              left = n - 4 * block;
        float                      values[4];
        for (int i = 0; i < 4; i++)
            values[i] = (lrc_rng_unit(words.word[i]) * 2.0f - 1.0f) * 0.034641f;
        lrc_dtype_from_f32((unsigned char *)data + (size_t)(4 * block) * lrc_dtype_bytes(dtype), dtype,
                           values, left < 4 ? left : 4);
    }
}

static void fill_ones(void *data, enum lrc_dtype dtype, int64_t n)
{
    const float one = 1.0f;
    for (int64_t i = 0; i < n; i++)
        lrc_dtype_from_f32((unsigned char *)data + (size_t)i * lrc_dtype_bytes(dtype), dtype, &one, 1);
}

static enum lrc_status configure(struct lrc_model *model, const struct lrc_model_shape *shape,
                                 enum lrc_dtype dtype, int64_t n_positions, struct lrc_error *err)
{
    model->config = (struct lrc_model_config){
        .family = lrc_model_family_find("llama"),
        .hidden_size = shape->hidden,
        .intermediate_size = shape->intermediate,
        .n_layers = shape->n_layers,
        .n_heads = shape->n_heads,
        .n_kv_heads = shape->n_kv_heads,
        .head_dim = shape->head_dim,
        .vocab_size = shape->vocab,
        .max_positions = n_positions,
        .rms_norm_eps = 1e-5f,
        .rope = { .type = LRC_ROPE_DEFAULT, .theta = shape->rope_theta },
        .tied = shape->tied,
        .dtype = dtype,
        .bos_id = -1,
    };
    model->n_positions = n_positions;
    model->config.layer_is_sliding = lrc_calloc(shape->n_layers, 1);
    model->layers = lrc_calloc(shape->n_layers, sizeof *model->layers);
    return model->layers && model->config.layer_is_sliding ? LRC_STATUS_OK : lrc_fail_nomem(err, shape->name);
}

static int is_quantized(const struct lrc_model_tensor *tensor, const struct lrc_quant_options *quant)
{
    return quant && tensor->linear && tensor->weight;
}

static int64_t elems_of(const struct lrc_model_tensor *tensor)
{
    return tensor->shape[0] * (tensor->n_dims == 2 ? tensor->shape[1] : 1);
}

static int64_t room_of(const struct lrc_model *model, const struct lrc_model_tensor *tensor,
                       const struct lrc_synthetic_options *options)
{
    return model->device && tensor->linear && tensor->weight ? options->room : 0;
}

/* Of a tensor that stays dense, in the arena. */
static size_t dense_bytes(const struct lrc_model *model, const struct lrc_model_tensor *tensor,
                          const struct lrc_synthetic_options *options)
{
    const int64_t room = room_of(model, tensor, options);
    return room > 0 ? lrc_model_device__roomy_bytes(tensor->shape[0], tensor->shape[1], room, options->dtype)
                    : round_up((size_t)elems_of(tensor) * lrc_dtype_bytes(options->dtype));
}

static int stays_away(const struct lrc_model *model, const struct lrc_model_tensor *tensor,
                      const struct lrc_synthetic_options *options)
{
    return options->embedding_offloading && lrc_model_device__can_stay_away(model, tensor);
}

static enum lrc_status plan(struct lrc_model *model, const struct lrc_synthetic_options *options,
                            size_t *largest, struct lrc_error *err)
{
    struct lrc_model_tensor tensor;
    size_t                  blocks = 0, copies = 0;
    *largest = 0;
    for (int64_t i = 0; lrc_model_tensor_at(&tensor, model, i); i++) {
        const size_t dense = (size_t)elems_of(&tensor) * lrc_dtype_bytes(options->dtype);
        *largest = dense > *largest ? dense : *largest;
        if (stays_away(model, &tensor, options)) {
            LRC_TRY(lrc_model_device__plan_away(model, dense, err));
            continue;
        }
        if (!is_quantized(&tensor, options->quant)) {
            copies += dense_bytes(model, &tensor, options);
            continue;
        }
        blocks += round_up(lrc_quant_bytes(tensor.shape[0], tensor.shape[1], options->quant));
        lrc_model_device__want(model, tensor.shape[0], tensor.shape[1], options->dtype, options->quant);
    }
    const int64_t n_table = model->n_positions * (model->config.head_dim / 2);
    LRC_TRY(lrc_arena_plan(&model->arena, "base weights, 4-bit", &model->blocks, (int64_t)blocks, 1, err));
    LRC_TRY(lrc_arena_plan(&model->arena, "base weights", &model->copies, (int64_t)copies, 1, err));
    LRC_TRY(lrc_arena_plan(&model->arena, "rope cosines", &model->rope_cos, n_table, sizeof(float), err));
    LRC_TRY(lrc_arena_plan(&model->arena, "rope sines", &model->rope_sin, n_table, sizeof(float), err));
    return model->device ? lrc_model_device__plan(model, err) : LRC_STATUS_OK;
}

/* The tensor made in room, or, dense in host memory, where it stays. */
static enum lrc_status fill_tensor(struct lrc_model *model, const struct lrc_model_tensor *tensor,
                                   uint64_t key, unsigned char **block, unsigned char **copy,
                                   const struct lrc_synthetic_options *options, void *room,
                                   struct lrc_error *err)
{
    const int64_t n = elems_of(tensor);
    const int quantizes = is_quantized(tensor, options->quant), is_away = stays_away(model, tensor, options);
    void     *data = is_away ? model->away_embedding : quantizes || model->device ? room : *copy;
    struct lrc_weight dense = {
        .rows = tensor->shape[0], .cols = tensor->shape[1], .dtype = options->dtype, .data = data
    };
    if (tensor->weight)
        fill_random(data, options->dtype, n, key);
    else
        fill_ones(data, options->dtype, n);
    if (quantizes) {
        unsigned char *storage = *block;
        *block += round_up(lrc_quant_bytes(dense.rows, dense.cols, options->quant));
        return model->device
                   ? lrc_model_device__quantize(model, tensor->weight, storage, &dense, options->quant, err)
                   : lrc_quantize(tensor->weight, storage, &dense, options->quant, err);
    }
    if (is_away) {
        *tensor->weight = dense;
        return LRC_STATUS_OK;
    }
    const size_t bytes = lrc_dtype_bytes(options->dtype);
    dense.room = room_of(model, tensor, options);
    if (dense.room > 0) {
        const struct lrc_model_rows rows = { dense.rows, (size_t)dense.cols * bytes,
                                             (size_t)lrc_weight_stride(&dense) * bytes };
        LRC_TRY(lrc_model_device__send_rows(model, *copy, data, &rows, err));
    } else if (model->device)
        LRC_TRY(lrc_model_device__send(model, *copy, data, (size_t)n * bytes, err));
    dense.data = *copy;
    if (tensor->weight)
        *tensor->weight = dense;
    else
        *tensor->vector = lrc_tensor_1d(*copy, options->dtype, n);
    *copy += dense_bytes(model, tensor, options);
    return LRC_STATUS_OK;
}

static enum lrc_status fill(struct lrc_model *model, const struct lrc_synthetic_options *options, void *room,
                            struct lrc_error *err)
{
    struct lrc_model_tensor tensor;
    unsigned char          *block = model->blocks, *copy = model->copies;
    for (int64_t i = 0; lrc_model_tensor_at(&tensor, model, i); i++)
        LRC_TRY(fill_tensor(model, &tensor, lrc_rng_key(1, LRC_RNG_ADAPTER_INIT, (uint32_t)i, 99), &block,
                            &copy, options, room, err));
    if (model->config.tied)
        model->output = model->embedding;
    if (model->device)
        return lrc_model_device__rope(model, err);
    lrc_rope_tables(model->rope_cos, model->rope_sin, model->n_positions, &model->config.rope,
                    model->config.head_dim);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_model_synthetic(struct lrc_model *model, const struct lrc_model_shape *shape,
                                    const struct lrc_synthetic_options *options, struct lrc_error *err)
{
    size_t largest = 0;
    void  *room = NULL;
    *model =
        (struct lrc_model){ .device = options->device && options->device->memory ? options->device : NULL };
    enum lrc_status status = configure(model, shape, options->dtype, options->n_positions, err);
    if (status == LRC_STATUS_OK)
        status = plan(model, options, &largest, err);
    if (status == LRC_STATUS_OK)
        status = lrc_arena_commit(&model->arena, err);
    if (status == LRC_STATUS_OK)
        status = lrc_model_device__load(model, err);
    if (status == LRC_STATUS_OK) {
        room = lrc_calloc((int64_t)largest, 1);
        status = room ? fill(model, options, room, err) : lrc_fail_nomem(err, shape->name);
    }
    lrc_model_device__loaded(model);
    lrc_free(room);
    return status;
}
