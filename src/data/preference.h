/* What `dpo` and `kto` share: a prompt and an answer, as texts or as messages, become one example in which
 * the answer alone is trained. */
#ifndef LRC_DATA_PREFERENCE_H
#define LRC_DATA_PREFERENCE_H

#include "data/encode.h"

/* Text: a string. Messages: an array of messages, or one message. */
int lrc_answer_is_text(const json_t *answer);
int lrc_answer_is_messages(const json_t *answer);

/* A row's prompt: the column that the config names, else "prompt", "messages" or "conversations". NULL: none.
 * *key: its name. */
const json_t *lrc_row_prompt(const char **key, const json_t *row, const struct lrc_dataset_spec *spec);

/* Append prompt and answer, both messages. n_context: answer's first messages that are no part of the
 * trained answer (a prompt that the answer repeats). System and tools come from row.
 * errors: DATA, NOMEM. */
enum lrc_status lrc_encode_answer_messages(struct lrc_encoded *out, const struct lrc_data_context *context,
                                           const json_t *row, const json_t *prompt, const json_t *answer,
                                           size_t n_context, struct lrc_error *err) LRC_MUST_CHECK;

/* Append prompt and answer, both texts, as `prompt_completion` does. */
enum lrc_status lrc_encode_answer_text(struct lrc_encoded *out, const struct lrc_data_context *context,
                                       const struct lrc_text *prompt, const struct lrc_text *answer,
                                       struct lrc_error *err) LRC_MUST_CHECK;

#endif
