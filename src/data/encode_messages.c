/* A conversation to tokens and what of them is trained. */
#include "data/talk.h"

#include "base/alloc.h"
#include <string.h>

enum lrc_status lrc_talk__render(struct lrc_buf *text, struct lrc_buf *generation,
                                 const struct lrc_talk *talk, const json_t *messages, enum lrc_prompt prompt,
                                 struct lrc_error *err)
{
    const struct lrc_tokenizer     *tokenizer = talk->context->tokenizer;
    const struct lrc_template_input input = {
        .messages = messages,
        .tools = talk->tools,
        .bos_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_BOS),
        .eos_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_EOS),
        .pad_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_PAD),
        .unk_token = lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_UNK),
        .prompt = prompt,
    };
    lrc_buf_clear(text);
    LRC_TRY(lrc_template_render(talk->context->template, text, generation, &input, err));
    return lrc_buf_check(text, err);
}

static void add_piece(struct lrc_talk *talk, size_t end, enum lrc_trained trained)
{
    const struct lrc_piece piece = { end, trained };
    lrc_buf_append(&talk->pieces, &piece, sizeof piece);
}

static size_t pieces_end(const struct lrc_talk *talk)
{
    struct lrc_piece last = { 0, LRC_TRAINED_NO };
    if (talk->pieces.len > 0)
        memcpy(&last, talk->pieces.data + talk->pieces.len - sizeof last, sizeof last);
    return last.end;
}

static int is_assistant(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role && strcmp(role, "assistant") == 0;
}

static int is_trained_role(const json_t *message, const struct lrc_string_list *roles)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    if (!roles || roles->n == 0)
        return is_assistant(message);
    for (int i = 0; i < roles->n; i++)
        if (role && strcmp(lrc_role_of(roles->items[i]), role) == 0)
            return 1;
    return 0;
}

/* What the row says of a turn goes before what the run says of its role: true, false, or a weight, of which 0
 * leaves the turn out. */
static int is_trained(const json_t *message, const struct lrc_data_context *context)
{
    const char   *given = context->spec ? context->spec->message_field_training : NULL;
    const char   *names[] = { given ? given : "train", "training", "weight" };
    const json_t *said = NULL;
    for (int i = 0; i < (given ? 1 : 3) && !said; i++)
        said = json_object_get(message, names[i]);
    if (json_is_boolean(said))
        return json_is_true(said);
    if (json_is_number(said) && json_number_value(said) == 0)
        return 0;
    return is_trained_role(message, context->roles_to_train);
}

/* {% generation %} marks every answer; what the user says about turns goes before it. */
static int picks_turns(const struct lrc_talk *talk)
{
    if (talk->context->last_turn_only || talk->parts)
        return 1;
    for (size_t i = 0; i < json_array_size(talk->messages); i++) {
        const json_t *message = json_array_get(talk->messages, i);
        if (is_trained(message, talk->context) != is_assistant(message))
            return 1;
    }
    return 0;
}

/* The last turn that is trained; n messages when there is none. */
static size_t last_trained(const struct lrc_talk *talk)
{
    const size_t n = json_array_size(talk->messages);
    for (size_t i = n; i > 0; i--)
        if (is_trained(json_array_get(talk->messages, i - 1), talk->context))
            return i - 1;
    return n;
}

/* The parts of a turn's words, each trained as it says; what stands before and behind them is trained. */
static enum lrc_status add_parts(struct lrc_talk *talk, const json_t *parts, struct lrc_turn_span span,
                                 size_t turn, struct lrc_error *err)
{
    struct lrc_buf words = { 0 };
    LRC_TRY(lrc_talk__words(&words, json_array_get(talk->messages, turn), err));
    const char *found =
        memmem(talk->full.data + span.begin, span.end - span.begin, lrc_buf_text(&words), words.len);
    size_t at = found ? (size_t)(found - talk->full.data) : 0, n_left = words.len;
    lrc_buf_release(&words);
    if (found)
        add_piece(talk, at, LRC_TRAINED_YES);
    for (size_t i = 0; i < json_array_size(parts) && found; i++) {
        const json_t *part = json_array_get(parts, i);
        const size_t  n = (size_t)json_integer_value(json_array_get(part, 0));
        found = n <= n_left ? found : NULL; /* a call is no longer the text it was */
        at += n;
        n_left -= n;
        if (found)
            add_piece(talk, at, json_is_false(json_array_get(part, 1)) ? LRC_TRAINED_NO : LRC_TRAINED_YES);
    }
    return found ? LRC_STATUS_OK
                 : lrc_fail(err, LRC_STATUS_DATA,
                            "turn %zu: want its parts in the text as they are in the row, got other words",
                            turn);
}

