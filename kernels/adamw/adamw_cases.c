#include "common/cases.h"

#include "base/alloc.h"

struct problem {
    const struct lrc_backend *backend;
    int64_t                   n;
    struct lrc_tensor         param, grad, m, v;
    struct lrc_step_scalars  *scalars; /* on the heap: a device backend moves them */
};

static const struct {
    double beta1, beta2, eps, weight_decay, lr_ratio;
} settings[] = { { 0.9, 0.999, 1e-8, 0, 1 }, { 0.8, 0.95, 1e-6, 0.1, 16 } };

static struct problem problem_new(const struct lrc_backend *backend, int64_t n)
{
    struct problem p = { .backend = backend, .n = n, .scalars = lrc_calloc(1, sizeof *p.scalars) };
    cr_assert(p.scalars);
    p.scalars->learning_rate = 2e-3;
    p.scalars->clip = 0.75f;
    p.param = lrc_cases_tensor_1d(LRC_DTYPE_F32, n, 1);
    p.grad = lrc_cases_tensor_1d(LRC_DTYPE_F32, n, 2);
    p.m = lrc_cases_tensor_1d(LRC_DTYPE_F32, n, LRC_CASES_ZERO);
    p.v = lrc_cases_tensor_1d(LRC_DTYPE_F32, n, LRC_CASES_ZERO);
    return p;
}

static void problem_free(struct problem *p)
{
    lrc_cases_free(&p->param);
    lrc_cases_free(&p->grad);
    lrc_cases_free(&p->m);
    lrc_cases_free(&p->v);
    lrc_free(p->scalars);
}

static struct lrc_adamw_args args_of(const struct problem *p, int i)
{
    return (struct lrc_adamw_args){ .param = p->param,
                                    .grad = p->grad,
                                    .m = p->m,
                                    .v = p->v,
                                    .scalars = p->scalars,
                                    .beta1 = settings[i].beta1,
                                    .beta2 = settings[i].beta2,
                                    .eps = settings[i].eps,
                                    .weight_decay = settings[i].weight_decay,
                                    .lr_ratio = settings[i].lr_ratio };
}

/* Another gradient at every step, with zeros in it. */
static void gradient_of_step(struct problem *p, uint32_t step)
{
    for (int64_t i = 0; i < p->n; i++)
        lrc_cases_set(&p->grad, i, i % 11 == 3 ? 0 : (double)lrc_cases_value(100 + step, i));
}

struct oracle {
    double *param, *m, *v;
};

/* Loshchilov & Hutter 2019, algorithm 2 with bias corrections written out: m_hat / (sqrt(v_hat) + eps). */
static void oracle_step(const struct problem *p, int s, const struct oracle *o)
{
    const double t = (double)p->scalars->step + 1, lr = p->scalars->learning_rate * settings[s].lr_ratio;
    const double beta1 = settings[s].beta1, beta2 = settings[s].beta2;
    for (int64_t i = 0; i < p->n; i++) {
        const double g = (double)p->scalars->clip * lrc_cases_get(&p->grad, i);
        o->m[i] = beta1 * o->m[i] + (1 - beta1) * g;
        o->v[i] = beta2 * o->v[i] + (1 - beta2) * g * g;
        const double m_hat = o->m[i] / (1 - pow(beta1, t)), v_hat = o->v[i] / (1 - pow(beta2, t));
        o->param[i] -=
            lr * settings[s].weight_decay * o->param[i] + lr * m_hat / (sqrt(v_hat) + settings[s].eps);
    }
}

static void values(const struct lrc_backend *backend, int64_t n, int s)
{
    enum { STEPS = 4 };
    struct problem p = problem_new(backend, n);
    struct oracle  o = { lrc_cases_to_doubles(&p.param), lrc_cases_doubles(n), lrc_cases_doubles(n) };
    const struct lrc_adamw_args args = args_of(&p, s);
    const double                lr = p.scalars->learning_rate * settings[s].lr_ratio;
    for (uint32_t step = 0; step < STEPS; step++) {
        p.scalars->step = step;
        gradient_of_step(&p, step);
        oracle_step(&p, s, &o);
        LRC_CASES_RUN(backend, adamw, &args);
        /* per step: m: g, difference, factor, product, sum, of values of at most 2; v: five of at most 1 -
         * beta2, and beta2 and its product and the sum, relative */
        const double passed = step + 1;
        lrc_cases_expect_near(backend, "adamw: m", &p.m, o.m,
                              (struct lrc_cases_tolerance){ 0, passed * 6 * LRC_CASES_EPS_F32 });
        lrc_cases_expect_near(backend, "adamw: v", &p.v, o.v,
                              (struct lrc_cases_tolerance){ passed * 8 * LRC_CASES_EPS_F32, 0 });
        /* param: two roundings and the factor's, of values of at most 2; and lr times the error of m_hat /
         * sqrt(v_hat), at most 4 here: m's absolute error over 1 - beta1 and the smallest root of a gradient
         * drawn (1e-3), which the eight relative roundings of the rest do not reach */
        const double ratio_error = 6 * LRC_CASES_EPS_F32 / (1 - settings[s].beta1) / 1e-3;
        lrc_cases_expect_near(
            backend, "adamw: param", &p.param, o.param,
            (struct lrc_cases_tolerance){ 0, passed * (6 * LRC_CASES_EPS_F32 + lr * ratio_error) });
    }
    lrc_free(o.param);
    lrc_free(o.m);
    lrc_free(o.v);
    problem_free(&p);
}

/* torch 2's single-tensor update, operation by operation in float32: equal to the bit, whatever the vector
 * width. */
