/* What every <op>_cases.c needs: filled tensors with guard bands, comparisons in which NaN fails, finite
 * differences. */
#ifndef LRC_KERNELS_COMMON_CASES_H
#define LRC_KERNELS_COMMON_CASES_H

#include "backend.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

/* Deterministic values in [-1, 1), a function of (seed, i). */
float lrc_cases_value(uint64_t seed, int64_t i);

/* A contiguous tensor on the heap with LRC_CASES_GUARD guard elements before and after. fill: seed (below
 * 2^63) for lrc_cases_value(), or LRC_CASES_POISON to fill with NaN (outputs written with =), or
 * LRC_CASES_ZERO. Guards are NaN too: an op that reads one shows it. */
enum { LRC_CASES_GUARD = 64 };
#define LRC_CASES_POISON UINT64_MAX
#define LRC_CASES_ZERO   (UINT64_MAX - 1)
struct lrc_tensor lrc_cases_tensor(enum lrc_dtype dtype, int n_dims, const int64_t *shape, uint64_t fill);
struct lrc_tensor lrc_cases_tensor_1d(enum lrc_dtype dtype, int64_t n0, uint64_t fill);
struct lrc_tensor lrc_cases_tensor_2d(enum lrc_dtype dtype, int64_t n0, int64_t n1, uint64_t fill);
struct lrc_tensor lrc_cases_tensor_3d(enum lrc_dtype dtype, int64_t n0, int64_t n1, int64_t n2,
                                      uint64_t fill);
struct lrc_tensor lrc_cases_copy(const struct lrc_tensor *contiguous); /* same values, guards of its own */
/* Fails the test when a guard element was written; frees, and sets data to NULL. NULL data is fine. */
void lrc_cases_free(struct lrc_tensor *tensor);

/* Element i in row-major order of a contiguous tensor. */
double lrc_cases_get(const struct lrc_tensor *tensor, int64_t i);
void   lrc_cases_set(struct lrc_tensor *tensor, int64_t i, double value);

/* n doubles, zero; the elements of a contiguous tensor as doubles. Never NULL; release with lrc_free(). */
double *lrc_cases_doubles(int64_t n);
double *lrc_cases_to_doubles(const struct lrc_tensor *tensor);

/* |got - want| <= tolerance elementwise; NaN fails. Names backend, what and the worst element. */
void lrc_cases_expect_close(const struct lrc_backend *backend, const char *what, const struct lrc_tensor *got,
                            const double *want, double tolerance);
/* |got - want| <= relative * |want| + absolute, for results whose only large error is their own rounding. */
struct lrc_cases_tolerance {
    double relative;
    double absolute;
};
void lrc_cases_expect_near(const struct lrc_backend *backend, const char *what, const struct lrc_tensor *got,
                           const double *want, struct lrc_cases_tolerance tolerance);
/* Roundings that are independent of each other, each at most so large: a sum of them passes 6 times the root
 * of the sum of their squares with a probability below 2 e^-18 (Hoeffding 1963), so that is what an element
 * may be off by, besides its own rounding when it is stored. And so is sum(got * want) / sum(want^2) from 1:
 * a factor on everything shows there, where a bound of one element is too wide for it. */
struct lrc_cases_noise {
    const double *squares;  /* of the roundings that reach element i, summed; NULL: none */
    double        along;    /* the same of sum_i error_i want_i */
    double        absolute; /* what else an element may be off by */
};
void lrc_cases_expect_noise(const struct lrc_backend *backend, const char *what, const struct lrc_tensor *got,
                            const double *want, const struct lrc_cases_noise *noise);
/* Equal to the bit, NaN payloads included. */
void lrc_cases_expect_same(const struct lrc_backend *backend, const char *what, const struct lrc_tensor *got,
                           const struct lrc_tensor *want);
/* The op's status; a surprise shows the error's message. A refusal must also have left a message. */
void lrc_cases_expect_status(const struct lrc_backend *backend, const char *what, enum lrc_status got,
                             enum lrc_status want, const struct lrc_error *err);

