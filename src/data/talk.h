/* A conversation on its way to tokens: its text, and where in it a turn stands. Private to
 * encode_messages.c and find_turn.c. */
#ifndef LRC_DATA_TALK_H
#define LRC_DATA_TALK_H

#include "data/encode.h"

struct lrc_talk {
    const struct lrc_data_context *context;
    const json_t  *messages; /* as the template takes them: texts as strings, or as lists of parts */
    const json_t  *tools;
    const json_t  *parts; /* struct lrc_conversation */
    int            by_parts;
    struct lrc_buf full;   /* the whole conversation's text */
    struct lrc_buf pieces; /* struct lrc_piece, one after another */
    struct lrc_buf before; /* up to where a turn's answer begins: a generation prompt at the end */
    struct lrc_buf upto;   /* up to a turn's end */
};

/* A turn's own bytes in the full text. */
struct lrc_turn_span {
    size_t begin, end; /* end 0: not found */
};

enum lrc_status lrc_talk__render(struct lrc_buf *text, struct lrc_buf *generation,
                                 const struct lrc_talk *talk, const json_t *messages, enum lrc_prompt prompt,
                                 struct lrc_error *err) LRC_MUST_CHECK;

/* A message's words, of its parts one after another. ownership: lrc_buf_release(). */
enum lrc_status lrc_talk__words(struct lrc_buf *words, const json_t *message,
                                struct lrc_error *err) LRC_MUST_CHECK;
/* Does text[0, n) hold the words, or the last line of them (templates drop a thought before it)? Blank words
 * are held by any text. */
int lrc_talk__holds(const char *text, size_t n, const struct lrc_buf *words);

/* An answer, up to and with its end of turn. head: the messages before the turn; the turn is added to it.
 * A span with end 0: what is before the turn is written otherwise in the whole conversation, so that the text
 * holds no prompt for this answer.
 * errors: DATA when the answer is not found as it is. */
enum lrc_status lrc_talk__find_answer(struct lrc_turn_span *span, struct lrc_talk *talk, json_t *head,
                                      size_t turn, struct lrc_error *err) LRC_MUST_CHECK;
/* The refusal of a turn whose span is 0: names the byte at which the two texts part. */
enum lrc_status lrc_talk__fail_history(const struct lrc_talk *talk, size_t turn,
                                       struct lrc_error *err) LRC_MUST_CHECK;
/* Another role's turn: its words and the end of the turn. No prompt asks for them. */
enum lrc_status lrc_talk__find_words(struct lrc_turn_span *span, struct lrc_talk *talk, size_t turn,
                                     struct lrc_error *err) LRC_MUST_CHECK;

#endif
