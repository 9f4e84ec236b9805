#include "base/alloc.h"
#include "base/file.h"
#include "checkpoint/state_file.h"

#include <stdio.h>
#include <string.h>

struct writer {
    hid_t file;
    struct lrc_h5_job job;
    const struct lrc_trainables *trainables;
    const struct lrc_optimizer *optimizer;
};

enum {
    CHUNK_ELEMS_MAX = 1 << 18,        /* 1 MiB: what HDF5's chunk cache holds */
    CHUNK_OVERHEAD_BYTES = 4 + 256,   /* checksum; its share of B-tree nodes, generously */
    OBJECT_OVERHEAD_BYTES = 16 << 10, /* header, first B-tree node, name; 3 KiB are used */
};

/* Ids below zero are failures, and closing is where HDF5 writes: both count. */
static int closed(hid_t id, herr_t (*close_id)(hid_t))
{
    return id >= 0 && close_id(id) >= 0;
}

static int put_attribute(hid_t object, const char *name, hid_t file_type, hid_t memory_type,
                         const void *value)
{
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attribute =
        space < 0 ? -1 : H5Acreate2(object, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    const int written = attribute >= 0 && H5Awrite(attribute, memory_type, value) >= 0;
    const int attribute_closed = closed(attribute, H5Aclose), space_closed = closed(space, H5Sclose);
    return written && attribute_closed && space_closed;
}

static int put_integer(hid_t object, const char *name, int64_t value)
{
    return put_attribute(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

static int put_real(hid_t object, const char *name, double value)
{
    return put_attribute(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

/* UTF-8 of fixed length with its NUL; negative on failure. */
static hid_t text_type(size_t length)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0 || (H5Tset_size(type, length + 1) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0))
        return type;
    (void)H5Tclose(type);
    return -1;
}

static int put_text(hid_t object, const char *name, const char *text)
{
    const hid_t type = text_type(strlen(text));
    const int written = type >= 0 && put_attribute(object, name, type, type, text);
    return closed(type, H5Tclose) && written;
}

static int put_scalars(hid_t file, const struct lrc_run_state *state, int64_t n_trainables,
                       const char *optimizer)
{
    int ok = put_text(file, "format", "lorica-state") &&
             put_integer(file, "format_version", LRC_STATE_VERSION) &&
             put_text(file, "optimizer", optimizer) && put_integer(file, "n_trainables", n_trainables);
#define INTEGER(field, least) ok = ok && put_integer(file, #field, state->field);
#define REAL(field)           ok = ok && put_real(file, #field, state->field);
#define TEXT(field)           ok = ok && put_text(file, #field, state->field);
    LRC_RUN_STATE_MAP(INTEGER, REAL, TEXT)
#undef INTEGER
#undef REAL
#undef TEXT
    return ok;
}

/* Creation properties of an object: no times, which would make equal states differ. */
static hid_t properties(hid_t class)
{
    const hid_t list = H5Pcreate(class);
    if (list < 0 || H5Pset_obj_track_times(list, 0) >= 0)
        return list;
    (void)H5Pclose(list);
    return -1;
}

static int put_config(hid_t file, const char *config_json)
{
    const hid_t type = text_type(strlen(config_json)), space = H5Screate(H5S_SCALAR),
                create = properties(H5P_DATASET_CREATE);
    const hid_t dataset = type < 0 || space < 0 || create < 0
                              ? -1
                              : H5Dcreate2(file, "config", type, space, H5P_DEFAULT, create, H5P_DEFAULT);
    const int written =
        dataset >= 0 && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, config_json) >= 0;
    const int dataset_closed = closed(dataset, H5Dclose);
    const int others_closed =
        closed(create, H5Pclose) + closed(space, H5Sclose) + closed(type, H5Tclose) == 3;
    return written && dataset_closed && others_closed;
}

/* Whole tensors up to CHUNK_ELEMS_MAX elements, else halved from the first dimension on. Returns the bytes of
 * all chunks. */
static uint64_t choose_chunk(hsize_t chunk[LRC_DIMS_MAX], const struct lrc_tensor *tensor)
{
    hsize_t n_elems = 1, n_chunks = 1;
    for (int d = 0; d < tensor->n_dims; d++)
        n_elems *= chunk[d] = (hsize_t)tensor->shape[d];
    for (int d = 0; n_elems > CHUNK_ELEMS_MAX; d += chunk[d] == 1) {
        n_elems /= chunk[d];
        chunk[d] = (chunk[d] + 1) / 2;
        n_elems *= chunk[d];
    }
    for (int d = 0; d < tensor->n_dims; d++)
        n_chunks *= ((hsize_t)tensor->shape[d] + chunk[d] - 1) / chunk[d];
    return n_chunks * (n_elems * sizeof(float) + CHUNK_OVERHEAD_BYTES);
}

static hid_t tensor_properties(const struct lrc_tensor *tensor)
{
    hsize_t chunk[LRC_DIMS_MAX];
    (void)choose_chunk(chunk, tensor);
    const hid_t list = properties(H5P_DATASET_CREATE);
    if (list < 0 || (H5Pset_chunk(list, tensor->n_dims, chunk) >= 0 && H5Pset_fletcher32(list) >= 0 &&
                     H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) >= 0))
        return list;
    (void)H5Pclose(list);
    return -1;
}

static int put_tensor(hid_t group, const char *name, const struct lrc_tensor *tensor)
{
    hsize_t shape[LRC_DIMS_MAX];
    for (int d = 0; d < tensor->n_dims; d++)
        shape[d] = (hsize_t)tensor->shape[d];
    const hid_t space = H5Screate_simple(tensor->n_dims, shape, NULL), create = tensor_properties(tensor);
    const hid_t dataset = space < 0 || create < 0 ? -1
                                                  : H5Dcreate2(group, name, H5T_IEEE_F32LE, space,
                                                               H5P_DEFAULT, create, H5P_DEFAULT);
    const int written =
        dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor->data) >= 0;
    const int dataset_closed =
        closed(dataset, H5Dclose); /* cached chunks are written here: a full disk shows now or never */
    const int others_closed = closed(create, H5Pclose) + closed(space, H5Sclose) == 2;
    return written && dataset_closed && others_closed;
}

