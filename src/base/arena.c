#include "base/arena.h"

#include <stdatomic.h>
#include <string.h>

static atomic_llong committed_bytes;

/* memcpy: the caller's pointer has its own type, so storing it as void * would break aliasing. */
static void set_slot(void *slot, void *address)
{
    memcpy(slot, &address, sizeof address);
}

static size_t end_of(const struct lrc_region *region)
{
    const size_t align = LRC_ARENA_ALIGN_BYTES;
    return region->offset_bytes + (region->size_bytes + align - 1) / align * align;
}

/* The lowest place where the region meets none of the n others with which it shares a phase. */
static void place(struct lrc_region *region, struct lrc_region *const *others, int n)
{
    region->offset_bytes = 0;
    for (int i = 0; i < n;) {
        const struct lrc_region *other = others[i];
        const int meets = (region->phases & other->phases) != 0 && region->offset_bytes < end_of(other) &&
                          other->offset_bytes < end_of(region);
        if (meets)
            region->offset_bytes = end_of(other);
        i = meets ? 0 : i + 1;
    }
}

static int n_phases(const struct lrc_region *region)
{
    int n = 0;
    for (uint32_t left = region->phases; left; left &= left - 1)
        n++;
    return n;
}

/* Whether the later planned of two regions is placed first: for it has more phases, or as many and is larger.
 * Those of all phases stay in order. */
static int goes_before(const struct lrc_region *later, const struct lrc_region *earlier)
{
    const int more = n_phases(later) - n_phases(earlier);
    return more > 0 ||
           (more == 0 && later->phases != LRC_ARENA_ALL_PHASES && later->size_bytes > earlier->size_bytes);
}

static void place_all(struct lrc_arena *arena)
{
    struct lrc_region *placed[LRC_ARENA_REGIONS_MAX];
    for (int i = 0; i < arena->n_regions; i++) {
        int at = i;
        for (; at > 0 && goes_before(&arena->regions[i], placed[at - 1]); at--)
            placed[at] = placed[at - 1];
        placed[at] = &arena->regions[i];
    }
    arena->size_bytes = 0;
    for (int i = 0; i < arena->n_regions; i++) {
        place(placed[i], placed, i);
        arena->size_bytes = end_of(placed[i]) > arena->size_bytes ? end_of(placed[i]) : arena->size_bytes;
    }
}

enum lrc_status lrc_arena_plan(struct lrc_arena *arena, const char *name, void *slot, int64_t n_elems,
                               size_t elem_bytes, struct lrc_error *err)
{
    return lrc_arena_plan_during(arena, LRC_ARENA_ALL_PHASES, name, slot, n_elems, elem_bytes, err);
}

enum lrc_status lrc_arena_plan_during(struct lrc_arena *arena, uint32_t phases, const char *name, void *slot,
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

    arena->regions[arena->n_regions++] =
        (struct lrc_region){ name, 0, (size_t)n_elems * elem_bytes, phases, slot };
    place_all(arena);
    return LRC_STATUS_OK;
}

size_t lrc_arena_added_bytes(const struct lrc_arena *arena, int i)
{
    const struct lrc_region *region = &arena->regions[i];
    size_t                   before = 0;
    for (int j = 0; j < arena->n_regions; j++) {
        const struct lrc_region *other = &arena->regions[j];
        const int                is_before = other->offset_bytes < region->offset_bytes ||
                              (other->offset_bytes == region->offset_bytes && j < i);
        if (is_before && end_of(other) > before)
            before = end_of(other);
    }
    return end_of(region) > before ? end_of(region) - before : 0;
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
        base = arena->size_bytes > INT64_MAX ? NULL : lrc_calloc((int64_t)arena->size_bytes, 1);
        if (!base)
            return fail_allocation(arena, &why, err);
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
