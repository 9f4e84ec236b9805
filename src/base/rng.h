/* Random numbers from a counter: a number depends only on its key and its place, never on what was drawn
 * before, so that threads, batch slots, ranks and interruptions cannot change it. Every function here is also
 * what CUDA kernels compute (header-only for that reason).
 *
 * source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", Philox-4x32-10. */
#ifndef LRC_BASE_RNG_H
#define LRC_BASE_RNG_H

#include <stdint.h>

#ifdef __CUDACC__
#define LRC_RNG_FUNCTION static __host__ __device__ inline
#else
#define LRC_RNG_FUNCTION static inline
#endif

/* What a stream of numbers is for. Streams of different purposes never meet. */
enum lrc_rng_purpose {
    LRC_RNG_SHUFFLE = 1,
    LRC_RNG_ADAPTER_INIT = 2,
    LRC_RNG_DROPOUT = 3,
    LRC_RNG_SAMPLE = 4,
    LRC_RNG_NEFTUNE = 5
};

struct lrc_rng_block {
    uint32_t word[4];
};

LRC_RNG_FUNCTION struct lrc_rng_block lrc_rng_philox(uint64_t key, uint64_t counter_high,
                                                     uint64_t counter_low)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)counter_low, c1 = (uint32_t)(counter_low >> 32);
    uint32_t c2 = (uint32_t)counter_high, c3 = (uint32_t)(counter_high >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0;
        c1 = (uint32_t)p1;
        c2 = n2;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    struct lrc_rng_block block = { { c0, c1, c2, c3 } };
    return block;
}

/* Key of one stream: user's seed, purpose, and two places (layer and module, or epoch and 0). */
LRC_RNG_FUNCTION uint64_t lrc_rng_key(uint64_t seed, enum lrc_rng_purpose purpose, uint32_t a, uint32_t b)
{
    const struct lrc_rng_block block = lrc_rng_philox(seed, (uint64_t)purpose, ((uint64_t)a << 32) | b);
    return ((uint64_t)block.word[1] << 32) | block.word[0];
}

/* Uniform in [0, 1) with 24 bits: every value is exact in float32. */
LRC_RNG_FUNCTION float lrc_rng_unit(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

/* Uniform integer in [0, n), n >= 1, without bias that a test could see: 64-bit multiply-shift of two words.
 */
LRC_RNG_FUNCTION uint64_t lrc_rng_below(struct lrc_rng_block block, uint64_t n)
{
    const uint64_t x = ((uint64_t)block.word[1] << 32) | block.word[0];
    const uint64_t xl = x & 0xffffffffu, xh = x >> 32, nl = n & 0xffffffffu, nh = n >> 32;
    const uint64_t low = xl * nl, mid1 = xh * nl + (low >> 32), mid2 = xl * nh + (mid1 & 0xffffffffu);
    return xh * nh + (mid1 >> 32) + (mid2 >> 32);
}

#endif
