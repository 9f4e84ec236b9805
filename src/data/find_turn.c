/* Where a turn stands in the conversation's text: by rendering the conversation cut short before and
 * after it. */
#include "data/talk.h"

#include "base/alloc.h"
#include <string.h>

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

/* text[*begin, *end) without the blanks at its ends. */
static void trim(const char *text, size_t *begin, size_t *end)
{
    while (*begin < *end && is_blank(text[*begin]))
        (*begin)++;
    while (*begin < *end && is_blank(text[*end - 1]))
        (*end)--;
}

enum lrc_status lrc_talk__words(struct lrc_buf *words, const json_t *message, struct lrc_error *err)
{
    const json_t *content = json_object_get(message, "content");
    lrc_buf_clear(words);
    if (json_is_string(content))
        lrc_buf_append(words, json_string_value(content), json_string_length(content));
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *text = json_object_get(json_array_get(content, i), "text");
        if (json_is_string(text))
            lrc_buf_append(words, json_string_value(text), json_string_length(text));
    }
    return lrc_buf_check(words, err);
}

/* The words in text[0, n), or of their last line; *n_found bytes, 0 when they are blank. NULL: not there. */
static const char *find_words(size_t *n_found, const char *text, size_t n, const struct lrc_buf *words)
{
    const char *w = lrc_buf_text(words);
    size_t      begin = 0, end = words->len;
    trim(w, &begin, &end);
    *n_found = end - begin;
    if (begin == end)
        return text;
    const char *found = find_last(text, n, w + begin, end - begin);
    if (found)
        return found;
    const char *line = memrchr(w + begin, '\n', end - begin);
    if (!line)
        return NULL;
    begin = (size_t)(line - w);
    trim(w, &begin, &end);
    *n_found = end - begin;
    return find_last(text, n, w + begin, end - begin);
}

int lrc_talk__holds(const char *text, size_t n, const struct lrc_buf *words)
{
    size_t n_found;
    return find_words(&n_found, text, n, words) != NULL;
}

/* The first function that the message calls and text[0, n) does not name; NULL when there is none. */
static const char *missing_call(const char *text, size_t n, const json_t *message)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i), *function = json_object_get(call, "function");
        const json_t *name = json_object_get(function ? function : call, "name");
        if (json_is_string(name) && !memmem(text, n, json_string_value(name), json_string_length(name)))
            return json_string_value(name);
    }
    return NULL;
}

static int has_calls(const json_t *message)
{
    return json_array_size(json_object_get(message, "tool_calls")) > 0;
}

