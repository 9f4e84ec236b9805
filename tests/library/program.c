/* A program of somebody else's: it knows lorica.h and nothing more.   program BASE CONFIG WORK */
#include <lorica.h>

#include <stdio.h>
#include <string.h>

static int n_problems, n_failed;

static void on_log(enum lrc_log_level level, const char *line)
{
    (void)line;
    n_problems += level == LRC_LOG_PROBLEM;
}

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)printf("%s:%d: want %s; last error: %s\n", __FILE__, __LINE__, #condition, err.message);   \
            n_failed++;                                                                                      \
        }                                                                                                    \
    } while (0)

static struct lrc_error err;

struct answer {
    char   text[1000];
    size_t n, n_max; /* n_max: enough */
};

static int on_text(void *context, const char *piece, size_t n)
{
    struct answer *answer = context;
    if (answer->n + n < sizeof answer->text)
        memcpy(answer->text + answer->n, piece, n);
    answer->n += n;
    return answer->n >= answer->n_max;
}

static void train(const char *config, const char *adapter)
{
    struct lrc_train_report        report;
    const struct lrc_train_options options = { .resume = 0 };
    char                           out[1000];
    const char *const              good[] = { out, "max_steps=3", "save_steps=3" };
    const char *const              bad[] = { "lora_rr=7", "learning_rate=fast" };
    (void)snprintf(out, sizeof out, "output_dir=%s", adapter);
    EXPECT(lrc_train_run(config, bad, 2, &options, &report, &err) == LRC_STATUS_CONFIG);
    EXPECT(n_problems == 2);
    EXPECT(strstr(err.message, "2 problems"));
    EXPECT(lrc_train_run(config, good, 3, &options, &report, &err) == LRC_STATUS_OK);
    EXPECT(report.n_steps_done == 3 && report.loss_first > 1.0 && report.planned_bytes > 0);
}

static void merge(const char *base, const char *adapter, const char *merged)
{
    struct lrc_merge_report        report;
    const struct lrc_merge_options options = { .base = base, .adapter = adapter, .out = merged };
    EXPECT(lrc_merge_run(&options, &report, &err) == LRC_STATUS_OK);
    EXPECT(report.n_changed > 0 && report.proof_max < 1.0);
    EXPECT(lrc_merge_run(&options, &report, &err) == LRC_STATUS_USAGE); /* it is there now */
}

/* The same answer from one session twice and piece by piece; another text for another prompt. */
static void write_text(const char *base, const char *adapter)
{
    const struct lrc_session_options options = { .model = base, .adapter = adapter, .load_in_4bit = 1 };
    const struct lrc_session_prompt  asked = { .text = "How do I return a chandelier?", .is_chat = 1 },
                                    other = { .text = "Do you sell gift cards?" };
    struct answer       one = { .n_max = 1000 }, two = one, three = { .n_max = 5 }, four = one;
    enum lrc_stop       stop = LRC_STOP_CALLER;
    struct lrc_session *session = NULL;
    EXPECT(lrc_session_open(&session, &options, &err) == LRC_STATUS_OK);
    if (!session)
        return;
    EXPECT(lrc_session_write(session, &asked, NULL, 20, on_text, &one, &stop, &err) == LRC_STATUS_OK);
    EXPECT(one.n > 0 && stop != LRC_STOP_CALLER);
    EXPECT(lrc_session_write(session, &asked, NULL, 20, on_text, &two, NULL, &err) == LRC_STATUS_OK);
    EXPECT(strcmp(one.text, two.text) == 0);
    EXPECT(lrc_session_write(session, &asked, NULL, 20, on_text, &three, &stop, &err) == LRC_STATUS_OK);
    EXPECT(stop == LRC_STOP_CALLER && three.n >= 5 && three.n < one.n);
    EXPECT(strncmp(one.text, three.text, three.n) == 0);
    EXPECT(lrc_session_write(session, &other, NULL, 20, on_text, &four, NULL, &err) == LRC_STATUS_OK);
    EXPECT(strcmp(one.text, four.text) != 0);
    EXPECT(lrc_session_write(session, &asked, NULL, 5000, on_text, &four, NULL, &err) == LRC_STATUS_DATA);
    lrc_session_free(session);
}

static void miss(const char *work)
{
    const struct lrc_session_options options = { .model = work };
    struct lrc_session              *session;
    EXPECT(lrc_session_open(&session, &options, &err) != LRC_STATUS_OK);
    EXPECT(!session && err.message[0] != '\0');
    lrc_session_free(session);
}

int main(int argc, char **argv)
{
    char adapter[900], merged[900];
    if (argc != 4)
        return 2;
    (void)snprintf(adapter, sizeof adapter, "%s/adapter", argv[3]);
    (void)snprintf(merged, sizeof merged, "%s/merged", argv[3]);
    lrc_log_set_sink(on_log);
    train(argv[2], adapter);
    merge(argv[1], adapter, merged);
    write_text(argv[1], adapter);
    miss(argv[3]);
    (void)printf("lorica %s as a library: %s\n", lrc_version(), n_failed ? "failed" : "fine");
    return n_failed > 0;
}