static hid_t make_group(hid_t parent, const char *name)
{
    const hid_t create = properties(H5P_GROUP_CREATE);
    const hid_t group = create < 0 ? -1 : H5Gcreate2(parent, name, H5P_DEFAULT, create, H5P_DEFAULT);
    if (create >= 0)
        (void)H5Pclose(create);
    return group;
}

static enum lrc_status put_row(const struct writer *writer, hid_t parent, const struct lrc_trainable *row)
{
    const hid_t group = make_group(parent, row->name);
    int ok = group >= 0 && put_tensor(group, "value", &row->value);
    for (int i = 0; ok && i < writer->optimizer->n_states; i++)
        ok = put_tensor(group, writer->optimizer->state_names[i], &row->state[i]);
    if (!closed(group, H5Gclose) || !ok)
        return lrc_h5_fail(&writer->job, LRC_STATUS_IO, row->name);
    return LRC_STATUS_OK;
}

static enum lrc_status put_rows(const struct writer *writer)
{
    const hid_t parent = make_group(writer->file, "trainables");
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t i = 0; parent >= 0 && status == LRC_STATUS_OK && i < writer->trainables->n; i++)
        status = put_row(writer, parent, &writer->trainables->rows[i]);
    if (!closed(parent, H5Gclose) && status == LRC_STATUS_OK)
        status = lrc_h5_fail(&writer->job, LRC_STATUS_IO, "trainables");
    return status;
}

static hid_t open_file(const char *path)
{
    const hid_t access = lrc_h5_access();
    const hid_t file = access < 0 ? -1 : H5Fopen(path, H5F_ACC_RDWR, access);
    if (access >= 0)
        (void)H5Pclose(access);
    return file;
}

