#include "common/cases.h"

#include "base/alloc.h"

struct problem {
    const struct lrc_backend *backend;
    int64_t                   n, n_vocab;
    struct lrc_tensor         logits, logprob, lse, coef, d_logits;
    int32_t                  *targets;
};

/* Logits in [-spread, spread); the targets are the first column, the last, and others. */
static struct problem problem_new(const struct lrc_backend *backend, int64_t n, int64_t n_vocab,
                                  enum lrc_dtype dtype, double spread)
{
    struct problem p = { .backend = backend, .n = n, .n_vocab = n_vocab };
    p.logits = lrc_cases_tensor_2d(dtype, n, n_vocab, 1);
    p.logprob = lrc_cases_tensor_1d(LRC_DTYPE_F32, n, LRC_CASES_POISON);
    p.lse = lrc_cases_tensor_1d(LRC_DTYPE_F32, n, LRC_CASES_POISON);
    p.coef = lrc_cases_tensor_1d(LRC_DTYPE_F32, n, 2);
    p.d_logits = lrc_cases_tensor_2d(dtype, n, n_vocab, LRC_CASES_POISON);
    for (int64_t i = 0; i < n * n_vocab; i++)
        lrc_cases_set(&p.logits, i, spread * lrc_cases_get(&p.logits, i));
    p.targets = lrc_calloc(n, sizeof *p.targets);
    cr_assert(p.targets);
    for (int64_t row = 0; row < n; row++)
        p.targets[row] = (int32_t)(row == 0 ? n_vocab - 1 : (row - 1) * 7 % n_vocab);
    return p;
}

static void problem_free(struct problem *p)
{
    struct lrc_tensor *all[] = { &p->logits, &p->logprob, &p->lse, &p->coef, &p->d_logits };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        lrc_cases_free(all[i]);
    lrc_free(p->targets);
}

static struct lrc_cross_entropy_forward_args forward_args(const struct problem *p)
{
    return (struct lrc_cross_entropy_forward_args){ p->logits, p->targets, p->logprob.data, p->lse.data };
}

static struct lrc_cross_entropy_backward_args backward_args(const struct problem *p)
{
    return (struct lrc_cross_entropy_backward_args){ p->logits, p->targets, p->lse.data, p->coef.data,
                                                     p->d_logits };
}

static void run_both(void *context)
{
    const struct problem                        *p = context;
    const struct lrc_cross_entropy_forward_args  f = forward_args(p);
    const struct lrc_cross_entropy_backward_args b = backward_args(p);
    LRC_CASES_RUN(p->backend, cross_entropy_forward, &f);
    LRC_CASES_RUN(p->backend, cross_entropy_backward, &b);
}

static double oracle_lse(const double *logits, int64_t n_vocab)
{
    double max = logits[0], sum = 0;
    for (int64_t v = 0; v < n_vocab; v++)
        max = fmax(max, logits[v]);
    for (int64_t v = 0; v < n_vocab; v++)
        sum += exp(logits[v] - max);
    return max + log(sum);
}

static void values(const struct problem *p, const char *what, double spread)
{
    double *logits = lrc_cases_to_doubles(&p->logits), *lse = lrc_cases_doubles(p->n),
           *logprob = lrc_cases_doubles(p->n);
    double *d_logits = lrc_cases_doubles(p->n * p->n_vocab);
    for (int64_t row = 0; row < p->n; row++) {
        const double *x = logits + row * p->n_vocab, coef = lrc_cases_get(&p->coef, row);
        lse[row] = oracle_lse(x, p->n_vocab);
        logprob[row] = x[p->targets[row]] - lse[row];
        for (int64_t v = 0; v < p->n_vocab; v++)
            d_logits[row * p->n_vocab + v] = coef * ((v == p->targets[row]) - exp(x[v] - lse[row]));
    }
    run_both((void *)(uintptr_t)p);
    /* The sum's relative error is lse's absolute one: exp (2 ulp and its argument's rounding, at most 2
     * spread) and one rounding a term of a block of 512. lse is rounded once, logprob once. */
    const double                     terms = (double)(p->n_vocab < 512 ? p->n_vocab : 512);
    const double                     sum = (4 + 2 * spread + terms) * LRC_CASES_EPS_F32;
    const struct lrc_cases_tolerance one = { LRC_CASES_EPS_F32, sum };
    /* exp(x - lse): lse's error and rounding, the difference's rounding, 2 ulp, the product, all on values <=
     * 1 */
    const double eps = p->logits.dtype == LRC_DTYPE_F32 ? LRC_CASES_EPS_F32 : LRC_CASES_EPS_BF16;
    const struct lrc_cases_tolerance gradient = { eps, sum + (4 * spread + 8 + 6) * LRC_CASES_EPS_F32 };
    lrc_cases_expect_near(p->backend, what, &p->lse, lse, one);
    lrc_cases_expect_near(p->backend, what, &p->logprob, logprob, one);
    lrc_cases_expect_near(p->backend, what, &p->d_logits, d_logits, gradient);
    lrc_free(logits);
    lrc_free(lse);
    lrc_free(logprob);
    lrc_free(d_logits);
}

