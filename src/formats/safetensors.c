#include "formats/safetensors.h"

#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>

static const int64_t header_max_bytes = 100000000; /* as the reference reader */

static int compare_by_data(const void *left, const void *right)
{
    const struct lrc_safetensors_entry *a = left, *b = right;
    if (a->data != b->data)
        return a->data < b->data ? -1 : 1;
    if (a->size_bytes != b->size_bytes)
        return a->size_bytes < b->size_bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int compare_by_name(const void *left, const void *right)
{
    const struct lrc_safetensors_entry *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

static int compare_name(const void *name, const void *entry)
{
    const struct lrc_safetensors_entry *const *e = entry;
    return strcmp(name, (*e)->name);
}

static int multiply(int64_t *product, int64_t factor)
{
    if (factor != 0 && *product > INT64_MAX / factor)
        return 0;
    *product *= factor;
    return 1;
}

static enum lrc_status read_shape(struct lrc_safetensors_entry *entry, const json_t *shape, const char *file,
                                  struct lrc_error *err)
{
    if (!json_is_array(shape))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: tensor '%s': 'shape': want an array, got %s", file,
                        entry->name, lrc_json_type_name(shape));
    if (json_array_size(shape) > LRC_SAFETENSORS_DIMS_MAX)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: tensor '%s': want at most %d dimensions, got %zu",
                        file, entry->name, LRC_SAFETENSORS_DIMS_MAX, json_array_size(shape));
    entry->n_dims = (int)json_array_size(shape);
    entry->n_elems = 1;
    for (int d = 0; d < entry->n_dims; d++) {
        const json_t *dim = json_array_get(shape, (size_t)d);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return lrc_fail(err, LRC_STATUS_FORMAT, "%s: tensor '%s': shape[%d]: want a non-negative integer",
                            file, entry->name, d);
        entry->shape[d] = json_integer_value(dim);
        if (!multiply(&entry->n_elems, entry->shape[d]))
            return lrc_fail(err, LRC_STATUS_FORMAT,
                            "%s: tensor '%s': the product of its shape overflows 64 bits", file, entry->name);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status read_dtype(struct lrc_safetensors_entry *entry, const json_t *dtype, const char *file,
                                  struct lrc_error *err)
{
    if (!json_is_string(dtype))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: tensor '%s': 'dtype': want a string, got %s", file,
                        entry->name, lrc_json_type_name(dtype));
    if (!lrc_dtype_find(&entry->dtype, json_string_value(dtype), json_string_length(dtype)))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: tensor '%s': unknown dtype '%s'", file, entry->name,
                        json_string_value(dtype));
    return LRC_STATUS_OK;
}

/* data: start of the data part, data_bytes its length. */
static enum lrc_status read_offsets(struct lrc_safetensors_entry *entry, const json_t *offsets,
                                    const unsigned char *data, size_t data_bytes, const char *file,
                                    struct lrc_error *err)
{
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    int64_t       bits = entry->n_elems;
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: tensor '%s': 'data_offsets': want two integers", file,
                        entry->name);

    const int64_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > data_bytes)
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: tensor '%s': want offsets within %zu bytes of data, got [%lld, %lld]", file,
                        entry->name, data_bytes, (long long)begin, (long long)end);
    if (!multiply(&bits, lrc_dtype_info[entry->dtype].bits) || bits % 8 != 0 || end - begin != bits / 8)
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: tensor '%s': want %lld elements of %d bits, got %lld bytes", file, entry->name,
                        (long long)entry->n_elems, lrc_dtype_info[entry->dtype].bits,
                        (long long)(end - begin));
    entry->data = data + begin;
    entry->size_bytes = (size_t)(end - begin);
    return LRC_STATUS_OK;
}

static enum lrc_status check_metadata(const json_t *metadata, const char *file, struct lrc_error *err)
{
    const char *key;
    json_t     *value;
    if (!json_is_object(metadata))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: '__metadata__': want an object, got %s", file,
                        lrc_json_type_name(metadata));
    json_object_foreach ((json_t *)(uintptr_t)metadata, key, value)
        if (!json_is_string(value))
            return lrc_fail(err, LRC_STATUS_FORMAT, "%s: '__metadata__': '%s': want a string, got %s", file,
                            key, lrc_json_type_name(value));
    return LRC_STATUS_OK;
}

static enum lrc_status read_entries(struct lrc_safetensors *file, const unsigned char *data,
                                    size_t data_bytes, const char *name, struct lrc_error *err)
{
    const char *key;
    json_t     *value;
    json_object_foreach (file->header, key, value) {
        if (strcmp(key, "__metadata__") == 0) {
            LRC_TRY(check_metadata(value, name, err));
            continue;
        }
        struct lrc_safetensors_entry *entry = &file->entries[file->n_entries];
        entry->name = key;
        if (!json_is_object(value))
            return lrc_fail(err, LRC_STATUS_FORMAT, "%s: tensor '%s': want an object, got %s", name, key,
                            lrc_json_type_name(value));
        LRC_TRY(read_dtype(entry, json_object_get(value, "dtype"), name, err));
        LRC_TRY(read_shape(entry, json_object_get(value, "shape"), name, err));
        LRC_TRY(read_offsets(entry, json_object_get(value, "data_offsets"), data, data_bytes, name, err));
        file->n_entries++;
    }
    return LRC_STATUS_OK;
}

