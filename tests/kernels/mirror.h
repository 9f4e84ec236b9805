/* Runs the cases of an op, which live in host memory, on a backend whose memory is its own. */
#ifndef LRC_TESTS_KERNELS_MIRROR_H
#define LRC_TESTS_KERNELS_MIRROR_H

#include "backend.h"

/* Follows lrc_calloc() and lrc_free() from here on; what is allocated before is not mirrored. */
void lrc_mirror_begin(void);
void lrc_mirror_end(void);

/* A backend whose every op copies the heap blocks that the arguments point into to `device`, guards included,
 * runs there, synchronizes, and copies all of them back. One device at a time. Host structs that hold
 * pointers (weights, adapters, lists of tensors) are copied with their pointers changed; other pointers stay
 * as they are. */
const struct lrc_backend *lrc_mirror_of(const struct lrc_backend *device);

#endif
