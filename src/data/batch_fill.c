#include "data/batch_fill.h"

#include "base/rng.h"
#include <string.h>

enum { GROUPED_MICRO_BATCHES = 50 }; /* sorted by length together, as transformers' LengthGroupedSampler */

/* second place of the generator's key */
enum { SHUFFLE_ROWS = 0, SHUFFLE_MICRO_BATCHES = 1, SHUFFLE_BINS = 2 };

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

static void pack(struct lrc_batch_plan *plan, int64_t epoch)
{
    const int64_t n_bins = plan->packed.packing.n_bins;
    memcpy(plan->scratch, plan->order, (size_t)plan->dataset->n_examples * sizeof *plan->scratch);
    lrc_batch__pack_order(plan);
    count_up(plan->packed.bin_order, n_bins);
    if (plan->options.shuffle)
        shuffle(plan->packed.bin_order, n_bins,
                lrc_rng_key(plan->options.seed, LRC_RNG_SHUFFLE, (uint32_t)epoch, SHUFFLE_BINS));
}

/* The rows of a unit: order[first] .. order[end - 1]. */
struct rows {
    int64_t first, end;
};

static struct rows rows_of_unit(const struct lrc_batch_plan *plan, int64_t unit)
{
    if (plan->options.pack_tokens == 0)
        return (struct rows){ unit, unit + 1 };
    const int64_t  bin = plan->packed.bin_order[unit];
    const int64_t *offsets = plan->packed.packing.bin_offsets;
    return (struct rows){ offsets[bin], offsets[bin + 1] };
}

static int64_t find_largest_window(const struct lrc_batch_plan *plan)
{
    const int64_t n_per_window = plan->options.micro_batch_size * plan->options.accumulation_steps;
    int64_t       largest = 0, most = 0, n_tokens = 0;
    for (int64_t unit = 0; unit < plan->n_units; unit++) {
        const struct rows rows = rows_of_unit(plan, unit);
        n_tokens = unit % n_per_window == 0 ? 0 : n_tokens;
        for (int64_t i = rows.first; i < rows.end; i++)
            n_tokens += plan->dataset->examples[plan->order[i]].n_tokens;
        if (n_tokens > most) {
            most = n_tokens;
            largest = unit / n_per_window;
        }
    }
    return largest;
}

static void make_order(struct lrc_batch_plan *plan, int64_t epoch)
{
    if (plan->epoch == epoch)
        return;
    if (plan->options.shuffle)
        lrc_batch_order(plan->order, plan->dataset->n_examples, plan->options.seed, epoch);
    else
        count_up(plan->order, plan->dataset->n_examples);
    if (plan->options.pack_tokens > 0)
        pack(plan, epoch);
    else if (plan->options.group_by_length)
        group_by_length(plan, epoch);
    if (plan->options.longest_first && epoch == 0)
        plan->largest_window = find_largest_window(plan);
    plan->epoch = epoch;
}

/* Which of the epoch's windows a step takes. */
static int64_t window_of(const struct lrc_batch_plan *plan, int64_t epoch, int64_t step_in_epoch)
{
    if (!plan->options.longest_first || epoch > 0)
        return step_in_epoch;
    if (step_in_epoch == 0)
        return plan->largest_window;
    return step_in_epoch == plan->largest_window ? 0 : step_in_epoch;
}

static enum lrc_status add_document(struct lrc_batch *batch, const struct lrc_dataset *dataset,
                                    const struct lrc_example *example, struct lrc_error *err)
{
    const int64_t  at = batch->n_real, n = example->n_tokens;
    const int32_t *targets = batch->targets + at;
    LRC_TRY(lrc_dataset_read(dataset, example, batch->tokens + at, batch->targets + at, err));
    for (int64_t i = 0; i < n; i++) {
        batch->positions[at + i] = (int32_t)i;
        batch->row_ids[at + i] = example->id;
        if (targets[i] < 0)
            continue;
        batch->trained_index[batch->n_trained] = (int32_t)(at + i);
        batch->trained_target[batch->n_trained++] = targets[i];
    }
    batch->n_real += n;
    batch->doc_rows[batch->n_docs] = example->row_id;
    batch->doc_offsets[++batch->n_docs] = (int32_t)batch->n_real;
    return LRC_STATUS_OK;
}

static enum lrc_status add_unit(struct lrc_batch *batch, const struct lrc_batch_plan *plan, int64_t unit,
                                struct lrc_error *err)
{
    const struct rows rows = rows_of_unit(plan, unit);
    for (int64_t i = rows.first; i < rows.end; i++)
        LRC_TRY(add_document(batch, plan->dataset, &plan->dataset->examples[plan->order[i]], err));
    return LRC_STATUS_OK;
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
    batch->doc_rows[batch->n_docs] = UINT32_MAX;
    batch->doc_offsets[++batch->n_docs] = (int32_t)batch->n_tokens;
}

enum lrc_status lrc_batch__fill(struct lrc_window_room *room, struct lrc_batch_plan *plan, int64_t step,
                                struct lrc_error *err)
{
    const int64_t epoch = step / plan->steps_per_epoch, step_in_epoch = step % plan->steps_per_epoch;
    const int64_t size = plan->options.micro_batch_size, accumulation = plan->options.accumulation_steps;
    make_order(plan, epoch);

    struct lrc_window *window = &room->window;
    const int64_t      first = window_of(plan, epoch, step_in_epoch) * accumulation;
    *window = (struct lrc_window){ .batches = window->batches, .step = step, .epoch = epoch };
    window->n_batches = plan->n_micro - first < accumulation ? plan->n_micro - first : accumulation;
    window->ends_epoch = step_in_epoch + 1 == plan->steps_per_epoch;

    int64_t token = 0, doc = 0;
    for (int64_t b = 0; b < window->n_batches; b++) {
        struct lrc_batch *batch = &window->batches[b];
        *batch = (struct lrc_batch){ .tokens = room->tokens + token,
                                     .targets = room->targets + token,
                                     .positions = room->positions + token,
                                     .row_ids = room->row_ids + token,
                                     .doc_offsets = room->doc_offsets + doc,
                                     .doc_rows = room->doc_rows + doc,
                                     .trained_index = room->trained_index + window->n_trained,
                                     .trained_target = room->trained_target + window->n_trained };
        batch->doc_offsets[0] = 0;
        const int64_t unit = (first + b) * size;
        for (int64_t i = unit; i < plan->n_units && i < unit + size; i++)
            LRC_TRY(add_unit(batch, plan, i, err));
        add_filler(batch);
        token += batch->n_tokens;
        doc += batch->n_docs + 1;
        window->n_trained += batch->n_trained;
        window->n_tokens += batch->n_real;
    }
    return LRC_STATUS_OK;
}
