#include "common/cases.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <omp.h>

float lrc_cases_value(uint64_t seed, int64_t i)
{
    const struct lrc_rng_block block = lrc_rng_philox(seed, 0, (uint64_t)i);
    return 2.0f * lrc_rng_unit(block.word[0]) - 1.0f;
}

/* Two bytes whose repetition is a NaN as F32, BF16 and F16 alike. */
static const unsigned char nan_bytes[2] = { 0xe5, 0x7f };

static void fill_nan(unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = nan_bytes[i % 2];
}

static size_t guard_bytes(const struct lrc_tensor *tensor)
{
    return LRC_CASES_GUARD * lrc_dtype_bytes(tensor->dtype);
}

static size_t data_bytes(const struct lrc_tensor *tensor)
{
    return (size_t)lrc_tensor_elems(tensor) * lrc_dtype_bytes(tensor->dtype);
}

struct lrc_tensor lrc_cases_tensor(enum lrc_dtype dtype, int n_dims, const int64_t *shape, uint64_t fill)
{
    struct lrc_tensor tensor = { .dtype = dtype, .n_dims = n_dims };
    int64_t           stride = 1;
    for (int d = n_dims - 1; d >= 0; d--) {
        tensor.shape[d] = shape[d];
        tensor.stride[d] = stride;
        stride *= shape[d];
    }
    const int64_t  n = lrc_tensor_elems(&tensor);
    const size_t   guard = guard_bytes(&tensor), size = data_bytes(&tensor);
    unsigned char *memory = lrc_calloc((int64_t)(size + 2 * guard), 1);
    cr_assert(memory, "no memory for a case");
    fill_nan(memory, guard);
    fill_nan(memory + guard + size, guard);
    tensor.data = memory + guard;
    if (fill == LRC_CASES_POISON)
        fill_nan(tensor.data, size);
    else if (fill != LRC_CASES_ZERO)
#pragma omp parallel for schedule(static) if (n > 1 << 20)
        for (int64_t i = 0; i < n; i++)
            lrc_cases_set(&tensor, i, (double)lrc_cases_value(fill, i));
    return tensor;
}

struct lrc_tensor lrc_cases_tensor_1d(enum lrc_dtype dtype, int64_t n0, uint64_t fill)
{
    return lrc_cases_tensor(dtype, 1, (const int64_t[]){ n0 }, fill);
}

struct lrc_tensor lrc_cases_tensor_2d(enum lrc_dtype dtype, int64_t n0, int64_t n1, uint64_t fill)
{
    return lrc_cases_tensor(dtype, 2, (const int64_t[]){ n0, n1 }, fill);
}

struct lrc_tensor lrc_cases_tensor_3d(enum lrc_dtype dtype, int64_t n0, int64_t n1, int64_t n2, uint64_t fill)
{
    return lrc_cases_tensor(dtype, 3, (const int64_t[]){ n0, n1, n2 }, fill);
}

struct lrc_tensor lrc_cases_copy(const struct lrc_tensor *contiguous)
{
    const struct lrc_tensor copy =
        lrc_cases_tensor(contiguous->dtype, contiguous->n_dims, contiguous->shape, LRC_CASES_ZERO);
    memcpy(copy.data, contiguous->data, data_bytes(contiguous));
    return copy;
}

static void expect_guard(const unsigned char *guard, size_t n, const char *side)
{
    for (size_t i = 0; i < n; i++)
        if (guard[i] != nan_bytes[i % 2]) {
            cr_expect(0, "an op wrote %s a tensor, guard byte %zu of %zu", side, i, n);
            return;
        }
}

void lrc_cases_free(struct lrc_tensor *tensor)
{
    if (!tensor->data)
        return;
    unsigned char *data = tensor->data;
    const size_t   guard = guard_bytes(tensor);
    expect_guard(data - guard, guard, "before");
    expect_guard(data + data_bytes(tensor), guard, "after");
    lrc_free(data - guard);
    tensor->data = NULL;
}

static unsigned char *element(const struct lrc_tensor *tensor, int64_t i)
{
    LRC_ASSERT(i >= 0 && i < lrc_tensor_elems(tensor) && lrc_tensor_is_contiguous(tensor));
    return (unsigned char *)tensor->data + (size_t)i * lrc_dtype_bytes(tensor->dtype);
}

double lrc_cases_get(const struct lrc_tensor *tensor, int64_t i)
{
    float value;
    lrc_dtype_to_f32(&value, element(tensor, i), tensor->dtype, 1);
    return (double)value;
}

void lrc_cases_set(struct lrc_tensor *tensor, int64_t i, double value)
{
    const float narrow = (float)value;
    lrc_dtype_from_f32(element(tensor, i), tensor->dtype, &narrow, 1);
}

