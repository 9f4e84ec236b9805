#include "data/token_cache.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "data/file_list.h"
#include "tokenizer/tokenizer.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { KEY_VERSION = 2 }; /* one more whenever the same rows come out as other tokens */

/* A new field: does it change the tokens? Then it goes into the key (options) or into the file (dataset). */
static_assert(sizeof(void *) != 8 || sizeof(struct lrc_dataset_options) == 80, "lrc_token_cache__key()");
static_assert(sizeof(void *) != 8 || sizeof(struct lrc_dataset) == 176 + 8 * LRC_ROW_FATE_COUNT,
              "lrc_token_cache__write()");

/* The length keeps "ab" + "c" apart from "a" + "bc". */
static void put(struct lrc_hash *hash, const char *name, const char *text)
{
    char head[64];
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
    char **names;
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
static enum lrc_status put_files(struct lrc_hash *hash, const char *path, struct lrc_error *err)
{
    struct lrc_file_list list = {0};
    enum lrc_status status = lrc_file_list_find(&list, path, err);
    put_number(hash, "files", (double)list.n);
    for (int64_t i = 0; i < list.n && status == LRC_STATUS_OK; i++) {
        put(hash, "file", lrc_path_base(list.paths[i]));
        status = put_file(hash, "rows", list.paths[i], err);
    }
    lrc_file_list_release(&list);
    return status;
}

static enum lrc_status put_spec(struct lrc_hash *hash, const struct lrc_dataset_spec *spec,
                                struct lrc_error *err)
{
    struct lrc_dataset_spec columns = *spec;
    struct lrc_buf json = {0};
    columns.path = NULL;
    lrc_dataset_spec_write_json(&columns, &json);
    const enum lrc_status status = lrc_buf_check(&json, err);
    if (status == LRC_STATUS_OK)
        put(hash, "dataset", lrc_buf_text(&json));
    lrc_buf_release(&json);
    return status == LRC_STATUS_OK ? put_files(hash, spec->path, err) : status;
}

static enum lrc_status put_all(struct lrc_hash *hash, const struct lrc_dataset_list *specs,
                               const struct lrc_dataset_options *options, const char *model_dir,
                               struct lrc_error *err)
{
    put_number(hash, "key", KEY_VERSION);
    put(hash, "version", LRC_VERSION);
    put_number(hash, "sequence_len", (double)options->sequence_len);
    put_number(hash, "excess", (double)options->excess);
    put_number(hash, "max_lost_rows_fraction", options->max_lost_rows_fraction);
    put_number(hash, "train_on_inputs", (double)options->train_on_inputs);
    put_number(hash, "last_turn_only", (double)options->last_turn_only);
    put_number(hash, "check_masks", (double)options->check_masks);
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
        LRC_TRY(put_spec(hash, &specs->items[i], err));
    return LRC_STATUS_OK;
}

enum lrc_status lrc_token_cache__key(char key[LRC_HASH_HEX_MAX], const struct lrc_dataset_list *specs,
                                     const struct lrc_dataset_options *options, const char *model_dir,
                                     struct lrc_error *err)
{
    struct lrc_hash hash;
    LRC_TRY(lrc_hash_init(&hash, err));
    const enum lrc_status status = put_all(&hash, specs, options, model_dir, err);
    if (status == LRC_STATUS_OK)
        lrc_hash_finish(&hash, key);
    else
        lrc_hash_abort(&hash);
    return status;
}

/* The names are those of today: the key does not know where files lie. */
static enum lrc_status name_files(struct lrc_dataset *dataset, const struct lrc_dataset_list *specs,
                                  struct lrc_error *err)
{
    enum lrc_status status = LRC_STATUS_OK;
    for (int i = 0; i < specs->n && status == LRC_STATUS_OK; i++) {
        struct lrc_file_list list = {0};
        status = lrc_file_list_find(&list, specs->items[i].path, err);
        char **files = status == LRC_STATUS_OK
                           ? lrc_realloc(dataset->files, dataset->n_files + list.n + 1, sizeof *files)
                           : NULL;
        dataset->files = files ? files : dataset->files;
        for (int64_t k = 0; files && k < list.n; k++)
            dataset->files[dataset->n_files++] = list.paths[k];
        list.n = files ? 0 : list.n; /* the dataset's now */
        if (status == LRC_STATUS_OK && !files)
            status = lrc_fail_nomem(err, "the cached tokens");
        lrc_file_list_release(&list);
    }
    for (int64_t r = 0; r < dataset->n_rows && status == LRC_STATUS_OK; r++)
        if (dataset->rows[r].file < 0 || dataset->rows[r].file >= dataset->n_files)
            status = lrc_fail(err, LRC_STATUS_FORMAT, "row %lld: want one of %lld files, got file %d",
                              (long long)r, (long long)dataset->n_files, dataset->rows[r].file);
    return status;
}

/* OK with *is_read 0: there is none, or none that can be used. */
static enum lrc_status try_read(int *is_read, struct lrc_dataset *dataset,
                                const struct lrc_dataset_list *specs, const char *path, const char *key,
                                int64_t vocab_size, struct lrc_error *err)
{
    *is_read = 0;
    if (!lrc_path_exists(path))
        return LRC_STATUS_OK;
    enum lrc_status status = lrc_token_cache__read(dataset, path, key, vocab_size, err);
    if (status == LRC_STATUS_OK)
        status = name_files(dataset, specs, err);
    if (status != LRC_STATUS_OK)
        lrc_dataset_release(dataset);
    if (status == LRC_STATUS_NOMEM)
        return status;
    *is_read = status == LRC_STATUS_OK;
    if (*is_read)
        lrc_log_info("tokens from cache %s: %lld rows, %lld tokens, %lld trained", path,
                     (long long)dataset->n_examples, (long long)dataset->n_tokens,
                     (long long)dataset->n_trained);
    else
        lrc_log_warn("token cache: %s; it is made anew", err->message);
    return LRC_STATUS_OK;
}

/* Files that changed while they were read belong to no key. */
static enum lrc_status write_cache(const struct lrc_dataset *dataset, const char *path, const char *key,
                                   const char *key_after, struct lrc_error *err)
{
    if (strcmp(key, key_after) != 0)
        return lrc_fail(err, LRC_STATUS_IO,
                        "%s: want data that stays as it is while it is read, got a change", path);
    char *dir = lrc_path_dir(path);
    if (!dir)
        return lrc_fail_nomem(err, path);
    enum lrc_status status = lrc_dir_make(dir, err);
    if (status == LRC_STATUS_OK)
        status = lrc_token_cache__write(dataset, path, key, err);
    lrc_free(dir);
    return status;
}

static enum lrc_status load_and_write(struct lrc_dataset *dataset, const struct lrc_dataset_list *specs,
                                      const struct lrc_dataset_options *options,
                                      const struct lrc_token_cache *cache, const char *path, const char *key,
                                      struct lrc_problems *problems, struct lrc_error *err)
{
    char key_after[LRC_HASH_HEX_MAX];
    struct lrc_error inner = {0};
    LRC_TRY(lrc_dataset_load(dataset, specs->items, specs->n, options, problems, err));
    if (cache->write == LRC_CACHE_WRITE_NEVER)
        return LRC_STATUS_OK;
    enum lrc_status status = lrc_token_cache__key(key_after, specs, options, cache->model_dir, &inner);
    if (status == LRC_STATUS_OK)
        status = write_cache(dataset, path, key, key_after, &inner);
    if (status == LRC_STATUS_OK) {
        lrc_log_info("tokens into cache %s", path);
        return LRC_STATUS_OK;
    }
    if (cache->write == LRC_CACHE_WRITE_TRY) {
        lrc_log_warn("token cache: %s; going on without", inner.message);
        return LRC_STATUS_OK;
    }
    lrc_dataset_release(dataset);
    return lrc_fail(err, status, "%s", inner.message);
}

enum lrc_status lrc_dataset_load_cached(struct lrc_dataset *dataset, const struct lrc_dataset_list *specs,
                                        const struct lrc_dataset_options *options,
                                        const struct lrc_token_cache *cache, struct lrc_problems *problems,
                                        struct lrc_error *err)
{
    char key[LRC_HASH_HEX_MAX];
    struct lrc_buf path = {0};
    int is_read = 0;
    *dataset = (struct lrc_dataset){0};
    for (int i = 0; i < specs->n; i++)
        if (strcmp(specs->items[i].path, "-") == 0) /* can be read but once */
            return lrc_dataset_load(dataset, specs->items, specs->n, options, problems, err);
    LRC_TRY(lrc_token_cache__key(key, specs, options, cache->model_dir, err));
    lrc_buf_printf(&path, "%s/%s.h5", cache->dir, key);
    enum lrc_status status = lrc_buf_check(&path, err);
    if (status == LRC_STATUS_OK)
        status = try_read(&is_read, dataset, specs, path.data, key, options->vocab_size, err);
    if (status == LRC_STATUS_OK && !is_read)
        status = load_and_write(dataset, specs, options, cache, path.data, key, problems, err);
    lrc_buf_release(&path);
    return status;
}
