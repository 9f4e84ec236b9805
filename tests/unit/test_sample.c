/* Draws against the definition: all finite tokens sorted, the set cut off, one taken by its share. */
#include "base/rng.h"
#include "infer/generate.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { N = 3000 };

static float   logits[N];
static int32_t scratch[N], sorted[N];

static int compare(const void *left, const void *right)
{
    const int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    if (logits[a] != logits[b])
        return logits[a] > logits[b] ? -1 : 1;
    return a < b ? -1 : 1;
}

static double weight(int32_t id, const struct lrc_sampling *s)
{
    return exp(((double)logits[id] - (double)logits[sorted[0]]) / s->temperature);
}

/* Weights are summed in the order of the ids for top_p of all, and in falling order within a set. */
static int32_t by_definition(const struct lrc_sampling *s, int64_t position)
{
    int64_t n = 0, n_set = 0;
    for (int32_t i = 0; i < N; i++)
        if (isfinite(logits[i]))
            sorted[n++] = i;
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    double all = 0, sum = 0;
    if (s->top_k > 0 && s->top_k < N) {
        n = s->top_k < n ? s->top_k : n;
        for (int64_t i = 0; i < n; i++)
            all += weight(sorted[i], s);
    } else
        for (int32_t i = 0; i < N; i++)
            all += isfinite(logits[i]) ? weight(i, s) : 0;
    while (n_set < n && sum < s->top_p * all)
        sum += weight(sorted[n_set++], s);
    const struct lrc_rng_block block =
        lrc_rng_philox(lrc_rng_key(s->seed, LRC_RNG_SAMPLE, 0, 0), 0, (uint64_t)position);
    double  reach = ((double)block.word[0] * 0x1p32 + (double)block.word[1]) * 0x1p-64 * sum;
    int32_t token = sorted[0];
    for (int64_t i = 0; i < n_set && reach >= 0; i++) {
        token = sorted[i];
        reach -= weight(token, s);
    }
    return token;
}

/* spread: logits lie in [0, spread), on a grid of `steps` when it is not 0, so that many are equal. */
static void fill(double spread, int steps)
{
    for (int32_t i = 0; i < N; i++) {
        const struct lrc_rng_block block = lrc_rng_philox(5, 0, (uint64_t)i);
        const double               u = (double)lrc_rng_unit(block.word[0]);
        logits[i] = (float)(spread * (steps > 0 ? floor(u * steps) / steps : u * u * u));
    }
}

static void expect_draws(const char *what)
{
    static const double  temperatures[] = { 0.02, 0.7, 1, 3, 1e3 }, top_ps[] = { 0, 0.05, 0.5, 0.9, 0.999 };
    static const int64_t top_ks[] = { 0, 2, 40, N - 1 };
    struct lrc_error     err = { 0 };
    for (int t = 0; t < 5; t++)
        for (int p = 0; p < 5; p++)
            for (int k = 0; k < 4; k++) {
                const struct lrc_sampling s = { temperatures[t], top_ks[k], top_ps[p], 7 };
                for (int64_t position = 0; position < 8; position++) {
                    int32_t token = -1;
                    cr_assert_eq(lrc_sample(&token, logits, N, &s, position, scratch, &err), LRC_STATUS_OK);
                    const int32_t want = by_definition(&s, position);
                    cr_expect_eq(token, want, "%s: temperature %g, top_p %g, top_k %d: want %d, got %d", what,
                                 s.temperature, s.top_p, (int)s.top_k, (int)want, (int)token);
                }
            }
}

Test(sample, draws_are_those_of_the_definition)
{
    fill(12, 0);
    expect_draws("some spread");
    fill(0.5, 0);
    expect_draws("flat");
    fill(300, 0);
    expect_draws("steep");
    fill(10, 7);
    expect_draws("ties");
    fill(12, 0);
    for (int32_t i = 0; i < N; i++)
        if (i % 3 > 0)
            logits[i] = i % 3 == 1 ? -INFINITY : -1e30f;
    logits[5] = NAN;
    logits[6] = INFINITY;
    expect_draws("masked");
    for (int32_t i = 0; i < N; i++)
        logits[i] = i == 77 ? -3.0f : -INFINITY;
    expect_draws("one left");
}

Test(sample, refuses_logits_none_of_which_is_finite)
{
    struct lrc_error          err = { 0 };
    const struct lrc_sampling s = { 1, 0, 0.9, 7 };
    int32_t                   token;
    for (int32_t i = 0; i < N; i++)
        logits[i] = NAN;
    cr_expect_eq(lrc_sample(&token, logits, N, &s, 3, scratch, &err), LRC_STATUS_NUMERIC);
    cr_expect_str_eq(err.message, "generate: want finite logits at position 3, got none");
}
