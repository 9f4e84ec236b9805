#include "template/bump.h"

#include "base/alloc.h"
#include <stdint.h>

enum { ALIGN_BYTES = 16, CHUNK_BYTES = 64 * 1024 };

struct lrc_bump_chunk {
    struct lrc_bump_chunk *older;
    size_t size_bytes;
    size_t used_bytes;
    _Alignas(ALIGN_BYTES) unsigned char memory[];
};

static size_t round_up(size_t n)
{
    return (n + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

/* Chunks double, so that few are needed and at most half of what is held is unused. */
static int add_chunk(struct lrc_bump *bump, size_t n)
{
    size_t size_bytes = bump->held_bytes > CHUNK_BYTES ? bump->held_bytes : CHUNK_BYTES;
    if (size_bytes > bump->max_bytes - bump->held_bytes)
        size_bytes = bump->max_bytes - bump->held_bytes;
    if (size_bytes < n)
        size_bytes = n;
    if (size_bytes > bump->max_bytes - bump->held_bytes) {
        bump->over_bound = 1;
        return 0;
    }
    struct lrc_bump_chunk *chunk = lrc_realloc(NULL, (int64_t)(sizeof *chunk + size_bytes), 1);
    if (!chunk)
        return 0;
    chunk->older = bump->chunk;
    chunk->size_bytes = size_bytes;
    chunk->used_bytes = 0;
    bump->chunk = chunk;
    bump->held_bytes += size_bytes;
    return 1;
}

void *lrc_bump__take(struct lrc_bump *bump, size_t n)
{
    if (n > bump->max_bytes) {
        bump->over_bound = 1;
        return NULL;
    }
    n = round_up(n > 0 ? n : 1);
    if (!bump->chunk || n > bump->chunk->size_bytes - bump->chunk->used_bytes)
        if (!add_chunk(bump, n))
            return NULL;
    void *memory = bump->chunk->memory + bump->chunk->used_bytes;
    bump->chunk->used_bytes += n;
    return memory;
}

int lrc_bump__extend(struct lrc_bump *bump, const void *piece, size_t n, size_t extra)
{
    struct lrc_bump_chunk *chunk = bump->chunk;
    if (!chunk || n == 0)
        return 0;
    /* As integers: the piece may lie in another chunk. */
    const uintptr_t start = (uintptr_t)chunk->memory, at = (uintptr_t)piece;
    if (at < start || at - start >= chunk->used_bytes)
        return 0;
    const size_t offset = at - start;
    if (offset + round_up(n) != chunk->used_bytes || extra > chunk->size_bytes)
        return 0;
    const size_t used_bytes = offset + round_up(n + extra);
    if (used_bytes > chunk->size_bytes)
        return 0;
    chunk->used_bytes = used_bytes;
    return 1;
}

void lrc_bump__release(struct lrc_bump *bump)
{
    while (bump->chunk) {
        struct lrc_bump_chunk *older = bump->chunk->older;
        lrc_free(bump->chunk);
        bump->chunk = older;
    }
    bump->held_bytes = 0;
}
