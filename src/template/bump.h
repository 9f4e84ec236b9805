/* Memory that is taken piece by piece and given back all at once, with a bound: one per template, one per
 * rendering. */
#ifndef LRC_TEMPLATE_BUMP_H
#define LRC_TEMPLATE_BUMP_H

#include "base/status.h"
#include <stddef.h>

struct lrc_bump_chunk;

struct lrc_bump {
    struct lrc_bump_chunk *chunk; /* the newest; the others hang on it */
    size_t held_bytes;
    size_t max_bytes;
    int over_bound; /* the last failure was the bound, not the machine */
};

/* n bytes aligned for any object, not zeroed; NULL when over max_bytes or out of memory. */
void *lrc_bump__take(struct lrc_bump *bump, size_t n) LRC_MUST_CHECK;

/* Lengthen the newest piece [piece, piece + n) by extra bytes where it lies; 0 when it is not the newest or
 * has no room. */
int lrc_bump__extend(struct lrc_bump *bump, const void *piece, size_t n, size_t extra) LRC_MUST_CHECK;

void lrc_bump__release(struct lrc_bump *bump);

#endif
