/* {"input_ids": [5, 17, 2], "labels": [-100, 17, 2]}: ids as they are, nothing added; labels absent means
 * all. */
#include "data/encode.h"

enum { LABEL_UNTRAINED = -100 }; /* PyTorch's ignore_index */

static int claims(const json_t *row, const struct lrc_dataset_spec *spec)
{
    (void)spec;
    return json_is_array(json_object_get(row, "input_ids")) && !lrc_row_is_preference(row);
}

static enum lrc_status get_list(const json_t **list, const json_t *row, const char *key, size_t n_wanted,
                                struct lrc_error *err)
{
    *list = json_object_get(row, key);
    if (!*list || json_is_null(*list)) {
        *list = NULL;
        return LRC_STATUS_OK;
    }
    if (!json_is_array(*list))
        return lrc_fail(err, LRC_STATUS_DATA, "'%s': want an array of integers, got %s", key,
                        lrc_json_type_name(*list));
    if (json_array_size(*list) != n_wanted)
        return lrc_fail(err, LRC_STATUS_DATA, "'%s': want %zu elements, as in 'input_ids', got %zu", key,
                        n_wanted, json_array_size(*list));
    return LRC_STATUS_OK;
}

static enum lrc_status get_int(int64_t *value, const json_t *list, const char *key, size_t i,
                               struct lrc_error *err)
{
    const json_t *element = json_array_get(list, i);
    if (!json_is_integer(element))
        return lrc_fail(err, LRC_STATUS_DATA, "'%s'[%zu]: want an integer, got %s", key, i,
                        lrc_json_type_name(element));
    *value = json_integer_value(element);
    return LRC_STATUS_OK;
}

static enum lrc_status encode(struct lrc_encoded *out, const struct lrc_data_context *context,
                              const json_t *row, struct lrc_error *err)
{
    const json_t *ids = json_object_get(row, "input_ids"), *labels, *mask;
    if (!json_is_array(ids))
        return lrc_fail(err, LRC_STATUS_DATA, "'input_ids': want an array of integers, got %s",
                        lrc_json_type_name(ids));
    const size_t  n = json_array_size(ids);
    const int64_t n_ids =
        context->vocab_size > 0 && context->vocab_size < INT32_MAX ? context->vocab_size : INT32_MAX;
    LRC_TRY(get_list(&labels, row, "labels", n, err));
    LRC_TRY(get_list(&mask, row, "attention_mask", n, err));
    for (size_t i = 0; i < n; i++) {
        int64_t id, label, attended = 1;
        LRC_TRY(get_int(&id, ids, "input_ids", i, err));
        if (id < 0 || id >= n_ids)
            return lrc_fail(err, LRC_STATUS_DATA, "'input_ids'[%zu]: want an id from 0 to %lld, got %lld", i,
                            (long long)n_ids - 1, (long long)id);
        label = id;
        if (labels)
            LRC_TRY(get_int(&label, labels, "labels", i, err));
        if (label != id && label != LABEL_UNTRAINED)
            return lrc_fail(err, LRC_STATUS_DATA,
                            "'labels'[%zu]: want -100 or the token's own id %lld, got %lld", i, (long long)id,
                            (long long)label);
        if (mask)
            LRC_TRY(get_int(&attended, mask, "attention_mask", i, err));
        if (attended != 1)
            return lrc_fail(err, LRC_STATUS_DATA,
                            "'attention_mask'[%zu]: want 1 (rows without padding), got %lld", i,
                            (long long)attended);
        lrc_encode_id(out, (int32_t)id, label == id ? LRC_TRAINED_YES : LRC_TRAINED_NO);
    }
    return lrc_encoded_check(out, err);
}

const struct lrc_data_format lrc_data_format_tokenized = { .name = "tokenized",
                                                           .claims = claims,
                                                           .encode = encode };
