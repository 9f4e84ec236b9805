/* From a folder to handles: weights stay where they lie in the file, unless they are quantized, trained or
 * unaligned. */
#include "model/model_private.h"

#include "base/alloc.h"
#include <stdio.h>
#include <string.h>

static size_t round_up(size_t n)
{
    return (n + LRC_ARENA_ALIGN_BYTES - 1) / LRC_ARENA_ALIGN_BYTES * LRC_ARENA_ALIGN_BYTES;
}

const struct lrc_safetensors_entry *lrc_model_loader__claim(struct lrc_model_loader *loader, const char *name)
{
    const struct lrc_model_dir *dir = &loader->model->dir;
    const int64_t               index = lrc_model_dir_index(dir, name);
    if (index < 0)
        return NULL;
    if (loader->used) /* the first walk's */
        loader->used[index] = 1;
    return dir->tensors[index].entry;
}

/* Bytes of the arena that a tensor needs to be aligned to its elements, or to be on a device: 0 when it can
 * stay in the map. */
static size_t copy_bytes(const struct lrc_model_loader *loader, const struct lrc_safetensors_entry *entry)
{
    const int is_aligned = (uintptr_t)entry->data % lrc_dtype_bytes(entry->dtype) == 0;
    return is_aligned && !loader->model->device ? 0 : round_up(entry->size_bytes);
}

void lrc_model_loader__plan(struct lrc_model_loader *loader, const struct lrc_safetensors_entry *entry)
{
    const size_t size_bytes = copy_bytes(loader, entry);
    loader->copies_bytes += size_bytes;
    loader->model->mapped_bytes += size_bytes == 0 ? entry->size_bytes : 0;
}

enum lrc_status lrc_model_loader__place(struct lrc_model_loader *loader, const void **data,
                                        const struct lrc_safetensors_entry *entry, struct lrc_error *err)
{
    struct lrc_model *model = loader->model;
    const size_t      size_bytes = copy_bytes(loader, entry);
    unsigned char    *copy = model->copies + loader->copies_bytes;
    *data = size_bytes == 0 ? entry->data : copy;
    if (size_bytes == 0)
        return LRC_STATUS_OK;
    loader->copies_bytes += size_bytes;
    if (!model->device) {
        memcpy(copy, entry->data, entry->size_bytes);
        return LRC_STATUS_OK;
    }
    LRC_TRY(lrc_model_device__send(model, copy, entry->data, entry->size_bytes, err));
    lrc_map_drop(entry->data, entry->size_bytes);
    return LRC_STATUS_OK;
}

static void append_shape(struct lrc_buf *text, const int64_t *shape, int n_dims)
{
    lrc_buf_putc(text, '(');
    for (int d = 0; d < n_dims; d++)
        lrc_buf_printf(text, "%s%lld", d > 0 ? ", " : "", (long long)shape[d]);
    lrc_buf_putc(text, ')');
}

static int check_dense(struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor,
                       const struct lrc_safetensors_entry *entry)
{
    const char *path = loader->model->dir.path;
    if (!entry) {
        lrc_problems_add(loader->problems, "%s: tensor '%s' is missing", path, tensor->name);
        return 0;
    }
    if (!lrc_dtype_is_float(entry->dtype)) {
        lrc_problems_add(loader->problems, "%s: tensor '%s': want F32, F16 or BF16, got %s", path,
                         tensor->name, lrc_dtype_info[entry->dtype].name);
        return 0;
    }
    int fits = entry->n_dims == tensor->n_dims;
    for (int d = 0; fits && d < tensor->n_dims; d++)
        fits = entry->shape[d] == tensor->shape[d];
    if (fits)
        return 1;
    struct lrc_buf want = { 0 }, got = { 0 };
    append_shape(&want, tensor->shape, tensor->n_dims);
    append_shape(&got, entry->shape, entry->n_dims);
    lrc_problems_add(loader->problems, "%s: tensor '%s': want shape %s, got %s", path, tensor->name,
                     lrc_buf_text(&want), lrc_buf_text(&got));
    lrc_buf_release(&want);
    lrc_buf_release(&got);
    return 0;
}

/* A folder that is 4-bit already stays as it is, also in the linears that it keeps dense. */
static int is_quantized_here(const struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor)
{
    return loader->options->load_in_4bit && !loader->model->config.is_bnb_4bit && tensor->linear &&
           tensor->weight;
}

/* Columns and rows behind a tensor on the device. */
static int64_t room_of(const struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor)
{
    const int is_linear = tensor->linear && tensor->weight;
    return loader->model->device && is_linear && !loader->options->trainable ? loader->options->room : 0;
}

