#include "common/cases.h"

#include "base/alloc.h"

#define EPS 1e-5f

struct problem {
    const struct lrc_backend *backend;
    int64_t                   n, dim;
    struct lrc_tensor         x, weight, out, rstd, d_out, d_residual, d_x, d_weight;
};

static struct problem problem_new(const struct lrc_backend *backend, int64_t n, int64_t dim,
                                  enum lrc_dtype dtype, enum lrc_dtype weight_dtype)
{
    return (struct problem){
        .backend = backend,
        .n = n,
        .dim = dim,
        .x = lrc_cases_tensor_2d(dtype, n, dim, 1),
        .weight = lrc_cases_tensor_1d(weight_dtype, dim, 2),
        .out = lrc_cases_tensor_2d(dtype, n, dim, LRC_CASES_POISON),
        .rstd = lrc_cases_tensor_1d(LRC_DTYPE_F32, n, LRC_CASES_POISON),
        .d_out = lrc_cases_tensor_2d(dtype, n, dim, 3),
        .d_residual = lrc_cases_tensor_2d(dtype, n, dim, 4),
        .d_x = lrc_cases_tensor_2d(dtype, n, dim, LRC_CASES_POISON),
        .d_weight = lrc_cases_tensor_1d(LRC_DTYPE_F32, dim, 5),
    };
}

static void problem_free(struct problem *p)
{
    struct lrc_tensor *all[] = { &p->x,     &p->weight,     &p->out, &p->rstd,
                                 &p->d_out, &p->d_residual, &p->d_x, &p->d_weight };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        lrc_cases_free(all[i]);
}

static struct lrc_rmsnorm_forward_args forward_args(const struct problem *p)
{
    return (struct lrc_rmsnorm_forward_args){
        .x = p->x, .weight = p->weight, .out = p->out, .rstd = p->rstd.data, .eps = EPS
    };
}

static struct lrc_rmsnorm_backward_args backward_args(const struct problem *p)
{
    return (struct lrc_rmsnorm_backward_args){ p->d_out,      p->x,   p->weight,  p->rstd.data,
                                               p->d_residual, p->d_x, p->d_weight };
}

static double oracle_rstd(const double *x, int64_t dim)
{
    double sum = 0;
    for (int64_t i = 0; i < dim; i++)
        sum += x[i] * x[i];
    return 1 / sqrt(sum / (double)dim + (double)EPS);
}

/* Relative error of a float32 sum of products over at most 512 terms, in any order: a rounding a term, and
 * the product's; longer sums go on in double. */
static double sum_error(int64_t dim)
{
    return (double)((dim < 512 ? dim : 512) + 2) * LRC_CASES_EPS_F32;
}

static double storage_error(const struct lrc_tensor *tensor)
{
    return tensor->dtype == LRC_DTYPE_F32 ? LRC_CASES_EPS_F32 : LRC_CASES_EPS_BF16;
}

static void check_forward(const struct problem *p, const char *what)
{
    double *x = lrc_cases_to_doubles(&p->x), *weight = lrc_cases_to_doubles(&p->weight);
    double *want = lrc_cases_doubles(p->n * p->dim), *want_rstd = lrc_cases_doubles(p->n);
    const struct lrc_rmsnorm_forward_args args = forward_args(p);
    LRC_CASES_RUN(p->backend, rmsnorm_forward, &args);
    for (int64_t row = 0; row < p->n; row++) {
        want_rstd[row] = oracle_rstd(x + row * p->dim, p->dim);
        for (int64_t i = 0; i < p->dim; i++)
            want[row * p->dim + i] = x[row * p->dim + i] * want_rstd[row] * weight[i];
    }
    /* the root halves the error of the sum; rstd is rounded once more, out twice before it is stored */
    const struct lrc_cases_tolerance rstd = { sum_error(p->dim) / 2 + LRC_CASES_EPS_F32, 0 };
    const struct lrc_cases_tolerance out = { rstd.relative + 2 * LRC_CASES_EPS_F32 + storage_error(&p->out),
                                             0 };
    lrc_cases_expect_near(p->backend, what, &p->rstd, want_rstd, rstd);
    lrc_cases_expect_near(p->backend, what, &p->out, want, out);
    lrc_free(x);
    lrc_free(weight);
    lrc_free(want);
    lrc_free(want_rstd);
}

