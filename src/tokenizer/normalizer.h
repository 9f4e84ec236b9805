/* Text to text, before anything is cut: the "normalizer" of a tokenizer.json, the normalizer_spec of a
 * SentencePiece model. */
#ifndef LRC_TOKENIZER_NORMALIZER_H
#define LRC_TOKENIZER_NORMALIZER_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/pattern.h"
#include "tokenizer/stage.h"
#include <stdint.h>

struct lrc_normalizer_kind;

/* How SentencePiece cleans a text (normalizer.cc): replacements of the charsmap, then white space. */
struct lrc_sentence_options {
    int first_only; /* the dummy prefix only where the raw text begins (transformers' legacy: false) */
    int add_dummy_prefix;
    int remove_extra_whitespaces;
    int escape_whitespaces;   /* space to U+2581 */
    int whitespace_as_suffix; /* the dummy goes behind */
};

struct lrc_normalizer_stage {
    const struct lrc_normalizer_kind *kind;
    struct lrc_pattern                pattern;
    struct lrc_buf                    content;
    int                               left, right;
    struct lrc_charsmap               charsmap;
    struct lrc_sentence_options       sentence;
};

struct lrc_normalizer {
    struct lrc_normalizer_stage stages[LRC_STAGES_MAX];
    int                         n_stages;
};

/* json may be NULL or null: no stage. errors: FORMAT, UNSUPPORTED, NOMEM. Release in either case. */
enum lrc_status lrc_normalizer_read(struct lrc_normalizer *normalizer, const json_t *json, const char *name,
                                    struct lrc_error *err) LRC_MUST_CHECK;

/* The stage of a SentencePiece model. ownership: takes charsmap. */
void lrc_normalizer_add_sentence(struct lrc_normalizer             *normalizer,
                                 const struct lrc_sentence_options *options, struct lrc_charsmap *charsmap);

/* text (UTF-8) in place. errors: NOMEM, UNSUPPORTED (pattern limits). */
enum lrc_status lrc_normalizer_apply(const struct lrc_normalizer *normalizer, struct lrc_buf *text,
                                     enum lrc_at at, struct lrc_matcher *matcher,
                                     struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_normalizer_release(struct lrc_normalizer *normalizer);

#endif
