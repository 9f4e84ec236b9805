#include "common/cases.h"

#include "base/alloc.h"

enum { GRADS_MAX = 4 };

struct problem {
    const struct lrc_backend *backend;
    struct lrc_tensor         grads[GRADS_MAX], norm, clip;
    int64_t                   n_grads;
    void                     *workspace;
};

static struct problem problem_new(const struct lrc_backend *backend, const int64_t *sizes, int64_t n_grads)
{
    struct problem p = { .backend = backend, .n_grads = n_grads };
    for (int64_t i = 0; i < n_grads; i++)
        p.grads[i] = lrc_cases_tensor_1d(LRC_DTYPE_F32, sizes[i], (uint64_t)i + 1);
    p.workspace = lrc_calloc((int64_t)lrc_grad_norm_workspace_bytes(), 1);
    cr_assert(p.workspace, "no memory for a case");
    memset(p.workspace, 0xff, lrc_grad_norm_workspace_bytes()); /* NaN */
    p.norm = lrc_cases_tensor_1d(LRC_DTYPE_F32, 1, LRC_CASES_POISON);
    p.clip = lrc_cases_tensor_1d(LRC_DTYPE_F32, 1, LRC_CASES_POISON);
    return p;
}

static void problem_free(struct problem *p)
{
    for (int64_t i = 0; i < p->n_grads; i++)
        lrc_cases_free(&p->grads[i]);
    lrc_cases_free(&p->norm);
    lrc_cases_free(&p->clip);
    lrc_free(p->workspace);
}

static struct lrc_grad_norm_args args_of(const struct problem *p, float max_norm)
{
    return (struct lrc_grad_norm_args){
        p->grads,
        p->n_grads,
        max_norm,
        p->norm.data,
        p->clip.data,
        p->workspace,
        lrc_grad_norm_workspace_bytes(),
    };
}

static void run(void *context)
{
    const struct problem           *p = context;
    const struct lrc_grad_norm_args args = args_of(p, 1.0f);
    LRC_CASES_RUN(p->backend, grad_norm, &args);
}

/* The squares are summed in double and rounded once, so one rounding and a little of the double sum are all
 * the error. */
static void values(const struct lrc_backend *backend, const int64_t *sizes, int64_t n_grads)
{
    static const float max_norms[] = { 0.0f, 0.25f, 1.0f, 1e6f };
    struct problem     p = problem_new(backend, sizes, n_grads);
    double             sum = 0;
    for (int64_t g = 0; g < n_grads; g++)
        for (int64_t i = 0; i < sizes[g]; i++)
            sum += lrc_cases_get(&p.grads[g], i) * lrc_cases_get(&p.grads[g], i);
    for (size_t i = 0; i < sizeof max_norms / sizeof max_norms[0]; i++) {
        const double                     norm = sqrt(sum), max = (double)max_norms[i];
        const double                     clip = max == 0 ? 1 : fmin(1, max / (norm + 1e-6));
        const struct lrc_grad_norm_args  args = args_of(&p, max_norms[i]);
        const struct lrc_cases_tolerance tolerance = { 1.001 * LRC_CASES_EPS_F32, 0 };
        LRC_CASES_RUN(backend, grad_norm, &args);
        lrc_cases_expect_near(backend, "grad_norm: norm", &p.norm, &norm, tolerance);
        lrc_cases_expect_near(backend, "grad_norm: clip", &p.clip, &clip, tolerance);
    }
    problem_free(&p);
}

/* As many tensors as a model with adapters has: more than a backend takes at once. Views of one tensor, that
 * overlap; every fourth is empty. */
static void many(const struct lrc_backend *backend)
{
    enum { MANY = 300, ELEMS = 4111 };
    static const int64_t      sizes[] = { ELEMS };
    struct problem            p = problem_new(backend, sizes, 1);
    struct lrc_tensor         views[MANY];
    struct lrc_grad_norm_args args = args_of(&p, 1.0f);
    double                    sum = 0;
    for (int64_t v = 0; v < MANY; v++) {
        const int64_t first = v * 7, n = v % 4 == 3 ? 0 : 1 + v * 6;
        views[v] = lrc_tensor_1d((float *)p.grads[0].data + first, LRC_DTYPE_F32, n);
        for (int64_t i = first; i < first + n; i++)
            sum += lrc_cases_get(&p.grads[0], i) * lrc_cases_get(&p.grads[0], i);
    }
    args.grads = views;
    args.n_grads = MANY;
    LRC_CASES_RUN(backend, grad_norm, &args);
    const double want = sqrt(sum);
    lrc_cases_expect_near(backend, "grad_norm: many", &p.norm, &want,
                          (struct lrc_cases_tolerance){ 1.001 * LRC_CASES_EPS_F32, 0 });
    problem_free(&p);
}

