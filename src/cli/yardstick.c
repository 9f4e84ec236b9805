#include "cli/yardstick.h"

#include "base/alloc.h"
#include "base/machine.h"
#include "backend.h"
#include "common/gemm.h"
#include "device.h"
#include "model/pass.h"

#include <malloc.h>
#include <string.h>

enum { BUFFER_BYTES_MAX = 64000000, COPY_BYTES = 30 << 20 };

struct product {
    int64_t rows, out, in;
    double  flops; /* of the whole step, one direction */
};

enum { PRODUCTS_MAX = 6 };

/* Linears of equal sizes are one product. */
static void add(struct product *products, int *n, int64_t rows, int64_t out, int64_t in, double times)
{
    int i = 0;
    while (i < *n && !(products[i].rows == rows && products[i].out == out && products[i].in == in))
        i++;
    if (i == *n)
        products[(*n)++] = (struct product){ rows, out, in, 0.0 };
    products[i].flops += 2.0 * times * (double)out * (double)in;
}

static int products_of(struct product products[PRODUCTS_MAX], const struct lrc_model_shape *s,
                       int64_t n_tokens, int64_t n_trained)
{
    const int64_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    const struct lrc_pass_options head = { .backend = lrc_backend_cpu(), .n_trained = n_trained };
    const int64_t                 chunk = lrc_pass_head_rows(&head, s->vocab);
    const double  all = (double)n_tokens * (double)s->n_layers;
    int           n = 0;
    add(products, &n, n_tokens, q, s->hidden, all);
    add(products, &n, n_tokens, kv, s->hidden, 2.0 * all);
    add(products, &n, n_tokens, s->hidden, q, all);
    add(products, &n, n_tokens, s->intermediate, s->hidden, 2.0 * all);
    add(products, &n, n_tokens, s->hidden, s->intermediate, all);
    add(products, &n, chunk, s->vocab, s->hidden, (double)n_trained);
    return n;
}

static int64_t bytes_of(const struct lrc_gemm_shape *s)
{
    /* 4 bytes: a CPU without bf16 computes in float32 */
    const int64_t bytes = s->dtype == LRC_DTYPE_BF16 ? 2 : 4;
    return bytes * (s->k * s->n + s->m * (s->k + s->n));
}

/* The weight gets at most half of the room, the rows the rest. */
static void cut(struct lrc_gemm_shape *s)
{
    const int64_t bytes = s->dtype == LRC_DTYPE_BF16 ? 2 : 4;
    while (s->k * s->n * bytes > BUFFER_BYTES_MAX * 5 / 8) {
        int64_t *longer = s->k > s->n ? &s->k : &s->n;
        *longer = (*longer / 2 + 63) / 64 * 64;
    }
    while (bytes_of(s) > BUFFER_BYTES_MAX && s->m > 1)
        s->m = s->m > 64 ? (s->m - 1) / 64 * 64 : s->m / 2;
}

static enum lrc_status measure_products(double *gflops, const struct product *products, int n,
                                        enum lrc_dtype dtype, struct lrc_error *err)
{
    double flops = 0.0, sum = 0.0;
    for (int i = 0; i < n; i++)
        for (int backward = 0; backward < 2; backward++) {
            const struct product *p = &products[i];
            struct lrc_gemm_shape shape = { p->rows, backward ? p->in : p->out, backward ? p->out : p->in,
                                            !backward, dtype };
            double                rate;
            cut(&shape);
            LRC_TRY(lrc_gemm_best(&rate, &shape, 0.15, err));
            sum += p->flops * rate;
            flops += p->flops;
        }
    *gflops = sum / flops;
    return LRC_STATUS_OK;
}

/* The best of several copies by all threads. */
static enum lrc_status measure_copy(double *gb_per_s, struct lrc_error *err)
{
    enum { PARTS = 480 };
    const size_t    part = COPY_BYTES / PARTS;
    unsigned char  *from = lrc_calloc(COPY_BYTES, 1), *to = lrc_calloc(COPY_BYTES, 1);
    enum lrc_status status = from && to ? LRC_STATUS_OK : lrc_fail_nomem(err, "copy rate");
    *gb_per_s = 0.0;
    for (int run = 0; status == LRC_STATUS_OK && run < 12; run++) {
        if (run < 2)
            memset(from, run + 1, COPY_BYTES);
        const double started = lrc_machine_seconds();
#pragma omp parallel for schedule(static)
        for (int i = 0; i < PARTS; i++)
            memcpy(to + (size_t)i * part, from + (size_t)i * part, part);
        const double rate = 2.0 * (double)COPY_BYTES * 1e-9 / (lrc_machine_seconds() - started);
        if (run >= 2 && rate > *gb_per_s)
            *gb_per_s = rate;
    }
    lrc_free(from);
    lrc_free(to);
    return status;
}

enum lrc_status lrc_yardstick_measure(struct lrc_yardstick *yardstick, const struct lrc_backend *backend,
                                      const struct lrc_bench_settings *settings, struct lrc_error *err)
{
    const int64_t  n_tokens = settings->batch * settings->seq;
    enum lrc_dtype dtype = strcmp(settings->mode, "f32") == 0 ? LRC_DTYPE_F32 : LRC_DTYPE_BF16;
    struct product products[PRODUCTS_MAX];
    double         f32, bf16;
    *yardstick = (struct lrc_yardstick){ 0 };
    if (backend->memory) {
        LRC_TRY(lrc_device_gemm_peak(&yardstick->square, backend, dtype, err));
        yardstick->gflops = yardstick->square;
        return LRC_STATUS_OK;
    }
    const int n = products_of(products, &settings->shape, n_tokens, n_tokens - settings->batch);
    if (!lrc_backend_cpu_has_bf16())
        dtype = LRC_DTYPE_F32;
    LRC_TRY(measure_products(&yardstick->gflops, products, n, dtype, err));
    LRC_TRY(lrc_gemm_peak(&f32, &bf16, err));
    yardstick->square = dtype == LRC_DTYPE_BF16 ? bf16 : f32;
    const enum lrc_status status = measure_copy(&yardstick->copy_gb_per_s, err);
    (void)malloc_trim(0); /* what was measured with is not part of the run's memory */
    return status;
}
