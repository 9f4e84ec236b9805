/* Forward and backward take the same arguments under two names; this is what they share. */
#ifndef LRC_ROPE_ROTATE_H
#define LRC_ROPE_ROTATE_H

#include "tensor/tensor.h"

struct lrc_rope_rotation {
    const struct lrc_tensor *x; /* (T, H, C), rotated in place */
    const float             *cos_table;
    const float             *sin_table;
    const int32_t           *positions;
    int64_t                  n_positions;
    int64_t                  n_pairs;
    float                    direction; /* factor of every sine: 1 forward, -1 backward */
};

#define LRC_ROPE_ROTATION(args, tensor, sign)                                                                \
    (&(const struct lrc_rope_rotation){ &(args)->tensor, (args)->cos_table, (args)->sin_table,               \
                                        (args)->positions, (args)->n_positions, (args)->n_pairs, (sign) })

#endif
