/* What a path holds. Facts are gathered once, as JSON, and shown as they are or as text. */
#include "base/alloc.h"
#include "checkpoint/state_file.h"
#include "cli/command.h"
#include "data/token_cache.h"
#include "formats/model_dir.h"
#include "formats/peft.h"
#include "model/model_config.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

static json_t *make_tensor(const struct lrc_safetensors_entry *entry, const char *file)
{
    json_t *tensor = json_object(), *shape = json_array();
    for (int d = 0; d < entry->n_dims; d++)
        (void)json_array_append_new(shape, json_integer(entry->shape[d]));
    (void)json_object_set_new(tensor, "name", json_string(entry->name));
    (void)json_object_set_new(tensor, "dtype", json_string(lrc_dtype_info[entry->dtype].name));
    (void)json_object_set_new(tensor, "shape", shape);
    (void)json_object_set_new(tensor, "bytes", json_integer((json_int_t)entry->size_bytes));
    if (file)
        (void)json_object_set_new(tensor, "file", json_string(file));
    return tensor;
}

/* Tensors and what they add up to, per dtype and in all. */
struct tally {
    json_t *tensors;
    int64_t n_elems, n_bytes, n_of[LRC_DTYPE_COUNT], bytes_of[LRC_DTYPE_COUNT];
};

static void add_tensor(struct tally *tally, const struct lrc_safetensors_entry *entry, const char *file)
{
    (void)json_array_append_new(tally->tensors, make_tensor(entry, file));
    tally->n_elems += entry->n_elems;
    tally->n_bytes += (int64_t)entry->size_bytes;
    tally->n_of[entry->dtype]++;
    tally->bytes_of[entry->dtype] += (int64_t)entry->size_bytes;
}

static void put_tally(json_t *report, const struct tally *tally)
{
    json_t *dtypes = json_object();
    for (int i = 0; i < LRC_DTYPE_COUNT; i++)
        if (tally->n_of[i] > 0) {
            json_t *dtype = json_object();
            (void)json_object_set_new(dtype, "tensors", json_integer(tally->n_of[i]));
            (void)json_object_set_new(dtype, "bytes", json_integer(tally->bytes_of[i]));
            (void)json_object_set_new(dtypes, lrc_dtype_info[i].name, dtype);
        }
    json_t *total = json_object();
    (void)json_object_set_new(total, "tensors", json_integer((json_int_t)json_array_size(tally->tensors)));
    (void)json_object_set_new(total, "elements", json_integer(tally->n_elems));
    (void)json_object_set_new(total, "bytes", json_integer(tally->n_bytes));
    (void)json_object_set_new(report, "total", total);
    (void)json_object_set_new(report, "dtypes", dtypes);
    (void)json_object_set_new(report, "tensors", tally->tensors);
}

static void put_file(json_t *report, const struct lrc_safetensors *file)
{
    struct tally tally = { .tensors = json_array() };
    json_t      *metadata = json_object_get(file->header, "__metadata__");
    (void)json_object_set_new(report, "metadata", metadata ? json_deep_copy(metadata) : json_object());
    for (int64_t i = 0; i < file->n_entries; i++)
        add_tensor(&tally, &file->entries[i], NULL);
    put_tally(report, &tally);
}

/* By its name, or by the JSON that follows the 8 bytes of the header's length. */
static int may_be_safetensors(const char *path, const struct lrc_map *map)
{
    static const char suffix[] = ".safetensors";
    const size_t      n = strlen(path), n_suffix = sizeof suffix - 1;
    return (n > n_suffix && strcmp(path + n - n_suffix, suffix) == 0) ||
           (map->size_bytes > 8 && map->data[8] == '{');
}

static enum lrc_status inspect_file(json_t *report, const char *path, struct lrc_error *err)
{
    struct lrc_safetensors file;
    struct lrc_map         map;
    LRC_TRY(lrc_map_open(&map, path, err));
    const int is_candidate = may_be_safetensors(path, &map),
              is_h5 = strcmp(lrc_path_base(path), "state.h5") == 0 ||
                      strcmp(lrc_path_base(path), "index.h5") == 0,
              is_gguf = map.size_bytes > 4 && memcmp(map.data, "GGUF", 4) == 0;
    lrc_map_close(&map);
    if (!is_candidate)
        return lrc_fail(
            err, LRC_STATUS_UNSUPPORTED,
            "%s: want a safetensors file, or the folder of a model, an adapter, a checkpoint or a token "
            "cache, got another file%s",
            path,
            is_h5     ? " (give the folder it lies in)"
            : is_gguf ? " (GGUF is not yet in this version)"
                      : "");
    LRC_TRY(lrc_safetensors_open(&file, path, err));
    (void)json_object_set_new(report, "kind", json_string("safetensors"));
    put_file(report, &file);
    lrc_safetensors_close(&file);
    return LRC_STATUS_OK;
}

