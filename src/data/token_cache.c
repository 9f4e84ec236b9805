#include "data/token_cache.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "data/file_list.h"
#include "data/token_store.h"
#include "tokenizer/tokenizer.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { KEY_VERSION = 3 }; /* one more whenever the same rows come out as other tokens */

/* A new field: does it change the tokens? Then it goes into the key (options) or into the file (dataset). */
static_assert(sizeof(void *) != 8 || sizeof(struct lrc_dataset_options) == 96, "lrc_token_cache__key()");

/* The length keeps "ab" + "c" apart from "a" + "bc". */
enum lrc_status lrc_token_cache_read(struct lrc_dataset *dataset, const char *dir, struct lrc_error *err)
{
    char                 *folder = lrc_path_absolute(dir); /* its last name is the key, also of "dir/" */
    char                 *path = folder ? lrc_path_join(folder, "index.h5") : NULL;
    const enum lrc_status status =
        path ? lrc_token_cache__read_index(dataset, path, dir, lrc_path_base(folder), INT32_MAX, err)
             : lrc_fail_nomem(err, dir);
    lrc_free(path);
    lrc_free(folder);
    return status;
}

static void put(struct lrc_hash *hash, const char *name, const char *text)
{
    char      head[64];
    const int n = snprintf(head, sizeof head, "%s %zu ", name, strlen(text));
    lrc_hash_update(hash, head, (size_t)n);
    lrc_hash_update(hash, text, strlen(text));
}

static void put_number(struct lrc_hash *hash, const char *name, double value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.17g", value);
    put(hash, name, text);
}

static enum lrc_status put_file(struct lrc_hash *hash, const char *name, const char *path,
                                struct lrc_error *err)
{
    char hex[LRC_HASH_HEX_MAX];
    LRC_TRY(lrc_hash_file(hex, path, err));
    put(hash, name, hex);
    return LRC_STATUS_OK;
}

static enum lrc_status put_tokenizer(struct lrc_hash *hash, const char *dir, struct lrc_error *err)
{
    char  **names;
    int64_t n_names;
    if (!lrc_path_is_dir(dir))
        return put_file(hash, "model", dir, err);
    LRC_TRY(lrc_dir_list(dir, &names, &n_names, err));
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t i = 0; i < n_names && status == LRC_STATUS_OK; i++) {
        if (!lrc_tokenizer_is_file(names[i]))
            continue;
        char *path = lrc_path_join(dir, names[i]);
        status = path ? put_file(hash, names[i], path, err) : lrc_fail_nomem(err, dir);
        lrc_free(path);
    }
    lrc_dir_list_free(names, n_names);
    return status;
}

/* What the files hold and what they are called, not where they lie. */
static enum lrc_status put_files(struct lrc_hash *hash, struct lrc_buf *files, const char *path,
                                 struct lrc_error *err)
{
    struct lrc_file_list list = { 0 };
    enum lrc_status      status = lrc_file_list_find(&list, path, err);
    put_number(hash, "files", (double)list.n);
    for (int64_t i = 0; i < list.n && status == LRC_STATUS_OK; i++) {
        char hex[LRC_HASH_HEX_MAX];
        status = lrc_hash_file(hex, list.paths[i], err);
        if (status != LRC_STATUS_OK)
            break;
        put(hash, "file", lrc_path_base(list.paths[i]));
        put(hash, "rows", hex);
        if (files)
            lrc_buf_append(files, hex, sizeof hex);
    }
    lrc_file_list_release(&list);
    return status;
}

static enum lrc_status put_spec(struct lrc_hash *hash, struct lrc_buf *files,
                                const struct lrc_dataset_spec *spec, struct lrc_error *err)
{
    struct lrc_dataset_spec columns = *spec;
    struct lrc_buf          json = { 0 };
    columns.path = columns.weight = NULL; /* weights choose among rows that are tokenized */
    lrc_dataset_spec_write_json(&columns, &json);
    const enum lrc_status status = lrc_buf_check(&json, err);
    if (status == LRC_STATUS_OK)
        put(hash, "dataset", lrc_buf_text(&json));
    lrc_buf_release(&json);
    return status == LRC_STATUS_OK ? put_files(hash, files, spec->path, err) : status;
}

