/* lorica.h's session: a model, its tokenizer and an adapter, kept from one prompt to the next. */
#include "base/alloc.h"
#include "device.h"
#include "infer/generate.h"
#include "infer/prompt.h"
#include "infer/runner.h"
#include "infer/session.h"

#include <string.h>

enum { POSITIONS_DEFAULT = 4096 };

struct lrc_session {
    struct lrc_tokenizer *tokenizer;
    struct lrc_runner     runner;
    char                 *model_dir, *adapter_dir; /* adapter_dir NULL: no adapter */
};

static enum lrc_status load(struct lrc_session *session, const struct lrc_session_options *options,
                            struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_runner_options how = {
        .adapter_dir = options->adapter,
        .load_in_4bit = options->load_in_4bit,
        .n_positions = options->n_positions > 0 ? options->n_positions : POSITIONS_DEFAULT,
    };
    LRC_TRY(lrc_model_dir_check(options->model, err));
    LRC_TRY(lrc_device_choose(&how.backend, options->device ? options->device : "auto", "device", err));
    LRC_TRY(lrc_tokenizer_load(&session->tokenizer, options->model, err));
    LRC_TRY(lrc_runner_load(&session->runner, options->model, &how, problems, err));
    return lrc_prompt_check_ids(session->tokenizer, &session->runner.model.config, options->model, err);
}

enum lrc_status lrc_session__open(struct lrc_session **out, const struct lrc_session_options *options,
                                  struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_session *session = lrc_calloc(1, sizeof *session);
    *out = NULL;
    if (!session)
        return lrc_fail_nomem(err, options->model);
    session->model_dir = lrc_strdup(options->model);
    session->adapter_dir = options->adapter ? lrc_strdup(options->adapter) : NULL;
    enum lrc_status status = session->model_dir && (session->adapter_dir || !options->adapter)
                                 ? load(session, options, problems, err)
                                 : lrc_fail_nomem(err, options->model);
    if (status == LRC_STATUS_OK)
        *out = session;
    else
        lrc_session_free(session);
    return status;
}

void lrc_session_free(struct lrc_session *session)
{
    if (!session)
        return;
    lrc_runner_release(&session->runner);
    lrc_tokenizer_free(session->tokenizer);
    lrc_free(session->adapter_dir);
    lrc_free(session->model_dir);
    lrc_free(session);
}

/* The pieces on their way to the caller. */
struct writing {
    struct lrc_decode_stream decoder;
    struct lrc_buf           text;
    size_t                   n_told;
    lrc_on_text             *on_text;
    void                    *context;
};

static enum lrc_status tell(struct writing *writing)
{
    const size_t n = writing->text.len - writing->n_told;
    const char  *piece = lrc_buf_text(&writing->text) + writing->n_told;
    writing->n_told = writing->text.len;
    return n > 0 && writing->on_text(writing->context, piece, n) != 0 ? LRC_STATUS_INTERRUPTED
                                                                      : LRC_STATUS_OK;
}

static enum lrc_status on_token(void *context, int32_t token, struct lrc_error *err)
{
    struct writing *writing = context;
    LRC_TRY(lrc_decode_push(&writing->decoder, &writing->text, token, err));
    LRC_TRY(lrc_buf_check(&writing->text, err));
    return tell(writing);
}

static enum lrc_status generate(struct lrc_session *session, const struct lrc_ids *ids,
                                const struct lrc_generate_options *options, enum lrc_stop *stop,
                                struct writing *writing, struct lrc_error *err)
{
    struct lrc_runner *runner = &session->runner;
    LRC_TRY(lrc_generate(stop, &runner->model, runner->adapter, ids, options, err));
    if (*stop == LRC_STOP_CALLER)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_decode_finish(&writing->decoder, &writing->text, err));
    LRC_TRY(lrc_buf_check(&writing->text, err));
    if (tell(writing) == LRC_STATUS_INTERRUPTED)
        *stop = LRC_STOP_CALLER;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_session_write(struct lrc_session *session, const struct lrc_session_prompt *prompt,
                                  const struct lrc_sampling *sampling, int64_t n_new_max,
                                  lrc_on_text *on_text, void *context, enum lrc_stop *stop,
                                  struct lrc_error *err)
{
    int32_t                     end_ids[LRC_END_IDS_MAX + 1];
    int64_t                     n_configured = 0; /* the caller says how many */
    struct lrc_ids              ids = { 0 };
    enum lrc_stop               why = LRC_STOP_LENGTH;
    struct writing              writing = { .on_text = on_text, .context = context };
    struct lrc_generate_options options = {
        .backend = session->runner.backend,
        .activation = session->runner.activation,
        .max_new_tokens = n_new_max,
        .end_ids = end_ids,
        .n_end_ids = lrc_prompt_end_ids(end_ids, &session->runner.model.config, session->tokenizer),
        .on_token = on_token,
        .context = &writing,
    };
    LRC_TRY(
        lrc_sampling_default(&options.sampling, &n_configured, session->runner.model.dir.generation, err));
    if (sampling)
        options.sampling = *sampling;
    lrc_decode_init(&writing.decoder, session->tokenizer, LRC_SKIP_SPECIAL);
    enum lrc_status status =
        lrc_prompt_encode(&ids, prompt, session->tokenizer, session->model_dir, session->adapter_dir, err);
    if (status == LRC_STATUS_OK)
        status = generate(session, &ids, &options, &why, &writing, err);
    if (status == LRC_STATUS_OK && stop)
        *stop = why;
    lrc_decode_release(&writing.decoder);
    lrc_buf_release(&writing.text);
    lrc_ids_release(&ids);
    return status;
}
