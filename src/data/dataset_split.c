#include "data/dataset.h"

#include "base/alloc.h"
#include "data/batch.h"
#include <math.h>
#include <string.h>

enum { SPLIT_EPOCH = -1 };

/* The pieces of a split row follow one another and stay on one side. */
static int starts_row(const struct lrc_dataset *dataset, int64_t i)
{
    return i == 0 || dataset->examples[i].row_id != dataset->examples[i - 1].row_id;
}

static int64_t count_rows(const struct lrc_dataset *dataset)
{
    int64_t n = 0;
    for (int64_t i = 0; i < dataset->n_examples; i++)
        n += starts_row(dataset, i);
    return n;
}

/* Both sides keep the file's order. is_held: by row that has examples. */
static enum lrc_status move_examples(struct lrc_dataset *dataset, struct lrc_dataset *held_out,
                                     const unsigned char *is_held, struct lrc_error *err)
{
    int64_t row = -1, n_held = 0, n_kept = 0;
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        row += starts_row(dataset, i);
        n_held += is_held[row];
    }
    held_out->examples = lrc_calloc(n_held, sizeof *held_out->examples);
    if (!held_out->examples)
        return lrc_fail_nomem(err, "the split into training and held-out rows");
    uint32_t row_id = 0; /* of the example before, whose place may hold another by now */
    row = -1;
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        const struct lrc_example example = dataset->examples[i];
        row += i == 0 || example.row_id != row_id;
        row_id = example.row_id;
        if (is_held[row])
            held_out->examples[held_out->n_examples++] = example;
        else
            dataset->examples[n_kept++] = example;
    }
    dataset->n_examples = n_kept;
    lrc_dataset__recount(dataset);
    lrc_dataset__recount(held_out);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_dataset_split(struct lrc_dataset *dataset, struct lrc_dataset *held_out,
                                  double val_set_size, int shuffle, uint64_t seed, struct lrc_error *err)
{
    *held_out = (struct lrc_dataset){
        .ids = dataset->ids, .targets = dataset->targets, .store = dataset->store, .borrows_tokens = 1
    };
    memcpy(held_out->hash, dataset->hash, sizeof held_out->hash);
    memcpy(held_out->tokens_hash, dataset->tokens_hash, sizeof held_out->tokens_hash);
    const int64_t n = count_rows(dataset);
    const double  wanted = ceil(val_set_size < 1 ? (double)n * val_set_size : val_set_size);
    if (!(val_set_size >= 0) || !(wanted < (double)n || val_set_size == 0))
        return lrc_fail(err, LRC_STATUS_CONFIG, "val_set_size: want less than all %lld rows held out, got %g",
                        (long long)n, val_set_size);
    const int64_t n_held = (int64_t)wanted;

    enum lrc_status status = LRC_STATUS_OK;
    int64_t        *order = lrc_calloc(n, sizeof *order);
    unsigned char  *is_held = lrc_calloc(n, 1);
    if (!order || !is_held) {
        status = lrc_fail_nomem(err, "the split into training and held-out rows");
        goto done;
    }
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    if (shuffle)
        lrc_batch_order(order, n, seed, SPLIT_EPOCH);
    for (int64_t i = n - n_held; i < n; i++)
        is_held[order[i]] = 1;
    status = move_examples(dataset, held_out, is_held, err);
done:
    if (status != LRC_STATUS_OK)
        lrc_dataset_release(held_out);
    lrc_free(order);
    lrc_free(is_held);
    return status;
}
