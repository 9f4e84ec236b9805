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

    const int    has_top_k = sampling->top_k > 0 && sampling->top_k < n;
    const double uniform = uniform_at(sampling, position);
    double       all = 0.0, sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        scratch[i] = (int32_t)i;
        if (!has_top_k) /* its exponentials are most of the work */
            all += weight_of(logits, (int32_t)i, best, temperature);
    }
    if (!has_top_k && sampling->top_p >= 1.0) {
        *token = draw_from_all(logits, n, best, temperature, uniform * all);
        return LRC_STATUS_OK;
    }
    for (int64_t i = n / 2; i-- > 0;)
        sift_down(scratch, n, i, logits);

    /* top_p counts within the top_k: their weight is known only when all of them are taken */
    int64_t       n_set = take_foremost(scratch, n, has_top_k ? sampling->top_k : n,
                                  has_top_k ? INFINITY : sampling->top_p * all, logits, temperature, &sum);
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
