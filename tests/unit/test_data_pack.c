#include "base/alloc.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/rng.h"
#include "data/batch.h"
#include "data/pack.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROWS = 300, SEQUENCE_LEN = 64 };

static int64_t draw(uint64_t counter, int64_t n)
{
    return (int64_t)lrc_rng_below(lrc_rng_philox(11, 0, counter), (uint64_t)n);
}

/* Rows of 1 to 61 tokens; each token tells its row; all but the first are trained in rows of even numbers,
 * the last one alone in the others. */
struct made {
    struct lrc_dataset dataset;
    struct lrc_example examples[N_ROWS];
    int32_t            ids[N_ROWS * SEQUENCE_LEN], targets[N_ROWS * SEQUENCE_LEN];
};

static void make(struct made *made, int64_t n_rows)
{
    int64_t at = 0;
    memset(made, 0, sizeof *made);
    for (int64_t r = 0; r < n_rows; r++) {
        const int64_t n = 1 + draw((uint64_t)r, 61);
        made->examples[r] =
            (struct lrc_example){ .first = at, .n_tokens = n, .row_id = (uint32_t)r, .id = (uint32_t)r };
        for (int64_t i = 0; i < n; i++) {
            const int trained = i + 1 < n && (r % 2 == 0 || i + 2 == n);
            made->ids[at + i] = (int32_t)(r * 100 + i);
            made->targets[at + i] = trained ? (int32_t)(r * 100 + i + 1) : -1;
            made->examples[r].n_trained += trained;
        }
        at += n;
    }
    made->dataset = (struct lrc_dataset){ .ids = made->ids,
                                          .targets = made->targets,
                                          .n_ids = at,
                                          .examples = made->examples,
                                          .n_examples = n_rows };
}

static struct lrc_batch_stream *open_stream(const struct lrc_dataset       *dataset,
                                            const struct lrc_batch_options *options)
{
    struct lrc_error         err;
    struct lrc_batch_stream *stream;
    cr_assert_eq(lrc_batch_stream_new(&stream, dataset, options, &err), LRC_STATUS_OK, "%s", err.message);
    return stream;
}

static const struct lrc_window *get(struct lrc_batch_stream *stream, int64_t step)
{
    const struct lrc_window *window;
    cr_assert_eq(lrc_batch_stream_get(stream, &window, step, NULL), LRC_STATUS_OK);
    return window;
}

static int longer_first(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Best fit by looking at every bin. */
static int64_t count_bins(const int64_t *lengths, int64_t n, int64_t capacity)
{
    int64_t *left = lrc_calloc(n, sizeof *left), n_bins = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t best = -1;
        for (int64_t b = 0; b < n_bins; b++)
            if (left[b] >= lengths[i] && (best < 0 || left[b] < left[best]))
                best = b;
        if (best < 0)
            left[best = n_bins++] = capacity;
        left[best] -= lengths[i];
    }
    lrc_free(left);
    return n_bins;
}

static void check_packing(const int64_t *lengths, int64_t n, int64_t capacity)
{
    struct lrc_packing packing;
    struct lrc_error   err;
    int64_t           *length_at = lrc_calloc(n, sizeof *length_at);
    cr_assert_eq(lrc_packing_init(&packing, lengths, n, capacity, &err), LRC_STATUS_OK, "%s", err.message);
    for (int64_t i = 0; i < n; i++) {
        cr_assert(packing.place[i] >= 0 && packing.place[i] < n);
        cr_assert_eq(length_at[packing.place[i]], 0, "two rows in one place");
        length_at[packing.place[i]] = lengths[i];
    }
    cr_assert_eq(packing.bin_offsets[packing.n_bins], n);
    for (int64_t bin = 0; bin < packing.n_bins; bin++) {
        int64_t sum = 0;
        for (int64_t k = packing.bin_offsets[bin]; k < packing.bin_offsets[bin + 1]; k++)
            sum += length_at[k];
        cr_assert(sum >= 1 && sum <= capacity);
    }
    cr_assert_eq(packing.n_bins, count_bins(lengths, n, capacity));
    lrc_packing_release(&packing);
    lrc_free(length_at);
}

/* Capacities around the words of the tree of bits, one to three levels deep. */
Test(data_pack, bins_are_those_of_best_fit_decreasing)
{
    static const int64_t capacities[] = { 1, 2, 63, 64, 65, 512, 4095, 4096, 4097, 300000 };
    int64_t              lengths[400];
    for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++)
        for (int64_t n = 0; n <= 400; n += n < 3 ? 1 : 199) {
            for (int64_t i = 0; i < n; i++)
                lengths[i] = 1 + draw((uint64_t)(1000 * c) + (uint64_t)i,
                                      i % 3 ? (capacities[c] + 9) / 10 : capacities[c]);
            qsort(lengths, (size_t)n, sizeof *lengths, longer_first);
            check_packing(lengths, n, capacities[c]);
        }
}