/* The special token at full[at), blanks before it passed; 0 when something else stands there. */
static enum lrc_status special_at(size_t *end, const struct lrc_talk *talk, size_t at, struct lrc_error *err)
{
    enum { AHEAD_MAX = 200 }; /* longer than any special token */
    const struct lrc_tokenizer *tokenizer = talk->context->tokenizer;
    const char                 *text = talk->full.data + at, *stop = talk->full.data + talk->full.len;
    struct lrc_ids              ids = { 0 };
    *end = 0;
    while (text < stop && is_blank(*text))
        text++;
    size_t n = (size_t)(stop - text);
    if (n > AHEAD_MAX)
        for (n = AHEAD_MAX; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--;
    const enum lrc_status status = lrc_tokenizer_encode(tokenizer, &ids, text, n, LRC_SPECIAL_NONE, err);
    if (status == LRC_STATUS_OK && ids.len > 0 && lrc_tokenizer_is_special(tokenizer, ids.data[0])) {
        const char  *piece = lrc_tokenizer_piece(tokenizer, ids.data[0]);
        const size_t n_piece = strlen(piece);
        if (n_piece <= n && memcmp(text, piece, n_piece) == 0)
            *end = (size_t)(text - talk->full.data) + n_piece;
    }
    lrc_ids_release(&ids);
    return status;
}

/* Past the special token that ends the words at full[at), and those that stand right behind it before
 * stop (not
 * when stop is where two texts part: they may be the next turn's); 0 when there is none. What follows an
 * end of turn (a newline) is not trained: generation has stopped by then. */
static enum lrc_status end_of_words(size_t *end, const struct lrc_talk *talk, size_t at, size_t stop, int cut,
                                    struct lrc_error *err)
{
    LRC_TRY(special_at(end, talk, at, err));
    while (!cut && *end > 0 && *end < stop && !is_blank(talk->full.data[*end])) {
        size_t next;
        LRC_TRY(special_at(&next, talk, *end, err));
        if (next == 0 || next > stop)
            break;
        *end = next;
    }
    return LRC_STATUS_OK;
}

/* Past the last special token of full[begin, stop) that has only blanks behind it, 0 when there is none.
 * whole:
 * the text may go on behind it. */
static enum lrc_status last_special(size_t *end, const struct lrc_talk *talk, size_t begin, size_t stop,
                                    int whole, struct lrc_error *err)
{
    const struct lrc_tokenizer *tokenizer = talk->context->tokenizer;
    const char                 *text = talk->full.data + begin;
    struct lrc_ids              ids = { 0 };
    const enum lrc_status       status =
        lrc_tokenizer_encode(tokenizer, &ids, text, stop - begin, LRC_SPECIAL_NONE, err);
    int64_t i = status == LRC_STATUS_OK ? ids.len - 1 : -1;
    *end = 0;
    while (i >= 0 && !lrc_tokenizer_is_special(tokenizer, ids.data[i]))
        i--;
    const char *piece = i >= 0 ? lrc_tokenizer_piece(tokenizer, ids.data[i]) : NULL;
    const char *rest = piece ? find_last(text, stop - begin, piece, strlen(piece)) : NULL;
    lrc_ids_release(&ids);
    LRC_TRY(status);
    if (!rest)
        return LRC_STATUS_OK;
    rest += strlen(piece);
    size_t after = (size_t)(rest - talk->full.data), last = stop;
    trim(talk->full.data, &after, &last);
    if (after == last || whole)
        *end = (size_t)(rest - talk->full.data);
    return LRC_STATUS_OK;
}

/* Where the trained part of full[begin, stop) ends. Some templates leave the end of turn out behind the last
 * turn only, or give it to the next turn: then the token that follows counts. cut: stop is where two
 * texts part,
 * not a turn's end. */
static enum lrc_status turn_end(size_t *end, const struct lrc_talk *talk, const json_t *message, size_t begin,
                                size_t stop, int cut, struct lrc_error *err)
{
    struct lrc_buf words = { 0 };
    size_t         n_found = 0;
    *end = 0;
    enum lrc_status status = lrc_talk__words(&words, message, err);
    const char     *found = status == LRC_STATUS_OK && !has_calls(message)
                                ? find_words(&n_found, talk->full.data + begin, stop - begin, &words)
                                : NULL;
    lrc_buf_release(&words);
    if (found)
        status = end_of_words(end, talk, (size_t)(found - talk->full.data) + n_found, stop, cut, err);
    if (status == LRC_STATUS_OK && *end == 0)
        status = last_special(end, talk, begin, stop, cut, err);
    if (status != LRC_STATUS_OK || *end > 0 || cut)
        return status;
    LRC_TRY(special_at(end, talk, stop, err));
    *end = *end > 0 ? *end : stop;
    return LRC_STATUS_OK;
}

/* Does full[begin, end) hold what the turn says? Beside calls many templates leave the words out. */
static enum lrc_status holds_turn(int *holds, const struct lrc_talk *talk, const json_t *message,
                                  size_t begin, size_t end, struct lrc_error *err)
{
    struct lrc_buf words = { 0 };
    LRC_TRY(lrc_talk__words(&words, message, err));
    const char *text = talk->full.data + begin;
    *holds = begin <= end && (has_calls(message) ? missing_call(text, end - begin, message) == NULL
                                                 : lrc_talk__holds(text, end - begin, &words));
    lrc_buf_release(&words);
    return LRC_STATUS_OK;
}

/* A tool's result that the template writes inside the turn is not the assistant's. */
static enum lrc_status holds_others(int *holds, const struct lrc_talk *talk, size_t turn, size_t begin,
                                    size_t end, struct lrc_error *err)
{
    struct lrc_buf  words = { 0 };
    enum lrc_status status = LRC_STATUS_OK;
    *holds = 0;
    for (size_t i = turn + 1; i < json_array_size(talk->messages) && !*holds; i++) {
        status = lrc_talk__words(&words, json_array_get(talk->messages, i), err);
        if (status != LRC_STATUS_OK)
            break;
        size_t from = 0, to = words.len;
        trim(lrc_buf_text(&words), &from, &to);
        *holds =
            from < to && memmem(talk->full.data + begin, end - begin, words.data + from, to - from) != NULL;
    }
    lrc_buf_release(&words);
    return status;
}

/* The longest end of the turn's text, from where it parts from the full text, that stands in the full text at
 * begin or behind: what a template keeps of a turn when others follow (reasoning left out of earlier
 * turns). */
static struct lrc_turn_span find_kept(const struct lrc_talk *talk, size_t parts_at, size_t begin)
{
    const char *full = talk->full.data + begin, *found = NULL;
    size_t      low = parts_at, high = talk->upto.len;
    while (low < high) { /* an end of what is found is found, too */
        const size_t middle = low + (high - low) / 2, n = talk->upto.len - middle;
        const char  *at = memmem(full, talk->full.len - begin, talk->upto.data + middle, n);
        found = at ? at : found;
        if (at)
            high = middle;
        else
            low = middle + 1;
    }
    if (!found)
        return (struct lrc_turn_span){ 0, 0 };
    const size_t at = (size_t)(found - talk->full.data);
    return (struct lrc_turn_span){ at, at + (talk->upto.len - low) };
}

static json_t *text_parts(const char *text)
{
    return json_pack("[{s:s, s:s}]", "type", "text", "text", text);
}

/* The conversation with other words in one turn. ownership: json_decref(); NULL when out of memory. */
static json_t *replace_content(const struct lrc_talk *talk, size_t turn, const char *content)
{
    json_t *copy = json_copy((json_t *)talk->messages);
    json_t *message = copy ? json_copy(json_array_get(copy, turn)) : NULL;
    json_t *words = talk->by_parts ? text_parts(content) : json_string(content);
    if (message && words && json_object_set_new(message, "content", words) == 0 &&
        json_array_set(copy, turn, message) == 0) {
        json_decref(message);
        return copy;
    }
    json_decref(message);
    json_decref(copy);
    return NULL;
}

/* With a mark in place of the words, the whole text is what stands before the mark, the words, and what
 * stands behind it. The end-of-turn token that follows the words belongs to them. */
static enum lrc_status find_by_mark(struct lrc_turn_span *span, struct lrc_talk *talk, size_t turn,
                                    struct lrc_error *err)
{
    static const char mark[] = "\xee\x80\x80"
                               "turn"
                               "\xee\x80\x80"; /* U+E000, private use */
    const size_t      n_mark = sizeof mark - 1;
    *span = (struct lrc_turn_span){ 0, 0 };
    if (!json_object_get(json_array_get(talk->messages, turn), "content"))
        return LRC_STATUS_OK;
    json_t *marked = replace_content(talk, turn, mark);
    if (!marked)
        return lrc_fail_nomem(err, "a conversation");
    const enum lrc_status status = lrc_talk__render(&talk->upto, NULL, talk, marked, LRC_PROMPT_NONE, err);
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
    const size_t end = talk->full.len - n_tail;
    span->begin = n_head;
    LRC_TRY(end_of_words(&span->end, talk, end, talk->full.len, 1, err));
    span->end = span->end > 0 ? span->end : end;
    return LRC_STATUS_OK;
}

/* Two texts may part inside a token ("<think>", "<tool_call>"): where it starts. */
static size_t start_of_word(const struct lrc_talk *talk, size_t at)
{
    while (at > 0 && !is_blank(talk->full.data[at - 1]) && talk->full.data[at - 1] != '>' &&
           talk->full.data[at - 1] != ']')
        at--;
    return at;
}

static enum lrc_status cannot_split(size_t turn, const char *what, size_t at, struct lrc_error *err)
{
    return lrc_fail(err, LRC_STATUS_DATA,
                    "the template cannot be split at turn %zu: want the text %s the turn to open the whole "
                    "conversation's text, got a difference at byte %zu",
                    turn, what, at);
}

/* Where an answer begins whose prompt goes on otherwise ("<think>") than the conversation does: at its
 * words, or
 * where the two part. */
static enum lrc_status begin_without_prompt(size_t *begin, const struct lrc_talk *talk, const json_t *message,
                                            size_t parts_at, size_t stop, struct lrc_error *err)
{
    struct lrc_buf words = { 0 };
    size_t         n_found;
    LRC_TRY(lrc_talk__words(&words, message, err));
    const char *found = find_words(&n_found, talk->full.data + parts_at, stop - parts_at, &words);
    *begin = found && n_found > 0 ? (size_t)(found - talk->full.data) : parts_at;
    lrc_buf_release(&words);
    return LRC_STATUS_OK;
}

/* talk->upto against the full text, from begin on. */
static enum lrc_status find_region(struct lrc_turn_span *region, int *cut, struct lrc_talk *talk, size_t turn,
                                   size_t begin, struct lrc_error *err)
{
    const json_t *message = json_array_get(talk->messages, turn);
    const size_t  parts_at = common_prefix(&talk->upto, &talk->full);
    int           holds;
    *region = (struct lrc_turn_span){ begin, parts_at };
    *cut = parts_at < talk->upto.len;
    LRC_TRY(holds_turn(&holds, talk, message, begin, parts_at, err));
    if (holds && !*cut)
        return LRC_STATUS_OK;
    if (holds) { /* the turn is there, what ends it differs */
        size_t end;
        LRC_TRY(turn_end(&end, talk, message, begin, parts_at, 1, err));
        if (end > begin)
            return LRC_STATUS_OK;
    }
    *cut = 0;
    const struct lrc_turn_span kept = find_kept(talk, parts_at, begin);
    LRC_TRY(holds_turn(&holds, talk, message, kept.begin, kept.end, err));
    if (kept.end == 0 || !holds) {
        *region = (struct lrc_turn_span){ 0, 0 };
        return LRC_STATUS_OK;
    }
    LRC_TRY(holds_others(&holds, talk, turn, begin, kept.begin, err));
    *region = holds ? (struct lrc_turn_span){ 0, 0 } : (struct lrc_turn_span){ begin, kept.end };
    return LRC_STATUS_OK;
}

/* No region: by a mark, which shows the words alone and so does for a turn without calls. */
static enum lrc_status find_marked_answer(struct lrc_turn_span *span, struct lrc_talk *talk, size_t turn,
                                          size_t begin, int opens, size_t parts_at, struct lrc_error *err)
{
    int holds = 0;
    if (!has_calls(json_array_get(talk->messages, turn)))
        LRC_TRY(find_by_mark(span, talk, turn, err));
    if (span->end > 0 && opens && begin <= span->begin)
        LRC_TRY(holds_others(&holds, talk, turn, begin, span->begin, err));
    if (span->end == 0 || span->end < span->begin || (opens && begin > span->end))
        return cannot_split(turn, "up to the end of", parts_at, err);
    if (opens && begin <= span->begin && !holds) /* what the template puts before the words is learned too */
        span->begin = begin;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_talk__find_answer(struct lrc_turn_span *span, struct lrc_talk *talk, json_t *head,
                                      size_t turn, struct lrc_error *err)
{
    json_t     *message = json_array_get(talk->messages, turn);
    const char *lost = missing_call(lrc_buf_text(&talk->full), talk->full.len, message);
    *span = (struct lrc_turn_span){ 0, 0 };
    if (lost)
        return lrc_fail(
            err, LRC_STATUS_DATA,
            "turn %zu: want a template that writes calls of tools, got one that leaves out the call of "
            "'%.60s'",
            turn, lost);
    LRC_TRY(lrc_talk__render(&talk->before, NULL, talk, head, LRC_PROMPT_GENERATION, err));
    size_t    begin = common_prefix(&talk->before, &talk->full);
    const int opens = begin == talk->before.len;
    if (!opens) { /* the prompt may go on otherwise than the answer does; what was said before may not */
        LRC_TRY(lrc_talk__render(&talk->upto, NULL, talk, head, LRC_PROMPT_NONE, err));
        if (common_prefix(&talk->upto, &talk->full) < talk->upto.len)
            return json_array_append(head, message) == 0 ? LRC_STATUS_OK
                                                         : lrc_fail_nomem(err, "a conversation");
    }
    if (json_array_append(head, message) != 0)
        return lrc_fail_nomem(err, "a conversation");
    LRC_TRY(lrc_talk__render(&talk->upto, NULL, talk, head, LRC_PROMPT_NONE, err));
    const size_t         parts_at = common_prefix(&talk->upto, &talk->full);
    struct lrc_turn_span region;
    int                  cut;
    begin = opens ? begin : start_of_word(talk, begin);
    LRC_TRY(find_region(&region, &cut, talk, turn, begin, err));
    if (region.end == 0)
        return find_marked_answer(span, talk, turn, begin, opens, parts_at, err);
    if (!opens)
        LRC_TRY(begin_without_prompt(&begin, talk, message, begin, region.end, err));
    span->begin = begin;
    return turn_end(&span->end, talk, message, begin, region.end, cut, err);
}

enum lrc_status lrc_talk__fail_history(const struct lrc_talk *talk, size_t turn, struct lrc_error *err)
{
    return cannot_split(turn, "before", common_prefix(&talk->upto, &talk->full), err);
}

enum lrc_status lrc_talk__find_words(struct lrc_turn_span *span, struct lrc_talk *talk, size_t turn,
                                     struct lrc_error *err)
{
    LRC_TRY(find_by_mark(span, talk, turn, err));
    if (span->end == 0 || span->end < span->begin)
        return lrc_fail(err, LRC_STATUS_DATA,
                        "the template cannot be split at turn %zu: want its words as they are in the "
                        "conversation's text, got none",
                        turn);
    return LRC_STATUS_OK;
}
