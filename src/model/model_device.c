/* Weights on a device: what must be made first, blocks, float32 copies and tables, is made piece by piece in
 * the staging region, so that the host never holds more than one of them. */
#include "model/model_private.h"

#include <string.h>

enum { TABLE_ELEMS = 16 + 256, PIECE_BYTES = 4 << 20 };

void lrc_model_device__want(struct lrc_model *model, size_t bytes)
{
    model->stage_bytes = bytes > model->stage_bytes ? bytes : model->stage_bytes;
}

static size_t rope_bytes(const struct lrc_model *model)
{
    return (size_t)(model->n_positions * (model->config.head_dim / 2)) * sizeof(float);
}

enum lrc_status lrc_model_device__plan(struct lrc_model *model, int quantizes, struct lrc_error *err)
{
    model->arena.memory = model->device->memory;
    model->staging.memory = model->device->staging;
    lrc_model_device__want(model, 2 * rope_bytes(model));
    lrc_model_device__want(model, PIECE_BYTES);
    if (quantizes)
        LRC_TRY(lrc_arena_plan(&model->arena, "quantization tables", &model->quant_tables, TABLE_ELEMS,
                               sizeof(float), err));
    return lrc_arena_plan(&model->staging, "upload of the base", &model->stage, (int64_t)model->stage_bytes,
                          1, err);
}

enum lrc_status lrc_model_device__send(struct lrc_model *model, void *to, const void *from, size_t bytes,
                                       struct lrc_error *err)
{
    LRC_TRY(model->device->upload(NULL, to, from, bytes, err));
    return model->device->synchronize(NULL, err);
}

enum lrc_status lrc_model_device__send_f32(struct lrc_model *model, void *to, const void *from,
                                           enum lrc_dtype dtype, int64_t n, struct lrc_error *err)
{
    const int64_t n_piece = PIECE_BYTES / (int64_t)sizeof(float);
    for (int64_t first = 0; first < n; first += n_piece) {
        const int64_t left = n - first, n_now = left < n_piece ? left : n_piece;
        lrc_dtype_to_f32((float *)(void *)model->stage,
                         (const unsigned char *)from + (size_t)first * lrc_dtype_bytes(dtype), dtype, n_now);
        LRC_TRY(lrc_model_device__send(model, (float *)to + first, model->stage,
                                       (size_t)n_now * sizeof(float), err));
    }
    return LRC_STATUS_OK;
}

/* The same place in the device's storage. */
static const void *moved(const struct lrc_model *model, const void *staged, const unsigned char *storage)
{
    return staged ? storage + ((const unsigned char *)staged - model->stage) : NULL;
}

enum lrc_status lrc_model_device__quantize(struct lrc_model *model, struct lrc_weight *out,
                                           unsigned char *storage, const struct lrc_weight *source,
                                           const struct lrc_quant_options *options, struct lrc_error *err)
{
    struct lrc_weight made;
    const size_t      bytes = lrc_quant_bytes(source->rows, source->cols, options);
    LRC_ASSERT(bytes <= model->stage_bytes);
    LRC_TRY(lrc_quantize(&made, model->stage, source, options, err));
    LRC_TRY(lrc_model_device__send(model, model->quant_tables, made.code, 16 * sizeof(float), err));
    if (made.nested_map)
        LRC_TRY(lrc_model_device__send(model, model->quant_tables + 16, made.nested_map, 256 * sizeof(float),
                                       err));
    LRC_TRY(lrc_model_device__send(model, storage, model->stage, bytes, err));
    *out = made;
    out->data = moved(model, made.data, storage);
    out->code = model->quant_tables;
    out->absmax = moved(model, made.absmax, storage);
    out->absmax_code = moved(model, made.absmax_code, storage);
    out->nested_absmax = moved(model, made.nested_absmax, storage);
    out->nested_map = made.nested_map ? model->quant_tables + 16 : NULL;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_model_device__rope(struct lrc_model *model, struct lrc_error *err)
{
    const size_t bytes = rope_bytes(model);
    float       *cosines = (float *)(void *)model->stage, *sines = cosines + bytes / sizeof(float);
    lrc_rope_tables(cosines, sines, model->n_positions, &model->config.rope, model->config.head_dim);
    LRC_TRY(lrc_model_device__send(model, model->rope_cos, cosines, bytes, err));
    return lrc_model_device__send(model, model->rope_sin, sines, bytes, err);
}
