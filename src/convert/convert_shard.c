/* One weight file. The order of its tensors is the reference writer's, by element type and name, so that the
 * parts of a linear lie apart: every part has its place before the first is made. */
#include "base/alloc.h"
#include "convert/convert_private.h"

#include <string.h>

/* A tensor of the new file: one that is copied, or a part of a linear. */
struct piece {
    char                  name[LRC_CONVERT_NAME_MAX]; /* of a part */
    enum lrc_convert_part part;
    size_t                size_bytes, at;
};

struct shard {
    struct lrc_convert_run       *run;
    int                           index;
    struct lrc_safetensors_writer writer;
    struct lrc_safetensors_spec  *specs; /* (n), in order of the base's tensors */
    struct piece                 *pieces;
    int64_t                       n;
};

static void add_copy(struct shard *shard, const struct lrc_safetensors_entry *entry)
{
    struct lrc_safetensors_spec *spec = &shard->specs[shard->n];
    *spec =
        (struct lrc_safetensors_spec){ .name = entry->name, .dtype = entry->dtype, .n_dims = entry->n_dims };
    memcpy(spec->shape, entry->shape, sizeof spec->shape);
    shard->pieces[shard->n++].size_bytes = entry->size_bytes;
}

static void add_parts(struct shard *shard, const struct lrc_convert_tensor *tensor)
{
    for (int part = 0; part < LRC_CONVERT_PART_COUNT; part++) {
        struct lrc_safetensors_spec *spec = &shard->specs[shard->n];
        struct piece                *piece = &shard->pieces[shard->n];
        piece->part = (enum lrc_convert_part)part;
        if (!lrc_convert_describe(spec, piece->name, shard->run, tensor, piece->part))
            continue;
        piece->size_bytes = (size_t)spec->shape[0] * lrc_dtype_bytes(spec->dtype);
        shard->n++;
    }
}

static enum lrc_status plan(struct shard *shard, struct lrc_error *err)
{
    const struct lrc_convert_run *run = shard->run;
    const int64_t n_max = run->model.dir.shards[shard->index].n_entries * LRC_CONVERT_PART_COUNT;
    shard->specs = lrc_calloc(n_max, sizeof *shard->specs);
    shard->pieces = lrc_calloc(n_max, sizeof *shard->pieces);
    if (!shard->specs || !shard->pieces)
        return lrc_fail_nomem(err, run->out.path);
    for (int64_t i = 0; i < run->model.dir.n_tensors; i++) {
        if (run->tensors[i].shard != shard->index)
            continue;
        if (run->tensors[i].weight)
            add_parts(shard, &run->tensors[i]);
        else
            add_copy(shard, run->tensors[i].entry);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status write_piece(struct shard *shard, const struct piece *piece, const void *bytes,
                                   struct lrc_error *err)
{
    LRC_TRY(lrc_out_write_at(&shard->writer.out, piece->at, bytes, piece->size_bytes, err));
    lrc_out_begin_sync(&shard->writer.out, piece->at, piece->size_bytes);
    return LRC_STATUS_OK;
}

/* Its pieces follow each other. */
static enum lrc_status write_linear(struct shard *shard, const struct piece *piece,
                                    const struct lrc_convert_tensor *tensor, struct lrc_error *err)
{
    struct lrc_weight weight;
    struct lrc_buf    state = { 0 };
    LRC_TRY(lrc_convert_quantize(&weight, shard->run, tensor, err));
    lrc_convert_append_state(&state, shard->run, tensor);
    const void *const data[LRC_CONVERT_PART_COUNT] = {
        [LRC_CONVERT_PACKED] = weight.data,
        [LRC_CONVERT_ABSMAX] =
            shard->run->quant.double_quant ? (const void *)weight.absmax_code : weight.absmax,
        [LRC_CONVERT_MAP] = weight.code,
        [LRC_CONVERT_NESTED_ABSMAX] = weight.nested_absmax,
        [LRC_CONVERT_NESTED_MAP] = weight.nested_map,
        [LRC_CONVERT_STATE] = state.data,
    };
    enum lrc_status status = lrc_buf_check(&state, err);
    for (int part = 0; status == LRC_STATUS_OK && part < LRC_CONVERT_PART_COUNT; part++)
        if (data[part])
            status = write_piece(shard, piece++, data[part], err);
    lrc_buf_release(&state);
    return status;
}

static enum lrc_status write_tensors(struct shard *shard, struct lrc_error *err)
{
    struct lrc_convert_run *run = shard->run;
    const struct piece     *piece = shard->pieces;
    for (int64_t i = 0; i < run->model.dir.n_tensors; i++) {
        const struct lrc_convert_tensor *tensor = &run->tensors[i];
        if (tensor->shard != shard->index)
            continue;
        LRC_TRY(lrc_convert_check_stop(run, err));
        if (tensor->weight) {
            LRC_TRY(write_linear(shard, piece, tensor, err));
            piece += run->quant.double_quant ? LRC_CONVERT_PART_COUNT : LRC_CONVERT_PART_COUNT - 2;
        } else {
            LRC_TRY(write_piece(shard, piece++, tensor->entry->data, err));
            lrc_map_drop(tensor->entry->data, tensor->entry->size_bytes);
        }
        lrc_convert_tell(run);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status write_file(struct shard *shard, const char *path, struct lrc_error *err)
{
    const char **metadata = lrc_safetensors_metadata_all(&shard->run->model.dir.shards[shard->index]);
    if (!metadata)
        return lrc_fail_nomem(err, path);
    enum lrc_status status =
        lrc_safetensors_writer_open(&shard->writer, path, shard->specs, shard->n, metadata, err);
    lrc_free((void *)metadata);
    LRC_TRY(status);
    for (int64_t i = 0; i < shard->n; i++) {
        struct piece *piece = &shard->pieces[shard->writer.order[i]];
        piece->at = lrc_safetensors_writer_place(&shard->writer, piece->size_bytes);
    }
    shard->run->report->n_tensors += shard->n;
    shard->run->report->n_bytes += (int64_t)shard->writer.at;
    status = write_tensors(shard, err);
    if (status == LRC_STATUS_OK)
        return lrc_safetensors_writer_commit(&shard->writer, err);
    lrc_safetensors_writer_abort(&shard->writer);
    return status;
}

enum lrc_status lrc_convert_shard(struct lrc_convert_run *run, int index, struct lrc_error *err)
{
    struct shard    shard = { .run = run, .index = index };
    char           *path = lrc_path_join(run->out.aside, run->model.dir.shard_names[index]);
    enum lrc_status status = path ? plan(&shard, err) : lrc_fail_nomem(err, run->out.aside);
    if (status == LRC_STATUS_OK)
        status = write_file(&shard, path, err);
    lrc_free(shard.pieces);
    lrc_free(shard.specs);
    lrc_free(path);
    return status;
}
