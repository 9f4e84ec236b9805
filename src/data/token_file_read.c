#include "base/alloc.h"
#include "data/token_file__private.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- reading: trusts nothing, the seal tells damage and not malice ---- */

static enum lrc_status fail(const struct lrc_h5_job *job, const char *name, const char *want)
{
    return lrc_fail(job->err, LRC_STATUS_FORMAT, "%s: '%s': want %s", job->path, name, want);
}

/* Length of a dataset of one dimension; 0 when it is something else. */
static int64_t length_of(hid_t dataset, enum lrc_token_array_type wanted)
{
    const hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    const int   right = space >= 0 && type >= 0 && H5Tequal(type, lrc_token_array__file_type(wanted)) > 0 &&
                      H5Sget_simple_extent_ndims(space) == 1;
    const int64_t n = right ? (int64_t)H5Sget_simple_extent_npoints(space) : 0;
    if (space >= 0)
        (void)H5Sclose(space);
    if (type >= 0)
        (void)H5Tclose(type);
    return n;
}

/* array->n elements, or as many as there are when it is 0; one that is not there has none. ownership:
 * lrc_free(array->data). */
static enum lrc_status get_array(struct lrc_token_array *array, const struct lrc_h5_job *job, hid_t file)
{
    static const H5Z_filter_t filters[] = { H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE };
    if (array->n == 0 && H5Lexists(file, array->name, H5P_DEFAULT) == 0) {
        array->data = lrc_calloc(0, 1);
        return array->data ? LRC_STATUS_OK : lrc_fail_nomem(job->err, "the cached tokens");
    }
    const hid_t dataset = lrc_h5_open_dataset(file, array->name, H5D_CHUNKED, filters, 2);
    if (dataset < 0)
        return fail(job, array->name, "this dataset, got none or another layout");
    const int64_t   n = length_of(dataset, array->type);
    enum lrc_status status = LRC_STATUS_OK;
    if (n < 1 || (array->n > 0 && n != array->n))
        status = fail(job, array->name, "another type or length");
    else if (!(array->data = lrc_calloc(n, lrc_token_array__elem_bytes(array->type))))
        status = lrc_fail_nomem(job->err, "the cached tokens");
    else if (H5Dread(dataset, lrc_token_array__memory_type(array->type), H5S_ALL, H5S_ALL, H5P_DEFAULT,
                     array->data) < 0)
        status = lrc_h5_fail(job, LRC_STATUS_FORMAT, array->name);
    array->n = n;
    (void)H5Dclose(dataset);
    return status;
}

static hid_t open_file(const char *path)
{
    const hid_t access = lrc_h5_access();
    const hid_t file = access < 0 ? -1 : H5Fopen(path, H5F_ACC_RDONLY, access);
    if (access >= 0)
        (void)H5Pclose(access);
    return file;
}

static int take_rows(struct lrc_row_record *rows, int64_t n, const int64_t *columns)
{
    for (int64_t r = 0; r < n; r++, columns += LRC_TOKEN_ROW_COLUMNS) {
        if (columns[0] < 0 || columns[0] > INT32_MAX || columns[1] < 0 || columns[1] >= LRC_ROW_FATE_COUNT)
            return 0;
        rows[r] = (struct lrc_row_record){ .file = (int32_t)columns[0],
                                           .fate = (enum lrc_row_fate)columns[1],
                                           .line = columns[2],
                                           .n_tokens = columns[3],
                                           .n_kept = columns[4],
                                           .n_trained = columns[5],
                                           .n_examples = columns[6] };
    }
    return 1;
}

/* What is not as it should be; NULL when all is well. */
static const char *take_examples(struct lrc_example *examples, int64_t n, int64_t n_ids,
                                 const int64_t *columns)
{
    int64_t end = 0, last_row = 0;
    for (int64_t i = 0; i < n; i++, columns += LRC_TOKEN_EXAMPLE_COLUMNS) {
        const int64_t n_tokens = columns[1], n_trained = columns[2], row_id = columns[3], side = columns[4];
        if (columns[0] != end || n_tokens < 1 || n_tokens > INT32_MAX || n_tokens > n_ids - end)
            return "examples one after another, got other offsets";
        if (n_trained < 0 || n_trained >= n_tokens || side < LRC_SIDE_NONE || side > LRC_SIDE_REJECTED)
            return "fewer targets than tokens and a known side, got others";
        if (row_id < last_row || row_id >= UINT32_MAX)
            return "row numbers in order, got others";
        examples[i] = (struct lrc_example){ .first = end,
                                            .n_tokens = n_tokens,
                                            .n_trained = n_trained,
                                            .row_id = (uint32_t)row_id,
                                            .side = (enum lrc_side)side };
        end += n_tokens;
        last_row = row_id;
    }
    return end == n_ids ? NULL : "examples up to the last id, got fewer";
}

