/* Argument checks of the ops: one sentence per mistake, "rmsnorm_forward: weight: want (256), got (128)". */
#ifndef LRC_KERNELS_COMMON_CHECK_H
#define LRC_KERNELS_COMMON_CHECK_H

#include "tensor/tensor.h"

enum lrc_check_dtypes {
    LRC_CHECK_F32 = 1,
    LRC_CHECK_BF16 = 2,
    LRC_CHECK_F16 = 4,
    LRC_CHECK_ACTIVATION = LRC_CHECK_F32 | LRC_CHECK_BF16,
    LRC_CHECK_FLOAT = LRC_CHECK_ACTIVATION | LRC_CHECK_F16
};

enum { LRC_CHECK_ANY = -1 }; /* an extent of any size >= 0 */

struct lrc_check_want {
    enum lrc_check_dtypes dtypes;
    int                   n_dims;
    int64_t               shape[LRC_DIMS_MAX];
};

/* Dtype, dimensions, extents; the last dimension contiguous, outer strides without overlap; data where there
 * are elements. `where` is "<entry>: <argument>". */
enum lrc_status lrc_check_tensor(const struct lrc_tensor *tensor, const char *where,
                                 const struct lrc_check_want *want, struct lrc_error *err);
/* Contiguous as a whole. */
enum lrc_status lrc_check_contiguous(const struct lrc_tensor *tensor, const char *where,
                                     struct lrc_error *err);
/* An array of n elements: not NULL unless n is 0. */
enum lrc_status lrc_check_array(const void *array, const char *where, int64_t n, struct lrc_error *err);

/* The common shapes, as expressions. */
#define LRC_CHECK_1D(dtypes, n0)         (&(const struct lrc_check_want){ (dtypes), 1, { (n0) } })
#define LRC_CHECK_2D(dtypes, n0, n1)     (&(const struct lrc_check_want){ (dtypes), 2, { (n0), (n1) } })
#define LRC_CHECK_3D(dtypes, n0, n1, n2) (&(const struct lrc_check_want){ (dtypes), 3, { (n0), (n1), (n2) } })

#endif
