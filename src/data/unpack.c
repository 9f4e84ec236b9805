#include "data/unpack.h"

#include "base/alloc.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

const struct lrc_unpack_limits lrc_unpack_limits_default = { (uint64_t)16 << 40, (uint64_t)1 << 30, 1000 };

enum { INPUT_BYTES = 1 << 18, OUTPUT_BYTES_MAX = 1 << 30 /* zlib counts in unsigned int */ };

static size_t n_left(const struct lrc_unpacker *unpacker)
{
    return unpacker->n_input - unpacker->at;
}

/* Of the first byte that is not yet unpacked, in the file. */
static unsigned long long place(const struct lrc_unpacker *unpacker)
{
    return unpacker->n_in - n_left(unpacker);
}

/* More of the file behind what is left of it. */
static enum lrc_status refill(struct lrc_unpacker *unpacker, struct lrc_error *err)
{
    if (unpacker->input_has_ended)
        return LRC_STATUS_OK;
    unpacker->n_input = n_left(unpacker);
    memmove(unpacker->input, unpacker->input + unpacker->at, unpacker->n_input);
    unpacker->at = 0;
    while (unpacker->n_input < INPUT_BYTES) {
        unsigned char *room = unpacker->input + unpacker->n_input;
        const ssize_t  n = read(unpacker->fd, room, INPUT_BYTES - unpacker->n_input);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lrc_fail_errno(err, "%s: cannot read", unpacker->path);
        unpacker->input_has_ended = n == 0;
        if (n == 0)
            break;
        if (unpacker->hash)
            lrc_hash_update(unpacker->hash, room, (size_t)n);
        unpacker->n_input += (size_t)n;
        unpacker->n_in += (uint64_t)n;
    }
    return LRC_STATUS_OK;
}

