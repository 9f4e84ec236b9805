/* A kind of training row: one file in data/formats/ turns a JSON object into text pieces, each trained or
 * not. */
#ifndef LRC_DATA_DATA_FORMAT_H
#define LRC_DATA_DATA_FORMAT_H

#include "base/json.h"
#include "config/config.h"
#include "template/template.h"
#include "tokenizer/tokenizer.h"

/* What an example is to a preference objective. */
enum lrc_side { LRC_SIDE_NONE, LRC_SIDE_CHOSEN, LRC_SIDE_REJECTED };

/* A row as tokens. trained[i] says whether token i is a target (the shift comes later). */
struct lrc_encoded {
    struct lrc_ids ids;
    struct lrc_buf trained; /* one byte per id: 0 or 1 */
    /* above 0: a pair, ids[0, n_chosen) with the chosen answer and the rest with the rejected one */
    int64_t       n_chosen;
    enum lrc_side side; /* of a row that is no pair */
};
void lrc_encoded_clear(struct lrc_encoded *encoded);
void lrc_encoded_release(struct lrc_encoded *encoded);

struct lrc_data_context {
    const struct lrc_tokenizer *tokenizer; /* NULL is fine for `tokenized` */
    const struct lrc_template *template;   /* NULL unless a format needs it */
    const struct lrc_dataset_spec *spec;
    int                            train_on_inputs;
    const struct lrc_string_list  *roles_to_train; /* NULL or none: assistant */
    int                            last_turn_only; /* of the turns that would be trained */
    int64_t                        vocab_size;
};

struct lrc_data_format {
    const char *name; /* the config's `type` */
    const char *also; /* another accepted name ("sharegpt"), or NULL */
    int         needs_tokenizer, needs_template;
    /* where that depends on the row (texts or messages); may be NULL */
    int (*row_needs_template)(const json_t *row, const struct lrc_dataset_spec *spec);
    int is_preference; /* rows for a preference objective (rl), not to imitate */
    /* Does a row with these columns look like this format? Used when `type` is left out; formats are asked in
     * table order and exactly one must answer yes. */
    int (*claims)(const json_t *row, const struct lrc_dataset_spec *spec);
    /* errors: DATA with a sentence that says what was wanted (the caller adds file:line); NOMEM. */
    enum lrc_status (*encode)(struct lrc_encoded *out, const struct lrc_data_context *context,
                              const json_t *row, struct lrc_error *err);
};

extern const struct lrc_data_format *const lrc_data_format_all[]; /* generated; NULL-terminated */
const struct lrc_data_format              *lrc_data_format_find(const char *name);

/* What formats are made of. Each appends to *out. */
enum lrc_trained { LRC_TRAINED_NO, LRC_TRAINED_YES };
enum lrc_status lrc_encode_text(struct lrc_encoded *out, const struct lrc_data_context *context,
                                const char *text, size_t n, enum lrc_special special,
                                enum lrc_trained trained, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_encode_id(struct lrc_encoded *out, int32_t id, enum lrc_trained trained);
/* Messages with "role" and "content", and tools or NULL. parts, NULL when the row says nothing of parts: for
 * each message null, or for each of the parts its content is made of [bytes, true | false | null]: is it
 * trained? */
struct lrc_conversation {
    json_t *messages, *tools, *parts; /* owned */
};
void lrc_conversation_release(struct lrc_conversation *conversation);

/* The conversation of a row, whatever its columns are called. A call that is written as a text becomes
 * "tool_calls" where context->template knows them.
 * errors: DATA when it is no conversation; NOMEM. ownership: lrc_conversation_release(). */
enum lrc_status lrc_conversation_of_row(struct lrc_conversation *conversation, const json_t *row,
                                        const struct lrc_data_context *context,
                                        struct lrc_error              *err) LRC_MUST_CHECK;
/* Rendered by the template, assistant turns trained up to and with the end-of-turn token. */
enum lrc_status lrc_encode_messages(struct lrc_encoded *out, const struct lrc_data_context *context,
                                    const struct lrc_conversation *conversation,
                                    struct lrc_error              *err) LRC_MUST_CHECK;

#endif
