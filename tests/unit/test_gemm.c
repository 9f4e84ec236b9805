#include "base/alloc.h"
#include "common/gemm.h"

#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

enum { PAD = 3 }; /* elements between rows: NaN in a and b, kept in c */

/* A stored matrix of rows x cols in [-1, 1), a function of seed. */
struct matrix {
    unsigned char *data;
    enum lrc_dtype dtype;
    int64_t        rows, cols;
};

static double value(uint64_t seed, int64_t i)
{
    const uint64_t mixed = (seed * 0x9E3779B97F4A7C15u + (uint64_t)i + 1) * 0xD1342543DE82EF95u;
    return (double)(mixed >> 40) * 0x1p-23 - 1.0;
}

static void matrix_set(const struct matrix *m, int64_t i, float x)
{
    lrc_dtype_from_f32(m->data + (size_t)i * lrc_dtype_bytes(m->dtype), m->dtype, &x, 1);
}

static double matrix_get(const struct matrix *m, int64_t r, int64_t c)
{
    float x;
    lrc_dtype_to_f32(&x, m->data + (size_t)(r * (m->cols + PAD) + c) * lrc_dtype_bytes(m->dtype), m->dtype,
                     1);
    return (double)x;
}

static struct matrix matrix_new(enum lrc_dtype dtype, int64_t rows, int64_t cols, uint64_t seed)
{
    const int64_t stride = cols + PAD;
    struct matrix m = { lrc_calloc(rows * stride + 1, lrc_dtype_bytes(dtype)), dtype, rows, cols };
    cr_assert(m.data);
    for (int64_t i = 0; i < rows * stride; i++)
        matrix_set(&m, i, i % stride < cols ? (float)value(seed, i) : NAN);
    return m;
}

struct product {
    int64_t            m, n, k;
    int                a_transposed, b_transposed;
    enum lrc_dtype     dtype, c_dtype;
    enum lrc_gemm_mode mode;
};

static struct lrc_gemm gemm_of(const struct product *p, const struct matrix *a, const struct matrix *b,
                               const struct matrix *c)
{
    return (struct lrc_gemm){ .m = p->m,
                              .n = p->n,
                              .k = p->k,
                              .a = { a->data, a->cols + PAD, p->a_transposed },
                              .b = { b->data, b->cols + PAD, p->b_transposed },
                              .c = c->data,
                              .c_stride = c->cols + PAD,
                              .dtype = p->dtype,
                              .c_dtype = p->c_dtype,
                              .mode = p->mode };
}

static void expect_element(const struct product *p, const struct matrix *a, const struct matrix *b,
                           const struct matrix *c, const int64_t at[2], double before)
{
    double want = p->mode == LRC_GEMM_ADD ? before : 0;
    for (int64_t k = 0; k < p->k; k++)
        want += (p->a_transposed ? matrix_get(a, k, at[0]) : matrix_get(a, at[0], k)) *
                (p->b_transposed ? matrix_get(b, at[1], k) : matrix_get(b, k, at[1]));
    /* a float32 sum of k products below 1, and one rounding of the result */
    const double bound = (double)(p->k + 2) * 0x1p-24 * (double)(p->k + 1) +
                         (p->c_dtype == LRC_DTYPE_BF16 ? 0x1p-8 * fabs(want) : 0);
    const double got = matrix_get(c, at[0], at[1]);
    cr_expect(fabs(got - want) <= bound,
              "%lldx%lldx%lld %s->%s transposed %d %d mode %d: element %lld,%lld: want %g, got %g",
              (long long)p->m, (long long)p->n, (long long)p->k, lrc_dtype_info[p->dtype].name,
              lrc_dtype_info[p->c_dtype].name, p->a_transposed, p->b_transposed, (int)p->mode,
              (long long)at[0], (long long)at[1], want, got);
}

static void expect_product(const struct product *p)
{
    const struct matrix a =
        p->a_transposed ? matrix_new(p->dtype, p->k, p->m, 1) : matrix_new(p->dtype, p->m, p->k, 1);
    const struct matrix b =
        p->b_transposed ? matrix_new(p->dtype, p->n, p->k, 2) : matrix_new(p->dtype, p->k, p->n, 2);
    const struct matrix before = matrix_new(p->c_dtype, p->m, p->n, 3),
                        c = matrix_new(p->c_dtype, p->m, p->n, 3);
    const struct matrix again = matrix_new(p->c_dtype, p->m, p->n, 3);
    struct lrc_error    err = { 0 };
    struct lrc_gemm     gemm = gemm_of(p, &a, &b, &c);
    cr_expect(lrc_gemm_run(&gemm, &err) == LRC_STATUS_OK, "%s", err.message);
    gemm.c = again.data;
    cr_expect(lrc_gemm_run(&gemm, &err) == LRC_STATUS_OK, "%s", err.message);
    cr_expect(memcmp(c.data, again.data, (size_t)(p->m * (p->n + PAD)) * lrc_dtype_bytes(p->c_dtype)) == 0,
              "not the same bits twice");
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j++)
            expect_element(p, &a, &b, &c, (int64_t[]){ i, j }, matrix_get(&before, i, j));
        for (int64_t j = p->n; j < p->n + PAD; j++)
            cr_expect(isnan(matrix_get(&c, i, j)), "written between the rows of c");
    }
    lrc_free(a.data);
    lrc_free(b.data);
    lrc_free(before.data);
    lrc_free(c.data);
    lrc_free(again.data);
}

