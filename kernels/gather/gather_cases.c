#include "common/cases.h"

#include "base/alloc.h"

struct problem {
    const struct lrc_backend *backend;
    struct lrc_tensor         x, out, d_out, d_x;
    int32_t                  *index; /* distinct, falling from the last row; the third is no row */
};

struct sizes {
    int64_t n_rows, n_picked, dim;
};

static struct problem problem_new(const struct lrc_backend *backend, struct sizes z, enum lrc_dtype dtype,
                                  enum lrc_dtype d_x_dtype)
{
    struct problem p = { .backend = backend };
    p.x = lrc_cases_tensor_2d(dtype, z.n_rows, z.dim, 1);
    p.out = lrc_cases_tensor_2d(dtype, z.n_picked, z.dim, LRC_CASES_POISON);
    p.d_out = lrc_cases_tensor_2d(dtype, z.n_picked, z.dim, 2);
    p.d_x = lrc_cases_tensor_2d(d_x_dtype, z.n_rows, z.dim, LRC_CASES_POISON);
    p.index = lrc_calloc(z.n_picked, sizeof *p.index);
    cr_assert(p.index);
    for (int64_t i = 0; i < z.n_picked; i++)
        p.index[i] = i == 2 ? -1 : (int32_t)(z.n_rows - 1 - i * z.n_rows / z.n_picked);
    return p;
}

static void problem_free(struct problem *p)
{
    lrc_cases_free(&p->x);
    lrc_cases_free(&p->out);
    lrc_cases_free(&p->d_out);
    lrc_cases_free(&p->d_x);
    lrc_free(p->index);
}

static void run_both(void *context)
{
    const struct problem                 *p = context;
    const struct lrc_gather_forward_args  f = { p->x, p->index, p->out };
    const struct lrc_gather_backward_args b = { p->d_out, p->index, p->d_x };
    LRC_CASES_RUN(p->backend, gather_forward, &f);
    LRC_CASES_RUN(p->backend, gather_backward, &b);
}

/* Copies are exact; backward is the transpose of forward, checked element by element, so that a difference of
 * the linear forward would say nothing more. */
static void values(const struct problem *p, const char *what)
{
    const int64_t n = p->out.shape[0], dim = p->out.shape[1];
    double       *want = lrc_cases_doubles(n * dim), *d_x = lrc_cases_doubles(p->x.shape[0] * dim);
    for (int64_t i = 0; i < n * dim; i++) {
        const int64_t at = p->index[i / dim] * dim + i % dim;
        if (at < 0)
            continue;
        want[i] = lrc_cases_get(&p->x, at);
        d_x[at] = lrc_cases_get(&p->d_out, i);
    }
    run_both((void *)(uintptr_t)p);
    const int is_exact = p->d_x.dtype == LRC_DTYPE_F32 || p->d_out.dtype == LRC_DTYPE_BF16;
    lrc_cases_expect_close(p->backend, what, &p->out, want, 0);
    lrc_cases_expect_near(p->backend, what, &p->d_x, d_x,
                          (struct lrc_cases_tolerance){ is_exact ? 0 : LRC_CASES_EPS_BF16, 0 });
    lrc_free(want);
    lrc_free(d_x);
}

/* A window of columns: what lies beside it in a row is neither read nor written. */
static void strided(const struct lrc_backend *backend)
{
    struct problem    p = problem_new(backend, (struct sizes){ 4, 2, 6 }, LRC_DTYPE_F32, LRC_DTYPE_F32);
    struct lrc_tensor wide = lrc_cases_tensor_2d(LRC_DTYPE_F32, 4, 9, LRC_CASES_POISON),
                      before = lrc_cases_copy(&wide);
    struct lrc_tensor d_x = lrc_tensor_2d(wide.data, LRC_DTYPE_F32, 4, 6);
    d_x.stride[0] = 9;
    const struct lrc_gather_backward_args b = { p.d_out, p.index, d_x };
    LRC_CASES_RUN(backend, gather_backward, &b);
    run_both(&p);
    for (int64_t i = 0; i < 4 * 9; i++)
        if (i % 9 < 6)
            cr_expect(lrc_cases_get(&wide, i) == lrc_cases_get(&p.d_x, i / 9 * 6 + i % 9));
        else
            cr_expect(memcmp((float *)wide.data + i, (float *)before.data + i, sizeof(float)) == 0);
    lrc_cases_free(&wide);
    lrc_cases_free(&before);
    problem_free(&p);
}