/* A scalar function of what `context` points at, for finite differences. */
struct lrc_cases_scalar {
    double (*value)(void *context);
    void  *context;
    double step;
    double tolerance; /* truncation f''' step^2 / 6 plus rounding of value() / step, stated by the caller */
};
/* |got[i] - (value(x_i + step) - value(x_i - step)) / (2 step)| <= tolerance for every i; NaN fails. x is
 * what value() reads: doubles of an oracle, or a tensor of the op (then the step actually taken, after
 * rounding to the dtype, divides). */
void lrc_cases_expect_gradient(const struct lrc_backend *backend, const char *what,
                               const struct lrc_tensor *got, double *x,
                               const struct lrc_cases_scalar *scalar);
void lrc_cases_expect_op_gradient(const struct lrc_backend *backend, const char *what,
                                  const struct lrc_tensor *got, struct lrc_tensor *x,
                                  const struct lrc_cases_scalar *scalar);

/* Number of threads of every op from here on; 0: the machine's. */
void lrc_cases_threads(int n_threads);

/* run(context), which also puts back what the op changes in place, gives the same bits with one thread, two
 * threads, and two threads again. outputs: NULL-terminated. */
void lrc_cases_expect_repeatable(const struct lrc_backend *backend, const char *what,
                                 void (*run)(void *context), void              *context,
                                 const struct lrc_tensor *const *outputs);

/* Runs lrc_<entry>(); fails the test unless it succeeds. */
#define LRC_CASES_RUN(backend, entry, args)                                                                  \
    do {                                                                                                     \
        struct lrc_error err_ = { 0 };                                                                       \
        lrc_cases_expect_status(backend, #entry, lrc_##entry(backend, NULL, args, &err_), LRC_STATUS_OK,     \
                                &err_);                                                                      \
    } while (0)

/* Runs lrc_<entry>() on a copy of `good` named bad after `change`; fails the test unless it is refused with
 * `want`. */
#define LRC_CASES_REFUSED(backend, entry, good, want, change, err)                                           \
    do {                                                                                                     \
        struct lrc_##entry##_args bad = good;                                                                \
        change;                                                                                              \
        lrc_cases_expect_status(backend, #entry ": " #change, lrc_##entry(backend, NULL, &bad, err), want,   \
                                err);                                                                        \
    } while (0)

/* Rows: what a training step asks of an op. Each <op>_cases.c has a function lrc_<op>_rows() that makes the
 * problems of a step one after another and hands each to the walk: the tests check it against the op's
 * oracle, with the sizes of lrc_cases_step_small, and tests/bench/bench_ops.c times it with a model's. */
struct lrc_cases_step {
    int64_t        n_docs, n_tokens; /* of all documents, each as long as the next */
    int64_t        hidden, intermediate, n_heads, n_kv_heads, head_dim, vocab, rank;
    int64_t        n_params; /* of all adapters */
    enum lrc_dtype activation, weight;
    int            is_4bit; /* the blocks' linears, of `weight` before */
};
extern const struct lrc_cases_step lrc_cases_step_small;

struct lrc_cases_row {
    const char *name;                               /* "tokens x hidden" */
    void (*run)(void *context);                     /* every entry of the op that it is for, once */
    void (*check)(void *context, const char *name); /* run, and compare */
    void *context;
};
struct lrc_cases_walk {
    const struct lrc_backend *backend;
    struct lrc_cases_step     step;
    void (*visit)(const struct lrc_cases_row *row);
};
void lrc_cases_check_row(const struct lrc_cases_row *row); /* what the tests visit with */

/* 2^-24 and 2^-8: the relative error of one rounding to float32 (24 significant bits) and to bf16 (8). */
#define LRC_CASES_EPS_F32  0x1p-24
#define LRC_CASES_EPS_BF16 0x1p-8

#endif
