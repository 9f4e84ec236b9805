#include "formats/sealed_h5.h"

#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BYTES_DIGITS = 20 };

static void format_seal(unsigned char seal[LRC_H5_SEAL_BYTES], const char *kind, size_t file_bytes,
                        const char *hex)
{
    memset(seal, 0, LRC_H5_SEAL_BYTES);
    (void)snprintf((char *)seal, LRC_H5_SEAL_BYTES, "%s\nbytes %0*zu\nsha256 %s\n", kind, BYTES_DIGITS,
                   file_bytes, hex);
}

enum lrc_status lrc_h5_seal_make(unsigned char seal[LRC_H5_SEAL_BYTES], const char *kind, const void *body,
                                 size_t body_bytes, struct lrc_error *err)
{
    char hex[LRC_HASH_HEX_MAX];
    LRC_TRY(lrc_hash_bytes(hex, body, body_bytes, err));
    format_seal(seal, kind, body_bytes + LRC_H5_SEAL_BYTES, hex);
    return LRC_STATUS_OK;
}

/* The same of a finished file, which may be larger than what memory it is to take. */
static enum lrc_status make_of_map(unsigned char seal[LRC_H5_SEAL_BYTES], const char *kind,
                                   const struct lrc_map *map, struct lrc_error *err)
{
    struct lrc_hash hash;
    char            hex[LRC_HASH_HEX_MAX];
    LRC_TRY(lrc_hash_init(&hash, err));
    lrc_hash_update_map(&hash, map->data + LRC_H5_SEAL_BYTES, map->size_bytes - LRC_H5_SEAL_BYTES);
    lrc_hash_finish(&hash, hex);
    format_seal(seal, kind, map->size_bytes, hex);
    return LRC_STATUS_OK;
}

static enum lrc_status write_start(const char *path, const unsigned char seal[LRC_H5_SEAL_BYTES],
                                   struct lrc_error *err)
{
    enum lrc_status status = LRC_STATUS_OK;
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return lrc_fail_errno(err, "%s: cannot open", path);
    errno = ENOSPC; /* what a short write without an error means */
    if (pwrite(fd, seal, LRC_H5_SEAL_BYTES, 0) != LRC_H5_SEAL_BYTES || fsync(fd) != 0)
        status = lrc_fail_errno(err, "%s: cannot write", path);
    if (close(fd) != 0 && status == LRC_STATUS_OK)
        status = lrc_fail_errno(err, "%s: cannot close", path);
    return status;
}

enum lrc_status lrc_h5_seal_put(const char *path, const char *kind, struct lrc_error *err)
{
    struct lrc_map map;
    unsigned char seal[LRC_H5_SEAL_BYTES];
    LRC_TRY(lrc_map_open(&map, path, err));
    LRC_ASSERT(map.size_bytes > LRC_H5_SEAL_BYTES);
    const enum lrc_status status = make_of_map(seal, kind, &map, err);
    lrc_map_close(&map);
    LRC_TRY(status);
    return write_start(path, seal, err);
}

static enum lrc_status check_hash(const struct lrc_map *map, const char *path, const char *kind,
                                  struct lrc_error *err)
{
    unsigned char seal[LRC_H5_SEAL_BYTES];
    LRC_TRY(make_of_map(seal, kind, map, err));
    if (memcmp(seal, map->data, sizeof seal) == 0)
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_FORMAT,
                    "%s: want the bytes that its SHA-256 names, got others: the file is damaged", path);
}

static enum lrc_status check_map(const struct lrc_map *map, const char *path, const char *kind,
                                 enum lrc_h5_check check, struct lrc_error *err)
{
    const size_t n_kind = strlen(kind), n_start = n_kind + sizeof "\nbytes " - 1;
    char digits[BYTES_DIGITS + 1] = "", hex[LRC_HASH_HEX_MAX] = "";
    if (map->size_bytes <= LRC_H5_SEAL_BYTES)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a sealed file of more than %d bytes, got %zu", path,
                        LRC_H5_SEAL_BYTES, map->size_bytes);
    if (memcmp(map->data, kind, n_kind) != 0 || memcmp(map->data + n_kind, "\nbytes ", n_start - n_kind) != 0)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want '%s' in its first line, got something else", path,
                        kind);
    memcpy(digits, map->data + n_start, BYTES_DIGITS);
    const unsigned long long bytes = strtoull(digits, NULL, 10);
    if (bytes != map->size_bytes)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want the %llu bytes it was written with, got %zu", path,
                        bytes, map->size_bytes);
    memcpy(hex, map->data + n_start + BYTES_DIGITS + sizeof "\nsha256 " - 1, sizeof hex - 1);
    unsigned char seal[LRC_H5_SEAL_BYTES];
    format_seal(seal, kind, map->size_bytes, hex);
    if (memcmp(seal, map->data, sizeof seal) != 0)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a seal in its first %d bytes, got a damaged one",
                        path, LRC_H5_SEAL_BYTES);
    return check == LRC_H5_CHECK_ALL ? check_hash(map, path, kind, err) : LRC_STATUS_OK;
}

enum lrc_status lrc_h5_seal_check(const char *path, const char *kind, enum lrc_h5_check check,
                                  struct lrc_error *err)
{
    struct lrc_map map;
    LRC_TRY(lrc_map_open(&map, path, err));
    const enum lrc_status status = check_map(&map, path, kind, check, err);
    lrc_map_close(&map);
    return status;
}
