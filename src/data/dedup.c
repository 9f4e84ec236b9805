#include "data/dedup.h"

#include "base/alloc.h"
#include "base/hash.h"
#include <stdlib.h>
#include <string.h>

static int is_empty(const struct lrc_dedup_key *key)
{
    return (key->half[0] | key->half[1]) == 0;
}

/* Of SHA-256, so that nobody's rows collide. */
static enum lrc_status make_key(struct lrc_dedup_key *key, const int32_t *ids, const int32_t *targets,
                                int64_t n, struct lrc_error *err)
{
    struct lrc_hash hash;
    char            hex[LRC_HASH_HEX_MAX], digits[17] = "";
    LRC_TRY(lrc_hash_init(&hash, err));
    lrc_hash_update(&hash, ids, (size_t)n * sizeof *ids);
    lrc_hash_update(&hash, targets, (size_t)n * sizeof *targets);
    lrc_hash_finish(&hash, hex);
    for (int i = 0; i < 2; i++) {
        memcpy(digits, hex + 16 * i, 16);
        key->half[i] = strtoull(digits, NULL, 16);
    }
    key->half[1] |= 1; /* no key is that of an empty place */
    return LRC_STATUS_OK;
}

/* The place of key, or the empty one where it belongs. */
static struct lrc_dedup_key *find(const struct lrc_dedup *dedup, const struct lrc_dedup_key *key)
{
    for (uint64_t place = key->half[0];; place++) {
        struct lrc_dedup_key *at = &dedup->table[place & (uint64_t)(dedup->n_places - 1)];
        if (is_empty(at) || (at->half[0] == key->half[0] && at->half[1] == key->half[1]))
            return at;
    }
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
        if (!is_empty(&old.table[i]))
            *find(dedup, &old.table[i]) = old.table[i];
    lrc_free(old.table);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_dedup_find(int *found, struct lrc_dedup *dedup, const int32_t *ids,
                               const int32_t *targets, int64_t n, struct lrc_error *err)
{
    struct lrc_dedup_key key;
    LRC_TRY(grow(dedup, err));
    LRC_TRY(make_key(&key, ids, targets, n, err));
    struct lrc_dedup_key *place = find(dedup, &key);
    *found = !is_empty(place);
    dedup->n_used += !*found;
    *place = key;
    return LRC_STATUS_OK;
}

void lrc_dedup_release(struct lrc_dedup *dedup)
{
    lrc_free(dedup->table);
    *dedup = (struct lrc_dedup){ 0 };
}
