#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Memory of LARGE_BYTES and more is touched first by all threads: one thread takes half a second
 * for what a model of a billion weights trains in. */
enum { ALIGN_BYTES = 64, HUGE_BYTES = 2 << 20, LARGE_BYTES = 32 << 20 };

/* Large blocks ask for huge pages: products walk down columns of matrices whose rows are pages apart, and a
 * missing translation costs more than the element. Whole pages only, so that no byte more is touched. */
static void *allocate_default(size_t size_bytes)
{
    const size_t huge_bytes = size_bytes / HUGE_BYTES * HUGE_BYTES;
    void        *memory = NULL;
    if (posix_memalign(&memory, huge_bytes > 0 ? HUGE_BYTES : ALIGN_BYTES, size_bytes) != 0)
        return NULL;
    if (huge_bytes > 0)
        (void)madvise(memory, huge_bytes, MADV_HUGEPAGE);
    return memory;
}

struct lrc_allocator lrc_allocator = { allocate_default, realloc, free };

static int size_of(int64_t n_elems, size_t elem_bytes, size_t *size_bytes)
{
    if (n_elems < 0 || elem_bytes == 0 || (uint64_t)n_elems > SIZE_MAX / elem_bytes)
        return 0;
    *size_bytes = (size_t)n_elems * elem_bytes;
    if (*size_bytes == 0)
        *size_bytes = 1;
    return 1;
}

static void zero(unsigned char *memory, size_t size_bytes)
{
    if (size_bytes < LARGE_BYTES) {
        memset(memory, 0, size_bytes);
        return;
    }
    const int64_t n_pieces = (int64_t)((size_bytes + HUGE_BYTES - 1) / HUGE_BYTES);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n_pieces; i++) {
        const size_t first = (size_t)i * HUGE_BYTES, left = size_bytes - first;
        memset(memory + first, 0, left < HUGE_BYTES ? left : HUGE_BYTES);
    }
}

void *lrc_calloc(int64_t n_elems, size_t elem_bytes)
{
    size_t size_bytes;
    if (!size_of(n_elems, elem_bytes, &size_bytes))
        return NULL;
    void *memory = lrc_allocator.allocate(size_bytes);
    if (memory)
        zero(memory, size_bytes);
    return memory;
}

void *lrc_realloc(void *memory, int64_t n_elems, size_t elem_bytes)
{
    size_t size_bytes;
    if (!size_of(n_elems, elem_bytes, &size_bytes))
        return NULL;
    return lrc_allocator.reallocate(memory, size_bytes);
}

void lrc_free(void *memory)
{
    lrc_allocator.release(memory);
}

char *lrc_strdup(const char *string)
{
    const size_t n = strlen(string) + 1;
    char *copy = lrc_calloc((int64_t)n, 1);
    return copy ? memcpy(copy, string, n) : NULL;
}

enum lrc_status lrc_fail_nomem(struct lrc_error *err, const char *what)
{
    return lrc_fail(err, LRC_STATUS_NOMEM, "%s: out of memory", what);
}
