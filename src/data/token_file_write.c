#include "base/alloc.h"
#include "base/buf.h"
#include "data/token_file__private.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK_ELEMS_MAX = 1 << 16,
    CHUNK_OVERHEAD_BYTES = 256,       /* its share of B-tree nodes, generously */
    OBJECT_OVERHEAD_BYTES = 16 << 10, /* header, first B-tree node, name */
    DEFLATE_LEVEL = 1,
};

hid_t lrc_token_array__file_type(enum lrc_token_array_type type)
{
    return type == LRC_TOKEN_ARRAY_INT32   ? H5T_STD_I32LE
           : type == LRC_TOKEN_ARRAY_INT64 ? H5T_STD_I64LE
                                           : H5T_STD_U8LE;
}

hid_t lrc_token_array__memory_type(enum lrc_token_array_type type)
{
    return type == LRC_TOKEN_ARRAY_INT32   ? H5T_NATIVE_INT32
           : type == LRC_TOKEN_ARRAY_INT64 ? H5T_NATIVE_INT64
                                           : H5T_NATIVE_UCHAR;
}

size_t lrc_token_array__elem_bytes(enum lrc_token_array_type type)
{
    return type == LRC_TOKEN_ARRAY_INT32   ? sizeof(int32_t)
           : type == LRC_TOKEN_ARRAY_INT64 ? sizeof(int64_t)
                                           : 1;
}

static int closed(hid_t id, herr_t (*close_id)(hid_t))
{
    return id >= 0 && close_id(id) >= 0;
}

static hid_t array_properties(int64_t n)
{
    const hsize_t chunk = (hsize_t)(n < CHUNK_ELEMS_MAX ? n : CHUNK_ELEMS_MAX);
    const hid_t   list = H5Pcreate(H5P_DATASET_CREATE);
    if (list < 0 || (H5Pset_obj_track_times(list, 0) >= 0 && H5Pset_chunk(list, 1, &chunk) >= 0 &&
                     H5Pset_shuffle(list) >= 0 && H5Pset_deflate(list, DEFLATE_LEVEL) >= 0 &&
                     H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) >= 0))
        return list;
    (void)H5Pclose(list);
    return -1;
}

static int put_array(hid_t file, const struct lrc_token_array *array)
{
    if (array->n == 0) /* read back as none */
        return 1;
    const hsize_t n = (hsize_t)array->n;
    const hid_t   type = lrc_token_array__file_type(array->type);
    const hid_t   space = H5Screate_simple(1, &n, NULL), create = array_properties(array->n);
    const int     made = space >= 0 && create >= 0;
    const hid_t   dataset =
        made ? H5Dcreate2(file, array->name, type, space, H5P_DEFAULT, create, H5P_DEFAULT) : -1;
    const int written = dataset >= 0 && H5Dwrite(dataset, lrc_token_array__memory_type(array->type), H5S_ALL,
                                                 H5S_ALL, H5P_DEFAULT, array->data) >= 0;
    const int dataset_closed = closed(dataset, H5Dclose); /* chunks are written here */
    const int others_closed = closed(create, H5Pclose) + closed(space, H5Sclose) == 2;
    return written && dataset_closed && others_closed;
}

static uint64_t size_bound(const struct lrc_token_array *arrays, int n_arrays)
{
    uint64_t bytes = OBJECT_OVERHEAD_BYTES;
    for (int i = 0; i < n_arrays; i++) {
        const uint64_t n = (uint64_t)arrays[i].n, n_chunks = n / CHUNK_ELEMS_MAX + 1;
        bytes += OBJECT_OVERHEAD_BYTES + n * lrc_token_array__elem_bytes(arrays[i].type) +
                 n_chunks * (CHUNK_OVERHEAD_BYTES +
                             CHUNK_ELEMS_MAX * lrc_token_array__elem_bytes(arrays[i].type) / 8);
    }
    return bytes;
}

/* The tokens of a part: chunks that are packed on all threads and handed to HDF5 as they are. */
struct packed_tokens {
    int64_t        n_ids, n_chunks;
    unsigned char *bytes;   /* (n_chunks, LRC_TOKEN_PACKED_BYTES_MAX) */
    size_t        *n_bytes; /* (n_chunks) */
};

static void packed_release(struct packed_tokens *packed)
{
    lrc_free(packed->bytes);
    lrc_free(packed->n_bytes);
}