static void bad_arguments(const struct lrc_backend *backend)
{
    struct problem p = problem_new(backend, (struct sizes){ 4, 2, 6 }, LRC_DTYPE_F32, LRC_DTYPE_F32);
    const struct lrc_gather_forward_args  f = { p.x, p.index, p.out };
    const struct lrc_gather_backward_args b = { p.d_out, p.index, p.d_x };
    struct lrc_error                      err = { 0 };
    LRC_CASES_REFUSED(backend, gather_forward, f, LRC_STATUS_SHAPE, bad.out.dtype = LRC_DTYPE_BF16, &err);
    cr_expect_str_eq(err.message, "gather_forward: out: want F32 as x, got BF16");
    LRC_CASES_REFUSED(backend, gather_forward, f, LRC_STATUS_SHAPE, bad.out.shape[1] = 5, &err);
    LRC_CASES_REFUSED(backend, gather_forward, f, LRC_STATUS_SHAPE, bad.index = NULL, &err);
    LRC_CASES_REFUSED(backend, gather_backward, b, LRC_STATUS_SHAPE, bad.d_out.shape[0] = 5, &err);
    cr_expect_str_eq(err.message, "gather_backward: d_out: want at most 4 rows, got 5");
    LRC_CASES_REFUSED(backend, gather_backward, b, LRC_STATUS_SHAPE, bad.d_x.data = NULL, &err);
    LRC_CASES_REFUSED(backend, gather_backward, b, LRC_STATUS_SHAPE, bad.index = NULL, &err);
    problem_free(&p);
}

void lrc_gather_cases(const struct lrc_backend *backend);
void lrc_gather_cases(const struct lrc_backend *backend)
{
    static const struct sizes sizes[] = {
        { 0, 0, 3 }, { 3, 0, 5 }, { 1, 1, 1 }, { 7, 4, 67 }, { 5, 5, 1301 }
    };
    static const enum lrc_dtype dtypes[][2] = { { LRC_DTYPE_F32, LRC_DTYPE_F32 },
                                                { LRC_DTYPE_BF16, LRC_DTYPE_BF16 },
                                                { LRC_DTYPE_BF16, LRC_DTYPE_F32 },
                                                { LRC_DTYPE_F32, LRC_DTYPE_BF16 } };
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++) {
            char           what[64];
            struct problem p = problem_new(backend, sizes[s], dtypes[d][0], dtypes[d][1]);
            snprintf(what, sizeof what, "gather %d of (%d, %d)", (int)sizes[s].n_picked, (int)sizes[s].n_rows,
                     (int)sizes[s].dim);
            values(&p, what);
            problem_free(&p);
        }
    strided(backend);
    struct problem p = problem_new(backend, (struct sizes){ 200, 150, 301 }, LRC_DTYPE_F32, LRC_DTYPE_BF16);
    lrc_cases_expect_repeatable(backend, "gather", run_both, &p,
                                (const struct lrc_tensor *const[]){ &p.out, &p.d_x, NULL });
    problem_free(&p);
    bad_arguments(backend);
}

static void check_row(void *context, const char *name)
{
    values(context, name);
}

void lrc_gather_rows(const struct lrc_cases_walk *walk);
void lrc_gather_rows(const struct lrc_cases_walk *walk)
{
    const struct sizes         sizes = { walk->step.n_tokens, walk->step.n_tokens - walk->step.n_docs,
                                         walk->step.hidden };
    struct problem             p = problem_new(walk->backend, sizes, walk->step.activation, LRC_DTYPE_F32);
    const struct lrc_cases_row row = { "trained tokens x hidden", run_both, check_row, &p };
    walk->visit(&row);
    problem_free(&p);
}
