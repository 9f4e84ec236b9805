/* Rows into sequences of at most so many tokens, as few as possible: best fit decreasing.
 *
 * The longest row comes first; each goes where the least room is left that still takes it, else opens a
 * sequence. At most 11/9 of the least possible number of sequences, and near it where many rows are short.
 *
 * source: Johnson 1973, "Near-optimal bin packing algorithms" */
#ifndef LRC_DATA_PACK_H
#define LRC_DATA_PACK_H

#include "base/status.h"
#include <stdint.h>

/* Speaks of ranks, not of rows: rank i is the i-th longest row. Rows of one length may change places without
 * any change here, so that the number of sequences is the same in every epoch. */
struct lrc_packing {
    int64_t n_bins;
    int64_t *place;       /* (n_rows) of a rank, among the rows of all bins one after another */
    int64_t *bin_offsets; /* (n_bins + 1) into places */
};

/* lengths: (n) descending, each from 1 to capacity. O(n log capacity) time, O(n + capacity) memory.
 * errors: NOMEM. ownership: lrc_packing_release(). */
enum lrc_status lrc_packing_init(struct lrc_packing *packing, const int64_t *lengths, int64_t n,
                                 int64_t capacity, struct lrc_error *err) LRC_MUST_CHECK;
void lrc_packing_release(struct lrc_packing *packing); /* safe on a zeroed packing */

#endif