static int has(const char *dir, const char *name)
{
    char     *path = lrc_path_join(dir, name);
    const int exists = path && lrc_path_exists(path);
    lrc_free(path);
    return exists;
}

/* A file of the folder as JSON under `key`; it is shown whatever it says. */
static enum lrc_status put_json(json_t *report, const char *key, const char *dir, const char *name,
                                struct lrc_error *err)
{
    json_t *json = NULL;
    char   *path = lrc_path_join(dir, name);
    if (!path)
        return lrc_fail_nomem(err, name);
    const enum lrc_status status = lrc_json_load(&json, path, err);
    lrc_free(path);
    if (status == LRC_STATUS_OK)
        (void)json_object_set_new(report, key, json);
    return status;
}

static enum lrc_status put_adapter(json_t *report, const char *dir, struct lrc_error *err)
{
    struct lrc_peft_config config;
    struct lrc_error       error;
    struct lrc_safetensors file;
    LRC_TRY(put_json(report, "config", dir, "adapter_config.json", err));
    if (lrc_peft_config_read(&config, dir, &error) == LRC_STATUS_OK)
        lrc_peft_config_release(&config);
    else
        (void)json_object_set_new(report, "unsupported", json_string(error.message));
    if (!has(dir, "adapter_model.safetensors"))
        return LRC_STATUS_OK;
    char *path = lrc_path_join(dir, "adapter_model.safetensors");
    if (!path)
        return lrc_fail_nomem(err, dir);
    const enum lrc_status status = lrc_safetensors_open(&file, path, err);
    lrc_free(path);
    LRC_TRY(status);
    put_file(report, &file);
    lrc_safetensors_close(&file);
    return LRC_STATUS_OK;
}

