#include "data/batch_fill.h"

#include "base/rng.h"
#include <string.h>

enum { GROUPED_MICRO_BATCHES = 50 }; /* sorted by length together, as transformers' LengthGroupedSampler */

/* second place of the generator's key */
enum { SHUFFLE_ROWS = 0, SHUFFLE_MICRO_BATCHES = 1 };

static void shuffle(int64_t *order, int64_t n, uint64_t key)
{
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = (int64_t)lrc_rng_below(lrc_rng_philox(key, 0, (uint64_t)i), (uint64_t)i + 1);
        const int64_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

static void count_up(int64_t *order, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
}

void lrc_batch_order(int64_t *order, int64_t n, uint64_t seed, int64_t epoch)
{
    count_up(order, n);
    shuffle(order, n, lrc_rng_key(seed, LRC_RNG_SHUFFLE, (uint32_t)epoch, SHUFFLE_ROWS));
}

/* Longest first, equal lengths in the order they had: a merge sort from the bottom up, because qsort()
 * allocates. */
static void sort_by_length(int64_t *order, int64_t *scratch, int64_t n, const struct lrc_example *examples)
{
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t left = 0; left < n; left += 2 * width) {
            const int64_t middle = left + width < n ? left + width : n;
            const int64_t right = left + 2 * width < n ? left + 2 * width : n;
            int64_t       a = left, b = middle;
            for (int64_t i = left; i < right; i++) {
                const int take_a =
                    a < middle && (b >= right || examples[order[a]].n_tokens >= examples[order[b]].n_tokens);
                scratch[i] = take_a ? order[a++] : order[b++];
            }
        }
        memcpy(order, scratch, (size_t)n * sizeof *order);
    }
}

/* The short last micro-batch stays last, so that the others stay whole. */
static void group_by_length(struct lrc_batch_plan *plan, int64_t epoch)
{
    const int64_t n = plan->dataset->n_examples, size = plan->options.micro_batch_size;
    const int64_t n_group = size > n / GROUPED_MICRO_BATCHES ? n : size * GROUPED_MICRO_BATCHES;
    for (int64_t first = 0; first < n; first += n_group)
        sort_by_length(plan->order + first, plan->scratch, first + n_group < n ? n_group : n - first,
                       plan->dataset->examples);
    if (!plan->options.shuffle)
        return;
    const int64_t n_whole = n / size;
    count_up(plan->batch_order, plan->n_micro);
    shuffle(plan->batch_order, n_whole,
            lrc_rng_key(plan->options.seed, LRC_RNG_SHUFFLE, (uint32_t)epoch, SHUFFLE_MICRO_BATCHES));
    memcpy(plan->scratch, plan->order, (size_t)n * sizeof *plan->order);
    for (int64_t i = 0; i < n_whole; i++)
        memcpy(plan->order + i * size, plan->scratch + plan->batch_order[i] * size,
               (size_t)size * sizeof *plan->order);
}

static void make_order(struct lrc_batch_plan *plan, int64_t epoch)
{
    if (plan->epoch == epoch)
        return;
    if (plan->options.shuffle)
        lrc_batch_order(plan->order, plan->dataset->n_examples, plan->options.seed, epoch);
    else
        count_up(plan->order, plan->dataset->n_examples);
    if (plan->options.group_by_length)
        group_by_length(plan, epoch);
    plan->epoch = epoch;
}

static void add_document(struct lrc_batch *batch, const struct lrc_dataset *dataset,
                         const struct lrc_example *example)
{
    const int64_t  at = batch->n_real, n = example->n_tokens;
    const int32_t *targets = dataset->targets + example->first;
    memcpy(batch->tokens + at, dataset->ids + example->first, (size_t)n * sizeof *batch->tokens);
    memcpy(batch->targets + at, targets, (size_t)n * sizeof *batch->targets);
    for (int64_t i = 0; i < n; i++) {
        batch->positions[at + i] = (int32_t)i;
        batch->row_ids[at + i] = example->row_id;
        if (targets[i] < 0)
            continue;
        batch->trained_index[batch->n_trained] = (int32_t)(at + i);
        batch->trained_target[batch->n_trained++] = targets[i];
    }
    batch->n_real += n;
    batch->doc_offsets[++batch->n_docs] = (int32_t)batch->n_real;
}

static void add_filler(struct lrc_batch *batch)
{
    batch->n_tokens =
        (batch->n_real + LRC_BATCH_ROUND_TOKENS - 1) / LRC_BATCH_ROUND_TOKENS * LRC_BATCH_ROUND_TOKENS;
    if (batch->n_tokens == batch->n_real)
        return;
    for (int64_t i = batch->n_real; i < batch->n_tokens; i++) {
        batch->tokens[i] = 0;
        batch->targets[i] = -1;
        batch->positions[i] = (int32_t)(i - batch->n_real);
        batch->row_ids[i] = UINT32_MAX;
    }
    batch->doc_offsets[++batch->n_docs] = (int32_t)batch->n_tokens;
}

void lrc_batch__fill(struct lrc_window_room *room, struct lrc_batch_plan *plan, int64_t step)
{
    const int64_t epoch = step / plan->steps_per_epoch, step_in_epoch = step % plan->steps_per_epoch;
    const int64_t n = plan->dataset->n_examples, size = plan->options.micro_batch_size;
    const int64_t accumulation = plan->options.accumulation_steps;
    make_order(plan, epoch);

    struct lrc_window *window = &room->window;
    const int64_t      first = step_in_epoch * accumulation;
    *window = (struct lrc_window) { .batches = window->batches, .step = step, .epoch = epoch };
    window->n_batches = plan->n_micro - first < accumulation ? plan->n_micro - first : accumulation;
    window->ends_epoch = step_in_epoch + 1 == plan->steps_per_epoch;

    int64_t token = 0, doc = 0;
    for (int64_t b = 0; b < window->n_batches; b++) {
        struct lrc_batch *batch = &window->batches[b];
        *batch = (struct lrc_batch) { .tokens = room->tokens + token,
                                      .targets = room->targets + token,
                                      .positions = room->positions + token,
                                      .row_ids = room->row_ids + token,
                                      .doc_offsets = room->doc_offsets + doc,
                                      .trained_index = room->trained_index + window->n_trained,
                                      .trained_target = room->trained_target + window->n_trained };
        batch->doc_offsets[0] = 0;
        const int64_t row = (first + b) * size;
        for (int64_t i = row; i < n && i < row + size; i++)
            add_document(batch, plan->dataset, &plan->dataset->examples[plan->order[i]]);
        add_filler(batch);
        token += batch->n_tokens;
        doc += batch->n_docs + 1;
        window->n_trained += batch->n_trained;
        window->n_tokens += batch->n_real;
    }
}
