/* One allocation, many named regions: plan, commit, release. An arena lies in one memory: the host's heap, or
 * what a struct lrc_memory gives (a device's; host memory that a device copies from fast). */
#ifndef LRC_BASE_ARENA_H
#define LRC_BASE_ARENA_H

#include "base/alloc.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

enum { LRC_ARENA_ALIGN_BYTES = 64, LRC_ARENA_REGIONS_MAX = 96 };
#define LRC_ARENA_ALL_PHASES UINT32_MAX

struct lrc_memory {
    const char *where; /* "host", "device": as plans show it */
    enum lrc_status (*allocate)(void **memory, size_t size_bytes, struct lrc_error *err);
    void (*release)(void *memory);                                                    /* NULL is fine */
    enum lrc_status (*clear)(void *memory, size_t size_bytes, struct lrc_error *err); /* done on return */
};

struct lrc_region {
    const char *name;
    size_t      offset_bytes;
    size_t      size_bytes;
    uint32_t    phases;
    void       *slot; /* address of the caller's pointer: set at commit, NULL at release */
};

struct lrc_arena {
    const struct lrc_memory *memory; /* NULL: lrc_allocator's; set before the commit */
    unsigned char           *base;
    size_t                   size_bytes;
    int                      is_committed;
    int                      n_regions;
    struct lrc_region        regions[LRC_ARENA_REGIONS_MAX];
};

/* Ask for n_elems elements of elem_bytes each. slot is the address of any object pointer
 * (`&weights`); it is NULL until lrc_arena_commit() points it at the zeroed region.
 *
 * errors:    SHAPE when n_elems is negative or the size overflows size_t;
 *            NOMEM when LRC_ARENA_REGIONS_MAX regions are already planned.
 * ownership: borrows name and slot until lrc_arena_release(). */
enum lrc_status lrc_arena_plan(struct lrc_arena *arena, const char *name, void *slot, int64_t n_elems,
                               size_t elem_bytes, struct lrc_error *err) LRC_MUST_CHECK;

/* The same for a region whose contents are needed in some phases only: bits of the caller's choosing, a phase
 * each. Regions that have no phase in common may lie in the same memory, so that nobody finds in one what the
 * phase before left there. lrc_arena_plan() is for all phases; its regions lie in the order of planning. */
enum lrc_status lrc_arena_plan_during(struct lrc_arena *arena, uint32_t phases, const char *name, void *slot,
                                      int64_t n_elems, size_t elem_bytes,
                                      struct lrc_error *err) LRC_MUST_CHECK;

/* What region i adds to the arena: its bytes, and of one that shares memory what reaches beyond the regions
 * that begin before it. The sum over all regions is size_bytes. */
size_t lrc_arena_added_bytes(const struct lrc_arena *arena, int i);

/* Allocate every planned region, zeroed, in one block and fill in the pointers.
 *
 * errors:    NOMEM, naming the largest region, and those of the memory; the pointers are then all NULL and
 * the arena can be released.
 * ownership: the arena owns the block. */
enum lrc_status lrc_arena_commit(struct lrc_arena *arena, struct lrc_error *err) LRC_MUST_CHECK;

/* Free the block and clear every planned pointer; the memory stays chosen. Safe on a zeroed or failed arena.
 */
void lrc_arena_release(struct lrc_arena *arena);

const char *lrc_arena_where(const struct lrc_arena *arena);

/* Bytes of all arenas of this process that are committed now, in whatever memory: what tests hold against a
 * plan. */
int64_t lrc_arena_committed_bytes(void);

#endif
