/* One weight file. A dense base's header is copied byte for byte: names, order, types, offsets and metadata
 * are the same. A 4-bit base's loses the side tensors of its linears, so that a new one is written, in the
 * reference writer's order. */
#include "base/alloc.h"
#include "base/file.h"
#include "merge/merge_private.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const side_suffixes[] = {".absmax",
                                            ".quant_map",
                                            ".nested_absmax",
                                            ".nested_quant_map",
                                            ".quant_state.bitsandbytes__nf4",
                                            ".quant_state.bitsandbytes__fp4"};

/* The linear's weight of that name; 0 when there is none. */
static int find_linear(struct lrc_model_tensor *tensor, struct lrc_model *model, const char *name, size_t n)
{
    for (int64_t i = 0; lrc_model_tensor_at(tensor, model, i); i++)
        if (tensor->module >= 0 && tensor->weight && strncmp(tensor->name, name, n) == 0 &&
            tensor->name[n] == '\0')
            return 1;
    return 0;
}

static int is_side_tensor(struct lrc_model *model, const char *name)
{
    struct lrc_model_tensor tensor;
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof side_suffixes / sizeof *side_suffixes; i++) {
        const size_t n_suffix = strlen(side_suffixes[i]);
        if (n > n_suffix && strcmp(name + n - n_suffix, side_suffixes[i]) == 0)
            return find_linear(&tensor, model, name, n - n_suffix) && tensor.weight->type != LRC_BLOCK_DENSE;
    }
    return 0;
}

void lrc_merge_classify(struct lrc_merge_entry *entry, struct lrc_merge_run *run,
                        const struct lrc_safetensors_entry *source)
{
    struct lrc_model_tensor tensor;
    *entry = (struct lrc_merge_entry){.action = LRC_MERGE_COPY, .entry = source, .dtype = source->dtype};
    if (run->model.config.is_bnb_4bit && is_side_tensor(&run->model, source->name)) {
        entry->action = LRC_MERGE_DROP;
        return;
    }
    if (!find_linear(&tensor, &run->model, source->name, strlen(source->name)))
        return;
    entry->weight = tensor.weight;
    entry->adapter = lrc_adapter_at(&run->adapter, tensor.layer, (enum lrc_module)tensor.module);
    if (tensor.weight->type != LRC_BLOCK_DENSE)
        entry->dtype = LRC_DTYPE_BF16;
    if (entry->adapter || tensor.weight->type != LRC_BLOCK_DENSE)
        entry->action = LRC_MERGE_LINEAR;
}

size_t lrc_merge_entry_bytes(const struct lrc_merge_entry *entry)
{
    if (entry->action == LRC_MERGE_DROP)
        return 0;
    if (entry->action == LRC_MERGE_COPY)
        return entry->entry->size_bytes;
    return (size_t)(entry->weight->rows * entry->weight->cols) * lrc_dtype_bytes(entry->dtype);
}

/* The file being written. */
struct sink {
    struct lrc_out out;                   /* dense base */
    struct lrc_safetensors_writer writer; /* 4-bit base */
    int is_new;                           /* `writer` is used */
    size_t header_bytes;
    uint64_t sum; /* of the data that it should hold */
};

static enum lrc_status write_same_bytes(void *file, const void *bytes, size_t n, struct lrc_error *err)
{
    return lrc_out_write(file, bytes, n, err);
}

static enum lrc_status write_new_bytes(void *file, const void *bytes, size_t n, struct lrc_error *err)
{
    return lrc_safetensors_writer_put(file, bytes, n, err);
}

/* Done with these bytes of a map: they leave our memory, though not the system's cache, and come back if they
 * are read. */
static void forget(const struct lrc_safetensors_entry *entry)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)entry->data;
    const uintptr_t first = (begin + page - 1) / page * page,
                    last = (begin + entry->size_bytes) / page * page;
    if (last > first)
        (void)madvise((void *)first, last - first, MADV_DONTNEED);
}

