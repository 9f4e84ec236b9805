#include "checkpoint/state_file.h"

#include "base/file.h"
#include <hdf5.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT_VERSION = 1 };

/* The scalars of a run as root attributes, once: int64, double and string fields. */
#define INT_FIELDS(XX)                                                                                                     \
    XX(step) XX(n_tokens) XX(n_trained) XX(loss_steps) XX(metrics_bytes) XX(best_step) XX(evals_without_gain) XX(n_steps)
#define DOUBLE_FIELDS(XX) XX(time_s) XX(loss_sum) XX(best_eval_loss)
#define STRING_FIELDS(XX) XX(base_hash) XX(data_hash) XX(device) XX(version)

/* Handles are closed with the file: its access list says H5F_CLOSE_STRONG. Only lists and types are closed by hand. */
struct writer {
    hid_t file;
    int   failed;
};

static hid_t tried(struct writer *writer, hid_t id)
{
    writer->failed |= id < 0;
    return id;
}

static void put_attribute(struct writer *writer, const char *name, hid_t type, const void *value)
{
    const hid_t space = tried(writer, H5Screate(H5S_SCALAR));
    const hid_t attribute = tried(writer, H5Acreate2(writer->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT));
    writer->failed |= attribute < 0 || H5Awrite(attribute, type, value) < 0;
    H5Sclose(space);
}

static void put_string(struct writer *writer, const char *name, const char *value)
{
    const hid_t type = tried(writer, H5Tcopy(H5T_C_S1));
    writer->failed |= H5Tset_size(type, strlen(value) + 1) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0;
    put_attribute(writer, name, type, value);
    H5Tclose(type);
}

/* No times in objects: equal states are equal bytes. */
static hid_t plain_list(struct writer *writer, hid_t class)
{
    const hid_t list = tried(writer, H5Pcreate(class));
    writer->failed |= H5Pset_obj_track_times(list, 0) < 0;
    return list;
}

static void put_tensor(struct writer *writer, hid_t group, const char *name, const struct lrc_tensor *tensor)
{
    hsize_t dims[LRC_DIMS_MAX];
    for (int d = 0; d < tensor->n_dims; d++)
        dims[d] = (hsize_t)tensor->shape[d];
    const hid_t space = tried(writer, H5Screate_simple(tensor->n_dims, dims, NULL));
    const hid_t list = plain_list(writer, H5P_DATASET_CREATE);
    const hid_t set = tried(writer, H5Dcreate2(group, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT));
    writer->failed |= set < 0 || H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor->data) < 0;
    H5Pclose(list);
    H5Sclose(space);
}

static void put_text(struct writer *writer, const char *name, const char *text)
{
    const hsize_t n = strlen(text) + 1;
    const hid_t   space = tried(writer, H5Screate_simple(1, &n, NULL)), list = plain_list(writer, H5P_DATASET_CREATE);
    const hid_t   set = tried(writer, H5Dcreate2(writer->file, name, H5T_STD_U8LE, space, H5P_DEFAULT, list, H5P_DEFAULT));
    writer->failed |= set < 0 || H5Dwrite(set, H5T_NATIVE_UCHAR, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0;
    H5Pclose(list);
    H5Sclose(space);
}

static void put_trainables(struct writer *writer, const struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer)
{
    const hid_t list = plain_list(writer, H5P_GROUP_CREATE);
    const hid_t all = tried(writer, H5Gcreate2(writer->file, "trainables", H5P_DEFAULT, list, H5P_DEFAULT));
    for (int64_t i = 0; i < trainables->n && !writer->failed; i++) {
        const struct lrc_trainable *row = &trainables->rows[i];
        const hid_t                 group = tried(writer, H5Gcreate2(all, row->name, H5P_DEFAULT, list, H5P_DEFAULT));
        put_tensor(writer, group, "value", &row->value);
        for (int s = 0; s < optimizer->n_states; s++)
            put_tensor(writer, group, optimizer->state_names[s], &row->state[s]);
    }
    H5Pclose(list);
}

static hid_t open_new(const char *path)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    /* the oldest layout: readable everywhere, and without the flag that makes a killed writer's file unreadable */
    const int ready = access >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18) >= 0 &&
                      H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0;
    const hid_t file = ready ? H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access) : -1;
    if (access >= 0)
        H5Pclose(access);
    return file;
}

