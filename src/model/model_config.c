#include "model/model_config.h"

#include "base/alloc.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char file_name[] = "config.json";

/* Above every published model, and small enough that products of two of them fit in 64 bits. */
static const int64_t width_max = 1 << 20, layers_max = 4096, vocab_max = 1 << 24, positions_max = 1 << 27;

struct reader {
    struct lrc_model_config *config;
    const json_t            *json;
    struct lrc_problems     *problems;
};

/* A mistyped value becomes a problem, and reading goes on. */
static void note(struct reader *reader, enum lrc_status status, const struct lrc_error *error)
{
    if (status != LRC_STATUS_OK)
        lrc_problems_add(reader->problems, "%s", error->message);
}

enum want { OPTIONAL, REQUIRED };

static void read_int(struct reader *reader, int64_t *value, const char *key, int64_t min, int64_t max,
                     enum want want)
{
    struct lrc_error error;
    const json_t    *member = json_object_get(reader->json, key);
    if (!member || json_is_null(member)) {
        if (want == REQUIRED)
            lrc_problems_add(reader->problems, "%s: '%s': want an integer, it is missing", file_name, key);
        return;
    }
    const int64_t         before = *value;
    const enum lrc_status status = lrc_json_get_int(value, reader->json, key, file_name, &error);
    note(reader, status, &error);
    if (status == LRC_STATUS_OK && (*value < min || *value > max)) {
        lrc_problems_add(reader->problems, "%s: '%s': want %lld to %lld, got %lld", file_name, key,
                         (long long)min, (long long)max, (long long)*value);
        *value = before;
    }
}

/* A finite number in (0, max]. */
static void read_positive(struct reader *reader, double *value, const json_t *object, const char *key,
                          double max)
{
    struct lrc_error      error;
    const double          before = *value;
    const enum lrc_status status = lrc_json_get_number(value, object, key, file_name, &error);
    note(reader, status, &error);
    if (status == LRC_STATUS_OK && *value != before && !(*value > 0.0 && *value <= max)) {
        lrc_problems_add(reader->problems, "%s: '%s': want a number above 0 and up to %g, got %g", file_name,
                         key, max, *value);
        *value = before;
    }
}

static void read_flag(struct reader *reader, int *value, const char *key)
{
    struct lrc_error error;
    note(reader, lrc_json_get_bool(value, reader->json, key, file_name, &error), &error);
}

static const char *read_string(struct reader *reader, const json_t *object, const char *key,
                               const char *absent)
{
    struct lrc_error error;
    const char      *value = absent;
    note(reader, lrc_json_get_string(&value, object, key, file_name, &error), &error);
    return value;
}

static void read_sizes(struct reader *reader)
{
    struct lrc_model_config *config = reader->config;
    read_int(reader, &config->hidden_size, "hidden_size", 1, width_max, REQUIRED);
    read_int(reader, &config->intermediate_size, "intermediate_size", 1, width_max, REQUIRED);
    read_int(reader, &config->n_layers, "num_hidden_layers", 1, layers_max, REQUIRED);
    read_int(reader, &config->n_heads, "num_attention_heads", 1, width_max, REQUIRED);
    read_int(reader, &config->vocab_size, "vocab_size", 1, vocab_max, REQUIRED);
    read_int(reader, &config->max_positions, "max_position_embeddings", 1, positions_max, REQUIRED);
    config->n_kv_heads = config->n_heads;
    read_int(reader, &config->n_kv_heads, "num_key_value_heads", 1, width_max, OPTIONAL);
    read_int(reader, &config->head_dim, "head_dim", 2, width_max, OPTIONAL);
    double eps = 1e-6;
    read_positive(reader, &eps, reader->json, "rms_norm_eps", 1.0);
    config->rms_norm_eps = (float)eps;
}

/* Relations between sizes; only sizes that were read are looked at. */
static void check_sizes(struct reader *reader)
{
    struct lrc_model_config *config = reader->config;
    if (config->n_heads > 0 && config->n_kv_heads > 0 && config->n_heads % config->n_kv_heads != 0)
        lrc_problems_add(reader->problems,
                         "%s: 'num_key_value_heads': want a divisor of num_attention_heads %lld, got %lld",
                         file_name, (long long)config->n_heads, (long long)config->n_kv_heads);
    if (config->head_dim == 0 && config->n_heads > 0 && config->hidden_size > 0) {
        if (config->hidden_size % config->n_heads != 0)
            lrc_problems_add(
                reader->problems,
                "%s: 'hidden_size': without head_dim want a multiple of num_attention_heads %lld, "
                "got %lld",
                file_name, (long long)config->n_heads, (long long)config->hidden_size);
        else
            config->head_dim = config->hidden_size / config->n_heads;
    }
    if (config->head_dim % 2 != 0)
        lrc_problems_add(reader->problems, "%s: 'head_dim': want an even number, got %lld", file_name,
                         (long long)config->head_dim);
    if (config->head_dim > 0 && config->n_heads > width_max / config->head_dim)
        lrc_problems_add(reader->problems,
                         "%s: num_attention_heads x head_dim: want at most %lld, got %lld x %lld", file_name,
                         (long long)width_max, (long long)config->n_heads, (long long)config->head_dim);
}

