#include "common/gemm.h"

#include "backend.h"
#include "base/alloc.h"

#include <dnnl.h>
#include <dnnl_debug.h>
#include <omp.h>
#include <pthread.h>

/* Entries are replaced in turn when the cache is full: training uses a short list of shapes, scoring of texts
 * may not. */
enum { CACHE_MAX = 512, WIDE_ROWS = 256, WIDE_DEPTH = 2048 };

struct key {
    int64_t m, n, k, a_stride, b_stride, c_stride;
    int     a_transposed, b_transposed, dtype, c_dtype, mode;
    int     n_threads; /* a primitive's split of the work is fixed when it is made */
};

struct entry {
    struct key       key;
    dnnl_primitive_t primitive;
    dnnl_memory_t    a, b, c;
};

static struct {
    pthread_mutex_t
                  mutex; /* held while a product runs: memory objects and scratch belong to the running one */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int           n_entries, next;
    struct entry  entries[CACHE_MAX];
    float        *scratch; /* widened panels of a and b, then one of c */
} cache = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static enum lrc_status fail(const struct lrc_gemm *gemm, dnnl_status_t status, struct lrc_error *err)
{
    if (status == dnnl_out_of_memory)
        return lrc_fail_nomem(err, "matrix product");
    return lrc_fail(err, LRC_STATUS_DEVICE,
                    "matrix product (m %lld, n %lld, k %lld, %s): want success of oneDNN, got '%s'",
                    (long long)gemm->m, (long long)gemm->n, (long long)gemm->k,
                    lrc_dtype_info[gemm->dtype].name, dnnl_status2str(status));
}

#define TRY_DNNL(expression)                                                                                 \
    do {                                                                                                     \
        const dnnl_status_t try_ = (expression);                                                             \
        if (try_ != dnnl_success)                                                                            \
            return try_;                                                                                     \
    } while (0)

static dnnl_status_t matrix_describe(dnnl_memory_desc_t *desc, int64_t rows, int64_t cols, int64_t stride,
                                     int transposed, int dtype)
{
    const dnnl_dims_t      dims = { rows, cols };
    const dnnl_dims_t      strides = { transposed ? 1 : stride, transposed ? stride : 1 };
    const dnnl_data_type_t type = dtype == LRC_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    return dnnl_memory_desc_init_by_strides(desc, 2, dims, type, strides);
}

static void entry_release(struct entry *entry)
{
    if (entry->primitive)
        dnnl_primitive_destroy(entry->primitive);
    if (entry->a)
        dnnl_memory_destroy(entry->a);
    if (entry->b)
        dnnl_memory_destroy(entry->b);
    if (entry->c)
        dnnl_memory_destroy(entry->c);
    memset(entry, 0, sizeof *entry);
}

static dnnl_status_t primitive_create(dnnl_primitive_t *primitive, const dnnl_matmul_desc_t *desc, int mode)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t       sum = NULL;
    dnnl_primitive_desc_t chosen = NULL;
    dnnl_status_t         status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success && mode == LRC_GEMM_ADD) {
        status = dnnl_post_ops_create(&sum);
        if (status == dnnl_success)
            status = dnnl_post_ops_append_sum(sum, 1.0f);
        if (status == dnnl_success)
            status = dnnl_primitive_attr_set_post_ops(attr, sum);
    }
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&chosen, desc, attr, cache.engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(primitive, chosen);
    if (chosen)
        dnnl_primitive_desc_destroy(chosen);
    if (sum)
        dnnl_post_ops_destroy(sum);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

static dnnl_status_t entry_create(struct entry *entry, const struct key *key)
{
    dnnl_memory_desc_t a, b, c;
    dnnl_matmul_desc_t matmul;
    TRY_DNNL(matrix_describe(&a, key->m, key->k, key->a_stride, key->a_transposed, key->dtype));
    TRY_DNNL(matrix_describe(&b, key->k, key->n, key->b_stride, key->b_transposed, key->dtype));
    TRY_DNNL(matrix_describe(&c, key->m, key->n, key->c_stride, 0, key->c_dtype));
    TRY_DNNL(dnnl_matmul_desc_init(&matmul, &a, &b, NULL, &c));
    TRY_DNNL(primitive_create(&entry->primitive, &matmul, key->mode));
    TRY_DNNL(dnnl_memory_create(&entry->a, &a, cache.engine, DNNL_MEMORY_NONE));
    TRY_DNNL(dnnl_memory_create(&entry->b, &b, cache.engine, DNNL_MEMORY_NONE));
    TRY_DNNL(dnnl_memory_create(&entry->c, &c, cache.engine, DNNL_MEMORY_NONE));
    entry->key = *key;
    return dnnl_success;
}