static int is_gzip(const unsigned char *bytes, size_t n)
{
    return n >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static int is_zstd(const unsigned char *bytes, size_t n)
{
    return n >= 4 && memcmp(bytes, "\x28\xb5\x2f\xfd", 4) == 0;
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

static enum lrc_status open_gzip(struct lrc_unpacker *unpacker, struct lrc_error *err)
{
    z_stream *stream = lrc_calloc(1, sizeof *stream);
    if (!stream)
        return lrc_fail_nomem(err, unpacker->path);
    stream->zalloc = zlib_allocate;
    stream->zfree = zlib_release;
    if (inflateInit2(stream, 16 + MAX_WBITS) != Z_OK) { /* 16: a gzip header */
        lrc_free(stream);
        return lrc_fail_nomem(err, unpacker->path);
    }
    unpacker->stream = stream;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_unpacker_open(struct lrc_unpacker *unpacker, int fd, const char *path,
                                  const struct lrc_unpack_limits *limits, struct lrc_hash *hash,
                                  struct lrc_error *err)
{
    *unpacker = (struct lrc_unpacker){
        .path = path, .fd = fd, .limits = *limits, .hash = hash, .input = lrc_calloc(INPUT_BYTES, 1)
    };
    if (!unpacker->input)
        return lrc_fail_nomem(err, path);
    LRC_TRY(refill(unpacker, err));
    if (is_gzip(unpacker->input, unpacker->n_input)) {
        LRC_TRY(open_gzip(unpacker, err));
        unpacker->kind = LRC_PACKED_GZIP;
    } else if (is_zstd(unpacker->input, unpacker->n_input)) {
        if (!(unpacker->stream = ZSTD_createDCtx()))
            return lrc_fail_nomem(err, path);
        unpacker->kind = LRC_PACKED_ZSTD;
    }
    return LRC_STATUS_OK;
}

void lrc_unpacker_close(struct lrc_unpacker *unpacker)
{
    if (!unpacker->path)
        return;
    if (unpacker->kind == LRC_PACKED_GZIP) {
        (void)inflateEnd(unpacker->stream);
        lrc_free(unpacker->stream);
    } else if (unpacker->kind == LRC_PACKED_ZSTD) {
        ZSTD_freeDCtx(unpacker->stream);
    }
    lrc_free(unpacker->input);
    (void)close(unpacker->fd);
    *unpacker = (struct lrc_unpacker){ 0 };
}

static enum lrc_status fail_cut(const struct lrc_unpacker *unpacker, const char *kind, struct lrc_error *err)
{
    return lrc_fail(err, LRC_STATUS_DATA, "%s: want a whole %s stream, got the end of the file within it",
                    unpacker->path, kind);
}

static enum lrc_status check_size(const struct lrc_unpacker *unpacker, struct lrc_error *err)
{
    const struct lrc_unpack_limits *limits = &unpacker->limits;
    if (unpacker->n_out > limits->bytes_max)
        return lrc_fail(err, LRC_STATUS_DATA, "%s: want at most %llu bytes when unpacked, got more",
                        unpacker->path, (unsigned long long)limits->bytes_max);
    if (unpacker->n_out > limits->ratio_from_bytes && unpacker->n_out / limits->ratio_max > place(unpacker))
        return lrc_fail(
            err, LRC_STATUS_DATA,
            "%s: want a file that unpacks to at most %llu times its size, got %llu bytes from the first %llu",
            unpacker->path, (unsigned long long)limits->ratio_max, (unsigned long long)unpacker->n_out,
            place(unpacker));
    return LRC_STATUS_OK;
}

/* A member has ended: the next one follows, or nothing, or zeros up to the end (as tar pads). */
static enum lrc_status next_member(struct lrc_unpacker *unpacker, struct lrc_error *err)
{
    const unsigned long long begin = place(unpacker);
    if (n_left(unpacker) < 2)
        LRC_TRY(refill(unpacker, err));
    if (is_gzip(unpacker->input + unpacker->at, n_left(unpacker))) {
        (void)inflateReset(unpacker->stream); /* fails on a damaged z_stream only */
        unpacker->is_between = 0;
        return LRC_STATUS_OK;
    }
    while (n_left(unpacker) > 0 && unpacker->input[unpacker->at] == 0) {
        unpacker->at++;
        if (n_left(unpacker) == 0)
            LRC_TRY(refill(unpacker, err));
    }
    if (n_left(unpacker) > 0)
        return lrc_fail(err, LRC_STATUS_DATA,
                        "%s: want the end of the file or more gzip data at byte %llu, got other bytes",
                        unpacker->path, begin);
    unpacker->has_ended = 1;
    return LRC_STATUS_OK;
}

static enum lrc_status read_gzip(struct lrc_unpacker *unpacker, unsigned char *out, size_t n, size_t *n_got,
                                 struct lrc_error *err)
{
    z_stream *stream = unpacker->stream;
    if (unpacker->is_between)
        return next_member(unpacker, err);
    const unsigned n_room = n < OUTPUT_BYTES_MAX ? (unsigned)n : OUTPUT_BYTES_MAX;
    stream->next_in = unpacker->input + unpacker->at;
    stream->avail_in = (unsigned)n_left(unpacker);
    stream->next_out = out;
    stream->avail_out = n_room;
    const int result = inflate(stream, Z_NO_FLUSH);
    unpacker->at = unpacker->n_input - stream->avail_in;
    *n_got = n_room - stream->avail_out;
    unpacker->is_between = result == Z_STREAM_END;
    if (result == Z_MEM_ERROR)
        return lrc_fail_nomem(err, unpacker->path);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return lrc_fail(err, LRC_STATUS_DATA, "%s: want gzip data, got a damaged stream near byte %llu: %s",
                        unpacker->path, place(unpacker), stream->msg ? stream->msg : "unknown damage");
    if (*n_got == 0 && n_left(unpacker) == 0 && !unpacker->is_between) {
        if (unpacker->input_has_ended)
            return fail_cut(unpacker, "gzip", err);
        return refill(unpacker, err);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status read_zstd(struct lrc_unpacker *unpacker, unsigned char *out, size_t n, size_t *n_got,
                                 struct lrc_error *err)
{
    if (n_left(unpacker) == 0)
        LRC_TRY(refill(unpacker, err));
    if (n_left(unpacker) == 0 && unpacker->is_between) {
        unpacker->has_ended = 1;
        return LRC_STATUS_OK;
    }
    ZSTD_inBuffer  input = { unpacker->input, unpacker->n_input, unpacker->at };
    ZSTD_outBuffer output = { out, n, 0 };
    const size_t   result = ZSTD_decompressStream(unpacker->stream, &output, &input);
    if (ZSTD_isError(result))
        return lrc_fail(err, LRC_STATUS_DATA, "%s: want zstd data, got a damaged stream near byte %llu: %s",
                        unpacker->path, place(unpacker), ZSTD_getErrorName(result));
    if (result != 0 && output.pos == 0 && input.pos == unpacker->at)
        return fail_cut(unpacker, "zstd", err);
    unpacker->at = input.pos;
    unpacker->is_between = result == 0; /* a frame has ended, all of it written */
    *n_got = output.pos;
    return LRC_STATUS_OK;
}

static enum lrc_status read_plain(struct lrc_unpacker *unpacker, unsigned char *out, size_t n, size_t *n_got,
                                  struct lrc_error *err)
{
    if (n_left(unpacker) == 0)
        LRC_TRY(refill(unpacker, err));
    *n_got = n_left(unpacker) < n ? n_left(unpacker) : n;
    memcpy(out, unpacker->input + unpacker->at, *n_got);
    unpacker->at += *n_got;
    unpacker->has_ended = *n_got == 0;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_unpacker_read(struct lrc_unpacker *unpacker, void *out, size_t n, size_t *n_got,
                                  struct lrc_error *err)
{
    *n_got = 0;
    while (*n_got < n && !unpacker->has_ended) {
        unsigned char *room = (unsigned char *)out + *n_got;
        const size_t   n_room = n - *n_got;
        size_t         n_new = 0;
        LRC_TRY(unpacker->kind == LRC_PACKED_GZIP   ? read_gzip(unpacker, room, n_room, &n_new, err)
                : unpacker->kind == LRC_PACKED_ZSTD ? read_zstd(unpacker, room, n_room, &n_new, err)
                                                    : read_plain(unpacker, room, n_room, &n_new, err));
        *n_got += n_new;
        unpacker->n_out += n_new;
        if (unpacker->kind != LRC_PACKED_NOT)
            LRC_TRY(check_size(unpacker, err));
    }
    return LRC_STATUS_OK;
}
