#include "formats/model_dir.h"

#include "base/alloc.h"
#include "tokenizer/tokenizer.h"
#include <stdlib.h>
#include <string.h>

static const char index_name[] = "model.safetensors.index.json";
static const char single_name[] = "model.safetensors";

static int ends_with(const char *string, const char *suffix)
{
    const size_t n = strlen(string), n_suffix = strlen(suffix);
    return n >= n_suffix && strcmp(string + n - n_suffix, suffix) == 0;
}

static enum lrc_status look_for(int *exists, const char *dir, const char *name, struct lrc_error *err)
{
    char *path = lrc_path_join(dir, name);
    *exists = 0;
    if (!path)
        return lrc_fail_nomem(err, name);
    *exists = lrc_path_exists(path);
    lrc_free(path);
    return LRC_STATUS_OK;
}

static int compare_strings(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strcmp(*a, *b);
}

static int compare_tensors(const void *left, const void *right)
{
    const struct lrc_model_dir_tensor *a = left, *b = right;
    const int                          by_name = strcmp(a->entry->name, b->entry->name);
    return by_name != 0 ? by_name : a->shard - b->shard;
}

static int compare_name(const void *name, const void *tensor)
{
    const struct lrc_model_dir_tensor *t = tensor;
    return strcmp(name, t->entry->name);
}

static enum lrc_status load_json(json_t **json, const char *dir, const char *name, struct lrc_error *err)
{
    char *path = lrc_path_join(dir, name);
    if (!path)
        return lrc_fail_nomem(err, name);
    enum lrc_status status = lrc_json_load(json, path, err);
    if (status == LRC_STATUS_OK && !json_is_object(*json))
        status =
            lrc_fail(err, LRC_STATUS_FORMAT, "%s: want an object, got %s", path, lrc_json_type_name(*json));
    lrc_free(path);
    return status;
}

/* A shard's name comes from a foreign file: a plain name in the same folder, nothing else. */
static int is_plain_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && !strchr(name, '/');
}

/* The distinct file names of the index, sorted. */
static enum lrc_status list_shards(struct lrc_model_dir *dir, json_t *weight_map, struct lrc_error *err)
{
    const char  *key;
    json_t      *value;
    int64_t      n = 0;
    const char **names = lrc_calloc((int64_t)json_object_size(weight_map), sizeof *names);
    if (!names)
        return lrc_fail_nomem(err, index_name);
    enum lrc_status status = LRC_STATUS_OK;
    json_object_foreach(weight_map, key, value)
    {
        const char *name = json_string_value(value);
        if (!name || !is_plain_name(name)) {
            status = lrc_fail(err, LRC_STATUS_FORMAT, "%s/%s: '%s': want the name of a file in this folder",
                              dir->path, index_name, key);
            goto done;
        }
        names[n++] = name;
    }
    qsort((void *)names, (size_t)n, sizeof *names, compare_strings);
    dir->shard_names = lrc_calloc(n, sizeof *dir->shard_names);
    if (!dir->shard_names)
        status = lrc_fail_nomem(err, index_name);
    for (int64_t i = 0; status == LRC_STATUS_OK && i < n; i++) {
        if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
            continue;
        dir->shard_names[dir->n_shards] = lrc_strdup(names[i]);
        if (!dir->shard_names[dir->n_shards])
            status = lrc_fail_nomem(err, index_name);
        else
            dir->n_shards++;
    }
done:
    lrc_free((void *)names);
    return status;
}

