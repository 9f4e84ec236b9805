/* Bytes as config.json, and as generation_config.json beside itself. */
#include "base/alloc.h"
#include "model/model_config.h"

#include <stdlib.h>

enum { TABLE_POSITIONS = 3, HEAD_DIM_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An accepted configuration gives tables without reading or writing outside. */
static void make_tables(const struct lrc_model_config *config)
{
    if (config->head_dim > HEAD_DIM_MAX)
        return;
    float *cosines = lrc_calloc(TABLE_POSITIONS * (config->head_dim / 2), sizeof(float));
    float *sines = lrc_calloc(TABLE_POSITIONS * (config->head_dim / 2), sizeof(float));
    if (!cosines || !sines)
        abort();
    lrc_rope_tables(cosines, sines, TABLE_POSITIONS, &config->rope, config->head_dim);
    lrc_free(cosines);
    lrc_free(sines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t                 *json;
    struct lrc_model_config config;
    struct lrc_problems     problems = { 0 };
    struct lrc_error        err;
    if (lrc_json_parse(&json, (const char *)data, size, "fuzz", &err) != LRC_STATUS_OK)
        return 0;
    if (lrc_model_config_read(&config, json, json, &problems, &err) == LRC_STATUS_OK) {
        if (config.n_heads % config.n_kv_heads != 0 || config.head_dim % 2 != 0 ||
            config.n_end_ids > LRC_END_IDS_MAX)
            abort();
        make_tables(&config);
        lrc_model_config_release(&config);
    }
    lrc_problems_release(&problems);
    json_decref(json);
    return 0;
}