/* Of rows and examples as they were stored. */
static enum lrc_status take_both(struct lrc_example **examples, struct lrc_row_record **rows,
                                 const struct lrc_token_array *stored_examples,
                                 const struct lrc_token_array *stored_rows, int64_t n_ids,
                                 const struct lrc_h5_job *job)
{
    const int64_t n_examples = stored_examples->n / LRC_TOKEN_EXAMPLE_COLUMNS,
                  n_rows = stored_rows->n / LRC_TOKEN_ROW_COLUMNS;
    if (stored_examples->n % LRC_TOKEN_EXAMPLE_COLUMNS != 0 || stored_rows->n % LRC_TOKEN_ROW_COLUMNS != 0 ||
        n_rows > UINT32_MAX)
        return fail(job, "rows", "whole rows of fewer than 2^32, got others");
    *examples = lrc_calloc(n_examples, sizeof **examples);
    *rows = lrc_calloc(n_rows, sizeof **rows);
    if (!*examples || !*rows)
        return lrc_fail_nomem(job->err, "the cached tokens");
    if (!take_rows(*rows, n_rows, stored_rows->data))
        return fail(job, "rows", "known fates and files, got others");
    const char *want = take_examples(*examples, n_examples, n_ids, stored_examples->data);
    return want ? fail(job, "examples", want) : LRC_STATUS_OK;
}

/* ---- a part ---- */

static enum lrc_status read_chunk(struct lrc_token_chunk *chunk, const struct lrc_h5_job *job, int fd)
{
    unsigned char  *bytes = lrc_calloc(chunk->n_bytes, 1);
    enum lrc_status status = LRC_STATUS_OK;
    if (!bytes)
        return lrc_fail_nomem(job->err, "the cached tokens");
    if (pread(fd, bytes, (size_t)chunk->n_bytes, chunk->offset) != chunk->n_bytes)
        status = fail(job, "tokens", "chunks within the file, got another");
    if (status == LRC_STATUS_OK)
        status = lrc_hash_bytes(chunk->hash, bytes, (size_t)chunk->n_bytes, job->err);
    lrc_free(bytes);
    return status;
}

/* Where the chunks of "tokens" lie and what they hash to. */
static enum lrc_status find_chunks(struct lrc_token_chunk *chunks, int64_t n_chunks, hid_t dataset,
                                   const struct lrc_h5_job *job, int fd)
{
    const hid_t     space = H5Dget_space(dataset);
    enum lrc_status status = space < 0 ? fail(job, "tokens", "a space") : LRC_STATUS_OK;
    for (int64_t i = 0; i < n_chunks && status == LRC_STATUS_OK; i++) {
        hsize_t  first = 0, n_bytes = 0;
        haddr_t  address = 0;
        unsigned mask = 1;
        if (H5Dget_chunk_info(dataset, space, (hsize_t)i, &first, &mask, &address, &n_bytes) < 0 ||
            mask != 0 || first != (hsize_t)i * LRC_TOKEN_CHUNK_TOKENS || n_bytes < 1 ||
            n_bytes > LRC_TOKEN_PACKED_BYTES_MAX || address > INT64_MAX / 2) {
            status = fail(job, "tokens", "whole chunks in their order, got others");
            break;
        }
        /* HDF5 counts from the end of the seal */
        chunks[i] = (struct lrc_token_chunk){ .offset = (int64_t)address + LRC_H5_SEAL_BYTES,
                                              .n_bytes = (int64_t)n_bytes };
        status = read_chunk(&chunks[i], job, fd);
    }
    if (space >= 0)
        (void)H5Sclose(space);
    return status;
}