struct oracle {
    const struct problem *p;
    double               *logits;
};

static double oracle_loss(void *context)
{
    const struct oracle *o = context;
    double               loss = 0;
    for (int64_t row = 0; row < o->p->n; row++) {
        const double *x = o->logits + row * o->p->n_vocab;
        loss += lrc_cases_get(&o->p->coef, row) * (x[o->p->targets[row]] - oracle_lse(x, o->p->n_vocab));
    }
    return loss;
}

static double op_loss(void *context)
{
    const struct oracle                        *o = context;
    const struct lrc_cross_entropy_forward_args args = forward_args(o->p);
    double                                      loss = 0;
    LRC_CASES_RUN(o->p->backend, cross_entropy_forward, &args);
    for (int64_t row = 0; row < o->p->n; row++)
        loss += lrc_cases_get(&o->p->coef, row) * lrc_cases_get(&o->p->logprob, row);
    return loss;
}

static void gradients(const struct lrc_backend *backend)
{
    struct problem p = problem_new(backend, 3, 6, LRC_DTYPE_F32, 1);
    struct oracle  o = { &p, lrc_cases_to_doubles(&p.logits) };
    run_both(&p);
    /* oracle: 1e-8 / 6 of a third derivative below 1, and 20 roundings of values below 1 */
    const struct lrc_cases_scalar fine = { oracle_loss, &o, 1e-4, 1.3e-6 };
    lrc_cases_expect_gradient(backend, "cross_entropy d_logits (oracle)", &p.d_logits, o.logits, &fine);
    /* op: 2^-12 / 6, and one logprob of at most 4 with its error, 20 roundings, divided by the step */
    const struct lrc_cases_scalar coarse = { op_loss, &o, 0x1p-6, 3e-4 };
    lrc_cases_expect_op_gradient(backend, "cross_entropy d_logits (op)", &p.d_logits, &p.logits, &coarse);
    lrc_free(o.logits);
    problem_free(&p);
}

static void in_place(const struct lrc_backend *backend, enum lrc_dtype dtype)
{
    struct problem                         p = problem_new(backend, 4, 1111, dtype, 8);
    struct lrc_tensor                      both = lrc_cases_copy(&p.logits);
    struct lrc_cross_entropy_backward_args b = backward_args(&p);
    run_both(&p);
    b.logits = b.d_logits = both;
    LRC_CASES_RUN(backend, cross_entropy_backward, &b);
    lrc_cases_expect_same(backend, "cross_entropy: d_logits is logits", &both, &p.d_logits);
    lrc_cases_free(&both);
    problem_free(&p);
}

/* With lse 0 and coef -1 the gradient of a word that is not the target is exp(logit): the bound of vec_cpu.h.
 */
