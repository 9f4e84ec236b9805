#include "cli/progress.h"

#include "base/log.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 160, DURATION_MAX = 32 };
static const double REDRAW_SECONDS = 0.1, PLAIN_SECONDS = 10;

/* The program has one stderr, so one state. */
static struct {
    int     is_quiet, is_terminal, has_colour;
    int     is_running; /* since the first update */
    int     is_drawn;   /* a line without newline stands on the terminal */
    int64_t first_done;
    double  start_s, shown_s;
    char    line[LINE_MAX_BYTES], shown[LINE_MAX_BYTES];
} view;

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Control bytes but newline and tab become '?': messages quote foreign files. */
static void put_safe(const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        (void)fputc((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : c, stderr);
    }
}

static void clear_line(void)
{
    if (view.is_drawn)
        (void)fputs("\r\033[K", stderr);
    view.is_drawn = 0;
}

static void draw_line(void)
{
    (void)fprintf(stderr, "\r\033[K%s", view.line);
    (void)fflush(stderr);
    view.is_drawn = 1;
}

static void on_log(enum lrc_log_level level, const char *line)
{
    const int was_drawn = view.is_drawn;
    if (view.is_quiet && level == LRC_LOG_INFO)
        return;
    clear_line();
    if (level == LRC_LOG_WARN)
        (void)fputs(view.has_colour ? "\033[33mwarning:\033[0m " : "warning: ", stderr);
    put_safe(line);
    (void)fputc('\n', stderr);
    if (was_drawn)
        draw_line();
}

void lrc_progress_init(enum lrc_loudness loudness)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    const int   is_dumb = term && strcmp(term, "dumb") == 0;
    view.is_quiet = loudness == LRC_QUIET;
    view.is_terminal = isatty(STDERR_FILENO) && !is_dumb;
    view.has_colour = view.is_terminal && !(no_colour && *no_colour);
    lrc_log_set_sink(on_log);
}

/* "1:02:03", "4:05" */
static const char *write_duration(char text[DURATION_MAX], double seconds)
{
    if (!(seconds >= 0) || seconds > 1e9) {
        (void)snprintf(text, DURATION_MAX, "?");
        return text;
    }
    const long s = lround(seconds);
    if (s >= 3600)
        (void)snprintf(text, DURATION_MAX, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(text, DURATION_MAX, "%ld:%02ld", s / 60, s % 60);
    return text;
}

static void append(size_t *n, const char *text)
{
    const int written = snprintf(view.line + *n, sizeof view.line - *n, "%s", text);
    if (written > 0)
        *n = *n + (size_t)written < sizeof view.line ? *n + (size_t)written : sizeof view.line - 1;
}

/* "120/3000   4%  1532 tokens/s  loss 1.8231  12:04 left" */
static void compose(int64_t done, int64_t total, double tokens_per_second, double loss)
{
    char         part[64], duration[DURATION_MAX];
    size_t       n = 0;
    const double elapsed_s = now_s() - view.start_s, n_new = (double)(done - view.first_done);
    (void)snprintf(part, sizeof part, "%lld", (long long)done);
    append(&n, part);
    if (total > 0) {
        (void)snprintf(part, sizeof part, "/%lld %3.0f%%", (long long)total,
                       floor(100.0 * (double)done / (double)total));
        append(&n, part);
    }
    if (isfinite(tokens_per_second) && tokens_per_second > 0) {
        (void)snprintf(part, sizeof part, "  %.4g tokens/s",
                       tokens_per_second < 1000 ? tokens_per_second : round(tokens_per_second));
        if (tokens_per_second >= 1000)
            (void)snprintf(part, sizeof part, "  %.0f tokens/s", tokens_per_second);
        append(&n, part);
    }
    if (isfinite(loss)) {
        (void)snprintf(part, sizeof part, "  loss %.4f", loss);
        append(&n, part);
    }
    if (total > done && n_new > 0) {
        append(&n, "  ");
        append(&n, write_duration(duration, elapsed_s / n_new * (double)(total - done)));
        append(&n, " left");
    }
}

static void begin(int64_t done, double time_s)
{
    if (view.is_running)
        return;
    view.is_running = 1;
    view.first_done = done;
    view.start_s = time_s;
    view.shown_s = view.is_terminal ? 0 : time_s;
    view.shown[0] = '\0';
}

static void show(double time_s)
{
    if (time_s - view.shown_s < (view.is_terminal ? REDRAW_SECONDS : PLAIN_SECONDS))
        return;
    view.shown_s = time_s;
    memcpy(view.shown, view.line, sizeof view.shown);
    if (view.is_terminal)
        draw_line();
    else
        (void)fprintf(stderr, "%s\n", view.line);
}

void lrc_progress_update(int64_t done, int64_t total, double tokens_per_second, double loss)
{
    const double time_s = now_s();
    if (view.is_quiet)
        return;
    begin(done, time_s);
    compose(done, total, tokens_per_second, loss);
    show(time_s);
}

/* "120000 rows  41%  24130 rows/s  0:12 left" */
static void compose_rows(int64_t n_rows, uint64_t bytes, uint64_t bytes_all, double elapsed_s)
{
    char         part[64], duration[DURATION_MAX];
    size_t       n = 0;
    const double share = bytes_all > 0 ? (double)bytes / (double)bytes_all : 0;
    (void)snprintf(part, sizeof part, "%lld rows", (long long)n_rows);
    append(&n, part);
    if (bytes_all > 0) {
        (void)snprintf(part, sizeof part, " %3.0f%%", floor(100.0 * share));
        append(&n, part);
    }
    if (elapsed_s >= 1) {
        (void)snprintf(part, sizeof part, "  %.0f rows/s", (double)(n_rows - view.first_done) / elapsed_s);
        append(&n, part);
    }
    if (elapsed_s >= 1 && share > 0 && share < 1) {
        append(&n, "  ");
        append(&n, write_duration(duration, elapsed_s / share * (1 - share)));
        append(&n, " left");
    }
}

void lrc_progress_rows(int64_t n_rows, uint64_t bytes, uint64_t bytes_all)
{
    const double time_s = now_s();
    if (view.is_quiet)
        return;
    begin(0, time_s);
    compose_rows(n_rows, bytes, bytes_all, time_s - view.start_s);
    show(time_s);
}

void lrc_progress_end(void)
{
    if (!view.is_running)
        return;
    view.is_running = 0;
    clear_line();
    if (view.is_terminal || strcmp(view.line, view.shown) != 0)
        (void)fprintf(stderr, "%s\n", view.line);
}

void lrc_progress_error(const char *message)
{
    clear_line();
    (void)fputs(view.has_colour ? "\033[31mlorica:\033[0m " : "lorica: ", stderr);
    put_safe(message);
    (void)fputc('\n', stderr);
}

void lrc_progress_lines(const char *text)
{
    clear_line();
    put_safe(text);
}