static enum lrc_status add_tokens(struct lrc_token_store *store, const char *path, int64_t *n_ids,
                                  const struct lrc_h5_job *job, hid_t file)
{
    static const H5Z_filter_t filters[] = { H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE };
    *n_ids = 0;
    if (H5Lexists(file, "tokens", H5P_DEFAULT) == 0)
        return lrc_token_store_add(store, path, 0, NULL, 0, job->err);
    const hid_t dataset = lrc_h5_open_dataset(file, "tokens", H5D_CHUNKED, filters, 2);
    if (dataset < 0)
        return fail(job, "tokens", "this dataset, got another layout");
    const int64_t n = length_of(dataset, LRC_TOKEN_ARRAY_INT32),
                  n_chunks = (n + LRC_TOKEN_CHUNK_TOKENS - 1) / LRC_TOKEN_CHUNK_TOKENS;
    struct lrc_token_chunk *chunks = lrc_calloc(n_chunks, sizeof *chunks);
    const int               fd = open(path, O_RDONLY | O_CLOEXEC);
    enum lrc_status         status = LRC_STATUS_OK;
    if (n < 1)
        status = fail(job, "tokens", "another type or length");
    else if (!chunks)
        status = lrc_fail_nomem(job->err, "the cached tokens");
    else if (fd < 0)
        status = lrc_fail_errno(job->err, "%s: cannot open", path);
    if (status == LRC_STATUS_OK)
        status = find_chunks(chunks, n_chunks, dataset, job, fd);
    if (status == LRC_STATUS_OK)
        status = lrc_token_store_add(store, path, n, chunks, n_chunks, job->err);
    if (fd >= 0)
        (void)close(fd);
    lrc_free(chunks);
    (void)H5Dclose(dataset);
    *n_ids = n;
    return status;
}