static void exponential(const struct lrc_backend *backend)
{
    enum { N = 1 << 17 };
    struct problem p = problem_new(backend, 1, N, LRC_DTYPE_F32, 88);
    for (int64_t i = 0; i < N / 2; i++) /* half of them near 0, where softmax is large */
        lrc_cases_set(&p.logits, i, lrc_cases_get(&p.logits, i) / 40);
    lrc_cases_set(&p.lse, 0, 0);
    lrc_cases_set(&p.coef, 0, -1);
    static const float special[][2] = { { -INFINITY, 0 },    { -1e30f, 0 },
                                        { -90.0f, 0 },       { INFINITY, INFINITY },
                                        { 89.0f, INFINITY }, { 0.0f, 1 },
                                        { -0.0f, 1 } };
    enum { N_SPECIAL = sizeof special / sizeof special[0] };
    for (int i = 0; i < N_SPECIAL; i++)
        lrc_cases_set(&p.logits, i, (double)special[i][0]);
    lrc_cases_set(&p.logits, N_SPECIAL, (double)NAN);
    const struct lrc_cross_entropy_backward_args b = backward_args(&p);
    LRC_CASES_RUN(backend, cross_entropy_backward, &b);
    for (int i = 0; i < N_SPECIAL; i++)
        cr_expect(lrc_cases_get(&p.d_logits, i) == (double)special[i][1], "%s: exp(%g): got %g",
                  backend->name, (double)special[i][0], lrc_cases_get(&p.d_logits, i));
    cr_expect(isnan(lrc_cases_get(&p.d_logits, N_SPECIAL)), "%s: exp(NaN) is a number", backend->name);
    double worst_ulp = 0;
    for (int64_t i = N_SPECIAL + 1; i < N - 1; i++) {
        const double x = lrc_cases_get(&p.logits, i), want = exp(x), got = lrc_cases_get(&p.d_logits, i);
        if (x < -87.3) /* below 2^-126: zero or the value */
            continue;
        int exponent;
        frexp(want, &exponent);
        const double ulp = fabs(got - want) / ldexp(1, exponent - 24);
        worst_ulp = ulp <= worst_ulp ? worst_ulp : ulp; /* NaN stays */
    }
    cr_expect(worst_ulp <= 2, "%s: exp is off by %g ulp, allowed 2", backend->name, worst_ulp);
    problem_free(&p);
}

/* Masked words (-inf) have probability 0; a NaN, +inf or all -inf row has a lse that is not finite. */
static void non_finite(const struct lrc_backend *backend)
{
    static const float poison[] = { NAN, -NAN, INFINITY };
    struct problem     p = problem_new(backend, 6, 700, LRC_DTYPE_F32, 3);
    for (int row = 0; row < 3; row++)
        lrc_cases_set(&p.logits, row * 700 + 613, (double)poison[row]);
    for (int64_t v = 0; v < 700; v++) {
        lrc_cases_set(&p.logits, 3 * 700 + v, v == p.targets[3] ? 0.5 : (double)-INFINITY);
        lrc_cases_set(&p.logits, 4 * 700 + v, (double)-INFINITY);
        lrc_cases_set(&p.logits, 5 * 700 + v,
                      v == 690 ? -2 : (double)-INFINITY); /* the first block: masked words only */
    }
    run_both(&p);
    for (int row = 0; row < 5; row++)
        cr_expect(row == 3 || !isfinite(lrc_cases_get(&p.lse, row)), "%s: row %d: lse is finite",
                  backend->name, row);
    cr_expect_float_eq(lrc_cases_get(&p.lse, 3), 0.5, 0);
    cr_expect_float_eq(lrc_cases_get(&p.logprob, 3), 0.0, 0);
    cr_expect_float_eq(lrc_cases_get(&p.lse, 5), -2, 0);
    for (int64_t v = 0; v < 700; v++)
        cr_expect(lrc_cases_get(&p.d_logits, 3 * 700 + v) == 0, "%s: masked word %d has a gradient",
                  backend->name, (int)v);
    problem_free(&p);
}

/* Logits far below 0, fewer than a backend's threads: one without any must not scale its empty sum up. */
static void far_below_zero(const struct lrc_backend *backend)
{
    struct problem p = problem_new(backend, 2, 37, LRC_DTYPE_F32, 1);
    for (int64_t i = 0; i < 2 * 37; i++)
        lrc_cases_set(&p.logits, i, -256);
    run_both(&p);
    const double lse = -256 + log(37), logprob = -log(37);
    for (int64_t row = 0; row < 2; row++) {
        cr_expect_float_eq(lrc_cases_get(&p.lse, row), lse, 0x1p-15); /* half an ulp of 252 is 2^-17 */
        cr_expect_float_eq(lrc_cases_get(&p.logprob, row), logprob, 40 * LRC_CASES_EPS_F32);
    }
    problem_free(&p);
}

