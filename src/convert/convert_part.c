/* What lies in the file of a quantized linear: see model_bnb.c, which reads it. */
#include "convert/convert_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NESTED_ELEMS = 256, STATE_BYTES_MAX = 256 };

static const struct {
    const char    *suffix;
    enum lrc_dtype dtype;
    int            is_nested; /* only with double quantization */
} parts[LRC_CONVERT_PART_COUNT] = {
    [LRC_CONVERT_PACKED] = { "", LRC_DTYPE_U8, 0 },
    [LRC_CONVERT_ABSMAX] = { ".absmax", LRC_DTYPE_F32, 0 },
    [LRC_CONVERT_MAP] = { ".quant_map", LRC_DTYPE_F32, 0 },
    [LRC_CONVERT_NESTED_ABSMAX] = { ".nested_absmax", LRC_DTYPE_F32, 1 },
    [LRC_CONVERT_NESTED_MAP] = { ".nested_quant_map", LRC_DTYPE_F32, 1 },
    [LRC_CONVERT_STATE] = { ".quant_state.bitsandbytes__", LRC_DTYPE_U8, 0 },
};

/* As Python writes a float: always told from an integer. */
static void append_float(struct lrc_buf *text, float value)
{
    const size_t at = text->len;
    lrc_json_append_number(text, (double)value);
    if (!text->failed && !strpbrk(text->data + at, ".e"))
        lrc_buf_puts(text, ".0");
}

void lrc_convert_append_state(struct lrc_buf *text, const struct lrc_convert_run *run,
                              const struct lrc_convert_tensor *tensor)
{
    static const char *const dtypes[] = {
        [LRC_DTYPE_F32] = "float32", [LRC_DTYPE_F16] = "float16", [LRC_DTYPE_BF16] = "bfloat16"
    };
    lrc_buf_printf(text,
                   "{\"quant_type\": \"%s\", \"blocksize\": %lld, \"dtype\": \"%s\", \"shape\": [%lld, %lld]",
                   run->quant.type->name, (long long)run->quant.block_elems, dtypes[tensor->entry->dtype],
                   (long long)tensor->weight->rows, (long long)tensor->weight->cols);
    if (run->quant.double_quant) {
        lrc_buf_printf(text, ", \"nested_blocksize\": %d, \"nested_dtype\": \"float32\", \"nested_offset\": ",
                       NESTED_ELEMS);
        append_float(text, tensor->offset);
    }
    lrc_buf_putc(text, '}');
}

static int64_t divide_up(int64_t n, int64_t by)
{
    return n / by + (n % by != 0);
}

static int64_t count_elems(const struct lrc_convert_run *run, const struct lrc_convert_tensor *tensor,
                           enum lrc_convert_part part)
{
    const int64_t  n_elems = tensor->weight->rows * tensor->weight->cols;
    const int64_t  n_blocks = divide_up(n_elems, run->quant.block_elems);
    struct lrc_buf text = { 0 };
    switch (part) {
    case LRC_CONVERT_PACKED: return divide_up(n_elems, 2);
    case LRC_CONVERT_ABSMAX: return n_blocks;
    case LRC_CONVERT_MAP: return 16;
    case LRC_CONVERT_NESTED_ABSMAX: return divide_up(n_blocks, NESTED_ELEMS);
    case LRC_CONVERT_NESTED_MAP: return 256;
    default: break;
    }
    lrc_convert_append_state(&text, run, tensor);
    const int64_t n = (int64_t)text.len;
    lrc_buf_release(&text);
    return n;
}

int lrc_convert_describe(struct lrc_safetensors_spec *spec, char name[LRC_CONVERT_NAME_MAX],
                         const struct lrc_convert_run *run, const struct lrc_convert_tensor *tensor,
                         enum lrc_convert_part part)
{
    if (parts[part].is_nested && !run->quant.double_quant)
        return 0;
    (void)snprintf(name, LRC_CONVERT_NAME_MAX, "%s%s%s", tensor->entry->name, parts[part].suffix,
                   part == LRC_CONVERT_STATE ? run->quant.type->name : "");
    *spec = (struct lrc_safetensors_spec){
        .name = name, .dtype = parts[part].dtype, .n_dims = 1, .shape = { count_elems(run, tensor, part), 1 }
    };
    if (part == LRC_CONVERT_PACKED)
        spec->n_dims = 2;
    if (part == LRC_CONVERT_ABSMAX && run->quant.double_quant)
        spec->dtype = LRC_DTYPE_U8;
    return 1;
}

size_t lrc_convert_tensor_bytes(const struct lrc_convert_run *run, const struct lrc_convert_tensor *tensor)
{
    const struct lrc_weight *weight = tensor->weight;
    if (!weight)
        return tensor->entry->size_bytes;
    return lrc_quant_bytes(weight->rows, weight->cols, &run->quant) + (16 + 256) * sizeof(float) +
           STATE_BYTES_MAX;
}
