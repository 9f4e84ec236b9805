#include "common/cases.h"

#include "base/alloc.h"

struct problem {
    const struct lrc_backend *backend;
    struct lrc_weight         weight;
    struct lrc_tensor         table, out, d_out, d_weight;
    int32_t                  *tokens; /* the last row, and repetitions */
};

struct sizes {
    int64_t n_tokens, n_vocab, dim;
};

static struct problem problem_new(const struct lrc_backend *backend, struct sizes z,
                                  enum lrc_dtype weight_dtype, enum lrc_dtype dtype)
{
    struct problem p = { .backend = backend };
    p.table = lrc_cases_tensor_2d(weight_dtype, z.n_vocab, z.dim, 1);
    p.weight = (struct lrc_weight){
        .type = LRC_BLOCK_DENSE, .rows = z.n_vocab, .cols = z.dim, .dtype = weight_dtype, .data = p.table.data
    };
    p.out = lrc_cases_tensor_2d(dtype, z.n_tokens, z.dim, LRC_CASES_POISON);
    p.d_out = lrc_cases_tensor_2d(dtype, z.n_tokens, z.dim, 2);
    p.d_weight = lrc_cases_tensor_2d(LRC_DTYPE_F32, z.n_vocab, z.dim, 3);
    p.tokens = lrc_calloc(z.n_tokens, sizeof *p.tokens);
    cr_assert(p.tokens);
    for (int64_t t = 0; t < z.n_tokens; t++)
        p.tokens[t] = (int32_t)(t % 2 ? z.n_vocab - 1 : t * 3 % z.n_vocab);
    return p;
}

static void problem_free(struct problem *p)
{
    lrc_cases_free(&p->table);
    lrc_cases_free(&p->out);
    lrc_cases_free(&p->d_out);
    lrc_cases_free(&p->d_weight);
    lrc_free(p->tokens);
}

static struct lrc_embedding_forward_args forward_args(const struct problem *p)
{
    return (struct lrc_embedding_forward_args){ &p->weight, p->tokens, p->out };
}

static struct lrc_embedding_backward_args backward_args(const struct problem *p)
{
    return (struct lrc_embedding_backward_args){ p->d_out, p->tokens, p->d_weight };
}

static void values(const struct problem *p, const char *what)
{
    const struct lrc_embedding_forward_args  f = forward_args(p);
    const struct lrc_embedding_backward_args b = backward_args(p);
    const int64_t                            n = p->out.shape[0], dim = p->out.shape[1];
    double *want = lrc_cases_doubles(n * dim), *d_weight = lrc_cases_to_doubles(&p->d_weight);
    for (int64_t i = 0; i < n * dim; i++) {
        const int64_t at = p->tokens[i / dim] * dim + i % dim;
        want[i] = lrc_cases_get(&p->table, at);
        d_weight[at] += lrc_cases_get(&p->d_out, i);
    }
    LRC_CASES_RUN(p->backend, embedding_forward, &f);
    LRC_CASES_RUN(p->backend, embedding_backward, &b);
    /* exact unless bf16 is narrower than the weight: one rounding */
    const int is_exact = p->out.dtype == LRC_DTYPE_F32 || p->table.dtype == LRC_DTYPE_BF16;
    lrc_cases_expect_near(p->backend, what, &p->out, want,
                          (struct lrc_cases_tolerance){ is_exact ? 0 : LRC_CASES_EPS_BF16, 0 });
    /* n sums of at most n + 1 */
    lrc_cases_expect_close(p->backend, what, &p->d_weight, d_weight,
                           (double)(n * (n + 1)) * LRC_CASES_EPS_F32);
    lrc_free(want);
    lrc_free(d_weight);
}

