/* Heap memory through one replaceable allocator, so that tests can make the n-th allocation fail. */
#ifndef LRC_BASE_ALLOC_H
#define LRC_BASE_ALLOC_H

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

struct lrc_allocator {
    void *(*allocate)(size_t size_bytes);                    /* aligned to 64 bytes */
    void *(*reallocate)(void *memory, size_t size_bytes);    /* alignment of malloc */
    void (*release)(void *memory);
};
extern struct lrc_allocator lrc_allocator;

/* Zeroed array of n_elems elements, 64-byte aligned; NULL when out of memory, when the size overflows or
 * n_elems is negative. Zero elements give a valid pointer. Release with lrc_free(). */
void *lrc_calloc(int64_t n_elems, size_t elem_bytes) LRC_MUST_CHECK;

/* As realloc(); NULL leaves the old block as it was. */
void *lrc_realloc(void *memory, int64_t n_elems, size_t elem_bytes) LRC_MUST_CHECK;

void lrc_free(void *memory); /* NULL is fine */

/* Copy of a string; NULL when out of memory. */
char *lrc_strdup(const char *string) LRC_MUST_CHECK;

/* The one sentence for a failed allocation. */
enum lrc_status lrc_fail_nomem(struct lrc_error *err, const char *what);

#endif
