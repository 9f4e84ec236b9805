/* The known name a mistyped one most likely meant. */
#ifndef LRC_BASE_NEAREST_H
#define LRC_BASE_NEAREST_H

#include <stddef.h>

/* A search over many candidates; start from { .word = word }. */
struct lrc_nearest {
    const char *word;
    const char *best; /* NULL until a candidate is near enough: at most max(1, length / 3) edits */
    int         best_edits;
};

/* candidate need not outlive the call unless it becomes best. */
void lrc_nearest_offer(struct lrc_nearest *nearest, const char *candidate);

/* Least number of insertions, deletions, substitutions and swaps of neighbours that turn a into b; words
 * longer than 64 bytes are as far apart as their longer length.
 *
 * source: optimal string alignment, Damerau 1964 */
int lrc_edit_distance(const char *a, const char *b);

#endif