static void read_biases(struct reader *reader)
{
    struct lrc_model_config       *config = reader->config;
    const struct lrc_model_family *family = config->family;
    int                            attention_bias = 0, mlp_bias = 0;
    read_flag(reader, &attention_bias, "attention_bias");
    read_flag(reader, &mlp_bias, "mlp_bias");
    config->bias_qkv =
        family->bias_qkv == LRC_BIAS_ALWAYS || (family->bias_qkv == LRC_BIAS_CONFIG && attention_bias);
    config->bias_o =
        family->bias_o == LRC_BIAS_ALWAYS || (family->bias_o == LRC_BIAS_CONFIG && attention_bias);
    config->bias_mlp =
        family->bias_mlp == LRC_BIAS_ALWAYS || (family->bias_mlp == LRC_BIAS_CONFIG && mlp_bias);
}

static void read_layer_types(struct reader *reader, const json_t *types)
{
    struct lrc_model_config *config = reader->config;
    if (!json_is_array(types) || (int64_t)json_array_size(types) != config->n_layers) {
        lrc_problems_add(reader->problems, "%s: 'layer_types': want an array of %lld names", file_name,
                         (long long)config->n_layers);
        return;
    }
    for (int64_t i = 0; i < config->n_layers; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        if (type && strcmp(type, "sliding_attention") == 0)
            config->layer_is_sliding[i] = 1;
        else if (!type || strcmp(type, "full_attention") != 0)
            lrc_problems_add(reader->problems,
                             "%s: 'layer_types'[%lld]: want full_attention or sliding_attention, got %s",
                             file_name, (long long)i, type ? type : "no string");
    }
}

static enum lrc_status read_windows(struct reader *reader, struct lrc_error *err)
{
    struct lrc_model_config *config = reader->config;
    const json_t            *types = json_object_get(reader->json, "layer_types");
    int64_t                  window = 0, first = 28;
    int                      used = config->family->sliding == LRC_SLIDING_ALL;

    config->layer_is_sliding = lrc_calloc(config->n_layers, 1);
    if (!config->layer_is_sliding)
        return lrc_fail_nomem(err, file_name);
    if (config->family->sliding == LRC_SLIDING_NONE)
        return LRC_STATUS_OK;
    if (config->family->sliding == LRC_SLIDING_FROM_LAYER) {
        read_flag(reader, &used, "use_sliding_window");
        read_int(reader, &first, "max_window_layers", 0, INT64_MAX, OPTIONAL);
    }
    if (!used) /* old files hold a window that is not in use */
        return LRC_STATUS_OK;
    read_int(reader, &window, "sliding_window", 0, INT64_MAX, OPTIONAL);
    config->window = window;
    if (window == 0)
        return LRC_STATUS_OK;
    if (config->family->sliding == LRC_SLIDING_FROM_LAYER && types && !json_is_null(types)) {
        read_layer_types(reader, types);
        return LRC_STATUS_OK;
    }
    for (int64_t i = 0; i < config->n_layers; i++)
        config->layer_is_sliding[i] = config->family->sliding == LRC_SLIDING_ALL || i >= first;
    return LRC_STATUS_OK;
}

static const struct {
    const char        *name;
    enum lrc_rope_type type;
} rope_types[] = { { "default", LRC_ROPE_DEFAULT },
                   { "linear", LRC_ROPE_LINEAR },
                   { "llama3", LRC_ROPE_LLAMA3 },
                   { "yarn", LRC_ROPE_YARN } };

static enum lrc_status find_rope_type(struct lrc_rope_config *rope, const char *name, struct lrc_error *err)
{
    for (size_t i = 0; i < sizeof rope_types / sizeof *rope_types; i++)
        if (strcmp(rope_types[i].name, name) == 0) {
            rope->type = rope_types[i].type;
            return LRC_STATUS_OK;
        }
    return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                    "%s: rope type: want default, linear, llama3 or yarn, got '%s'", file_name, name);
}

static void want_positive(struct reader *reader, double value, const char *type, const char *key)
{
    if (!(value > 0.0))
        lrc_problems_add(reader->problems, "%s: rope type %s: want '%s'", file_name, type, key);
}

