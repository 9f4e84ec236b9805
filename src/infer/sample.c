#include "infer/generate.h"

#include "base/rng.h"
#include <math.h>

static int32_t largest(const float *logits, int64_t n)
{
    int32_t best = -1;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(logits[i]) && (best < 0 || logits[i] > logits[best]))
            best = (int32_t)i;
    return best;
}

/* Does a stand before b? Larger logit first, lower id on a tie; a NaN stands last. */
static int before(const float *logits, int32_t a, int32_t b)
{
    const float x = isnan(logits[a]) ? -INFINITY : logits[a], y = isnan(logits[b]) ? -INFINITY : logits[b];
    return x > y || (x == y && a < b);
}

/* Tokens by how far their logit lies below the largest, in sixteenths of the temperature; the last bucket
 * takes what is left, weights below e^-32. A walk over them bounds what can be drawn, and nothing else is
 * sorted. */
enum { BUCKETS = 512, BUCKETS_PER_E = 16 };

struct buckets {
    double  largest, per_unit;
    double  weight[BUCKETS]; /* of what is finite */
    int64_t n[BUCKETS];
};

static int bucket_of(const struct buckets *buckets, float logit)
{
    const double at = (buckets->largest - (double)logit) * buckets->per_unit;
    return at < BUCKETS - 1 ? (int)at : BUCKETS - 1;
}

/* The tokens of the first buckets that hold n_max tokens or, surely, a weight of `enough`. Returns their
 * number. */
static int64_t choose_candidates(int32_t *candidates, const struct buckets *buckets, const float *logits,
                                 int64_t n, int64_t n_max, double enough)
{
    int     last = 0;
    int64_t count = buckets->n[0], n_candidates = 0;
    double  sum = buckets->weight[0];
    /* the weight is summed again in another order: n roundings */
    while (last < BUCKETS - 1 && count < n_max && sum < enough * (1 + 0x1p-50 * (double)n)) {
        last++;
        count += buckets->n[last];
        sum += buckets->weight[last];
    }
    for (int64_t i = 0; i < n; i++)
        if (isfinite(logits[i]) && bucket_of(buckets, logits[i]) <= last)
            candidates[n_candidates++] = (int32_t)i;
    return n_candidates;
}

/* Heap with the foremost token at the root: only as many as are drawn from get sorted. */
static void sift_down(int32_t *heap, int64_t n, int64_t i, const float *logits)
{
    for (;;) {
        int64_t first = 2 * i + 1;
        if (first >= n)
            return;
        if (first + 1 < n && before(logits, heap[first + 1], heap[first]))
            first++;
        if (!before(logits, heap[first], heap[i]))
            return;
        const int32_t swapped = heap[i];
        heap[i] = heap[first];
        heap[first] = swapped;
        i = first;
    }
}

/* exp((logit - largest) / temperature); 0 for what is not finite. */
static double weight_of(const float *logits, int32_t id, int32_t best, double temperature)
{
    return isfinite(logits[id]) ? exp(((double)logits[id] - (double)logits[best]) / temperature) : 0.0;
}

/* Move the foremost tokens from the heap to the end of the array, foremost last, until there are n_max of
 * them or their weight reaches `enough`. Returns their number and adds their weight to *sum. */
static int64_t take_foremost(int32_t *heap, int64_t n, int64_t n_max, double enough, const float *logits,
                             double temperature, double *sum)
{
    int64_t taken = 0;
    while (taken < n_max && *sum < enough) {
        const int32_t id = heap[0];
        const int64_t left = n - ++taken;
        heap[0] = heap[left];
        sift_down(heap, left, 0, logits);
        heap[left] = id;
        *sum += weight_of(logits, id, heap[n - 1], temperature);
    }
    return taken;
}

/* A number that is uniform in [0, 1), of the position. */
static double uniform_at(const struct lrc_sampling *sampling, int64_t position)
{
    const struct lrc_rng_block block =
        lrc_rng_philox(lrc_rng_key(sampling->seed, LRC_RNG_SAMPLE, 0, 0), 0, (uint64_t)position);
    return ((double)block.word[0] * 0x1p32 + (double)block.word[1]) * 0x1p-64;
}

/* From the whole vocabulary, in the order of the ids: nothing has to be sorted. */
static int32_t draw_from_all(const float *logits, int64_t n, int32_t best, double temperature, double reach)
{
    int32_t token = best;
    for (int64_t i = 0; i < n && reach >= 0.0; i++) {
        const double weight = weight_of(logits, (int32_t)i, best, temperature);
        if (weight > 0.0)
            token = (int32_t)i;
        reach -= weight;
    }
    return token;
}

enum lrc_status lrc_sample(int32_t *token, const float *logits, int64_t n,
                           const struct lrc_sampling *sampling, int64_t position, int32_t *scratch,
                           struct lrc_error *err)
{
    const int32_t best = largest(logits, n);
    const double  temperature = sampling->temperature;
    if (best < 0)
        return lrc_fail(err, LRC_STATUS_NUMERIC, "generate: want finite logits at position %lld, got none",
                        (long long)position);
    *token = best;
    if (temperature <= 0.0 || sampling->top_k == 1)
        return LRC_STATUS_OK;

    const int      has_top_k = sampling->top_k > 0 && sampling->top_k < n;
    const double   uniform = uniform_at(sampling, position);
    struct buckets buckets = { .largest = (double)logits[best], .per_unit = BUCKETS_PER_E / temperature };
    double         all = 0.0, sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(logits[i]))
            continue;
        const int at = bucket_of(&buckets, logits[i]);
        buckets.n[at]++;
        if (has_top_k) /* exponentials are most of the work */
            continue;
        const double weight = weight_of(logits, (int32_t)i, best, temperature);
        all += weight;
        buckets.weight[at] += weight;
    }
    if (!has_top_k && sampling->top_p >= 1.0) {
        *token = draw_from_all(logits, n, best, temperature, uniform * all);
        return LRC_STATUS_OK;
    }
    const double  wanted = has_top_k ? INFINITY : sampling->top_p * all;
    const int64_t n_max = has_top_k ? sampling->top_k : n;
    n = choose_candidates(scratch, &buckets, logits, n, n_max, wanted);
    for (int64_t i = n / 2; i-- > 0;)
        sift_down(scratch, n, i, logits);

    /* top_p counts within the top_k: their weight is known only when all of them are taken */
    int64_t       n_set = take_foremost(scratch, n, n_max < n ? n_max : n, wanted, logits, temperature, &sum);
    const double  enough = has_top_k ? sampling->top_p * sum : sum;
    const int64_t n_taken = n_set;
    sum = 0.0;
    for (n_set = 0; n_set < n_taken && sum < enough; n_set++)
        sum += weight_of(logits, scratch[n - 1 - n_set], best, temperature);

    double reach = uniform * sum;
    for (int64_t i = 0; i < n_set && reach >= 0.0; i++) {
        *token = scratch[n - 1 - i];
        reach -= weight_of(logits, *token, best, temperature);
    }
    return LRC_STATUS_OK;
}