double *lrc_cases_doubles(int64_t n)
{
    double *values = lrc_calloc(n, sizeof *values);
    cr_assert(values, "no memory for a case");
    return values;
}

double *lrc_cases_to_doubles(const struct lrc_tensor *tensor)
{
    const int64_t n = lrc_tensor_elems(tensor);
    double       *values = lrc_cases_doubles(n);
    for (int64_t i = 0; i < n; i++)
        values[i] = lrc_cases_get(tensor, i);
    return values;
}

void lrc_cases_expect_near(const struct lrc_backend *backend, const char *what, const struct lrc_tensor *got,
                           const double *want, struct lrc_cases_tolerance tolerance)
{
    const int64_t n = lrc_tensor_elems(got);
    int64_t       worst = -1, n_bad = 0;
    double        worst_excess = 0;
    for (int64_t i = 0; i < n; i++) {
        const double difference = fabs(lrc_cases_get(got, i) - want[i]);
        const double allowed = tolerance.relative * fabs(want[i]) + tolerance.absolute;
        if (difference <= allowed)
            continue;
        const double excess = isnan(difference) ? (double)INFINITY : difference - allowed;
        n_bad++;
        if (worst < 0 || excess > worst_excess) {
            worst = i;
            worst_excess = excess;
        }
    }
    if (worst < 0)
        return;
    const double value = lrc_cases_get(got, worst);
    cr_expect(
        0, "%s: %s: %lld of %lld elements off; element %lld: want %.9g, got %.9g (off by %.3g, allowed %.3g)",
        backend->name, what, (long long)n_bad, (long long)n, (long long)worst, want[worst], value,
        fabs(value - want[worst]), tolerance.relative * fabs(want[worst]) + tolerance.absolute);
}

void lrc_cases_expect_close(const struct lrc_backend *backend, const char *what, const struct lrc_tensor *got,
                            const double *want, double tolerance)
{
    lrc_cases_expect_near(backend, what, got, want, (struct lrc_cases_tolerance){ 0, tolerance });
}

enum { SURE = 6 };

static void expect_no_factor(const struct lrc_backend *backend, const char *what,
                             const struct lrc_tensor *got, const double *want,
                             const struct lrc_cases_noise *noise, double stored)
{
    double product = 0, squares = 0, fourth = 0, magnitudes = 0;
    for (int64_t i = 0; i < lrc_tensor_elems(got); i++) {
        product += lrc_cases_get(got, i) * want[i];
        squares += want[i] * want[i];
        fourth += want[i] * want[i] * want[i] * want[i];
        magnitudes += fabs(want[i]);
    }
    const double allowed =
        SURE * sqrt(noise->along + stored * stored * fourth) + noise->absolute * magnitudes;
    cr_expect(fabs(product - squares) <= allowed,
              "%s: %s: want it times 1, got it times %.6f (1 within %.3g allowed)", backend->name, what,
              product / squares, allowed / squares);
}

void lrc_cases_expect_noise(const struct lrc_backend *backend, const char *what, const struct lrc_tensor *got,
                            const double *want, const struct lrc_cases_noise *noise)
{
    const double  stored = got->dtype == LRC_DTYPE_F32 ? LRC_CASES_EPS_F32 : LRC_CASES_EPS_BF16;
    const int64_t n = lrc_tensor_elems(got);
    int64_t       worst = -1, n_bad = 0;
    double        worst_ratio = 1, worst_allowed = 0;
    for (int64_t i = 0; i < n; i++) {
        const double before = (noise->squares ? SURE * sqrt(noise->squares[i]) : 0) + noise->absolute;
        const double allowed = before + stored * (fabs(want[i]) + before);
        const double difference = fabs(lrc_cases_get(got, i) - want[i]);
        if (difference <= allowed)
            continue;
        const double ratio = isnan(difference) ? (double)INFINITY : difference / allowed;
        n_bad++;
        if (worst < 0 || ratio > worst_ratio) {
            worst = i;
            worst_ratio = ratio;
            worst_allowed = allowed;
        }
    }
    if (worst >= 0)
        cr_expect(0, "%s: %s: %lld of %lld elements off; element %lld: want %.9g, got %.9g (allowed %.3g)",
                  backend->name, what, (long long)n_bad, (long long)n, (long long)worst, want[worst],
                  lrc_cases_get(got, worst), worst_allowed);
    expect_no_factor(backend, what, got, want, noise, stored);
}