/* The formulas of the header in double, added to d_weight; returns the largest rstd. */
static double oracle_backward(const struct problem *p, double *d_x, double *d_weight)
{
    double *x = lrc_cases_to_doubles(&p->x), *weight = lrc_cases_to_doubles(&p->weight);
    double *d_out = lrc_cases_to_doubles(&p->d_out), *residual = lrc_cases_to_doubles(&p->d_residual),
           rstd_max = 0;
    for (int64_t row = 0; row < p->n; row++) {
        const int64_t at = row * p->dim;
        const double  rstd = oracle_rstd(x + at, p->dim);
        double        s = 0;
        rstd_max = fmax(rstd_max, rstd);
        for (int64_t i = 0; i < p->dim; i++)
            s += d_out[at + i] * weight[i] * x[at + i] / (double)p->dim;
        for (int64_t i = 0; i < p->dim; i++) {
            d_x[at + i] = residual[at + i] + rstd * (d_out[at + i] * weight[i] - x[at + i] * rstd * rstd * s);
            d_weight[i] += d_out[at + i] * x[at + i] * rstd;
        }
    }
    lrc_free(x);
    lrc_free(weight);
    lrc_free(d_out);
    lrc_free(residual);
    return rstd_max;
}

static void check_backward(const struct problem *p, const char *what)
{
    double      *d_x = lrc_cases_doubles(p->n * p->dim), *d_weight = lrc_cases_to_doubles(&p->d_weight);
    const double rstd_max = oracle_backward(p, d_x, d_weight), root = sqrt((double)p->dim);
    const struct lrc_rmsnorm_backward_args args = backward_args(p);
    LRC_CASES_RUN(p->backend, rmsnorm_backward, &args);
    /* |d_out|, |weight| <= 1, |x| rstd <= sqrt(dim), rstd |s| <= 1: the second term is at most sqrt(dim)
     * rstd, with the error of one sum, of rstd three times and of six roundings; the first is at most rstd */
    const double in_f32 =
        root * rstd_max * (2.5 * sum_error(p->dim) + 9 * LRC_CASES_EPS_F32) + LRC_CASES_EPS_F32;
    const struct lrc_cases_tolerance x_tolerance = { storage_error(&p->d_x), in_f32 };
    /* a row: rstd's error and three roundings of a term of at most sqrt(dim); then one rounding of the result
     */
    const double                     row_error = root * (sum_error(p->dim) / 2 + 3 * LRC_CASES_EPS_F32);
    const struct lrc_cases_tolerance weight_tolerance = { LRC_CASES_EPS_F32, (double)p->n * row_error };
    lrc_cases_expect_near(p->backend, what, &p->d_x, d_x, x_tolerance);
    lrc_cases_expect_near(p->backend, what, &p->d_weight, d_weight, weight_tolerance);
    lrc_free(d_x);
    lrc_free(d_weight);
}

static void values(const struct lrc_backend *backend)
{
    static const int64_t        shapes[][2] = { { 0, 8 },  { 1, 1 },   { 3, 1 },   { 1, 64 },
                                                { 5, 67 }, { 2, 512 }, { 3, 1301 } };
    static const enum lrc_dtype dtypes[][2] = { { LRC_DTYPE_F32, LRC_DTYPE_F32 },
                                                { LRC_DTYPE_BF16, LRC_DTYPE_BF16 },
                                                { LRC_DTYPE_BF16, LRC_DTYPE_F16 },
                                                { LRC_DTYPE_F32, LRC_DTYPE_BF16 } };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++) {
            char what[64];
            snprintf(what, sizeof what, "rmsnorm (%d, %d) %s weight %s", (int)shapes[s][0], (int)shapes[s][1],
                     lrc_dtype_info[dtypes[d][0]].name, lrc_dtype_info[dtypes[d][1]].name);
            struct problem p = problem_new(backend, shapes[s][0], shapes[s][1], dtypes[d][0], dtypes[d][1]);
            check_forward(&p, what);
            check_backward(&p, what);
            problem_free(&p);
        }
}

