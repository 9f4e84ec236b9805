#include "base/alloc.h"
#include "data/batch.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 256, TOKENS_MAX = 8192 };

/* Row r has lengths[r] tokens r*1000, r*1000+1 ...; all but the first are trained. */
struct made {
    struct lrc_dataset dataset;
    struct lrc_example examples[ROWS_MAX];
    int32_t            ids[TOKENS_MAX], targets[TOKENS_MAX];
};

static void make(struct made *made, const int64_t *lengths, int64_t n_rows)
{
    memset(made, 0, sizeof *made);
    made->dataset = (struct lrc_dataset){
        .ids = made->ids, .targets = made->targets, .examples = made->examples, .n_examples = n_rows
    };
    int64_t at = 0;
    for (int64_t r = 0; r < n_rows; r++) {
        made->examples[r] = (struct lrc_example){ .first = at,
                                                  .n_tokens = lengths[r],
                                                  .n_trained = lengths[r] - 1,
                                                  .row_id = (uint32_t)r,
                                                  .id = (uint32_t)r };
        for (int64_t i = 0; i < lengths[r]; i++, at++) {
            made->ids[at] = (int32_t)(r * 1000 + i);
            made->targets[at] = i + 1 < lengths[r] ? made->ids[at] + 1 : -1;
        }
    }
    made->dataset.n_ids = at;
}

static void make_equal(struct made *made, int64_t n_rows, int64_t n_tokens)
{
    int64_t lengths[ROWS_MAX];
    for (int64_t r = 0; r < n_rows; r++)
        lengths[r] = n_tokens;
    make(made, lengths, n_rows);
}

static void make_ragged(struct made *made, int64_t n_rows)
{
    int64_t lengths[ROWS_MAX];
    for (int64_t r = 0; r < n_rows; r++)
        lengths[r] = 2 + r * 37 % 61;
    make(made, lengths, n_rows);
}

static struct lrc_batch_stream *open_stream(const struct made *made, const struct lrc_batch_options *options)
{
    struct lrc_error         err;
    struct lrc_batch_stream *stream;
    cr_assert_eq(lrc_batch_stream_new(&stream, &made->dataset, options, &err), LRC_STATUS_OK, "%s",
                 err.message);
    return stream;
}

static const struct lrc_window *get(struct lrc_batch_stream *stream, int64_t step)
{
    const struct lrc_window *window;
    cr_assert_eq(lrc_batch_stream_get(stream, &window, step, NULL), LRC_STATUS_OK);
    return window;
}

Test(data_batch, order_is_a_permutation_and_a_function_of_seed_and_epoch)
{
    int64_t a[100], b[100], other_seed[100], other_epoch[100], seen[100] = { 0 };
    lrc_batch_order(a, 100, 42, 0);
    lrc_batch_order(b, 100, 42, 0);
    lrc_batch_order(other_seed, 100, 43, 0);
    lrc_batch_order(other_epoch, 100, 42, 1);
    for (int i = 0; i < 100; i++)
        seen[a[i]]++;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(seen[i], 1);
    cr_assert_eq(memcmp(a, b, sizeof a), 0);
    cr_assert_neq(memcmp(a, other_seed, sizeof a), 0);
    cr_assert_neq(memcmp(a, other_epoch, sizeof a), 0);
}

/* 6 orders of 3 rows over 6000 epochs: each 1000 times, give or take 5 standard deviations (29). */
Test(data_batch, orders_are_equally_likely)
{
    int counts[27] = { 0 };
    for (int64_t epoch = 0; epoch < 6000; epoch++) {
        int64_t order[3];
        lrc_batch_order(order, 3, 7, epoch);
        counts[order[0] * 9 + order[1] * 3 + order[2]]++;
    }
    const int orders[6] = { 5, 7, 11, 15, 19, 21 };
    for (int i = 0; i < 6; i++)
        cr_assert(abs(counts[orders[i]] - 1000) < 145, "order %d came %d times", orders[i],
                  counts[orders[i]]);
}

