#include "merge/merge_private.h"

#include <string.h>

static const uint64_t multiplier = UINT64_C(0x9E3779B97F4A7C15); /* odd: multiplication is a bijection */

void lrc_merge_sum_init(struct lrc_merge_sum *sum)
{
    *sum = (struct lrc_merge_sum){.lane = {1, 2, 3, 4, 5, 6, 7, 8}};
}

static void mix(uint64_t lane[8], const unsigned char *bytes, size_t n_blocks)
{
    for (size_t b = 0; b < n_blocks; b++, bytes += 64)
        for (int i = 0; i < 8; i++) {
            uint64_t word;
            memcpy(&word, bytes + 8 * i, sizeof word);
            const uint64_t x = (lane[i] ^ word) * multiplier;
            lane[i] = x << 29 | x >> 35;
        }
}

void lrc_merge_sum_add(struct lrc_merge_sum *sum, const void *bytes, size_t n)
{
    const unsigned char *next = bytes;
    sum->n_bytes += n;
    if (sum->n_rest > 0) {
        const size_t left = sizeof sum->rest - sum->n_rest, take = n < left ? n : left;
        memcpy(sum->rest + sum->n_rest, next, take);
        sum->n_rest += take;
        next += take;
        n -= take;
        if (sum->n_rest < sizeof sum->rest)
            return;
        mix(sum->lane, sum->rest, 1);
        sum->n_rest = 0;
    }
    mix(sum->lane, next, n / 64);
    next += n / 64 * 64;
    sum->n_rest = n % 64;
    memcpy(sum->rest, next, sum->n_rest);
}

uint64_t lrc_merge_sum_end(struct lrc_merge_sum *sum)
{
    uint64_t result = sum->n_bytes;
    memset(sum->rest + sum->n_rest, 0, sizeof sum->rest - sum->n_rest);
    mix(sum->lane, sum->rest, 1);
    for (int i = 0; i < 8; i++)
        result = (result ^ sum->lane[i]) * multiplier + (result >> 31);
    return result;
}