static void read_rope_scaling(struct reader *reader, const json_t *json)
{
    struct lrc_rope_config *rope = &reader->config->rope;
    struct lrc_error        error;
    const double            max = 1e9;
    read_positive(reader, &rope->factor, json, "factor", max);
    read_positive(reader, &rope->low_freq_factor, json, "low_freq_factor", max);
    read_positive(reader, &rope->high_freq_factor, json, "high_freq_factor", max);
    read_positive(reader, &rope->original_max_positions, json, "original_max_position_embeddings", max);
    read_positive(reader, &rope->attention_factor, json, "attention_factor", max);
    read_positive(reader, &rope->beta_fast, json, "beta_fast", max);
    read_positive(reader, &rope->beta_slow, json, "beta_slow", max);
    read_positive(reader, &rope->mscale, json, "mscale", max);
    read_positive(reader, &rope->mscale_all_dim, json, "mscale_all_dim", max);
    note(reader, lrc_json_get_bool(&rope->truncate, json, "truncate", file_name, &error), &error);
}

static void check_rope(struct reader *reader)
{
    struct lrc_rope_config *rope = &reader->config->rope;
    const double            positions = (double)reader->config->max_positions;
    const char             *name = rope_types[rope->type].name;
    if (rope->type == LRC_ROPE_YARN) {
        if (!(rope->original_max_positions > 0.0))
            rope->original_max_positions = positions;
        if (!(rope->factor > 0.0) && rope->original_max_positions > 0.0)
            rope->factor = positions / rope->original_max_positions;
    }
    if (rope->type != LRC_ROPE_DEFAULT)
        want_positive(reader, rope->factor, name, "factor");
    if (rope->type != LRC_ROPE_LLAMA3)
        return;
    want_positive(reader, rope->low_freq_factor, name, "low_freq_factor");
    want_positive(reader, rope->high_freq_factor, name, "high_freq_factor");
    want_positive(reader, rope->original_max_positions, name, "original_max_position_embeddings");
    if (!(rope->high_freq_factor > rope->low_freq_factor))
        lrc_problems_add(reader->problems,
                         "%s: rope type llama3: want high_freq_factor above low_freq_factor, got %g and %g",
                         file_name, rope->high_freq_factor, rope->low_freq_factor);
}

/* transformers 5: rope_parameters {rope_type, rope_theta, ...}. transformers 4: rope_theta beside
 * rope_scaling {rope_type or type, ...}, which may be null. */
static enum lrc_status read_rope(struct reader *reader, struct lrc_error *err)
{
    struct lrc_rope_config *rope = &reader->config->rope;
    const json_t           *json = json_object_get(reader->json, "rope_parameters");
    double                  partial = 1.0;
    *rope = (struct lrc_rope_config){ .theta = 10000.0, .truncate = 1 };
    if (!json || json_is_null(json))
        json = json_object_get(reader->json, "rope_scaling");
    read_positive(reader, &rope->theta, reader->json, "rope_theta", 1e30);
    read_positive(reader, &partial, reader->json, "partial_rotary_factor", 1.0);
    if (json && !json_is_null(json)) {
        if (!json_is_object(json)) {
            lrc_problems_add(reader->problems, "%s: rope parameters: want an object, got %s", file_name,
                             lrc_json_type_name(json));
            return LRC_STATUS_OK;
        }
        if (json_object_get(json, "full_attention") || json_object_get(json, "sliding_attention"))
            return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                            "%s: rope parameters per layer type are not supported", file_name);
        const char *type = read_string(reader, json, "type", "default");
        LRC_TRY(find_rope_type(rope, read_string(reader, json, "rope_type", type), err));
        read_positive(reader, &rope->theta, json, "rope_theta", 1e30);
        read_positive(reader, &partial, json, "partial_rotary_factor", 1.0);
        read_rope_scaling(reader, json);
        check_rope(reader);
    }
    if (partial < 1.0)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: 'partial_rotary_factor': want 1, got %g", file_name,
                        partial);
    if (!(rope->theta > 1.0))
        lrc_problems_add(reader->problems, "%s: 'rope_theta': want a number above 1, got %g", file_name,
                         rope->theta);
    return LRC_STATUS_OK;
}

static enum lrc_status read_dtype(struct reader *reader, struct lrc_error *err)
{
    const char *name = read_string(reader, reader->json, "torch_dtype", "bfloat16");
    name = read_string(reader, reader->json, "dtype", name);
    if (strncmp(name, "torch.", 6) == 0)
        name += 6;
    if (strcmp(name, "bfloat16") == 0)
        reader->config->dtype = LRC_DTYPE_BF16;
    else if (strcmp(name, "float16") == 0)
        reader->config->dtype = LRC_DTYPE_F16;
    else if (strcmp(name, "float32") == 0)
        reader->config->dtype = LRC_DTYPE_F32;
    else
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                        "%s: 'dtype': want float32, float16 or bfloat16, got '%s'", file_name, name);
    return LRC_STATUS_OK;
}

