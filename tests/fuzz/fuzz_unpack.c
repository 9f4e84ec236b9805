/* Bytes as a gzip and as a zstd file, under limits small enough for a bomb to meet them. */
#include "data/unpack.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct lrc_unpack_limits limits = { 1 << 20, 1 << 16, 100 };
    const struct lrc_packed        packed = { data, size, "fuzz" };
    struct lrc_buf                 out = { 0 };
    struct lrc_error               err;
    if (lrc_unpack_is_packed(data, size) && lrc_unpack(&out, &packed, &limits, &err) == LRC_STATUS_OK &&
        (out.len > limits.bytes_max ||
         (out.len > limits.ratio_from_bytes && out.len / limits.ratio_max > size)))
        abort();
    lrc_buf_release(&out);
    return 0;
}
