/* What lies beside the weights: copied; but from a 4-bit base config.json without quantization_config, every
 * other byte of it kept, and the index without the side tensors. */
#include "base/alloc.h"
#include "base/file.h"
#include "merge/merge_private.h"

#include <string.h>

static const char index_name[] = "model.safetensors.index.json";

static enum lrc_status write_config(void *context, const char *from, const char *to, struct lrc_error *err)
{
    const struct lrc_merge_run *run = context;
    struct lrc_buf              text = { 0 }, cut = { 0 };
    json_t                     *json = NULL;
    enum lrc_status             status = lrc_file_read(&text, from, err);
    if (status != LRC_STATUS_OK)
        goto done;
    if (run->model.config.is_bnb_4bit)
        lrc_json_cut_key(&cut, lrc_buf_text(&text), "quantization_config");
    else
        lrc_buf_append(&cut, text.data, text.len);
    status = lrc_buf_check(&cut, err);
    if (status == LRC_STATUS_OK)
        status = lrc_json_parse(&json, lrc_buf_text(&cut), cut.len, to, err);
    if (status == LRC_STATUS_OK && json_object_get(json, "quantization_config") &&
        run->model.config.is_bnb_4bit)
        status = lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'quantization_config': want this key spelled plainly",
                          from);
    if (status == LRC_STATUS_OK)
        status = lrc_file_write(to, cut.data, cut.len, err);
done:
    json_decref(json);
    lrc_buf_release(&cut);
    lrc_buf_release(&text);
    return status;
}

/* Tensors that are no longer there leave weight_map; total_size is what is left. */
static enum lrc_status shrink_index(struct lrc_merge_run *run, json_t *index, struct lrc_error *err)
{
    json_t *weight_map = json_object_get(index, "weight_map"), *metadata = json_object_get(index, "metadata");
    size_t  total = 0;
    for (int64_t i = 0; i < run->model.dir.n_tensors; i++) {
        struct lrc_merge_entry entry;
        lrc_merge_classify(&entry, run, run->model.dir.tensors[i].entry);
        total += lrc_merge_entry_bytes(&entry);
        if (entry.action == LRC_MERGE_DROP)
            (void)json_object_del(weight_map, entry.entry->name);
    }
    if (!json_is_object(metadata) && json_object_set_new(index, "metadata", metadata = json_object()) != 0)
        return lrc_fail_nomem(err, index_name);
    if (json_object_set_new(metadata, "total_size", json_integer((json_int_t)total)) != 0)
        return lrc_fail_nomem(err, index_name);
    return LRC_STATUS_OK;
}

static enum lrc_status write_index(void *context, const char *from, const char *to, struct lrc_error *err)
{
    struct lrc_merge_run *run = context;
    json_t               *index = NULL;
    if (!run->model.config.is_bnb_4bit)
        return lrc_file_copy(to, from, err);
    LRC_TRY(lrc_json_load(&index, from, err));
    enum lrc_status status = shrink_index(run, index, err);
    if (status == LRC_STATUS_OK)
        status = lrc_json_save(to, index, err);
    json_decref(index);
    return status;
}

enum lrc_status lrc_merge_rest(struct lrc_merge_run *run, struct lrc_error *err)
{
    return lrc_model_dir_write_rest(&run->model.dir, run->out.aside, write_config, write_index, run, err);
}
