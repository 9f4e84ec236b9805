#include "data/unpack.h"

#include "base/alloc.h"
#include <limits.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

const struct lrc_unpack_limits lrc_unpack_limits_default = {(uint64_t)64 << 30, (uint64_t)1 << 30, 1000};

enum { CHUNK_BYTES = 1 << 18, INPUT_BYTES_MAX = 1 << 30 /* zlib counts in unsigned int */ };

static int is_gzip(const unsigned char *bytes, size_t n)
{
    return n >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static int is_zstd(const unsigned char *bytes, size_t n)
{
    return n >= 4 && memcmp(bytes, "\x28\xb5\x2f\xfd", 4) == 0;
}

int lrc_unpack_is_packed(const unsigned char *bytes, size_t n)
{
    return is_gzip(bytes, n) || is_zstd(bytes, n);
}

static enum lrc_status append(struct lrc_buf *out, const struct lrc_packed *packed,
                              const unsigned char *chunk, size_t n, struct lrc_error *err)
{
    lrc_buf_append(out, chunk, n);
    return out->failed ? lrc_fail_nomem(err, packed->path) : LRC_STATUS_OK;
}

static enum lrc_status check_size(const struct lrc_buf *out, size_t n_read, const struct lrc_packed *packed,
                                  const struct lrc_unpack_limits *limits, struct lrc_error *err)
{
    if (out->len > limits->bytes_max)
        return lrc_fail(err, LRC_STATUS_DATA, "%s: want at most %llu bytes when unpacked, got more",
                        packed->path, (unsigned long long)limits->bytes_max);
    if (out->len > limits->ratio_from_bytes && out->len / limits->ratio_max > n_read)
        return lrc_fail(
            err, LRC_STATUS_DATA,
            "%s: want a file that unpacks to at most %llu times its size, got %zu bytes from the first %zu",
            packed->path, (unsigned long long)limits->ratio_max, out->len, n_read);
    return LRC_STATUS_OK;
}

static enum lrc_status fail_cut(const struct lrc_packed *packed, const char *kind, struct lrc_error *err)
{
    return lrc_fail(err, LRC_STATUS_DATA, "%s: want a whole %s stream, got the end of the file within it",
                    packed->path, kind);
}

static void *zlib_allocate(void *opaque, unsigned n_elems, unsigned elem_bytes)
{
    (void)opaque;
    return lrc_calloc(n_elems, elem_bytes);
}

static void zlib_release(void *opaque, void *memory)
{
    (void)opaque;
    lrc_free(memory);
}

/* A member has ended at stream: go on with the next one, or say by *done that only zero padding is left. */
static enum lrc_status next_member(z_stream *stream, int *done, const struct lrc_packed *packed,
                                   struct lrc_error *err)
{
    const unsigned char *rest = stream->next_in;
    const size_t n_rest = (size_t)(packed->bytes + packed->n - rest);
    size_t n_zeros = 0;
    while (n_zeros < n_rest && rest[n_zeros] == 0)
        n_zeros++;
    *done = n_zeros == n_rest;
    if (!*done && !is_gzip(rest, n_rest))
        return lrc_fail(err, LRC_STATUS_DATA,
                        "%s: want the end of the file or more gzip data at byte %zu, got other bytes",
                        packed->path, packed->n - n_rest);
    (void)inflateReset(stream); /* fails on a damaged z_stream only */
    return LRC_STATUS_OK;
}

static enum lrc_status inflate_all(struct lrc_buf *out, z_stream *stream, unsigned char *chunk,
                                   const struct lrc_packed *packed, const struct lrc_unpack_limits *limits,
                                   struct lrc_error *err)
{
    for (int done = 0; !done;) {
        const size_t n_left = (size_t)(packed->bytes + packed->n - stream->next_in);
        stream->avail_in = n_left < INPUT_BYTES_MAX ? (unsigned)n_left : INPUT_BYTES_MAX;
        stream->next_out = chunk;
        stream->avail_out = CHUNK_BYTES;
        const int result = inflate(stream, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR)
            return lrc_fail_nomem(err, packed->path);
        if (result == Z_BUF_ERROR && stream->avail_out == CHUNK_BYTES)
            return fail_cut(packed, "gzip", err);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return lrc_fail(err, LRC_STATUS_DATA,
                            "%s: want gzip data, got a damaged stream near byte %zu: %s", packed->path,
                            (size_t)(stream->next_in - packed->bytes),
                            stream->msg ? stream->msg : "unknown damage");
        LRC_TRY(append(out, packed, chunk, CHUNK_BYTES - stream->avail_out, err));
        LRC_TRY(check_size(out, (size_t)(stream->next_in - packed->bytes), packed, limits, err));
        if (result == Z_STREAM_END)
            LRC_TRY(next_member(stream, &done, packed, err));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status unpack_gzip(struct lrc_buf *out, unsigned char *chunk, const struct lrc_packed *packed,
                                   const struct lrc_unpack_limits *limits, struct lrc_error *err)
{
    z_stream stream = {.zalloc = zlib_allocate, .zfree = zlib_release};
    stream.next_in = (unsigned char *)(uintptr_t)packed->bytes; /* zlib reads only */
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)          /* 16: a gzip header */
        return lrc_fail_nomem(err, packed->path);
    const enum lrc_status status = inflate_all(out, &stream, chunk, packed, limits, err);
    (void)inflateEnd(&stream);
    return status;
}

static enum lrc_status unpack_zstd(struct lrc_buf *out, unsigned char *chunk, const struct lrc_packed *packed,
                                   const struct lrc_unpack_limits *limits, struct lrc_error *err)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (!context)
        return lrc_fail_nomem(err, packed->path);
    ZSTD_inBuffer input = {packed->bytes, packed->n, 0};
    size_t left = 1; /* 0: a frame has ended, all of it written */
    enum lrc_status status = LRC_STATUS_OK;
    while (status == LRC_STATUS_OK && (left != 0 || input.pos < input.size)) {
        ZSTD_outBuffer output = {chunk, CHUNK_BYTES, 0};
        const size_t before = input.pos;
        left = ZSTD_decompressStream(context, &output, &input);
        if (ZSTD_isError(left)) {
            status =
                lrc_fail(err, LRC_STATUS_DATA, "%s: want zstd data, got a damaged stream near byte %zu: %s",
                         packed->path, input.pos, ZSTD_getErrorName(left));
            break;
        }
        if (left != 0 && output.pos == 0 && input.pos == before) {
            status = fail_cut(packed, "zstd", err);
            break;
        }
        status = append(out, packed, chunk, output.pos, err);
        if (status == LRC_STATUS_OK)
            status = check_size(out, input.pos, packed, limits, err);
    }
    ZSTD_freeDCtx(context);
    return status;
}

enum lrc_status lrc_unpack(struct lrc_buf *out, const struct lrc_packed *packed,
                           const struct lrc_unpack_limits *limits, struct lrc_error *err)
{
    unsigned char *chunk = lrc_calloc(CHUNK_BYTES, 1);
    if (!chunk)
        return lrc_fail_nomem(err, packed->path);
    const enum lrc_status status = is_gzip(packed->bytes, packed->n)
                                       ? unpack_gzip(out, chunk, packed, limits, err)
                                       : unpack_zstd(out, chunk, packed, limits, err);
    lrc_free(chunk);
    return status;
}
