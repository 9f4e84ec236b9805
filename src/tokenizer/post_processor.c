#include "tokenizer/post_processor.h"

#include "tokenizer/stage.h"
#include "tokenizer/vocab.h"
#include <string.h>

#define WHAT "post_processor"

struct kind {
    const char *type;
    enum lrc_status (*read)(struct lrc_post_processor *post_processor, const json_t *json, const char *name,
                            struct lrc_error *err);
};

/* A later stage puts its ids around those of the earlier ones. */
static enum lrc_status wrap(struct lrc_post_processor *post_processor, const struct lrc_ids *before,
                            const struct lrc_ids *after, struct lrc_error *err)
{
    struct lrc_ids joined = { 0 };
    for (int64_t i = 0; i < before->len; i++)
        lrc_ids_append(&joined, before->data[i]);
    for (int64_t i = 0; i < post_processor->before.len; i++)
        lrc_ids_append(&joined, post_processor->before.data[i]);
    lrc_ids_release(&post_processor->before);
    post_processor->before = joined;
    for (int64_t i = 0; i < after->len; i++)
        lrc_ids_append(&post_processor->after, after->data[i]);
    LRC_TRY(lrc_ids_check(&post_processor->before, err));
    return lrc_ids_check(&post_processor->after, err);
}

static enum lrc_status append_id(struct lrc_ids *ids, const json_t *id, const char *name,
                                 struct lrc_error *err)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= LRC_VOCAB_IDS_MAX)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: " WHAT ": want an id below %d, got %s", name,
                        LRC_VOCAB_IDS_MAX, json_is_integer(id) ? "another number" : lrc_json_type_name(id));
    lrc_ids_append(ids, (int32_t)json_integer_value(id));
    return LRC_STATUS_OK;
}

static enum lrc_status append_special(struct lrc_ids *ids, const json_t *piece, const json_t *specials,
                                      const char *name, struct lrc_error *err)
{
    const char *key = NULL;
    LRC_TRY(lrc_json_get_string(&key, piece, "id", name, err));
    const json_t *special_ids = json_object_get(json_object_get(specials, key ? key : ""), "ids"), *id;
    size_t        i;
    if (!json_is_array(special_ids))
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: " WHAT ": want ids for '%.60s' in 'special_tokens', got %s", name,
                        key ? key : "", lrc_json_type_name(special_ids));
    json_array_foreach(special_ids, i, id) LRC_TRY(append_id(ids, id, name, err));
    return LRC_STATUS_OK;
}

static enum lrc_status read_pieces(struct lrc_ids *before, struct lrc_ids *after, const json_t *json,
                                   const char *name, struct lrc_error *err)
{
    const json_t *single = json_object_get(json, "single"), *piece;
    size_t        i;
    int           n_texts = 0;
    json_array_foreach(single, i, piece)
    {
        const json_t *special = json_object_get(piece, "SpecialToken");
        if (special)
            LRC_TRY(append_special(n_texts ? after : before, special, json_object_get(json, "special_tokens"),
                                   name, err));
        else
            n_texts++;
    }
    if (n_texts != 1)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                        "%s: " WHAT ": 'single': want the text once, got it %d times", name, n_texts);
    return LRC_STATUS_OK;
}

static enum lrc_status read_template(struct lrc_post_processor *post_processor, const json_t *json,
                                     const char *name, struct lrc_error *err)
{
    struct lrc_ids  before = { 0 }, after = { 0 };
    enum lrc_status status = read_pieces(&before, &after, json, name, err);
    if (status == LRC_STATUS_OK)
        status = wrap(post_processor, &before, &after, err);
    lrc_ids_release(&before);
    lrc_ids_release(&after);
    return status;
}

/* {"cls": ["<s>", 0], "sep": ["</s>", 2]} */
static enum lrc_status read_bert(struct lrc_post_processor *post_processor, const json_t *json,
                                 const char *name, struct lrc_error *err)
{
    struct lrc_ids  before = { 0 }, after = { 0 };
    enum lrc_status status = append_id(&before, json_array_get(json_object_get(json, "cls"), 1), name, err);
    if (status == LRC_STATUS_OK)
        status = append_id(&after, json_array_get(json_object_get(json, "sep"), 1), name, err);
    if (status == LRC_STATUS_OK)
        status = wrap(post_processor, &before, &after, err);
    lrc_ids_release(&before);
    lrc_ids_release(&after);
    return status;
}

/* ByteLevel only trims offsets, which we do not keep. */
static enum lrc_status read_byte_level(struct lrc_post_processor *post_processor, const json_t *json,
                                       const char *name, struct lrc_error *err)
{
    (void)post_processor, (void)json, (void)name, (void)err;
    return LRC_STATUS_OK;
}

static const struct kind KINDS[] = {
    { "TemplateProcessing", read_template },
    { "ByteLevel", read_byte_level },
    { "BertProcessing", read_bert },
    { "RobertaProcessing", read_bert },
};

static enum lrc_status read_stage(void *into, const char *type, const json_t *json, const char *name,
                                  struct lrc_error *err)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(KINDS[i].type, type) == 0)
            return KINDS[i].read(into, json, name, err);
    return lrc_stage_unknown(type, WHAT, name, err);
}

static const struct lrc_stage_list LIST = { WHAT, "processors", read_stage };

enum lrc_status lrc_post_processor_read(struct lrc_post_processor *post_processor, const json_t *json,
                                        const char *name, struct lrc_error *err)
{
    return lrc_stage_list_read(&LIST, post_processor, json, name, err);
}

void lrc_post_processor_release(struct lrc_post_processor *post_processor)
{
    lrc_ids_release(&post_processor->before);
    lrc_ids_release(&post_processor->after);
}
