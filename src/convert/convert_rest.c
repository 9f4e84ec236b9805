/* What lies beside the weights: copied; but config.json with quantization_config, and the index with the
 * parts of the linears. */
#include "base/alloc.h"
#include "convert/convert_private.h"

#include <string.h>

static const char quantization[] = "quantization_config";

/* What transformers writes, in its order. The type that products are computed in is the base's. */
static void append_quantization(struct lrc_buf *text, const struct lrc_convert_run *run)
{
    static const char *const dtypes[] = {
        [LRC_DTYPE_F32] = "float32", [LRC_DTYPE_F16] = "float16", [LRC_DTYPE_BF16] = "bfloat16"
    };
    const enum lrc_dtype dtype = run->model.layers[0].linear[0].weight.dtype;
    lrc_buf_printf(text,
                   "{\n"
                   "    \"_load_in_4bit\": true,\n"
                   "    \"_load_in_8bit\": false,\n"
                   "    \"bnb_4bit_compute_dtype\": \"%s\",\n"
                   "    \"bnb_4bit_quant_storage\": \"uint8\",\n"
                   "    \"bnb_4bit_quant_type\": \"%s\",\n"
                   "    \"bnb_4bit_use_double_quant\": %s,\n"
                   "    \"llm_int8_enable_fp32_cpu_offload\": false,\n"
                   "    \"llm_int8_has_fp16_weight\": false,\n"
                   "    \"llm_int8_skip_modules\": null,\n"
                   "    \"llm_int8_threshold\": 6.0,\n"
                   "    \"load_in_4bit\": true,\n"
                   "    \"load_in_8bit\": false,\n"
                   "    \"quant_method\": \"bitsandbytes\"\n"
                   "  }",
                   dtypes[dtype], run->quant.type->name, run->quant.double_quant ? "true" : "false");
}

/* A base that says it is not quantized, "quantization_config": null, says so no longer. */
static enum lrc_status write_config(void *context, const char *from, const char *to, struct lrc_error *err)
{
    const struct lrc_convert_run *run = context;
    struct lrc_buf                text = { 0 }, cut = { 0 }, value = { 0 }, out = { 0 };
    json_t                       *json = NULL;
    enum lrc_status               status = lrc_file_read(&text, from, err);
    if (status == LRC_STATUS_OK) {
        lrc_json_cut_key(&cut, lrc_buf_text(&text), quantization);
        append_quantization(&value, run);
        lrc_json_add_key(&out, lrc_buf_text(&cut), quantization, lrc_buf_text(&value));
        status =
            text.failed || cut.failed || value.failed ? lrc_fail_nomem(err, to) : lrc_buf_check(&out, err);
    }
    if (status == LRC_STATUS_OK) /* a key that is there twice, spelled with escapes, is refused here */
        status = lrc_json_parse(&json, out.data, out.len, to, err);
    if (status == LRC_STATUS_OK)
        status = lrc_file_write(to, out.data, out.len, err);
    json_decref(json);
    lrc_buf_release(&out);
    lrc_buf_release(&value);
    lrc_buf_release(&cut);
    lrc_buf_release(&text);
    return status;
}

static int add_parts(json_t *weight_map, const struct lrc_convert_run *run,
                     const struct lrc_convert_tensor *tensor, size_t *total_bytes)
{
    for (int part = 0; part < LRC_CONVERT_PART_COUNT; part++) {
        struct lrc_safetensors_spec spec;
        char                        name[LRC_CONVERT_NAME_MAX];
        if (!lrc_convert_describe(&spec, name, run, tensor, (enum lrc_convert_part)part))
            continue;
        *total_bytes += (size_t)spec.shape[0] * lrc_dtype_bytes(spec.dtype);
        if (json_object_set_new(weight_map, name, json_string(run->model.dir.shard_names[tensor->shard])) !=
            0)
            return -1;
    }
    return 0;
}

static enum lrc_status write_index(void *context, const char *from, const char *to, struct lrc_error *err)
{
    const struct lrc_convert_run *run = context;
    json_t                       *index = NULL;
    size_t                        total_bytes = 0;
    int                           failed = 0;
    LRC_TRY(lrc_json_load(&index, from, err));
    json_t *weight_map = json_object_get(index, "weight_map"), *metadata = json_object_get(index, "metadata");
    for (int64_t i = 0; i < run->model.dir.n_tensors && !failed; i++) {
        if (run->tensors[i].weight)
            failed = add_parts(weight_map, run, &run->tensors[i], &total_bytes);
        else
            total_bytes += run->tensors[i].entry->size_bytes;
    }
    if (!json_is_object(metadata) && !failed)
        failed = json_object_set_new(index, "metadata", metadata = json_object());
    if (!failed)
        failed = json_object_set_new(metadata, "total_size", json_integer((json_int_t)total_bytes));
    const enum lrc_status status = failed ? lrc_fail_nomem(err, to) : lrc_json_save(to, index, err);
    json_decref(index);
    return status;
}

enum lrc_status lrc_convert_rest(struct lrc_convert_run *run, struct lrc_error *err)
{
    return lrc_model_dir_write_rest(&run->model.dir, run->out.aside, write_config, write_index, run, err);
}