static void expect_products(int64_t m, int64_t n, int64_t k)
{
    static const struct {
        enum lrc_dtype     dtype, c_dtype;
        enum lrc_gemm_mode mode;
    } kinds[] = { { LRC_DTYPE_F32, LRC_DTYPE_F32, LRC_GEMM_SET },
                  { LRC_DTYPE_F32, LRC_DTYPE_F32, LRC_GEMM_ADD },
                  { LRC_DTYPE_BF16, LRC_DTYPE_F32, LRC_GEMM_SET },
                  { LRC_DTYPE_BF16, LRC_DTYPE_F32, LRC_GEMM_ADD },
                  { LRC_DTYPE_BF16, LRC_DTYPE_BF16, LRC_GEMM_SET } };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int t = 0; t < 4; t++)
            expect_product(
                &(struct product){ m, n, k, t & 1, t >> 1, kinds[i].dtype, kinds[i].c_dtype, kinds[i].mode });
}

static void expect_all(void)
{
    expect_products(1, 1, 1);
    expect_products(1, 70, 33);
    expect_products(70, 1, 33);
    expect_products(17, 65, 16);
    expect_products(130, 33, 70);
}

Test(gemm, equals_the_sum_of_products)
{
    expect_all();
    lrc_gemm_release();
    expect_products(5, 6, 7); /* a released cache starts again */
    lrc_gemm_release();
}

/* Without native bf16 the operands are widened, panel by panel. */
Test(gemm, widens_bf16_where_the_cpu_has_none)
{
    cr_assert(setenv("LRC_CPU_ISA", "avx2", 1) == 0);
    expect_all();
    expect_product(&(struct product){ 300, 270, 40, 0, 1, LRC_DTYPE_BF16, LRC_DTYPE_BF16, LRC_GEMM_SET });
    expect_product(&(struct product){ 7, 5, 4100, 1, 0, LRC_DTYPE_BF16, LRC_DTYPE_F32, LRC_GEMM_ADD });
    lrc_gemm_release();
}

Test(gemm, keeps_working_when_the_cache_is_full)
{
    for (int64_t m = 1; m <= 520; m++) {
        float           a = 2, b = 3, c[520];
        struct lrc_gemm gemm = { .m = 1,
                                 .n = 1,
                                 .k = 1,
                                 .a = { &a, m, 0 },
                                 .b = { &b, 1, 0 },
                                 .c = c,
                                 .c_stride = 1,
                                 .dtype = LRC_DTYPE_F32,
                                 .c_dtype = LRC_DTYPE_F32,
                                 .mode = LRC_GEMM_SET };
        cr_assert(lrc_gemm_run(&gemm, NULL) == LRC_STATUS_OK);
        cr_expect(c[0] == 6);
    }
    lrc_gemm_release();
}

static void *multiply_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20; i++)
        expect_product(&(struct product){ 20 + i, 30, 40, 0, 0, LRC_DTYPE_F32, LRC_DTYPE_F32, LRC_GEMM_SET });
    return NULL;
}

Test(gemm, may_be_called_from_several_threads)
{
    pthread_t thread;
    cr_assert(pthread_create(&thread, NULL, multiply_often, NULL) == 0);
    multiply_often(NULL);
    pthread_join(thread, NULL);
    lrc_gemm_release();
}

Test(gemm, refuses_what_it_cannot_multiply)
{
    float                 x[64] = { 0 };
    const struct lrc_gemm good = { .m = 4,
                                   .n = 4,
                                   .k = 4,
                                   .a = { x, 4, 0 },
                                   .b = { x, 4, 0 },
                                   .c = x + 32,
                                   .c_stride = 4,
                                   .dtype = LRC_DTYPE_F32,
                                   .c_dtype = LRC_DTYPE_F32,
                                   .mode = LRC_GEMM_SET };
    struct lrc_gemm       bad[6];
    for (int i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].k = 0;
    bad[1].a.stride = 3;
    bad[2].c_stride = 3;
    bad[3].dtype = LRC_DTYPE_F16;
    bad[4].c_dtype = LRC_DTYPE_BF16;
    bad[5].b.data = NULL;
    for (int i = 0; i < 6; i++) {
        struct lrc_error err = { 0 };
        cr_expect(lrc_gemm_run(&bad[i], &err) == LRC_STATUS_SHAPE, "case %d", i);
        cr_expect(err.message[0] != '\0');
    }
    struct lrc_gemm empty = good;
    empty.m = 0;
    empty.a.data = NULL;
    cr_expect(lrc_gemm_run(&empty, NULL) == LRC_STATUS_OK);
    lrc_gemm_release();
}

Test(gemm, measures_a_peak)
{
    double           f32 = 0, bf16 = -1;
    struct lrc_error err = { 0 };
    cr_assert(lrc_gemm_peak(&f32, &bf16, &err) == LRC_STATUS_OK, "%s", err.message);
    cr_expect(f32 > 0.1);
    cr_expect(bf16 >= 0);
    lrc_gemm_release();
}
