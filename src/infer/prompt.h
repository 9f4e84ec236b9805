/* What goes before the first new token: the prompt's ids, how to draw, what ends the text. */
#ifndef LRC_INFER_PROMPT_H
#define LRC_INFER_PROMPT_H

#include "model/model.h"
#include "tokenizer/tokenizer.h"

/* Ids of a prompt. The template of a chat: the one that is named, else chat_template.jinja of adapter_dir (it
 * was trained with that one; NULL: no adapter), else the model's.
 *
 * errors: DATA when text is not UTF-8 or does not fit the template; CONFIG, FORMAT, UNSUPPORTED for a
 * template. */
enum lrc_status lrc_prompt_encode(struct lrc_ids *ids, const struct lrc_session_prompt *prompt,
                                  const struct lrc_tokenizer *tokenizer, const char *model_dir,
                                  const char *adapter_dir, struct lrc_error *err) LRC_MUST_CHECK;

/* What generation_config.json (NULL: there is none) says: do_sample, temperature, top_k, top_p; greedy when
 * it does not sample. *n_new_max stays as it is without max_new_tokens.
 *
 * errors: FORMAT. */
enum lrc_status lrc_sampling_default(struct lrc_sampling *sampling, int64_t *n_new_max,
                                     const json_t *generation_config, struct lrc_error *err) LRC_MUST_CHECK;

/* Ids that end a text: the model's, and the tokenizer's end of sequence. ids: LRC_END_IDS_MAX + 1. Returns
 * how many. */
int lrc_prompt_end_ids(int32_t *ids, const struct lrc_model_config *config,
                       const struct lrc_tokenizer *tokenizer);

/* errors: FORMAT when the tokenizer knows ids that the model has no embedding for. */
enum lrc_status lrc_prompt_check_ids(const struct lrc_tokenizer    *tokenizer,
                                     const struct lrc_model_config *config, const char *model_dir,
                                     struct lrc_error *err) LRC_MUST_CHECK;

#endif
