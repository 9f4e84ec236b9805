#include "cli/bench_compare.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const same_keys[] = { "mode", "shape", "batch", "seq", "rank", "targets", "ckpt" };

static const struct {
    const char *object, *key, *title;
    double      scale;
} figures[] = {
    { "tokens_per_s", "median", "tokens/s", 1.0 },
    { "memory", "process_bytes", "process GB", 1e-9 },
    { "memory", "peak_allocated_bytes", "arenas GB", 1e-9 },
    { "loss", "first", "first loss", 1.0 },
    { "loss", "last", "last loss", 1.0 },
    { "grad_norm", "a", "gradient norm A", 1.0 },
    { "grad_norm", "b", "gradient norm B", 1.0 },
};

static int is_same_run(const json_t *a, const json_t *b)
{
    for (size_t i = 0; i < sizeof same_keys / sizeof same_keys[0]; i++) {
        const json_t *x = json_object_get(a, same_keys[i]), *y = json_object_get(b, same_keys[i]);
        const int     same = json_is_number(x) && json_is_number(y)
                                 ? !(json_number_value(x) < json_number_value(y)) &&
                                   !(json_number_value(x) > json_number_value(y))
                                 : json_equal(x, y);
        if (!same)
            return 0;
    }
    return 1;
}

/* The last line of the same run; NULL when there is none. */
static enum lrc_status find(json_t **found, const json_t *now, const char *then, size_t n, const char *name,
                            struct lrc_error *err)
{
    *found = NULL;
    for (size_t at = 0, line = 1; at < n; line++) {
        const char  *end = memchr(then + at, '\n', n - at);
        const size_t length = end ? (size_t)(end - then) - at : n - at;
        json_t      *json = NULL;
        char         where[512];
        snprintf(where, sizeof where, "%s:%zu", name, line);
        if (length > 0) {
            const enum lrc_status status = lrc_json_parse(&json, then + at, length, where, err);
            if (status != LRC_STATUS_OK) {
                json_decref(*found);
                *found = NULL;
                return status;
            }
        }
        if (json && json_is_object(json) && is_same_run(json, now)) {
            json_decref(*found);
            *found = json;
        } else {
            json_decref(json);
        }
        at += length + 1;
    }
    return LRC_STATUS_OK;
}

static double number(const json_t *json, const char *object, const char *key)
{
    const json_t *value = json_object_get(json_object_get(json, object), key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void row(struct lrc_buf *out, const char *title, double then, double now)
{
    lrc_buf_printf(out, "%-28s %12.4g %12.4g ", title, then, now);
    if (isfinite(now / then))
        lrc_buf_printf(out, "%8.3f\n", now / then);
    else
        lrc_buf_puts(out, "       -\n");
}

static double gemm_rate(const json_t *json)
{
    return fmax(number(json, "gemm_tflops", "before"), number(json, "gemm_tflops", "after"));
}

static enum lrc_status write_rows(struct lrc_buf *out, const json_t *then, json_t *now, const char *name,
                                  struct lrc_error *err)
{
    const double then_rate = gemm_rate(then), now_rate = gemm_rate(now);
    const char  *op;
    json_t      *ms;
    if (!isfinite(number(then, "tokens_per_s", "median")) || !(then_rate > 0.0))
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: want 'tokens_per_s' with 'median' and 'gemm_tflops' with 'before' and 'after', "
                        "got a line without them",
                        name);
    lrc_buf_printf(out, "%-28s %12s %12s %8s\n", "", "then", "now", "ratio");
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        row(out, figures[i].title, figures[i].scale * number(then, figures[i].object, figures[i].key),
            figures[i].scale * number(now, figures[i].object, figures[i].key));
    row(out, "products, TFLOP/s", then_rate, now_rate);
    json_object_foreach(json_object_get(now, "op_ms"), op, ms)
    {
        char title[64];
        snprintf(title, sizeof title, "%s, ms", op);
        row(out, title, number(then, "op_ms", op), json_number_value(ms));
    }
    if (fabs(now_rate / then_rate - 1.0) > 0.03)
        lrc_buf_printf(out, "the machine's product rate moved by %+.1f %%: compare shares of it, not times\n",
                       100.0 * (now_rate / then_rate - 1.0));
    return LRC_STATUS_OK;
}

enum lrc_status lrc_bench_compare(struct lrc_buf *out, const char *now, const char *then, size_t n_then,
                                  const char *name, struct lrc_error *err)
{
    json_t *own = NULL, *earlier = NULL;
    LRC_TRY(lrc_json_parse(&own, now, strlen(now), "bench", err));
    enum lrc_status status = find(&earlier, own, then, n_then, name, err);
    if (status == LRC_STATUS_OK && !earlier)
        status = lrc_fail(err, LRC_STATUS_FORMAT,
                          "%s: want a line of `lorica bench --json` with the same mode, shape, batch, seq, "
                          "rank, targets and ckpt, got none",
                          name);
    if (status == LRC_STATUS_OK)
        status = write_rows(out, earlier, own, name, err);
    json_decref(earlier);
    json_decref(own);
    return status;
}
