#include "golden/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void golden_open(struct golden *golden, const char *root, const char *name)
{
    char             path[GOLDEN_PATH_MAX + 32];
    struct lrc_error err;
    (void)snprintf(golden->name, sizeof golden->name, "%s", name);
    (void)snprintf(golden->dir, sizeof golden->dir, "%s/%s", root, name);
    (void)snprintf(path, sizeof path, "%s/golden.safetensors", golden->dir);
    cr_assert_eq(lrc_safetensors_open(&golden->file, path, &err), LRC_STATUS_OK, "%s", err.message);
    (void)snprintf(path, sizeof path, "%s/golden.json", golden->dir);
    cr_assert_eq(lrc_json_load(&golden->json, path, &err), LRC_STATUS_OK, "%s", err.message);
}

void golden_close(struct golden *golden)
{
    lrc_safetensors_close(&golden->file);
    json_decref(golden->json);
}

int golden_has(const struct golden *golden, const char *tensor)
{
    return lrc_safetensors_find(&golden->file, tensor) != NULL;
}

static const struct lrc_safetensors_entry *find(const struct golden *golden, const char *tensor)
{
    const struct lrc_safetensors_entry *entry = lrc_safetensors_find(&golden->file, tensor);
    cr_assert_not_null(entry, "%s has no '%s'", golden->dir, tensor);
    return entry;
}

int64_t *golden_ints(const struct golden *golden, const char *tensor, int64_t *n)
{
    const struct lrc_safetensors_entry *entry = find(golden, tensor);
    int64_t                            *out = lrc_calloc(entry->n_elems, sizeof *out);
    cr_assert_not_null(out);
    for (int64_t i = 0; i < entry->n_elems; i++) {
        int32_t narrow;
        if (entry->dtype == LRC_DTYPE_I64) {
            memcpy(&out[i], entry->data + 8 * i, 8);
        } else {
            cr_assert_eq(entry->dtype, LRC_DTYPE_I32);
            memcpy(&narrow, entry->data + 4 * i, 4);
            out[i] = narrow;
        }
    }
    *n = entry->n_elems;
    return out;
}

float *golden_floats(const struct golden *golden, const char *tensor, int64_t *n)
{
    const struct lrc_safetensors_entry *entry = find(golden, tensor);
    float                              *out = lrc_calloc(entry->n_elems, sizeof *out);
    cr_assert_not_null(out);
    lrc_dtype_to_f32(out, entry->data, entry->dtype, entry->n_elems);
    *n = entry->n_elems;
    return out;
}

static double tolerance_of(const struct golden *golden, const char *key)
{
    const json_t *value = json_object_get(json_object_get(golden->json, "tolerance"), key);
    cr_assert(json_is_number(value), "%s: no tolerance for '%s'", golden->dir, key);
    return json_number_value(value);
}

static void report(const struct golden *golden, const char *tensor, double worst, double tolerance)
{
    if (getenv("LRC_GOLDEN_REPORT"))
        fprintf(stderr, "golden %-16s %-70s largest difference %.2e of %.0e\n", golden->name, tensor, worst,
                tolerance);
}

void golden_expect(const struct golden *golden, const char *tensor, const char *key, const float *got,
                   int64_t n, int64_t first)
{
    const double tolerance = tolerance_of(golden, key);
    int64_t      n_want, at = 0;
    float       *want = golden_floats(golden, tensor, &n_want);
    double       worst = 0.0;
    cr_assert_leq(first + n, n_want, "%s: '%s' has %lld elements", golden->dir, tensor, (long long)n_want);
    for (int64_t i = 0; i < n; i++) {
        const double difference = fabs((double)got[i] - (double)want[first + i]);
        if (!(difference <= worst)) { /* NaN, too */
            worst = difference;
            at = i;
        }
    }
    report(golden, tensor, worst, tolerance);
    cr_expect(worst <= tolerance, "%s: %s[%lld]: got %.9g, want %.9g within %g", golden->dir, tensor,
              (long long)at, (double)got[at], (double)want[first + at], tolerance);
    lrc_free(want);
}

#ifdef LRC_GOLDEN_CUDA
const struct lrc_backend *golden_backend(void)
{
    return &lrc_backend_cuda;
}

const struct lrc_backend *const *golden_backends(void)
{
    static const struct lrc_backend *const backends[] = { &lrc_backend_cuda, NULL };
    return backends;
}
#else
const struct lrc_backend *golden_backend(void)
{
    return lrc_backend_cpu();
}

const struct lrc_backend *const *golden_backends(void)
{
    return lrc_backend_cpu_all();
}
#endif

void golden_to_host(void *to, const void *from, size_t size_bytes)
{
    struct lrc_error err = { 0 };
    cr_assert_eq(golden_backend()->download(NULL, to, from, size_bytes, &err), LRC_STATUS_OK, "%s",
                 err.message);
    cr_assert_eq(golden_backend()->synchronize(NULL, &err), LRC_STATUS_OK, "%s", err.message);
}

