/* What the machine's matrix products reach on a training step's own shapes: what a step's speed is held
 * against. */
#ifndef LRC_CLI_YARDSTICK_H
#define LRC_CLI_YARDSTICK_H

#include "backend.h"
#include "cli/bench_settings.h"

struct lrc_yardstick {
    double gflops;        /* of the products */
    double square;        /* of a 2048-cubed product */
    double copy_gb_per_s; /* read and written, buffers larger than the last cache */
};

/* oneDNN's best rate (weights plain or packed) for every distinct linear of the model, forward and backward,
 * and for the head with all but a row's last token in chunks; their mean weighted by the step's FLOPs.
 * Dimensions are cut until a product's buffers fit 64 MB; all are freed before this returns. On a device the
 * square product alone, and no copy.
 *
 * errors: NOMEM, DEVICE. */
enum lrc_status lrc_yardstick_measure(struct lrc_yardstick *yardstick, const struct lrc_backend *backend,
                                      const struct lrc_bench_settings *settings,
                                      struct lrc_error                *err) LRC_MUST_CHECK;

#endif