/* Every half-precision pattern, NaN and subnormals too, widens to the bits of the scalar conversion. */
static void every_half(const struct lrc_backend *backend)
{
    struct problem    p = problem_new(backend, (struct sizes){ 1, 1, 65536 }, LRC_DTYPE_F16, LRC_DTYPE_F32);
    uint16_t         *half = p.table.data;
    struct lrc_tensor want = lrc_cases_copy(&p.out);
    for (int64_t i = 0; i < 65536; i++) {
        half[i] = (uint16_t)i;
        ((float *)want.data)[i] = lrc_f16_to_f32((uint16_t)i);
    }
    const struct lrc_embedding_forward_args f = forward_args(&p);
    LRC_CASES_RUN(backend, embedding_forward, &f);
    lrc_cases_expect_same(backend, "embedding: every half", &p.out, &want);
    lrc_cases_free(&want);
    problem_free(&p);
}

/* More tokens than a block of a device looks at in one go: occurrences lie in several of its rounds. */
static void many_tokens(const struct lrc_backend *backend)
{
    struct problem p = problem_new(backend, (struct sizes){ 1100, 37, 9 }, LRC_DTYPE_F32, LRC_DTYPE_F32);
    for (int64_t t = 0; t < 1100; t++) /* every 35th alike; one only late, one twice and far apart */
        p.tokens[t] = (int32_t)(t == 1051 ? 35 : t == 3 || t == 1099 ? 36 : t % 35);
    values(&p, "embedding of many tokens");
    problem_free(&p);
}

static double op_loss(void *context)
{
    const struct problem                   *p = context;
    const struct lrc_embedding_forward_args f = forward_args(p);
    double                                  loss = 0;
    LRC_CASES_RUN(p->backend, embedding_forward, &f);
    for (int64_t i = 0; i < lrc_tensor_elems(&p->out); i++)
        loss += lrc_cases_get(&p->out, i) * lrc_cases_get(&p->d_out, i);
    return loss;
}

/* Linear: the difference is exact up to the roundings of weight +- step, which the divisor knows, and of the
 * sum of d_out over at most five rows: 25 * 2^-24. */
static void gradients(const struct lrc_backend *backend)
{
    struct problem p = problem_new(backend, (struct sizes){ 5, 4, 3 }, LRC_DTYPE_F32, LRC_DTYPE_F32);
    for (int64_t i = 0; i < 12; i++)
        lrc_cases_set(&p.d_weight, i, 0);
    const struct lrc_embedding_backward_args b = backward_args(&p);
    LRC_CASES_RUN(backend, embedding_backward, &b);
    const struct lrc_cases_scalar scalar = { op_loss, &p, 0x1p-3, 1.5e-6 };
    lrc_cases_expect_op_gradient(backend, "embedding d_weight (op)", &p.d_weight, &p.table, &scalar);
    problem_free(&p);
}

static void run_both(void *context)
{
    struct problem                          *p = context;
    const struct lrc_embedding_forward_args  f = forward_args(p);
    const struct lrc_embedding_backward_args b = backward_args(p);
    for (int64_t i = 0; i < lrc_tensor_elems(&p->d_weight); i++)
        lrc_cases_set(&p->d_weight, i, 0.1);
    LRC_CASES_RUN(p->backend, embedding_forward, &f);
    LRC_CASES_RUN(p->backend, embedding_backward, &b);
}

