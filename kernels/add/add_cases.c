#include "common/cases.h"

#include "base/alloc.h"

struct problem {
    const struct lrc_backend *backend;
    struct lrc_tensor         a, b, out;
};

static struct problem problem_new(const struct lrc_backend *backend, int64_t n, int64_t dim,
                                  const enum lrc_dtype dtype[3])
{
    struct problem p = { .backend = backend };
    p.a = lrc_cases_tensor_2d(dtype[0], n, dim, 1);
    p.b = lrc_cases_tensor_2d(dtype[1], n, dim, 2);
    p.out = lrc_cases_tensor_2d(dtype[2], n, dim, LRC_CASES_POISON);
    return p;
}

static void problem_free(struct problem *p)
{
    lrc_cases_free(&p->a);
    lrc_cases_free(&p->b);
    lrc_cases_free(&p->out);
}

static void run(void *context)
{
    const struct problem     *p = context;
    const struct lrc_add_args args = { p->a, p->b, p->out };
    LRC_CASES_RUN(p->backend, add, &args);
}

static void values(struct problem *p, const char *what)
{
    const int64_t n = lrc_tensor_elems(&p->out);
    double       *want = lrc_cases_doubles(n);
    for (int64_t i = 0; i < n; i++)
        want[i] = lrc_cases_get(&p->a, i) + lrc_cases_get(&p->b, i);
    run(p);
    /* a float32 sum of values of at most 2, then storage */
    const double eps = p->out.dtype == LRC_DTYPE_F32 ? 0 : LRC_CASES_EPS_BF16;
    lrc_cases_expect_near(p->backend, what, &p->out, want,
                          (struct lrc_cases_tolerance){ eps, 2 * LRC_CASES_EPS_F32 });
    lrc_free(want);
}

static void in_place(const struct lrc_backend *backend, enum lrc_dtype dtype)
{
    struct problem    p = problem_new(backend, 3, 525, (const enum lrc_dtype[3]){ dtype, dtype, dtype });
    struct lrc_tensor a = lrc_cases_copy(&p.a), b = lrc_cases_copy(&p.b);
    run(&p);
    const struct lrc_add_args into_a = { a, p.b, a }, into_b = { p.a, b, b };
    LRC_CASES_RUN(backend, add, &into_a);
    LRC_CASES_RUN(backend, add, &into_b);
    lrc_cases_expect_same(backend, "add: out is a", &a, &p.out);
    lrc_cases_expect_same(backend, "add: out is b", &b, &p.out);
    lrc_cases_free(&a);
    lrc_cases_free(&b);
    problem_free(&p);
}

/* Which NaN a sum with NaN gives is the machine's choice (a GPU has one only): any will do where one is
 * wanted. */
static void accept_any_nan(struct lrc_tensor *want, const struct lrc_tensor *got)
{
    const size_t bytes = lrc_dtype_bytes(want->dtype);
    for (int64_t i = 0; i < lrc_tensor_elems(want); i++)
        if (isnan(lrc_cases_get(want, i)) && isnan(lrc_cases_get(got, i)))
            memcpy((unsigned char *)want->data + (size_t)i * bytes,
                   (const unsigned char *)got->data + (size_t)i * bytes, bytes);
}

/* x + -0 is x: this checks the backend's conversions against the scalar ones, to the bit, for every bf16 and
 * around every tie between two of them. */
static void conversions(const struct lrc_backend *backend)
{
    static const uint32_t low[] = { 0, 1, 0x7fff, 0x8000, 0x8001, 0xffff };
    enum { N = 65536, N_LOW = sizeof low / sizeof low[0] };
    const enum lrc_dtype narrow[3] = { LRC_DTYPE_F32, LRC_DTYPE_F32, LRC_DTYPE_BF16 };
    const enum lrc_dtype widen[3] = { LRC_DTYPE_BF16, LRC_DTYPE_F32, LRC_DTYPE_F32 };
    struct problem    to = problem_new(backend, N_LOW, N, narrow), from = problem_new(backend, 1, N, widen);
    struct lrc_tensor want_to = lrc_cases_copy(&to.out), want_from = lrc_cases_copy(&from.out);
    for (int64_t i = 0; i < N_LOW * N; i++) {
        uint32_t bits = (uint32_t)(i % N) << 16 | low[i / N];
        if ((bits & 0x7fffffffu) > 0x7f800000u)
            bits |= 0x400000u;
        memcpy((float *)to.a.data + i, &bits, sizeof bits);
        ((float *)to.b.data)[i] = -0.0f;
        ((uint16_t *)want_to.data)[i] = lrc_bf16_from_f32(((const float *)to.a.data)[i]);
        if (i >= N)
            continue;
        ((uint16_t *)from.a.data)[i] = (uint16_t)(bits >> 16);
        ((float *)from.b.data)[i] = -0.0f;
        memcpy((float *)want_from.data + i, &bits, sizeof bits);
    }
    run(&to);
    run(&from);
    accept_any_nan(&want_to, &to.out);
    accept_any_nan(&want_from, &from.out);
    lrc_cases_expect_same(backend, "float32 to bf16", &to.out, &want_to);
    lrc_cases_expect_same(backend, "bf16 to float32", &from.out, &want_from);
    lrc_cases_free(&want_to);
    lrc_cases_free(&want_from);
    problem_free(&to);
    problem_free(&from);
}

