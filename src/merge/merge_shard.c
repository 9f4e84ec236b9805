/* One weight file. A dense base's header is copied byte for byte: names, order, types, offsets and metadata
 * are the same. A 4-bit base's loses the side tensors of its linears, so that a new one is written, in the
 * reference writer's order. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/machine.h"
#include "merge/merge_private.h"

#include <math.h>
#include <omp.h>
#include <string.h>
#include <time.h>

static const char *const side_suffixes[] = { ".absmax",
                                             ".quant_map",
                                             ".nested_absmax",
                                             ".nested_quant_map",
                                             ".quant_state.bitsandbytes__nf4",
                                             ".quant_state.bitsandbytes__fp4" };

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
    const size_t            n = strlen(name);
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
    *entry = (struct lrc_merge_entry){ .action = LRC_MERGE_COPY, .entry = source, .dtype = source->dtype };
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

/* Part of a tensor, made and written by one thread in steps: rows of a linear, bytes of a copied one. */
struct piece {
    const struct lrc_merge_entry *entry;
    int64_t                       first, n, step, n_units; /* units: of the whole tensor */
    size_t                        unit_bytes, at;          /* in the new file */
    uint64_t                      sum;                     /* of what was written */
};
enum { STEPS_PER_PIECE = 8 };

/* A new file from a file of the base. */
struct shard {
    struct lrc_merge_run         *run;
    const struct lrc_safetensors *source;
    struct lrc_out               *out;
    size_t                        header_bytes;
    struct lrc_merge_entry       *entries; /* (source->n_entries) */
    double                       *probes;  /* of all entries */
    struct piece                 *pieces;
    int64_t                       n_pieces, next;
    struct lrc_safetensors        written; /* when it is read again */
};

/* A checksum that any changed byte changes: eight lanes of 64 bits, each a bijection of its state per word.
 * Not cryptographic: it guards against our own and the disk's mistakes, at the speed of memory. */
static const uint64_t multiplier = UINT64_C(0x9E3779B97F4A7C15); /* odd: multiplication is a bijection */

static void mix(uint64_t lane[8], const unsigned char *bytes, size_t n_blocks)
{
    for (size_t b = 0; b < n_blocks; b++, bytes += 64)
        for (int i = 0; i < 8; i++) {
            uint64_t word;
            memcpy(&word, bytes + 8 * i, sizeof word);
            const uint64_t x = (lane[i] ^ word) * multiplier;
            lane[i] = x << 29 | x >> 35;
        }
}