static enum lrc_status put_entry(struct lrc_merge_run *run, const struct lrc_merge_entry *entry,
                                 struct lrc_merge_writer *writer, struct lrc_error *err)
{
    const struct lrc_merge_options *options = run->options;
    if (entry->action == LRC_MERGE_LINEAR)
        LRC_TRY(lrc_merge_linear(run, entry, writer, err));
    else
        LRC_TRY(lrc_merge_writer_put(writer, entry->entry->data, entry->entry->size_bytes, err));
    run->report->n_tensors++;
    forget(entry->entry);
    if (options->progress)
        options->progress(run->report->n_tensors, run->model.dir.n_tensors, 0.0, NAN);
    return LRC_STATUS_OK;
}

/* The data of a file, in the order of `order`, or as it is when that is NULL. */
static enum lrc_status put_entries(struct lrc_merge_run *run, const struct lrc_merge_entry *entries,
                                   const int64_t *order, int64_t n, struct sink *sink, struct lrc_error *err)
{
    struct lrc_merge_writer writer;
    struct lrc_error last = {0};
    if (sink->is_new)
        LRC_TRY(lrc_merge_writer_start(&writer, write_new_bytes, &sink->writer, err));
    else
        LRC_TRY(lrc_merge_writer_start(&writer, write_same_bytes, &sink->out, err));
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t i = 0; status == LRC_STATUS_OK && i < n; i++)
        status = put_entry(run, &entries[order ? order[i] : i], &writer, err);
    const enum lrc_status stopped = lrc_merge_writer_stop(&writer, &last);
    sink->sum = lrc_merge_sum_end(&writer.sum);
    if (status == LRC_STATUS_OK && stopped != LRC_STATUS_OK)
        status = lrc_fail(err, stopped, "%s", last.message);
    return status;
}

static enum lrc_status write_same(struct lrc_merge_run *run, const struct lrc_safetensors *shard,
                                  struct sink *sink, const char *path, struct lrc_error *err)
{
    const struct lrc_map *map = &shard->map;
    enum lrc_status status = LRC_STATUS_OK;
    sink->header_bytes =
        shard->n_entries > 0 ? (size_t)(shard->entries[0].data - map->data) : map->size_bytes;
    struct lrc_merge_entry *entries = lrc_calloc(shard->n_entries, sizeof *entries);
    if (!entries)
        return lrc_fail_nomem(err, path);
    for (int64_t i = 0; i < shard->n_entries; i++)
        lrc_merge_classify(&entries[i], run, &shard->entries[i]);
    status = lrc_out_open(&sink->out, path, err);
    if (status == LRC_STATUS_OK)
        status = lrc_out_write(&sink->out, map->data, sink->header_bytes, err);
    if (status == LRC_STATUS_OK)
        status = put_entries(run, entries, NULL, shard->n_entries, sink, err);
    if (status == LRC_STATUS_OK)
        status = lrc_out_commit(&sink->out, err);
    lrc_out_abort(&sink->out);
    lrc_free(entries);
    return status;
}

/* {"key", "value", ..., NULL} of __metadata__. ownership: lrc_free() of the array. */
static const char **metadata_of(const struct lrc_safetensors *shard)
{
    json_t *metadata = json_object_get(shard->header, "__metadata__");
    const char **list = lrc_calloc(2 * (int64_t)json_object_size(metadata) + 1, sizeof *list), *key;
    json_t *value;
    int64_t n = 0;
    if (!list)
        return NULL;
    json_object_foreach(metadata, key, value)
    {
        list[n++] = key;
        list[n++] = json_string_value(value);
    }
    return list;
}