void lrc_cases_expect_same(const struct lrc_backend *backend, const char *what, const struct lrc_tensor *got,
                           const struct lrc_tensor *want)
{
    LRC_ASSERT(got->dtype == want->dtype && lrc_tensor_elems(got) == lrc_tensor_elems(want));
    const int64_t n = lrc_tensor_elems(got);
    for (int64_t i = 0; i < n; i++)
        if (memcmp(element(got, i), element(want, i), lrc_dtype_bytes(got->dtype)) != 0) {
            cr_expect(0, "%s: %s: bits of element %lld differ: want %.9g, got %.9g", backend->name, what,
                      (long long)i, lrc_cases_get(want, i), lrc_cases_get(got, i));
            return;
        }
}

void lrc_cases_expect_status(const struct lrc_backend *backend, const char *what, enum lrc_status got,
                             enum lrc_status want, const struct lrc_error *err)
{
    cr_expect(got == want, "%s: %s: want status %s, got %s (%s)", backend->name, what, lrc_status_text(want),
              lrc_status_text(got), got == LRC_STATUS_OK ? "no error" : err->message);
    if (got != LRC_STATUS_OK)
        cr_expect(err->message[0] != '\0', "%s: %s: refused without a sentence", backend->name, what);
}

static void expect_slope(const struct lrc_backend *backend, const char *what, int64_t i, double got,
                         double want, double tolerance)
{
    cr_expect(fabs(got - want) <= tolerance,
              "%s: %s: d_[%lld]: finite difference %.9g, got %.9g (allowed %.3g)", backend->name, what,
              (long long)i, want, got, tolerance);
}

void lrc_cases_expect_gradient(const struct lrc_backend *backend, const char *what,
                               const struct lrc_tensor *got, double *x, const struct lrc_cases_scalar *scalar)
{
    const int64_t n = lrc_tensor_elems(got);
    for (int64_t i = 0; i < n; i++) {
        const double saved = x[i];
        x[i] = saved + scalar->step;
        const double above = scalar->value(scalar->context);
        x[i] = saved - scalar->step;
        const double below = scalar->value(scalar->context);
        x[i] = saved;
        const double slope = (above - below) / (2 * scalar->step);
        expect_slope(backend, what, i, lrc_cases_get(got, i), slope, scalar->tolerance);
    }
}

void lrc_cases_expect_op_gradient(const struct lrc_backend *backend, const char *what,
                                  const struct lrc_tensor *got, struct lrc_tensor *x,
                                  const struct lrc_cases_scalar *scalar)
{
    const int64_t n = lrc_tensor_elems(got);
    for (int64_t i = 0; i < n; i++) {
        const double saved = lrc_cases_get(x, i);
        lrc_cases_set(x, i, saved + scalar->step);
        const double high = lrc_cases_get(x, i), above = scalar->value(scalar->context);
        lrc_cases_set(x, i, saved - scalar->step);
        const double low = lrc_cases_get(x, i), below = scalar->value(scalar->context);
        lrc_cases_set(x, i, saved);
        expect_slope(backend, what, i, lrc_cases_get(got, i), (above - below) / (high - low),
                     scalar->tolerance);
    }
}

const struct lrc_cases_step lrc_cases_step_small = { .n_docs = 3,
                                                     .n_tokens = 24,
                                                     .hidden = 64,
                                                     .intermediate = 176,
                                                     .n_heads = 4,
                                                     .n_kv_heads = 2,
                                                     .head_dim = 16,
                                                     .vocab = 96,
                                                     .rank = 4,
                                                     .n_params = 1000,
                                                     .activation = LRC_DTYPE_BF16,
                                                     .weight = LRC_DTYPE_BF16,
                                                     .is_4bit = 1 };

void lrc_cases_check_row(const struct lrc_cases_row *row)
{
    row->check(row->context, row->name);
}

void lrc_cases_threads(int n_threads)
{
    omp_set_num_threads(n_threads > 0 ? n_threads : omp_get_num_procs());
}

enum { OUTPUTS_MAX = 4 };

void lrc_cases_expect_repeatable(const struct lrc_backend *backend, const char *what,
                                 void (*run)(void *context), void              *context,
                                 const struct lrc_tensor *const *outputs)
{
    struct lrc_tensor first[OUTPUTS_MAX];
    int               n = 0;
    lrc_cases_threads(1);
    run(context);
    for (; outputs[n]; n++) {
        LRC_ASSERT(n < OUTPUTS_MAX);
        first[n] = lrc_cases_copy(outputs[n]);
    }
    lrc_cases_threads(2);
    for (int repeat = 0; repeat < 2; repeat++) {
        run(context);
        for (int i = 0; i < n; i++)
            lrc_cases_expect_same(backend, what, outputs[i], &first[i]);
    }
    for (int i = 0; i < n; i++)
        lrc_cases_free(&first[i]);
    lrc_cases_threads(0);
}
