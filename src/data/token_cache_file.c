#include "data/token_cache.h"

#include "base/alloc.h"
#include "base/file.h"
#include "formats/sealed_h5.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIND "lorica tokens 1"

enum {
    CHUNK_ELEMS_MAX = 1 << 16,
    CHUNK_OVERHEAD_BYTES = 256,       /* its share of B-tree nodes, generously */
    OBJECT_OVERHEAD_BYTES = 16 << 10, /* header, first B-tree node, name */
    DEFLATE_LEVEL = 1,
    EXAMPLE_COLUMNS = 4,
    ROW_COLUMNS = 7,
    N_HEX = LRC_HASH_HEX_MAX - 1
};

/* One dataset of the file. Its types are looked up when HDF5 runs: they are no constants. */
enum array_type { INT32, INT64, BYTES };
struct array {
    const char *name;
    enum array_type type;
    int64_t n;
    void *data;
};

static hid_t file_type(enum array_type type)
{
    return type == INT32 ? H5T_STD_I32LE : type == INT64 ? H5T_STD_I64LE : H5T_STD_U8LE;
}

static hid_t memory_type(enum array_type type)
{
    return type == INT32 ? H5T_NATIVE_INT32 : type == INT64 ? H5T_NATIVE_INT64 : H5T_NATIVE_UCHAR;
}

static size_t elem_bytes(enum array_type type)
{
    return type == INT32 ? sizeof(int32_t) : type == INT64 ? sizeof(int64_t) : 1;
}

/* ---- writing ---- */

static int closed(hid_t id, herr_t (*close_id)(hid_t))
{
    return id >= 0 && close_id(id) >= 0;
}

static hid_t array_properties(int64_t n)
{
    const hsize_t chunk = (hsize_t)(n < CHUNK_ELEMS_MAX ? n : CHUNK_ELEMS_MAX);
    const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    if (list < 0 || (H5Pset_obj_track_times(list, 0) >= 0 && H5Pset_chunk(list, 1, &chunk) >= 0 &&
                     H5Pset_shuffle(list) >= 0 && H5Pset_deflate(list, DEFLATE_LEVEL) >= 0 &&
                     H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) >= 0))
        return list;
    (void)H5Pclose(list);
    return -1;
}

static int put_array(hid_t file, const struct array *array)
{
    const hsize_t n = (hsize_t)array->n;
    const hid_t space = H5Screate_simple(1, &n, NULL), create = array_properties(array->n);
    const hid_t dataset = space < 0 || create < 0 ? -1
                                                  : H5Dcreate2(file, array->name, file_type(array->type),
                                                               space, H5P_DEFAULT, create, H5P_DEFAULT);
    const int written = dataset >= 0 && H5Dwrite(dataset, memory_type(array->type), H5S_ALL, H5S_ALL,
                                                 H5P_DEFAULT, array->data) >= 0;
    const int dataset_closed = closed(dataset, H5Dclose); /* chunks are written here */
    const int others_closed = closed(create, H5Pclose) + closed(space, H5Sclose) == 2;
    return written && dataset_closed && others_closed;
}

static uint64_t size_bound(const struct array *arrays, int n_arrays)
{
    uint64_t bytes = OBJECT_OVERHEAD_BYTES;
    for (int i = 0; i < n_arrays; i++) {
        const uint64_t n = (uint64_t)arrays[i].n, n_chunks = n / CHUNK_ELEMS_MAX + 1;
        bytes += OBJECT_OVERHEAD_BYTES + n * elem_bytes(arrays[i].type) +
                 n_chunks * (CHUNK_OVERHEAD_BYTES + CHUNK_ELEMS_MAX * elem_bytes(arrays[i].type) / 8);
    }
    return bytes;
}

static enum lrc_status put_arrays(const struct lrc_h5_job *job, const struct array *arrays, int n_arrays)
{
    const hid_t access = lrc_h5_access();
    const hid_t file = access < 0 ? -1 : H5Fopen(job->path, H5F_ACC_RDWR, access);
    if (access >= 0)
        (void)H5Pclose(access);
    if (file < 0)
        return lrc_h5_fail(job, LRC_STATUS_IO, "cannot create");
    int ok = 1;
    for (int i = 0; ok && i < n_arrays; i++)
        ok = put_array(file, &arrays[i]);
    ok = ok && H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0;
    const int file_closed = H5Fclose(file) >= 0;
    if (!ok || !file_closed || job->text[0])
        return lrc_h5_fail(job, LRC_STATUS_IO, "cannot write");
    return LRC_STATUS_OK;
}

