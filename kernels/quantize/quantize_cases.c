#include "common/cases.h"

#include "base/alloc.h"

/* Values of a format that is neither NF4 nor FP4, in an order that shows a mistaken lookup; thresholds
 * half-way. */
static struct lrc_quantize_levels levels_new(void)
{
    struct lrc_quantize_levels levels;
    for (int i = 0; i < 16; i++)
        levels.code[i] = (uint8_t)(i * 7 % 16);
    for (int i = 0; i < 15; i++)
        levels.threshold[i] = (float)(i - 7) / 8.0f + (float)((i - 7) * (i - 7) * (i - 7)) / 4096.0f;
    return levels;
}

/* One element at a time, in the order of the contract's formulas. */
static uint8_t code_of(const struct lrc_quantize_levels *levels, float x, float by, int is_full)
{
    const float inverse = 1.0f / by;
    float       y = is_full ? x * inverse : x / by;
    int         level = 0;
    y = y > 1.0f ? 1.0f : y < -1.0f ? -1.0f : y;
    while (level < 15 && y > levels->threshold[level])
        level++;
    return levels->code[level];
}

struct problem {
    int64_t        n, block_elems;
    enum lrc_dtype dtype;
    int            zeros; /* the first blocks are all zero */
};

static void expect_problem(const struct lrc_backend *backend, const struct problem *p)
{
    const int64_t     n_blocks = (p->n + p->block_elems - 1) / p->block_elems, n_bytes = (p->n + 1) / 2;
    struct lrc_tensor x = lrc_cases_tensor_1d(p->dtype, p->n, 3);
    struct lrc_tensor packed = lrc_cases_tensor_1d(LRC_DTYPE_F32, (n_bytes + 3) / 4, LRC_CASES_POISON);
    struct lrc_tensor absmax = lrc_cases_tensor_1d(LRC_DTYPE_F32, n_blocks, LRC_CASES_POISON);
    for (int64_t i = 0; i < p->n && i < p->zeros; i++)
        lrc_cases_set(&x, i, i % 2 ? -0.0 : 0.0);
    const struct lrc_quantize_blocks_args args = { x, p->block_elems, levels_new(), packed.data,
                                                   absmax.data };
    LRC_CASES_RUN(backend, quantize_blocks, &args);
    const uint8_t *got = packed.data;
    for (int64_t b = 0; b < n_blocks; b++) {
        const int64_t first = b * p->block_elems,
                      end = first + p->block_elems < p->n ? first + p->block_elems : p->n;
        const int is_full = end == first + p->block_elems;
        float     most = 0;
        for (int64_t i = first; i < end; i++)
            most = fmaxf(most, fabsf((float)lrc_cases_get(&x, i)));
        const float by = most > 1e-38f ? most : 1e-38f, want = is_full ? most : by;
        cr_expect_eq((float)lrc_cases_get(&absmax, b), want, "%s: quantize: absmax %lld: want %a, got %a",
                     backend->name, (long long)b, (double)want, lrc_cases_get(&absmax, b));
        for (int64_t i = first; i < end + (end - first) % 2; i++) {
            const float   value = i < end ? (float)lrc_cases_get(&x, i) : 0.0f;
            const uint8_t code = i % 2 == 0 ? got[i / 2] >> 4 : got[i / 2] & 15,
                          right = code_of(&args.levels, value, by, is_full);
            cr_assert_eq(code, right, "%s: quantize: code %lld of %a: want %d, got %d", backend->name,
                         (long long)i, (double)value, right, code);
        }
    }
    lrc_cases_free(&x);
    lrc_cases_free(&packed);
    lrc_cases_free(&absmax);
}

/* On every threshold of a block whose absmax is 1, and one float to each side of it. */
static void expect_ties(const struct lrc_backend *backend)
{
    enum { N = 64 };
    struct lrc_tensor x = lrc_cases_tensor_1d(LRC_DTYPE_F32, N, LRC_CASES_ZERO);
    uint8_t          *packed = lrc_calloc(N / 2, 1);
    float            *absmax = lrc_calloc(1, sizeof *absmax);
    cr_assert(packed && absmax, "no memory for a case");
    const struct lrc_quantize_blocks_args args = { x, N, levels_new(), packed, absmax };
    for (int i = 0; i < 15; i++) {
        const float at = args.levels.threshold[i];
        lrc_cases_set(&x, 3 * i, (double)nextafterf(at, -2.0f));
        lrc_cases_set(&x, 3 * i + 1, (double)at);
        lrc_cases_set(&x, 3 * i + 2, (double)nextafterf(at, 2.0f));
    }
    lrc_cases_set(&x, 45, -1.0);
    LRC_CASES_RUN(backend, quantize_blocks, &args);
    for (int i = 0; i < 45; i++)
        cr_expect_eq(i % 2 == 0 ? packed[i / 2] >> 4 : packed[i / 2] & 15,
                     args.levels.code[i / 3 + (i % 3 == 2)], "%s: quantize: tie %d", backend->name, i);
    lrc_cases_set(&x, 17, (double)NAN);
    LRC_CASES_RUN(backend, quantize_blocks, &args);
    cr_expect(isnan(*absmax), "%s: quantize hides a NaN", backend->name);
    lrc_cases_set(&x, 17, -(double)INFINITY);
    LRC_CASES_RUN(backend, quantize_blocks, &args);
    cr_expect(isinf(*absmax), "%s: quantize hides an infinity", backend->name);
    lrc_cases_free(&x);
    lrc_free(packed);
    lrc_free(absmax);
}

