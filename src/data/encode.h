/* What the text formats share: columns, and a text cut into trained and untrained pieces. */
#ifndef LRC_DATA_ENCODE_H
#define LRC_DATA_ENCODE_H

#include "data/data_format.h"

struct lrc_text {
    const char *bytes; /* NULL: the column is absent or null */
    size_t      n;
};

/* errors: DATA "'<key>': want a string, got ...". An absent or null column leaves text as it was. */
enum lrc_status lrc_row_text(struct lrc_text *text, const json_t *row, const char *key,
                             struct lrc_error *err) LRC_MUST_CHECK;
/* The same, where the column must be there. */
enum lrc_status lrc_row_text_required(struct lrc_text *text, const json_t *row, const char *key,
                                      struct lrc_error *err) LRC_MUST_CHECK;

/* The role that templates know for a name of ShareGPT's or LLaMA-Factory's; other names stand for themselves.
 */
const char *lrc_role_of(const char *name);

int lrc_row_has_string(const json_t *row, const char *key);
/* Columns of preference data ("chosen", "rejected", a boolean "label"), which no format here reads. */
int lrc_row_is_preference(const json_t *row);

/* name, or the format's own when the config gives none. */
const char *lrc_column(const char *name, const char *own);

enum lrc_status lrc_encoded_check(const struct lrc_encoded *encoded, struct lrc_error *err) LRC_MUST_CHECK;

/* What the tokenizer's post-processor puts before a text (BOS or nothing), untrained: the first token is no
 * target. */
enum lrc_status lrc_encode_bos(struct lrc_encoded *out, const struct lrc_data_context *context,
                               struct lrc_error *err) LRC_MUST_CHECK;

/* The end-of-text token, trained. errors: UNSUPPORTED when the tokenizer names none. */
enum lrc_status lrc_encode_eos(struct lrc_encoded *out, const struct lrc_data_context *context,
                               struct lrc_error *err) LRC_MUST_CHECK;

/* One stretch of a text, from the end of the piece before it. */
struct lrc_piece {
    size_t           end;
    enum lrc_trained trained;
};

/* Append the tokens of text. No token crosses the end of a piece. Where the tokenizer would let one, the text
 * up to there is encoded by itself and the rest added to it: what generation sees, a prompt and then its
 * completion. */
enum lrc_status lrc_encode_pieces(struct lrc_encoded *out, const struct lrc_data_context *context,
                                  const struct lrc_buf *text, const struct lrc_piece *pieces,
                                  int64_t n_pieces, struct lrc_error *err) LRC_MUST_CHECK;

/* BOS, the first n_prompt bytes of text untrained (trained under train_on_inputs), the rest trained, EOS. */
enum lrc_status lrc_encode_answer(struct lrc_encoded *out, const struct lrc_data_context *context,
                                  const struct lrc_buf *text, size_t n_prompt,
                                  struct lrc_error *err) LRC_MUST_CHECK;

#endif