static enum lrc_status write_hash(const char *dir, const char *path, struct lrc_error *err)
{
    char            hex[LRC_HASH_HEX_MAX], line[LRC_HASH_HEX_MAX + 16];
    char           *hash_path = lrc_path_join(dir, "state.sha256");
    enum lrc_status status = hash_path ? lrc_hash_file(hex, path, err) : lrc_fail_nomem(err, dir);
    if (status == LRC_STATUS_OK) {
        const int n = snprintf(line, sizeof line, "%s  state.h5\n", hex);
        status = lrc_file_write(hash_path, line, (size_t)n, err);
    }
    lrc_free(hash_path);
    return status;
}

enum lrc_status lrc_state_write(const char *dir, const struct lrc_run_state *state, const char *config_json,
                                const struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer, struct lrc_error *err)
{
    char *path = lrc_path_join(dir, "state.h5");
    if (!path)
        return lrc_fail_nomem(err, dir);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    struct writer writer = { .file = open_new(path) };
    writer.failed = writer.file < 0;
    const int32_t version = FORMAT_VERSION;
    put_attribute(&writer, "format_version", H5T_STD_I32LE, &version);
#define XX(field) put_attribute(&writer, #field, H5T_STD_I64LE, &state->field);
    INT_FIELDS(XX)
#undef XX
#define XX(field) put_attribute(&writer, #field, H5T_IEEE_F64LE, &state->field);
    DOUBLE_FIELDS(XX)
#undef XX
#define XX(field) put_string(&writer, #field, state->field);
    STRING_FIELDS(XX)
#undef XX
    put_text(&writer, "config", config_json);
    put_trainables(&writer, trainables, optimizer);
    const int closed = writer.file >= 0 && H5Fflush(writer.file, H5F_SCOPE_GLOBAL) >= 0;
    writer.failed |= writer.file >= 0 && H5Fclose(writer.file) < 0;
    enum lrc_status status = LRC_STATUS_OK;
    if (writer.failed || !closed)
        status = lrc_fail_errno(err, "%s: cannot write", path);
    if (status == LRC_STATUS_OK)
        status = write_hash(dir, path, err);
    lrc_free(path);
    return status;
}

/* ---- reading ---- */

static enum lrc_status check_hash(const char *dir, const char *path, struct lrc_error *err)
{
    struct lrc_buf  recorded = { 0 };
    char            hex[LRC_HASH_HEX_MAX];
    char           *hash_path = lrc_path_join(dir, "state.sha256");
    enum lrc_status status = LRC_STATUS_OK;
    if (!hash_path)
        return lrc_fail_nomem(err, dir);
    if (lrc_file_read(&recorded, hash_path, NULL) != LRC_STATUS_OK || lrc_hash_file(hex, path, NULL) != LRC_STATUS_OK)
        status = lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a complete checkpoint, got one without state.h5 or state.sha256", dir);
    else if (recorded.len < 64 || strncmp(recorded.data, hex, 64) != 0)
        status = lrc_fail(err, LRC_STATUS_FORMAT, "%s: want the SHA-256 that state.sha256 records, got %.12s...: the file is damaged", path, hex);
    lrc_buf_release(&recorded);
    lrc_free(hash_path);
    return status;
}

/* Opens after checking the hash; *file is closed by H5Fclose with all its handles. */
static enum lrc_status open_checked(hid_t *file, const char *dir, struct lrc_error *err)
{
    char *path = lrc_path_join(dir, "state.h5");
    *file = -1;
    if (!path)
        return lrc_fail_nomem(err, dir);
    enum lrc_status status = check_hash(dir, path, err);
    if (status == LRC_STATUS_OK) {
        H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
        const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
        if (access >= 0 && H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0)
            *file = H5Fopen(path, H5F_ACC_RDONLY, access);
        if (access >= 0)
            H5Pclose(access);
        if (*file < 0)
            status = lrc_fail(err, LRC_STATUS_FORMAT, "%s: want an HDF5 file, got something else", path);
    }
    lrc_free(path);
    return status;
}

/* A scalar attribute of exactly the type's class and size. */
static int get_attribute(hid_t file, const char *name, hid_t type, void *value)
{
    const hid_t attribute = H5Aopen(file, name, H5P_DEFAULT);
    if (attribute < 0)
        return 0;
    const hid_t stored = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const int   fits = stored >= 0 && space >= 0 && H5Tget_class(stored) == H5Tget_class(type) && H5Tget_size(stored) == H5Tget_size(type) &&
                     H5Sget_simple_extent_npoints(space) == 1;
    return fits && H5Aread(attribute, type, value) >= 0;
}

static int get_string(hid_t file, const char *name, char *value, size_t max)
{
    const hid_t  attribute = H5Aopen(file, name, H5P_DEFAULT);
    const hid_t  type = attribute >= 0 ? H5Aget_type(attribute) : -1;
    const size_t n = type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 ? H5Tget_size(type) : 0;
    if (n == 0 || n > max || H5Aread(attribute, type, value) < 0)
        return 0;
    value[n - 1] = '\0';
    return 1;
}