static enum lrc_status add_span(struct lrc_talk *talk, struct lrc_turn_span span, size_t turn,
                                struct lrc_error *err)
{
    const json_t *parts = json_array_get(talk->parts, turn);
    if (span.begin < pieces_end(talk) || span.end < span.begin)
        return lrc_fail(
            err, LRC_STATUS_DATA,
            "the template cannot be split at turn %zu: want its text behind that of the turns before "
            "it, got it among them",
            turn);
    add_piece(talk, span.begin, LRC_TRAINED_NO);
    if (json_array_size(parts) > 0)
        LRC_TRY(add_parts(talk, parts, span, turn, err));
    add_piece(talk, span.end, LRC_TRAINED_YES);
    return LRC_STATUS_OK;
}

/* A template may write what came before otherwise once more turns follow (thoughts of earlier steps left
 * out): the text then holds no prompt for an earlier answer, and the answer is context only. The last one
 * must have its prompt. */
static enum lrc_status add_answer(struct lrc_talk *talk, json_t *head, size_t turn, size_t last,
                                  struct lrc_error *err)
{
    struct lrc_turn_span span;
    LRC_TRY(lrc_talk__find_answer(&span, talk, head, turn, err));
    if (span.end > 0)
        return add_span(talk, span, turn, err);
    return turn < last ? LRC_STATUS_OK : lrc_talk__fail_history(talk, turn, err);
}

static enum lrc_status add_turns(struct lrc_talk *talk, struct lrc_error *err)
{
    const size_t    last = last_trained(talk), first = talk->context->last_turn_only ? last : 0;
    json_t         *head = json_array();
    enum lrc_status status = head ? LRC_STATUS_OK : lrc_fail_nomem(err, "a conversation");
    for (size_t i = 0; i < json_array_size(talk->messages) && status == LRC_STATUS_OK; i++) {
        json_t   *message = json_array_get(talk->messages, i);
        const int trained = i >= first && is_trained(message, talk->context);
        if (trained && is_assistant(message)) {
            status = add_answer(talk, head, i, last, err);
            continue;
        }
        struct lrc_turn_span span;
        if (trained)
            status = lrc_talk__find_words(&span, talk, i, err);
        if (trained && status == LRC_STATUS_OK)
            status = add_span(talk, span, i, err);
        if (status == LRC_STATUS_OK && json_array_append(head, message) != 0)
            status = lrc_fail_nomem(err, "a conversation");
    }
    json_decref(head);
    return status;
}

/* generation: pairs of int64_t, ascending, from {% generation %} blocks. */
static void add_generation(struct lrc_talk *talk, const struct lrc_buf *generation)
{
    for (size_t at = 0; at + 2 * sizeof(int64_t) <= generation->len; at += 2 * sizeof(int64_t)) {
        int64_t span[2];
        memcpy(span, generation->data + at, sizeof span);
        add_piece(talk, (size_t)span[0], LRC_TRAINED_NO);
        add_piece(talk, (size_t)span[1], LRC_TRAINED_YES);
    }
}

/* A template may write no end behind a conversation that ends with an answer; the end of text is appended
 * then. */
static enum lrc_status end_last_turn(struct lrc_encoded *out, const struct lrc_data_context *context,
                                     struct lrc_error *err)
{
    const int32_t eos = lrc_tokenizer_role_id(context->tokenizer, LRC_TOKEN_EOS);
    const int64_t n = out->ids.len;
    if (eos >= 0 && n > 0 && !lrc_tokenizer_is_special(context->tokenizer, out->ids.data[n - 1]))
        lrc_encode_id(out, eos, LRC_TRAINED_YES);
    return lrc_encoded_check(out, err);
}