/* trained[i]: is part->ids[i] the target of the token before it? */
static enum lrc_status mark_trained(unsigned char **trained, const struct lrc_token_part *part,
                                    struct lrc_error *err)
{
    *trained = lrc_calloc(part->n_ids, 1);
    if (!*trained)
        return lrc_fail_nomem(err, "the cached tokens");
    for (int64_t e = 0; e < part->n_examples; e++) {
        const int64_t first = part->examples[e].first - part->first_id;
        for (int64_t i = 1; i < part->examples[e].n_tokens; i++)
            (*trained)[first + i] = part->targets[first + i - 1] >= 0;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status pack_chunk(const struct packed_tokens *packed, int64_t chunk,
                                  const struct lrc_token_part *part, const unsigned char *trained,
                                  struct lrc_error *err)
{
    const int64_t first = chunk * LRC_TOKEN_CHUNK_TOKENS, left = part->n_ids - first;
    const int64_t n = left < LRC_TOKEN_CHUNK_TOKENS ? left : LRC_TOKEN_CHUNK_TOKENS;
    int32_t      *values = lrc_calloc(LRC_TOKEN_CHUNK_TOKENS, sizeof *values);
    if (!values)
        return lrc_fail_nomem(err, "the cached tokens");
    for (int64_t i = 0; i < n; i++)
        values[i] = trained[first + i] ? part->ids[first + i] : -1 - part->ids[first + i];
    const enum lrc_status status = lrc_token_chunk_pack(packed->bytes + chunk * LRC_TOKEN_PACKED_BYTES_MAX,
                                                        &packed->n_bytes[chunk], values, err);
    lrc_free(values);
    return status;
}

static enum lrc_status pack_tokens(struct packed_tokens *packed, const struct lrc_token_part *part,
                                   struct lrc_error *err)
{
    const int64_t   n_chunks = (part->n_ids + LRC_TOKEN_CHUNK_TOKENS - 1) / LRC_TOKEN_CHUNK_TOKENS;
    unsigned char  *trained = NULL;
    enum lrc_status status = LRC_STATUS_OK;
    *packed = (struct packed_tokens){ .n_ids = part->n_ids,
                                      .n_chunks = n_chunks,
                                      .bytes = lrc_calloc(n_chunks, LRC_TOKEN_PACKED_BYTES_MAX),
                                      .n_bytes = lrc_calloc(n_chunks, sizeof(size_t)) };
    if (!packed->bytes || !packed->n_bytes)
        return lrc_fail_nomem(err, "the cached tokens");
    LRC_TRY(mark_trained(&trained, part, err));
#pragma omp        parallel for schedule(dynamic, 1)
    for (int64_t c = 0; c < n_chunks; c++) {
               const enum lrc_status one = pack_chunk(packed, c, part, trained, NULL);
               if (one != LRC_STATUS_OK)
       #pragma omp atomic write
            status = one;
    }
    lrc_free(trained);
    return status == LRC_STATUS_OK ? status : lrc_fail_nomem(err, "the cached tokens");
}

static int put_tokens(hid_t file, const struct packed_tokens *packed)
{
    const hsize_t n = (hsize_t)packed->n_ids, chunk = LRC_TOKEN_CHUNK_TOKENS, most = H5S_UNLIMITED;
    if (n == 0)
        return 1;
    const hid_t space = H5Screate_simple(1, &n, &most), create = array_properties(packed->n_ids);
    int         ok = space >= 0 && create >= 0 && H5Pset_chunk(create, 1, &chunk) >= 0;
    const hid_t dataset =
        ok ? H5Dcreate2(file, "tokens", H5T_STD_I32LE, space, H5P_DEFAULT, create, H5P_DEFAULT) : -1;
    ok = dataset >= 0;
    for (int64_t c = 0; ok && c < packed->n_chunks; c++) {
        const hsize_t first = (hsize_t)c * chunk;
        ok = H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &first, packed->n_bytes[c],
                            packed->bytes + c * LRC_TOKEN_PACKED_BYTES_MAX) >= 0;
    }
    const int dataset_closed = closed(dataset, H5Dclose);
    const int others_closed = closed(create, H5Pclose) + closed(space, H5Sclose) == 2;
    return ok && dataset_closed && others_closed;
}

static enum lrc_status put_arrays(const struct lrc_h5_job *job, const struct lrc_token_array *arrays,
                                  int n_arrays, const struct packed_tokens *packed)
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
    ok = ok && (!packed || put_tokens(file, packed)) && H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0;
    const int file_closed = H5Fclose(file) >= 0;
    if (!ok || !file_closed || job->text[0])
        return lrc_h5_fail(job, LRC_STATUS_IO, "cannot write");
    return LRC_STATUS_OK;
}

