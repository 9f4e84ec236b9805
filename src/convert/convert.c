#include "convert/convert_private.h"

#include "base/alloc.h"
#include "base/machine.h"

#include <math.h>
#include <string.h>

enum { BLOCK_ELEMS = 64 };

enum lrc_status lrc_convert_check_stop(const struct lrc_convert_run *run, struct lrc_error *err)
{
    const int number = run->options->stop ? (int)*run->options->stop : 0;
    if (number == 0)
        return LRC_STATUS_OK;
    return lrc_fail(err, number == SIGTERM ? LRC_STATUS_TERMINATED : LRC_STATUS_INTERRUPTED,
                    "%s: stopped by a signal, nothing is left of it", run->out.path);
}

void lrc_convert_tell(struct lrc_convert_run *run)
{
    run->n_done++;
    if (run->options->progress)
        run->options->progress(run->n_done, run->n_to_do, 0.0, NAN);
}

enum lrc_status lrc_convert_quantize(struct lrc_weight *out, const struct lrc_convert_run *run,
                                     const struct lrc_convert_tensor *tensor, struct lrc_error *err)
{
    struct lrc_error      error = { 0 };
    const enum lrc_status status = lrc_quantize(out, run->storage, tensor->weight, &run->quant, &error);
    lrc_map_drop(tensor->entry->data, tensor->entry->size_bytes);
    if (status == LRC_STATUS_OK)
        return LRC_STATUS_OK;
    return lrc_fail(err, status, "%s: tensor '%s': %s", run->model.dir.path, tensor->entry->name,
                    error.message);
}

static enum lrc_status load(struct lrc_convert_run *run, struct lrc_problems *problems, struct lrc_error *err)
{
    const struct lrc_model_options options = { .n_positions = 1 };
    LRC_TRY(lrc_model_load(&run->model, run->options->model, &options, problems, err));
    if (run->model.config.is_bnb_4bit)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                        "%s: want a model that is not quantized yet, got one that is in 4 bits already",
                        run->options->model);
    return LRC_STATUS_OK;
}

/* What is done with every tensor, and room for the largest that is quantized. */
static enum lrc_status plan(struct lrc_convert_run *run, struct lrc_error *err)
{
    const struct lrc_model_dir *dir = &run->model.dir;
    struct lrc_model_tensor     tensor;
    size_t                      storage_bytes = 0;
    run->tensors = lrc_calloc(dir->n_tensors, sizeof *run->tensors);
    if (!run->tensors)
        return lrc_fail_nomem(err, dir->path);
    for (int64_t i = 0; i < dir->n_tensors; i++) {
        run->tensors[i].entry = dir->tensors[i].entry;
        run->tensors[i].shard = dir->tensors[i].shard;
    }
    for (int64_t i = 0; lrc_model_tensor_at(&tensor, &run->model, i); i++) {
        if (!tensor.linear || !tensor.weight)
            continue;
        const size_t size_bytes = lrc_quant_bytes(tensor.shape[0], tensor.shape[1], &run->quant);
        run->tensors[lrc_model_dir_index(dir, tensor.name)].weight = tensor.weight;
        storage_bytes = size_bytes > storage_bytes ? size_bytes : storage_bytes;
        run->report->n_quantized++;
        run->report->n_weights += tensor.shape[0] * tensor.shape[1];
    }
    run->n_to_do = dir->n_tensors + (run->quant.double_quant ? run->report->n_quantized : 0);
    run->storage = lrc_calloc((int64_t)storage_bytes, 1);
    return run->storage ? LRC_STATUS_OK : lrc_fail_nomem(err, dir->path);
}

static enum lrc_status check_disk(const struct lrc_convert_run *run, struct lrc_error *err)
{
    uint64_t need = 0;
    for (int64_t i = 0; i < run->model.dir.n_tensors; i++)
        need += lrc_convert_tensor_bytes(run, &run->tensors[i]);
    return lrc_out_dir_check_disk(&run->out, need, err);
}

static enum lrc_status find_offsets(struct lrc_convert_run *run, struct lrc_error *err)
{
    for (int64_t i = 0; i < run->model.dir.n_tensors; i++) {
        struct lrc_weight weight;
        if (!run->tensors[i].weight)
            continue;
        LRC_TRY(lrc_convert_check_stop(run, err));
        LRC_TRY(lrc_convert_quantize(&weight, run, &run->tensors[i], err));
        run->tensors[i].offset = weight.nested_offset;
        lrc_convert_tell(run);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status write_all(struct lrc_convert_run *run, struct lrc_error *err)
{
    LRC_TRY(lrc_out_dir_make(&run->out, err));
    for (int i = 0; i < run->model.dir.n_shards; i++) {
        run->report->base_bytes += (int64_t)run->model.dir.shards[i].map.size_bytes;
        LRC_TRY(lrc_convert_shard(run, i, err));
    }
    LRC_TRY(lrc_convert_rest(run, err));
    return lrc_convert_check_stop(run, err);
}

static enum lrc_status convert(struct lrc_convert_run *run, struct lrc_problems *problems,
                               struct lrc_error *err)
{
    LRC_TRY(lrc_out_dir_choose(&run->out, run->options->out, err));
    LRC_TRY(load(run, problems, err));
    LRC_TRY(plan(run, err));
    LRC_TRY(check_disk(run, err));
    if (run->quant.double_quant)
        LRC_TRY(find_offsets(run, err));
    return lrc_out_dir_end(&run->out, write_all(run, err), err);
}

enum lrc_status lrc_convert(const struct lrc_convert_options *options, struct lrc_convert_report *report,
                            struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_convert_run run = { .options = options,
                                   .report = report,
                                   .quant = { options->type, BLOCK_ELEMS, options->double_quant } };
    const double           started = lrc_machine_seconds();
    *report = (struct lrc_convert_report){ 0 };
    const enum lrc_status status = convert(&run, problems, err);
    report->seconds = lrc_machine_seconds() - started;
    lrc_free(run.storage);
    lrc_free(run.tensors);
    lrc_model_release(&run.model);
    lrc_out_dir_release(&run.out);
    return status;
}