struct oracle {
    const struct problem *p;
    double               *x, *weight, *d_out;
};

static double oracle_loss(void *context)
{
    const struct oracle *o = context;
    const int64_t        dim = o->p->dim;
    double               loss = 0;
    for (int64_t row = 0; row < o->p->n; row++) {
        const double rstd = oracle_rstd(o->x + row * dim, dim);
        for (int64_t i = 0; i < dim; i++)
            loss += o->d_out[row * dim + i] * o->x[row * dim + i] * rstd * o->weight[i];
    }
    return loss;
}

static double op_loss(void *context)
{
    const struct oracle            *o = context;
    struct lrc_rmsnorm_forward_args args = forward_args(o->p);
    double                          loss = 0;
    args.rstd = NULL;
    LRC_CASES_RUN(o->p->backend, rmsnorm_forward, &args);
    for (int64_t i = 0; i < o->p->n * o->p->dim; i++)
        loss += lrc_cases_get(&o->p->out, i) * o->d_out[i];
    return loss;
}

static void gradients(const struct lrc_backend *backend)
{
    struct problem                   p = problem_new(backend, 3, 5, LRC_DTYPE_F32, LRC_DTYPE_F32);
    struct oracle                    o = { &p, lrc_cases_to_doubles(&p.x), lrc_cases_to_doubles(&p.weight),
                                           lrc_cases_to_doubles(&p.d_out) };
    struct lrc_tensor                d_weight = lrc_cases_tensor_1d(LRC_DTYPE_F32, 5, LRC_CASES_ZERO);
    struct lrc_rmsnorm_backward_args b = backward_args(&p);
    const struct lrc_rmsnorm_forward_args f = forward_args(&p);
    b.d_residual.data = NULL;
    b.d_weight = d_weight;
    LRC_CASES_RUN(backend, rmsnorm_forward, &f);
    LRC_CASES_RUN(backend, rmsnorm_backward, &b);
    /* oracle: 1e-8 / 6 times a third derivative of order 100, and the op's ten roundings of values of order 3
     */
    const struct lrc_cases_scalar fine = { oracle_loss, &o, 1e-4, 2e-6 };
    lrc_cases_expect_gradient(backend, "rmsnorm d_x (oracle)", &p.d_x, o.x, &fine);
    lrc_cases_expect_gradient(backend, "rmsnorm d_weight (oracle)", &d_weight, o.weight, &fine);
    /* op: 2^-14 / 6 times that derivative, and 15 results of order 1 with four roundings: 60 * 2^-24 / 2^-7
     */
    const struct lrc_cases_scalar coarse = { op_loss, &o, 0x1p-7, 1.5e-3 };
    lrc_cases_expect_op_gradient(backend, "rmsnorm d_x (op)", &p.d_x, &p.x, &coarse);
    lrc_cases_expect_op_gradient(backend, "rmsnorm d_weight (op)", &d_weight, &p.weight, &coarse);
    lrc_free(o.x);
    lrc_free(o.weight);
    lrc_free(o.d_out);
    lrc_cases_free(&d_weight);
    problem_free(&p);
}

/* out = x; d_x = d_residual; d_x = d_out, of which d_weight must have been taken before. */
static void in_place(const struct lrc_backend *backend, enum lrc_dtype dtype)
{
    struct problem                   p = problem_new(backend, 4, 531, dtype, dtype);
    struct lrc_rmsnorm_forward_args  f = forward_args(&p);
    struct lrc_rmsnorm_backward_args b = backward_args(&p);
    struct lrc_tensor                x = lrc_cases_copy(&p.x), residual = lrc_cases_copy(&p.d_residual);
    struct lrc_tensor                d_out = lrc_cases_copy(&p.d_out), d_weight = lrc_cases_copy(&p.d_weight);
    LRC_CASES_RUN(backend, rmsnorm_forward, &f);
    LRC_CASES_RUN(backend, rmsnorm_backward, &b);
    f.x = f.out = x;
    LRC_CASES_RUN(backend, rmsnorm_forward, &f);
    lrc_cases_expect_same(backend, "rmsnorm: out is x", &x, &p.out);
    b.d_residual = b.d_x = residual;
    b.d_weight.data = NULL;
    LRC_CASES_RUN(backend, rmsnorm_backward, &b);
    lrc_cases_expect_same(backend, "rmsnorm: d_x is d_residual", &residual, &p.d_x);
    b.d_residual = p.d_residual;
    b.d_out = b.d_x = d_out;
    b.d_weight = d_weight;
    LRC_CASES_RUN(backend, rmsnorm_backward, &b);
    lrc_cases_expect_same(backend, "rmsnorm: d_x is d_out", &d_out, &p.d_x);
    lrc_cases_expect_same(backend, "rmsnorm: d_weight while d_x is d_out", &d_weight, &p.d_weight);
    lrc_cases_free(&x);
    lrc_cases_free(&residual);
    lrc_cases_free(&d_out);
    lrc_cases_free(&d_weight);
    problem_free(&p);
}

