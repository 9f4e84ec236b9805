#include "data/pack.h"

#include "base/alloc.h"
#include <string.h>

enum { NO_BIN = -1, WORD_BITS = 64, LEVELS_MAX = 8 };

/* Open bins by the room left in them: a stack per room, and a tree of bits that finds the least room of at
 * least n. Bit r of level 0 says that rooms[r] is not empty; a bit of level k + 1 that a word of level k is
 * not zero. */
struct rooms {
    int64_t *top;  /* (capacity + 1) bin, NO_BIN */
    int64_t *next; /* (n rows) the bin below in its stack */
    uint64_t *bits[LEVELS_MAX];
    int n_levels;
};

static int rooms_init(struct rooms *rooms, int64_t n, int64_t capacity)
{
    rooms->top = lrc_calloc(capacity + 1, sizeof *rooms->top);
    rooms->next = lrc_calloc(n, sizeof *rooms->next);
    if (!rooms->top || !rooms->next)
        return 0;
    memset(rooms->top, 0xff, (size_t)(capacity + 1) * sizeof *rooms->top); /* NO_BIN */
    int64_t n_words = capacity + 1;
    do {
        n_words = (n_words + WORD_BITS - 1) / WORD_BITS;
        uint64_t *words = lrc_calloc(n_words, sizeof *words);
        rooms->bits[rooms->n_levels] = words;
        if (!words)
            return 0;
        rooms->n_levels++;
    } while (n_words > 1);
    return 1;
}

static void rooms_release(struct rooms *rooms)
{
    lrc_free(rooms->top);
    lrc_free(rooms->next);
    for (int i = 0; i < rooms->n_levels; i++)
        lrc_free(rooms->bits[i]);
}

static void rooms_push(struct rooms *rooms, int64_t bin, int64_t room)
{
    rooms->next[bin] = rooms->top[room];
    rooms->top[room] = bin;
    for (int k = 0; k < rooms->n_levels; k++, room /= WORD_BITS)
        rooms->bits[k][room / WORD_BITS] |= UINT64_C(1) << (room % WORD_BITS);
}

static int64_t rooms_pop(struct rooms *rooms, int64_t room)
{
    const int64_t bin = rooms->top[room];
    rooms->top[room] = rooms->next[bin];
    if (rooms->top[room] != NO_BIN)
        return bin;
    for (int k = 0; k < rooms->n_levels; k++, room /= WORD_BITS) {
        rooms->bits[k][room / WORD_BITS] &= ~(UINT64_C(1) << (room % WORD_BITS));
        if (rooms->bits[k][room / WORD_BITS])
            break;
    }
    return bin;
}

static int64_t lowest_bit(uint64_t word)
{
    return (int64_t)__builtin_ctzll(word);
}

/* The least room >= wanted that a bin has; -1: none. wanted <= capacity, the last bit of level 0. */
static int64_t rooms_find(const struct rooms *rooms, int64_t wanted, int64_t capacity)
{
    int64_t at = wanted;
    for (int k = 0; k < rooms->n_levels; k++) {
        /* at: the first bit of this level that may count */
        const int64_t word = at / WORD_BITS;
        const uint64_t from_here = rooms->bits[k][word] & (~UINT64_C(0) << (at % WORD_BITS));
        if (from_here) {
            at = word * WORD_BITS + lowest_bit(from_here);
            for (int down = k; down > 0; down--)
                at = at * WORD_BITS + lowest_bit(rooms->bits[down - 1][at]);
            return at;
        }
        at = word + 1;
        capacity /= WORD_BITS;
        if (at > capacity)
            return -1;
    }
    return -1;
}

/* bin_of[rank], and the number of rows of each bin in counts[bin + 1]. */
static int64_t fill_bins(int64_t *bin_of, int64_t *counts, struct rooms *rooms, const int64_t *lengths,
                         int64_t n, int64_t capacity)
{
    int64_t n_bins = 0;
    for (int64_t i = 0; i < n; i++) {
        LRC_ASSERT(lengths[i] >= 1 && lengths[i] <= capacity);
        const int64_t room = rooms_find(rooms, lengths[i], capacity);
        const int64_t bin = room < 0 ? n_bins++ : rooms_pop(rooms, room);
        const int64_t left = (room < 0 ? capacity : room) - lengths[i];
        if (left > 0)
            rooms_push(rooms, bin, left);
        bin_of[i] = bin;
        counts[bin + 1]++;
    }
    return n_bins;
}

enum lrc_status lrc_packing_init(struct lrc_packing *packing, const int64_t *lengths, int64_t n,
                                 int64_t capacity, struct lrc_error *err)
{
    struct rooms rooms = {0};
    enum lrc_status status = LRC_STATUS_OK;
    *packing = (struct lrc_packing){.place = lrc_calloc(n, sizeof *packing->place),
                                    .bin_offsets = lrc_calloc(n + 1, sizeof *packing->bin_offsets)};
    if (!packing->place || !packing->bin_offsets || !rooms_init(&rooms, n, capacity)) {
        status = lrc_fail_nomem(err, "the packing of rows into sequences");
        lrc_packing_release(packing);
        goto done;
    }
    int64_t *bin_of = packing->place, *next = rooms.next;
    packing->n_bins = fill_bins(bin_of, packing->bin_offsets, &rooms, lengths, n, capacity);
    for (int64_t bin = 0; bin < packing->n_bins; bin++) {
        packing->bin_offsets[bin + 1] += packing->bin_offsets[bin];
        next[bin] = packing->bin_offsets[bin];
    }
    for (int64_t i = 0; i < n; i++)
        packing->place[i] = next[bin_of[i]]++;
done:
    rooms_release(&rooms);
    return status;
}

void lrc_packing_release(struct lrc_packing *packing)
{
    lrc_free(packing->place);
    lrc_free(packing->bin_offsets);
    *packing = (struct lrc_packing){0};
}
