/* What the stage readers of tokenizer.json share. */
#ifndef LRC_TOKENIZER_STAGE_H
#define LRC_TOKENIZER_STAGE_H

#include "base/json.h"
#include "base/status.h"

enum { LRC_STAGE_DEPTH_MAX = 8, LRC_STAGES_MAX = 64 }; /* Sequences in Sequences; stages in all */

/* Whether a piece of text is the beginning of the raw text: Metaspace "first" and SentencePiece's dummy
 * prefix ask. */
enum lrc_at { LRC_AT_LATER, LRC_AT_START };

/* How one of the lists of stages of a tokenizer.json is read: what it is called, the member that a Sequence of it
 * keeps its own list in, and what takes one stage that is no Sequence. */
struct lrc_stage_list {
    const char *what, *key;
    enum lrc_status (*read)(void *into, const char *type, const json_t *json, const char *name,
                            struct lrc_error *err);
};

/* Every stage of json in order, Sequences opened; NULL or null: none. At most LRC_STAGES_MAX calls of read.
 * errors: FORMAT, UNSUPPORTED (too many or too deep), those of read. */
enum lrc_status lrc_stage_list_read(const struct lrc_stage_list *list, void *into, const json_t *json,
                                    const char *name, struct lrc_error *err) LRC_MUST_CHECK;

/* "type" of a stage. errors: FORMAT. */
enum lrc_status lrc_stage_type(const char **type, const json_t *json, const char *what, const char *name,
                               struct lrc_error *err) LRC_MUST_CHECK;
/* The one sentence for a stage we do not know. */
enum lrc_status lrc_stage_unknown(const char *type, const char *what, const char *name,
                                  struct lrc_error *err);
/* A string member that must be there, NUL characters allowed. Borrowed. errors: FORMAT. */
enum lrc_status lrc_stage_text(const char **text, size_t *n, const json_t *json, const char *key,
                               const char *name, struct lrc_error *err) LRC_MUST_CHECK;

#endif