/* What a run goes on from. A damaged one does not hide what lies beside it. */
static void put_state(json_t *report, const char *dir)
{
    struct lrc_run_state saved;
    struct lrc_buf       config = { 0 };
    struct lrc_error     error;
    struct stat          info;
    char                *path = lrc_path_join(dir, "state.h5");
    if (path && stat(path, &info) == 0)
        (void)json_object_set_new(report, "state_bytes", json_integer(info.st_size));
    lrc_free(path);
    if (lrc_checkpoint_read_state(&saved, &config, dir, &error) == LRC_STATUS_OK) {
        json_t *state = json_object(), *settings = NULL;
#define PUT_INTEGER(name, least) (void)json_object_set_new(state, #name, json_integer(saved.name));
#define PUT_REAL(name)                                                                                       \
    (void)json_object_set_new(state, #name, isfinite(saved.name) ? json_real(saved.name) : json_null());
#define PUT_TEXT(name) (void)json_object_set_new(state, #name, json_string(saved.name));
        LRC_RUN_STATE_MAP(PUT_INTEGER, PUT_REAL, PUT_TEXT)
#undef PUT_INTEGER
#undef PUT_REAL
#undef PUT_TEXT
        (void)json_object_set_new(report, "state", state);
        if (lrc_json_parse(&settings, lrc_buf_text(&config), config.len, dir, &error) == LRC_STATUS_OK)
            (void)json_object_set_new(report, "settings", settings);
    } else {
        (void)json_object_set_new(report, "unsupported", json_string(error.message));
    }
    lrc_buf_release(&config);
}

static enum lrc_status put_cache(json_t *caches, const char *dir, struct lrc_error *err)
{
    struct lrc_dataset dataset;
    LRC_TRY(lrc_token_cache_read(&dataset, dir, err));
    char   *folder = lrc_path_absolute(dir);
    json_t *cache = json_object();
    (void)json_object_set_new(cache, "rows", json_integer(dataset.n_rows));
    (void)json_object_set_new(cache, "examples", json_integer(dataset.n_examples));
    (void)json_object_set_new(cache, "tokens", json_integer(dataset.n_tokens));
    (void)json_object_set_new(cache, "trained_tokens", json_integer(dataset.n_trained));
    (void)json_object_set_new(cache, "longest", json_integer(dataset.longest));
    (void)json_object_set_new(caches, folder ? lrc_path_base(folder) : dir, cache);
    lrc_free(folder);
    lrc_dataset_release(&dataset);
    return LRC_STATUS_OK;
}

/* The folder itself, or the folders in it: a dataset_prepared_path has one per choice of rows and settings.
 */
static enum lrc_status put_caches(json_t *caches, const char *dir, struct lrc_error *err)
{
    char          **names;
    int64_t         n_names;
    enum lrc_status status = LRC_STATUS_OK;
    if (has(dir, "index.h5"))
        return put_cache(caches, dir, err);
    LRC_TRY(lrc_dir_list(dir, &names, &n_names, err));
    for (int64_t i = 0; i < n_names && status == LRC_STATUS_OK; i++) {
        char *path = lrc_path_join(dir, names[i]);
        if (!path)
            status = lrc_fail_nomem(err, dir);
        else if (has(path, "index.h5"))
            status = put_cache(caches, path, err);
        lrc_free(path);
    }
    lrc_dir_list_free(names, n_names);
    return status;
}

/* The part of the configuration that says what the model is; a reason when Lorica cannot run it. */
static void put_summary(json_t *report, const struct lrc_model_dir *dir)
{
    struct lrc_model_config config;
    struct lrc_problems     problems = { 0 };
    struct lrc_error        error;
    if (lrc_model_config_read(&config, dir->config, dir->generation, &problems, &error) == LRC_STATUS_OK) {
        json_t *model = json_object();
        (void)json_object_set_new(model, "family", json_string(config.family->model_type));
        (void)json_object_set_new(model, "layers", json_integer(config.n_layers));
        (void)json_object_set_new(model, "hidden", json_integer(config.hidden_size));
        (void)json_object_set_new(model, "intermediate", json_integer(config.intermediate_size));
        (void)json_object_set_new(model, "heads", json_integer(config.n_heads));
        (void)json_object_set_new(model, "kv_heads", json_integer(config.n_kv_heads));
        (void)json_object_set_new(model, "head_dim", json_integer(config.head_dim));
        (void)json_object_set_new(model, "vocab", json_integer(config.vocab_size));
        (void)json_object_set_new(model, "positions", json_integer(config.max_positions));
        (void)json_object_set_new(model, "window", json_integer(config.window));
        (void)json_object_set_new(
            model, "tied", json_boolean(config.tied || !lrc_model_dir_find(dir, config.family->name_output)));
        (void)json_object_set_new(model, "dtype", json_string(lrc_dtype_info[config.dtype].name));
        (void)json_object_set_new(report, "model", model);
        lrc_model_config_release(&config);
    } else {
        struct lrc_buf reason = { 0 };
        lrc_buf_puts(&reason, problems.count > 0 ? lrc_buf_text(&problems.text) : error.message);
        while (reason.len > 0 && reason.data[reason.len - 1] == '\n')
            reason.data[--reason.len] = '\0';
        (void)json_object_set_new(report, "unsupported", json_string(lrc_buf_text(&reason)));
        lrc_buf_release(&reason);
    }
    json_t *quantization = json_object_get(dir->config, "quantization_config");
    if (quantization)
        (void)json_object_set_new(report, "quantization", json_deep_copy(quantization));
    lrc_problems_release(&problems);
}

static enum lrc_status put_model(json_t *report, const char *path, struct lrc_problems *problems,
                                 struct lrc_error *err)
{
    struct lrc_model_dir dir;
    struct tally         tally = { 0 };
    LRC_TRY(lrc_model_dir_open(&dir, path, problems, err));
    put_summary(report, &dir);
    json_t *files = json_array();
    for (int i = 0; i < dir.n_shards; i++)
        (void)json_array_append_new(files, json_string(dir.shard_names[i]));
    (void)json_object_set_new(report, "files", files);
    tally.tensors = json_array();
    for (int64_t i = 0; i < dir.n_tensors; i++)
        add_tensor(&tally, dir.tensors[i].entry, dir.shard_names[dir.tensors[i].shard]);
    put_tally(report, &tally);
    lrc_model_dir_close(&dir);
    return LRC_STATUS_OK;
}

static enum lrc_status inspect_dir(json_t *report, const char *path, struct lrc_problems *problems,
                                   struct lrc_error *err)
{
    const int is_adapter = has(path, "adapter_config.json"), is_checkpoint = has(path, "state.h5"),
              is_model = has(path, "config.json");
    if (!is_adapter && !is_model && !is_checkpoint) {
        json_t *caches = json_object();
        (void)json_object_set_new(report, "kind", json_string("token cache"));
        (void)json_object_set_new(report, "caches", caches);
        LRC_TRY(put_caches(caches, path, err));
        return json_object_size(caches) > 0
                   ? LRC_STATUS_OK
                   : lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                              "%s: want a folder with config.json, adapter_config.json, state.h5 or a token "
                              "cache, found none",
                              path);
    }
    (void)json_object_set_new(report, "kind",
                              json_string(is_checkpoint ? "checkpoint"
                                          : is_adapter  ? "adapter"
                                                        : "model"));
    if (is_checkpoint)
        put_state(report, path);
    if (is_adapter)
        return put_adapter(report, path, err);
    return is_model ? put_model(report, path, problems, err) : LRC_STATUS_OK;
}

/* What jansson's dump functions allocated. */
static void free_dump(char *dump)
{
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    release(dump);
}

