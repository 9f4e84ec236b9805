#include "base/alloc.h"
#include "tokenizer/tokenizer.h"

void lrc_ids_append(struct lrc_ids *ids, int32_t id)
{
    if (ids->failed)
        return;
    if (ids->len == ids->cap) {
        const int64_t cap = ids->cap ? ids->cap * 2 : 16;
        int32_t      *data = lrc_realloc(ids->data, cap, sizeof *data);
        if (!data) {
            ids->failed = 1;
            return;
        }
        ids->data = data;
        ids->cap = cap;
    }
    ids->data[ids->len++] = id;
}

void lrc_ids_release(struct lrc_ids *ids)
{
    lrc_free(ids->data);
    *ids = (struct lrc_ids){ 0 };
}

enum lrc_status lrc_ids_check(const struct lrc_ids *ids, struct lrc_error *err)
{
    return ids->failed ? lrc_fail_nomem(err, "token ids") : LRC_STATUS_OK;
}