static uint64_t checksum(const unsigned char *bytes, size_t n, uint64_t before)
{
    uint64_t      lane[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, result = before ^ n;
    unsigned char rest[64] = { 0 };
    mix(lane, bytes, n / 64);
    memcpy(rest, bytes + n / 64 * 64, n % 64);
    mix(lane, rest, 1);
    for (int i = 0; i < 8; i++)
        result = (result ^ lane[i]) * multiplier + (result >> 31);
    return result;
}

/* How a tensor is cut: the piece without a place. */
static struct piece cut(const struct lrc_merge_run *run, const struct lrc_merge_entry *entry)
{
    const int64_t size_bytes = (int64_t)lrc_merge_entry_bytes(entry);
    struct piece  piece = { .entry = entry, .n_units = size_bytes, .step = LRC_MERGE_STEP_ELEMS };
    if (entry->action == LRC_MERGE_LINEAR) {
        piece.n_units = entry->weight->rows;
        piece.step = run->step_elems / entry->weight->cols;
    }
    piece.unit_bytes = piece.n_units > 0 ? (size_t)(size_bytes / piece.n_units) : 0;
    piece.n = STEPS_PER_PIECE * piece.step;
    return piece;
}

static void add_pieces(struct shard *shard, const struct lrc_merge_entry *entry, size_t at)
{
    struct piece piece = cut(shard->run, entry);
    for (; piece.first < piece.n_units; piece.first += piece.n) {
        const int64_t left = piece.n_units - piece.first;
        piece.at = at + (size_t)piece.first * piece.unit_bytes;
        piece.n = left < piece.n ? left : piece.n;
        shard->pieces[shard->n_pieces++] = piece;
    }
}

/* The bytes of a step: made by the worker, or where they lie in the base's file. */
static enum lrc_status make_step(const unsigned char **bytes, const struct lrc_merge_run *run,
                                 const struct piece *piece, int64_t first, int64_t n,
                                 struct lrc_merge_worker *worker, struct lrc_error *err)
{
    *bytes = piece->entry->entry->data + first;
    if (piece->entry->action == LRC_MERGE_COPY)
        return LRC_STATUS_OK;
    *bytes = worker->out;
    return lrc_merge_rows(worker, run, piece->entry, first, n, err);
}

/* What a piece was made from leaves our memory, though not the system's cache. */
static void forget_source(const struct piece *piece)
{
    const struct lrc_safetensors_entry *source = piece->entry->entry;
    const size_t                        n_units = (size_t)piece->n_units,
                 begin = source->size_bytes * (size_t)piece->first / n_units,
                 end = source->size_bytes * (size_t)(piece->first + piece->n) / n_units;
    lrc_map_drop(source->data + begin, end - begin);
}

static void tell_progress(struct lrc_merge_run *run)
{
#pragma omp critical(lrc_merge_progress)
    {
        run->n_done++;
        if (run->options->progress)
            run->options->progress(run->n_done, run->model.dir.n_tensors, 0.0, NAN);
    }
}

typedef enum lrc_status piece_job(struct shard *shard, struct piece *piece, struct lrc_merge_worker *worker,
                                  struct lrc_error *err);

/* A step at a time: what is made is written before it leaves the cache. */
static enum lrc_status write_piece(struct shard *shard, struct piece *piece, struct lrc_merge_worker *worker,
                                   struct lrc_error *err)
{
    size_t at = piece->at;
    for (int64_t done = 0, n; done < piece->n; done += n) {
        const unsigned char *bytes;
        n = piece->n - done < piece->step ? piece->n - done : piece->step;
        LRC_TRY(make_step(&bytes, shard->run, piece, piece->first + done, n, worker, err));
        piece->sum = checksum(bytes, (size_t)n * piece->unit_bytes, piece->sum);
        LRC_TRY(lrc_out_write_at(shard->out, at, bytes, (size_t)n * piece->unit_bytes, err));
        at += (size_t)n * piece->unit_bytes;
    }
    lrc_out_begin_sync(shard->out, piece->at, at - piece->at);
    forget_source(piece);
    if (piece->first + piece->n == piece->n_units)
        tell_progress(shard->run);
    return LRC_STATUS_OK;
}

static enum lrc_status reread_piece(struct shard *shard, struct piece *piece, struct lrc_merge_worker *worker,
                                    struct lrc_error *err)
{
    const unsigned char *bytes = shard->written.map.data + piece->at, *next = bytes;
    uint64_t             sum = 0;
    (void)worker;
    for (int64_t done = 0, n; done < piece->n; done += n) {
        n = piece->n - done < piece->step ? piece->n - done : piece->step;
        sum = checksum(next, (size_t)n * piece->unit_bytes, sum);
        next += (size_t)n * piece->unit_bytes;
    }
    lrc_map_drop(bytes, (size_t)(next - bytes));
    if (sum == piece->sum)
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_IO,
                    "tensor '%s': want the bytes that were written, got others when they were read again",
                    piece->entry->entry->name);
}

/* The hash of the base, computed beside the first file, is one chain and takes the longest: as long as there
 * are pieces for the others, one thread leaves its core to it. */
static void give_way(struct shard *shard)
{
    const struct timespec moment = { .tv_nsec = 1000000 };
    while (omp_get_thread_num() == 1 && lrc_model_is_hashing(&shard->run->model)) {
        int64_t next;
#pragma omp atomic read
        next = shard->next;
        if (next >= shard->n_pieces)
            return;
        (void)nanosleep(&moment, NULL);
    }
}

