#include "backend.h"

#include "common/check.h"
#include "rope/rope_rotate.h"

#include <inttypes.h>
#include <stdio.h>

/* "rope_forward: x", "rope_backward: d_x", with the argument's name replaced for the others. */
static enum lrc_status check(const char *entry, const char *name, const struct lrc_rope_rotation *rotation,
                             struct lrc_error *err)
{
    char                     where[64];
    const struct lrc_tensor *x = rotation->x;
    snprintf(where, sizeof where, "%s: %s", entry, name);
    LRC_TRY(lrc_check_tensor(
        x, where, LRC_CHECK_3D(LRC_CHECK_ACTIVATION, LRC_CHECK_ANY, LRC_CHECK_ANY, LRC_CHECK_ANY), err));
    const int64_t n_pairs = rotation->n_pairs, max = x->shape[2] / 2;
    if (n_pairs < 0 || n_pairs > max)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: n_pairs: want 0 to %" PRId64 ", got %" PRId64, entry, max,
                        n_pairs);
    const int64_t n_rows = x->shape[0], n = n_rows * n_pairs;
    if (n > 0 && rotation->n_positions < 1)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: n_positions: want at least 1, got %" PRId64, entry,
                        rotation->n_positions);
    snprintf(where, sizeof where, "%s: cos_table", entry);
    LRC_TRY(lrc_check_array(rotation->cos_table, where, n, err));
    snprintf(where, sizeof where, "%s: sin_table", entry);
    LRC_TRY(lrc_check_array(rotation->sin_table, where, n, err));
    snprintf(where, sizeof where, "%s: positions", entry);
    return lrc_check_array(rotation->positions, where, n, err);
}

enum lrc_status lrc_rope_forward_check(const struct lrc_rope_forward_args *args, struct lrc_error *err)
{
    return check("rope_forward", "x", LRC_ROPE_ROTATION(args, x, 1.0f), err);
}

enum lrc_status lrc_rope_backward_check(const struct lrc_rope_backward_args *args, struct lrc_error *err)
{
    return check("rope_backward", "d_x", LRC_ROPE_ROTATION(args, d_x, -1.0f), err);
}