static void append_bytes(struct lrc_buf *text, int64_t bytes)
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
    double                   value = (double)bytes;
    size_t                   unit = 0;
    for (; value >= 1024.0 && unit < 4; unit++)
        value /= 1024.0;
    lrc_buf_printf(text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

/* "key  value" per member; inner objects and arrays as JSON on one line. */
static void append_members(struct lrc_buf *text, const json_t *object)
{
    const char *key;
    json_t     *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char *dump = json_is_string(value)
                         ? NULL
                         : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
        if (!json_is_null(value))
            lrc_buf_printf(text, "  %-24s %s\n", key,
                           dump                       ? dump
                           : json_string_value(value) ? json_string_value(value)
                                                      : "");
        free_dump(dump);
    }
}

static void append_tensors(struct lrc_buf *text, const json_t *report)
{
    const char   *dtype;
    json_t       *value;
    size_t        i;
    const json_t *total = json_object_get(report, "total");
    if (!total)
        return;
    lrc_buf_printf(text, "tensors: %lld, ", (long long)json_integer_value(json_object_get(total, "tensors")));
    append_bytes(text, json_integer_value(json_object_get(total, "bytes")));
    json_object_foreach(json_object_get(report, "dtypes"), dtype, value) lrc_buf_printf(
        text, ", %s in %lld", dtype, (long long)json_integer_value(json_object_get(value, "tensors")));
    lrc_buf_putc(text, '\n');
    json_array_foreach(json_object_get(report, "tensors"), i, value)
    {
        const json_t *shape = json_object_get(value, "shape");
        lrc_buf_printf(text, "  %-8s ", json_string_value(json_object_get(value, "dtype")));
        struct lrc_buf dims = { 0 };
        for (size_t d = 0; d < json_array_size(shape); d++)
            lrc_buf_printf(&dims, "%s%lld", d > 0 ? " x " : "",
                           (long long)json_integer_value(json_array_get(shape, d)));
        lrc_buf_printf(text, "%-16s %s\n", lrc_buf_text(&dims),
                       json_string_value(json_object_get(value, "name")));
        lrc_buf_release(&dims);
    }
}

static void append_report(struct lrc_buf *text, const json_t *report)
{
    static const char *const sections[] = { "state",  "settings",     "caches",  "model",
                                            "config", "quantization", "metadata" };
    const char              *unsupported = json_string_value(json_object_get(report, "unsupported"));
    const json_t            *state = json_object_get(report, "state_bytes");
    lrc_buf_printf(text, "%s: %s\n", json_string_value(json_object_get(report, "path")),
                   json_string_value(json_object_get(report, "kind")));
    if (unsupported)
        lrc_buf_printf(text, "not for training here: %s\n", unsupported);
    if (state) {
        lrc_buf_puts(text, "state.h5: ");
        append_bytes(text, json_integer_value(state));
        lrc_buf_putc(text, '\n');
    }
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        const json_t *section = json_object_get(report, sections[i]);
        if (json_object_size(section) == 0)
            continue;
        lrc_buf_printf(text, "%s:\n", sections[i]);
        append_members(text, section);
    }
    append_tensors(text, report);
}

static enum lrc_status print_report(const struct lrc_cli *cli, const json_t *report, struct lrc_error *err)
{
    struct lrc_buf text = { 0 };
    if (lrc_cli_has(cli, "json")) {
        char *dump = json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(15));
        if (!dump)
            return lrc_fail_nomem(err, "inspect");
        lrc_buf_printf(&text, "%s\n", dump);
        free_dump(dump);
    } else {
        append_report(&text, report);
        for (size_t i = 0; i < text.len; i++) /* foreign names must not steer a terminal */
            if ((unsigned char)text.data[i] < 0x20 && text.data[i] != '\n')
                text.data[i] = '?';
    }
    const enum lrc_status status = lrc_buf_check(&text, err);
    if (status == LRC_STATUS_OK)
        lrc_cli_write(text.data, text.len);
    lrc_buf_release(&text);
    return status;
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    const char     *path = cli->arguments[0];
    json_t         *report = json_object();
    enum lrc_status status;
    (void)json_object_set_new(report, "path", json_string_nocheck(path));
    if (lrc_path_is_dir(path))
        status = inspect_dir(report, path, problems, err);
    else
        status = inspect_file(report, path, err);
    if (status == LRC_STATUS_OK)
        status = print_report(cli, report, err);
    json_decref(report);
    return status;
}

const struct lrc_command lrc_command_inspect = {
    .name = "inspect",
    .arguments = "PATH",
    .summary = "what a model folder, safetensors file, adapter, checkpoint or token cache holds",
    .arguments_min = 1,
    .arguments_max = 1,
    .common = LRC_COMMON_NONE,
    .run = run,
};
