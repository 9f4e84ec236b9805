/* A folder of values computed by the reference implementations, and comparisons with it. */
#ifndef LRC_TESTS_GOLDEN_H
#define LRC_TESTS_GOLDEN_H

#include "adapter/adapter.h"
#include "data/batch.h"
#include "train/full.h"
#include "train/step.h"

#include <criterion/criterion.h>

enum { GOLDEN_PATH_MAX = 512 };

struct golden {
    char                   name[64];
    char                   dir[GOLDEN_PATH_MAX];
    struct lrc_safetensors file; /* golden.safetensors */
    json_t                *json; /* golden.json */
};

/* Opens <root>/<name>/; fails the test when that cannot be. */
void golden_open(struct golden *golden, const char *root, const char *name);
void golden_close(struct golden *golden);
int  golden_has(const struct golden *golden, const char *tensor);

/* I64, I32 or F32 tensors widened; *n elements; lrc_free(). */
int64_t *golden_ints(const struct golden *golden, const char *tensor, int64_t *n);
float   *golden_floats(const struct golden *golden, const char *tensor, int64_t *n);

/* Elementwise |got - golden| <= tolerance of `key` in golden.json; NaN fails. Prints the largest difference
 * with LRC_GOLDEN_REPORT set. `first` elements of the tensor are passed over. */
void golden_expect(const struct golden *golden, const char *tensor, const char *key, const float *got,
                   int64_t n, int64_t first);
/* All of a tensor that lies in the backend's memory. */
void golden_expect_tensor(const struct golden *golden, const char *tensor, const char *key,
                          const struct lrc_tensor *got);
void golden_expect_scalar(const struct golden *golden, const char *tensor, const char *key, double got,
                          int64_t index);

/* What computes: the CPU, or CUDA in the programs that are built with LRC_GOLDEN_CUDA. */
const struct lrc_backend        *golden_backend(void);
const struct lrc_backend *const *golden_backends(void); /* all that are to be tried, NULL-terminated */
void                             golden_to_host(void *to, const void *from, size_t size_bytes);

/* (B, T) ids, labels (not shifted, -100: not trained) and an attention mask (NULL: all) as a batch of
 * documents. offsets NULL: each row is one; otherwise n_docs + 1 offsets into the flat row. release with
 * golden_batch_free(). */
struct lrc_batch golden_batch(const int64_t *ids, const int64_t *labels, const int64_t *mask, int64_t n_rows,
                              int64_t n_cols, const int64_t *offsets, int64_t n_docs);
void             golden_batch_free(struct lrc_batch *batch);

/* A copy of a model folder in a new temporary folder, with config_name as its config.json. lrc_dir_remove()
 * when done. */
void golden_copy_model(char to[GOLDEN_PATH_MAX], const char *from, const char *config_name);

#endif
