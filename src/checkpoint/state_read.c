/* Reading trusts nothing: the seal tells damage, not malice. Links that lead out of the file, raw data in
 * other files and filters that would load plug-ins are refused by asking for exactly what the writer makes.
 */
#include "base/alloc.h"
#include "base/file.h"
#include "checkpoint/state_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct reader {
    hid_t file;
    struct lrc_h5_job job;
    const struct lrc_trainables *trainables; /* NULL when only the scalars are read */
    const struct lrc_optimizer *optimizer;
    struct lrc_problems *problems;
};

static enum lrc_status fail(const struct reader *reader, const char *name, const char *want)
{
    return lrc_fail(reader->job.err, LRC_STATUS_FORMAT, "%s: '%s': want %s", reader->job.path, name, want);
}

static int is_scalar(hid_t space)
{
    return space >= 0 && H5Sget_simple_extent_type(space) == H5S_SCALAR;
}

/* Length of a fixed string type without variable parts; 0 when it is something else. */
static size_t text_size(hid_t type)
{
    return type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 ? H5Tget_size(type)
                                                                                          : 0;
}

/* A scalar number of exactly file_type into *value. */
static enum lrc_status get_number(const struct reader *reader, void *value, const char *name, hid_t file_type,
                                  hid_t memory_type)
{
    const hid_t attribute = H5Aexists(reader->file, name) > 0 ? H5Aopen(reader->file, name, H5P_DEFAULT) : -1;
    if (attribute < 0)
        return fail(reader, name, "this attribute, got none");
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const int right = type >= 0 && H5Tequal(type, file_type) > 0 && is_scalar(space);
    const int read = right && H5Aread(attribute, memory_type, value) >= 0;
    if (space >= 0)
        (void)H5Sclose(space);
    if (type >= 0)
        (void)H5Tclose(type);
    (void)H5Aclose(attribute);
    if (!right)
        return fail(reader, name, "a scalar attribute of 64 bits, got another type or shape");
    return read ? LRC_STATUS_OK : lrc_h5_fail(&reader->job, LRC_STATUS_FORMAT, name);
}

static enum lrc_status get_integer(const struct reader *reader, int64_t *value, const char *name,
                                   int64_t least)
{
    LRC_TRY(get_number(reader, value, name, H5T_STD_I64LE, H5T_NATIVE_INT64));
    if (*value < least)
        return lrc_fail(reader->job.err, LRC_STATUS_FORMAT,
                        "%s: '%s': want at least %" PRId64 ", got %" PRId64, reader->job.path, name, least,
                        *value);
    return LRC_STATUS_OK;
}

static enum lrc_status get_real(const struct reader *reader, double *value, const char *name)
{
    return get_number(reader, value, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE);
}

/* At most max - 1 bytes and a NUL. */
static enum lrc_status get_text(const struct reader *reader, char *text, size_t max, const char *name)
{
    const hid_t attribute = H5Aexists(reader->file, name) > 0 ? H5Aopen(reader->file, name, H5P_DEFAULT) : -1;
    if (attribute < 0)
        return fail(reader, name, "this attribute, got none");
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const size_t size = text_size(type);
    const int right = size > 0 && size <= max && is_scalar(space);
    memset(text, 0, max);
    const int read = right && H5Aread(attribute, type, text) >= 0;
    if (space >= 0)
        (void)H5Sclose(space);
    if (type >= 0)
        (void)H5Tclose(type);
    (void)H5Aclose(attribute);
    if (!right || text[max - 1] != '\0')
        return fail(reader, name, "a string attribute of fixed length, got another type, shape or length");
    return read ? LRC_STATUS_OK : lrc_h5_fail(&reader->job, LRC_STATUS_FORMAT, name);
}

static hid_t open_group(hid_t parent, const char *name)
{
    return lrc_h5_is_inside(parent, name) ? H5Gopen2(parent, name, H5P_DEFAULT) : -1;
}

static enum lrc_status read_config(const struct reader *reader, struct lrc_buf *config_json, hid_t dataset)
{
    const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    const size_t size = text_size(type);
    const int right = size > 0 && size <= LRC_STATE_CONFIG_MAX && is_scalar(space);
    char *text = right ? lrc_calloc((int64_t)size + 1, 1) : NULL;
    const int read = text && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) >= 0;
    enum lrc_status status = LRC_STATUS_OK;
    if (!right)
        status = fail(reader, "config", "one string of fixed length, got another type, shape or length");
    else if (!text)
        status = lrc_fail_nomem(reader->job.err, reader->job.path);
    else if (!read)
        status = lrc_h5_fail(&reader->job, LRC_STATUS_FORMAT, "config");
    else {
        lrc_buf_puts(config_json, text);
        status = lrc_buf_check(config_json, reader->job.err);
    }
    lrc_free(text);
    if (space >= 0)
        (void)H5Sclose(space);
    if (type >= 0)
        (void)H5Tclose(type);
    return status;
}