static int get_text(hid_t file, const char *name, struct lrc_buf *text)
{
    const hid_t    set = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t    space = set >= 0 ? H5Dget_space(set) : -1;
    const hssize_t n = space >= 0 ? H5Sget_simple_extent_npoints(space) : 0;
    if (n < 1 || n > 1 << 24)
        return 0;
    char *bytes = lrc_calloc((int64_t)n, 1);
    const int is_read = bytes && H5Dread(set, H5T_NATIVE_UCHAR, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0;
    if (is_read)
        lrc_buf_append(text, bytes, (size_t)n - 1);
    lrc_free(bytes);
    return is_read && !text->failed;
}

enum lrc_status lrc_state_read(struct lrc_run_state *state, struct lrc_buf *config_json, const char *dir, struct lrc_error *err)
{
    hid_t   file;
    int32_t version = 0;
    *state = (struct lrc_run_state){ 0 };
    LRC_TRY(open_checked(&file, dir, err));
    int ok = get_attribute(file, "format_version", H5T_STD_I32LE, &version) && version == FORMAT_VERSION;
#define XX(field) ok = ok && get_attribute(file, #field, H5T_STD_I64LE, &state->field);
    INT_FIELDS(XX)
#undef XX
#define XX(field) ok = ok && get_attribute(file, #field, H5T_IEEE_F64LE, &state->field);
    DOUBLE_FIELDS(XX)
#undef XX
#define XX(field) ok = ok && get_string(file, #field, state->field, sizeof state->field);
    STRING_FIELDS(XX)
#undef XX
    if (ok && config_json)
        ok = get_text(file, "config", config_json);
    H5Fclose(file);
    if (!ok)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s/state.h5: want a state of format %d, got format %d or missing parts", dir, FORMAT_VERSION,
                        (int)version);
    return LRC_STATUS_OK;
}

static int dims_fit(hid_t set, const struct lrc_tensor *tensor)
{
    hsize_t     dims[LRC_DIMS_MAX] = { 0 };
    const hid_t space = H5Dget_space(set), type = H5Dget_type(set);
    if (space < 0 || type < 0 || H5Tget_class(type) != H5T_FLOAT || H5Tget_size(type) != 4 ||
        H5Sget_simple_extent_ndims(space) != tensor->n_dims || H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        return 0;
    for (int d = 0; d < tensor->n_dims; d++)
        if (dims[d] != (hsize_t)tensor->shape[d])
            return 0;
    return 1;
}

static void read_tensor(hid_t group, const char *row, const char *name, struct lrc_tensor *tensor, struct lrc_problems *problems)
{
    const hid_t set = H5Dopen2(group, name, H5P_DEFAULT);
    if (set < 0)
        lrc_problems_add(problems, "state.h5: want /trainables/%s/%s, got none", row, name);
    else if (!dims_fit(set, tensor))
        lrc_problems_add(problems, "state.h5: /trainables/%s/%s: want float32 of the model's shape, got another", row, name);
    else if (H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor->data) < 0)
        lrc_problems_add(problems, "state.h5: /trainables/%s/%s: cannot be read", row, name);
}

enum lrc_status lrc_state_read_tensors(struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer, const char *dir,
                                       struct lrc_problems *problems, struct lrc_error *err)
{
    hid_t     file;
    const int n_before = problems->count;
    LRC_TRY(open_checked(&file, dir, err));
    const hid_t all = H5Gopen2(file, "trainables", H5P_DEFAULT);
    hsize_t     n_stored = 0;
    if (all < 0 || H5Gget_num_objs(all, &n_stored) < 0 || n_stored != (hsize_t)trainables->n)
        lrc_problems_add(problems, "state.h5: want %lld trainables, got %llu", (long long)trainables->n, (unsigned long long)n_stored);
    for (int64_t i = 0; all >= 0 && i < trainables->n; i++) {
        struct lrc_trainable *row = &trainables->rows[i];
        const hid_t           group = H5Gopen2(all, row->name, H5P_DEFAULT);
        read_tensor(group, row->name, "value", &row->value, problems);
        for (int s = 0; s < optimizer->n_states; s++)
            read_tensor(group, row->name, optimizer->state_names[s], &row->state[s], problems);
    }
    H5Fclose(file);
    return problems->count > n_before ? lrc_problems_fail(problems, LRC_STATUS_FORMAT, dir, err) : LRC_STATUS_OK;
}
