#include "tokenizer/token_model.h"

#include "base/alloc.h"
#include "tokenizer/stage.h"
#include <stdio.h>
#include <string.h>

static const struct lrc_token_model_kind *const KINDS[] = { &lrc_token_model_bpe, &lrc_token_model_unigram };

void *lrc_space_reserve(struct lrc_space *space, int64_t n_elems, size_t elem_bytes)
{
    const size_t want = (size_t)n_elems * elem_bytes;
    if (want <= space->size_bytes && space->data)
        return space->data;
    lrc_free(space->data);
    space->size_bytes = want < 4096 ? 4096 : want + want / 2;
    space->data = lrc_realloc(NULL, (int64_t)space->size_bytes, 1);
    if (!space->data)
        space->size_bytes = 0;
    return space->data;
}

void lrc_model_scratch_release(struct lrc_model_scratch *scratch)
{
    for (size_t i = 0; i < sizeof scratch->spaces / sizeof *scratch->spaces; i++)
        lrc_free(scratch->spaces[i].data);
    lrc_free(scratch->words);
    *scratch = (struct lrc_model_scratch){ 0 };
}

/* Files of before 2020 name no type: those with merges are BPE. */
static enum lrc_status type_of(const char **type, const json_t *json, const char *name, struct lrc_error *err)
{
    if (json_is_object(json) && !json_object_get(json, "type") && json_object_get(json, "merges")) {
        *type = lrc_token_model_bpe.type;
        return LRC_STATUS_OK;
    }
    return lrc_stage_type(type, json, "model", name, err);
}

enum lrc_status lrc_token_model_read(struct lrc_token_model **model, const json_t *json, const char *name,
                                     struct lrc_error *err)
{
    const char *type;
    *model = NULL;
    LRC_TRY(type_of(&type, json, name, err));
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(KINDS[i]->type, type) == 0)
            return KINDS[i]->read(model, json, name, err);
    return lrc_stage_unknown(type, "model", name, err);
}

void lrc_token_model_index_bytes(struct lrc_token_model *model)
{
    for (int byte = 0; byte < 256; byte++) {
        char piece[8];
        (void)snprintf(piece, sizeof piece, "<0x%02X>", (unsigned)byte & 0xFF);
        model->byte_ids[byte] = lrc_vocab_find(&model->vocab, piece, 6);
    }
}

int lrc_token_model_has_bytes(const struct lrc_token_model *model, const char *text, size_t n)
{
    int all = model->byte_fallback;
    for (size_t i = 0; i < n && all; i++)
        all = model->byte_ids[(unsigned char)text[i]] >= 0;
    return all;
}

void lrc_token_model_unknown(const struct lrc_token_model *model, struct lrc_ids *ids, const char *text,
                             size_t n, int fused)
{
    if (lrc_token_model_has_bytes(model, text, n)) {
        for (size_t i = 0; i < n; i++)
            lrc_ids_append(ids, model->byte_ids[(unsigned char)text[i]]);
        return;
    }
    if (model->unk_id >= 0 && !(fused && model->fuse_unk))
        lrc_ids_append(ids, model->unk_id);
}