/* Sorted by place, tensors must follow each other from the first to the last byte of the data. */
static enum lrc_status check_layout(struct lrc_safetensors *file, const unsigned char *data,
                                    size_t data_bytes, const char *name, struct lrc_error *err)
{
    size_t at = 0;
    qsort(file->entries, (size_t)file->n_entries, sizeof *file->entries, compare_by_data);
    for (int64_t i = 0; i < file->n_entries; i++) {
        const struct lrc_safetensors_entry *entry = &file->entries[i];
        const size_t                        begin = (size_t)(entry->data - data);
        if (begin != at)
            return lrc_fail(err, LRC_STATUS_FORMAT,
                            "%s: tensor '%s': want its data at offset %zu, got %zu (%s)", name, entry->name,
                            at, begin, begin > at ? "a gap" : "an overlap");
        at += entry->size_bytes;
        file->by_name[i] = entry;
    }
    if (at != data_bytes)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want %zu bytes of data after the header, got %zu", name,
                        at, data_bytes);
    qsort(file->by_name, (size_t)file->n_entries, sizeof *file->by_name, compare_by_name);
    return LRC_STATUS_OK;
}

static enum lrc_status read_header(struct lrc_safetensors *file, const unsigned char *bytes, size_t n,
                                   const char *name, struct lrc_error *err)
{
    uint64_t header_bytes = 0;
    if (n < 8)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want at least 8 bytes, got %zu", name, n);
    for (int i = 7; i >= 0; i--)
        header_bytes = header_bytes << 8 | bytes[i];
    if (header_bytes > (uint64_t)header_max_bytes)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a header of at most %lld bytes, got %llu", name,
                        (long long)header_max_bytes, (unsigned long long)header_bytes);
    if (header_bytes > n - 8)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a header of %llu bytes, got a file of %zu", name,
                        (unsigned long long)header_bytes, n);
    if (header_bytes == 0 || bytes[8] != '{')
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a header that begins with '{'", name);
    LRC_TRY(lrc_json_parse(&file->header, (const char *)bytes + 8, (size_t)header_bytes, name, err));

    const int64_t n_keys = (int64_t)json_object_size(file->header);
    file->entries = lrc_calloc(n_keys, sizeof *file->entries);
    file->by_name = lrc_calloc(n_keys, sizeof *file->by_name);
    if (!file->entries || !file->by_name)
        return lrc_fail_nomem(err, name);
    LRC_TRY(read_entries(file, bytes + 8 + header_bytes, n - 8 - (size_t)header_bytes, name, err));
    return check_layout(file, bytes + 8 + header_bytes, n - 8 - (size_t)header_bytes, name, err);
}

enum lrc_status lrc_safetensors_read(struct lrc_safetensors *file, const void *bytes, size_t n,
                                     const char *name, struct lrc_error *err)
{
    *file = (struct lrc_safetensors){ 0 };
    const enum lrc_status status = read_header(file, bytes, n, name, err);
    if (status != LRC_STATUS_OK)
        lrc_safetensors_close(file);
    return status;
}

enum lrc_status lrc_safetensors_open(struct lrc_safetensors *file, const char *path, struct lrc_error *err)
{
    struct lrc_map map;
    *file = (struct lrc_safetensors){ 0 };
    LRC_TRY(lrc_map_open(&map, path, err));
    const enum lrc_status status = lrc_safetensors_read(file, map.data, map.size_bytes, path, err);
    if (status != LRC_STATUS_OK)
        lrc_map_close(&map);
    file->map = map;
    return status;
}

void lrc_safetensors_close(struct lrc_safetensors *file)
{
    json_decref(file->header);
    lrc_free(file->entries);
    lrc_free((void *)file->by_name);
    lrc_map_close(&file->map);
    *file = (struct lrc_safetensors){ 0 };
}

const struct lrc_safetensors_entry *lrc_safetensors_find(const struct lrc_safetensors *file, const char *name)
{
    const struct lrc_safetensors_entry **found = NULL;
    if (file->n_entries > 0)
        found = bsearch(name, (const void *)file->by_name, (size_t)file->n_entries, sizeof *file->by_name,
                        compare_name);
    return found ? *found : NULL;
}

const char *lrc_safetensors_metadata(const struct lrc_safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

const char **lrc_safetensors_metadata_all(const struct lrc_safetensors *file)
{
    json_t      *metadata = json_object_get(file->header, "__metadata__");
    const char **list = lrc_calloc(2 * (int64_t)json_object_size(metadata) + 1, sizeof *list), *key;
    json_t      *value;
    int64_t      n = 0;
    if (!list)
        return NULL;
    json_object_foreach (metadata, key, value) {
        list[n++] = key;
        list[n++] = json_string_value(value);
    }
    return list;
}
