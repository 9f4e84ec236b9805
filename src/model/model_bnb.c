/* Linears that bitsandbytes stored in 4 bits. Beside the packed tensor P = "<module>.weight" lie
 *
 *   P.quant_state.bitsandbytes__<type>  UTF-8 JSON: quant_type, blocksize, dtype, shape;
 *   nested_blocksize, nested_dtype, nested_offset
 *   P.absmax            F32, or U8 codes when doubly quantized
 *   P.quant_map         F32 (16)
 *   P.nested_absmax     F32, P.nested_quant_map F32 (256): doubly quantized only
 *
 * The logical shape and dtype come from the JSON; the tables that are stored are the ones used.
 *
 * source: bitsandbytes, functional.py, QuantState.as_dict */
#include "model/model_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = LRC_MODULE_NAME_MAX + 64 };

struct stored {
    const struct lrc_quant_type        *type;
    const struct lrc_safetensors_entry *state, *packed, *absmax, *map, *nested_absmax, *nested_map;
    int64_t                             block_elems, nested_block_elems;
    enum lrc_dtype                      dtype;
    float                               nested_offset;
};

static void state_name(char name[NAME_MAX_BYTES], const char *weight_name, const struct lrc_quant_type *type)
{
    (void)snprintf(name, NAME_MAX_BYTES, "%s.quant_state.bitsandbytes__%s", weight_name, type->name);
}

int lrc_model_bnb__is_stored(const struct lrc_model *model, const char *weight_name)
{
    char name[NAME_MAX_BYTES];
    for (const struct lrc_quant_type *const *type = lrc_quant_type_all; *type; type++) {
        state_name(name, weight_name, *type);
        if (lrc_model_dir_find(&model->dir, name))
            return 1;
    }
    return 0;
}

static const struct lrc_safetensors_entry *claim_part(struct lrc_model_loader *loader,
                                                      const char *weight_name, const char *suffix)
{
    char name[NAME_MAX_BYTES];
    (void)snprintf(name, sizeof name, "%s%s", weight_name, suffix);
    return lrc_model_loader__claim(loader, name);
}

