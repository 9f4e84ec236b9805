/* safetensors files.
 *
 *   1. u64, little-endian: N, the length of the header
 *   2. N bytes of JSON: {"__metadata__": {string: string}, name: {"dtype", "shape",
 *      "data_offsets": [begin, end]}, ...}
 *   3. the data; offsets count from here, tensors lie without gap or overlap and end with the file
 *
 * source: huggingface/safetensors, README "Format". */
#ifndef LRC_FORMATS_SAFETENSORS_H
#define LRC_FORMATS_SAFETENSORS_H

#include "base/file.h"
#include "base/json.h"
#include "tensor/tensor.h"

enum { LRC_SAFETENSORS_DIMS_MAX = 8 };

struct lrc_safetensors_entry {
    const char          *name;
    enum lrc_dtype       dtype;
    int                  n_dims;
    int64_t              shape[LRC_SAFETENSORS_DIMS_MAX];
    int64_t              n_elems;
    const unsigned char *data; /* may be unaligned */
    size_t               size_bytes;
};

struct lrc_safetensors {
    struct lrc_map                       map; /* empty when read from memory */
    json_t                              *header;
    struct lrc_safetensors_entry        *entries; /* in order of their data */
    int64_t                              n_entries;
    const struct lrc_safetensors_entry **by_name; /* (n_entries) for lookups */
};

/* errors:    IO; FORMAT (what was wanted, found, where); NOMEM.
 * ownership: lrc_safetensors_close(); entries live until then. `name` is used in sentences. */
enum lrc_status lrc_safetensors_open(struct lrc_safetensors *file, const char *path,
                                     struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_safetensors_read(struct lrc_safetensors *file, const void *bytes, size_t n,
                                     const char *name, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_safetensors_close(struct lrc_safetensors *file);

const struct lrc_safetensors_entry *lrc_safetensors_find(const struct lrc_safetensors *file,
                                                         const char *name);                /* NULL: absent */
const char *lrc_safetensors_metadata(const struct lrc_safetensors *file, const char *key); /* NULL: absent */
/* All of it, {"key", "value", ..., NULL}, as the writer takes it; NULL when out of memory. The strings are
 * the file's. ownership: lrc_free() of the array. */
const char **lrc_safetensors_metadata_all(const struct lrc_safetensors *file) LRC_MUST_CHECK;

/* Writing: describe all tensors, then give the data of each in the order of the writer's entries (sorted as
 * the reference writer does: dtype rank descending, then name). {"format": "pt"} is always in the metadata.
 *
 *   LRC_TRY(lrc_safetensors_writer_open(&writer, path, tensors, n, metadata, err));
 *   for (i = 0; i < n; i++) { entry = writer.order[i]; ...
 *       lrc_safetensors_writer_put(&writer, data, bytes, err) ... }
 *   lrc_safetensors_writer_commit(&writer, err);                                                       */
struct lrc_safetensors_spec {
    const char    *name;
    enum lrc_dtype dtype;
    int            n_dims;
    int64_t        shape[LRC_SAFETENSORS_DIMS_MAX];
    const void    *data; /* for lrc_safetensors_write(); the streaming writer ignores it */
};
struct lrc_safetensors_writer {
    struct lrc_out out;
    int64_t       *order; /* writing order: indices into the caller's specs */
    int64_t        n;
    size_t         at, left_bytes; /* of the data: where the next is in the file, how much is still to come */
};
/* metadata: {"key", "value", ..., NULL} or NULL. */
enum lrc_status lrc_safetensors_writer_open(struct lrc_safetensors_writer *writer, const char *path,
                                            const struct lrc_safetensors_spec *specs, int64_t n_specs,
                                            const char *const *metadata,
                                            struct lrc_error  *err) LRC_MUST_CHECK;
/* May be called several times per tensor. */
enum lrc_status lrc_safetensors_writer_put(struct lrc_safetensors_writer *writer, const void *data,
                                           size_t size_bytes, struct lrc_error *err) LRC_MUST_CHECK;
/* Instead: where in the file the next data has its place, for lrc_out_write_at(&writer->out, ...) by any
 * thread before the commit. */
size_t          lrc_safetensors_writer_place(struct lrc_safetensors_writer *writer, size_t size_bytes);
enum lrc_status lrc_safetensors_writer_commit(struct lrc_safetensors_writer *writer,
                                              struct lrc_error              *err) LRC_MUST_CHECK;
void            lrc_safetensors_writer_abort(struct lrc_safetensors_writer *writer);

/* All at once, data from the specs. */
enum lrc_status lrc_safetensors_write(const char *path, const struct lrc_safetensors_spec *specs,
                                      int64_t n_specs, const char *const *metadata,
                                      struct lrc_error *err) LRC_MUST_CHECK;

#endif