void golden_expect_tensor(const struct golden *golden, const char *tensor, const char *key,
                          const struct lrc_tensor *got)
{
    const int64_t n = lrc_tensor_elems(got);
    float        *values = lrc_calloc(n, sizeof *values);
    cr_assert_not_null(values);
    golden_to_host(values, got->data, (size_t)n * sizeof *values);
    golden_expect(golden, tensor, key, values, n, 0);
    lrc_free(values);
}

void golden_expect_scalar(const struct golden *golden, const char *tensor, const char *key, double got,
                          int64_t index)
{
    const float value = (float)got;
    golden_expect(golden, tensor, key, &value, 1, index);
}

static void fill_docs(struct lrc_batch *batch, const int64_t *labels_by_token, const int64_t *lengths,
                      int64_t n_docs)
{
    int64_t at = 0;
    for (int64_t d = 0; d < n_docs; d++) {
        batch->doc_offsets[d] = (int32_t)at;
        for (int64_t i = 0; i < lengths[d]; i++, at++) {
            const int is_last = i + 1 == lengths[d];
            batch->positions[at] = (int32_t)i;
            batch->row_ids[at] = (uint32_t)d;
            batch->targets[at] =
                is_last || labels_by_token[at + 1] < 0 ? -1 : (int32_t)labels_by_token[at + 1];
            if (batch->targets[at] >= 0) {
                batch->trained_index[batch->n_trained] = (int32_t)at;
                batch->trained_target[batch->n_trained++] = batch->targets[at];
            }
        }
    }
    batch->doc_offsets[n_docs] = (int32_t)at;
}

struct lrc_batch golden_batch(const int64_t *ids, const int64_t *labels, const int64_t *mask, int64_t n_rows,
                              int64_t n_cols, const int64_t *offsets, int64_t n_docs)
{
    const int64_t    n_max = n_rows * n_cols, n_lengths = offsets ? n_docs : n_rows;
    struct lrc_batch batch = { .n_docs = n_lengths };
    int64_t *lengths = lrc_calloc(n_lengths, sizeof *lengths), *kept = lrc_calloc(n_max, sizeof *kept);
    batch.tokens = lrc_calloc(n_max, sizeof *batch.tokens);
    batch.targets = lrc_calloc(n_max, sizeof *batch.targets);
    batch.positions = lrc_calloc(n_max, sizeof *batch.positions);
    batch.row_ids = lrc_calloc(n_max, sizeof *batch.row_ids);
    batch.doc_offsets = lrc_calloc(n_lengths + 1, sizeof *batch.doc_offsets);
    batch.trained_index = lrc_calloc(n_max, sizeof *batch.trained_index);
    batch.trained_target = lrc_calloc(n_max, sizeof *batch.trained_target);
    cr_assert(lengths && kept && batch.tokens && batch.targets && batch.positions && batch.row_ids &&
              batch.doc_offsets && batch.trained_index && batch.trained_target);

    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t c = 0; c < n_cols; c++) {
            const int64_t i = r * n_cols + c;
            if (mask && !mask[i])
                continue;
            batch.tokens[batch.n_real] = (int32_t)ids[i];
            kept[batch.n_real++] = labels ? labels[i] : ids[i];
            if (!offsets)
                lengths[r]++;
        }
    for (int64_t d = 0; offsets && d < n_docs; d++)
        lengths[d] = offsets[d + 1] - offsets[d];
    batch.n_tokens = batch.n_real;
    fill_docs(&batch, kept, lengths, n_lengths);
    lrc_free(lengths);
    lrc_free(kept);
    return batch;
}

void golden_batch_free(struct lrc_batch *batch)
{
    lrc_free(batch->tokens);
    lrc_free(batch->targets);
    lrc_free(batch->positions);
    lrc_free(batch->row_ids);
    lrc_free(batch->doc_offsets);
    lrc_free(batch->trained_index);
    lrc_free(batch->trained_target);
}

void golden_copy_model(char to[GOLDEN_PATH_MAX], const char *from, const char *config_name)
{
    struct lrc_error err;
    char           **names;
    int64_t          n_names;
    (void)snprintf(to, GOLDEN_PATH_MAX, "/tmp/lorica-golden-XXXXXX");
    cr_assert_not_null(mkdtemp(to));
    cr_assert_eq(lrc_dir_list(from, &names, &n_names, &err), LRC_STATUS_OK, "%s", err.message);
    for (int64_t i = 0; i < n_names; i++) {
        const char *name = strcmp(names[i], config_name) == 0 ? "config.json" : names[i];
        if (strncmp(names[i], "config", 6) == 0 && name == names[i] && strcmp(names[i], config_name) != 0)
            continue; /* the other dialect */
        char *source = lrc_path_join(from, names[i]), *target = lrc_path_join(to, name);
        cr_assert(source && target);
        cr_assert_eq(lrc_file_copy(target, source, &err), LRC_STATUS_OK, "%s", err.message);
        lrc_free(source);
        lrc_free(target);
    }
    lrc_dir_list_free(names, n_names);
}
