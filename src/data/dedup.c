#include "data/dedup.h"

#include "base/alloc.h"
#include <string.h>

/* FNV-1a over whole words, finished so that the low bits depend on all of them. */
static uint64_t hash_words(uint64_t hash, const int32_t *words, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        hash = (hash ^ (uint32_t)words[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

static int equal(const int32_t *words, int64_t a, int64_t b, int64_t n)
{
    return memcmp(words + a, words + b, (size_t)n * sizeof *words) == 0;
}

static void put(struct lrc_dedup *dedup, struct lrc_dedup_row row)
{
    uint64_t place = row.hash;
    while (dedup->table[place & (uint64_t)(dedup->n_places - 1)].n > 0)
        place++;
    dedup->table[place & (uint64_t)(dedup->n_places - 1)] = row;
}

static enum lrc_status grow(struct lrc_dedup *dedup, struct lrc_error *err)
{
    if (2 * dedup->n_used < dedup->n_places)
        return LRC_STATUS_OK;
    const struct lrc_dedup old = *dedup;
    dedup->n_places = old.n_places ? 2 * old.n_places : 1024;
    dedup->table = lrc_calloc(dedup->n_places, sizeof *dedup->table);
    if (!dedup->table) {
        *dedup = old;
        return lrc_fail_nomem(err, "the table of duplicate rows");
    }
    for (int64_t i = 0; i < old.n_places; i++)
        if (old.table[i].n > 0)
            put(dedup, old.table[i]);
    lrc_free(old.table);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_dedup_find(int *found, struct lrc_dedup *dedup, const int32_t *ids,
                               const int32_t *targets, int64_t first, int64_t n, struct lrc_error *err)
{
    LRC_TRY(grow(dedup, err));
    const uint64_t offset_basis = 0xcbf29ce484222325u;
    const uint64_t hash = hash_words(hash_words(offset_basis, ids + first, n), targets + first, n);
    *found = 0;
    for (uint64_t place = hash; !*found; place++) {
        const struct lrc_dedup_row *row = &dedup->table[place & (uint64_t)(dedup->n_places - 1)];
        if (row->n == 0)
            break;
        *found = row->hash == hash && row->n == n && equal(ids, row->first, first, n) &&
                 equal(targets, row->first, first, n);
    }
    if (!*found) {
        put(dedup, (struct lrc_dedup_row){hash, first, n});
        dedup->n_used++;
    }
    return LRC_STATUS_OK;
}

void lrc_dedup_release(struct lrc_dedup *dedup)
{
    lrc_free(dedup->table);
    *dedup = (struct lrc_dedup){0};
}
