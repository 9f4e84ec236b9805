/* What every <op>_cases.c needs: filled tensors with guard bands, comparisons in which NaN fails, finite differences. */
#ifndef LRC_KERNELS_COMMON_CASES_H
#define LRC_KERNELS_COMMON_CASES_H

#include "backend.h"

#include <criterion/criterion.h>
#include <math.h>

/* Deterministic values in [-1, 1), a function of (seed, i). */
float lrc_cases_value(uint64_t seed, int64_t i);

/* A contiguous tensor on the heap with LRC_CASES_GUARD guard elements before and after. fill: seed for lrc_cases_value(), or
 * LRC_CASES_POISON to fill with NaN (outputs written with =), or LRC_CASES_ZERO. */
enum { LRC_CASES_GUARD = 64 };
#define LRC_CASES_POISON UINT64_MAX
#define LRC_CASES_ZERO (UINT64_MAX - 1)
struct lrc_tensor lrc_cases_tensor(enum lrc_dtype dtype, int n_dims, const int64_t *shape, uint64_t fill);
/* Fails the test when a guard element was written; frees. */
void lrc_cases_free(struct lrc_tensor *tensor);

double lrc_cases_get(const struct lrc_tensor *tensor, int64_t i); /* element i in row-major order of a contiguous tensor */
void   lrc_cases_set(struct lrc_tensor *tensor, int64_t i, double value);

/* |got - want| <= tolerance elementwise; NaN fails. Names backend, what and the worst element. */
void lrc_cases_expect_close(const struct lrc_backend *backend, const char *what, const struct lrc_tensor *got, const double *want,
                            double tolerance);

/* 2^-24 and 2^-9: the relative error of one rounding to float32 and to bf16. */
#define LRC_CASES_EPS_F32 0x1p-24
#define LRC_CASES_EPS_BF16 0x1p-9

#endif