static enum lrc_status put_all(struct lrc_hash *hash, struct lrc_buf *files,
                               const struct lrc_dataset_list    *specs,
                               const struct lrc_dataset_options *options, const char *model_dir,
                               struct lrc_error *err)
{
    put_number(hash, "key", KEY_VERSION);
    put(hash, "version", LRC_VERSION);
    put_number(hash, "sequence_len", (double)options->sequence_len);
    put_number(hash, "excess", (double)options->excess);
    put_number(hash, "train_on_inputs", (double)options->train_on_inputs);
    put_number(hash, "last_turn_only", (double)options->last_turn_only);
    put_number(hash, "drop_duplicates", (double)options->drop_duplicates);
    for (int i = 0; options->roles_to_train && i < options->roles_to_train->n; i++)
        put(hash, "role", options->roles_to_train->items[i]);
    put_number(hash, "keep_untrained", (double)options->keep_untrained);
    put_number(hash, "vocab_size", (double)options->vocab_size);
    if (options->template)
        put(hash, "template", lrc_template_text(options->template));
    if (options->template && lrc_template_tools_text(options->template))
        put(hash, "tool_use", lrc_template_tools_text(options->template));
    if (options->tokenizer)
        LRC_TRY(put_tokenizer(hash, model_dir, err));
    for (int i = 0; i < specs->n; i++)
        LRC_TRY(put_spec(hash, files, &specs->items[i], err));
    return LRC_STATUS_OK;
}

enum lrc_status lrc_token_cache__key(char key[LRC_HASH_HEX_MAX], struct lrc_buf *files,
                                     const struct lrc_dataset_list    *specs,
                                     const struct lrc_dataset_options *options, const char *model_dir,
                                     struct lrc_error *err)
{
    struct lrc_hash hash;
    LRC_TRY(lrc_hash_init(&hash, err));
    const enum lrc_status status = put_all(&hash, files, specs, options, model_dir, err);
    if (status == LRC_STATUS_OK)
        lrc_hash_finish(&hash, key);
    else
        lrc_hash_abort(&hash);
    return status;
}

/* ---- reading ---- */

static int64_t count_files(const struct lrc_buf *files)
{
    return (int64_t)(files->len / LRC_HASH_HEX_MAX);
}

/* The names are those of today: the key does not know where files lie. */
static enum lrc_status name_files(struct lrc_dataset *dataset, const struct lrc_dataset_list *specs,
                                  int64_t n_files, struct lrc_error *err)
{
    enum lrc_status status = LRC_STATUS_OK;
    dataset->files = lrc_calloc(n_files, sizeof *dataset->files);
    dataset->file_specs = lrc_calloc(n_files, sizeof *dataset->file_specs);
    if (!dataset->files || !dataset->file_specs)
        return lrc_fail_nomem(err, "the cached tokens");
    for (int i = 0; i < specs->n && status == LRC_STATUS_OK; i++) {
        struct lrc_file_list list = { 0 };
        status = lrc_file_list_find(&list, specs->items[i].path, err);
        int64_t k = 0;
        for (; status == LRC_STATUS_OK && k < list.n && dataset->n_files < n_files; k++) {
            dataset->file_specs[dataset->n_files] = i;
            dataset->files[dataset->n_files++] = list.paths[k]; /* the dataset's now */
            list.paths[k] = NULL;
        }
        lrc_file_list_release(&list);
    }
    for (int64_t r = 0; r < dataset->n_rows && status == LRC_STATUS_OK; r++)
        if (dataset->rows[r].file >= dataset->n_files)
            status = lrc_fail(err, LRC_STATUS_FORMAT, "row %lld: want one of %lld files, got file %d",
                              (long long)r, (long long)dataset->n_files, dataset->rows[r].file);
    return status;
}

/* One cache on its way to be read or made. */
struct job {
    const struct lrc_dataset_list    *specs;
    const struct lrc_dataset_options *options;
    const struct lrc_token_cache     *cache;
    struct lrc_problems              *problems;
    char                              key[LRC_HASH_HEX_MAX];
    struct lrc_buf                    files; /* hashes of the data files */
    struct lrc_buf                    dir, index;
};

static enum lrc_status read_all(struct lrc_dataset *dataset, const struct job *job, struct lrc_error *err)
{
    const char *dir = job->dir.data;
    LRC_TRY(
        lrc_token_cache__read_index(dataset, job->index.data, dir, job->key, job->options->vocab_size, err));
    LRC_TRY(name_files(dataset, job->specs, count_files(&job->files), err));
    if (lrc_token_store_disk_bytes(dataset->store) > LRC_TOKEN_VERIFY_BYTES)
        return LRC_STATUS_OK;
    return lrc_token_store_verify(dataset->store, err);
}

/* OK with *is_read 0: there is none, or none that can be used. */
static enum lrc_status try_read(int *is_read, struct lrc_dataset *dataset, const struct job *job,
                                struct lrc_error *err)
{
    *is_read = 0;
    if (!lrc_path_exists(job->index.data))
        return LRC_STATUS_OK;
    const enum lrc_status status = read_all(dataset, job, err);
    if (status != LRC_STATUS_OK)
        lrc_dataset_release(dataset);
    if (status == LRC_STATUS_NOMEM)
        return status;
    *is_read = status == LRC_STATUS_OK;
    if (*is_read)
        lrc_log_info("tokens from cache %s: %lld rows, %lld tokens, %lld trained", job->dir.data,
                     (long long)dataset->n_examples, (long long)dataset->n_tokens,
                     (long long)dataset->n_trained);
    else
        lrc_log_warn("token cache: %s; it is made anew", err->message);
    return LRC_STATUS_OK;
}