static void add_end_id(struct reader *reader, const json_t *id)
{
    struct lrc_model_config *config = reader->config;
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX) {
        lrc_problems_add(reader->problems, "%s: 'eos_token_id': want a token id or an array of them",
                         file_name);
        return;
    }
    const int32_t value = (int32_t)json_integer_value(id);
    for (int i = 0; i < config->n_end_ids; i++)
        if (config->end_ids[i] == value)
            return;
    if (config->n_end_ids == LRC_END_IDS_MAX)
        lrc_problems_add(reader->problems, "%s: 'eos_token_id': want at most %d ids", file_name,
                         LRC_END_IDS_MAX);
    else
        config->end_ids[config->n_end_ids++] = value;
}

static void read_end_ids(struct reader *reader, const json_t *object)
{
    const json_t *ids = json_object_get(object, "eos_token_id");
    if (json_is_array(ids))
        for (size_t i = 0; i < json_array_size(ids); i++)
            add_end_id(reader, json_array_get(ids, i));
    else if (ids && !json_is_null(ids))
        add_end_id(reader, ids);
}

static enum lrc_status read_quantization(struct reader *reader, struct lrc_error *err)
{
    const json_t *json = json_object_get(reader->json, "quantization_config");
    if (!json || json_is_null(json))
        return LRC_STATUS_OK;
    const char  *method = read_string(reader, json, "quant_method", "bitsandbytes");
    const json_t *in_4bit = json_object_get(json, "load_in_4bit");
    if (strcmp(method, "bitsandbytes") != 0)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: 'quant_method': want bitsandbytes, got '%s'",
                        file_name, method);
    if (!json_is_true(in_4bit))
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                        "%s: 'quantization_config': want load_in_4bit, got another bitsandbytes "
                        "quantization (8-bit?)",
                        file_name);
    reader->config->is_bnb_4bit = 1;
    return LRC_STATUS_OK;
}

static enum lrc_status read_family(struct reader *reader, struct lrc_error *err)
{
    const char *type = read_string(reader, reader->json, "model_type", NULL);
    if (!type)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'model_type': want a string, it is missing", file_name);
    reader->config->family = lrc_model_family_find(type);
    if (reader->config->family)
        return LRC_STATUS_OK;
    struct lrc_buf known = { 0 };
    for (const struct lrc_model_family *const *family = lrc_model_family_all; *family; family++)
        lrc_buf_printf(&known, "%s%s", known.len > 0 ? ", " : "", (*family)->model_type);
    lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: 'model_type': want one of %s, got '%s'", file_name,
             lrc_buf_text(&known), type);
    lrc_buf_release(&known);
    return LRC_STATUS_UNSUPPORTED;
}

static enum lrc_status read_all(struct reader *reader, const json_t *generation, struct lrc_error *err)
{
    struct lrc_model_config *config = reader->config;
    int64_t                  bos_id = -1;
    LRC_TRY(read_family(reader, err));
    const char *activation = read_string(reader, reader->json, "hidden_act", "silu");
    if (strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: 'hidden_act': want silu, got '%s'", file_name,
                        activation);
    read_sizes(reader);
    check_sizes(reader);
    read_biases(reader);
    LRC_TRY(read_windows(reader, err));
    LRC_TRY(read_rope(reader, err));
    LRC_TRY(read_dtype(reader, err));
    LRC_TRY(read_quantization(reader, err));
    read_flag(reader, &config->tied,
              "tie_word_embeddings"); /* absent: false, the class default of all families here */
    read_int(reader, &bos_id, "bos_token_id", -1, INT32_MAX, OPTIONAL);
    config->bos_id = (int32_t)bos_id;
    read_end_ids(reader, reader->json);
    read_end_ids(reader, generation);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_model_config_read(struct lrc_model_config *config, const json_t *json,
                                      const json_t *generation, struct lrc_problems *problems,
                                      struct lrc_error *err)
{
    struct reader reader = { config, json, problems };
    const int     before = problems->count;
    *config = (struct lrc_model_config){ 0 };
    enum lrc_status status;
    if (!json_is_object(json))
        status = lrc_fail(err, LRC_STATUS_FORMAT, "%s: want an object, got %s", file_name,
                          lrc_json_type_name(json));
    else
        status = read_all(&reader, generation, err);
    if (status == LRC_STATUS_OK && problems->count > before)
        status = lrc_problems_fail(problems, LRC_STATUS_FORMAT, file_name, err);
    if (status != LRC_STATUS_OK)
        lrc_model_config_release(config);
    return status;
}

void lrc_model_config_release(struct lrc_model_config *config)
{
    lrc_free(config->layer_is_sliding);
    *config = (struct lrc_model_config){ 0 };
}