static void bad_arguments(const struct lrc_backend *backend)
{
    struct problem                               p = problem_new(backend, 2, 8, LRC_DTYPE_F32, 1);
    const struct lrc_cross_entropy_forward_args  f = forward_args(&p);
    const struct lrc_cross_entropy_backward_args b = backward_args(&p);
    struct lrc_error                             err = { 0 };
    LRC_CASES_REFUSED(backend, cross_entropy_forward, f, LRC_STATUS_SHAPE, bad.targets = NULL, &err);
    cr_expect_str_eq(err.message, "cross_entropy_forward: targets: want 2 elements, got NULL");
    LRC_CASES_REFUSED(backend, cross_entropy_forward, f, LRC_STATUS_SHAPE, bad.logits.shape[1] = 0, &err);
    LRC_CASES_REFUSED(backend, cross_entropy_forward, f, LRC_STATUS_SHAPE, bad.lse = NULL, &err);
    LRC_CASES_REFUSED(backend, cross_entropy_forward, f, LRC_STATUS_SHAPE, bad.logprob = NULL, &err);
    LRC_CASES_REFUSED(backend, cross_entropy_forward, f, LRC_STATUS_SHAPE, bad.logits.dtype = LRC_DTYPE_F64,
                      &err);
    LRC_CASES_REFUSED(backend, cross_entropy_backward, b, LRC_STATUS_SHAPE, bad.d_logits.shape[1] = 9, &err);
    LRC_CASES_REFUSED(backend, cross_entropy_backward, b, LRC_STATUS_SHAPE, bad.coef = NULL, &err);
    LRC_CASES_REFUSED(backend, cross_entropy_backward, b, LRC_STATUS_SHAPE, bad.lse = NULL, &err);
    problem_free(&p);
}

void lrc_cross_entropy_cases(const struct lrc_backend *backend);
void lrc_cross_entropy_cases(const struct lrc_backend *backend)
{
    static const int64_t shapes[][2] = { { 0, 4 }, { 1, 1 }, { 2, 1 }, { 5, 19 }, { 3, 512 }, { 4, 1601 } };
    static const enum lrc_dtype dtypes[] = { LRC_DTYPE_F32, LRC_DTYPE_BF16 };
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof shapes[0]; i++)
        for (int wide = 0; wide < 2; wide++) {
            char           what[64];
            const double   spread = wide ? 60 : 2;
            struct problem p =
                problem_new(backend, shapes[i / 2][0], shapes[i / 2][1], dtypes[i % 2], spread);
            snprintf(what, sizeof what, "cross_entropy (%d, %d) %s", (int)p.n, (int)p.n_vocab,
                     lrc_dtype_info[dtypes[i % 2]].name);
            values(&p, what, spread);
            problem_free(&p);
        }
    gradients(backend);
    in_place(backend, LRC_DTYPE_F32);
    in_place(backend, LRC_DTYPE_BF16);
    exponential(backend);
    non_finite(backend);
    far_below_zero(backend);
    struct problem p = problem_new(backend, 9, 4001, LRC_DTYPE_F32, 5);
    lrc_cases_expect_repeatable(backend, "cross_entropy", run_both, &p,
                                (const struct lrc_tensor *const[]){ &p.lse, &p.logprob, &p.d_logits, NULL });
    problem_free(&p);
    bad_arguments(backend);
}

static void check_row(void *context, const char *name)
{
    values(context, name, 2);
}

void lrc_cross_entropy_rows(const struct lrc_cases_walk *walk);
void lrc_cross_entropy_rows(const struct lrc_cases_walk *walk)
{
    struct problem p = problem_new(walk->backend, walk->step.n_tokens < 512 ? walk->step.n_tokens : 512,
                                   walk->step.vocab, LRC_DTYPE_F32, 2);
    const struct lrc_cases_row row = { "a chunk of logits", run_both, check_row, &p };
    walk->visit(&row);
    problem_free(&p);
}