static enum lrc_status write_file(const char *path, const struct array *arrays, int n_arrays,
                                  struct lrc_error *err)
{
    struct lrc_h5_job job;
    lrc_h5_job_begin(&job, path, err);
    enum lrc_status status = lrc_h5_reserve(&job, size_bound(arrays, n_arrays));
    if (status == LRC_STATUS_OK)
        status = put_arrays(&job, arrays, n_arrays);
    lrc_h5_job_end(&job);
    return status == LRC_STATUS_OK ? lrc_h5_seal_put(path, KIND, err) : status;
}

/* The process that writes "<64 hex digits>.h5.<process>.tmp"; 0 for other names. */
static long writer_of(const char *name)
{
    char *end;
    const size_t n_hex = strspn(name, "0123456789abcdef");
    if (n_hex != N_HEX || strncmp(name + n_hex, ".h5.", 4) != 0)
        return 0;
    const long process = strtol(name + n_hex + 4, &end, 10);
    return strcmp(end, ".tmp") == 0 && process > 0 ? process : 0;
}

/* What killed writers left. */
static void remove_leftovers(const char *dir)
{
    char **names;
    int64_t n_names;
    if (lrc_dir_list(dir, &names, &n_names, NULL) != LRC_STATUS_OK)
        return;
    for (int64_t i = 0; i < n_names; i++) {
        const long process = writer_of(names[i]);
        char *path = process > 0 ? lrc_path_join(dir, names[i]) : NULL;
        if (path && kill((pid_t)process, 0) != 0 && errno == ESRCH)
            (void)unlink(path);
        lrc_free(path);
    }
    lrc_dir_list_free(names, n_names);
}

static enum lrc_status publish(const char *aside, const char *path, struct lrc_error *err)
{
    if (rename(aside, path) != 0)
        return lrc_fail_errno(err, "%s: cannot rename to %s", aside, path);
    char *dir = lrc_path_dir(path);
    if (!dir)
        return lrc_fail_nomem(err, path);
    remove_leftovers(dir);
    const enum lrc_status status = lrc_file_sync(dir, err);
    lrc_free(dir);
    return status;
}

enum lrc_status lrc_token_cache__write(const struct lrc_dataset *dataset, const char *path, const char *key,
                                       struct lrc_error *err)
{
    char hashes[2 * LRC_HASH_HEX_MAX] = "";
    struct lrc_buf aside = {0};
    int64_t *examples = lrc_calloc(dataset->n_examples, EXAMPLE_COLUMNS * sizeof *examples);
    int64_t *rows = lrc_calloc(dataset->n_rows, ROW_COLUMNS * sizeof *rows);
    lrc_buf_printf(&aside, "%s.%ld.tmp", path, (long)getpid());
    enum lrc_status status = examples && rows ? lrc_buf_check(&aside, err) : lrc_fail_nomem(err, path);
    if (status != LRC_STATUS_OK)
        goto done;
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        const struct lrc_example *example = &dataset->examples[i];
        const int64_t columns[EXAMPLE_COLUMNS] = {example->first, example->n_tokens, example->n_trained,
                                                  (int64_t)example->row_id};
        memcpy(examples + EXAMPLE_COLUMNS * i, columns, sizeof columns);
    }
    for (int64_t r = 0; r < dataset->n_rows; r++) {
        const struct lrc_row_record *row = &dataset->rows[r];
        const int64_t columns[ROW_COLUMNS] = {row->file,   row->fate,      row->line,      row->n_tokens,
                                              row->n_kept, row->n_trained, row->n_examples};
        memcpy(rows + ROW_COLUMNS * r, columns, sizeof columns);
    }
    int64_t tally[LRC_ROW_FATE_COUNT];
    memcpy(tally, dataset->tally, sizeof tally);
    (void)snprintf(hashes, sizeof hashes, "%.64s%.64s", key, dataset->hash);
    const struct array arrays[] = {
        {"ids", INT32, dataset->n_ids, dataset->ids},
        {"targets", INT32, dataset->n_ids, dataset->targets},
        {"examples", INT64, EXAMPLE_COLUMNS * dataset->n_examples, examples},
        {"rows", INT64, ROW_COLUMNS * dataset->n_rows, rows},
        {"tally", INT64, LRC_ROW_FATE_COUNT, tally},
        {"hashes", BYTES, 2 * N_HEX, hashes},
    };
    status = write_file(aside.data, arrays, sizeof arrays / sizeof *arrays, err);
    if (status == LRC_STATUS_OK)
        status = publish(aside.data, path, err);
    if (status != LRC_STATUS_OK)
        (void)unlink(aside.data);