static enum lrc_status write_file(const char *path, const char *kind, const struct lrc_token_array *arrays,
                                  int n_arrays, const struct packed_tokens *packed, struct lrc_error *err)
{
    struct lrc_h5_job job;
    uint64_t          bytes = size_bound(arrays, n_arrays);
    for (int64_t c = 0; packed && c < packed->n_chunks; c++)
        bytes += packed->n_bytes[c] + CHUNK_OVERHEAD_BYTES;
    lrc_h5_job_begin(&job, path, err);
    enum lrc_status status = lrc_h5_reserve(&job, bytes + OBJECT_OVERHEAD_BYTES);
    if (status == LRC_STATUS_OK)
        status = put_arrays(&job, arrays, n_arrays, packed);
    lrc_h5_job_end(&job);
    return status == LRC_STATUS_OK ? lrc_h5_seal_put(path, kind, err) : status;
}

/* Aside, then at once under its name. */
static enum lrc_status publish(const char *path, const char *kind, const struct lrc_token_array *arrays,
                               int n_arrays, const struct packed_tokens *packed, struct lrc_error *err)
{
    struct lrc_buf aside = { 0 };
    lrc_buf_printf(&aside, "%s.tmp", path);
    enum lrc_status status = lrc_buf_check(&aside, err);
    if (status == LRC_STATUS_OK)
        status = write_file(aside.data, kind, arrays, n_arrays, packed, err);
    if (status == LRC_STATUS_OK && rename(aside.data, path) != 0)
        status = lrc_fail_errno(err, "%s: cannot rename to %s", aside.data, path);
    if (status != LRC_STATUS_OK && aside.data)
        (void)unlink(aside.data);
    lrc_buf_release(&aside);
    return status;
}

