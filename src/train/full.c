#include "train/full.h"

#include <stdio.h>
#include <string.h>

static int64_t elems_of(const struct lrc_model_tensor *tensor)
{
    return tensor->n_dims == 2 ? tensor->shape[0] * tensor->shape[1] : tensor->shape[0];
}

static struct lrc_tensor view_of(const struct lrc_model_tensor *tensor, void *data)
{
    return tensor->n_dims == 2 ? lrc_tensor_2d(data, LRC_DTYPE_F32, tensor->shape[0], tensor->shape[1])
                               : lrc_tensor_1d(data, LRC_DTYPE_F32, tensor->shape[0]);
}

static void *data_of(const struct lrc_model_tensor *tensor)
{
    /* our own copy: writable */
    return tensor->weight ? (void *)(uintptr_t)tensor->weight->data : tensor->vector->data;
}

/* Where the gradient of a tensor is kept in the model-shaped table. */
static struct lrc_tensor *place_of(struct lrc_full *full, const struct lrc_model_tensor *tensor)
{
    struct lrc_model           *model = full->model;
    struct lrc_model_gradients *gradients = &full->gradients;
    if (tensor->weight == &model->embedding)
        return &gradients->embedding;
    if (tensor->weight == &model->output)
        return &gradients->output;
    if (tensor->vector == &model->final_norm)
        return &gradients->final_norm;
    struct lrc_model_layer_gradients *layer = &gradients->layers[tensor->layer];
    if (tensor->module >= 0)
        return tensor->weight ? &layer->weight[tensor->module] : &layer->bias[tensor->module];
    return tensor->vector == &model->layers[tensor->layer].norm_attention ? &layer->norm_attention
                                                                          : &layer->norm_mlp;
}

enum lrc_status lrc_full_plan(struct lrc_full *full, struct lrc_model *model, struct lrc_error *err)
{
    struct lrc_model_tensor tensor;

    *full = (struct lrc_full){ .model = model };
    full->gradients.layers = lrc_calloc(model->config.n_layers, sizeof *full->gradients.layers);
    if (!full->gradients.layers)
        return lrc_fail_nomem(err, "gradients");
    full->arena.memory = model->device ? model->device->memory : NULL;
    for (int64_t i = 0; lrc_model_tensor_at(&tensor, model, i); i++)
        full->n_elems += elems_of(&tensor);
    return lrc_arena_plan(&full->arena, "weight gradients", &full->grads, full->n_elems, sizeof(float), err);
}

enum lrc_status lrc_full_commit(struct lrc_full *full, struct lrc_error *err)
{
    struct lrc_model_tensor tensor;
    LRC_TRY(lrc_arena_commit(&full->arena, err));
    float *next = full->grads;
    for (int64_t i = 0; lrc_model_tensor_at(&tensor, full->model, i); i++) {
        *place_of(full, &tensor) = view_of(&tensor, next);
        next += elems_of(&tensor);
    }
    if (full->model->config.tied)
        full->gradients.output = full->gradients.embedding;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_full_init(struct lrc_full *full, struct lrc_model *model, struct lrc_error *err)
{
    LRC_TRY(lrc_full_plan(full, model, err));
    return lrc_full_commit(full, err);
}

void lrc_full_release(struct lrc_full *full)
{
    lrc_arena_release(&full->arena);
    lrc_free(full->gradients.layers);
    *full = (struct lrc_full){ 0 };
}

enum lrc_status lrc_full_trainables(struct lrc_trainables *trainables, struct lrc_full *full,
                                    struct lrc_error *err)
{
    struct lrc_model_tensor tensor;
    int64_t                 n = 0;

