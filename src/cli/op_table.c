#include "cli/op_table.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

struct rate {
    double giga_per_s, fraction; /* FLOP against the products' rate, bytes against the copy's */
};

static struct rate rate_of(const struct lrc_op_time *time, const struct lrc_op_peaks *peaks)
{
    const double work = time->flops > 0.0 ? time->flops : time->bytes,
                 peak = time->flops > 0.0 ? peaks->gflops : peaks->copy_gb_per_s;
    const double rate = time->seconds > 0.0 ? work / time->seconds * 1e-9 : 0.0;
    return (struct rate){ rate, peak > 0.0 ? rate / peak : (double)NAN };
}

static double sum_seconds(const struct lrc_op_time *times, int n)
{
    double all = 0.0;
    for (int i = 0; i < n; i++)
        all += times[i].seconds;
    return all;
}

void lrc_op_table_text(struct lrc_buf *out, const struct lrc_op_time *times, int n, int64_t n_steps,
                       const struct lrc_op_peaks *peaks)
{
    const double all = sum_seconds(times, n);
    int          width = 28;
    for (int i = 0; i < n; i++)
        if ((int)strlen(times[i].name) > width)
            width = (int)strlen(times[i].name);
    lrc_buf_printf(out, "%-*s %10s %8s %8s %12s %8s\n", width, "op", "ms/step", "calls", "share", "rate",
                   "of peak");
    for (int i = 0; i < n; i++) {
        const struct lrc_op_time *time = &times[i];
        const struct rate         rate = rate_of(time, peaks);
        if (time->n_calls == 0)
            continue;
        lrc_buf_printf(out, "%-*s %10.3f %8lld %7.1f%% %7.1f %s", width, time->name,
                       time->seconds * 1e3 / (double)n_steps, (long long)(time->n_calls / n_steps),
                       100.0 * time->seconds / all, rate.giga_per_s, time->flops > 0.0 ? "GF/s" : "GB/s");
        if (isnan(rate.fraction)) /* a device's copy rate is not measured */
            lrc_buf_printf(out, " %8s\n", "-");
        else
            lrc_buf_printf(out, " %7.1f%%\n", 100.0 * rate.fraction);
    }
}

static void put(struct lrc_buf *out, const char *key, double value)
{
    lrc_buf_printf(out, ", \"%s\": ", key);
    lrc_json_append_number(out, value);
}

void lrc_op_table_json(struct lrc_buf *out, const struct lrc_op_time *times, int n, int64_t n_steps,
                       const struct lrc_op_peaks *peaks)
{
    const double all = sum_seconds(times, n), steps = (double)n_steps;
    const char  *comma = "";
    lrc_buf_putc(out, '[');
    for (int i = 0; i < n; i++) {
        const struct lrc_op_time *time = &times[i];
        const int                 is_flops = time->flops > 0.0;
        if (time->n_calls == 0)
            continue;
        lrc_buf_printf(out, "%s{\"name\": ", comma);
        lrc_json_append_string(out, time->name, strlen(time->name));
        put(out, "ms", time->seconds * 1e3 / steps);
        put(out, "calls", (double)time->n_calls / steps);
        put(out, "share", time->seconds / all);
        put(out, is_flops ? "flops" : "bytes", (is_flops ? time->flops : time->bytes) / steps);
        put(out, "rate_fraction", rate_of(time, peaks).fraction);
        lrc_buf_putc(out, '}');
        comma = ", ";
    }
    lrc_buf_putc(out, ']');
}
