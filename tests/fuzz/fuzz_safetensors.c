/* Bytes as a safetensors file; what is accepted must lie inside the bytes. */
#include "formats/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lrc_safetensors file;
    struct lrc_error       err;
    if (lrc_safetensors_read(&file, data, size, "fuzz", &err) != LRC_STATUS_OK)
        return 0;
    size_t sum = 0;
    for (int64_t i = 0; i < file.n_entries; i++) {
        const struct lrc_safetensors_entry *entry = &file.entries[i];
        if (entry->data < data || entry->size_bytes > (size_t)(data + size - entry->data) ||
            lrc_safetensors_find(&file, entry->name) != entry)
            abort();
        for (size_t k = 0; k < entry->size_bytes; k++)
            sum += entry->data[k];
    }
    if (sum > 255 * size)
        abort();
    lrc_safetensors_close(&file);
    return 0;
}
