/* Ids put before and after a text: the "post_processor" of a tokenizer.json. */
#ifndef LRC_TOKENIZER_POST_PROCESSOR_H
#define LRC_TOKENIZER_POST_PROCESSOR_H

#include "base/json.h"
#include "base/status.h"
#include "tokenizer/tokenizer.h"

struct lrc_post_processor {
    struct lrc_ids before, after;
};

/* json may be NULL or null: nothing is added. Templates for pairs of texts are not read.
 * errors: FORMAT, UNSUPPORTED, NOMEM. Release in either case. */
enum lrc_status lrc_post_processor_read(struct lrc_post_processor *post_processor, const json_t *json,
                                        const char *name, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_post_processor_release(struct lrc_post_processor *post_processor);

#endif
