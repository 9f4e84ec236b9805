/* Bytes as adapter_config.json; an accepted one is asked about modules. */
#include "formats/peft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const modules[] = { "model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj",
                                           "lm_head" };
    json_t                  *json;
    struct lrc_peft_config   config;
    struct lrc_error         err;
    if (lrc_json_parse(&json, (const char *)data, size, "fuzz", &err) != LRC_STATUS_OK)
        return 0;
    if (lrc_peft_config_parse(&config, json, "fuzz", &err) == LRC_STATUS_OK) {
        for (int i = 0; i < 3; i++) {
            int             targeted;
            int64_t         r;
            double          alpha;
            enum lrc_status status = lrc_peft_targets(&targeted, &config, modules[i], i == 2, &err);
            if (status == LRC_STATUS_OK)
                status = lrc_peft_rank(&r, &alpha, &config, modules[i], &err);
            (void)status;
        }
        lrc_peft_config_release(&config);
    }
    json_decref(json);
    return 0;
}