/* With an addend: the bits of the sum rounded once, and of its norm, whichever operand it takes the place of.
 */
static void with_addend(const struct lrc_backend *backend, int64_t n, int64_t dim, enum lrc_dtype x_dtype,
                        enum lrc_dtype addend_dtype, enum lrc_dtype sum_dtype)
{
    struct problem    p = problem_new(backend, n, dim, sum_dtype, LRC_DTYPE_F32);
    struct lrc_tensor x = lrc_cases_tensor_2d(x_dtype, n, dim, 6),
                      addend = lrc_cases_tensor_2d(addend_dtype, n, dim, 7),
                      sum = lrc_cases_tensor_2d(sum_dtype, n, dim, LRC_CASES_POISON),
                      out = lrc_cases_copy(&p.out), rstd = lrc_cases_copy(&p.rstd);
    struct lrc_tensor *const        places[] = { &sum, &x, &addend };
    struct lrc_rmsnorm_forward_args f = forward_args(&p);
    for (int64_t i = 0; i < n * dim; i++)
        lrc_cases_set(&p.x, i, lrc_cases_get(&x, i) + lrc_cases_get(&addend, i));
    LRC_CASES_RUN(backend, rmsnorm_forward, &f);
    for (int i = 0; i < 3; i++) {
        if (places[i]->dtype != sum_dtype)
            continue;
        struct lrc_tensor place = lrc_cases_copy(places[i]);
        f = (struct lrc_rmsnorm_forward_args){ .x = i == 1 ? place : x,
                                               .weight = p.weight,
                                               .out = out,
                                               .rstd = rstd.data,
                                               .eps = EPS,
                                               .addend = i == 2 ? place : addend,
                                               .sum = place };
        LRC_CASES_RUN(backend, rmsnorm_forward, &f);
        lrc_cases_expect_same(backend, "rmsnorm: sum", &place, &p.x);
        lrc_cases_expect_same(backend, "rmsnorm: out of a sum", &out, &p.out);
        lrc_cases_expect_same(backend, "rmsnorm: rstd of a sum", &rstd, &p.rstd);
        lrc_cases_free(&place);
    }
    lrc_cases_free(&x);
    lrc_cases_free(&addend);
    lrc_cases_free(&sum);
    lrc_cases_free(&out);
    lrc_cases_free(&rstd);
    problem_free(&p);
}

static void run_both(void *context)
{
    struct problem                        *p = context;
    const struct lrc_rmsnorm_forward_args  f = forward_args(p);
    const struct lrc_rmsnorm_backward_args b = backward_args(p);
    for (int64_t i = 0; i < p->dim; i++)
        lrc_cases_set(&p->d_weight, i, 0.25);
    LRC_CASES_RUN(p->backend, rmsnorm_forward, &f);
    LRC_CASES_RUN(p->backend, rmsnorm_backward, &b);
}

