/* Data files that are gzip or zstd streams, told by their first bytes and unpacked into memory. */
#ifndef LRC_DATA_UNPACK_H
#define LRC_DATA_UNPACK_H

#include "base/buf.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

/* A small file may unpack to more than the machine holds: unpacking stops at bytes_max, and from
 * ratio_from_bytes on where the output is more than ratio_max times the input read so far. */
struct lrc_unpack_limits {
    uint64_t bytes_max, ratio_from_bytes, ratio_max;
};
extern const struct lrc_unpack_limits lrc_unpack_limits_default; /* 64 GiB; 1000:1 above 1 GiB */

struct lrc_packed {
    const unsigned char *bytes;
    size_t n;
    const char *path; /* for messages */
};

/* 1f 8b: gzip (RFC 1952); 28 b5 2f fd: zstd (RFC 8878). */
int lrc_unpack_is_packed(const unsigned char *bytes, size_t n);

/* Append what packed holds to out; members or frames that follow one another are one text.
 *
 * errors: DATA when the stream is damaged, cut short or over a limit; NOMEM. */
enum lrc_status lrc_unpack(struct lrc_buf *out, const struct lrc_packed *packed,
                           const struct lrc_unpack_limits *limits, struct lrc_error *err) LRC_MUST_CHECK;

#endif
