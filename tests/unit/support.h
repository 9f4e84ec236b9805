/* Shared by the tests of formats, quantization and models. */
#ifndef LRC_TESTS_UNIT_SUPPORT_H
#define LRC_TESTS_UNIT_SUPPORT_H

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

/* FNV-1a, 64 bits. */
uint64_t test_fnv(const void *bytes, size_t n);

/* "<value of the environment variable>/<rest>" in a buffer that the next call but three overwrites; skips
 * the test, saying so, when the variable is not set. */
const char *test_asset(const char *variable, const char *rest);

/* A new folder of this test alone, in TMPDIR or /tmp, removed at its end; the path lives until then. */
const char *test_folder(const char *name);

/* From now on the n-th allocation through lrc_allocator (0: the next) fails; test_alloc_restore() ends it. */
void    test_alloc_fail_at(int64_t n);
void    test_alloc_restore(void);
int64_t test_alloc_live(void); /* blocks allocated and not released since test_alloc_fail_at() */

#endif