    *trainables = (struct lrc_trainables){ 0 };
    while (lrc_model_tensor_at(&tensor, full->model, n))
        n++;
    trainables->rows = lrc_calloc(n, sizeof *trainables->rows);
    trainables->grads = lrc_calloc(n, sizeof *trainables->grads);
    if (!trainables->rows || !trainables->grads)
        return lrc_fail_nomem(err, "trainables");
    for (int64_t i = 0; i < n; i++) {
        LRC_ASSERT(lrc_model_tensor_at(&tensor, full->model, i));
        struct lrc_trainable *row = &trainables->rows[i];
        (void)snprintf(row->name, sizeof row->name, "%s", tensor.name);
        row->value = view_of(&tensor, data_of(&tensor));
        row->grad = *place_of(full, &tensor);
        row->decays = tensor.n_dims >= 2;
        trainables->grads[i] = row->grad;
        trainables->n_elems += elems_of(&tensor);
    }
    trainables->n = n;
    trainables->grad_memory = full->grads;
    trainables->grad_bytes = (size_t)trainables->n_elems * sizeof(float);
    return LRC_STATUS_OK;
}

static const float *find_value(const struct lrc_trainables *rows, const char *name)
{
    for (int64_t i = 0; i < rows->n; i++)
        if (strcmp(rows->rows[i].name, name) == 0)
            return rows->rows[i].value.data;
    return NULL;
}

enum { PIECE_ELEMS = 1 << 16 };

/* One tensor in the base's element type, in pieces; a tensor that we do not train goes over as it was. */
static enum lrc_status put_tensor(struct lrc_safetensors_writer      *writer,
                                  const struct lrc_safetensors_entry *entry, const float *value,
                                  struct lrc_error *err)
{
    if (!value)
        return lrc_safetensors_writer_put(writer, entry->data, entry->size_bytes, err);
    unsigned char piece[PIECE_ELEMS * sizeof(float)];
    const size_t  elem_bytes = lrc_dtype_bytes(entry->dtype);
    for (int64_t first = 0; first < entry->n_elems; first += PIECE_ELEMS) {
        const int64_t left = entry->n_elems - first, n = left < PIECE_ELEMS ? left : PIECE_ELEMS;
        lrc_dtype_from_f32(piece, entry->dtype, value + first, n);
        LRC_TRY(lrc_safetensors_writer_put(writer, piece, (size_t)n * elem_bytes, err));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status save_shard(struct lrc_full *full, const struct lrc_trainables *rows, int shard_index,
                                  const char *dir, struct lrc_error *err)
{
    const struct lrc_safetensors *shard = &full->model->dir.shards[shard_index];
    enum lrc_status               status = LRC_STATUS_OK;
    struct lrc_safetensors_writer writer = { 0 };
    char                         *path = lrc_path_join(dir, full->model->dir.shard_names[shard_index]);
    struct lrc_safetensors_spec  *specs = lrc_calloc(shard->n_entries, sizeof *specs);
    if (!path || !specs) {
        status = lrc_fail_nomem(err, dir);
        goto done;
    }
    for (int64_t i = 0; i < shard->n_entries; i++) {
        const struct lrc_safetensors_entry *entry = &shard->entries[i];
        specs[i] = (struct lrc_safetensors_spec){ .name = entry->name,
                                                  .dtype = entry->dtype,
                                                  .n_dims = entry->n_dims };
        memcpy(specs[i].shape, entry->shape, sizeof specs[i].shape);
    }
    status = lrc_safetensors_writer_open(&writer, path, specs, shard->n_entries, NULL, err);
    for (int64_t i = 0; status == LRC_STATUS_OK && i < shard->n_entries; i++) {
        const struct lrc_safetensors_entry *entry = &shard->entries[writer.order[i]];
        status = put_tensor(&writer, entry, find_value(rows, entry->name), err);
    }
    if (status == LRC_STATUS_OK)
        status = lrc_safetensors_writer_commit(&writer, err);
done:
    lrc_safetensors_writer_abort(&writer);
    lrc_free(specs);
    lrc_free(path);
    return status;
}

static enum lrc_status copy_if_there(const char *from, const char *to, const char *name,
                                     struct lrc_error *err)
{
    char           *source = lrc_path_join(from, name), *target = lrc_path_join(to, name);
    enum lrc_status status = source && target ? LRC_STATUS_OK : lrc_fail_nomem(err, name);
    if (status == LRC_STATUS_OK && lrc_path_exists(source))
        status = lrc_file_copy(target, source, err);
    lrc_free(source);
    lrc_free(target);
    return status;
}

enum lrc_status lrc_full_save(struct lrc_full *full, const struct lrc_trainables *rows, const char *dir,
                              struct lrc_error *err)
{
    for (int i = 0; i < full->model->dir.n_shards; i++)
        LRC_TRY(save_shard(full, rows, i, dir, err));
    static const char *const kept[] = { "model.safetensors.index.json", "config.json",
                                        "generation_config.json" };
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        LRC_TRY(copy_if_there(full->model->dir.path, dir, kept[i], err));
    return lrc_model_dir_copy_tokenizer(full->model->dir.path, dir, err);
}