static void bad_arguments(const struct lrc_backend *backend)
{
    struct problem                         p = problem_new(backend, 2, 8, LRC_DTYPE_F32, LRC_DTYPE_F32);
    const struct lrc_rmsnorm_forward_args  f = forward_args(&p);
    const struct lrc_rmsnorm_backward_args b = backward_args(&p);
    struct lrc_error                       err = { 0 };
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_SHAPE, bad.weight.shape[0] = 4, &err);
    cr_expect_str_eq(err.message, "rmsnorm_forward: weight: want (8), got (4)");
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_SHAPE, bad.out.shape[0] = 3, &err);
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_SHAPE, bad.x.dtype = LRC_DTYPE_F16, &err);
    cr_expect_str_eq(err.message, "rmsnorm_forward: x: want F32 or BF16, got F16");
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_SHAPE, bad.x.data = NULL, &err);
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_SHAPE, bad.x.stride[1] = 2, &err);
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_SHAPE, bad.out.stride[0] = 7, &err);
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_SHAPE,
                      bad.x.shape[1] = bad.out.shape[1] = bad.weight.shape[0] = 0, &err);
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_NUMERIC, bad.eps = 0, &err);
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_SHAPE, bad.addend = p.d_out, &err);
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_SHAPE,
                      (bad.sum = bad.addend = p.d_out, bad.addend.shape[0] = 1), &err);
    LRC_CASES_REFUSED(backend, rmsnorm_forward, f, LRC_STATUS_NUMERIC, bad.eps = NAN, &err);
    LRC_CASES_REFUSED(backend, rmsnorm_backward, b, LRC_STATUS_SHAPE, bad.d_x.shape[1] = 7, &err);
    LRC_CASES_REFUSED(backend, rmsnorm_backward, b, LRC_STATUS_SHAPE, bad.d_residual.n_dims = 1, &err);
    LRC_CASES_REFUSED(backend, rmsnorm_backward, b, LRC_STATUS_SHAPE, bad.d_weight.dtype = LRC_DTYPE_BF16,
                      &err);
    LRC_CASES_REFUSED(backend, rmsnorm_backward, b, LRC_STATUS_SHAPE, bad.rstd = NULL, &err);
    problem_free(&p);
}

void lrc_rmsnorm_cases(const struct lrc_backend *backend);
void lrc_rmsnorm_cases(const struct lrc_backend *backend)
{
    values(backend);
    gradients(backend);
    in_place(backend, LRC_DTYPE_F32);
    in_place(backend, LRC_DTYPE_BF16);
    with_addend(backend, 3, 67, LRC_DTYPE_F32, LRC_DTYPE_F32, LRC_DTYPE_F32);
    with_addend(backend, 5, 1301, LRC_DTYPE_BF16, LRC_DTYPE_BF16, LRC_DTYPE_BF16);
    with_addend(backend, 2, 520, LRC_DTYPE_F32, LRC_DTYPE_BF16, LRC_DTYPE_BF16);
    with_addend(backend, 1, 1, LRC_DTYPE_BF16, LRC_DTYPE_F32, LRC_DTYPE_F32);
    struct problem p = problem_new(backend, 70, 521, LRC_DTYPE_BF16, LRC_DTYPE_BF16);
    lrc_cases_expect_repeatable(
        backend, "rmsnorm", run_both, &p,
        (const struct lrc_tensor *const[]){ &p.out, &p.rstd, &p.d_x, &p.d_weight, NULL });
    problem_free(&p);
    bad_arguments(backend);
}

static void run_frozen(void *context)
{
    const struct problem                 *p = context;
    const struct lrc_rmsnorm_forward_args f = forward_args(p);
    struct lrc_rmsnorm_backward_args      b = backward_args(p);
    b.d_weight.data = NULL;
    LRC_CASES_RUN(p->backend, rmsnorm_forward, &f);
    LRC_CASES_RUN(p->backend, rmsnorm_backward, &b);
}

static void check_row(void *context, const char *name)
{
    check_forward(context, name);
    check_backward(context, name);
}

void lrc_rmsnorm_rows(const struct lrc_cases_walk *walk);
void lrc_rmsnorm_rows(const struct lrc_cases_walk *walk)
{
    struct problem             p = problem_new(walk->backend, walk->step.n_tokens, walk->step.hidden,
                                               walk->step.activation, walk->step.weight);
    const struct lrc_cases_row row = { "tokens x hidden", run_frozen, check_row, &p };
    walk->visit(&row);
    problem_free(&p);
}
