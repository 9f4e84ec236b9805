#include "data/dataset.h"

#include "base/alloc.h"
#include "base/log.h"
#include "data/batch.h"
#include <math.h>
#include <string.h>

enum { WEIGH_EPOCH = -2 };

static int spec_of(const struct lrc_dataset *dataset, int64_t row)
{
    return dataset->file_specs[dataset->rows[row].file];
}

/* copies: by row; rows of a spec that have examples, in the order of the files. */
static enum lrc_status draw(int32_t *copies, const struct lrc_dataset *dataset,
                            const unsigned char *has_examples, int spec, double weight, uint64_t seed,
                            struct lrc_error *err)
{
    int64_t  n = 0;
    int64_t *rows = lrc_calloc(dataset->n_rows, sizeof *rows),
            *order = lrc_calloc(dataset->n_rows, sizeof *order);
    if (!rows || !order) {
        lrc_free(rows);
        lrc_free(order);
        return lrc_fail_nomem(err, "the weights of the datasets");
    }
    for (int64_t r = 0; r < dataset->n_rows; r++)
        if (has_examples[r] && spec_of(dataset, r) == spec)
            rows[n++] = r;
    const int64_t n_drawn = llround((weight - floor(weight)) * (double)n);
    lrc_batch_order(order, n, seed + (uint64_t)spec, WEIGH_EPOCH);
    for (int64_t i = 0; i < n; i++)
        copies[rows[order[i]]] = (int32_t)floor(weight) + (i < n_drawn);
    lrc_free(rows);
    lrc_free(order);
    return LRC_STATUS_OK;
}

static void note_fate(struct lrc_dataset *dataset, int64_t row, int32_t copies)
{
    struct lrc_row_record *record = &dataset->rows[row];
    record->n_examples *= copies;
    record->n_kept *= copies;
    record->n_trained *= copies;
    if (copies > 0)
        return;
    dataset->tally[record->fate]--;
    record->fate = LRC_ROW_NOT_DRAWN;
    dataset->tally[record->fate]++;
}

/* Copies follow the row they are of, all its examples at a time. */
static enum lrc_status copy_examples(struct lrc_dataset *dataset, const int32_t *copies,
                                     struct lrc_error *err)
{
    int64_t n = 0, n_new = 0;
    for (int64_t i = 0; i < dataset->n_examples; i++)
        n += copies[dataset->examples[i].row_id];
    if (n == 0)
        return lrc_fail(err, LRC_STATUS_CONFIG,
                        "datasets: want weights that leave a row, got none of %lld left",
                        (long long)dataset->n_examples);
    if (n + dataset->n_rows + dataset->n_further >= UINT32_MAX)
        return lrc_fail(err, LRC_STATUS_CONFIG,
                        "datasets: want weights that make fewer than 2^32 rows, got %lld", (long long)n);
    struct lrc_example *examples = lrc_calloc(n, sizeof *examples);
    if (!examples)
        return lrc_fail_nomem(err, "the weights of the datasets");
    for (int64_t i = 0, end; i < dataset->n_examples; i = end) {
        const uint32_t row = dataset->examples[i].row_id;
        for (end = i; end < dataset->n_examples && dataset->examples[end].row_id == row; end++) {
        }
        for (int32_t copy = 0; copy < copies[row]; copy++)
            for (int64_t k = i; k < end; k++) {
                examples[n_new] = dataset->examples[k];
                if (copy > 0)
                    lrc_dataset__number_further(dataset, &examples[n_new]);
                n_new++;
            }
    }
    lrc_free(dataset->examples);
    dataset->examples = examples;
    dataset->n_examples = n;
    return LRC_STATUS_OK;
}

static enum lrc_status weigh(struct lrc_dataset *dataset, int32_t *copies, unsigned char *has_examples,
                             const struct lrc_dataset_spec *specs, int n_specs, uint64_t seed,
                             struct lrc_error *err)
{
    for (int64_t i = 0; i < dataset->n_examples; i++)
        has_examples[dataset->examples[i].row_id] = 1;
    for (int i = 0; i < n_specs; i++)
        LRC_TRY(draw(copies, dataset, has_examples, i, lrc_dataset_weight_read(specs[i].weight), seed, err));
    LRC_TRY(copy_examples(dataset, copies, err));
    for (int64_t r = 0; r < dataset->n_rows; r++)
        if (has_examples[r])
            note_fate(dataset, r, copies[r]);
    lrc_dataset__recount(dataset);
    lrc_log_info("weights: %lld rows an epoch, %lld tokens, %lld trained", (long long)dataset->n_examples,
                 (long long)dataset->n_tokens, (long long)dataset->n_trained);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_dataset_weigh(struct lrc_dataset *dataset, const struct lrc_dataset_spec *specs,
                                  int n_specs, uint64_t seed, struct lrc_error *err)
{
    int is_weighed = 0;
    for (int i = 0; i < n_specs; i++)
        is_weighed |= lrc_dataset_weight_read(specs[i].weight) != 1;
    if (!is_weighed)
        return LRC_STATUS_OK;
    int32_t              *copies = lrc_calloc(dataset->n_rows, sizeof *copies);
    unsigned char        *has_examples = lrc_calloc(dataset->n_rows, 1);
    const enum lrc_status status = copies && has_examples
                                       ? weigh(dataset, copies, has_examples, specs, n_specs, seed, err)
                                       : lrc_fail_nomem(err, "the weights of the datasets");
    lrc_free(copies);
    lrc_free(has_examples);
    return status;
}
