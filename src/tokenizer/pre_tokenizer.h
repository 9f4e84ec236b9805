/* Normalized text to the pieces the token model sees: the "pre_tokenizer" of a tokenizer.json. */
#ifndef LRC_TOKENIZER_PRE_TOKENIZER_H
#define LRC_TOKENIZER_PRE_TOKENIZER_H

#include "base/json.h"
#include "base/status.h"
#include "tokenizer/pattern.h"
#include "tokenizer/splits.h"
#include "tokenizer/stage.h"

struct lrc_pre_tokenizer_kind;

/* What becomes of the matches of a Split; the rest of the text is always kept. */
enum lrc_split_behavior {
    LRC_SPLIT_REMOVED,
    LRC_SPLIT_ISOLATED,
    LRC_SPLIT_MERGED_WITH_PREVIOUS,
    LRC_SPLIT_MERGED_WITH_NEXT,
    LRC_SPLIT_CONTIGUOUS, /* matches side by side are one piece */
};

enum lrc_prepend_scheme { LRC_PREPEND_ALWAYS, LRC_PREPEND_FIRST, LRC_PREPEND_NEVER };

struct lrc_pre_tokenizer_stage {
    const struct lrc_pre_tokenizer_kind *kind;
    struct lrc_pattern                   pattern;
    enum lrc_split_behavior              behavior;
    int                                  invert;
    int                                  add_prefix_space;
    int                                  split;
    enum lrc_prepend_scheme              scheme;
    struct lrc_buf                       replacement;
};

struct lrc_pre_tokenizer {
    struct lrc_pre_tokenizer_stage stages[LRC_STAGES_MAX];
    int                            n_stages;
};

/* json may be NULL or null: no stage. errors: FORMAT, UNSUPPORTED, NOMEM. Release in either case. */
enum lrc_status lrc_pre_tokenizer_read(struct lrc_pre_tokenizer *pre_tokenizer, const json_t *json,
                                       const char *name, struct lrc_error *err) LRC_MUST_CHECK;

/* Cut *splits in place; spare is a second one to work with. errors: NOMEM, UNSUPPORTED (pattern limits). */
enum lrc_status lrc_pre_tokenizer_apply(const struct lrc_pre_tokenizer *pre_tokenizer,
                                        struct lrc_splits *splits, struct lrc_splits *spare,
                                        struct lrc_matcher *matcher, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_pre_tokenizer_release(struct lrc_pre_tokenizer *pre_tokenizer);

/* "prepend_scheme" (or the older "add_prefix_space") of a Metaspace stage; its decoder reads it too. errors:
 * FORMAT. */
enum lrc_status lrc_prepend_scheme_read(enum lrc_prepend_scheme *scheme, const json_t *json, const char *name,
                                        struct lrc_error *err) LRC_MUST_CHECK;

#endif
