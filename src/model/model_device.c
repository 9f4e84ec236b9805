/* Weights on a device: what must be made first, float32 copies and tables, is made piece by piece in the
 * staging region; what is quantized goes up as it is and is encoded there, one tensor at a time. Neither side
 * ever holds more than one of them twice. */
#include "model/model_private.h"

#include <string.h>

enum { TABLE_ELEMS = 16 + 256, PIECE_BYTES = 4 << 20 };

static size_t round_up(size_t n)
{
    return (n + LRC_ARENA_ALIGN_BYTES - 1) / LRC_ARENA_ALIGN_BYTES * LRC_ARENA_ALIGN_BYTES;
}

static void want_stage(struct lrc_model *model, size_t bytes)
{
    model->stage_bytes = bytes > model->stage_bytes ? bytes : model->stage_bytes;
}

static int64_t blocks_of(int64_t rows, int64_t cols, const struct lrc_quant_options *options)
{
    return (rows * cols + options->block_elems - 1) / options->block_elems;
}

/* One absmax per block, rounded up: what is made of them comes behind it in the staging region. */
static size_t absmax_bytes(int64_t n_blocks)
{
    return round_up((size_t)n_blocks * sizeof(float));
}

void lrc_model_device__want(struct lrc_model *model, int64_t rows, int64_t cols, enum lrc_dtype dtype,
                            const struct lrc_quant_options *options)
{
    const int64_t n_blocks = blocks_of(rows, cols, options);
    const size_t  dense = (size_t)(rows * cols) * lrc_dtype_bytes(dtype);
    model->load_bytes = dense > model->load_bytes ? dense : model->load_bytes;
    model->load_blocks = n_blocks > model->load_blocks ? n_blocks : model->load_blocks;
    want_stage(model, absmax_bytes(n_blocks) + lrc_quant_bytes(rows, cols, options) -
                          lrc_quant_codes_bytes(rows, cols));
}

static size_t rope_bytes(const struct lrc_model *model)
{
    return (size_t)(model->n_positions * (model->config.head_dim / 2)) * sizeof(float);
}

enum lrc_status lrc_model_device__plan(struct lrc_model *model, struct lrc_error *err)
{
    model->arena.memory = model->device->memory;
    model->loading.memory = model->device->memory;
    model->staging.memory = model->device->staging;
    want_stage(model, 2 * rope_bytes(model));
    want_stage(model, PIECE_BYTES);
    LRC_TRY(lrc_arena_plan(&model->staging, "upload of the base", &model->stage, (int64_t)model->stage_bytes,
                           1, err));
    if (model->load_blocks == 0)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_arena_plan(&model->arena, "quantization tables", &model->quant_tables, TABLE_ELEMS,
                           sizeof(float), err));
    LRC_TRY(lrc_arena_plan(&model->loading, "upload of the base", &model->load_dense,
                           (int64_t)model->load_bytes, 1, err));
    return lrc_arena_plan(&model->loading, "absmax of the base", &model->load_absmax, model->load_blocks,
                          sizeof(float), err);
}

int lrc_model_device__can_stay_away(const struct lrc_model *model, const struct lrc_model_tensor *tensor)
{
    return model->device && !model->config.tied && tensor->weight == &model->embedding;
}

enum lrc_status lrc_model_device__plan_away(struct lrc_model *model, size_t size_bytes, struct lrc_error *err)
{
    model->away.memory = model->device->mapped;
    return lrc_arena_plan(&model->away, "embedding", &model->away_embedding, (int64_t)size_bytes, 1, err);
}

enum lrc_status lrc_model_device__load(struct lrc_model *model, struct lrc_error *err)
{
    LRC_TRY(lrc_arena_commit(&model->away, err));
    LRC_TRY(lrc_arena_commit(&model->staging, err));
    return lrc_arena_commit(&model->loading, err);
}

void lrc_model_device__loaded(struct lrc_model *model)
{
    lrc_arena_release(&model->staging);
    lrc_arena_release(&model->loading);
}

enum lrc_status lrc_model_device__send(struct lrc_model *model, void *to, const void *from, size_t bytes,
                                       struct lrc_error *err)
{
    LRC_TRY(model->device->upload(NULL, to, from, bytes, err));
    return model->device->synchronize(NULL, err);
}

