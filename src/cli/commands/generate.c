#include "base/log.h"
#include "base/machine.h"
#include "cli/model_options.h"
#include "formats/model_dir.h"
#include "infer/generate.h"
#include "infer/prompt.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_NEW_TOKENS = 256, POSITIONS_PREPARED_MAX = 131072 };

/* What the command line says; below 0: nothing. */
struct asked {
    double  temperature, top_p;
    int64_t top_k, seed, new_tokens;
};

struct job {
    const struct lrc_cli    *cli;
    struct lrc_tokenizer    *tokenizer;
    struct lrc_runner        runner;
    struct lrc_ids           prompt;
    struct lrc_ids           new_ids;
    struct lrc_buf           text;
    struct lrc_decode_stream decoder;
    size_t                   n_printed;
    const char              *stop_text; /* --stop, or NULL */
    struct asked             asked;
    int                      streams;         /* print as it comes */
    double                   first_s, last_s; /* when the first and the last new token came */
};

static enum lrc_status encode_prompt(struct job *job, const char *model_dir, struct lrc_error *err)
{
    const struct lrc_session_prompt prompt = {
        .text = lrc_cli_option(job->cli, "prompt"),
        .is_chat = lrc_cli_has(job->cli, "chat"),
        .system = lrc_cli_option(job->cli, "system"),
        .chat_template = lrc_cli_option(job->cli, "chat-template"),
    };
    LRC_TRY(lrc_model_dir_check(model_dir, err));
    LRC_TRY(lrc_tokenizer_load(&job->tokenizer, model_dir, err));
    return lrc_prompt_encode(&job->prompt, &prompt, job->tokenizer, model_dir,
                             lrc_cli_option(job->cli, "adapter"), err);
}

static void print_new(struct job *job)
{
    if (!job->streams)
        return;
    lrc_cli_write(lrc_buf_text(&job->text) + job->n_printed, job->text.len - job->n_printed);
    (void)fflush(stdout);
    job->n_printed = job->text.len;
}

static enum lrc_status on_token(void *context, int32_t token, struct lrc_error *err)
{
    struct job *job = context;
    job->last_s = lrc_machine_seconds();
    if (job->new_ids.len == 0)
        job->first_s = job->last_s;
    lrc_ids_append(&job->new_ids, token);
    LRC_TRY(lrc_ids_check(&job->new_ids, err));
    LRC_TRY(lrc_decode_push(&job->decoder, &job->text, token, err));
    const char *end = job->stop_text ? strstr(lrc_buf_text(&job->text), job->stop_text) : NULL;
    if (end) {
        job->text.len = (size_t)(end - job->text.data);
        return LRC_STATUS_INTERRUPTED;
    }
    print_new(job);
    return LRC_STATUS_OK;
}

/* Before anything is loaded: a large model takes minutes. */
static enum lrc_status read_options(struct job *job, struct lrc_problems *problems, struct lrc_error *err)
{
    static const char *const of_chat[] = { "system", "chat-template" };
    const struct lrc_cli    *cli = job->cli;
    struct asked            *asked = &job->asked;
    *asked = (struct asked){ -1.0, -1.0, -1, -1, -1 };
    LRC_TRY(lrc_cli_note(problems, lrc_cli_number(cli, "temperature", &asked->temperature, 0.0, 100.0, err),
                         err));
    LRC_TRY(lrc_cli_note(problems, lrc_cli_number(cli, "top-p", &asked->top_p, 0.0, 1.0, err), err));
    LRC_TRY(lrc_cli_note(problems, lrc_cli_int(cli, "top-k", &asked->top_k, 0, INT32_MAX, err), err));
    LRC_TRY(lrc_cli_note(problems, lrc_cli_int(cli, "seed", &asked->seed, 0, INT64_MAX, err), err));
    LRC_TRY(lrc_cli_note(problems, lrc_cli_int(cli, "max-new-tokens", &asked->new_tokens, 1, INT32_MAX, err),
                         err));
    if (!lrc_cli_option(cli, "prompt"))
        lrc_problems_add(problems, "--prompt: want a text, got none");
    if (job->stop_text && !job->stop_text[0])
        lrc_problems_add(problems, "--stop: want a text, got an empty one");
    for (size_t i = 0; i < sizeof of_chat / sizeof of_chat[0]; i++)
        if (lrc_cli_has(cli, of_chat[i]) && !lrc_cli_has(cli, "chat"))
            lrc_problems_add(problems, "--%s: want --chat beside it, got none", of_chat[i]);
    return lrc_problems_fail(problems, LRC_STATUS_USAGE, "command line", err);
}