Test(data_batch, layout_is_documents_then_a_filler)
{
    static struct made             made;
    const int64_t                  lengths[] = { 3, 5 };
    const struct lrc_batch_options options = { .micro_batch_size = 2, .accumulation_steps = 1 };
    make(&made, lengths, 2);
    struct lrc_batch_stream *stream = open_stream(&made, &options);
    const struct lrc_window *window = get(stream, 0);
    const struct lrc_batch  *batch = &window->batches[0];
    cr_assert_eq(batch->n_real, 8);
    cr_assert_eq(batch->n_tokens, 64);
    cr_assert_eq(batch->n_docs, 3);
    const int32_t offsets[] = { 0, 3, 8, 64 }, tokens[] = { 0, 1, 2, 1000, 1001, 1002, 1003, 1004 };
    const int32_t targets[] = { 1, 2, -1, 1001, 1002, 1003, 1004, -1 },
                  positions[] = { 0, 1, 2, 0, 1, 2, 3, 4 };
    const int32_t index[] = { 0, 1, 3, 4, 5, 6 }, wanted[] = { 1, 2, 1001, 1002, 1003, 1004 };
    cr_assert_eq(memcmp(batch->doc_offsets, offsets, sizeof offsets), 0);
    cr_assert_eq(memcmp(batch->tokens, tokens, sizeof tokens), 0);
    cr_assert_eq(memcmp(batch->targets, targets, sizeof targets), 0);
    cr_assert_eq(memcmp(batch->positions, positions, sizeof positions), 0);
    cr_assert_eq(batch->n_trained, 6);
    cr_assert_eq(memcmp(batch->trained_index, index, sizeof index), 0);
    cr_assert_eq(memcmp(batch->trained_target, wanted, sizeof wanted), 0);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(batch->row_ids[i], i < 3 ? 0u : 1u);
    for (int i = 8; i < 64; i++) {
        cr_assert_eq(batch->tokens[i], 0);
        cr_assert_eq(batch->targets[i], -1);
        cr_assert_eq(batch->positions[i], i - 8);
    }
    cr_assert_eq(window->n_tokens, 8);
    cr_assert_eq(window->n_trained, 6);
    lrc_batch_stream_free(stream);
}

Test(data_batch, full_length_has_no_filler)
{
    static struct made             made;
    const struct lrc_batch_options options = { .micro_batch_size = 2, .accumulation_steps = 1 };
    make_equal(&made, 2, 32);
    struct lrc_batch_stream *stream = open_stream(&made, &options);
    const struct lrc_batch  *batch = &get(stream, 0)->batches[0];
    cr_assert_eq(batch->n_tokens, 64);
    cr_assert_eq(batch->n_docs, 2);
    lrc_batch_stream_free(stream);
}

/* 11 rows, micro-batches of 2, windows of 4: (2,2,2,2) (2,1) per epoch. */
Test(data_batch, windows_end_with_the_epoch)
{
    static struct made             made;
    const struct lrc_batch_options options = {
        .micro_batch_size = 2, .accumulation_steps = 4, .shuffle = 1, .seed = 1
    };
    make_equal(&made, 11, 4);
    struct lrc_batch_stream *stream = open_stream(&made, &options);
    cr_assert_eq(lrc_batch_stream_steps_per_epoch(stream), 2);
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        int64_t seen[11] = { 0 };
        for (int64_t step = 2 * epoch; step < 2 * epoch + 2; step++) {
            const struct lrc_window *window = get(stream, step);
            const int                is_last = step == 2 * epoch + 1;
            cr_assert_eq(window->step, step);
            cr_assert_eq(window->epoch, epoch);
            cr_assert_eq(window->ends_epoch, is_last);
            cr_assert_eq(window->n_batches, is_last ? 2 : 4);
            cr_assert_eq(window->n_tokens, is_last ? 12 : 32);
            cr_assert_eq(window->n_trained, is_last ? 9 : 24);
            for (int64_t b = 0; b < window->n_batches; b++)
                for (int64_t doc = 0; doc < window->batches[b].n_real / 4; doc++)
                    seen[window->batches[b].row_ids[4 * doc]]++;
        }
        for (int r = 0; r < 11; r++)
            cr_assert_eq(seen[r], 1, "row %d in epoch %lld", r, (long long)epoch);
    }
    lrc_batch_stream_free(stream);
}

