#include "data/data_format.h"

#include "base/alloc.h"
#include "data/encode.h"
#include <string.h>

/* A conversation on its way to tokens. */
struct talk {
    const struct lrc_data_context *context;
    const json_t                  *messages, *tools;
    struct lrc_buf                 full;         /* the whole conversation's text */
    struct lrc_buf                 pieces;       /* struct lrc_piece, one after another */
    struct lrc_buf before, upto; /* a turn's text borders: before its content, up to its end */
};

static enum lrc_status render(struct lrc_buf *text, struct lrc_buf *generation, const struct talk *talk,
                              const json_t *messages, enum lrc_prompt prompt, struct lrc_error *err)
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

static void add_piece(struct talk *talk, size_t end, enum lrc_trained trained)
{
    const struct lrc_piece piece = { end, trained };
    lrc_buf_append(&talk->pieces, &piece, sizeof piece);
}

static size_t pieces_end(const struct talk *talk)
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

static int is_trained(const json_t *message, const struct lrc_string_list *roles)
{
    const json_t *train = json_object_get(message, "train"), *weight = json_object_get(message, "weight");
    return is_trained_role(message, roles) && !json_is_false(train) &&
           !(json_is_number(weight) && json_number_value(weight) == 0);
}

/* {% generation %} marks every answer; what the user says about turns goes before it. */
static int picks_turns(const struct talk *talk)
{
    const struct lrc_string_list *roles = talk->context->roles_to_train;
    for (size_t i = 0; i < json_array_size(talk->messages); i++) {
        const json_t *message = json_array_get(talk->messages, i);
        if (is_trained(message, roles) != is_assistant(message))
            return 1;
    }
    return 0;
}

/* Bytes at which two texts part; the shorter length when one opens the other. */
static size_t common_prefix(const struct lrc_buf *a, const struct lrc_buf *b)
{
    size_t n = 0;
    while (n < a->len && n < b->len && a->data[n] == b->data[n])
        n++;
    return n;
}