/* Prompt and answer share the model's positions. */
static enum lrc_status limit_new_tokens(int64_t *new_tokens, const struct job *job, struct lrc_error *err)
{
    const struct lrc_model *model = &job->runner.model;
    const int64_t           n_own = model->config.max_positions;
    const int64_t           n_positions = model->n_positions < n_own ? model->n_positions : n_own;
    const int64_t           room = n_positions - job->prompt.len;
    if (room < 1)
        return lrc_fail(err, LRC_STATUS_USAGE,
                        "prompt: want fewer tokens than the model's %lld positions, got %lld",
                        (long long)n_positions, (long long)job->prompt.len);
    if (job->asked.new_tokens > room)
        lrc_log_warn("--max-new-tokens: the model's %lld positions leave room for %lld after the prompt",
                     (long long)n_positions, (long long)room);
    *new_tokens = *new_tokens < room ? *new_tokens : room;
    return LRC_STATUS_OK;
}

/* Options first, then generation_config.json, then greedy. */
static enum lrc_status read_sampling(struct lrc_generate_options *options, const struct job *job,
                                     struct lrc_error *err)
{
    const struct asked *asked = &job->asked;
    options->max_new_tokens = DEFAULT_NEW_TOKENS;
    LRC_TRY(lrc_sampling_default(&options->sampling, &options->max_new_tokens,
                                 job->runner.model.dir.generation, err));
    if (asked->temperature >= 0.0)
        options->sampling.temperature = asked->temperature;
    if (asked->top_p >= 0.0)
        options->sampling.top_p = asked->top_p;
    if (asked->top_k >= 0)
        options->sampling.top_k = asked->top_k;
    if (asked->new_tokens > 0)
        options->max_new_tokens = asked->new_tokens;
    if (asked->seed >= 0)
        options->sampling.seed = (uint64_t)asked->seed;
    return limit_new_tokens(&options->max_new_tokens, job, err);
}

static void print_json(struct job *job, enum lrc_stop stop)
{
    static const char *const words[] = {
        [LRC_STOP_LENGTH] = "length", [LRC_STOP_EOS] = "eos", [LRC_STOP_CALLER] = "stop"
    };
    struct lrc_buf out = { 0 };
    lrc_buf_puts(&out, "{\"text\": ");
    lrc_json_append_string(&out, lrc_buf_text(&job->text), job->text.len);
    lrc_buf_puts(&out, ", \"ids\": [");
    for (int64_t i = 0; i < job->new_ids.len; i++)
        lrc_buf_printf(&out, "%s%d", i ? ", " : "", (int)job->new_ids.data[i]);
    lrc_buf_printf(&out, "], \"stop\": \"%s\"}\n", words[stop]);
    lrc_cli_write(lrc_buf_text(&out), out.len);
    lrc_buf_release(&out);
}

static void log_speed(const struct job *job, double started_s)
{
    const int64_t n = job->new_ids.len;
    if (n > 1)
        lrc_log_info("%lld tokens read and the first one made in %.2f s, then %.1f tokens/s",
                     (long long)job->prompt.len, job->first_s - started_s,
                     (double)(n - 1) / (job->last_s - job->first_s));
}

