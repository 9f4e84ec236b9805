#include "base/nearest.h"

#include <string.h>

enum { WORD_MAX = 64 };

static int min3(int a, int b, int c)
{
    const int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

int lrc_edit_distance(const char *a, const char *b)
{
    const size_t la = strlen(a), lb = strlen(b);
    if (la > WORD_MAX || lb > WORD_MAX)
        return (int)(la > lb ? (la > 1000000 ? 1000000 : la) : (lb > 1000000 ? 1000000 : lb));
    int rows[3][WORD_MAX + 1]; /* rows i-2, i-1, i of the distance matrix, (la + 1, lb + 1) */
    int *before = rows[0], *above = rows[1], *row = rows[2];
    memset(rows, 0, sizeof rows);
    for (size_t j = 0; j <= lb; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= la; i++) {
        int *const oldest = before;
        before = above;
        above = row;
        row = oldest;
        row[0] = (int)i;
        for (size_t j = 1; j <= lb; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
    }
    return row[lb];
}

void lrc_nearest_offer(struct lrc_nearest *nearest, const char *candidate)
{
    const int length = (int)strnlen(nearest->word, WORD_MAX),
              edits = lrc_edit_distance(nearest->word, candidate);
    const int edits_max = length / 3 > 1 ? length / 3 : 1;
    if (edits > edits_max || (nearest->best && edits >= nearest->best_edits))
        return;
    nearest->best = candidate;
    nearest->best_edits = edits;
}
