/* What the machine's matrix products reach on a training step's own shapes: what a step's speed is held
 * against. */
#ifndef LRC_CLI_YARDSTICK_H
#define LRC_CLI_YARDSTICK_H

#include "model/synthetic.h"

struct lrc_yardstick {
    double gflops;        /* of the products */
    double square;        /* of a 2048-cubed product */
    double copy_gb_per_s; /* read and written, buffers larger than the last cache */
};

/* oneDNN's best rate (weights plain or packed) for every distinct linear of the model, forward and backward,
 * and for the head with n_trained rows in chunks; their mean weighted by the step's FLOPs. Dimensions are cut
 * until a product's buffers fit 64 MB; all are freed before this returns.
 *
 * errors: NOMEM, DEVICE. */
enum lrc_status lrc_yardstick_measure(struct lrc_yardstick *yardstick, const struct lrc_model_shape *shape,
                                      int64_t n_tokens, int64_t n_trained, enum lrc_dtype dtype,
                                      struct lrc_error *err) LRC_MUST_CHECK;

#endif