static enum lrc_status generate(struct job *job, const char *model_dir, struct lrc_problems *problems,
                                struct lrc_error *err)
{
    struct lrc_generate_options options = { .on_token = on_token, .context = job };
    int32_t                     end_ids[LRC_END_IDS_MAX + 1];
    enum lrc_stop               stop = LRC_STOP_LENGTH;

    LRC_TRY(lrc_cli_set_threads(job->cli, err));
    LRC_TRY(read_options(job, problems, err));
    LRC_TRY(encode_prompt(job, model_dir, err));
    const int64_t n_new = job->asked.new_tokens > 0 ? job->asked.new_tokens : DEFAULT_NEW_TOKENS * 16;
    int64_t       n_positions = job->prompt.len + n_new; /* to prepare; the model's own limit holds below */
    n_positions = n_positions < POSITIONS_PREPARED_MAX ? n_positions : POSITIONS_PREPARED_MAX;
    LRC_TRY(lrc_cli_load_model(&job->runner, job->cli, model_dir, n_positions, problems, err));
    LRC_TRY(lrc_prompt_check_ids(job->tokenizer, &job->runner.model.config, model_dir, err));
    LRC_TRY(read_sampling(&options, job, err));

    options.n_end_ids = lrc_prompt_end_ids(end_ids, &job->runner.model.config, job->tokenizer);
    options.end_ids = end_ids;
    options.backend = job->runner.backend;
    options.activation = job->runner.activation;

    lrc_decode_init(&job->decoder, job->tokenizer, LRC_SKIP_SPECIAL);
    const double started_s = lrc_machine_seconds();
    LRC_TRY(lrc_generate(&stop, &job->runner.model, job->runner.adapter, &job->prompt, &options, err));
    if (stop != LRC_STOP_CALLER)
        LRC_TRY(lrc_decode_finish(&job->decoder, &job->text, err));
    LRC_TRY(lrc_buf_check(&job->text, err));
    print_new(job);
    if (job->streams)
        lrc_cli_print("\n");
    else
        print_json(job, stop);
    (void)fflush(stdout); /* the end of the text before what is said about it */
    log_speed(job, started_s);
    return LRC_STATUS_OK;
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct job            job = { .cli = cli,
                                  .stop_text = lrc_cli_option(cli, "stop"),
                                  .streams = !lrc_cli_has(cli, "json") };
    const enum lrc_status status = generate(&job, cli->arguments[0], problems, err);
    if (status != LRC_STATUS_OK)
        lrc_cli_explain_memory(cli, &job.runner, "prompt and --max-new-tokens", err);
    lrc_decode_release(&job.decoder);
    lrc_buf_release(&job.text);
    lrc_ids_release(&job.new_ids);
    lrc_ids_release(&job.prompt);
    lrc_runner_release(&job.runner);
    lrc_tokenizer_free(job.tokenizer);
    return status;
}

static const struct lrc_option generate_options[] = {
    { "prompt", "TEXT", "what to go on from" },
    { "adapter", "DIR", "an adapter in PEFT's format" },
    { "chat", NULL, "the prompt is a user's turn: apply the chat template" },
    { "system", "TEXT", "with --chat: a system turn before it" },
    { "chat-template", "NAME|FILE", "with --chat: another template than the model's own" },
    { "max-new-tokens", "N", "at most so many new tokens; 256" },
    { "temperature", "T", "0 is greedy" },
    { "top-k", "K", "sample among the K likeliest tokens; 0 is off" },
    { "top-p", "P", "sample among the likeliest tokens that make up P; 1 is off" },
    { "stop", "TEXT", "end when this text comes up" },
    { NULL, NULL, NULL },
};

const struct lrc_command lrc_command_generate = {
    .name = "generate",
    .arguments = "MODEL",
    .summary = "text from a model, with or without an adapter, as it comes",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = generate_options,
    .common = LRC_COMMON_ALL,
    .run = run,
};