static void expect_refusals(const struct lrc_backend *backend)
{
    struct lrc_tensor                     x = lrc_cases_tensor_2d(LRC_DTYPE_F32, 4, 32, 1);
    uint8_t                               packed[64];
    float                                 absmax[4];
    struct lrc_error                      err = { 0 };
    const struct lrc_quantize_blocks_args good = { x, 32, levels_new(), packed, absmax };
    LRC_CASES_REFUSED(backend, quantize_blocks, good, LRC_STATUS_SHAPE, bad.block_elems = 48, &err);
    LRC_CASES_REFUSED(backend, quantize_blocks, good, LRC_STATUS_SHAPE, bad.block_elems = 8192, &err);
    LRC_CASES_REFUSED(backend, quantize_blocks, good, LRC_STATUS_SHAPE, bad.block_elems = 0, &err);
    LRC_CASES_REFUSED(backend, quantize_blocks, good, LRC_STATUS_SHAPE, bad.x.stride[0] = 40, &err);
    LRC_CASES_REFUSED(backend, quantize_blocks, good, LRC_STATUS_SHAPE, bad.x.dtype = LRC_DTYPE_I32, &err);
    LRC_CASES_REFUSED(backend, quantize_blocks, good, LRC_STATUS_SHAPE, bad.packed = NULL, &err);
    LRC_CASES_REFUSED(backend, quantize_blocks, good, LRC_STATUS_SHAPE, bad.absmax = NULL, &err);
    LRC_CASES_REFUSED(backend, quantize_blocks, good, LRC_STATUS_SHAPE, bad.levels.threshold[3] = 2.0f, &err);
    LRC_CASES_REFUSED(backend, quantize_blocks, good, LRC_STATUS_SHAPE, bad.levels.code[9] = 16, &err);
    lrc_cases_free(&x);
}

void lrc_quantize_cases(const struct lrc_backend *backend);
void lrc_quantize_cases(const struct lrc_backend *backend)
{
    static const struct problem problems[] = {
        { 0, 64, LRC_DTYPE_F32, 0 },        { 1, 64, LRC_DTYPE_F32, 0 },
        { 1, 64, LRC_DTYPE_F32, 1 },        { 64, 64, LRC_DTYPE_F32, 64 },
        { 63, 64, LRC_DTYPE_BF16, 0 },      { 6400, 64, LRC_DTYPE_BF16, 70 },
        { 6433, 64, LRC_DTYPE_F16, 0 },     { 4099, 32, LRC_DTYPE_F32, 40 },
        { 40000, 4096, LRC_DTYPE_BF16, 0 }, { 70001, 128, LRC_DTYPE_F32, 300 },
    };
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++)
        expect_problem(backend, &problems[i]);
    expect_ties(backend);
    expect_refusals(backend);
}

struct row {
    const struct lrc_backend *backend;
    struct problem            p;
    struct lrc_tensor         x, packed, absmax;
};

static void run(void *context)
{
    const struct row                     *t = context;
    const struct lrc_quantize_blocks_args args = { t->x, t->p.block_elems, levels_new(), t->packed.data,
                                                   t->absmax.data };
    LRC_CASES_RUN(t->backend, quantize_blocks, &args);
}

static void check_row(void *context, const char *name)
{
    const struct row *t = context;
    (void)name;
    expect_problem(t->backend, &t->p);
}

void lrc_quantize_rows(const struct lrc_cases_walk *walk);
void lrc_quantize_rows(const struct lrc_cases_walk *walk)
{
    const struct problem       p = { walk->step.intermediate * walk->step.hidden, 64, walk->step.weight, 0 };
    struct row                 t = { walk->backend, p, lrc_cases_tensor_1d(p.dtype, p.n, 3),
                                     lrc_cases_tensor_1d(LRC_DTYPE_F32, (p.n + 7) / 8, LRC_CASES_POISON),
                                     lrc_cases_tensor_1d(LRC_DTYPE_F32, (p.n + 63) / 64, LRC_CASES_POISON) };
    const struct lrc_cases_row row = { "intermediate x hidden", run, check_row, &t };
    walk->visit(&row);
    lrc_cases_free(&t.x);
    lrc_cases_free(&t.packed);
    lrc_cases_free(&t.absmax);
}
