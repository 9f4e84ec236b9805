#include "common/cases.h"

#include "base/alloc.h"

enum { N_POSITIONS = 11 };

/* x is a window of `storage` (T, H, wide): heads narrower than their stride, rows as in a fused q, k, v
 * projection. */
struct problem {
    const struct lrc_backend *backend;
    struct lrc_tensor         storage, start, x, cos_table, sin_table;
    int32_t                  *positions;
    int64_t                   n_pairs;
};

struct sizes {
    int64_t n, n_heads, head_dim, stride, n_pairs;
};

static struct problem problem_new(const struct lrc_backend *backend, struct sizes z, enum lrc_dtype dtype)
{
    struct problem p = { .backend = backend, .n_pairs = z.n_pairs };
    p.storage = lrc_cases_tensor_3d(dtype, z.n, z.n_heads, z.stride, 1);
    p.start = lrc_cases_copy(&p.storage);
    p.x = p.storage;
    p.x.shape[2] = z.head_dim;
    p.cos_table = lrc_cases_tensor_2d(LRC_DTYPE_F32, N_POSITIONS, z.n_pairs, LRC_CASES_ZERO);
    p.sin_table = lrc_cases_tensor_2d(LRC_DTYPE_F32, N_POSITIONS, z.n_pairs, LRC_CASES_ZERO);
    for (int64_t i = 0; i < N_POSITIONS * z.n_pairs; i++) {
        const double angle =
            (double)(i / z.n_pairs) * pow(10000, -(double)(i % z.n_pairs) / (double)z.n_pairs);
        lrc_cases_set(&p.cos_table, i, cos(angle));
        lrc_cases_set(&p.sin_table, i, sin(angle));
    }
    p.positions = lrc_calloc(z.n, sizeof *p.positions);
    cr_assert(p.positions);
    for (int64_t t = 0; t < z.n; t++)
        p.positions[t] = (int32_t)((t * 5 + N_POSITIONS - 1) % N_POSITIONS);
    return p;
}

static void problem_free(struct problem *p)
{
    lrc_cases_free(&p->storage);
    lrc_cases_free(&p->start);
    lrc_cases_free(&p->cos_table);
    lrc_cases_free(&p->sin_table);
    lrc_free(p->positions);
}

static struct lrc_rope_forward_args forward_args(const struct problem *p)
{
    return (struct lrc_rope_forward_args){ p->x,         p->cos_table.data, p->sin_table.data,
                                           p->positions, N_POSITIONS,       p->n_pairs };
}

static struct lrc_rope_backward_args backward_args(const struct problem *p)
{
    return (struct lrc_rope_backward_args){ p->x,         p->cos_table.data, p->sin_table.data,
                                            p->positions, N_POSITIONS,       p->n_pairs };
}

static void restart(const struct problem *p)
{
    for (int64_t i = 0; i < lrc_tensor_elems(&p->storage); i++)
        lrc_cases_set((struct lrc_tensor *)(uintptr_t)&p->storage, i, lrc_cases_get(&p->start, i));
}

/* The whole of storage after a rotation of its start values: what lies outside the pairs is untouched. */
static double *oracle(const struct problem *p, double direction)
{
    double       *want = lrc_cases_to_doubles(&p->start);
    const int64_t n_heads = p->storage.shape[1], stride = p->storage.shape[2], P = p->n_pairs;
    for (int64_t row = 0; row < p->storage.shape[0] * n_heads; row++)
        for (int64_t i = 0; i < P; i++) {
            const int64_t at = p->positions[row / n_heads] * P + i;
            double       *low = want + row * stride + i, *high = low + P;
            const double  x = *low, y = *high;
            const double  c = lrc_cases_get(&p->cos_table, at),
                         s = direction * lrc_cases_get(&p->sin_table, at);
            *low = x * c - y * s;
            *high = y * c + x * s;
        }
    return want;
}

static void values(const struct problem *p, const char *what)
{
    const struct lrc_rope_forward_args  f = forward_args(p);
    const struct lrc_rope_backward_args b = backward_args(p);
    /* two products and a sum, each a rounding of a value of at most 2, then storage */
    const double eps = p->x.dtype == LRC_DTYPE_F32 ? LRC_CASES_EPS_F32 : LRC_CASES_EPS_BF16;
    const struct lrc_cases_tolerance tolerance = { eps, 4 * LRC_CASES_EPS_F32 };
    double                          *forward = oracle(p, 1), *backward = oracle(p, -1);
    LRC_CASES_RUN(p->backend, rope_forward, &f);
    lrc_cases_expect_near(p->backend, what, &p->storage, forward, tolerance);
    restart(p);
    LRC_CASES_RUN(p->backend, rope_backward, &b);
    lrc_cases_expect_near(p->backend, what, &p->storage, backward, tolerance);
    lrc_free(forward);
    lrc_free(backward);
}

struct loss {
    const struct problem *p;
    struct lrc_tensor     d_out;
    double               *x; /* of the oracle */
};

static double op_loss(void *context)
{
    const struct loss           *l = context;
    struct lrc_rope_forward_args f = forward_args(l->p);
    struct lrc_tensor            x = lrc_cases_copy(&l->p->start);
    double                       sum = 0;
    f.x.data = x.data;
    LRC_CASES_RUN(l->p->backend, rope_forward, &f);
    for (int64_t i = 0; i < lrc_tensor_elems(&x); i++)
        sum += lrc_cases_get(&x, i) * lrc_cases_get(&l->d_out, i);
    lrc_cases_free(&x);
    return sum;
}