static enum lrc_status get_config(const struct reader *reader, struct lrc_buf *config_json)
{
    const hid_t dataset = lrc_h5_open_dataset(reader->file, "config", H5D_CONTIGUOUS, NULL, 0);
    if (dataset < 0)
        return fail(reader, "config", "a contiguous dataset, got none");
    const enum lrc_status status = read_config(reader, config_json, dataset);
    (void)H5Dclose(dataset);
    return status;
}

static enum lrc_status get_scalars(const struct reader *reader, struct lrc_run_state *state)
{
    char format[32];
    int64_t version, complete;
    LRC_TRY(get_text(reader, format, sizeof format, "format"));
    if (strcmp(format, "lorica-state") != 0)
        return fail(reader, "format", "'lorica-state', got something else");
    LRC_TRY(get_integer(reader, &version, "format_version", 1));
    if (version != LRC_STATE_VERSION)
        return lrc_fail(reader->job.err, LRC_STATUS_FORMAT,
                        "%s: 'format_version': want %d, got %" PRId64 ": made by another version of Lorica",
                        reader->job.path, LRC_STATE_VERSION, version);
    LRC_TRY(get_integer(reader, &complete, "complete", 1));
#define INTEGER(field, least) LRC_TRY(get_integer(reader, &state->field, #field, least));
#define REAL(field)           LRC_TRY(get_real(reader, &state->field, #field));
#define TEXT(field)           LRC_TRY(get_text(reader, state->field, sizeof state->field, #field));
    LRC_RUN_STATE_MAP(INTEGER, REAL, TEXT)
#undef INTEGER
#undef REAL
#undef TEXT
    if (!isfinite(state->time_s) || state->time_s < 0 || !isfinite(state->loss_sum))
        return fail(reader, "time_s, loss_sum", "finite numbers, got others");
    return LRC_STATUS_OK;
}

static enum lrc_status open_reader(struct reader *reader, const char *path, struct lrc_error *err)
{
    reader->file = -1;
    lrc_h5_job_begin(&reader->job, path, err);
    LRC_TRY(lrc_h5_seal_check(path, LRC_STATE_KIND, LRC_H5_CHECK_ALL, err));
    const hid_t access = lrc_h5_access();
    if (access >= 0)
        reader->file = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (access >= 0)
        (void)H5Pclose(access);
    return reader->file < 0 ? lrc_h5_fail(&reader->job, LRC_STATUS_FORMAT, "want an HDF5 file")
                            : LRC_STATUS_OK;
}

static void close_reader(struct reader *reader)
{
    if (reader->file >= 0)
        (void)H5Fclose(reader->file);
    lrc_h5_job_end(&reader->job);
}

enum lrc_status lrc_state_file_read(struct lrc_run_state *state, struct lrc_buf *config_json,
                                    const char *path, struct lrc_error *err)
{
    struct reader reader = {.file = -1};
    *state = (struct lrc_run_state){0};
    enum lrc_status status = open_reader(&reader, path, err);
    if (status == LRC_STATUS_OK)
        status = get_scalars(&reader, state);
    if (status == LRC_STATUS_OK)
        status = get_config(&reader, config_json);
    close_reader(&reader);
    return status;
}

/* What is wrong with a tensor's dataset; NULL when nothing is. */
static const char *check_dataset(hid_t dataset, const struct lrc_tensor *tensor)
{
    hsize_t shape[LRC_DIMS_MAX] = {0};
    const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    const int type_right = type >= 0 && H5Tequal(type, H5T_IEEE_F32LE) > 0;
    int shape_right = space >= 0 && H5Sget_simple_extent_ndims(space) == tensor->n_dims &&
                      H5Sget_simple_extent_dims(space, shape, NULL) == tensor->n_dims;
    for (int d = 0; shape_right && d < tensor->n_dims; d++)
        shape_right = shape[d] == (hsize_t)tensor->shape[d];
    if (space >= 0)
        (void)H5Sclose(space);
    if (type >= 0)
        (void)H5Tclose(type);
    if (!type_right)
        return "float32, got another type";
    return shape_right ? NULL : "the shape of the tensor that is trained, got another";
}

