/* Pieces back to text: the "decoder" of a tokenizer.json. */
#ifndef LRC_TOKENIZER_DECODER_H
#define LRC_TOKENIZER_DECODER_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include "tokenizer/pattern.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/splits.h"
#include "tokenizer/stage.h"

struct lrc_decoder_kind;

struct lrc_decoder_stage {
    const struct lrc_decoder_kind *kind;
    struct lrc_pattern             pattern;
    struct lrc_buf                 content;
    int64_t                        start, stop; /* Strip: how many at either end */
    enum lrc_prepend_scheme        scheme;
};

struct lrc_decoder {
    struct lrc_decoder_stage stages[LRC_STAGES_MAX];
    int                      n_stages;
    int                      joins_bytes; /* <0xHH> pieces side by side are read together (ByteFallback) */
    int revises; /* later pieces can change the text of earlier ones: nothing can be streamed */
};

/* json may be NULL or null: pieces are then joined with spaces, as the reference does.
 * errors: FORMAT, UNSUPPORTED, NOMEM. Release in either case. */
enum lrc_status lrc_decoder_read(struct lrc_decoder *decoder, const json_t *json, const char *name,
                                 struct lrc_error *err) LRC_MUST_CHECK;

/* Append the text of the pieces. splits is worked on in place; spare is a second one. errors: NOMEM,
 * UNSUPPORTED. */
enum lrc_status lrc_decoder_apply(const struct lrc_decoder *decoder, struct lrc_buf *text,
                                  struct lrc_splits *splits, struct lrc_splits *spare,
                                  struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_decoder_release(struct lrc_decoder *decoder);

int lrc_piece_byte(const char *piece, size_t n); /* 0-255 for "<0xHH>", -1 for others */

#endif