static enum lrc_status example_columns(int64_t **columns, const struct lrc_example *examples, int64_t n,
                                       int64_t first_id, struct lrc_error *err)
{
    *columns = lrc_calloc(n, LRC_TOKEN_EXAMPLE_COLUMNS * sizeof **columns);
    if (!*columns)
        return lrc_fail_nomem(err, "the cached tokens");
    for (int64_t i = 0; i < n; i++) {
        const int64_t row[LRC_TOKEN_EXAMPLE_COLUMNS] = { examples[i].first - first_id, examples[i].n_tokens,
                                                         examples[i].n_trained, (int64_t)examples[i].row_id,
                                                         examples[i].side };
        memcpy(*columns + LRC_TOKEN_EXAMPLE_COLUMNS * i, row, sizeof row);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status row_columns(int64_t **columns, const struct lrc_row_record *rows, int64_t n,
                                   struct lrc_error *err)
{
    *columns = lrc_calloc(n, LRC_TOKEN_ROW_COLUMNS * sizeof **columns);
    if (!*columns)
        return lrc_fail_nomem(err, "the cached tokens");
    for (int64_t r = 0; r < n; r++) {
        const int64_t row[LRC_TOKEN_ROW_COLUMNS] = { rows[r].file,      rows[r].fate,   rows[r].line,
                                                     rows[r].n_tokens,  rows[r].n_kept, rows[r].n_trained,
                                                     rows[r].n_examples };
        memcpy(*columns + LRC_TOKEN_ROW_COLUMNS * r, row, sizeof row);
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_token_cache__write_part(const char *path, const char *key,
                                            const struct lrc_token_part *part, struct lrc_error *err)
{
    struct packed_tokens packed = { 0 };
    int64_t             *examples = NULL, *rows = NULL;
    enum lrc_status      status = pack_tokens(&packed, part, err);
    if (status == LRC_STATUS_OK)
        status = example_columns(&examples, part->examples, part->n_examples, part->first_id, err);
    if (status == LRC_STATUS_OK)
        status = row_columns(&rows, part->rows, part->n_rows, err);
    const struct lrc_token_array arrays[] = {
        { "examples", LRC_TOKEN_ARRAY_INT64, LRC_TOKEN_EXAMPLE_COLUMNS * part->n_examples, examples },
        { "rows", LRC_TOKEN_ARRAY_INT64, LRC_TOKEN_ROW_COLUMNS * part->n_rows, rows },
        { "key", LRC_TOKEN_ARRAY_BYTES, LRC_TOKEN_N_HEX, (void *)(uintptr_t)key },
    };
    if (status == LRC_STATUS_OK)
        status = publish(path, LRC_TOKEN_PART_KIND, arrays, sizeof arrays / sizeof *arrays, &packed, err);
    packed_release(&packed);
    lrc_free(examples);
    lrc_free(rows);
    return status;
}

/* Columns of the store's parts and chunks, and the chunks' hashes. */
static enum lrc_status store_columns(struct lrc_token_array arrays[3], const struct lrc_token_store *store,
                                     struct lrc_error *err)
{
    int64_t                            n_parts, n_chunks;
    const struct lrc_token_store_part *parts = lrc_token_store_parts(store, &n_parts);
    const struct lrc_token_chunk      *chunks = lrc_token_store_chunks(store, &n_chunks);
    int64_t *part_columns = lrc_calloc(n_parts, LRC_TOKEN_PART_COLUMNS * sizeof *part_columns);
    int64_t *chunk_columns = lrc_calloc(n_chunks, LRC_TOKEN_CHUNK_COLUMNS * sizeof *chunk_columns);
    char    *hashes = lrc_calloc(n_chunks, LRC_TOKEN_N_HEX);
    arrays[0] = (struct lrc_token_array){ "parts", LRC_TOKEN_ARRAY_INT64, LRC_TOKEN_PART_COLUMNS * n_parts,
                                          part_columns };
    arrays[1] = (struct lrc_token_array){ "chunks", LRC_TOKEN_ARRAY_INT64, LRC_TOKEN_CHUNK_COLUMNS * n_chunks,
                                          chunk_columns };
    arrays[2] =
        (struct lrc_token_array){ "chunk_hashes", LRC_TOKEN_ARRAY_BYTES, LRC_TOKEN_N_HEX * n_chunks, hashes };
    if (!part_columns || !chunk_columns || !hashes)
        return lrc_fail_nomem(err, "the cached tokens");
    for (int64_t i = 0; i < n_parts; i++) {
        part_columns[LRC_TOKEN_PART_COLUMNS * i] = parts[i].n_ids;
        part_columns[LRC_TOKEN_PART_COLUMNS * i + 1] = parts[i].n_chunks;
    }
    for (int64_t i = 0; i < n_chunks; i++) {
        chunk_columns[LRC_TOKEN_CHUNK_COLUMNS * i] = chunks[i].offset;
        chunk_columns[LRC_TOKEN_CHUNK_COLUMNS * i + 1] = chunks[i].n_bytes;
        memcpy(hashes + LRC_TOKEN_N_HEX * i, chunks[i].hash, LRC_TOKEN_N_HEX);
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_token_cache__write_index(const char *path, const char *key,
                                             const struct lrc_dataset *dataset, struct lrc_error *err)
{
    struct lrc_token_array arrays[LRC_TOKEN_N_ARRAYS] = { 0 };
    int64_t               *examples = NULL, *rows = NULL;
    char                   hashes[3 * LRC_TOKEN_N_HEX + 1];
    (void)snprintf(hashes, sizeof hashes, "%.64s%.64s%.64s", key, dataset->hash, dataset->tokens_hash);
    enum lrc_status status = store_columns(arrays + LRC_TOKEN_INDEX_PARTS, dataset->store, err);
    if (status == LRC_STATUS_OK)
        status = example_columns(&examples, dataset->examples, dataset->n_examples, 0, err);
    if (status == LRC_STATUS_OK)
        status = row_columns(&rows, dataset->rows, dataset->n_rows, err);
    arrays[LRC_TOKEN_INDEX_EXAMPLES] =
        (struct lrc_token_array){ "examples", LRC_TOKEN_ARRAY_INT64,
                                  LRC_TOKEN_EXAMPLE_COLUMNS * dataset->n_examples, examples };
    arrays[LRC_TOKEN_INDEX_ROWS] = (struct lrc_token_array){ "rows", LRC_TOKEN_ARRAY_INT64,
                                                             LRC_TOKEN_ROW_COLUMNS * dataset->n_rows, rows };
    arrays[LRC_TOKEN_INDEX_HASHES] =
        (struct lrc_token_array){ "hashes", LRC_TOKEN_ARRAY_BYTES, (int64_t)3 * LRC_TOKEN_N_HEX, hashes };
    if (status == LRC_STATUS_OK)
        status = publish(path, LRC_TOKEN_INDEX_KIND, arrays, LRC_TOKEN_N_ARRAYS, NULL, err);
    lrc_free(examples);
    lrc_free(rows);
    for (int i = LRC_TOKEN_INDEX_PARTS; i < LRC_TOKEN_N_ARRAYS; i++)
        lrc_free(arrays[i].data);
    return status;
}