static const struct lrc_batch_options packed = {
    .micro_batch_size = 3, .accumulation_steps = 2, .shuffle = 1, .pack_tokens = SEQUENCE_LEN, .seed = 7
};

/* Counts the epoch's rows; all of them must be whole documents. *order: a number for the order they came in.
 */
static void count_epoch(int64_t *seen, uint64_t *order, const struct made *made,
                        struct lrc_batch_stream *stream, int64_t epoch)
{
    const int64_t per_epoch = lrc_batch_stream_steps_per_epoch(stream);
    *order = 0;
    for (int64_t step = epoch * per_epoch; step < (epoch + 1) * per_epoch; step++) {
        const struct lrc_window *window = get(stream, step);
        cr_assert_eq(window->epoch, epoch);
        cr_assert_eq(window->ends_epoch, step + 1 == (epoch + 1) * per_epoch);
        for (int64_t b = 0; b < window->n_batches; b++) {
            const struct lrc_batch *batch = &window->batches[b];
            cr_assert_leq(batch->n_real, packed.micro_batch_size * SEQUENCE_LEN);
            for (int64_t doc = 0; doc < batch->n_docs && batch->doc_offsets[doc] < batch->n_real; doc++) {
                const int32_t             at = batch->doc_offsets[doc];
                const struct lrc_example *example = &made->examples[batch->row_ids[at]];
                cr_assert_eq(batch->doc_offsets[doc + 1] - at, example->n_tokens);
                cr_assert_eq(batch->positions[at], 0);
                cr_assert_eq(
                    memcmp(batch->tokens + at, made->ids + example->first, (size_t)example->n_tokens * 4), 0);
                cr_assert_eq(memcmp(batch->targets + at, made->targets + example->first,
                                    (size_t)example->n_tokens * 4),
                             0);
                seen[example->row_id]++;
                *order = *order * 31 + example->row_id;
            }
        }
    }
}

Test(data_pack, every_row_comes_once_per_epoch)
{
    static struct made made;
    uint64_t           order[3], again;
    make(&made, N_ROWS);
    struct lrc_batch_stream *stream = open_stream(&made.dataset, &packed),
                            *other = open_stream(&made.dataset, &packed);
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        int64_t seen[N_ROWS] = { 0 };
        count_epoch(seen, &order[epoch], &made, stream, epoch);
        for (int r = 0; r < N_ROWS; r++)
            cr_assert_eq(seen[r], 1, "row %d in epoch %lld", r, (long long)epoch);
    }
    int64_t seen[N_ROWS] = { 0 };
    count_epoch(seen, &again, &made, other, 2);
    cr_assert_eq(order[2], again, "the order is a function of seed and epoch");
    cr_assert(order[0] != order[1] && order[1] != order[2] && order[0] != order[2]);
    lrc_batch_stream_free(stream);
    lrc_batch_stream_free(other);
}

Test(data_pack, without_shuffle_epochs_are_equal)
{
    static struct made       made;
    uint64_t                 first, second;
    int64_t                  seen[N_ROWS] = { 0 };
    struct lrc_batch_options options = packed;
    options.shuffle = 0;
    make(&made, N_ROWS);
    struct lrc_batch_stream *stream = open_stream(&made.dataset, &options);
    count_epoch(seen, &first, &made, stream, 0);
    count_epoch(seen, &second, &made, stream, 1);
    cr_assert_eq(first, second);
    lrc_batch_stream_free(stream);
}

Test(data_pack, limits_are_met_and_never_exceeded)
{
    static struct made made;
    make(&made, N_ROWS);
    struct lrc_batch_stream *stream = open_stream(&made.dataset, &packed);
    int64_t                  n_tokens, n_docs, n_trained, most_tokens = 0;
    lrc_batch_stream_limits(stream, &n_tokens, &n_docs, &n_trained);
    cr_assert_leq(n_tokens, 3 * SEQUENCE_LEN);
    for (int64_t step = 0; step < 5 * lrc_batch_stream_steps_per_epoch(stream); step++) {
        const struct lrc_window *window = get(stream, step);
        for (int64_t b = 0; b < window->n_batches; b++) {
            cr_assert_leq(window->batches[b].n_tokens, n_tokens);
            cr_assert_leq(window->batches[b].n_docs, n_docs);
            cr_assert_leq(window->batches[b].n_trained, n_trained);
            most_tokens =
                window->batches[b].n_tokens > most_tokens ? window->batches[b].n_tokens : most_tokens;
        }
    }
    cr_assert_eq(most_tokens, n_tokens);
    lrc_batch_stream_free(stream);
}

