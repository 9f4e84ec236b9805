/* Rows that were there before, known by 128 bits of a hash of their tokens. */
#ifndef LRC_DATA_DEDUP_H
#define LRC_DATA_DEDUP_H

#include "base/status.h"
#include <stdint.h>

struct lrc_dedup_key {
    uint64_t half[2]; /* both 0: an empty place of the table */
};

struct lrc_dedup {
    struct lrc_dedup_key *table; /* open addressing, at most half full */
    int64_t               n_places, n_used;
};

/* Was there a row with these ids and targets (n > 0 of each) before? If not, it is remembered. errors: NOMEM,
 * DEVICE. */
enum lrc_status lrc_dedup_find(int *found, struct lrc_dedup *dedup, const int32_t *ids,
                               const int32_t *targets, int64_t n, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_dedup_release(struct lrc_dedup *dedup);

#endif