/* backward(d_out) is the gradient of sum(d_out * forward(x)). The op is linear: differences are exact up to
 * rounding, of two values of at most 2 with three roundings each, over the step: 12 * 2^-24 * 2^3. */
static void gradients(const struct lrc_backend *backend)
{
    struct problem                p = problem_new(backend, (struct sizes){ 3, 2, 7, 7, 3 }, LRC_DTYPE_F32);
    struct loss                   l = { .p = &p, .d_out = lrc_cases_tensor_3d(LRC_DTYPE_F32, 3, 2, 7, 6) };
    struct lrc_tensor             d_x = lrc_cases_copy(&l.d_out);
    struct lrc_rope_backward_args b = backward_args(&p);
    b.d_x = d_x;
    LRC_CASES_RUN(backend, rope_backward, &b);
    const struct lrc_cases_scalar scalar = { op_loss, &l, 0x1p-3, 6e-6 };
    lrc_cases_expect_op_gradient(backend, "rope d_x (op)", &d_x, &p.start, &scalar);
    lrc_cases_free(&d_x);
    lrc_cases_free(&l.d_out);
    problem_free(&p);
}

static void run_forward(void *context)
{
    const struct problem              *p = context;
    const struct lrc_rope_forward_args f = forward_args(p);
    restart(p);
    LRC_CASES_RUN(p->backend, rope_forward, &f);
}

static void bad_arguments(const struct lrc_backend *backend)
{
    struct problem p = problem_new(backend, (struct sizes){ 2, 3, 8, 8, 4 }, LRC_DTYPE_F32);
    const struct lrc_rope_forward_args  f = forward_args(&p);
    const struct lrc_rope_backward_args b = backward_args(&p);
    struct lrc_error                    err = { 0 };
    LRC_CASES_REFUSED(backend, rope_forward, f, LRC_STATUS_SHAPE, bad.n_pairs = 5, &err);
    cr_expect_str_eq(err.message, "rope_forward: n_pairs: want 0 to 4, got 5");
    LRC_CASES_REFUSED(backend, rope_forward, f, LRC_STATUS_SHAPE, bad.n_pairs = -1, &err);
    LRC_CASES_REFUSED(backend, rope_forward, f, LRC_STATUS_SHAPE, bad.n_positions = 0, &err);
    LRC_CASES_REFUSED(backend, rope_forward, f, LRC_STATUS_SHAPE, bad.cos_table = NULL, &err);
    LRC_CASES_REFUSED(backend, rope_forward, f, LRC_STATUS_SHAPE, bad.x.stride[1] = 7, &err);
    LRC_CASES_REFUSED(backend, rope_backward, b, LRC_STATUS_SHAPE, bad.sin_table = NULL, &err);
    LRC_CASES_REFUSED(backend, rope_backward, b, LRC_STATUS_SHAPE, bad.positions = NULL, &err);
    LRC_CASES_REFUSED(backend, rope_backward, b, LRC_STATUS_SHAPE, bad.d_x.n_dims = 2, &err);
    cr_expect_str_eq(err.message, "rope_backward: d_x: want (any, any, any), got (2, 3)");
    problem_free(&p);
}

void lrc_rope_cases(const struct lrc_backend *backend);
void lrc_rope_cases(const struct lrc_backend *backend)
{
    /* no rows; one pair; no pairs; partial rotation of strided odd heads; full heads; pairs beyond one block
     */
    static const struct sizes   sizes[] = { { 0, 2, 4, 4, 2 },      { 1, 1, 2, 2, 1 },
                                            { 2, 2, 4, 4, 0 },      { 5, 3, 41, 50, 9 },
                                            { 4, 2, 128, 128, 64 }, { 2, 1, 1100, 1203, 523 } };
    static const enum lrc_dtype dtypes[] = { LRC_DTYPE_F32, LRC_DTYPE_BF16 };
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        char           what[64];
        struct problem p = problem_new(backend, sizes[i / 2], dtypes[i % 2]);
        snprintf(what, sizeof what, "rope (%d, %d, %d) %s", (int)sizes[i / 2].n, (int)sizes[i / 2].n_heads,
                 (int)sizes[i / 2].head_dim, lrc_dtype_info[dtypes[i % 2]].name);
        values(&p, what);
        problem_free(&p);
    }
    gradients(backend);
    struct problem p = problem_new(backend, (struct sizes){ 67, 4, 128, 130, 64 }, LRC_DTYPE_BF16);
    lrc_cases_expect_repeatable(backend, "rope", run_forward, &p,
                                (const struct lrc_tensor *const[]){ &p.storage, NULL });
    problem_free(&p);
    bad_arguments(backend);
}

/* There and back again. */
static void run_in_place(void *context)
{
    const struct problem               *p = context;
    const struct lrc_rope_forward_args  f = forward_args(p);
    const struct lrc_rope_backward_args b = backward_args(p);
    LRC_CASES_RUN(p->backend, rope_forward, &f);
    LRC_CASES_RUN(p->backend, rope_backward, &b);
}

static void check_row(void *context, const char *name)
{
    values(context, name);
}

void lrc_rope_rows(const struct lrc_cases_walk *walk);
void lrc_rope_rows(const struct lrc_cases_walk *walk)
{
    const struct lrc_cases_step *s = &walk->step;
    const struct sizes         sizes = { s->n_tokens, s->n_heads, s->head_dim, s->head_dim, s->head_dim / 2 };
    struct problem             p = problem_new(walk->backend, sizes, s->activation);
    const struct lrc_cases_row row = { "queries", run_in_place, check_row, &p };
    walk->visit(&row);
    problem_free(&p);
}
