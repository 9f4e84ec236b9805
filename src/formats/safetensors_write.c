/* Writing safetensors: header first, then the data as it comes. */
#include "formats/safetensors.h"

#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>

static int compare_specs_by_name(const void *left, const void *right)
{
    const struct lrc_safetensors_spec *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

/* The reference writer's order: alignment rank of the dtype descending, then name. */
static int compare_specs(const void *left, const void *right)
{
    const struct lrc_safetensors_spec *const *a = left, *const *b = right;
    const int difference = lrc_dtype_info[(*b)->dtype].rank - lrc_dtype_info[(*a)->dtype].rank;
    return difference != 0 ? difference : strcmp((*a)->name, (*b)->name);
}

static enum lrc_status size_of(size_t *size_bytes, const struct lrc_safetensors_spec *spec,
                               struct lrc_error *err)
{
    uint64_t bits = (uint64_t)lrc_dtype_info[spec->dtype].bits;
    for (int d = 0; d < spec->n_dims; d++) {
        if (spec->shape[d] < 0 ||
            (spec->shape[d] > 0 && bits > (uint64_t)INT64_MAX / (uint64_t)spec->shape[d]))
            return lrc_fail(err, LRC_STATUS_SHAPE,
                            "tensor '%s': want a size below 2^63 bits, got dimension %d of %lld", spec->name,
                            d, (long long)spec->shape[d]);
        bits *= (uint64_t)spec->shape[d];
    }
    *size_bytes = (size_t)(bits / 8);
    return LRC_STATUS_OK;
}

static enum lrc_status sort_specs(const struct lrc_safetensors_spec **sorted,
                                  const struct lrc_safetensors_spec *specs, int64_t n, struct lrc_error *err)
{
    for (int64_t i = 0; i < n; i++)
        sorted[i] = &specs[i];
    qsort((void *)sorted, (size_t)n, sizeof *sorted, compare_specs_by_name);
    for (int64_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return lrc_fail(err, LRC_STATUS_FORMAT, "tensor '%s': want each name once, got it twice",
                            sorted[i]->name);
    qsort((void *)sorted, (size_t)n, sizeof *sorted, compare_specs);
    return LRC_STATUS_OK;
}

static void append_metadata(struct lrc_buf *header, const char *const *metadata)
{
    lrc_buf_puts(header, "{\"__metadata__\":{\"format\":\"pt\"");
    for (; metadata && metadata[0]; metadata += 2) {
        if (strcmp(metadata[0], "format") == 0)
            continue;
        lrc_buf_putc(header, ',');
        lrc_json_append_string(header, metadata[0], strlen(metadata[0]));
        lrc_buf_putc(header, ':');
        lrc_json_append_string(header, metadata[1], strlen(metadata[1]));
    }
    lrc_buf_putc(header, '}');
}

static void append_tensor(struct lrc_buf *header, const struct lrc_safetensors_spec *spec, size_t begin,
                          size_t end)
{
    lrc_buf_putc(header, ',');
    lrc_json_append_string(header, spec->name, strlen(spec->name));
    lrc_buf_printf(header, ":{\"dtype\":\"%s\",\"shape\":[", lrc_dtype_info[spec->dtype].name);
    for (int d = 0; d < spec->n_dims; d++)
        lrc_buf_printf(header, "%s%lld", d > 0 ? "," : "", (long long)spec->shape[d]);
    lrc_buf_printf(header, "],\"data_offsets\":[%zu,%zu]}", begin, end);
}

static enum lrc_status build_header(struct lrc_safetensors_writer *writer, struct lrc_buf *header,
                                    const struct lrc_safetensors_spec *specs, const char *const *metadata,
                                    struct lrc_error *err)
{
    size_t at = 0;
    append_metadata(header, metadata);
    for (int64_t i = 0; i < writer->n; i++) {
        const struct lrc_safetensors_spec *spec = &specs[writer->order[i]];
        size_t                             size_bytes;
        LRC_TRY(size_of(&size_bytes, spec, err));
        if (size_bytes > (size_t)INT64_MAX - at)
            return lrc_fail(err, LRC_STATUS_SHAPE, "tensor '%s': want a file below 2^63 bytes", spec->name);
        append_tensor(header, spec, at, at + size_bytes);
        at += size_bytes;
    }
    lrc_buf_putc(header, '}');
    while (header->len % 8 != 0 && !header->failed)
        lrc_buf_putc(header, ' ');
    writer->left_bytes = at;
    return lrc_buf_check(header, err);
}

static enum lrc_status plan_order(struct lrc_safetensors_writer     *writer,
                                  const struct lrc_safetensors_spec *specs, struct lrc_error *err)
{
    const struct lrc_safetensors_spec **sorted = lrc_calloc(writer->n, sizeof *sorted);
    enum lrc_status                     status;
    writer->order = lrc_calloc(writer->n, sizeof *writer->order);
    if (!sorted || !writer->order)
        status = lrc_fail_nomem(err, "safetensors header");
    else
        status = sort_specs(sorted, specs, writer->n, err);
    for (int64_t i = 0; status == LRC_STATUS_OK && i < writer->n; i++)
        writer->order[i] = sorted[i] - specs;
    lrc_free((void *)sorted);
    return status;
}

enum lrc_status lrc_safetensors_writer_open(struct lrc_safetensors_writer *writer, const char *path,
                                            const struct lrc_safetensors_spec *specs, int64_t n_specs,
                                            const char *const *metadata, struct lrc_error *err)
{
    struct lrc_buf  header = { 0 };
    enum lrc_status status;
    unsigned char   length[8];

    *writer = (struct lrc_safetensors_writer){ .n = n_specs };
    if ((status = plan_order(writer, specs, err)) != LRC_STATUS_OK)
        goto done;
    if ((status = build_header(writer, &header, specs, metadata, err)) != LRC_STATUS_OK)
        goto done;
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)header.len >> (8 * i));
    writer->at = sizeof length + header.len;
    if ((status = lrc_out_open(&writer->out, path, err)) != LRC_STATUS_OK)
        goto done;
    if ((status = lrc_out_write(&writer->out, length, sizeof length, err)) != LRC_STATUS_OK)
        goto done;
    status = lrc_out_write(&writer->out, header.data, header.len, err);
done:
    lrc_buf_release(&header);
    if (status != LRC_STATUS_OK)
        lrc_safetensors_writer_abort(writer);
    return status;
}