static dnnl_status_t cache_start(void)
{
    if (!cache.engine)
        TRY_DNNL(dnnl_engine_create(&cache.engine, dnnl_cpu, 0));
    if (!cache.stream)
        TRY_DNNL(dnnl_stream_create(&cache.stream, cache.engine, dnnl_stream_default_flags));
    return dnnl_success;
}

static dnnl_status_t entry_find(struct entry **found, const struct key *key)
{
    for (int i = 0; i < cache.n_entries; i++)
        if (memcmp(&cache.entries[i].key, key, sizeof *key) == 0) {
            *found = &cache.entries[i];
            return dnnl_success;
        }
    TRY_DNNL(cache_start());
    struct entry *entry = &cache.entries[cache.next];
    entry_release(entry);
    const dnnl_status_t status = entry_create(entry, key);
    if (status != dnnl_success) {
        entry_release(entry);
        return status;
    }
    cache.next = (cache.next + 1) % CACHE_MAX;
    if (cache.n_entries < CACHE_MAX)
        cache.n_entries++;
    *found = entry;
    return dnnl_success;
}

/* oneDNN takes inputs as void * and does not write to them. */
static void *without_const(const void *data)
{
    union {
        const void *read_only;
        void       *any;
    } pointer = { .read_only = data };
    return pointer.any;
}

static dnnl_status_t run_primitive(const struct lrc_gemm *gemm)
{
    struct key key;
    memset(&key, 0, sizeof key); /* keys are compared as bytes */
    key.m = gemm->m;
    key.n = gemm->n;
    key.k = gemm->k;
    key.a_stride = gemm->a.stride;
    key.b_stride = gemm->b.stride;
    key.c_stride = gemm->c_stride;
    key.a_transposed = gemm->a.transposed != 0;
    key.b_transposed = gemm->b.transposed != 0;
    key.dtype = (int)gemm->dtype;
    key.c_dtype = (int)gemm->c_dtype;
    key.mode = (int)gemm->mode;
    key.n_threads = omp_get_max_threads();

    struct entry *entry = NULL;
    TRY_DNNL(entry_find(&entry, &key));
    TRY_DNNL(dnnl_memory_set_data_handle(entry->a, without_const(gemm->a.data)));
    TRY_DNNL(dnnl_memory_set_data_handle(entry->b, without_const(gemm->b.data)));
    TRY_DNNL(dnnl_memory_set_data_handle(entry->c, gemm->c));
    const dnnl_exec_arg_t args[] = { { DNNL_ARG_SRC, entry->a },
                                     { DNNL_ARG_WEIGHTS, entry->b },
                                     { DNNL_ARG_DST, entry->c } };
    TRY_DNNL(dnnl_primitive_execute(entry->primitive, cache.stream, 3, args));
    return dnnl_stream_wait(cache.stream);
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Stored rows [row, row + n_rows) and columns [col, col + n_cols) of a BF16 matrix as float32, packed. */
static void widen(float *out, const struct lrc_gemm_operand *from, int64_t row, int64_t n_rows, int64_t col,
                  int64_t n_cols)
{
    const uint16_t *data = from->data;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t c = 0; c < n_cols; c++)
            out[r * n_cols + c] = lrc_bf16_to_f32(data[(row + r) * from->stride + col + c]);
}

/* op(from)[row .. row + n_rows, col .. col + n_cols] widened as it is stored; *stride is of the packed copy.
 */
static void widen_operand(float *out, int64_t *stride, const struct lrc_gemm_operand *from,
                          const int64_t at[2], const int64_t size[2])
{
    const int t = from->transposed != 0;
    widen(out, from, at[t], size[t], at[!t], size[!t]);
    *stride = size[!t];
}