/* Squares of 1e30 overflow float32, of 1e-30 underflow it. */
static void extremes(const struct lrc_backend *backend)
{
    static const int64_t sizes[] = { 3, 700 };
    struct problem       p = problem_new(backend, sizes, 2);
    for (double scale = 1e-30; scale < 1e31; scale *= 1e60) {
        for (int64_t i = 0; i < 703; i++)
            lrc_cases_set(&p.grads[i >= 3], i >= 3 ? i - 3 : i, scale);
        const double want = scale * sqrt(703);
        run(&p);
        lrc_cases_expect_near(backend, "grad_norm: extreme", &p.norm, &want,
                              (struct lrc_cases_tolerance){ 2.001 * LRC_CASES_EPS_F32, 0 });
    }
    lrc_cases_set(&p.grads[1], 699, (double)NAN);
    run(&p);
    cr_expect(isnan(lrc_cases_get(&p.norm, 0)), "%s: the norm hides a NaN", backend->name);
    cr_expect(isnan(lrc_cases_get(&p.clip, 0)), "%s: the clip factor hides a NaN", backend->name);
    lrc_cases_set(&p.grads[1], 699, (double)INFINITY);
    run(&p);
    cr_expect(isinf(lrc_cases_get(&p.norm, 0)), "%s: the norm hides an infinity", backend->name);
    problem_free(&p);
}

static void bad_arguments(const struct lrc_backend *backend)
{
    static const int64_t            sizes[] = { 8, 6 };
    struct problem                  p = problem_new(backend, sizes, 2), narrow = p, gaps = p;
    const struct lrc_grad_norm_args good = args_of(&p, 1.0f);
    struct lrc_error                err = { 0 };
    narrow.grads[1].dtype = LRC_DTYPE_BF16;
    gaps.grads[1] = lrc_tensor_2d(p.grads[1].data, LRC_DTYPE_F32, 2, 2);
    gaps.grads[1].stride[0] = 3;
    LRC_CASES_REFUSED(backend, grad_norm, good, LRC_STATUS_SHAPE, bad.n_grads = -1, &err);
    LRC_CASES_REFUSED(backend, grad_norm, good, LRC_STATUS_SHAPE, bad.grads = NULL, &err);
    LRC_CASES_REFUSED(backend, grad_norm, good, LRC_STATUS_SHAPE, bad.grads = narrow.grads, &err);
    cr_expect_str_eq(err.message, "grad_norm: grads: want F32, got BF16");
    LRC_CASES_REFUSED(backend, grad_norm, good, LRC_STATUS_SHAPE, bad.grads = gaps.grads, &err);
    LRC_CASES_REFUSED(backend, grad_norm, good, LRC_STATUS_SHAPE, bad.norm = NULL, &err);
    LRC_CASES_REFUSED(backend, grad_norm, good, LRC_STATUS_SHAPE, bad.clip = NULL, &err);
    LRC_CASES_REFUSED(backend, grad_norm, good, LRC_STATUS_NUMERIC, bad.max_norm = -1, &err);
    LRC_CASES_REFUSED(backend, grad_norm, good, LRC_STATUS_NUMERIC, bad.max_norm = NAN, &err);
    LRC_CASES_REFUSED(backend, grad_norm, good, LRC_STATUS_SHAPE, bad.workspace = NULL, &err);
    LRC_CASES_REFUSED(backend, grad_norm, good, LRC_STATUS_SHAPE, bad.workspace_bytes--, &err);
    problem_free(&p);
}

void lrc_grad_norm_cases(const struct lrc_backend *backend);
void lrc_grad_norm_cases(const struct lrc_backend *backend)
{
    /* none; one element; an empty one between; more chunks than a tensor has partial sums, with a short last
     * chunk */
    values(backend, (const int64_t[]){ 0 }, 0);
    values(backend, (const int64_t[]){ 1 }, 1);
    values(backend, (const int64_t[]){ 37, 0, 4097 }, 3);
    values(backend, (const int64_t[]){ 256 * 4096 + 13, 5, 40000, 4096 }, 4);
    many(backend);
    extremes(backend);
    struct problem p = problem_new(backend, (const int64_t[]){ 100003, 17, 40000 }, 3);
    lrc_cases_expect_repeatable(backend, "grad_norm", run, &p,
                                (const struct lrc_tensor *const[]){ &p.norm, &p.clip, NULL });
    problem_free(&p);
    bad_arguments(backend);
}

static void check_row(void *context, const char *name)
{
    const struct problem *p = context;
    (void)name;
    values(p->backend, &p->grads[0].shape[0], 1);
}

void lrc_grad_norm_rows(const struct lrc_cases_walk *walk);
void lrc_grad_norm_rows(const struct lrc_cases_walk *walk)
{
    struct problem             p = problem_new(walk->backend, &walk->step.n_params, 1);
    const struct lrc_cases_row row = { "the adapters' gradients", run, check_row, &p };
    walk->visit(&row);
    problem_free(&p);
}
