/* The bytes of a data file, read from its start to its end: as they are, or unpacked on the way where they
 * begin as gzip or zstd streams do. Memory is bounded, whatever the file's size. */
#ifndef LRC_DATA_UNPACK_H
#define LRC_DATA_UNPACK_H

#include "base/hash.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

/* A small file may unpack to more than anybody meant: reading stops at bytes_max, and from ratio_from_bytes
 * on where the output is more than ratio_max times the input read so far. */
struct lrc_unpack_limits {
    uint64_t bytes_max, ratio_from_bytes, ratio_max;
};
extern const struct lrc_unpack_limits lrc_unpack_limits_default; /* 16 TiB; 1000:1 above 1 GiB */

enum lrc_packing_kind { LRC_PACKED_NOT, LRC_PACKED_GZIP, LRC_PACKED_ZSTD };

struct lrc_unpacker {
    const char           *path; /* for messages; borrowed */
    int                   fd;
    enum lrc_packing_kind kind;
    void                 *stream; /* z_stream or ZSTD_DCtx */
    unsigned char        *input;  /* bytes of the file that are not yet unpacked: [at, n_input) */
    size_t                at, n_input;
    int      input_has_ended, has_ended, is_between; /* between two gzip members or zstd frames */
    uint64_t n_in, n_out;                            /* bytes read from the file, given to the caller */
    struct lrc_unpack_limits limits;
    struct lrc_hash         *hash; /* of the file's bytes as they are read; may be NULL */
};

/* 1f 8b: gzip (RFC 1952); 28 b5 2f fd: zstd (RFC 8878). fd is read from where it stands and closed by
 * lrc_unpacker_close(), also after an error.
 * errors: IO, NOMEM. */
enum lrc_status lrc_unpacker_open(struct lrc_unpacker *unpacker, int fd, const char *path,
                                  const struct lrc_unpack_limits *limits, struct lrc_hash *hash,
                                  struct lrc_error *err) LRC_MUST_CHECK;

/* Fill out[0, n) as far as there are bytes; *n_got < n: the end. Members or frames that follow one another
 * are one text.
 * errors: DATA when a stream is damaged, cut short or over a limit; IO; NOMEM. */
enum lrc_status lrc_unpacker_read(struct lrc_unpacker *unpacker, void *out, size_t n, size_t *n_got,
                                  struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_unpacker_close(struct lrc_unpacker *unpacker); /* safe on a zeroed one */

#endif
