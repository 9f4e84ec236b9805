#include "data/dataset.h"

#include "base/alloc.h"
#include "data/batch.h"
#include <math.h>
#include <string.h>

enum { SPLIT_EPOCH = -1 };

static void recount(struct lrc_dataset *dataset)
{
    dataset->longest = dataset->n_tokens = dataset->n_trained = 0;
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        const struct lrc_example *example = &dataset->examples[i];
        dataset->longest = example->n_tokens > dataset->longest ? example->n_tokens : dataset->longest;
        dataset->n_tokens += example->n_tokens;
        dataset->n_trained += example->n_trained;
    }
}

/* Both sides keep the file's order. */
static void move_examples(struct lrc_dataset *dataset, struct lrc_dataset *held_out,
                          const unsigned char *is_held)
{
    int64_t n_kept = 0;
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        if (is_held[i])
            held_out->examples[held_out->n_examples++] = dataset->examples[i];
        else
            dataset->examples[n_kept++] = dataset->examples[i];
    }
    dataset->n_examples = n_kept;
    recount(dataset);
    recount(held_out);
}

enum lrc_status lrc_dataset_split(struct lrc_dataset *dataset, struct lrc_dataset *held_out,
                                  double val_set_size, int shuffle, uint64_t seed, struct lrc_error *err)
{
    *held_out = (struct lrc_dataset) { .ids = dataset->ids, .targets = dataset->targets, .borrows_ids = 1 };
    memcpy(held_out->hash, dataset->hash, sizeof held_out->hash);
    const int64_t n = dataset->n_examples;
    const double  wanted = ceil(val_set_size < 1 ? (double)n * val_set_size : val_set_size);
    if (!(val_set_size >= 0) || !(wanted < (double)n || val_set_size == 0))
        return lrc_fail(err, LRC_STATUS_CONFIG, "val_set_size: want less than all %lld rows held out, got %g",
                        (long long)n, val_set_size);
    const int64_t n_held = (int64_t)wanted;

    enum lrc_status status = LRC_STATUS_OK;
    int64_t        *order = lrc_calloc(n, sizeof *order);
    unsigned char  *is_held = lrc_calloc(n, 1);
    held_out->examples = lrc_calloc(n_held, sizeof *held_out->examples);
    if (!order || !is_held || !held_out->examples) {
        lrc_dataset_release(held_out);
        status = lrc_fail_nomem(err, "the split into training and held-out rows");
        goto done;
    }
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    if (shuffle)
        lrc_batch_order(order, n, seed, SPLIT_EPOCH);
    for (int64_t i = n - n_held; i < n; i++)
        is_held[order[i]] = 1;
    move_examples(dataset, held_out, is_held);
done:
    lrc_free(order);
    lrc_free(is_held);
    return status;
}