static enum lrc_status write_hdf5(struct writer *writer, const struct lrc_run_state *state,
                                  const char *config_json)
{
    writer->file = open_file(writer->job.path);
    if (writer->file < 0)
        return lrc_h5_fail(&writer->job, LRC_STATUS_IO, "cannot create");
    const int ok = put_scalars(writer->file, state, writer->trainables->n, writer->optimizer->name) &&
                   put_config(writer->file, config_json);
    enum lrc_status status = ok ? put_rows(writer) : lrc_h5_fail(&writer->job, LRC_STATUS_IO, "cannot write");
    if (status == LRC_STATUS_OK &&
        (!put_integer(writer->file, "complete", 1) || H5Fflush(writer->file, H5F_SCOPE_GLOBAL) < 0))
        status = lrc_h5_fail(&writer->job, LRC_STATUS_IO, "cannot write");
    if (H5Fclose(writer->file) < 0 && status == LRC_STATUS_OK)
        status = lrc_h5_fail(&writer->job, LRC_STATUS_IO, "cannot close");
    /* a failed write that no call above admitted to */
    if (status == LRC_STATUS_OK && writer->job.text[0])
        status = lrc_h5_fail(&writer->job, LRC_STATUS_IO, "cannot write");
    return status;
}

static enum lrc_status check_rows(const struct lrc_trainables *trainables,
                                  const struct lrc_optimizer *optimizer, struct lrc_error *err)
{
    for (int64_t i = 0; i < trainables->n; i++) {
        const struct lrc_trainable *row = &trainables->rows[i];
        if (row->name[0] == '\0' || row->name[0] == '.' || strchr(row->name, '/'))
            return lrc_fail(err, LRC_STATUS_SHAPE,
                            "trainable '%s': want a name without '/' that can be a group's", row->name);
        if (lrc_tensor_elems(&row->value) < 1 || row->value.n_dims < 1)
            return lrc_fail(err, LRC_STATUS_SHAPE, "trainable '%s': want at least one element, got none",
                            row->name);
        LRC_ASSERT(row->value.dtype == LRC_DTYPE_F32 && lrc_tensor_is_contiguous(&row->value));
        for (int s = 0; s < optimizer->n_states; s++)
            LRC_ASSERT(row->state[s].data &&
                       lrc_tensor_elems(&row->state[s]) == lrc_tensor_elems(&row->value));
    }
    return LRC_STATUS_OK;
}

/* No less than the file will be. */
static uint64_t size_bound(const struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer,
                           const char *config_json)
{
    uint64_t bytes = 8 * OBJECT_OVERHEAD_BYTES + strlen(config_json);
    for (int64_t i = 0; i < trainables->n; i++) {
        hsize_t chunk[LRC_DIMS_MAX];
        const uint64_t tensor_bytes = choose_chunk(chunk, &trainables->rows[i].value) + OBJECT_OVERHEAD_BYTES;
        bytes += OBJECT_OVERHEAD_BYTES + tensor_bytes * (uint64_t)(1 + optimizer->n_states);
    }
    return bytes;
}

enum lrc_status lrc_state_file_write(const char *path, const struct lrc_run_state *state,
                                     const char *config_json, const struct lrc_trainables *trainables,
                                     const struct lrc_optimizer *optimizer, struct lrc_error *err)
{
    struct writer writer = {.file = -1, .trainables = trainables, .optimizer = optimizer};
    LRC_TRY(check_rows(trainables, optimizer, err));
    lrc_h5_job_begin(&writer.job, path, err);
    enum lrc_status status = lrc_h5_reserve(&writer.job, size_bound(trainables, optimizer, config_json));
    if (status == LRC_STATUS_OK)
        status = write_hdf5(&writer, state, config_json);
    lrc_h5_job_end(&writer.job);
    LRC_TRY(status);
    return lrc_h5_seal_put(path, LRC_STATE_KIND, err);
}
