/* A weight handle that an op may read: positive sizes without overflow, a known type, and the arrays its type
 * needs. */
#ifndef LRC_KERNELS_COMMON_CHECK_WEIGHT_H
#define LRC_KERNELS_COMMON_CHECK_WEIGHT_H

#include "tensor/tensor.h"

/* `where` is "<entry>: <argument>". errors: SHAPE. */
enum lrc_status lrc_check_weight(const struct lrc_weight *weight, const char *where,
                                 struct lrc_error *err) LRC_MUST_CHECK;

#endif