static const char *find_last(const char *text, size_t n, const char *part, size_t n_part)
{
    for (size_t at = n_part > 0 && n_part <= n ? n - n_part + 1 : 0; at > 0; at--)
        if (memcmp(text + at - 1, part, n_part) == 0)
            return text + at - 1;
    return NULL;
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Past the blanks and the special token at full[at]; at itself when no special token is there. */
static enum lrc_status skip_turn_end(size_t *end, const struct talk *talk, size_t at, struct lrc_error *err)
{
    const struct lrc_tokenizer *tokenizer = talk->context->tokenizer;
    const char                 *text = talk->full.data + at, *stop = talk->full.data + talk->full.len;
    struct lrc_ids              ids = { 0 };
    *end = at;
    while (text < stop && is_blank(*text))
        text++;
    const enum lrc_status status =
        lrc_tokenizer_encode(tokenizer, &ids, text, (size_t)(stop - text), LRC_SPECIAL_NONE, err);
    if (status == LRC_STATUS_OK && ids.len > 0 && lrc_tokenizer_is_special(tokenizer, ids.data[0])) {
        const char  *piece = lrc_tokenizer_piece(tokenizer, ids.data[0]);
        const size_t n_piece = strlen(piece);
        if (n_piece <= (size_t)(stop - text) && memcmp(text, piece, n_piece) == 0)
            *end = (size_t)(text - talk->full.data) + n_piece;
    }
    lrc_ids_release(&ids);
    return status;
}

/* Where the trained part of full[begin, end) ends: behind its last special token when only blanks follow it,
 * so that the newline after an end of turn is not trained: generation has stopped by then. Some templates
 * leave the token out behind the last turn only; then the one that follows in the full text counts. */
static enum lrc_status find_turn_end(size_t *turn_end, const struct talk *talk, size_t begin, size_t end,
                                     struct lrc_error *err)
{
    const struct lrc_tokenizer *tokenizer = talk->context->tokenizer;
    const char                 *text = talk->full.data + begin, *stop = talk->full.data + end;
    struct lrc_ids              ids = { 0 };
    enum lrc_status status = lrc_tokenizer_encode(tokenizer, &ids, text, end - begin, LRC_SPECIAL_NONE, err);
    int64_t         i = status == LRC_STATUS_OK ? ids.len - 1 : -1;
    while (i >= 0 && !lrc_tokenizer_is_special(tokenizer, ids.data[i]))
        i--;
    const char *piece = i >= 0 ? lrc_tokenizer_piece(tokenizer, ids.data[i]) : NULL;
    const char *rest = piece ? find_last(text, end - begin, piece, strlen(piece)) : NULL;
    lrc_ids_release(&ids);
    LRC_TRY(status);
    rest = rest ? rest + strlen(piece) : text;
    const char *after = rest;
    while (after < stop && is_blank(*after))
        after++;
    if (after < stop || rest == text)
        return skip_turn_end(turn_end, talk, end, err);
    *turn_end = (size_t)(rest - talk->full.data);
    return LRC_STATUS_OK;
}

/* The conversation with other words in one turn. ownership: json_decref(); NULL when out of memory. */
static json_t *replace_content(const json_t *messages, size_t turn, const char *content)
{
    json_t *copy = json_copy((json_t *)messages);
    json_t *message = copy ? json_copy(json_array_get(copy, turn)) : NULL;
    if (message && json_object_set_new(message, "content", json_string(content)) == 0 &&
        json_array_set(copy, turn, message) == 0) {
        json_decref(message);
        return copy;
    }
    json_decref(message);
    json_decref(copy);
    return NULL;
}

/* A turn's own bytes in the full text. */
struct turn_span {
    size_t begin, end; /* end 0: not found */
};

/* The words of a turn that its template writes otherwise once others follow (reasoning left out of earlier
 * turns): with a mark in place of the words, the whole text is what stands before the mark, the words, and
 * what stands behind it. The end-of-turn token that follows the words belongs to them. */
static enum lrc_status find_by_mark(struct turn_span *span, struct talk *talk, size_t turn,
                                    struct lrc_error *err)
{
    static const char mark[] = "\xee\x80\x80" "turn" "\xee\x80\x80"; /* U+E000, private use */
    const size_t      n_mark = sizeof mark - 1;
    *span = (struct turn_span) { 0, 0 };
    if (!json_is_string(json_object_get(json_array_get(talk->messages, turn), "content")))
        return LRC_STATUS_OK;
    json_t *marked = replace_content(talk->messages, turn, mark);
    if (!marked)
        return lrc_fail_nomem(err, "a conversation");
    const enum lrc_status status = render(&talk->upto, NULL, talk, marked, LRC_PROMPT_NONE, err);
    json_decref(marked);
    LRC_TRY(status);
    const char *found = find_last(lrc_buf_text(&talk->upto), talk->upto.len, mark, n_mark);
    if (!found)
        return LRC_STATUS_OK;
    const char  *tail = found + n_mark;
    const size_t n_head = (size_t)(found - talk->upto.data), n_tail = talk->upto.len - n_head - n_mark;
    if (n_head + n_tail > talk->full.len || memcmp(talk->full.data, talk->upto.data, n_head) != 0 ||
        memcmp(talk->full.data + talk->full.len - n_tail, tail, n_tail) != 0)
        return LRC_STATUS_OK;
    span->begin = n_head;
    return skip_turn_end(&span->end, talk, talk->full.len - n_tail, err);
}

static enum lrc_status cannot_split(size_t turn, const char *what, size_t at, struct lrc_error *err)
{
    return lrc_fail(err, LRC_STATUS_DATA,
                    "the template cannot be split at turn %zu: want the text %s the turn to open the whole "
                    "conversation's text, got a difference at byte %zu",
                    turn, what, at);
}

/* The prompt for an answer may go on otherwise than the answer does ("<think>"); what was said before may
 * not. */
static enum lrc_status check_history(struct talk *talk, const json_t *head, size_t turn,
                                     struct lrc_error *err)
{
    LRC_TRY(render(&talk->upto, NULL, talk, head, LRC_PROMPT_NONE, err));
    const size_t at = common_prefix(&talk->upto, &talk->full);
    return at == talk->upto.len ? LRC_STATUS_OK : cannot_split(turn, "before", at, err);
}

/* Another role's turn: its words and the end of the turn. No prompt asks for them. */
static enum lrc_status add_words(struct talk *talk, size_t turn, struct lrc_error *err)
{
    struct turn_span span;
    LRC_TRY(find_by_mark(&span, talk, turn, err));
    if (span.end == 0 || span.begin < pieces_end(talk) || span.end < span.begin)
        return lrc_fail(err, LRC_STATUS_DATA,
                        "the template cannot be split at turn %zu: want its words as they are in the "
                        "conversation's text, "
                        "got none",
                        turn);
    add_piece(talk, span.begin, LRC_TRAINED_NO);
    add_piece(talk, span.end, LRC_TRAINED_YES);
    return LRC_STATUS_OK;
}

/* An answer. head: the messages before the turn; the turn is added to it. */
static enum lrc_status add_turn(struct talk *talk, json_t *head, size_t turn, struct lrc_error *err)
{
    json_t *message = json_array_get(talk->messages, turn);
    LRC_TRY(render(&talk->before, NULL, talk, head, LRC_PROMPT_GENERATION, err));
    const int        opens = common_prefix(&talk->before, &talk->full) == talk->before.len;
    struct turn_span span = { talk->before.len, 0 };
    if (!opens)
        LRC_TRY(check_history(talk, head, turn, err));
    if (json_array_append(head, message) != 0)
        return lrc_fail_nomem(err, "a conversation");
    LRC_TRY(render(&talk->upto, NULL, talk, head, LRC_PROMPT_NONE, err));
    const size_t at_upto = common_prefix(&talk->upto, &talk->full);
    if (opens && at_upto == talk->upto.len && at_upto >= span.begin) {
        LRC_TRY(find_turn_end(&span.end, talk, span.begin, talk->upto.len, err));
    } else {
        LRC_TRY(find_by_mark(&span, talk, turn, err));
        if (opens &&
            talk->before.len <= span.end) /* what the template puts before the words is learned too */
            span.begin = talk->before.len;
    }
    if (span.end == 0 || span.begin < pieces_end(talk) || span.end < span.begin)
        return cannot_split(turn, "up to the end of", at_upto, err);
    add_piece(talk, span.begin, LRC_TRAINED_NO);
    add_piece(talk, span.end, LRC_TRAINED_YES);
    return LRC_STATUS_OK;
}

static enum lrc_status add_turns(struct talk *talk, struct lrc_error *err)
{
    json_t *head = json_array();
    enum lrc_status status = head ? LRC_STATUS_OK : lrc_fail_nomem(err, "a conversation");
    for (size_t i = 0; i < json_array_size(talk->messages) && status == LRC_STATUS_OK; i++) {
        json_t *message = json_array_get(talk->messages, i);
        const int trained = is_trained(message, talk->context->roles_to_train);
        if (trained && is_assistant(message)) {
            status = add_turn(talk, head, i, err);
            continue;
        }
        if (trained)
            status = add_words(talk, i, err);
        if (status == LRC_STATUS_OK && json_array_append(head, message) != 0)
            status = lrc_fail_nomem(err, "a conversation");
    }
    json_decref(head);
    return status;
}

/* generation: pairs of int64_t, ascending, from {% generation %} blocks. */
static void add_generation(struct talk *talk, const struct lrc_buf *generation)
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

enum lrc_status lrc_encode_messages(struct lrc_encoded *out, const struct lrc_data_context *context,
                                    const json_t *messages, const json_t *tools, struct lrc_error *err)
{
    struct talk     talk = { .context = context, .messages = messages, .tools = tools };
    struct lrc_buf  generation = { 0 };
    enum lrc_status status = render(&talk.full, &generation, &talk, messages, LRC_PROMPT_NONE, err);
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
    lrc_buf_release(&generation);
    lrc_buf_release(&talk.full);
    lrc_buf_release(&talk.pieces);
    lrc_buf_release(&talk.before);
    lrc_buf_release(&talk.upto);
    return status;
}