/* Is anything of what the messages say in the text? */
static enum lrc_status writes_words(int *writes, const struct lrc_talk *talk, struct lrc_error *err)
{
    struct lrc_buf words = { 0 };
    int            n_said = 0, n_written = 0;
    for (size_t i = 0; i < json_array_size(talk->messages); i++) {
        LRC_TRY(lrc_talk__words(&words, json_array_get(talk->messages, i), err));
        const int said = strspn(lrc_buf_text(&words), " \t\r\n") < words.len;
        n_said += said;
        n_written += said && lrc_talk__holds(lrc_buf_text(&talk->full), talk->full.len, &words);
    }
    lrc_buf_release(&words);
    *writes = n_written > 0 || n_said == 0;
    return LRC_STATUS_OK;
}

/* Texts as lists of one part: templates of models that see images may know no other form. NULL when out of
 * memory. */
static json_t *to_parts(const json_t *messages)
{
    json_t *copy = json_deep_copy(messages);
    int     failed = copy == NULL;
    for (size_t i = 0; i < json_array_size(copy); i++) {
        json_t *message = json_array_get(copy, i), *content = json_object_get(message, "content");
        if (json_is_string(content))
            failed |= json_object_set_new(message, "content",
                                          json_pack("[{s:s, s:O}]", "type", "text", "text", content)) != 0;
    }
    if (!failed)
        return copy;
    json_decref(copy);
    return NULL;
}

/* The whole conversation's text; *parts owns the messages when they had to be written as parts. */
static enum lrc_status render_full(struct lrc_talk *talk, json_t **parts, struct lrc_buf *generation,
                                   struct lrc_error *err)
{
    const json_t    *messages = talk->messages;
    struct lrc_error other;
    int              writes = 0;
    enum lrc_status  status = lrc_talk__render(&talk->full, generation, talk, messages, LRC_PROMPT_NONE, err);
    if (status == LRC_STATUS_OK)
        LRC_TRY(writes_words(&writes, talk, err));
    if (writes || (status != LRC_STATUS_OK && status != LRC_STATUS_DATA))
        return status;
    *parts = to_parts(messages);
    if (!*parts)
        return lrc_fail_nomem(err, "a conversation");
    lrc_buf_clear(generation);
    talk->messages = *parts;
    talk->by_parts = 1;
    if (lrc_talk__render(&talk->full, generation, talk, *parts, LRC_PROMPT_NONE, &other) == LRC_STATUS_OK)
        LRC_TRY(writes_words(&writes, talk, err));
    if (writes)
        return LRC_STATUS_OK;
    return status != LRC_STATUS_OK
               ? status
               : lrc_fail(err, LRC_STATUS_DATA,
                          "want a template that writes what the messages say, got one that "
                          "writes nothing of it");
}

enum lrc_status lrc_encode_messages(struct lrc_encoded *out, const struct lrc_data_context *context,
                                    const struct lrc_conversation *conversation, struct lrc_error *err)
{
    struct lrc_talk talk = { .context = context,
                             .messages = conversation->messages,
                             .tools = conversation->tools,
                             .parts = conversation->parts };
    struct lrc_buf  generation = { 0 };
    json_t         *parts = NULL;
    enum lrc_status status = render_full(&talk, &parts, &generation, err);
    const int       by_generation = generation.len > 0 && !picks_turns(&talk);
    if (status == LRC_STATUS_OK && !context->train_on_inputs && talk.full.len > 0) {
        if (by_generation)
            add_generation(&talk, &generation);
        else
            status = add_turns(&talk, err);
    }
    if (status != LRC_STATUS_OK || talk.full.len == 0)
        goto done;
    const int by_turns = !context->train_on_inputs && !by_generation;
    const int answer_is_last = by_turns && pieces_end(&talk) == talk.full.len;
    add_piece(&talk, talk.full.len, context->train_on_inputs ? LRC_TRAINED_YES : LRC_TRAINED_NO);
    status = lrc_buf_check(&talk.pieces, err);
    if (status == LRC_STATUS_OK) /* the template writes BOS itself */
        status = lrc_encode_pieces(out, context, &talk.full,
                                   (const struct lrc_piece *)(const void *)talk.pieces.data,
                                   (int64_t)(talk.pieces.len / sizeof(struct lrc_piece)), err);
    if (status == LRC_STATUS_OK && answer_is_last)
        status = end_last_turn(out, context, err);
done:
    json_decref(parts);
    lrc_buf_release(&generation);
    lrc_buf_release(&talk.full);
    lrc_buf_release(&talk.pieces);
    lrc_buf_release(&talk.before);
    lrc_buf_release(&talk.upto);
    return status;
}
