/* lorica.h's session: a model, its tokenizer and an adapter, kept from one prompt to the next. */
#include "adapter/adapter.h"
#include "base/alloc.h"
#include "device.h"
#include "infer/generate.h"
#include "infer/prompt.h"
#include "infer/session.h"

#include <string.h>

enum { POSITIONS_DEFAULT = 4096 };

struct lrc_session {
    const struct lrc_backend *backend;
    enum lrc_dtype            activation;
    struct lrc_tokenizer     *tokenizer;
    struct lrc_model          model;
    struct lrc_adapter        adapter;
    char                     *model_dir, *adapter_dir; /* adapter_dir NULL: no adapter */
};

static enum lrc_status load(struct lrc_session *session, const struct lrc_session_options *options,
                            struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_model *model = &session->model;
    LRC_TRY(lrc_device_choose(&session->backend, options->device ? options->device : "auto", "device", err));
    LRC_TRY(lrc_tokenizer_load(&session->tokenizer, options->model, err));
    struct lrc_model_options how = {
        .device = session->backend,
        .load_in_4bit = options->load_in_4bit,
        .quant = { lrc_quant_type_find("nf4"), 64, 1 },
        .n_positions = options->n_positions > 0 ? options->n_positions : POSITIONS_DEFAULT,
        .plan_only = 1,
    };
    LRC_TRY(lrc_model_load(model, options->model, &how, problems, err));
    LRC_TRY(lrc_prompt_check_ids(session->tokenizer, &model->config, options->model, err));
    if (options->adapter) /* which may name its base */
        lrc_model_hash_start(model, LRC_HASH_KEEPS_PAGES);
    LRC_TRY(lrc_model_commit(model, &how, err));
    const int is_wide = model->config.dtype == LRC_DTYPE_F32 && !options->load_in_4bit;
    session->activation = !is_wide && lrc_device_has_bf16(session->backend) ? LRC_DTYPE_BF16 : LRC_DTYPE_F32;
    return options->adapter ? lrc_adapter_load(&session->adapter, model, options->adapter,
                                               LRC_ADAPTER_INFERENCE, problems, err)
                            : LRC_STATUS_OK;
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
    lrc_adapter_release(&session->adapter);
    lrc_model_release(&session->model);
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
    const struct lrc_adapter *adapter = session->adapter_dir ? &session->adapter : NULL;
    LRC_TRY(lrc_generate(stop, &session->model, adapter, ids, options, err));
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
        .backend = session->backend,
        .activation = session->activation,
        .max_new_tokens = n_new_max,
        .end_ids = end_ids,
        .n_end_ids = lrc_prompt_end_ids(end_ids, &session->model.config, session->tokenizer),
        .on_token = on_token,
        .context = &writing,
    };
    LRC_TRY(lrc_sampling_default(&options.sampling, &n_configured, session->model.dir.generation, err));
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
