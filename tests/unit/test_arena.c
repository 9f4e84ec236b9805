#include "base/arena.h"

#include "base/rng.h"
#include <criterion/criterion.h>
#include <string.h>

static size_t place_of(const struct lrc_arena *arena, const void *region)
{
    return (size_t)((const unsigned char *)region - arena->base);
}

Test(arena, regions_of_all_phases_lie_in_order)
{
    struct lrc_arena arena = { 0 };
    struct lrc_error err = { 0 };
    char            *small = NULL, *large = NULL, *last = NULL;
    cr_assert_eq(lrc_arena_plan(&arena, "small", &small, 1, 1, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_arena_plan(&arena, "large", &large, 1000, 1, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_arena_plan(&arena, "last", &last, 64, 1, &err), LRC_STATUS_OK);
    cr_assert_eq(arena.size_bytes, 64 + 1024 + 64);
    cr_assert_eq(lrc_arena_commit(&arena, &err), LRC_STATUS_OK);
    cr_expect_eq(place_of(&arena, small), 0);
    cr_expect_eq(place_of(&arena, large), 64);
    cr_expect_eq(place_of(&arena, last), 64 + 1024);
    lrc_arena_release(&arena);
    cr_expect_null(small);
}

Test(arena, phases_that_do_not_meet_share_memory)
{
    struct lrc_arena arena = { 0 };
    struct lrc_error err = { 0 };
    char            *always = NULL, *first = NULL, *second = NULL, *both = NULL;
    cr_assert_eq(lrc_arena_plan_during(&arena, 1, "first", &first, 640, 1, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_arena_plan_during(&arena, 2, "second", &second, 1280, 1, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_arena_plan(&arena, "always", &always, 64, 1, &err), LRC_STATUS_OK);
    cr_assert_eq(arena.size_bytes, 64 + 1280);
    cr_assert_eq(lrc_arena_plan_during(&arena, 3, "both", &both, 128, 1, &err), LRC_STATUS_OK);
    cr_assert_eq(arena.size_bytes, 64 + 128 + 1280);
    cr_assert_eq(lrc_arena_commit(&arena, &err), LRC_STATUS_OK);
    cr_expect_eq(place_of(&arena, always), 0);
    cr_expect_eq(place_of(&arena, both), 64);
    cr_expect_eq(first, second);
    lrc_arena_release(&arena);
}

/* Of 200 arenas of 40 regions each: no two regions of a phase meet, all are aligned and inside, and what they
 * add is the size. */
Test(arena, random_plans_hold)
{
    enum { N = 40 };
    static const char name[] = "region";
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct lrc_arena arena = { 0 };
        struct lrc_error err = { 0 };
        void            *slots[N];
        size_t           added = 0;
        for (uint32_t i = 0; i < N; i++) {
            const struct lrc_rng_block random = lrc_rng_philox(seed, 0, i);
            const uint32_t phases = random.word[0] % 5 == 0 ? LRC_ARENA_ALL_PHASES : random.word[1] % 255 + 1;
            cr_assert_eq(
                lrc_arena_plan_during(&arena, phases, name, &slots[i], random.word[2] % 5000, 1, &err),
                LRC_STATUS_OK);
        }
        for (int i = 0; i < N; i++) {
            const struct lrc_region *a = &arena.regions[i];
            added += lrc_arena_added_bytes(&arena, i);
            cr_assert_eq(a->offset_bytes % LRC_ARENA_ALIGN_BYTES, 0);
            cr_assert_leq(a->offset_bytes + a->size_bytes, arena.size_bytes);
            for (int j = 0; j < i; j++) {
                const struct lrc_region *b = &arena.regions[j];
                const int                meet = a->offset_bytes < b->offset_bytes + b->size_bytes &&
                                 b->offset_bytes < a->offset_bytes + a->size_bytes;
                cr_assert(!meet || (a->phases & b->phases) == 0, "seed %d: regions %d and %d meet", (int)seed,
                          i, j);
            }
        }
        cr_assert_eq(added, arena.size_bytes);
    }
}

Test(arena, sizes_that_do_not_fit_are_refused)
{
    struct lrc_arena arena = { 0 };
    struct lrc_error err = { 0 };
    char            *slot = NULL;
    cr_expect_eq(lrc_arena_plan(&arena, "negative", &slot, -1, 1, &err), LRC_STATUS_SHAPE);
    cr_expect_eq(lrc_arena_plan(&arena, "huge", &slot, INT64_MAX, 16, &err), LRC_STATUS_SHAPE);
    cr_assert_eq(lrc_arena_plan(&arena, "half", &slot, INT64_MAX, 1, &err), LRC_STATUS_OK);
    cr_expect_eq(lrc_arena_plan(&arena, "the other", &slot, INT64_MAX, 1, &err), LRC_STATUS_SHAPE);
    for (int i = 1; i < LRC_ARENA_REGIONS_MAX; i++)
        cr_assert_eq(lrc_arena_plan(&arena, "one more", &slot, 0, 1, &err), LRC_STATUS_OK);
    cr_expect_eq(lrc_arena_plan(&arena, "one too many", &slot, 0, 1, &err), LRC_STATUS_NOMEM);
    lrc_arena_release(&arena);
}