static void bad_arguments(const struct lrc_backend *backend)
{
    struct problem p =
        problem_new(backend, 2, 8, (const enum lrc_dtype[3]){ LRC_DTYPE_F32, LRC_DTYPE_F32, LRC_DTYPE_F32 });
    const struct lrc_add_args good = { p.a, p.b, p.out };
    struct lrc_error          err = { 0 };
    LRC_CASES_REFUSED(backend, add, good, LRC_STATUS_SHAPE, bad.b.shape[0] = 1, &err);
    cr_expect_str_eq(err.message, "add: b: want (2, 8), got (1, 8)");
    LRC_CASES_REFUSED(backend, add, good, LRC_STATUS_SHAPE, bad.out.data = NULL, &err);
    cr_expect_str_eq(err.message, "add: out: want 16 elements, got NULL");
    LRC_CASES_REFUSED(backend, add, good, LRC_STATUS_SHAPE, bad.a.n_dims = 9, &err);
    LRC_CASES_REFUSED(backend, add, good, LRC_STATUS_SHAPE, bad.a.dtype = (enum lrc_dtype)77, &err);
    LRC_CASES_REFUSED(backend, add, good, LRC_STATUS_SHAPE,
                      bad.a.shape[0] = bad.b.shape[0] = bad.out.shape[0] = -1, &err);
    LRC_CASES_REFUSED(backend, add, good, LRC_STATUS_SHAPE, bad.out.stride[0] = 0, &err);
    problem_free(&p);
}

void lrc_add_cases(const struct lrc_backend *backend);
void lrc_add_cases(const struct lrc_backend *backend)
{
    static const int64_t        shapes[][2] = { { 0, 4 }, { 1, 1 }, { 5, 19 }, { 2, 512 }, { 3, 1037 } };
    static const enum lrc_dtype dtypes[][3] = { { LRC_DTYPE_F32, LRC_DTYPE_F32, LRC_DTYPE_F32 },
                                                { LRC_DTYPE_BF16, LRC_DTYPE_BF16, LRC_DTYPE_BF16 },
                                                { LRC_DTYPE_F32, LRC_DTYPE_BF16, LRC_DTYPE_F32 },
                                                { LRC_DTYPE_BF16, LRC_DTYPE_F32, LRC_DTYPE_BF16 } };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++) {
            char           what[64];
            struct problem p = problem_new(backend, shapes[s][0], shapes[s][1], dtypes[d]);
            snprintf(what, sizeof what, "add (%d, %d) to %s", (int)shapes[s][0], (int)shapes[s][1],
                     lrc_dtype_info[dtypes[d][2]].name);
            values(&p, what);
            problem_free(&p);
        }
    in_place(backend, LRC_DTYPE_F32);
    in_place(backend, LRC_DTYPE_BF16);
    conversions(backend);
    struct problem p = problem_new(backend, 70, 521, dtypes[1]);
    lrc_cases_expect_repeatable(backend, "add", run, &p, (const struct lrc_tensor *const[]){ &p.out, NULL });
    problem_free(&p);
    bad_arguments(backend);
}

static void check_row(void *context, const char *name)
{
    values(context, name);
}

void lrc_add_rows(const struct lrc_cases_walk *walk);
void lrc_add_rows(const struct lrc_cases_walk *walk)
{
    const enum lrc_dtype       type = walk->step.activation;
    struct problem             p = problem_new(walk->backend, walk->step.n_tokens, walk->step.hidden,
                                               (const enum lrc_dtype[3]){ type, type, type });
    const struct lrc_cases_row row = { "tokens x hidden", run, check_row, &p };
    walk->visit(&row);
    problem_free(&p);
}