static enum lrc_status open_shards(struct lrc_model_dir *dir, struct lrc_problems *problems,
                                   struct lrc_error *err)
{
    dir->shards = lrc_calloc(dir->n_shards, sizeof *dir->shards);
    if (!dir->shards)
        return lrc_fail_nomem(err, dir->path);
    for (int i = 0; i < dir->n_shards; i++) {
        char            *path = lrc_path_join(dir->path, dir->shard_names[i]);
        struct lrc_error error = { 0 };
        if (!path)
            return lrc_fail_nomem(err, dir->path);
        const int             exists = lrc_path_exists(path);
        const enum lrc_status status =
            exists ? lrc_safetensors_open(&dir->shards[i], path, &error) : LRC_STATUS_OK;
        if (!exists)
            lrc_problems_add(problems, "%s: the index names this file, it is not there", path);
        else if (status == LRC_STATUS_FORMAT || status == LRC_STATUS_UNSUPPORTED)
            lrc_problems_add(problems, "%s", error.message);
        lrc_free(path);
        if (status != LRC_STATUS_OK && status != LRC_STATUS_FORMAT && status != LRC_STATUS_UNSUPPORTED)
            return lrc_fail(err, status, "%s", error.message);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status merge_tensors(struct lrc_model_dir *dir, struct lrc_problems *problems,
                                     struct lrc_error *err)
{
    int64_t n = 0;
    for (int i = 0; i < dir->n_shards; i++)
        n += dir->shards[i].n_entries;
    dir->tensors = lrc_calloc(n, sizeof *dir->tensors);
    if (!dir->tensors)
        return lrc_fail_nomem(err, dir->path);
    for (int i = 0; i < dir->n_shards; i++)
        for (int64_t k = 0; k < dir->shards[i].n_entries; k++)
            dir->tensors[dir->n_tensors++] = (struct lrc_model_dir_tensor){ dir->shards[i].by_name[k], i };
    qsort(dir->tensors, (size_t)n, sizeof *dir->tensors, compare_tensors);
    for (int64_t i = 1; i < n; i++)
        if (strcmp(dir->tensors[i - 1].entry->name, dir->tensors[i].entry->name) == 0)
            lrc_problems_add(problems, "%s: tensor '%s' is in %s and in %s", dir->path,
                             dir->tensors[i].entry->name, dir->shard_names[dir->tensors[i - 1].shard],
                             dir->shard_names[dir->tensors[i].shard]);
    return LRC_STATUS_OK;
}

/* Every tensor of the index must be in the shard that it names. A missing shard is one problem, not one per
 * tensor. */
static void check_index(const struct lrc_model_dir *dir, json_t *weight_map, struct lrc_problems *problems)
{
    const char *key;
    json_t     *value;
    json_object_foreach(weight_map, key, value)
    {
        const char                   *name = json_string_value(value);
        char                        **found = bsearch(&name, (void *)dir->shard_names, (size_t)dir->n_shards,
                                                      sizeof *dir->shard_names, compare_strings);
        const struct lrc_safetensors *shard = &dir->shards[found - dir->shard_names];
        if (shard->header && !lrc_safetensors_find(shard, key))
            lrc_problems_add(problems, "%s/%s: tensor '%s': want it in %s, it is not there", dir->path,
                             index_name, key, name);
    }
}

static enum lrc_status open_sharded(struct lrc_model_dir *dir, struct lrc_problems *problems,
                                    struct lrc_error *err)
{
    json_t *index = NULL;
    LRC_TRY(load_json(&index, dir->path, index_name, err));
    json_t         *weight_map = json_object_get(index, "weight_map");
    enum lrc_status status;
    if (!json_is_object(weight_map) || json_object_size(weight_map) == 0) {
        status = lrc_fail(err, LRC_STATUS_FORMAT, "%s/%s: 'weight_map': want an object with tensors, got %s",
                          dir->path, index_name, lrc_json_type_name(weight_map));
        goto done;
    }
    if ((status = list_shards(dir, weight_map, err)) != LRC_STATUS_OK)
        goto done;
    if ((status = open_shards(dir, problems, err)) != LRC_STATUS_OK)
        goto done;
    check_index(dir, weight_map, problems);
    status = merge_tensors(dir, problems, err);
done:
    json_decref(index);
    return status;
}

static enum lrc_status open_single(struct lrc_model_dir *dir, struct lrc_problems *problems,
                                   struct lrc_error *err)
{
    dir->shard_names = lrc_calloc(1, sizeof *dir->shard_names);
    if (!dir->shard_names)
        return lrc_fail_nomem(err, dir->path);
    dir->shard_names[0] = lrc_strdup(single_name);
    if (!dir->shard_names[0])
        return lrc_fail_nomem(err, dir->path);
    dir->n_shards = 1;
    LRC_TRY(open_shards(dir, problems, err));
    return merge_tensors(dir, problems, err);
}

static enum lrc_status fail_no_weights(const struct lrc_model_dir *dir, struct lrc_error *err)
{
    int has_pickle, has_pickle_index;
    LRC_TRY(look_for(&has_pickle, dir->path, "pytorch_model.bin", err));
    LRC_TRY(look_for(&has_pickle_index, dir->path, "pytorch_model.bin.index.json", err));
    if (has_pickle || has_pickle_index)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                        "%s: want %s, got pytorch_model.bin (a pickle, which can run code; "
                        "convert it with transformers' save_pretrained)",
                        dir->path, single_name);
    return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want %s or %s, found neither", dir->path, single_name,
                    index_name);
}