/* ---- making ---- */

struct writer {
    const struct job       *job;
    struct lrc_token_store *store;
    int64_t                 n_parts;    /* restored and kept */
    int                     has_failed; /* it was the cache's fault, not the data's */
};

static enum lrc_status keep_part(void *context, const struct lrc_token_part *part, struct lrc_error *err)
{
    struct writer  *writer = context;
    char           *path = lrc_token_cache__part_path(writer->job->dir.data, writer->n_parts);
    enum lrc_status status = path ? LRC_STATUS_OK : lrc_fail_nomem(err, writer->job->dir.data);
    if (status == LRC_STATUS_OK)
        status = lrc_token_cache__write_part(path, writer->job->key, part, err);
    if (status == LRC_STATUS_OK)
        status = lrc_token_cache__read_part(NULL, writer->store, path, writer->job->key, err);
    lrc_free(path);
    writer->n_parts++;
    writer->has_failed |= status != LRC_STATUS_OK;
    return status;
}

/* From this part on nothing is left: rows are numbered through. */
static void remove_parts(const char *dir, int64_t first)
{
    for (int64_t number = first;; number++) {
        char     *path = lrc_token_cache__part_path(dir, number);
        const int is_last = !path || unlink(path) != 0;
        lrc_free(path);
        if (is_last)
            return;
    }
}

static enum lrc_status restore_part(void *context, struct lrc_token_part *part, struct lrc_error *err)
{
    struct writer *writer = context;
    const char    *dir = writer->job->dir.data;
    char          *path = lrc_token_cache__part_path(dir, writer->n_parts);
    if (!path)
        return lrc_fail_nomem(err, dir);
    enum lrc_status status = LRC_STATUS_OK;
    if (lrc_path_exists(path))
        status = lrc_token_cache__read_part(part, writer->store, path, writer->job->key, err);
    lrc_free(path);
    if (status == LRC_STATUS_OK) {
        writer->n_parts += part->n_rows > 0;
        return LRC_STATUS_OK;
    }
    if (status != LRC_STATUS_FORMAT)
        return status;
    lrc_log_warn("token cache: %s; it is made anew from there", err->message);
    remove_parts(dir, writer->n_parts);
    *part = (struct lrc_token_part){ 0 };
    return LRC_STATUS_OK;
}

/* The bytes that were tokenized are those that the key names. */
static enum lrc_status check_files(const struct lrc_dataset *dataset, const struct job *job,
                                   struct lrc_error *err)
{
    if (dataset->n_files == count_files(&job->files) &&
        memcmp(dataset->file_hashes, job->files.data, job->files.len) == 0)
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_IO, "%s: want data that stays as it is while it is read, got a change",
                    job->dir.data);
}

static enum lrc_status make(struct lrc_dataset *dataset, struct writer *writer, struct lrc_error *err)
{
    const struct job           *job = writer->job;
    const struct lrc_token_sink sink = { writer, restore_part, keep_part };
    LRC_TRY(lrc_token_store_new(&writer->store, job->options->vocab_size, err));
    LRC_TRY(lrc_dataset__load(dataset, job->specs->items, job->specs->n, job->options, &sink, job->problems,
                              err));
    dataset->store = writer->store;
    writer->store = NULL;
    remove_parts(job->dir.data, writer->n_parts);
    enum lrc_status status = check_files(dataset, job, err);
    if (status != LRC_STATUS_OK)
        remove_parts(job->dir.data, 0);
    if (status == LRC_STATUS_OK)
        status = lrc_token_cache__write_index(job->index.data, job->key, dataset, err);
    if (status == LRC_STATUS_OK)
        status = lrc_file_sync(job->dir.data, err);
    writer->has_failed |= status != LRC_STATUS_OK;
    if (status == LRC_STATUS_OK)
        lrc_log_info("tokens into cache %s", job->dir.data);
    return status;
}

/* Parts that were sealed and yet do not fit the files are thrown away, once. */
static enum lrc_status make_or_remake(struct lrc_dataset *dataset, struct writer *writer,
                                      struct lrc_error *err)
{
    const struct job *job = writer->job;
    enum lrc_status   status = make(dataset, writer, err);
    lrc_token_store_close(writer->store);
    writer->store = NULL;
    if (status != LRC_STATUS_FORMAT || writer->n_parts == 0 || writer->has_failed)
        return status;
    lrc_log_warn("token cache: %s; it is made anew", err->message);
    remove_parts(job->dir.data, 0);
    *writer = (struct writer){ .job = job };
    status = make(dataset, writer, err);
    lrc_token_store_close(writer->store);
    return status;
}