static void order_of_operations(const struct lrc_backend *backend, int s)
{
    enum { N = 1003 };
    struct problem    p = problem_new(backend, N);
    struct lrc_tensor param = lrc_cases_copy(&p.param), m = lrc_cases_copy(&p.m), v = lrc_cases_copy(&p.v);
    const struct lrc_adamw_args args = args_of(&p, s);
    float                      *want_param = param.data, *want_m = m.data, *want_v = v.data;
    for (uint32_t step = 0; step < 3; step++) {
        p.scalars->step = step;
        gradient_of_step(&p, step);
        const double lr = p.scalars->learning_rate * settings[s].lr_ratio, t = (double)step + 1;
        const float  value = (float)(-(lr / (1 - pow(settings[s].beta1, t))));
        const float  root = (float)sqrt(1 - pow(settings[s].beta2, t));
        for (int64_t i = 0; i < N;
             i++) { /* volatile: every result is rounded where it stands, none is fused */
            volatile float g = p.scalars->clip * ((const float *)p.grad.data)[i], a, b;
            want_param[i] *= (float)(1 - lr * settings[s].weight_decay);
            a = g - want_m[i];
            a = (float)(1 - settings[s].beta1) * a;
            want_m[i] += a;
            want_v[i] *= (float)settings[s].beta2;
            b = (float)(1 - settings[s].beta2) * g;
            b = b * g;
            want_v[i] += b;
            b = sqrtf(want_v[i]) / root;
            b = b + (float)settings[s].eps;
            a = value * want_m[i];
            a = a / b;
            want_param[i] += a;
        }
        LRC_CASES_RUN(backend, adamw, &args);
    }
    lrc_cases_expect_same(backend, "adamw: m in torch's order", &p.m, &m);
    lrc_cases_expect_same(backend, "adamw: v in torch's order", &p.v, &v);
    lrc_cases_expect_same(backend, "adamw: param in torch's order", &p.param, &param);
    lrc_cases_free(&param);
    lrc_cases_free(&m);
    lrc_cases_free(&v);
    problem_free(&p);
}

static void run(void *context)
{
    struct problem             *p = context;
    const struct lrc_adamw_args args = args_of(p, 1);
    for (int64_t i = 0; i < p->n; i++) {
        lrc_cases_set(&p->param, i, (double)lrc_cases_value(1, i));
        lrc_cases_set(&p->m, i, (double)lrc_cases_value(3, i));
        lrc_cases_set(&p->v, i, fabs((double)lrc_cases_value(4, i)));
    }
    LRC_CASES_RUN(p->backend, adamw, &args);
}

static void bad_arguments(const struct lrc_backend *backend)
{
    struct problem              p = problem_new(backend, 8);
    const struct lrc_adamw_args good = args_of(&p, 0);
    struct lrc_error            err = { 0 };
    LRC_CASES_REFUSED(backend, adamw, good, LRC_STATUS_SHAPE, bad.grad.shape[0] = 7, &err);
    cr_expect_str_eq(err.message, "adamw: grad: want (8), got (7)");
    LRC_CASES_REFUSED(backend, adamw, good, LRC_STATUS_SHAPE, bad.v.dtype = LRC_DTYPE_BF16, &err);
    LRC_CASES_REFUSED(backend, adamw, good, LRC_STATUS_SHAPE, bad.m.data = NULL, &err);
    LRC_CASES_REFUSED(backend, adamw, good, LRC_STATUS_SHAPE, bad.scalars = NULL, &err);
    LRC_CASES_REFUSED(backend, adamw, good, LRC_STATUS_NUMERIC, bad.beta1 = 1, &err);
    cr_expect_str_eq(err.message, "adamw: beta1: want 0 <= beta1 < 1, got 1");
    LRC_CASES_REFUSED(backend, adamw, good, LRC_STATUS_NUMERIC, bad.beta2 = -0.1, &err);
    LRC_CASES_REFUSED(backend, adamw, good, LRC_STATUS_NUMERIC, bad.eps = (double)NAN, &err);
    LRC_CASES_REFUSED(backend, adamw, good, LRC_STATUS_NUMERIC, bad.weight_decay = -1, &err);
    LRC_CASES_REFUSED(backend, adamw, good, LRC_STATUS_NUMERIC, bad.lr_ratio = (double)INFINITY, &err);
    problem_free(&p);
}

void lrc_adamw_cases(const struct lrc_backend *backend);
void lrc_adamw_cases(const struct lrc_backend *backend)
{
    static const int64_t sizes[] = { 0, 1, 67, 4099 };
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++)
        values(backend, sizes[i / 2], (int)(i % 2));
    order_of_operations(backend, 0);
    order_of_operations(backend, 1);
    struct problem p = problem_new(backend, 40013);
    lrc_cases_expect_repeatable(backend, "adamw", run, &p,
                                (const struct lrc_tensor *const[]){ &p.param, &p.m, &p.v, NULL });
    problem_free(&p);
    bad_arguments(backend);
}

/* As a step does: on what the last one left. */
static void run_again(void *context)
{
    const struct problem       *p = context;
    const struct lrc_adamw_args args = args_of(p, 0);
    LRC_CASES_RUN(p->backend, adamw, &args);
}

static void check_row(void *context, const char *name)
{
    const struct problem *p = context;
    (void)name;
    values(p->backend, p->n, 0);
}

void lrc_adamw_rows(const struct lrc_cases_walk *walk);
void lrc_adamw_rows(const struct lrc_cases_walk *walk)
{
    struct problem             p = problem_new(walk->backend, walk->step.n_params);
    const struct lrc_cases_row row = { "the adapters' values", run_again, check_row, &p };
    walk->visit(&row);
    problem_free(&p);
}