Test(data_batch, without_shuffle_every_epoch_is_file_order)
{
    static struct made             made;
    const struct lrc_batch_options options = { .micro_batch_size = 1, .accumulation_steps = 1, .seed = 9 };
    make_equal(&made, 7, 2);
    struct lrc_batch_stream *stream = open_stream(&made, &options);
    for (int64_t step = 0; step < 21; step++)
        cr_assert_eq(get(stream, step)->batches[0].row_ids[0], (uint32_t)(step % 7));
    lrc_batch_stream_free(stream);
}

static void same_bytes(const void *a, const void *b, int64_t n_elems)
{
    cr_assert_eq(memcmp(a, b, (size_t)n_elems * sizeof(int32_t)), 0);
}

static void same_window(const struct lrc_window *a, const struct lrc_window *b)
{
    cr_assert_eq(a->step, b->step);
    cr_assert_eq(a->n_batches, b->n_batches);
    cr_assert_eq(a->n_trained, b->n_trained);
    for (int64_t i = 0; i < a->n_batches; i++) {
        const struct lrc_batch *x = &a->batches[i], *y = &b->batches[i];
        cr_assert_eq(x->n_tokens, y->n_tokens);
        cr_assert_eq(x->n_docs, y->n_docs);
        cr_assert_eq(x->n_trained, y->n_trained);
        same_bytes(x->tokens, y->tokens, x->n_tokens);
        same_bytes(x->targets, y->targets, x->n_tokens);
        same_bytes(x->positions, y->positions, x->n_tokens);
        same_bytes(x->row_ids, y->row_ids, x->n_tokens);
        same_bytes(x->doc_offsets, y->doc_offsets, x->n_docs + 1);
        same_bytes(x->trained_index, y->trained_index, x->n_trained);
        same_bytes(x->trained_target, y->trained_target, x->n_trained);
    }
}

Test(data_batch, read_ahead_equals_direct_access)
{
    static struct made made;
    make_ragged(&made, 50);
    for (int grouped = 0; grouped < 2; grouped++) {
        const struct lrc_batch_options options = { .micro_batch_size = 3,
                                                   .accumulation_steps = 4,
                                                   .shuffle = 1,
                                                   .group_by_length = grouped,
                                                   .seed = 3 };
        struct lrc_batch_stream *ahead = open_stream(&made, &options), *direct = open_stream(&made, &options);
        const int64_t            n = 3 * lrc_batch_stream_steps_per_epoch(ahead);
        for (int64_t step = 0; step < n; step++) {
            (void)get(direct, (step * 7 + 5) % n); /* somewhere else first */
            same_window(get(ahead, step), get(direct, step));
        }
        lrc_batch_stream_free(ahead);
        lrc_batch_stream_free(direct);
    }
}

Test(data_batch, window_lives_while_the_next_is_made)
{
    static struct made             made;
    const struct lrc_batch_options options = { .micro_batch_size = 1, .accumulation_steps = 1 };
    make_equal(&made, 64, 100);
    struct lrc_batch_stream *stream = open_stream(&made, &options);
    for (int64_t step = 0; step < 640; step++) {
        const struct lrc_window *window = get(stream, step);
        for (int i = 0; i < 100; i++)
            cr_assert_eq(window->batches[0].tokens[i], step % 64 * 1000 + i);
    }
    lrc_batch_stream_free(stream);
}

Test(data_batch, limits_are_met_and_never_exceeded)
{
    static struct made             made;
    const struct lrc_batch_options options = {
        .micro_batch_size = 4, .accumulation_steps = 2, .shuffle = 1, .group_by_length = 1, .seed = 5
    };
    make_ragged(&made, 200);
    struct lrc_batch_stream *stream = open_stream(&made, &options);
    int64_t                  n_tokens, n_docs, n_trained, most_trained = 0;
    lrc_batch_stream_limits(stream, &n_tokens, &n_docs, &n_trained);
    cr_assert_eq(n_tokens % LRC_BATCH_ROUND_TOKENS, 0);
    cr_assert_eq(n_docs, 5);
    for (int64_t step = 0; step < 2 * lrc_batch_stream_steps_per_epoch(stream); step++) {
        const struct lrc_window *window = get(stream, step);
        for (int64_t b = 0; b < window->n_batches; b++) {
            cr_assert_leq(window->batches[b].n_tokens, n_tokens);
            cr_assert_leq(window->batches[b].n_docs, n_docs);
            most_trained =
                window->batches[b].n_trained > most_trained ? window->batches[b].n_trained : most_trained;
        }
    }
    cr_assert_eq(most_trained, n_trained, "all rows are one group, so the longest stand together");
    lrc_batch_stream_free(stream);
}