/* *lock: closing it lets others in. A file system without locks does without. */
static enum lrc_status lock_dir(int *lock, const char *dir, struct lrc_error *err)
{
    LRC_TRY(lrc_dir_make(dir, err));
    *lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0)
        return lrc_fail_errno(err, "%s: cannot open", dir);
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return LRC_STATUS_OK;
    lrc_log_info("token cache: waiting for another process that fills %s", dir);
    while (flock(*lock, LOCK_EX) != 0 && errno == EINTR) {
    }
    return LRC_STATUS_OK;
}

static enum lrc_status make_locked(struct lrc_dataset *dataset, const struct job *job, int *cache_failed,
                                   struct lrc_error *err)
{
    struct writer   writer = { .job = job };
    int             lock = -1, is_read = 0;
    enum lrc_status status = lock_dir(&lock, job->dir.data, err);
    *cache_failed = status != LRC_STATUS_OK;
    if (status == LRC_STATUS_OK) /* another process may have made it meanwhile */
        status = try_read(&is_read, dataset, job, err);
    if (status == LRC_STATUS_OK && !is_read) {
        status = make_or_remake(dataset, &writer, err);
        *cache_failed = writer.has_failed;
    }
    if (lock >= 0)
        (void)close(lock);
    return status;
}

static enum lrc_status load_and_write(struct lrc_dataset *dataset, const struct job *job,
                                      struct lrc_error *err)
{
    struct lrc_error           inner = { 0 };
    int                        cache_failed = 0;
    struct lrc_dataset_options options = *job->options;
    options.counts_only |= job->cache->write == LRC_CACHE_WRITE_NEVER;
    if (job->cache->write != LRC_CACHE_WRITE_NEVER) {
        const enum lrc_status status = make_locked(dataset, job, &cache_failed, &inner);
        if (status == LRC_STATUS_OK)
            return LRC_STATUS_OK;
        lrc_dataset_release(dataset);
        if (!cache_failed || job->cache->write == LRC_CACHE_WRITE_MUST)
            return lrc_fail(err, status, "%s", inner.message);
        lrc_log_warn("token cache: %s; going on without", inner.message);
    }
    return lrc_dataset__load(dataset, job->specs->items, job->specs->n, &options, NULL, job->problems, err);
}

static enum lrc_status load(struct lrc_dataset *dataset, struct job *job, struct lrc_error *err)
{
    int is_read = 0;
    LRC_TRY(
        lrc_token_cache__key(job->key, &job->files, job->specs, job->options, job->cache->model_dir, err));
    lrc_buf_printf(&job->dir, "%s/%s", job->cache->dir, job->key);
    lrc_buf_printf(&job->index, "%s/%s/index.h5", job->cache->dir, job->key);
    LRC_TRY(lrc_buf_check(&job->dir, err));
    LRC_TRY(lrc_buf_check(&job->index, err));
    LRC_TRY(lrc_buf_check(&job->files, err));
    LRC_TRY(job->cache->write == LRC_CACHE_WRITE_NEVER ? try_read(&is_read, dataset, job, err)
                                                       : LRC_STATUS_OK);
    if (!is_read)
        LRC_TRY(load_and_write(dataset, job, err));
    return lrc_dataset_check(dataset, job->options, err);
}

enum lrc_status lrc_dataset_load_cached(struct lrc_dataset *dataset, const struct lrc_dataset_list *specs,
                                        const struct lrc_dataset_options *options,
                                        const struct lrc_token_cache *cache, struct lrc_problems *problems,
                                        struct lrc_error *err)
{
    struct job job = { .specs = specs, .options = options, .cache = cache, .problems = problems };
    *dataset = (struct lrc_dataset){ 0 };
    for (int i = 0; i < specs->n; i++)
        if (strcmp(specs->items[i].path, "-") == 0) /* can be read but once */
            return lrc_dataset_load(dataset, specs->items, specs->n, options, problems, err);
    const enum lrc_status status = load(dataset, &job, err);
    if (status != LRC_STATUS_OK)
        lrc_dataset_release(dataset);
    lrc_buf_release(&job.files);
    lrc_buf_release(&job.dir);
    lrc_buf_release(&job.index);
    return status;
}

char *lrc_token_cache__part_path(const char *dir, int64_t number)
{
    char name[48];
    (void)snprintf(name, sizeof name, "part-%05lld.h5", (long long)number);
    return lrc_path_join(dir, name);
}