static enum lrc_status open_weights(struct lrc_model_dir *dir, struct lrc_problems *problems,
                                    struct lrc_error *err)
{
    const int before = problems->count;
    int       is_single, is_sharded;
    LRC_TRY(look_for(&is_single, dir->path, single_name, err));
    LRC_TRY(look_for(&is_sharded, dir->path, index_name, err));
    if (is_single)
        LRC_TRY(open_single(dir, problems, err));
    else if (is_sharded)
        LRC_TRY(open_sharded(dir, problems, err));
    else
        return fail_no_weights(dir, err);
    return problems->count > before ? lrc_problems_fail(problems, LRC_STATUS_FORMAT, dir->path, err)
                                    : LRC_STATUS_OK;
}

/* "owner/name", as a hub names a model */
static int is_hub_name(const char *path)
{
    const char *slash = strchr(path, '/');
    return slash && slash != path && slash[1] && path[0] != '.' && !strchr(slash + 1, '/');
}

enum lrc_status lrc_model_dir_check(const char *path, struct lrc_error *err)
{
    if (!lrc_path_exists(path))
        return lrc_fail(err, LRC_STATUS_IO, "%s: want a model folder, there is nothing here%s", path,
                        is_hub_name(path) ? " (nothing is ever downloaded: fetch the model first)" : "");
    if (!lrc_path_is_dir(path))
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: want a model folder, got a file%s", path,
                        ends_with(path, ".gguf") ? " (GGUF is not yet in this version)" : "");
    return LRC_STATUS_OK;
}

static enum lrc_status open_all(struct lrc_model_dir *dir, const char *path, struct lrc_problems *problems,
                                struct lrc_error *err)
{
    int has_config, has_generation;
    dir->path = lrc_strdup(path);
    if (!dir->path)
        return lrc_fail_nomem(err, path);
    LRC_TRY(lrc_model_dir_check(path, err));
    LRC_TRY(look_for(&has_config, path, "config.json", err));
    LRC_TRY(look_for(&has_generation, path, "generation_config.json", err));
    if (!has_config)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a model folder with config.json, found none", path);
    LRC_TRY(load_json(&dir->config, path, "config.json", err));
    if (has_generation)
        LRC_TRY(load_json(&dir->generation, path, "generation_config.json", err));
    return open_weights(dir, problems, err);
}

enum lrc_status lrc_model_dir_open(struct lrc_model_dir *dir, const char *path, struct lrc_problems *problems,
                                   struct lrc_error *err)
{
    *dir = (struct lrc_model_dir){ 0 };
    const enum lrc_status status = open_all(dir, path, problems, err);
    if (status != LRC_STATUS_OK)
        lrc_model_dir_close(dir);
    return status;
}

void lrc_model_dir_close(struct lrc_model_dir *dir)
{
    for (int i = 0; i < dir->n_shards; i++) {
        if (dir->shards)
            lrc_safetensors_close(&dir->shards[i]);
        lrc_free(dir->shard_names[i]);
    }
    lrc_free((void *)dir->shard_names);
    lrc_free(dir->shards);
    lrc_free(dir->tensors);
    lrc_free(dir->path);
    json_decref(dir->config);
    json_decref(dir->generation);
    *dir = (struct lrc_model_dir){ 0 };
}

int64_t lrc_model_dir_index(const struct lrc_model_dir *dir, const char *name)
{
    const struct lrc_model_dir_tensor *found = NULL;
    if (dir->n_tensors > 0)
        found = bsearch(name, dir->tensors, (size_t)dir->n_tensors, sizeof *dir->tensors, compare_name);
    return found ? found - dir->tensors : -1;
}

const struct lrc_safetensors_entry *lrc_model_dir_find(const struct lrc_model_dir *dir, const char *name)
{
    const int64_t index = lrc_model_dir_index(dir, name);
    return index < 0 ? NULL : dir->tensors[index].entry;
}

static void hash_tensor(struct lrc_hash *hash, const struct lrc_safetensors_entry *entry,
                        enum lrc_hash_pages pages)
{
    const char *dtype = lrc_dtype_info[entry->dtype].name;
    lrc_hash_update(hash, entry->name, strlen(entry->name) + 1);
    lrc_hash_update(hash, dtype, strlen(dtype) + 1);
    for (int d = 0; d < entry->n_dims; d++) {
        unsigned char bytes[8];
        for (int i = 0; i < 8; i++)
            bytes[i] = (unsigned char)((uint64_t)entry->shape[d] >> (8 * i));
        lrc_hash_update(hash, bytes, sizeof bytes);
    }
    if (pages == LRC_HASH_DROPS_PAGES)
        lrc_hash_update_map(hash, entry->data, entry->size_bytes);
    else
        lrc_hash_update(hash, entry->data, entry->size_bytes);
}