/* Tokens as the store gives them; part->examples count from 0, the store from first_id. */
static enum lrc_status read_tokens(struct lrc_token_part *part, struct lrc_token_store *store,
                                   int64_t first_id, struct lrc_error *err)
{
    part->ids = lrc_calloc(part->n_ids, sizeof *part->ids);
    part->targets = lrc_calloc(part->n_ids, sizeof *part->targets);
    if (!part->ids || !part->targets)
        return lrc_fail_nomem(err, "the cached tokens");
    for (int64_t i = 0; i < part->n_examples; i++) {
        struct lrc_example example = part->examples[i];
        const int64_t      at = example.first;
        example.first += first_id;
        LRC_TRY(lrc_token_store_read(store, &example, part->ids + at, part->targets + at, err));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status get_part(struct lrc_token_part *part, const char *key, const struct lrc_h5_job *job,
                                hid_t file)
{
    struct lrc_token_array arrays[] = { { "examples", LRC_TOKEN_ARRAY_INT64, 0, NULL },
                                        { "rows", LRC_TOKEN_ARRAY_INT64, 0, NULL },
                                        { "key", LRC_TOKEN_ARRAY_BYTES, LRC_TOKEN_N_HEX, NULL } };
    enum lrc_status        status = LRC_STATUS_OK;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays && status == LRC_STATUS_OK; i++)
        status = get_array(&arrays[i], job, file);
    if (status == LRC_STATUS_OK && memcmp(arrays[2].data, key, LRC_TOKEN_N_HEX) != 0)
        status = fail(job, "key", "that of its folder, got another");
    if (status == LRC_STATUS_OK)
        status = take_both(&part->examples, &part->rows, &arrays[0], &arrays[1], part->n_ids, job);
    part->n_examples = arrays[0].n / LRC_TOKEN_EXAMPLE_COLUMNS;
    part->n_rows = arrays[1].n / LRC_TOKEN_ROW_COLUMNS;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        lrc_free(arrays[i].data);
    return status;
}

enum lrc_status lrc_token_cache__read_part(struct lrc_token_part *part, struct lrc_token_store *store,
                                           const char *path, const char *key, struct lrc_error *err)
{
    struct lrc_h5_job job;
    const int64_t     first_id = lrc_token_store_n_ids(store);
    int64_t           n_parts_before;
    (void)lrc_token_store_parts(store, &n_parts_before);
    if (part)
        *part = (struct lrc_token_part){ 0 };
    LRC_TRY(lrc_h5_seal_check(path, LRC_TOKEN_PART_KIND, LRC_H5_CHECK_ALL, err));
    lrc_h5_job_begin(&job, path, err);
    const hid_t     file = open_file(path);
    int64_t         n_ids = 0;
    enum lrc_status status =
        file < 0 ? lrc_h5_fail(&job, LRC_STATUS_FORMAT, "cannot be opened") : LRC_STATUS_OK;
    if (status == LRC_STATUS_OK)
        status = add_tokens(store, path, &n_ids, &job, file);
    if (status == LRC_STATUS_OK && part) {
        part->n_ids = n_ids;
        status = get_part(part, key, &job, file);
    }
    if (file >= 0)
        (void)H5Fclose(file);
    lrc_h5_job_end(&job);
    if (status == LRC_STATUS_OK && part)
        status = read_tokens(part, store, first_id, err);
    if (status != LRC_STATUS_OK && part)
        lrc_token_part_release(part);
    if (status != LRC_STATUS_OK)
        lrc_token_store_forget(store, n_parts_before);
    return status;
}

/* ---- the index ---- */

static enum lrc_status get_index(struct lrc_token_array arrays[LRC_TOKEN_N_ARRAYS], const char *path,
                                 struct lrc_error *err)
{
    struct lrc_h5_job job;
    LRC_TRY(lrc_h5_seal_check(path, LRC_TOKEN_INDEX_KIND, LRC_H5_CHECK_ALL, err));
    lrc_h5_job_begin(&job, path, err);
    const hid_t     file = open_file(path);
    enum lrc_status status =
        file < 0 ? lrc_h5_fail(&job, LRC_STATUS_FORMAT, "cannot be opened") : LRC_STATUS_OK;
    for (int i = 0; i < LRC_TOKEN_N_ARRAYS && status == LRC_STATUS_OK; i++)
        status = get_array(&arrays[i], &job, file);
    if (file >= 0)
        (void)H5Fclose(file);
    lrc_h5_job_end(&job);
    return status;
}

static enum lrc_status add_part(struct lrc_token_store *store, const char *dir, int64_t number, int64_t n_ids,
                                const struct lrc_token_chunk *chunks, int64_t n_chunks, struct lrc_error *err)
{
    char *path = lrc_token_cache__part_path(dir, number);
    if (!path)
        return lrc_fail_nomem(err, dir);
    const enum lrc_status status = lrc_token_store_add(store, path, n_ids, chunks, n_chunks, err);
    lrc_free(path);
    return status;
}

static enum lrc_status take_store(struct lrc_token_store *store, const char *dir,
                                  const struct lrc_token_array arrays[LRC_TOKEN_N_ARRAYS],
                                  const struct lrc_h5_job     *job)
{
    const int64_t *parts = arrays[LRC_TOKEN_INDEX_PARTS].data, *columns = arrays[LRC_TOKEN_INDEX_CHUNKS].data;
    const int64_t  n_parts = arrays[LRC_TOKEN_INDEX_PARTS].n / LRC_TOKEN_PART_COLUMNS,
                  n_chunks = arrays[LRC_TOKEN_INDEX_CHUNKS].n / LRC_TOKEN_CHUNK_COLUMNS;
    const char     *hashes = arrays[LRC_TOKEN_INDEX_CHUNK_HASHES].data;
    enum lrc_status status = LRC_STATUS_OK;
    int64_t         chunk = 0;
    if (arrays[LRC_TOKEN_INDEX_PARTS].n % LRC_TOKEN_PART_COLUMNS != 0 ||
        arrays[LRC_TOKEN_INDEX_CHUNKS].n % LRC_TOKEN_CHUNK_COLUMNS != 0 ||
        arrays[LRC_TOKEN_INDEX_CHUNK_HASHES].n != LRC_TOKEN_N_HEX * n_chunks)
        return fail(job, "chunks", "lengths that fit together, got others");
    struct lrc_token_chunk *chunks = lrc_calloc(n_chunks, sizeof *chunks);
    if (!chunks)
        return lrc_fail_nomem(job->err, "the cached tokens");
    for (int64_t i = 0; i < n_chunks; i++) {
        chunks[i] = (struct lrc_token_chunk){ .offset = columns[LRC_TOKEN_CHUNK_COLUMNS * i],
                                              .n_bytes = columns[LRC_TOKEN_CHUNK_COLUMNS * i + 1] };
        memcpy(chunks[i].hash, hashes + LRC_TOKEN_N_HEX * i, LRC_TOKEN_N_HEX);
    }
    for (int64_t i = 0; i < n_parts && status == LRC_STATUS_OK; i++) {
        const int64_t n_ids = parts[LRC_TOKEN_PART_COLUMNS * i], n = parts[LRC_TOKEN_PART_COLUMNS * i + 1];
        if (n_ids < 0 || n_ids > INT64_MAX / 2 - lrc_token_store_n_ids(store) || n < 0 ||
            n > n_chunks - chunk ||
            n != n_ids / LRC_TOKEN_CHUNK_TOKENS + (n_ids % LRC_TOKEN_CHUNK_TOKENS != 0))
            status = fail(job, "parts", "as many chunks as their tokens fill, got others");
        else
            status = add_part(store, dir, i, n_ids, chunks + chunk, n, job->err);
        chunk += n;
    }
    lrc_free(chunks);
    if (status == LRC_STATUS_OK && chunk != n_chunks)
        status = fail(job, "parts", "all chunks, got fewer");
    return status;
}

static enum lrc_status take(struct lrc_dataset          *dataset,
                            const struct lrc_token_array arrays[LRC_TOKEN_N_ARRAYS], const char *dir,
                            const char *key, int64_t vocab_size, const struct lrc_h5_job *job)
{
    const char *hashes = arrays[LRC_TOKEN_INDEX_HASHES].data;
    if (memcmp(hashes, key, LRC_TOKEN_N_HEX) != 0)
        return fail(job, "hashes", "the key of its folder, got another");
    memcpy(dataset->hash, hashes + LRC_TOKEN_N_HEX, LRC_TOKEN_N_HEX);
    memcpy(dataset->tokens_hash, hashes + 2 * LRC_TOKEN_N_HEX, LRC_TOKEN_N_HEX);
    LRC_TRY(lrc_token_store_new(&dataset->store, vocab_size, job->err));
    LRC_TRY(take_store(dataset->store, dir, arrays, job));
    dataset->n_ids = lrc_token_store_n_ids(dataset->store);
    LRC_TRY(take_both(&dataset->examples, &dataset->rows, &arrays[LRC_TOKEN_INDEX_EXAMPLES],
                      &arrays[LRC_TOKEN_INDEX_ROWS], dataset->n_ids, job));
    dataset->n_examples = arrays[LRC_TOKEN_INDEX_EXAMPLES].n / LRC_TOKEN_EXAMPLE_COLUMNS;
    dataset->n_rows = arrays[LRC_TOKEN_INDEX_ROWS].n / LRC_TOKEN_ROW_COLUMNS;
    for (int64_t r = 0; r < dataset->n_rows; r++)
        dataset->tally[dataset->rows[r].fate]++;
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        struct lrc_example *example = &dataset->examples[i];
        if (example->row_id >= dataset->n_rows)
            return fail(job, "examples", "examples of its rows, got another");
        example->id = example->row_id;
        if (i > 0 && example->row_id == example[-1].row_id)
            lrc_dataset__number_further(dataset, example);
    }
    lrc_dataset__recount(dataset);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_token_cache__read_index(struct lrc_dataset *dataset, const char *path, const char *dir,
                                            const char *key, int64_t vocab_size, struct lrc_error *err)
{
    const struct lrc_h5_job job = { .path = path, .err = err };
    struct lrc_token_array  arrays[LRC_TOKEN_N_ARRAYS] = {
         [LRC_TOKEN_INDEX_EXAMPLES] = { "examples", LRC_TOKEN_ARRAY_INT64, 0, NULL },
         [LRC_TOKEN_INDEX_ROWS] = { "rows", LRC_TOKEN_ARRAY_INT64, 0, NULL },
         [LRC_TOKEN_INDEX_HASHES] = { "hashes", LRC_TOKEN_ARRAY_BYTES, (int64_t)3 * LRC_TOKEN_N_HEX, NULL },
         [LRC_TOKEN_INDEX_PARTS] = { "parts", LRC_TOKEN_ARRAY_INT64, 0, NULL },
         [LRC_TOKEN_INDEX_CHUNKS] = { "chunks", LRC_TOKEN_ARRAY_INT64, 0, NULL },
         [LRC_TOKEN_INDEX_CHUNK_HASHES] = { "chunk_hashes", LRC_TOKEN_ARRAY_BYTES, 0, NULL },
    };
    *dataset = (struct lrc_dataset){ 0 };
    enum lrc_status status = get_index(arrays, path, err);
    if (status == LRC_STATUS_OK)
        status = take(dataset, arrays, dir, key, vocab_size, &job);
    if (status != LRC_STATUS_OK)
        lrc_dataset_release(dataset);
    for (int i = 0; i < LRC_TOKEN_N_ARRAYS; i++)
        lrc_free(arrays[i].data);
    return status;
}