static int64_t take_piece(struct shard *shard)
{
    int64_t i;
    give_way(shard);
#pragma omp atomic capture
    i = shard->next++;
    return i;
}

/* A job for every piece, by all threads. Of several failures the one of the first piece is told: whatever is
 * before it has been begun. */
static enum lrc_status for_pieces(struct shard *shard, piece_job *job, struct lrc_error *err)
{
    enum lrc_status status = LRC_STATUS_OK;
    int64_t         end = shard->n_pieces; /* the first that failed */
    shard->next = 0;
#pragma omp parallel
    for (int64_t i; (i = take_piece(shard)) < shard->n_pieces;) {
        struct lrc_error      error = { 0 };
        const enum lrc_status one =
            job(shard, &shard->pieces[i], &shard->run->worker[omp_get_thread_num()], &error);
        if (one == LRC_STATUS_OK)
            continue;
#pragma omp        critical(lrc_merge_failure)
        if (i < end) {
                   end = i;
                   status = one;
                   *err = error;
        }
       #pragma omp atomic write
        shard->next = shard->n_pieces;
    }
    return status;
}

/* Entries that stay move to the front: specs[i] describes entries[i]. */
static int64_t describe(struct lrc_merge_entry *entries, struct lrc_safetensors_spec *specs,
                        const struct lrc_safetensors *shard)
{
    int64_t n = 0;
    for (int64_t i = 0; i < shard->n_entries; i++) {
        const struct lrc_safetensors_entry *source = &shard->entries[i];
        entries[n] = entries[i];
        if (entries[n].action == LRC_MERGE_DROP)
            continue;
        specs[n] = (struct lrc_safetensors_spec){ .name = source->name,
                                                  .dtype = entries[n].dtype,
                                                  .n_dims = source->n_dims };
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

static enum lrc_status write_same(struct shard *shard, const char *path, struct lrc_error *err)
{
    const struct lrc_safetensors *source = shard->source;
    struct lrc_out                out;
    shard->out = &out;
    shard->header_bytes =
        source->n_entries > 0 ? (size_t)(source->entries[0].data - source->map.data) : source->map.size_bytes;
    for (int64_t i = 0; i < source->n_entries; i++)
        add_pieces(shard, &shard->entries[i], (size_t)(source->entries[i].data - source->map.data));
    LRC_TRY(lrc_out_open(&out, path, err));
    enum lrc_status status = lrc_out_write(&out, source->map.data, shard->header_bytes, err);
    if (status == LRC_STATUS_OK)
        status = for_pieces(shard, write_piece, err);
    if (status == LRC_STATUS_OK)
        status = lrc_out_commit(&out, err);
    lrc_out_abort(&out);
    return status;
}

static enum lrc_status write_new(struct shard *shard, const char *path, struct lrc_error *err)
{
    struct lrc_safetensors_writer writer;
    struct lrc_safetensors_spec  *specs = lrc_calloc(shard->source->n_entries, sizeof *specs);
    const char                  **metadata = lrc_safetensors_metadata_all(shard->source);
    enum lrc_status               status = LRC_STATUS_OK;
    if (!specs || !metadata) {
        status = lrc_fail_nomem(err, path);
        goto done;
    }
    const int64_t n = describe(shard->entries, specs, shard->source);
    status = lrc_safetensors_writer_open(&writer, path, specs, n, metadata, err);
    if (status != LRC_STATUS_OK)
        goto done;
    shard->out = &writer.out;
    for (int64_t i = 0; i < n; i++) {
        const struct lrc_merge_entry *entry = &shard->entries[writer.order[i]];
        add_pieces(shard, entry, lrc_safetensors_writer_place(&writer, lrc_merge_entry_bytes(entry)));
    }
    status = for_pieces(shard, write_piece, err);
    if (status == LRC_STATUS_OK)
        status = lrc_safetensors_writer_commit(&writer, err);
    else
        lrc_safetensors_writer_abort(&writer);
done:
    lrc_free((void *)metadata);
    lrc_free(specs);
    return status;
}

/* The header of the file parses and, of a dense base, is the base's; the data is what was written. */
static enum lrc_status read_again(struct shard *shard, const char *path, struct lrc_error *err)
{
    const struct lrc_map *map = &shard->written.map, *source = &shard->source->map;
    struct lrc_error      error = { 0 };
    LRC_TRY(lrc_safetensors_open(&shard->written, path, err));
    enum lrc_status status = LRC_STATUS_OK;
    if (shard->header_bytes > 0 &&
        (map->size_bytes != source->size_bytes || memcmp(map->data, source->data, shard->header_bytes) != 0))
        status = lrc_fail(&error, LRC_STATUS_IO, "want the header of the base's file, got another");
    if (status == LRC_STATUS_OK)
        status = for_pieces(shard, reread_piece, &error);
    shard->run->report->n_bytes += (int64_t)map->size_bytes;
    lrc_safetensors_close(&shard->written);
    return status == LRC_STATUS_OK ? status : lrc_fail(err, status, "%s: %s", path, error.message);
}

/* What is done with every tensor, and room for its pieces and for the proofs. */
static enum lrc_status plan(struct shard *shard, struct lrc_error *err)
{
    struct lrc_merge_report *report = shard->run->report;
    const int64_t            n_entries = shard->source->n_entries;
    int64_t                  n_pieces = 0, n_probes = 0;
    shard->entries = lrc_calloc(n_entries, sizeof *shard->entries);
    if (!shard->entries)
        return lrc_fail_nomem(err, "merge");
    for (int64_t i = 0; i < n_entries; i++) {
        struct lrc_merge_entry *entry = &shard->entries[i];
        lrc_merge_classify(entry, shard->run, &shard->source->entries[i]);
        report->n_tensors += entry->action != LRC_MERGE_DROP;
        const struct piece piece = cut(shard->run, entry);
        n_pieces += (piece.n_units + piece.n - 1) / piece.n;
        if (!entry->adapter)
            continue;
        n_probes += lrc_merge_probe_elems(entry);
        report->n_merged++;
        report->n_weights += entry->weight->rows * entry->weight->cols;
    }
    shard->pieces = lrc_calloc(n_pieces, sizeof *shard->pieces);
    shard->probes = lrc_calloc(n_probes, sizeof *shard->probes);
    if (!shard->pieces || !shard->probes)
        return lrc_fail_nomem(err, "merge");
    double *probes = shard->probes;
    for (int64_t i = 0; i < n_entries; i++)
        if (shard->entries[i].adapter) {
            shard->entries[i].probes = probes;
            probes += lrc_merge_probe_elems(&shard->entries[i]);
        }
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < n_entries; i++)
        if (shard->entries[i].adapter)
            lrc_merge_probe(shard->run, &shard->entries[i]);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_merge_shard(struct lrc_merge_run *run, int shard_index, struct lrc_error *err)
{
    struct shard    shard = { .run = run, .source = &run->model.dir.shards[shard_index] };
    char           *path = lrc_path_join(run->out.aside, run->model.dir.shard_names[shard_index]);
    enum lrc_status status = path ? plan(&shard, err) : lrc_fail_nomem(err, run->out.aside);
    if (status == LRC_STATUS_OK)
        status = run->model.config.is_bnb_4bit ? write_new(&shard, path, err) : write_same(&shard, path, err);
    const double written_at = lrc_machine_seconds();
    if (status == LRC_STATUS_OK)
        status = read_again(&shard, path, err);
    run->report->reread_seconds += lrc_machine_seconds() - written_at;
    lrc_free(shard.probes);
    lrc_free(shard.pieces);
    lrc_free(shard.entries);
    lrc_free(path);
    return status;
}