static int64_t describe(struct lrc_merge_entry *entries, struct lrc_safetensors_spec *specs,
                        struct lrc_merge_run *run, const struct lrc_safetensors *shard)
{
    int64_t n = 0;
    for (int64_t i = 0; i < shard->n_entries; i++) {
        const struct lrc_safetensors_entry *source = &shard->entries[i];
        lrc_merge_classify(&entries[n], run, source);
        if (entries[n].action == LRC_MERGE_DROP)
            continue;
        specs[n] = (struct lrc_safetensors_spec){
            .name = source->name, .dtype = entries[n].dtype, .n_dims = source->n_dims};
        memcpy(specs[n].shape, source->shape, sizeof specs[n].shape);
        if (entries[n].action == LRC_MERGE_LINEAR) {
            specs[n].n_dims = 2;
            specs[n].shape[0] = entries[n].weight->rows;
            specs[n].shape[1] = entries[n].weight->cols;
        }
        n++;
    }
    return n;
}

static enum lrc_status write_new(struct lrc_merge_run *run, const struct lrc_safetensors *shard,
                                 struct sink *sink, const char *path, struct lrc_error *err)
{
    struct lrc_merge_entry *entries = lrc_calloc(shard->n_entries, sizeof *entries);
    struct lrc_safetensors_spec *specs = lrc_calloc(shard->n_entries, sizeof *specs);
    const char **metadata = metadata_of(shard);
    enum lrc_status status = LRC_STATUS_OK;
    if (!entries || !specs || !metadata) {
        status = lrc_fail_nomem(err, path);
        goto done;
    }
    const int64_t n = describe(entries, specs, run, shard);
    status = lrc_safetensors_writer_open(&sink->writer, path, specs, n, metadata, err);
    if (status != LRC_STATUS_OK)
        goto done;
    status = put_entries(run, entries, sink->writer.order, n, sink, err);
    if (status == LRC_STATUS_OK)
        status = lrc_safetensors_writer_commit(&sink->writer, err);
    else
        lrc_safetensors_writer_abort(&sink->writer);
done:
    lrc_free((void *)metadata);
    lrc_free(specs);
    lrc_free(entries);
    return status;
}

/* The written file against what was meant: its header parses and, of a dense base, is the base's; its data
 * has the sum. */
static enum lrc_status read_again(struct lrc_merge_run *run, const struct lrc_safetensors *shard,
                                  const struct sink *sink, const char *path, struct lrc_error *err)
{
    struct lrc_safetensors file;
    struct lrc_merge_sum sum;
    LRC_TRY(lrc_safetensors_open(&file, path, err));
    lrc_merge_sum_init(&sum);
    for (int64_t i = 0; i < file.n_entries; i++) {
        lrc_merge_sum_add(&sum, file.entries[i].data, file.entries[i].size_bytes);
        forget(&file.entries[i]);
    }
    int equal = lrc_merge_sum_end(&sum) == sink->sum;
    if (!sink->is_new)
        equal = equal && file.map.size_bytes == shard->map.size_bytes &&
                memcmp(file.map.data, shard->map.data, sink->header_bytes) == 0;
    run->report->n_bytes += (int64_t)file.map.size_bytes;
    lrc_safetensors_close(&file);
    if (equal)
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_IO,
                    "%s: want the bytes that were written, got others when it was read again", path);
}

enum lrc_status lrc_merge_shard(struct lrc_merge_run *run, int shard_index, struct lrc_error *err)
{
    const struct lrc_safetensors *shard = &run->model.dir.shards[shard_index];
    struct sink sink = {.is_new = run->model.config.is_bnb_4bit};
    char *path = lrc_path_join(run->aside, run->model.dir.shard_names[shard_index]);
    if (!path)
        return lrc_fail_nomem(err, run->aside);
    enum lrc_status status =
        sink.is_new ? write_new(run, shard, &sink, path, err) : write_same(run, shard, &sink, path, err);
    if (status == LRC_STATUS_OK)
        status = read_again(run, shard, &sink, path, err);
    lrc_free(path);
    return status;
}
