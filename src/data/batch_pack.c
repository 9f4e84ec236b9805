#include "data/batch_fill.h"

#include "base/alloc.h"
#include "base/log.h"
#include <string.h>

static enum lrc_status fail_nomem(struct lrc_error *err)
{
    return lrc_fail_nomem(err, "the packing of rows into sequences");
}

/* Lengths by rank, and the first rank of each length. */
static void sort_lengths(int64_t *lengths, struct lrc_batch_packed *packed, const struct lrc_dataset *dataset)
{
    int64_t *counts = packed->next_rank, rank = 0;
    for (int64_t i = 0; i < dataset->n_examples; i++)
        counts[dataset->examples[i].n_tokens]++;
    for (int64_t length = packed->longest; length >= 0; length--) {
        packed->first_rank[length] = rank;
        for (int64_t i = 0; i < counts[length]; i++)
            lengths[rank++] = length;
    }
}

enum lrc_status lrc_batch__pack(struct lrc_batch_plan *plan, struct lrc_error *err)
{
    const struct lrc_dataset *dataset = plan->dataset;
    struct lrc_batch_packed *packed = &plan->packed;
    const int64_t n = dataset->n_examples;
    int64_t n_tokens = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t length = dataset->examples[i].n_tokens;
        packed->longest = length > packed->longest ? length : packed->longest;
        n_tokens += length;
    }
    const int64_t capacity =
        plan->options.pack_tokens > packed->longest ? plan->options.pack_tokens : packed->longest;

    int64_t *lengths = lrc_calloc(n, sizeof *lengths);
    packed->first_rank = lrc_calloc(packed->longest + 1, sizeof *packed->first_rank);
    packed->next_rank = lrc_calloc(packed->longest + 1, sizeof *packed->next_rank);
    enum lrc_status status = LRC_STATUS_OK;
    if (!lengths || !packed->first_rank || !packed->next_rank) {
        status = fail_nomem(err);
        goto done;
    }
    sort_lengths(lengths, packed, dataset);
    status = lrc_packing_init(&packed->packing, lengths, n, capacity, err);
    if (status != LRC_STATUS_OK)
        goto done;
    const int64_t n_bins = packed->packing.n_bins;
    packed->bin_order = lrc_calloc(n_bins, sizeof *packed->bin_order);
    if (!packed->bin_order) {
        status = fail_nomem(err);
        goto done;
    }
    plan->n_units = n_bins;
    lrc_log_info("packing: %lld rows into %lld sequences, %.1f %% full", (long long)n, (long long)n_bins,
                 100.0 * (double)n_tokens / ((double)n_bins * (double)capacity));
done:
    lrc_free(lengths);
    return status;
}

void lrc_batch__packed_release(struct lrc_batch_packed *packed)
{
    lrc_packing_release(&packed->packing);
    lrc_free(packed->first_rank);
    lrc_free(packed->next_rank);
    lrc_free(packed->bin_order);
    *packed = (struct lrc_batch_packed){0};
}

/* Which of the rows of one length a sequence gets changes with the epoch: each place counts for the one of
 * them with the most targets. */
static void add_sizes(struct lrc_unit_sizes *sizes, const struct lrc_packing *packing,
                      const int64_t *length_at, const int64_t *most_trained)
{
    for (int64_t bin = 0; bin < packing->n_bins; bin++) {
        sizes->docs[bin] = packing->bin_offsets[bin + 1] - packing->bin_offsets[bin];
        for (int64_t k = packing->bin_offsets[bin]; k < packing->bin_offsets[bin + 1]; k++) {
            sizes->tokens[bin] += length_at[k];
            sizes->trained[bin] += most_trained[length_at[k]];
        }
    }
}

enum lrc_status lrc_batch__packed_sizes(struct lrc_unit_sizes *sizes, const struct lrc_batch_plan *plan,
                                        struct lrc_error *err)
{
    const struct lrc_batch_packed *packed = &plan->packed;
    const struct lrc_dataset *dataset = plan->dataset;
    int64_t *length_at = lrc_calloc(dataset->n_examples, sizeof *length_at); /* of a place */
    int64_t *most_trained = lrc_calloc(packed->longest + 1, sizeof *most_trained);
    enum lrc_status status = LRC_STATUS_OK;
    if (!length_at || !most_trained) {
        status = fail_nomem(err);
        goto done;
    }
    memcpy(packed->next_rank, packed->first_rank, (size_t)(packed->longest + 1) * sizeof *packed->next_rank);
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        const struct lrc_example *example = &dataset->examples[i];
        int64_t *most = &most_trained[example->n_tokens];
        *most = example->n_trained > *most ? example->n_trained : *most;
        length_at[packed->packing.place[packed->next_rank[example->n_tokens]++]] = example->n_tokens;
    }
    add_sizes(sizes, &packed->packing, length_at, most_trained);
done:
    lrc_free(length_at);
    lrc_free(most_trained);
    return status;
}

void lrc_batch__pack_order(struct lrc_batch_plan *plan)
{
    struct lrc_batch_packed *packed = &plan->packed;
    memcpy(packed->next_rank, packed->first_rank, (size_t)(packed->longest + 1) * sizeof *packed->next_rank);
    for (int64_t i = 0; i < plan->dataset->n_examples; i++) {
        const int64_t row = plan->scratch[i];
        const int64_t rank = packed->next_rank[plan->dataset->examples[row].n_tokens]++;
        plan->order[packed->packing.place[rank]] = row;
    }
}