done:
    lrc_free(examples);
    lrc_free(rows);
    lrc_buf_release(&aside);
    return status;
}

/* ---- reading: trusts nothing, the seal tells damage and not malice ---- */

static enum lrc_status fail(const struct lrc_h5_job *job, const char *name, const char *want)
{
    return lrc_fail(job->err, LRC_STATUS_FORMAT, "%s: '%s': want %s", job->path, name, want);
}

/* Length of a dataset of one dimension; 0 when it is something else. */
static int64_t length_of(hid_t dataset, enum array_type wanted)
{
    const hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    const int right = space >= 0 && type >= 0 && H5Tequal(type, file_type(wanted)) > 0 &&
                      H5Sget_simple_extent_ndims(space) == 1;
    const int64_t n = right ? (int64_t)H5Sget_simple_extent_npoints(space) : 0;
    if (space >= 0)
        (void)H5Sclose(space);
    if (type >= 0)
        (void)H5Tclose(type);
    return n;
}

/* array->n elements, or as many as there are when it is 0. ownership: lrc_free(array->data). */
static enum lrc_status get_array(struct array *array, const struct lrc_h5_job *job, hid_t file)
{
    static const H5Z_filter_t filters[] = {H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE};
    const hid_t dataset = lrc_h5_open_dataset(file, array->name, H5D_CHUNKED, filters, 2);
    if (dataset < 0)
        return fail(job, array->name, "this dataset, got none or another layout");
    const int64_t n = length_of(dataset, array->type);
    enum lrc_status status = LRC_STATUS_OK;
    if (n < 1 || (array->n > 0 && n != array->n))
        status = fail(job, array->name, "another type or length");
    else if (!(array->data = lrc_calloc(n, elem_bytes(array->type))))
        status = lrc_fail_nomem(job->err, "the cached tokens");
    else if (H5Dread(dataset, memory_type(array->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, array->data) < 0)
        status = lrc_h5_fail(job, LRC_STATUS_FORMAT, array->name);
    array->n = n;
    (void)H5Dclose(dataset);
    return status;
}

enum { IDS, TARGETS, EXAMPLES, ROWS, TALLY, HASHES, N_ARRAYS };

static enum lrc_status get_arrays(struct array arrays[N_ARRAYS], const char *path, struct lrc_error *err)
{
    struct lrc_h5_job job;
    LRC_TRY(lrc_h5_seal_check(path, KIND, LRC_H5_CHECK_ALL, err));
    lrc_h5_job_begin(&job, path, err);
    const hid_t access = lrc_h5_access();
    const hid_t file = access < 0 ? -1 : H5Fopen(path, H5F_ACC_RDONLY, access);
    if (access >= 0)
        (void)H5Pclose(access);
    enum lrc_status status =
        file < 0 ? lrc_h5_fail(&job, LRC_STATUS_FORMAT, "cannot be opened") : LRC_STATUS_OK;
    for (int i = 0; i < N_ARRAYS && status == LRC_STATUS_OK; i++)
        status = get_array(&arrays[i], &job, file);
    if (file >= 0)
        (void)H5Fclose(file);
    lrc_h5_job_end(&job);
    return status;
}

/* What a row may be; NULL when all is well, else what was wanted. */
static const char *check_tokens(const struct lrc_dataset *dataset, const struct lrc_example *example,
                                int64_t vocab_size)
{
    const int32_t *ids = dataset->ids + example->first, *targets = dataset->targets + example->first;
    int64_t n_trained = 0;
    for (int64_t i = 0; i < example->n_tokens; i++) {
        if (ids[i] < 0 || (vocab_size > 0 && ids[i] >= vocab_size))
            return "ids within the vocabulary, got another";
        if (targets[i] != -1 && (i + 1 == example->n_tokens || targets[i] != ids[i + 1]))
            return "targets that are the next ids, got another";
        n_trained += targets[i] != -1;
    }
    return n_trained == example->n_trained ? NULL : "as many targets as its count says, got others";
}

static const char *take_examples(struct lrc_dataset *dataset, const int64_t *columns, int64_t vocab_size)
{
    int64_t end = 0, last_row = 0;
    for (int64_t i = 0; i < dataset->n_examples; i++, columns += EXAMPLE_COLUMNS) {
        const int64_t first = columns[0], n = columns[1], row_id = columns[3];
        if (first != end || n < 1 || n > dataset->n_ids - end)
            return "examples one after another, got other offsets";
        if (row_id < last_row || row_id >= dataset->n_rows)
            return "row numbers in order, got others";
        dataset->examples[i] = (struct lrc_example){
            .first = first, .n_tokens = n, .n_trained = columns[2], .row_id = (uint32_t)row_id};
        const char *want = check_tokens(dataset, &dataset->examples[i], vocab_size);
        if (want)
            return want;
        end += n;
        last_row = row_id;
        dataset->longest = n > dataset->longest ? n : dataset->longest;
        dataset->n_trained += columns[2];
    }
    dataset->n_tokens = end;
    return end == dataset->n_ids ? NULL : "examples up to the last id, got fewer";
}

static int take_rows(struct lrc_dataset *dataset, const int64_t *columns)
{
    for (int64_t r = 0; r < dataset->n_rows; r++, columns += ROW_COLUMNS) {
        if (columns[0] < 0 || columns[0] > INT32_MAX || columns[1] < 0 || columns[1] >= LRC_ROW_FATE_COUNT)
            return 0;
        dataset->rows[r] = (struct lrc_row_record){.file = (int32_t)columns[0],
                                                   .fate = (enum lrc_row_fate)columns[1],
                                                   .line = columns[2],
                                                   .n_tokens = columns[3],
                                                   .n_kept = columns[4],
                                                   .n_trained = columns[5],
                                                   .n_examples = columns[6]};
    }
    return 1;
}

/* Takes ids and targets out of arrays. */
static enum lrc_status take(struct lrc_dataset *dataset, struct array arrays[N_ARRAYS], const char *key,
                            int64_t vocab_size, const struct lrc_h5_job *job)
{
    *dataset = (struct lrc_dataset){.ids = arrays[IDS].data,
                                    .targets = arrays[TARGETS].data,
                                    .n_ids = arrays[IDS].n,
                                    .n_rows = arrays[ROWS].n / ROW_COLUMNS,
                                    .n_examples = arrays[EXAMPLES].n / EXAMPLE_COLUMNS};
    arrays[IDS].data = arrays[TARGETS].data = NULL;
    if (memcmp(arrays[HASHES].data, key, N_HEX) != 0)
        return fail(job, "hashes", "the key in its name, got another");
    if (arrays[TARGETS].n != arrays[IDS].n || arrays[EXAMPLES].n % EXAMPLE_COLUMNS != 0)
        return fail(job, "examples", "lengths that fit together, got others");
    if (arrays[ROWS].n % ROW_COLUMNS != 0 || dataset->n_rows > UINT32_MAX)
        return fail(job, "rows", "seven columns of fewer than 2^32 rows, got others");
    memcpy(dataset->hash, (const char *)arrays[HASHES].data + N_HEX, N_HEX);
    memcpy(dataset->tally, arrays[TALLY].data, sizeof dataset->tally);
    dataset->examples = lrc_calloc(dataset->n_examples, sizeof *dataset->examples);
    dataset->rows = lrc_calloc(dataset->n_rows, sizeof *dataset->rows);
    if (!dataset->examples || !dataset->rows)
        return lrc_fail_nomem(job->err, "the cached tokens");
    if (!take_rows(dataset, arrays[ROWS].data))
        return fail(job, "rows", "known fates and files, got others");
    const char *want = take_examples(dataset, arrays[EXAMPLES].data, vocab_size);
    return want ? fail(job, "examples", want) : LRC_STATUS_OK;
}

enum lrc_status lrc_token_cache__read(struct lrc_dataset *dataset, const char *path, const char *key,
                                      int64_t vocab_size, struct lrc_error *err)
{
    const struct lrc_h5_job job = {.path = path, .err = err};
    struct array arrays[N_ARRAYS] = {
        [IDS] = {"ids", INT32, 0, NULL},
        [TARGETS] = {"targets", INT32, 0, NULL},
        [EXAMPLES] = {"examples", INT64, 0, NULL},
        [ROWS] = {"rows", INT64, 0, NULL},
        [TALLY] = {"tally", INT64, LRC_ROW_FATE_COUNT, NULL},
        [HASHES] = {"hashes", BYTES, (int64_t)2 * N_HEX, NULL},
    };
    *dataset = (struct lrc_dataset){0};
    enum lrc_status status = get_arrays(arrays, path, err);
    if (status == LRC_STATUS_OK)
        status = take(dataset, arrays, key, vocab_size, &job);
    if (status != LRC_STATUS_OK)
        lrc_dataset_release(dataset);
    for (int i = 0; i < N_ARRAYS; i++)
        lrc_free(arrays[i].data);
    return status;
}
