/* What happens to messages before a template sees them, as transformers' apply_chat_template has it.
 * Private to this folder. */
#ifndef LRC_TEMPLATE_CONVERSATION_H
#define LRC_TEMPLATE_CONVERSATION_H

#include "base/buf.h"
#include "template/template.h"

/* A copy in which
 *   - members that are null are left out: templates test for absence, and print None where they do not;
 *   - reasoning is found under every name templates read: reasoning_content and thinking;
 *   - under LRC_PROMPT_CONTINUE the last message's text ends with a mark.
 * errors: DATA when there is no text to go on with; NOMEM. ownership: json_decref(). */
enum lrc_status lrc_conversation__prepare(json_t **out, const json_t *messages, enum lrc_prompt prompt,
                                          struct lrc_error *err) LRC_MUST_CHECK;

int lrc_conversation__has_nulls(const json_t *messages);

/* Cuts text[begin, ) at the mark. errors: DATA when the template did not write the last message. */
enum lrc_status lrc_conversation__cut(struct lrc_buf *text, size_t begin,
                                      struct lrc_error *err) LRC_MUST_CHECK;

#endif