static void store_panel(const struct lrc_gemm *gemm, const float *panel, const int64_t at[2],
                        const int64_t size[2])
{
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < size[0]; r++) {
        uint16_t *row = (uint16_t *)gemm->c + (at[0] + r) * gemm->c_stride + at[1];
        for (int64_t c = 0; c < size[1]; c++)
            row[c] = lrc_bf16_from_f32(panel[r * size[1] + c]);
    }
}

/* One panel of c of a BF16 product, in float32. */
static dnnl_status_t widened_panel(const struct lrc_gemm *gemm, const int64_t at[2], const int64_t size[2])
{
    float        *a = cache.scratch, *b = a + WIDE_ROWS * WIDE_DEPTH, *own = b + WIDE_ROWS * WIDE_DEPTH;
    const int     is_f32 = gemm->c_dtype == LRC_DTYPE_F32;
    float        *c = is_f32 ? (float *)gemm->c + at[0] * gemm->c_stride + at[1] : own;
    const int64_t c_stride = is_f32 ? gemm->c_stride : size[1];
    for (int64_t k = 0; k < gemm->k; k += WIDE_DEPTH) {
        const int64_t depth = min64(WIDE_DEPTH, gemm->k - k);
        int64_t       a_stride, b_stride;
        widen_operand(a, &a_stride, &gemm->a, (int64_t[2]){ at[0], k }, (int64_t[2]){ size[0], depth });
        widen_operand(b, &b_stride, &gemm->b, (int64_t[2]){ k, at[1] }, (int64_t[2]){ depth, size[1] });
        const float beta = k > 0 || gemm->mode == LRC_GEMM_ADD ? 1.0f : 0.0f;
        TRY_DNNL(dnnl_sgemm(gemm->a.transposed ? 'T' : 'N', gemm->b.transposed ? 'T' : 'N', size[0], size[1],
                            depth, 1.0f, a, a_stride, b, b_stride, beta, c, c_stride));
    }
    if (!is_f32)
        store_panel(gemm, own, at, size);
    return dnnl_success;
}

static dnnl_status_t run_widened(const struct lrc_gemm *gemm)
{
    if (!cache.scratch)
        cache.scratch = lrc_calloc(2 * WIDE_ROWS * WIDE_DEPTH + WIDE_ROWS * WIDE_ROWS, sizeof *cache.scratch);
    if (!cache.scratch)
        return dnnl_out_of_memory;
    for (int64_t n = 0; n < gemm->n; n += WIDE_ROWS)
        for (int64_t m = 0; m < gemm->m; m += WIDE_ROWS) {
            const int64_t at[2] = { m, n };
            const int64_t size[2] = { min64(WIDE_ROWS, gemm->m - m), min64(WIDE_ROWS, gemm->n - n) };
            TRY_DNNL(widened_panel(gemm, at, size));
        }
    return dnnl_success;
}

static int operand_is_valid(const struct lrc_gemm_operand *operand, int64_t rows, int64_t cols)
{
    return operand->data && operand->stride >= (operand->transposed ? rows : cols);
}

static enum lrc_status check(const struct lrc_gemm *gemm, struct lrc_error *err)
{
    const int is_bf16 = gemm->dtype == LRC_DTYPE_BF16;
    if ((gemm->dtype != LRC_DTYPE_F32 && !is_bf16) ||
        (gemm->c_dtype != LRC_DTYPE_F32 &&
         (gemm->c_dtype != LRC_DTYPE_BF16 || !is_bf16 || gemm->mode == LRC_GEMM_ADD)))
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "matrix product: want F32 x F32 -> F32, BF16 x BF16 -> F32 or BF16 -> = BF16, "
                        "got %s -> %s",
                        lrc_dtype_info[gemm->dtype].name, lrc_dtype_info[gemm->c_dtype].name);
    if (gemm->m < 0 || gemm->n < 0 || gemm->k < 1 || gemm->c_stride < gemm->n)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "matrix product: want m, n >= 0, k >= 1 and rows that do not overlap, got m %lld, "
                        "n %lld, k %lld",
                        (long long)gemm->m, (long long)gemm->n, (long long)gemm->k);
    if (gemm->m == 0 || gemm->n == 0)
        return LRC_STATUS_OK;
    if (!gemm->c || !operand_is_valid(&gemm->a, gemm->m, gemm->k) ||
        !operand_is_valid(&gemm->b, gemm->k, gemm->n))
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "matrix product: want operands with rows that do not overlap, got m %lld, n %lld, "
                        "k %lld, strides %lld and %lld",
                        (long long)gemm->m, (long long)gemm->n, (long long)gemm->k, (long long)gemm->a.stride,
                        (long long)gemm->b.stride);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_gemm_run(const struct lrc_gemm *gemm, struct lrc_error *err)
{
    LRC_TRY(check(gemm, err));
    if (gemm->m == 0 || gemm->n == 0)
        return LRC_STATUS_OK;
    const int widened = gemm->dtype == LRC_DTYPE_BF16 && !lrc_backend_cpu_has_bf16();
    pthread_mutex_lock(&cache.mutex);
    const dnnl_status_t status = widened ? run_widened(gemm) : run_primitive(gemm);
    pthread_mutex_unlock(&cache.mutex);
    return status == dnnl_success ? LRC_STATUS_OK : fail(gemm, status, err);
}