static char last_line[256];

static void keep_line(enum lrc_log_level level, const char *line)
{
    (void)level;
    (void)snprintf(last_line, sizeof last_line, "%s", line);
}

/* Room for 64: two sequences of 40 + 24, one of 24 + 24. */
Test(data_pack, fill_rate_is_logged)
{
    static const int64_t lengths[] = { 40, 24, 40, 24, 24, 24 };
    static struct made   made;
    make(&made, 6);
    for (int r = 0; r < 6; r++)
        made.examples[r].n_tokens = lengths[r];
    lrc_log_set_sink(keep_line);
    struct lrc_batch_stream *stream = open_stream(&made.dataset, &packed);
    cr_assert_str_eq(last_line, "packing: 6 rows into 3 sequences, 91.7 % full");
    cr_assert_eq(lrc_batch_stream_steps_per_epoch(stream), 1);
    lrc_log_set_sink(NULL);
    lrc_batch_stream_free(stream);
}

static void check_longest_first(const struct lrc_batch_options *options)
{
    static struct made       made;
    struct lrc_batch_options longest = *options;
    longest.longest_first = 1;
    make(&made, N_ROWS);
    struct lrc_batch_stream *plain = open_stream(&made.dataset, options),
                            *stream = open_stream(&made.dataset, &longest);
    const int64_t n = lrc_batch_stream_steps_per_epoch(plain);
    int64_t       most = 0, n_moved = 0, n_rows[2] = { 0 };
    for (int64_t step = 0; step < n; step++) {
        const int64_t n_tokens = get(plain, step)->n_tokens;
        most = n_tokens > most ? n_tokens : most;
    }
    cr_assert_eq(get(stream, 0)->n_tokens, most);
    cr_assert_lt(get(plain, 0)->n_tokens, most, "the test needs a start that is not the longest anyway");
    for (int64_t step = 0; step < 2 * n; step++) {
        const struct lrc_window *a = get(plain, step), *b = get(stream, step);
        n_moved += a->n_tokens != b->n_tokens;
        cr_assert(step < n || a->n_tokens == b->n_tokens, "later epochs stay as they are");
        cr_assert_eq(b->step, step);
        cr_assert_eq(b->ends_epoch, a->ends_epoch);
        n_rows[0] += a->n_tokens;
        n_rows[1] += b->n_tokens;
    }
    cr_assert_eq(n_moved, 2, "two steps change places");
    cr_assert_eq(n_rows[0], n_rows[1]);
    lrc_batch_stream_free(plain);
    lrc_batch_stream_free(stream);
}

Test(data_pack, longest_step_may_come_first)
{
    struct lrc_batch_options options = packed;
    check_longest_first(&options);
    options.pack_tokens = 0;
    check_longest_first(&options);
}

/* An algorithm that is not O(n log n) would run into the limit, which is a hundred times what this takes. */
Test(data_pack, a_million_rows_are_packed, .timeout = 60)
{
    enum { N = 1000000, ROOM = 4096 };
    struct lrc_dataset       dataset = { .n_examples = N,
                                         .ids = lrc_calloc(ROOM, 4),
                                         .targets = lrc_calloc(ROOM, 4),
                                         .examples = lrc_calloc(N, sizeof *dataset.examples) };
    struct lrc_batch_options options = packed;
    options.pack_tokens = ROOM;
    cr_assert(dataset.ids && dataset.targets && dataset.examples);
    memset(dataset.targets, 0xff, ROOM * sizeof *dataset.targets);
    for (int64_t i = 0; i < N; i++)
        dataset.examples[i].n_tokens = 1 + (draw((uint64_t)i, 1500) * draw((uint64_t)(N + i), 1500)) / 750;
    struct lrc_batch_stream *stream = open_stream(&dataset, &options);
    (void)get(stream, 0);
    lrc_batch_stream_free(stream);
    lrc_free(dataset.examples);
    lrc_free(dataset.ids);
    lrc_free(dataset.targets);
}

Test(data_pack, out_of_memory_fault)
{
    static struct made made;
    make(&made, 20);
    for (int64_t n = 0;; n++) {
        struct lrc_batch_stream *stream = NULL;
        struct lrc_error         err;
        test_alloc_fail_at(n);
        const enum lrc_status status = lrc_batch_stream_new(&stream, &made.dataset, &packed, &err);
        lrc_batch_stream_free(stream);
        const int64_t live = test_alloc_live();
        test_alloc_restore();
        cr_assert_eq(live, 0, "allocation %lld leaks", (long long)n);
        if (status == LRC_STATUS_OK) {
            cr_assert_gt(n, 5);
            return;
        }
        cr_assert_eq(status, LRC_STATUS_NOMEM);
        cr_assert_null(stream);
    }
}