Test(data_batch, group_by_length_puts_like_lengths_together)
{
    static struct made             made;
    const struct lrc_batch_options options = {
        .micro_batch_size = 4, .accumulation_steps = 1, .shuffle = 1, .group_by_length = 1, .seed = 5
    };
    int64_t lengths[ROWS_MAX], seen[199] = { 0 };
    int     n_rising = 0, n_mixed = 0;
    for (int64_t r = 0; r < 199; r++)
        lengths[r] = 2 + r % 40;
    make(&made, lengths, 199);
    struct lrc_batch_stream *stream = open_stream(&made, &options);
    int32_t                  longest_before = 0;
    for (int64_t step = 0; step < lrc_batch_stream_steps_per_epoch(stream); step++) {
        const struct lrc_batch *batch = &get(stream, step)->batches[0];
        int32_t                 shortest = INT32_MAX, longest = 0;
        for (int64_t doc = 0; batch->doc_offsets[doc] < batch->n_real; doc++) {
            const int32_t length = batch->doc_offsets[doc + 1] - batch->doc_offsets[doc];
            shortest = length < shortest ? length : shortest;
            longest = length > longest ? length : longest;
            seen[batch->row_ids[batch->doc_offsets[doc]]]++;
        }
        n_mixed += longest - shortest > 1;
        n_rising += longest > longest_before;
        longest_before = longest;
    }
    for (int r = 0; r < 199; r++)
        cr_assert_eq(seen[r], 1);
    cr_assert_eq(n_mixed, 0);
    cr_assert_gt(n_rising, 10, "the micro-batches come shuffled, not sorted");
    lrc_batch_stream_free(stream);
}

static atomic_int           n_allocations, fail_at;
static struct lrc_allocator real;

static void *counted_allocate(size_t size_bytes)
{
    return atomic_fetch_add(&n_allocations, 1) == fail_at ? NULL : real.allocate(size_bytes);
}

static void *counted_reallocate(void *memory, size_t size_bytes)
{
    return atomic_fetch_add(&n_allocations, 1) == fail_at ? NULL : real.reallocate(memory, size_bytes);
}

static void count_allocations(int failing)
{
    real = lrc_allocator;
    n_allocations = 0;
    fail_at = failing;
    lrc_allocator.allocate = counted_allocate;
    lrc_allocator.reallocate = counted_reallocate;
}

Test(data_batch, steps_allocate_nothing)
{
    static struct made             made;
    const struct lrc_batch_options options = {
        .micro_batch_size = 3, .accumulation_steps = 2, .shuffle = 1, .group_by_length = 1
    };
    make_ragged(&made, 50);
    struct lrc_batch_stream *stream = open_stream(&made, &options);
    count_allocations(-1);
    for (int64_t step = 0; step < 60; step++)
        (void)get(stream, step);
    const int n = n_allocations;
    lrc_allocator = real;
    cr_assert_eq(n, 0);
    lrc_batch_stream_free(stream);
}

Test(data_batch, every_allocation_may_fail_fault)
{
    static struct made             made;
    const struct lrc_batch_options options = { .micro_batch_size = 3, .accumulation_steps = 2 };
    make_ragged(&made, 20);
    for (int i = 0;; i++) {
        struct lrc_batch_stream *stream = NULL;
        count_allocations(i);
        const enum lrc_status status = lrc_batch_stream_new(&stream, &made.dataset, &options, NULL);
        lrc_allocator = real;
        lrc_batch_stream_free(stream);
        if (status == LRC_STATUS_OK) {
            cr_assert_geq(i, 3);
            break;
        }
        cr_assert_eq(status, LRC_STATUS_NOMEM);
    }
}
