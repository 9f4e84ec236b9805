/* Rows that were there before: the same ids with the same targets. */
#ifndef LRC_DATA_DEDUP_H
#define LRC_DATA_DEDUP_H

#include "base/status.h"
#include <stdint.h>

/* A stretch of tokens in the growing arrays of a dataset. */
struct lrc_dedup_row {
    uint64_t hash;
    int64_t first, n; /* n 0: an empty place of the table */
};

struct lrc_dedup {
    struct lrc_dedup_row *table; /* open addressing, at most half full */
    int64_t n_places, n_used;
};

/* Is ids and targets [first, first + n), n > 0, equal to an earlier stretch? If not, it is remembered. ids
 * and targets may have moved since, with what they hold as it was. errors: NOMEM. */
enum lrc_status lrc_dedup_find(int *found, struct lrc_dedup *dedup, const int32_t *ids,
                               const int32_t *targets, int64_t first, int64_t n,
                               struct lrc_error *err) LRC_MUST_CHECK;
void lrc_dedup_release(struct lrc_dedup *dedup);

#endif