enum lrc_status lrc_model_dir_hash(char hex[LRC_HASH_HEX_MAX], const struct lrc_model_dir *dir,
                                   enum lrc_hash_pages pages, struct lrc_error *err)
{
    struct lrc_hash hash;
    LRC_TRY(lrc_hash_init(&hash, err));
    for (int64_t i = 0; i < dir->n_tensors; i++)
        hash_tensor(&hash, dir->tensors[i].entry, pages);
    lrc_hash_finish(&hash, hex);
    return LRC_STATUS_OK;
}

static int is_rest(const char *name)
{
    static const char *const weights[] = { ".safetensors", ".safetensors.index.json",
                                           ".bin",         ".bin.index.json",
                                           ".gguf",        ".pt",
                                           ".pth",         ".h5",
                                           ".msgpack",     ".onnx" };
    if (name[0] == '.' || strcmp(name, "config.json") == 0 || ends_with(name, ".tmp"))
        return 0;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        if (ends_with(name, weights[i]))
            return 0;
    return 1;
}

static int is_tokenizer(const char *name)
{
    return lrc_tokenizer_is_file(name) || strcmp(name, "spiece.model") == 0 ||
           strcmp(name, "chat_template.json") == 0 || ends_with(name, ".jinja");
}

static enum lrc_status copy_file(const char *from, const char *to, const char *name, struct lrc_error *err)
{
    char           *source = lrc_path_join(from, name), *target = lrc_path_join(to, name);
    enum lrc_status status = LRC_STATUS_OK;
    if (!source || !target)
        status = lrc_fail_nomem(err, name);
    else if (!lrc_path_is_dir(source))
        status = lrc_file_copy(target, source, err);
    lrc_free(source);
    lrc_free(target);
    return status;
}

static enum lrc_status copy_where(const char *from, const char *to, int (*is_wanted)(const char *name),
                                  struct lrc_error *err)
{
    char          **names;
    int64_t         n_names;
    enum lrc_status status = LRC_STATUS_OK;
    LRC_TRY(lrc_dir_list(from, &names, &n_names, err));
    for (int64_t i = 0; status == LRC_STATUS_OK && i < n_names; i++)
        if (is_wanted(names[i]))
            status = copy_file(from, to, names[i], err);
    lrc_dir_list_free(names, n_names);
    return status;
}

static int is_template(const char *name)
{
    return ends_with(name, ".jinja");
}

/* The templates beside the default one, as transformers saves them. */
static enum lrc_status copy_templates(const char *from, const char *to, struct lrc_error *err)
{
    char           *source = lrc_path_join(from, LRC_TEMPLATES_DIR);
    char           *target = lrc_path_join(to, LRC_TEMPLATES_DIR);
    enum lrc_status status = source && target ? LRC_STATUS_OK : lrc_fail_nomem(err, LRC_TEMPLATES_DIR);
    if (status == LRC_STATUS_OK && lrc_path_is_dir(source)) {
        status = lrc_dir_make(target, err);
        if (status == LRC_STATUS_OK)
            status = copy_where(source, target, is_template, err);
    }
    lrc_free(source);
    lrc_free(target);
    return status;
}

enum lrc_status lrc_model_dir_copy_rest(const struct lrc_model_dir *dir, const char *to,
                                        struct lrc_error *err)
{
    LRC_TRY(copy_where(dir->path, to, is_rest, err));
    return copy_templates(dir->path, to, err);
}

enum lrc_status lrc_model_dir_copy_tokenizer(const char *from, const char *to, struct lrc_error *err)
{
    LRC_TRY(copy_where(from, to, is_tokenizer, err));
    return copy_templates(from, to, err);
}

static enum lrc_status write_if_there(const struct lrc_model_dir *dir, const char *to_dir, const char *name,
                                      lrc_model_dir_writer *write, void *context, struct lrc_error *err)
{
    char           *from = lrc_path_join(dir->path, name), *to = lrc_path_join(to_dir, name);
    enum lrc_status status = from && to ? LRC_STATUS_OK : lrc_fail_nomem(err, name);
    if (status == LRC_STATUS_OK && lrc_path_exists(from))
        status = write(context, from, to, err);
    lrc_free(to);
    lrc_free(from);
    return status;
}

enum lrc_status lrc_model_dir_write_rest(const struct lrc_model_dir *dir, const char *to,
                                         lrc_model_dir_writer *config, lrc_model_dir_writer *index,
                                         void *context, struct lrc_error *err)
{
    LRC_TRY(lrc_model_dir_copy_rest(dir, to, err));
    LRC_TRY(write_if_there(dir, to, "config.json", config, context, err));
    return write_if_there(dir, to, "model.safetensors.index.json", index, context, err);
}