static hid_t open_tensor(hid_t group, const char *name)
{
    static const H5Z_filter_t checksum = H5Z_FILTER_FLETCHER32;
    return lrc_h5_open_dataset(group, name, H5D_CHUNKED, &checksum, 1);
}

/* Both walks have this form; NULL, or what is wrong. */
typedef const char *visit_tensor(hid_t group, const char *name, const struct lrc_tensor *tensor);

static const char *check_tensor(hid_t group, const char *name, const struct lrc_tensor *tensor)
{
    const hid_t dataset = open_tensor(group, name);
    if (dataset < 0)
        return "a chunked dataset with checksums, got none";
    const char *wrong = check_dataset(dataset, tensor);
    (void)H5Dclose(dataset);
    return wrong;
}

static const char *read_tensor(hid_t group, const char *name, const struct lrc_tensor *tensor)
{
    const hid_t dataset = open_tensor(group, name);
    const int read =
        dataset >= 0 && H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor->data) >= 0;
    if (dataset >= 0)
        (void)H5Dclose(dataset);
    return read ? NULL : "values that can be read, got damaged ones";
}

static void visit_row(const struct reader *reader, hid_t parent, const struct lrc_trainable *row,
                      visit_tensor *visit)
{
    const hid_t group = open_group(parent, row->name);
    if (group < 0) {
        lrc_problems_add(reader->problems, "%s: want tensor '%s', got none", reader->job.path, row->name);
        return;
    }
    for (int i = -1; i < reader->optimizer->n_states; i++) {
        const char *name = i < 0 ? "value" : reader->optimizer->state_names[i];
        const char *wrong = visit(group, name, i < 0 ? &row->value : &row->state[i]);
        if (wrong)
            lrc_problems_add(reader->problems, "%s: '%s/%s': want %s", reader->job.path, row->name, name,
                             wrong);
    }
    (void)H5Gclose(group);
}

static enum lrc_status visit_rows(const struct reader *reader, hid_t parent, visit_tensor *visit)
{
    for (int64_t i = 0; i < reader->trainables->n; i++)
        visit_row(reader, parent, &reader->trainables->rows[i], visit);
    return lrc_problems_fail(reader->problems, LRC_STATUS_FORMAT, reader->job.path, reader->job.err);
}

static enum lrc_status check_kind(const struct reader *reader, hid_t parent)
{
    char name[64];
    int64_t n_trainables;
    H5G_info_t info;
    LRC_TRY(get_text(reader, name, sizeof name, "optimizer"));
    if (strcmp(name, reader->optimizer->name) != 0)
        lrc_problems_add(reader->problems, "%s: want the state of optimizer '%s', got that of '%s'",
                         reader->job.path, reader->optimizer->name, name);
    LRC_TRY(get_integer(reader, &n_trainables, "n_trainables", 0));
    if (H5Gget_info(parent, &info) < 0)
        return lrc_h5_fail(&reader->job, LRC_STATUS_FORMAT, "trainables");
    if (n_trainables != reader->trainables->n || info.nlinks != (hsize_t)reader->trainables->n)
        lrc_problems_add(reader->problems, "%s: want %" PRId64 " trained tensors, got %" PRIu64,
                         reader->job.path, reader->trainables->n, (uint64_t)info.nlinks);
    return LRC_STATUS_OK;
}

/* Everything is checked before the first value changes. */
static enum lrc_status load_rows(const struct reader *reader, hid_t parent)
{
    struct lrc_run_state state;
    LRC_TRY(get_scalars(reader, &state));
    LRC_TRY(check_kind(reader, parent));
    LRC_TRY(visit_rows(reader, parent, check_tensor));
    return visit_rows(reader, parent, read_tensor);
}

enum lrc_status lrc_state_file_load(struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer,
                                    const char *path, struct lrc_problems *problems, struct lrc_error *err)
{
    struct reader reader = {.trainables = trainables, .optimizer = optimizer, .problems = problems};
    enum lrc_status status = open_reader(&reader, path, err);
    if (status == LRC_STATUS_OK) {
        const hid_t parent = open_group(reader.file, "trainables");
        status =
            parent < 0 ? fail(&reader, "trainables", "this group, got none") : load_rows(&reader, parent);
        if (parent >= 0)
            (void)H5Gclose(parent);
    }
    close_reader(&reader);
    return status;
}