static int stays_away(const struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor)
{
    return loader->options->embedding_offloading && !loader->options->trainable &&
           lrc_model_device__can_stay_away(loader->model, tensor);
}

static const void *place_away(const struct lrc_model *model, const struct lrc_safetensors_entry *entry)
{
    memcpy(model->away_embedding, entry->data, entry->size_bytes);
    lrc_map_drop(entry->data, entry->size_bytes);
    return model->away_embedding;
}

static enum lrc_status plan_tensor(struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor,
                                   struct lrc_error *err)
{
    if (tensor->linear && tensor->weight && lrc_model_bnb__is_stored(loader->model, tensor->name)) {
        lrc_model_bnb__plan(loader, tensor);
        return LRC_STATUS_OK;
    }
    const struct lrc_safetensors_entry *entry = lrc_model_loader__claim(loader, tensor->name);
    if (!check_dense(loader, tensor, entry))
        return LRC_STATUS_OK;
    if (stays_away(loader, tensor))
        return lrc_model_device__plan_away(loader->model, entry->size_bytes, err);
    if (is_quantized_here(loader, tensor)) {
        const struct lrc_quant_options *quant = &loader->options->quant;
        loader->blocks_bytes += round_up(lrc_quant_bytes(tensor->shape[0], tensor->shape[1], quant));
        lrc_model_device__want(loader->model, tensor->shape[0], tensor->shape[1], entry->dtype, quant);
    } else if (loader->options->trainable) {
        loader->copies_bytes += round_up((size_t)entry->n_elems * sizeof(float));
    } else if (room_of(loader, tensor) > 0) {
        loader->copies_bytes += lrc_model_device__roomy_bytes(tensor->shape[0], tensor->shape[1],
                                                              room_of(loader, tensor), entry->dtype);
    } else {
        lrc_model_loader__plan(loader, entry);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status quantize_tensor(struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor,
                                       const struct lrc_weight *source, struct lrc_error *err)
{
    struct lrc_error error = { 0 };
    unsigned char   *storage = loader->model->blocks + loader->blocks_bytes;
    loader->blocks_bytes += round_up(lrc_quant_bytes(source->rows, source->cols, &loader->options->quant));
    const enum lrc_status status =
        loader->model->device
            ? lrc_model_device__quantize(loader->model, tensor->weight, storage, source,
                                         &loader->options->quant, &error)
            : lrc_quantize(tensor->weight, storage, source, &loader->options->quant, &error);
    if (status != LRC_STATUS_OK)
        return lrc_fail(err, status, "%s: tensor '%s': %s", loader->model->dir.path, tensor->name,
                        error.message);
    lrc_map_drop(source->data, (size_t)(source->rows * source->cols) * lrc_dtype_bytes(source->dtype));
    return LRC_STATUS_OK;
}

static enum lrc_status place_roomy(struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor,
                                   const struct lrc_safetensors_entry *entry, struct lrc_error *err)
{
    struct lrc_model           *model = loader->model;
    const size_t                bytes = lrc_dtype_bytes(entry->dtype);
    const int64_t               room = room_of(loader, tensor), cols = tensor->shape[1];
    unsigned char              *copy = model->copies + loader->copies_bytes;
    const struct lrc_model_rows rows = { tensor->shape[0], (size_t)cols * bytes,
                                         (size_t)(cols + room) * bytes };
    LRC_TRY(lrc_model_device__send_rows(model, copy, entry->data, &rows, err));
    lrc_map_drop(entry->data, entry->size_bytes);
    loader->copies_bytes += lrc_model_device__roomy_bytes(rows.n_rows, cols, room, entry->dtype);
    *tensor->weight = (struct lrc_weight){
        .rows = rows.n_rows, .cols = cols, .dtype = entry->dtype, .data = copy, .room = room
    };
    return LRC_STATUS_OK;
}

/* Dense data of a tensor and its dtype: the map, a copy, or a float32 copy. */
static enum lrc_status place_dense(struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor,
                                   const void **data, enum lrc_dtype *dtype,
                                   const struct lrc_safetensors_entry *entry, struct lrc_error *err)
{
    struct lrc_model *model = loader->model;
    *dtype = entry->dtype;
    if (stays_away(loader, tensor)) {
        *data = place_away(model, entry);
        return LRC_STATUS_OK;
    }
    if (!loader->options->trainable)
        return lrc_model_loader__place(loader, data, entry, err);
    void *copy = model->copies + loader->copies_bytes;
    if (model->device)
        LRC_TRY(lrc_model_device__send_f32(model, copy, entry->data, entry->dtype, entry->n_elems, err));
    else
        lrc_dtype_to_f32(copy, entry->data, entry->dtype, entry->n_elems);
    lrc_map_drop(entry->data, entry->size_bytes);
    loader->copies_bytes += round_up((size_t)entry->n_elems * sizeof(float));
    *dtype = LRC_DTYPE_F32;
    *data = copy;
    return LRC_STATUS_OK;
}

static enum lrc_status place_tensor(struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor,
                                    struct lrc_error *err)
{
    const int64_t rows = tensor->shape[0], cols = tensor->shape[1];
    if (tensor->linear && tensor->weight && lrc_model_bnb__is_stored(loader->model, tensor->name))
        return lrc_model_bnb__place(loader, tensor->weight, tensor, err);
    const struct lrc_safetensors_entry *entry = lrc_model_dir_find(&loader->model->dir, tensor->name);
    if (is_quantized_here(loader, tensor)) {
        const struct lrc_weight source = {
            .rows = rows, .cols = cols, .dtype = entry->dtype, .data = entry->data
        };
        return quantize_tensor(loader, tensor, &source, err);
    }
    if (room_of(loader, tensor) > 0)
        return place_roomy(loader, tensor, entry, err);
    enum lrc_dtype dtype;
    const void    *data;
    LRC_TRY(place_dense(loader, tensor, &data, &dtype, entry, err));
    if (tensor->weight)
        *tensor->weight = (struct lrc_weight){ .rows = rows, .cols = cols, .dtype = dtype, .data = data };
    else
        *tensor->vector = lrc_tensor_1d((void *)(uintptr_t)data, dtype, rows);
    return LRC_STATUS_OK;
}

/* Tensors that older files hold and nothing reads: rotary frequencies, and a second copy of a tied output
 * layer. */
static int is_harmless(const struct lrc_model *model, const char *name)
{
    static const char suffix[] = ".rotary_emb.inv_freq";
    const size_t      n = strlen(name), n_suffix = sizeof suffix - 1;
    if (n >= n_suffix && strcmp(name + n - n_suffix, suffix) == 0)
        return 1;
    return model->config.tied && strcmp(name, model->config.family->name_output) == 0;
}

static void list_extra(const struct lrc_model_loader *loader)
{
    const struct lrc_model_dir *dir = &loader->model->dir;
    for (int64_t i = 0; i < dir->n_tensors; i++)
        if (!loader->used[i] && !is_harmless(loader->model, dir->tensors[i].entry->name))
            lrc_problems_add(loader->problems, "%s: tensor '%s' belongs to no part of a %s model", dir->path,
                             dir->tensors[i].entry->name, loader->model->config.family->model_type);
}

static enum lrc_status plan_all(struct lrc_model_loader *loader, struct lrc_error *err)
{
    struct lrc_model       *model = loader->model;
    struct lrc_model_tensor tensor;
    const int               before = loader->problems->count;
    for (int64_t i = 0; lrc_model_tensor_at(&tensor, model, i); i++)
        LRC_TRY(plan_tensor(loader, &tensor, err));
    list_extra(loader);
    if (loader->problems->count > before)
        return lrc_problems_fail(loader->problems, LRC_STATUS_FORMAT, model->dir.path, err);

    const char   *copies_name = loader->options->trainable ? "base weights, float32"
                                : model->device            ? "base weights"
                                                           : "base weights, aligned copies";
    const int64_t n_table = model->n_positions * (model->config.head_dim / 2);
    if (loader->blocks_bytes > 0)
        LRC_TRY(lrc_arena_plan(&model->arena, "base weights, 4-bit", &model->blocks,
                               (int64_t)loader->blocks_bytes, 1, err));
    if (loader->copies_bytes > 0)
        LRC_TRY(lrc_arena_plan(&model->arena, copies_name, &model->copies, (int64_t)loader->copies_bytes, 1,
                               err));
    LRC_TRY(lrc_arena_plan(&model->arena, "rope cosines", &model->rope_cos, n_table, sizeof(float), err));
    LRC_TRY(lrc_arena_plan(&model->arena, "rope sines", &model->rope_sin, n_table, sizeof(float), err));
    return model->device ? lrc_model_device__plan(model, err) : LRC_STATUS_OK;
}

static enum lrc_status place_all(struct lrc_model_loader *loader, struct lrc_error *err)
{
    struct lrc_model       *model = loader->model;
    struct lrc_model_tensor tensor;
    LRC_TRY(lrc_arena_commit(&model->arena, err));
    LRC_TRY(lrc_model_device__load(model, err));
    loader->blocks_bytes = 0;
    loader->copies_bytes = 0;
    for (int64_t i = 0; lrc_model_tensor_at(&tensor, model, i); i++)
        LRC_TRY(place_tensor(loader, &tensor, err));
    if (model->config.tied)
        model->output = model->embedding;
    for (int64_t i = 0; i < model->config.n_layers; i++)
        model->layers[i].window = model->config.layer_is_sliding[i] ? model->config.window : 0;
    if (!model->device) {
        lrc_rope_tables(model->rope_cos, model->rope_sin, model->n_positions, &model->config.rope,
                        model->config.head_dim);
        return LRC_STATUS_OK;
    }
    LRC_TRY(lrc_model_device__rope(model, err));
    lrc_model_device__loaded(model);
    return LRC_STATUS_OK;
}

static int has_bnb_linears(struct lrc_model *model)
{
    struct lrc_model_tensor tensor;
    for (int64_t i = 0; lrc_model_tensor_at(&tensor, model, i); i++)
        if (tensor.linear && tensor.weight && lrc_model_bnb__is_stored(model, tensor.name))
            return 1;
    return 0;
}

/* Shapes and types of all handles, without data: what adapters, workspaces and arenas are planned from. */
static void shape_all(const struct lrc_model_loader *loader)
{
    struct lrc_model       *model = loader->model;
    struct lrc_model_tensor tensor;
    for (int64_t i = 0; lrc_model_tensor_at(&tensor, model, i); i++) {
        if (!tensor.weight)
            continue;
        const struct lrc_quant_type        *stored = lrc_model_bnb__stored_type(model, tensor.name);
        const struct lrc_safetensors_entry *entry = lrc_model_dir_find(&model->dir, tensor.name);
        *tensor.weight = (struct lrc_weight){ .rows = tensor.shape[0], .cols = tensor.shape[1] };
        tensor.weight->type = stored                               ? stored->type
                              : is_quantized_here(loader, &tensor) ? loader->options->quant.type->type
                                                                   : LRC_BLOCK_DENSE;
        tensor.weight->dtype = loader->options->trainable ? LRC_DTYPE_F32 : entry->dtype;
    }
    if (model->config.tied)
        model->output = model->embedding;
}

static enum lrc_status load_all(struct lrc_model_loader *loader, const char *path, struct lrc_error *err)
{
    struct lrc_model *model = loader->model;
    LRC_TRY(lrc_model_dir_open(&model->dir, path, loader->problems, err));
    LRC_TRY(lrc_model_config_read(&model->config, model->dir.config, model->dir.generation, loader->problems,
                                  err));
    if (!lrc_model_dir_find(&model->dir, model->config.family->name_output))
        model->config.tied = 1; /* files of tied models do not always say so */
    model->n_positions =
        loader->options->n_positions > 0 ? loader->options->n_positions : model->config.max_positions;
    model->layers = lrc_calloc(model->config.n_layers, sizeof *model->layers);
    loader->used = lrc_calloc(model->dir.n_tensors, 1);
    if (!model->layers || !loader->used)
        return lrc_fail_nomem(err, path);
    if (has_bnb_linears(model))
        model->config.is_bnb_4bit = 1;
    if (loader->options->trainable && (loader->options->load_in_4bit || model->config.is_bnb_4bit))
        return lrc_fail(err, LRC_STATUS_CONFIG, "%s: full fine-tuning wants weights that are not in 4 bits",
                        path);
    LRC_TRY(plan_all(loader, err));
    if (loader->options->plan_only) {
        shape_all(loader);
        return LRC_STATUS_OK;
    }
    return place_all(loader, err);
}

enum lrc_status lrc_model_commit(struct lrc_model *model, const struct lrc_model_options *options,
                                 struct lrc_error *err)
{
    struct lrc_model_loader loader = { .model = model, .options = options };
    return place_all(&loader, err);
}

enum lrc_status lrc_model_load(struct lrc_model *model, const char *path,
                               const struct lrc_model_options *options, struct lrc_problems *problems,
                               struct lrc_error *err)
{
    struct lrc_model_loader loader = { .model = model, .options = options, .problems = problems };
    *model =
        (struct lrc_model){ .device = options->device && options->device->memory ? options->device : NULL };
    const enum lrc_status status = load_all(&loader, path, err);
    lrc_free(loader.used);
    if (status != LRC_STATUS_OK)
        lrc_model_release(model);
    return status;
}
