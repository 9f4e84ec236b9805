#include "base/arena.h"

#include <string.h>

/* memcpy: the caller's pointer has its own type, so storing it as void * would break aliasing. */
static void set_slot(void *slot, void *address)
{
    memcpy(slot, &address, sizeof address);
}

enum lrc_status lrc_arena_plan(struct lrc_arena *arena, const char *name, void *slot,
                             int64_t n_elems, size_t elem_bytes, struct lrc_error *err)
{
    const size_t align = LRC_ARENA_ALIGN_BYTES;

    set_slot(slot, NULL);
    if (arena->n_regions == LRC_ARENA_REGIONS_MAX)
        return lrc_fail(err, LRC_STATUS_NOMEM, "arena: no room for region '%s' (limit %d)", name,
                        LRC_ARENA_REGIONS_MAX);
    if (n_elems < 0 || elem_bytes == 0 ||
        (uint64_t)n_elems > (SIZE_MAX - arena->size_bytes - align) / elem_bytes)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "arena: region '%s' of %lld x %zu bytes does not fit in memory", name,
                        (long long)n_elems, elem_bytes);

    const size_t size_bytes = (size_t)n_elems * elem_bytes;
    arena->regions[arena->n_regions++] =
        (struct lrc_region){ name, arena->size_bytes, size_bytes, slot };
    arena->size_bytes += (size_bytes + align - 1) / align * align;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_arena_commit(struct lrc_arena *arena, struct lrc_error *err)
{
    if (arena->size_bytes == 0)
        return LRC_STATUS_OK;
    arena->base = arena->size_bytes > INT64_MAX ? NULL : lrc_calloc((int64_t)arena->size_bytes, 1);
    if (!arena->base)
        return lrc_fail(err, LRC_STATUS_NOMEM, "arena: could not allocate %zu bytes for %d regions",
                       arena->size_bytes, arena->n_regions);
    for (int i = 0; i < arena->n_regions; i++)
        set_slot(arena->regions[i].slot, arena->base + arena->regions[i].offset_bytes);
    return LRC_STATUS_OK;
}

void lrc_arena_release(struct lrc_arena *arena)
{
    for (int i = 0; i < arena->n_regions; i++)
        set_slot(arena->regions[i].slot, NULL);
    lrc_free(arena->base);
    *arena = (struct lrc_arena){ 0 };
}