size_t lrc_model_device__roomy_bytes(int64_t rows, int64_t cols, int64_t room, enum lrc_dtype dtype)
{
    return round_up((size_t)((rows + room) * (cols + room)) * lrc_dtype_bytes(dtype));
}

/* Pieces of whole rows are put together in staging; what lies between them goes up as it happens to be. */
enum lrc_status lrc_model_device__send_rows(struct lrc_model *model, void *to, const void *from,
                                            const struct lrc_model_rows *rows, struct lrc_error *err)
{
    const int64_t fit = (int64_t)(PIECE_BYTES / rows->stride_bytes), n_piece = fit > 0 ? fit : 1;
    for (int64_t first = 0; first < rows->n_rows; first += n_piece) {
        const int64_t        left = rows->n_rows - first, n_now = left < n_piece ? left : n_piece;
        const unsigned char *piece = (const unsigned char *)from + (size_t)first * rows->row_bytes;
        unsigned char       *at = (unsigned char *)to + (size_t)first * rows->stride_bytes;
        if (fit == 0) {
            LRC_TRY(lrc_model_device__send(model, at, piece, rows->row_bytes, err));
            continue;
        }
        for (int64_t row = 0; row < n_now; row++)
            memcpy(model->stage + (size_t)row * rows->stride_bytes, piece + (size_t)row * rows->row_bytes,
                   rows->row_bytes);
        LRC_TRY(lrc_model_device__send(model, at, model->stage, (size_t)n_now * rows->stride_bytes, err));
    }
    return LRC_STATUS_OK;
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

/* Blocks encoded into storage, and one absmax of each in staging. */
static enum lrc_status encode(struct lrc_model *model, unsigned char *storage,
                              const struct lrc_weight *source, const struct lrc_quant_options *options,
                              struct lrc_error *err)
{
    const struct lrc_backend       *device = model->device;
    const int64_t                   n_elems = source->rows * source->cols;
    struct lrc_quantize_blocks_args args = {
        .x = lrc_tensor_1d(model->load_dense, source->dtype, n_elems),
        .block_elems = options->block_elems,
        .packed = storage,
        .absmax = model->load_absmax,
    };
    lrc_quant_levels(&args.levels, options->type);
    LRC_TRY(device->upload(NULL, model->load_dense, source->data,
                           (size_t)n_elems * lrc_dtype_bytes(source->dtype), err));
    LRC_TRY(lrc_quantize_blocks(device, NULL, &args, err));
    LRC_TRY(device->download(NULL, model->stage, model->load_absmax,
                             (size_t)blocks_of(source->rows, source->cols, options) * sizeof(float), err));
    return device->synchronize(NULL, err);
}

enum lrc_status lrc_model_device__quantize(struct lrc_model *model, struct lrc_weight *out,
                                           unsigned char *storage, const struct lrc_weight *source,
                                           const struct lrc_quant_options *options, struct lrc_error *err)
{
    const size_t codes_bytes = lrc_quant_codes_bytes(source->rows, source->cols),
                 rest_bytes = lrc_quant_bytes(source->rows, source->cols, options) - codes_bytes;
    unsigned char *rest = model->stage + absmax_bytes(blocks_of(source->rows, source->cols, options)),
                  *sent = storage + codes_bytes;
    const float *absmax = (const float *)(const void *)model->stage;
    LRC_TRY(encode(model, storage, source, options, err));
    LRC_TRY(lrc_quantize_finish(out, storage, rest, absmax, source, options, err));
    LRC_TRY(lrc_model_device__send(model, model->quant_tables, out->code, 16 * sizeof(float), err));
    LRC_TRY(lrc_model_device__send(model, sent, rest, rest_bytes, err));
    out->code = model->quant_tables;
    if (!options->double_quant) {
        out->absmax = (const float *)(const void *)sent;
        return LRC_STATUS_OK;
    }
    LRC_TRY(
        lrc_model_device__send(model, model->quant_tables + 16, out->nested_map, 256 * sizeof(float), err));
    out->nested_map = model->quant_tables + 16;
    out->absmax_code = sent + (out->absmax_code - rest);
    out->nested_absmax =
        (const float *)(const void *)(sent + ((const unsigned char *)out->nested_absmax - rest));
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
