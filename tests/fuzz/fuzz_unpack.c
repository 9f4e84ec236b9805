/* Bytes as a data file, gzip and zstd among them, under limits small enough for a bomb to meet them. */
#include "data/unpack.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct lrc_unpack_limits limits = { 1 << 20, 1 << 16, 100 };
    struct lrc_unpacker            unpacker;
    struct lrc_error               err;
    char                           chunk[4096];
    size_t                         n_got = 1;
    const int                      fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    enum lrc_status status = lrc_unpacker_open(&unpacker, fd, "fuzz", &limits, NULL, &err);
    while (status == LRC_STATUS_OK && n_got > 0)
        status = lrc_unpacker_read(&unpacker, chunk, sizeof chunk, &n_got, &err);
    if (status == LRC_STATUS_OK && unpacker.kind == LRC_PACKED_NOT
            ? unpacker.n_out != size
            : status == LRC_STATUS_OK &&
                  (unpacker.n_out > limits.bytes_max ||
                   (unpacker.n_out > limits.ratio_from_bytes && unpacker.n_out / limits.ratio_max > size)))
        abort();
    lrc_unpacker_close(&unpacker);
    return 0;
}