size_t lrc_safetensors_writer_place(struct lrc_safetensors_writer *writer, size_t size_bytes)
{
    const size_t at = writer->at;
    LRC_ASSERT(size_bytes <= writer->left_bytes);
    writer->left_bytes -= size_bytes;
    writer->at += size_bytes;
    return at;
}

enum lrc_status lrc_safetensors_writer_put(struct lrc_safetensors_writer *writer, const void *data,
                                           size_t size_bytes, struct lrc_error *err)
{
    (void)lrc_safetensors_writer_place(writer, size_bytes);
    return lrc_out_write(&writer->out, data, size_bytes, err);
}

enum lrc_status lrc_safetensors_writer_commit(struct lrc_safetensors_writer *writer, struct lrc_error *err)
{
    LRC_ASSERT(writer->left_bytes == 0);
    const enum lrc_status status = lrc_out_commit(&writer->out, err);
    lrc_safetensors_writer_abort(writer);
    return status;
}

void lrc_safetensors_writer_abort(struct lrc_safetensors_writer *writer)
{
    lrc_out_abort(&writer->out);
    lrc_free(writer->order);
    *writer = (struct lrc_safetensors_writer){ 0 };
}

enum lrc_status lrc_safetensors_write(const char *path, const struct lrc_safetensors_spec *specs,
                                      int64_t n_specs, const char *const *metadata, struct lrc_error *err)
{
    struct lrc_safetensors_writer writer;
    enum lrc_status               status = LRC_STATUS_OK;

    LRC_TRY(lrc_safetensors_writer_open(&writer, path, specs, n_specs, metadata, err));
    for (int64_t i = 0; status == LRC_STATUS_OK && i < n_specs; i++) {
        const struct lrc_safetensors_spec *spec = &specs[writer.order[i]];
        size_t                             size_bytes;
        status = size_of(&size_bytes, spec, err);
        if (status == LRC_STATUS_OK)
            status = lrc_safetensors_writer_put(&writer, spec->data, size_bytes, err);
    }
    if (status == LRC_STATUS_OK)
        return lrc_safetensors_writer_commit(&writer, err);
    lrc_safetensors_writer_abort(&writer);
    return status;
}