static void bad_arguments(const struct lrc_backend *backend)
{
    struct problem p = problem_new(backend, (struct sizes){ 2, 5, 8 }, LRC_DTYPE_F32, LRC_DTYPE_F32);
    const struct lrc_embedding_forward_args  f = forward_args(&p);
    const struct lrc_embedding_backward_args b = backward_args(&p);
    struct lrc_error                         err = { 0 };
    struct lrc_weight blocks = p.weight, wide = p.weight, integers = p.weight, empty = p.weight,
                      apart = p.weight;
    blocks.type = LRC_BLOCK_NF4;
    wide.cols = 9;
    integers.dtype = LRC_DTYPE_I32;
    empty.data = NULL;
    apart.room = 1;
    LRC_CASES_REFUSED(backend, embedding_forward, f, LRC_STATUS_SHAPE, bad.weight = NULL, &err);
    LRC_CASES_REFUSED(backend, embedding_forward, f, LRC_STATUS_SHAPE, bad.weight = &blocks, &err);
    LRC_CASES_REFUSED(backend, embedding_forward, f, LRC_STATUS_SHAPE, bad.weight = &wide, &err);
    cr_expect_str_eq(err.message, "embedding_forward: out: want (any, 9), got (2, 8)");
    LRC_CASES_REFUSED(backend, embedding_forward, f, LRC_STATUS_SHAPE, bad.weight = &integers, &err);
    LRC_CASES_REFUSED(backend, embedding_forward, f, LRC_STATUS_SHAPE, bad.weight = &empty, &err);
    LRC_CASES_REFUSED(backend, embedding_forward, f, LRC_STATUS_SHAPE, bad.weight = &apart, &err);
    LRC_CASES_REFUSED(backend, embedding_forward, f, LRC_STATUS_SHAPE, bad.tokens = NULL, &err);
    LRC_CASES_REFUSED(backend, embedding_backward, b, LRC_STATUS_SHAPE, bad.tokens = NULL, &err);
    LRC_CASES_REFUSED(backend, embedding_backward, b, LRC_STATUS_SHAPE, bad.d_weight.shape[1] = 7, &err);
    LRC_CASES_REFUSED(backend, embedding_backward, b, LRC_STATUS_SHAPE, bad.d_weight.dtype = LRC_DTYPE_BF16,
                      &err);
    problem_free(&p);
}

void lrc_embedding_cases(const struct lrc_backend *backend);
void lrc_embedding_cases(const struct lrc_backend *backend)
{
    static const struct sizes   sizes[] = { { 0, 3, 4 }, { 1, 1, 1 }, { 7, 5, 67 }, { 3, 2, 1301 } };
    static const enum lrc_dtype dtypes[][2] = {
        { LRC_DTYPE_F32, LRC_DTYPE_F32 },  { LRC_DTYPE_BF16, LRC_DTYPE_BF16 },
        { LRC_DTYPE_F16, LRC_DTYPE_BF16 }, { LRC_DTYPE_F16, LRC_DTYPE_F32 },
        { LRC_DTYPE_F32, LRC_DTYPE_BF16 }, { LRC_DTYPE_BF16, LRC_DTYPE_F32 }
    };
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++) {
            char           what[64];
            struct problem p = problem_new(backend, sizes[s], dtypes[d][0], dtypes[d][1]);
            snprintf(what, sizeof what, "embedding %d of (%d, %d) %s to %s", (int)sizes[s].n_tokens,
                     (int)sizes[s].n_vocab, (int)sizes[s].dim, lrc_dtype_info[dtypes[d][0]].name,
                     lrc_dtype_info[dtypes[d][1]].name);
            values(&p, what);
            problem_free(&p);
        }
    every_half(backend);
    many_tokens(backend);
    gradients(backend);
    struct problem p = problem_new(backend, (struct sizes){ 130, 9, 301 }, LRC_DTYPE_F32, LRC_DTYPE_BF16);
    lrc_cases_expect_repeatable(backend, "embedding", run_both, &p,
                                (const struct lrc_tensor *const[]){ &p.out, &p.d_weight, NULL });
    problem_free(&p);
    bad_arguments(backend);
}

static void run_step(void *context)
{
    const struct problem                    *p = context;
    const struct lrc_embedding_forward_args  f = forward_args(p);
    const struct lrc_embedding_backward_args b = backward_args(p);
    LRC_CASES_RUN(p->backend, embedding_forward, &f);
    LRC_CASES_RUN(p->backend, embedding_backward, &b);
}

static void check_row(void *context, const char *name)
{
    values(context, name);
}

void lrc_embedding_rows(const struct lrc_cases_walk *walk);
void lrc_embedding_rows(const struct lrc_cases_walk *walk)
{
    const struct sizes sizes = { walk->step.n_tokens, walk->step.vocab, walk->step.hidden };
    struct problem     p = problem_new(walk->backend, sizes, walk->step.weight, walk->step.activation);
    const struct lrc_cases_row row = { "tokens x hidden", run_step, check_row, &p };
    walk->visit(&row);
    problem_free(&p);
}
