/* Bytes as JSON text; what is accepted is written and read again. */
#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t          *json, *again;
    struct lrc_error err;
    struct lrc_buf   text = { 0 };
    if (lrc_json_parse(&json, (const char *)data, size, "fuzz", &err) != LRC_STATUS_OK)
        return 0;
    if (json_is_string(json)) {
        lrc_json_append_string(&text, json_string_value(json), json_string_length(json));
        if (lrc_json_parse(&again, text.data, text.len, "again", &err) != LRC_STATUS_OK ||
            !json_equal(json, again))
            abort();
        json_decref(again);
    }
    lrc_buf_release(&text);
    json_decref(json);
    return 0;
}
