#include "common/cases.h"

#include "base/alloc.h"

struct problem {
    const struct lrc_backend *backend;
    int64_t                   n, dim;
    struct lrc_tensor         gate, up, out, d_out, d_gate, d_up;
};

static struct problem problem_new(const struct lrc_backend *backend, int64_t n, int64_t dim,
                                  enum lrc_dtype dtype)
{
    struct problem p = { .backend = backend, .n = n, .dim = dim };
    p.gate = lrc_cases_tensor_2d(dtype, n, dim, 1);
    p.up = lrc_cases_tensor_2d(dtype, n, dim, 2);
    p.out = lrc_cases_tensor_2d(dtype, n, dim, LRC_CASES_POISON);
    p.d_out = lrc_cases_tensor_2d(dtype, n, dim, 3);
    p.d_gate = lrc_cases_tensor_2d(dtype, n, dim, LRC_CASES_POISON);
    p.d_up = lrc_cases_tensor_2d(dtype, n, dim, LRC_CASES_POISON);
    return p;
}

static void problem_free(struct problem *p)
{
    struct lrc_tensor *all[] = { &p->gate, &p->up, &p->out, &p->d_out, &p->d_gate, &p->d_up };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        lrc_cases_free(all[i]);
}

static struct lrc_gated_forward_args forward_args(const struct problem *p)
{
    return (struct lrc_gated_forward_args){ p->gate, p->up, p->out, LRC_ACTIVATION_SILU };
}

static struct lrc_gated_backward_args backward_args(const struct problem *p)
{
    return (
        struct lrc_gated_backward_args){ p->d_out, p->gate, p->up, p->d_gate, p->d_up, LRC_ACTIVATION_SILU };
}