static int is_power_of_two(int64_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

static int read_dtype(enum lrc_dtype *dtype, const char *name)
{
    if (name && strcmp(name, "float32") == 0)
        *dtype = LRC_DTYPE_F32;
    else if (name && strcmp(name, "float16") == 0)
        *dtype = LRC_DTYPE_F16;
    else if (name && strcmp(name, "bfloat16") == 0)
        *dtype = LRC_DTYPE_BF16;
    else
        return 0;
    return 1;
}

/* -1 when the member is absent or no integer. */
static int64_t member_int(const json_t *json, const char *key)
{
    const json_t *member = json_object_get(json, key);
    return json_is_integer(member) ? json_integer_value(member) : -1;
}

static const char *read_nested_state(struct stored *stored, const json_t *json)
{
    const json_t *offset = json_object_get(json, "nested_offset");
    const char   *dtype = json_string_value(json_object_get(json, "nested_dtype"));
    stored->nested_block_elems = member_int(json, "nested_blocksize");
    if (!is_power_of_two(stored->nested_block_elems) || stored->nested_block_elems > 1 << 20)
        return "'nested_blocksize': want a power of two";
    if (!dtype || strcmp(dtype, "float32") != 0)
        return "'nested_dtype': want float32";
    if (!json_is_number(offset) || !isfinite((float)json_number_value(offset)))
        return "'nested_offset': want a finite number";
    stored->nested_offset = (float)json_number_value(offset);
    return NULL;
}

/* What is wrong with the JSON; NULL when nothing is. */
static const char *read_state(struct stored *stored, const json_t *json, int64_t rows, int64_t cols)
{
    const char   *type = json_string_value(json_object_get(json, "quant_type"));
    const json_t *shape = json_object_get(json, "shape");
    if (!type || strcmp(type, stored->type->name) != 0)
        return "'quant_type': want the type in the tensor's name";
    stored->block_elems = member_int(json, "blocksize");
    if (!is_power_of_two(stored->block_elems) || stored->block_elems < 32 || stored->block_elems > 4096)
        return "'blocksize': want a power of two from 32 to 4096";
    if (!read_dtype(&stored->dtype, json_string_value(json_object_get(json, "dtype"))))
        return "'dtype': want float32, float16 or bfloat16";
    const json_t *n_rows = json_array_get(shape, 0), *n_cols = json_array_get(shape, 1);
    if (json_array_size(shape) != 2 || !json_is_integer(n_rows) || !json_is_integer(n_cols) ||
        json_integer_value(n_rows) != rows || json_integer_value(n_cols) != cols)
        return "'shape': want the shape that config.json gives";
    return stored->absmax->dtype == LRC_DTYPE_U8 ? read_nested_state(stored, json) : NULL;
}

static int holds(const struct lrc_safetensors_entry *entry, enum lrc_dtype dtype, int64_t n_elems)
{
    return entry && entry->dtype == dtype && entry->n_elems == n_elems;
}

static int64_t divide_up(int64_t n, int64_t by)
{
    return n / by + (n % by != 0);
}

static int is_finite_table(const struct lrc_safetensors_entry *entry)
{
    for (int64_t i = 0; i < entry->n_elems; i++) {
        float value;
        memcpy(&value, entry->data + (size_t)i * sizeof value, sizeof value);
        if (!isfinite(value))
            return 0;
    }
    return 1;
}

/* What is wrong with the lengths and tables; NULL when nothing is. */
static const char *check_parts(const struct stored *stored, int64_t rows, int64_t cols)
{
    const int64_t n_elems = rows * cols, n_blocks = divide_up(n_elems, stored->block_elems);
    if (stored->packed->size_bytes != (size_t)divide_up(n_elems, 2))
        return "want half a byte per element";
    if (!holds(stored->map, LRC_DTYPE_F32, 16) || !is_finite_table(stored->map))
        return "'.quant_map': want 16 finite F32 values";
    if (stored->absmax->dtype != LRC_DTYPE_U8)
        return holds(stored->absmax, LRC_DTYPE_F32, n_blocks)
                   ? NULL
                   : "'.absmax': want one F32 or U8 value per block";
    if (!holds(stored->absmax, LRC_DTYPE_U8, n_blocks))
        return "'.absmax': want one F32 or U8 value per block";
    if (!holds(stored->nested_absmax, LRC_DTYPE_F32, divide_up(n_blocks, stored->nested_block_elems)) ||
        !is_finite_table(stored->nested_absmax))
        return "'.nested_absmax': want one finite F32 value per nested block";
    if (!holds(stored->nested_map, LRC_DTYPE_F32, 256) || !is_finite_table(stored->nested_map))
        return "'.nested_quant_map': want 256 finite F32 values";
    return NULL;
}

static const char *find_parts(struct lrc_model_loader *loader, struct stored *stored, const char *weight_name)
{
    char name[NAME_MAX_BYTES];
    for (const struct lrc_quant_type *const *type = lrc_quant_type_all; *type; type++) {
        state_name(name, weight_name, *type);
        const struct lrc_safetensors_entry *state = lrc_model_loader__claim(loader, name);
        if (state && stored->state)
            return "want one quant_state, got two";
        if (state) {
            stored->state = state;
            stored->type = *type;
        }
    }
    stored->packed = claim_part(loader, weight_name, "");
    stored->absmax = claim_part(loader, weight_name, ".absmax");
    stored->map = claim_part(loader, weight_name, ".quant_map");
    stored->nested_absmax = claim_part(loader, weight_name, ".nested_absmax");
    stored->nested_map = claim_part(loader, weight_name, ".nested_quant_map");
    if (!stored->packed)
        return "the packed tensor is missing";
    return stored->absmax ? NULL : "'.absmax' is missing";
}

/* Everything found and checked; NULL, or what is wrong. */
static const char *read_stored(struct lrc_model_loader *loader, struct stored *stored,
                               const struct lrc_model_tensor *tensor)
{
    const int64_t rows = tensor->shape[0], cols = tensor->shape[1];
    json_t       *json = NULL;
    *stored = (struct stored){ 0 };
    const char *wrong = find_parts(loader, stored, tensor->name);
    if (wrong)
        return wrong;
    if (lrc_json_parse(&json, (const char *)stored->state->data, stored->state->size_bytes, tensor->name,
                       NULL) != LRC_STATUS_OK)
        return "quant_state: want JSON";
    wrong = read_state(stored, json, rows, cols);
    json_decref(json);
    return wrong ? wrong : check_parts(stored, rows, cols);
}

void lrc_model_bnb__plan(struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor)
{
    struct stored stored;
    const char   *wrong = read_stored(loader, &stored, tensor);
    if (wrong) {
        lrc_problems_add(loader->problems, "%s: 4-bit tensor '%s': %s", loader->model->dir.path, tensor->name,
                         wrong);
        return;
    }
    lrc_model_loader__plan(loader, stored.packed);
    lrc_model_loader__plan(loader, stored.map);
    lrc_model_loader__plan(loader, stored.absmax);
    if (stored.absmax->dtype == LRC_DTYPE_U8) {
        lrc_model_loader__plan(loader, stored.nested_absmax);
        lrc_model_loader__plan(loader, stored.nested_map);
    }
}

enum lrc_status lrc_model_bnb__place(struct lrc_model_loader *loader, struct lrc_weight *weight,
                                     const struct lrc_model_tensor *tensor, struct lrc_error *err)
{
    struct stored stored;
    const char   *wrong = read_stored(loader, &stored, tensor);
    if (wrong) /* the first walk found it right: out of memory, or a file that changes under us */
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 4-bit tensor '%s': %s", loader->model->dir.path,
                        tensor->name, wrong);
    *weight = (struct lrc_weight){
        .type = stored.type->type,
        .rows = tensor->shape[0],
        .cols = tensor->shape[1],
        .dtype = stored.dtype,
        .block_elems = stored.block_elems,
    };
    const void *code, *absmax, *nested_absmax, *nested_map;
    LRC_TRY(lrc_model_loader__place(loader, &weight->data, stored.packed, err));
    LRC_TRY(lrc_model_loader__place(loader, &code, stored.map, err));
    LRC_TRY(lrc_model_loader__place(loader, &absmax, stored.absmax, err));
    weight->code = code;
    if (stored.absmax->dtype != LRC_DTYPE_U8) {
        weight->absmax = absmax;
        return LRC_STATUS_OK;
    }
    LRC_TRY(lrc_model_loader__place(loader, &nested_absmax, stored.nested_absmax, err));
    LRC_TRY(lrc_model_loader__place(loader, &nested_map, stored.nested_map, err));
    weight->absmax_code = absmax;
    weight->nested_absmax = nested_absmax;
    weight->nested_map = nested_map;
    weight->nested_offset = stored.nested_offset;
    weight->nested_block_elems = stored.nested_block_elems;
    return LRC_STATUS_OK;
}