void lrc_gemm_release(void)
{
    pthread_mutex_lock(&cache.mutex);
    for (int i = 0; i < cache.n_entries; i++)
        entry_release(&cache.entries[i]);
    cache.n_entries = 0;
    cache.next = 0;
    if (cache.stream)
        dnnl_stream_destroy(cache.stream);
    if (cache.engine)
        dnnl_engine_destroy(cache.engine);
    cache.stream = NULL;
    cache.engine = NULL;
    lrc_free(cache.scratch);
    cache.scratch = NULL;
    pthread_mutex_unlock(&cache.mutex);
}

static enum lrc_status measure(double *gflops, const struct lrc_gemm *gemm, struct lrc_error *err)
{
    LRC_TRY(lrc_gemm_run(gemm, err)); /* makes the primitive */
    const double flops = 2.0 * (double)gemm->m * (double)gemm->n * (double)gemm->k;
    const double start = omp_get_wtime();
    double       now = start;
    *gflops = 0;
    while (now - start < 0.3) {
        const double before = now;
        LRC_TRY(lrc_gemm_run(gemm, err));
        now = omp_get_wtime();
        const double speed = flops / (now - before) * 1e-9;
        *gflops = speed > *gflops ? speed : *gflops;
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_gemm_peak(double *gflops_f32, double *gflops_bf16, struct lrc_error *err)
{
    enum { SIZE = 2048 };
    const int64_t   n_elems = (int64_t)SIZE * SIZE;
    float          *c = lrc_calloc(n_elems, sizeof *c);
    float          *a = lrc_calloc(n_elems, sizeof *a);
    enum lrc_status status = LRC_STATUS_OK;
    *gflops_f32 = *gflops_bf16 = 0;
    if (!c || !a) {
        status = lrc_fail_nomem(err, "matrix product");
        goto done;
    }
    for (int64_t i = 0; i < n_elems; i++)
        a[i] = 1.0f; /* also a sound BF16 pattern: 0x3f80, 0x0000 */
    struct lrc_gemm gemm = { .m = SIZE,
                             .n = SIZE,
                             .k = SIZE,
                             .a = { a, SIZE, 0 },
                             .b = { a, SIZE, 1 },
                             .c = c,
                             .c_stride = SIZE,
                             .dtype = LRC_DTYPE_F32,
                             .c_dtype = LRC_DTYPE_F32,
                             .mode = LRC_GEMM_SET };
    status = measure(gflops_f32, &gemm, err);
    if (status == LRC_STATUS_OK && lrc_backend_cpu_has_bf16()) {
        gemm.dtype = LRC_DTYPE_BF16;
        status = measure(gflops_bf16, &gemm, err);
    }
done:
    lrc_free(a);
    lrc_free(c);
    return status;
}

/* One primitive of lrc_gemm_best() and what it needs. */
struct trial {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t      primitive;
    dnnl_memory_t         memory[3]; /* a, b, c */
    void                 *data[3];
};

static void trial_release(struct trial *trial)
{
    for (int i = 0; i < 3; i++) {
        if (trial->memory[i])
            dnnl_memory_destroy(trial->memory[i]);
        lrc_free(trial->data[i]);
    }
    if (trial->primitive)
        dnnl_primitive_destroy(trial->primitive);
    if (trial->desc)
        dnnl_primitive_desc_destroy(trial->desc);
}

/* Values between 2^-7 and 2^-6 of both signs, read as BF16 or as F32. */
static dnnl_status_t trial_fill(struct trial *trial, int i, const dnnl_memory_desc_t *desc)
{
    const int64_t n = (int64_t)((dnnl_memory_desc_get_size(desc) + 3) / 4 * 2);
    uint16_t     *data = lrc_calloc(n, sizeof *data);
    if (!data)
        return dnnl_out_of_memory;
    trial->data[i] = data;
    for (int64_t e = 0; e < n; e++)
        data[e] = (uint16_t)(0x3c00u | ((uint32_t)e * 2654435761u >> 16 & 0x807fu));
    return dnnl_memory_create(&trial->memory[i], desc, cache.engine, data);
}

static dnnl_status_t trial_create(struct trial *trial, const struct lrc_gemm_shape *s, int dtype, int packed)
{
    dnnl_memory_desc_t     a, b, c;
    dnnl_matmul_desc_t     matmul;
    const dnnl_dims_t      dims = { s->k, s->n };
    const dnnl_data_type_t type = dtype == LRC_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    TRY_DNNL(matrix_describe(&a, s->m, s->k, s->k, 0, dtype));
    TRY_DNNL(matrix_describe(&c, s->m, s->n, s->n, 0, dtype));
    if (packed)
        TRY_DNNL(dnnl_memory_desc_init_by_tag(&b, 2, dims, type, dnnl_format_tag_any));
    else
        TRY_DNNL(matrix_describe(&b, s->k, s->n, s->transposed ? s->k : s->n, s->transposed, dtype));
    TRY_DNNL(dnnl_matmul_desc_init(&matmul, &a, &b, NULL, &c));
    TRY_DNNL(dnnl_primitive_desc_create(&trial->desc, &matmul, NULL, cache.engine, NULL));
    TRY_DNNL(dnnl_primitive_create(&trial->primitive, trial->desc));
    const dnnl_memory_desc_t *chosen = dnnl_primitive_desc_query_md(trial->desc, dnnl_query_weights_md, 0);
    TRY_DNNL(trial_fill(trial, 0, &a));
    TRY_DNNL(trial_fill(trial, 1, chosen));
    return trial_fill(trial, 2, &c);
}

static dnnl_status_t trial_run(double *fastest, const struct trial *trial, double seconds)
{
    const dnnl_exec_arg_t args[] = { { DNNL_ARG_SRC, trial->memory[0] },
                                     { DNNL_ARG_WEIGHTS, trial->memory[1] },
                                     { DNNL_ARG_DST, trial->memory[2] } };
    double                spent = 0.0;
    for (int i = 0; i < 3 || spent < seconds; i++) {
        const double start = omp_get_wtime();
        TRY_DNNL(dnnl_primitive_execute(trial->primitive, cache.stream, 3, args));
        TRY_DNNL(dnnl_stream_wait(cache.stream));
        const double took = omp_get_wtime() - start;
        spent += took;
        if (i > 0 && took < *fastest) /* the first run touches everything for the first time */
            *fastest = took;
    }
    return dnnl_success;
}

enum lrc_status lrc_gemm_best(double *gflops, const struct lrc_gemm_shape *shape, double seconds,
                              struct lrc_error *err)
{
    const int     is_bf16 = shape->dtype == LRC_DTYPE_BF16 && lrc_backend_cpu_has_bf16();
    const int     dtype = is_bf16 ? LRC_DTYPE_BF16 : LRC_DTYPE_F32;
    double        fastest = 1e30;
    dnnl_status_t status;
    pthread_mutex_lock(&cache.mutex);
    status = cache_start();
    for (int packed = 0; status == dnnl_success && packed < 2; packed++) {
        struct trial trial = { 0 };
        status = trial_create(&trial, shape, dtype, packed);
        if (status == dnnl_success)
            status = trial_run(&fastest, &trial, seconds);
        trial_release(&trial);
    }
    pthread_mutex_unlock(&cache.mutex);
    *gflops = 2.0 * (double)shape->m * (double)shape->n * (double)shape->k / fastest * 1e-9;
    return status == dnnl_success
               ? LRC_STATUS_OK
               : fail(
                     &(struct lrc_gemm){ .m = shape->m, .n = shape->n, .k = shape->k, .dtype = shape->dtype },
                     status, err);
}