static void run_both(void *context)
{
    const struct problem                *p = context;
    const struct lrc_gated_forward_args  f = forward_args(p);
    const struct lrc_gated_backward_args b = backward_args(p);
    LRC_CASES_RUN(p->backend, gated_forward, &f);
    LRC_CASES_RUN(p->backend, gated_backward, &b);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* spread: gates lie in [-spread, spread). */
static void values(const struct problem *p, const char *what, double spread)
{
    struct problem wide = *p;
    const int64_t  n = p->n * p->dim;
    double        *out = lrc_cases_doubles(n), *d_gate = lrc_cases_doubles(n), *d_up = lrc_cases_doubles(n);
    for (int64_t i = 0; i < n; i++) {
        lrc_cases_set(&wide.gate, i, spread * (double)lrc_cases_value(9, i));
        const double x = lrc_cases_get(&p->gate, i), y = lrc_cases_get(&p->up, i),
                     d = lrc_cases_get(&p->d_out, i);
        out[i] = x * sigmoid(x) * y;
        d_gate[i] = d * y * sigmoid(x) * (1 + x * (1 - sigmoid(x)));
        d_up[i] = d * x * sigmoid(x);
    }
    run_both(&wide);
    /* exp: 2 ulp = 4 roundings; the sum, the quotient and two products: 8, and the one into storage. Sigmoids
     * below 2^-126 are flushed: the absolute part. */
    const double eps = p->out.dtype == LRC_DTYPE_F32 ? LRC_CASES_EPS_F32 : LRC_CASES_EPS_BF16;
    const struct lrc_cases_tolerance direct = { 8 * LRC_CASES_EPS_F32 + eps, 0x1p-118 };
    /* 1 - sigmoid carries the absolute error of sigmoid, 6 roundings, times |x| <= spread; x (1 - sigmoid) is
     * at most 0.28 for x > 0 and |x| for x < 0, where 1 + x (1 - sigmoid) may cancel; all is multiplied by a
     * sigmoid of at most 1 */
    const double                     cancelled = (8 * spread + 12) * LRC_CASES_EPS_F32;
    const struct lrc_cases_tolerance through = { eps, cancelled };
    lrc_cases_expect_near(p->backend, what, &p->out, out, direct);
    lrc_cases_expect_near(p->backend, what, &p->d_up, d_up, direct);
    lrc_cases_expect_near(p->backend, what, &p->d_gate, d_gate, through);
    lrc_free(out);
    lrc_free(d_gate);
    lrc_free(d_up);
}

struct oracle {
    const struct problem *p;
    double               *gate, *up, *d_out;
};

static double oracle_loss(void *context)
{
    const struct oracle *o = context;
    double               loss = 0;
    for (int64_t i = 0; i < o->p->n * o->p->dim; i++)
        loss += o->d_out[i] * o->gate[i] * sigmoid(o->gate[i]) * o->up[i];
    return loss;
}

static double op_loss(void *context)
{
    const struct oracle                *o = context;
    const struct lrc_gated_forward_args args = forward_args(o->p);
    double                              loss = 0;
    LRC_CASES_RUN(o->p->backend, gated_forward, &args);
    for (int64_t i = 0; i < o->p->n * o->p->dim; i++)
        loss += lrc_cases_get(&o->p->out, i) * o->d_out[i];
    return loss;
}

static void gradients(const struct lrc_backend *backend)
{
    struct problem p = problem_new(backend, 2, 7, LRC_DTYPE_F32);
    struct oracle  o = { &p, lrc_cases_to_doubles(&p.gate), lrc_cases_to_doubles(&p.up),
                         lrc_cases_to_doubles(&p.d_out) };
    run_both(&p);
    /* oracle: third derivative below 1, 1e-8 / 6, and the op's 20 roundings of values below 1 */
    const struct lrc_cases_scalar fine = { oracle_loss, &o, 1e-4, 1.3e-6 };
    lrc_cases_expect_gradient(backend, "gated d_gate (oracle)", &p.d_gate, o.gate, &fine);
    lrc_cases_expect_gradient(backend, "gated d_up (oracle)", &p.d_up, o.up, &fine);
    /* op: one value of at most 1 with nine roundings changes: 9 * 2^-24 / 2^-6, and 2^-12 / 6 */
    const struct lrc_cases_scalar coarse = { op_loss, &o, 0x1p-6, 8e-5 };
    lrc_cases_expect_op_gradient(backend, "gated d_gate (op)", &p.d_gate, &p.gate, &coarse);
    lrc_cases_expect_op_gradient(backend, "gated d_up (op)", &p.d_up, &p.up, &coarse);
    lrc_free(o.gate);
    lrc_free(o.up);
    lrc_free(o.d_out);
    problem_free(&p);
}

static void in_place(const struct lrc_backend *backend, enum lrc_dtype dtype)
{
    struct problem                p = problem_new(backend, 3, 523, dtype);
    struct lrc_tensor             gate = lrc_cases_copy(&p.gate), up = lrc_cases_copy(&p.up);
    struct lrc_gated_forward_args f = forward_args(&p);
    run_both(&p);
    f.gate = f.out = gate;
    LRC_CASES_RUN(backend, gated_forward, &f);
    lrc_cases_expect_same(backend, "gated: out is gate", &gate, &p.out);
    f.gate = p.gate;
    f.up = f.out = up;
    LRC_CASES_RUN(backend, gated_forward, &f);
    lrc_cases_expect_same(backend, "gated: out is up", &up, &p.out);
    lrc_cases_free(&gate);
    lrc_cases_free(&up);
    for (int gate_too = 0; gate_too < 2; gate_too++) { /* d_gate in d_out, then in gate; d_up in up */
        struct lrc_gated_backward_args b = backward_args(&p);
        struct lrc_tensor              d_gate = lrc_cases_copy(gate_too ? &p.gate : &p.d_out),
                          d_up = lrc_cases_copy(&p.up);
        *(gate_too ? &b.gate : &b.d_out) = b.d_gate = d_gate;
        b.up = b.d_up = d_up;
        LRC_CASES_RUN(backend, gated_backward, &b);
        lrc_cases_expect_same(backend, "gated: d_gate in place", &d_gate, &p.d_gate);
        lrc_cases_expect_same(backend, "gated: d_up is up", &d_up, &p.d_up);
        lrc_cases_free(&d_gate);
        lrc_cases_free(&d_up);
    }
    problem_free(&p);
}

static void bad_arguments(const struct lrc_backend *backend)
{
    struct problem                       p = problem_new(backend, 2, 8, LRC_DTYPE_F32);
    const struct lrc_gated_forward_args  f = forward_args(&p);
    const struct lrc_gated_backward_args b = backward_args(&p);
    struct lrc_error                     err = { 0 };
    LRC_CASES_REFUSED(backend, gated_forward, f, LRC_STATUS_SHAPE, bad.up.shape[1] = 7, &err);
    cr_expect_str_eq(err.message, "gated_forward: up: want (2, 8), got (2, 7)");
    LRC_CASES_REFUSED(backend, gated_forward, f, LRC_STATUS_SHAPE, bad.out.dtype = LRC_DTYPE_I32, &err);
    LRC_CASES_REFUSED(backend, gated_forward, f, LRC_STATUS_SHAPE, bad.activation = (enum lrc_activation)99,
                      &err);
    LRC_CASES_REFUSED(backend, gated_backward, b, LRC_STATUS_SHAPE, bad.d_up.data = NULL, &err);
    LRC_CASES_REFUSED(backend, gated_backward, b, LRC_STATUS_SHAPE, bad.d_gate.shape[0] = 1, &err);
    LRC_CASES_REFUSED(backend, gated_backward, b, LRC_STATUS_SHAPE, bad.d_out.n_dims = 3, &err);
    problem_free(&p);
}

void lrc_gated_cases(const struct lrc_backend *backend);
void lrc_gated_cases(const struct lrc_backend *backend)
{
    static const int64_t        shapes[][2] = { { 0, 4 }, { 1, 1 }, { 5, 19 }, { 2, 512 }, { 3, 1037 } };
    static const enum lrc_dtype dtypes[] = { LRC_DTYPE_F32, LRC_DTYPE_BF16 };
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof shapes[0]; i++) {
        char           what[64];
        struct problem p = problem_new(backend, shapes[i / 2][0], shapes[i / 2][1], dtypes[i % 2]);
        snprintf(what, sizeof what, "gated (%d, %d) %s", (int)p.n, (int)p.dim,
                 lrc_dtype_info[dtypes[i % 2]].name);
        values(&p, what, 4);
        values(&p, what, 100);
        problem_free(&p);
    }
    gradients(backend);
    in_place(backend, LRC_DTYPE_F32);
    in_place(backend, LRC_DTYPE_BF16);
    struct problem p = problem_new(backend, 65, 521, LRC_DTYPE_BF16);
    lrc_cases_expect_repeatable(backend, "gated", run_both, &p,
                                (const struct lrc_tensor *const[]){ &p.out, &p.d_gate, &p.d_up, NULL });
    problem_free(&p);
    bad_arguments(backend);
}

static void check_row(void *context, const char *name)
{
    values(context, name, 4);
}

void lrc_gated_rows(const struct lrc_cases_walk *walk);
void lrc_gated_rows(const struct lrc_cases_walk *walk)
{
    struct problem p =
        problem_new(walk->backend, walk->step.n_tokens, walk->step.intermediate, walk->step.activation);
    const struct lrc_cases_row row = { "tokens x intermediate", run_both, check_row, &p };
    walk->visit(&row);
    problem_free(&p);
}
