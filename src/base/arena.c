#include "base/arena.h"

#include <stdatomic.h>
#include <string.h>

static atomic_llong committed_bytes;

/* memcpy: the caller's pointer has its own type, so storing it as void * would break aliasing. */
static void set_slot(void *slot, void *address)
{
    memcpy(slot, &address, sizeof address);
}

enum lrc_status lrc_arena_plan(struct lrc_arena *arena, const char *name, void *slot, int64_t n_elems,
                               size_t elem_bytes, struct lrc_error *err)
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
    arena->regions[arena->n_regions++] = (struct lrc_region){ name, arena->size_bytes, size_bytes, slot };
    arena->size_bytes += (size_bytes + align - 1) / align * align;
    return LRC_STATUS_OK;
}

static enum lrc_status fail_allocation(const struct lrc_arena *arena, const struct lrc_error *why,
                                       struct lrc_error *err)
{
    const struct lrc_region *largest = &arena->regions[0];
    for (int i = 1; i < arena->n_regions; i++)
        if (arena->regions[i].size_bytes > largest->size_bytes)
            largest = &arena->regions[i];
    return lrc_fail(err, why->status, "%s memory: want %zu bytes, of which '%s' %zu, got none%s%s",
                    lrc_arena_where(arena), arena->size_bytes, largest->name, largest->size_bytes,
                    why->message[0] ? ": " : "", why->message);
}

/* The block, zeroed. */
static enum lrc_status allocate(struct lrc_arena *arena, struct lrc_error *err)
{
    const struct lrc_memory *memory = arena->memory;
    struct lrc_error         why = { .status = LRC_STATUS_NOMEM };
    void                    *base = NULL;
    if (!memory) {
        base = lrc_allocator.allocate(arena->size_bytes);
        if (!base)
            return fail_allocation(arena, &why, err);
        memset(base, 0, arena->size_bytes);
        arena->base = base;
        return LRC_STATUS_OK;
    }
    if (memory->allocate(&base, arena->size_bytes, &why) != LRC_STATUS_OK)
        return fail_allocation(arena, &why, err);
    arena->base = base;
    return memory->clear(base, arena->size_bytes, err);
}

enum lrc_status lrc_arena_commit(struct lrc_arena *arena, struct lrc_error *err)
{
    if (arena->size_bytes == 0)
        return LRC_STATUS_OK;
    LRC_TRY(allocate(arena, err));
    atomic_fetch_add(&committed_bytes, (long long)arena->size_bytes);
    arena->is_committed = 1;
    for (int i = 0; i < arena->n_regions; i++)
        set_slot(arena->regions[i].slot, arena->base + arena->regions[i].offset_bytes);
    return LRC_STATUS_OK;
}

void lrc_arena_release(struct lrc_arena *arena)
{
    const struct lrc_memory *memory = arena->memory;
    for (int i = 0; i < arena->n_regions; i++)
        set_slot(arena->regions[i].slot, NULL);
    if (arena->is_committed)
        atomic_fetch_sub(&committed_bytes, (long long)arena->size_bytes);
    if (memory)
        memory->release(arena->base);
    else
        lrc_allocator.release(arena->base);
    *arena = (struct lrc_arena){ .memory = memory };
}

const char *lrc_arena_where(const struct lrc_arena *arena)
{
    return arena->memory ? arena->memory->where : "host";
}

int64_t lrc_arena_committed_bytes(void)
{
    return (int64_t)atomic_load(&committed_bytes);
}
