#include "base/alloc.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "model/model_config.h"
#include "support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SIZES                                                                                                \
    "\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":3,\"num_attention_heads\":4,\"vocab_" \
    "size\":127,"                                                                                            \
    "\"max_position_embeddings\":64"

/* A llama config of SIZES and `more`. */
static enum lrc_status read_text(struct lrc_model_config *config, const char *text,
                                 const char *generation_text, struct lrc_problems *problems,
                                 struct lrc_error *err)
{
    json_t *json, *generation = NULL;
    cr_assert_eq(lrc_json_parse(&json, text, strlen(text), "test", err), LRC_STATUS_OK, "%s", err->message);
    if (generation_text)
        cr_assert_eq(lrc_json_parse(&generation, generation_text, strlen(generation_text), "test", err),
                     LRC_STATUS_OK);
    const enum lrc_status status = lrc_model_config_read(config, json, generation, problems, err);
    json_decref(json);
    json_decref(generation);
    return status;
}

static struct lrc_model_config read_ok(const char *text, const char *generation)
{
    struct lrc_model_config config;
    struct lrc_problems     problems = { 0 };
    struct lrc_error        err = { 0 };
    cr_assert_eq(read_text(&config, text, generation, &problems, &err), LRC_STATUS_OK, "%s: %s %s", text,
                 err.message, lrc_buf_text(&problems.text));
    lrc_problems_release(&problems);
    return config;
}

static void expect_refused(const char *text, enum lrc_status want, const char *message)
{
    struct lrc_model_config config;
    struct lrc_problems     problems = { 0 };
    struct lrc_error        err = { 0 };
    cr_expect_eq(read_text(&config, text, NULL, &problems, &err), want, "%s: %s", text, err.message);
    cr_expect(strstr(err.message, message) || strstr(lrc_buf_text(&problems.text), message),
              "%s: want '%s' in '%s' or '%s'", text, message, err.message, lrc_buf_text(&problems.text));
    lrc_problems_release(&problems);
}

Test(model_config, defaults_are_those_of_the_class)
{
    struct lrc_model_config config = read_ok("{\"model_type\":\"llama\"," SIZES "}", NULL);
    cr_expect_eq(config.n_kv_heads, 4);
    cr_expect_eq(config.head_dim, 16);
    cr_expect_eq(config.rms_norm_eps, 1e-6f);
    cr_expect_eq(config.rope.theta, 10000.0);
    cr_expect_eq(config.rope.type, LRC_ROPE_DEFAULT);
    cr_expect_eq(config.dtype, LRC_DTYPE_BF16);
    cr_expect_eq(config.bos_id, -1);
    cr_expect_eq(config.n_end_ids, 0);
    cr_expect_eq(config.tied | config.bias_qkv | config.bias_o | config.bias_mlp | config.is_bnb_4bit, 0);
    lrc_model_config_release(&config);
}

Test(model_config, biases_follow_the_family)
{
    struct lrc_model_config config =
        read_ok("{\"model_type\":\"llama\",\"attention_bias\":true,\"mlp_bias\":true," SIZES "}", NULL);
    cr_expect(config.bias_qkv && config.bias_o && config.bias_mlp);
    lrc_model_config_release(&config);
    config = read_ok("{\"model_type\":\"qwen2\",\"attention_bias\":true," SIZES "}", NULL);
    cr_expect(config.bias_qkv && !config.bias_o && !config.bias_mlp);
    lrc_model_config_release(&config);
    config = read_ok("{\"model_type\":\"mistral\",\"attention_bias\":true," SIZES "}", NULL);
    cr_expect(!config.bias_qkv && !config.bias_o && !config.bias_mlp);
    lrc_model_config_release(&config);
}

static void expect_windows(const char *more, int64_t window, const char *sliding)
{
    char text[1024];
    (void)snprintf(text, sizeof text, "{%s," SIZES "}", more);
    struct lrc_model_config config = read_ok(text, NULL);
    cr_expect_eq(config.window, window, "%s", more);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(config.layer_is_sliding[i], sliding[i] == '1', "%s layer %d", more, i);
    lrc_model_config_release(&config);
}

Test(model_config, windows_follow_the_family)
{
    expect_windows("\"model_type\":\"llama\",\"sliding_window\":8", 0, "000");
    expect_windows("\"model_type\":\"mistral\",\"sliding_window\":8", 8, "111");
    expect_windows("\"model_type\":\"mistral\",\"sliding_window\":null", 0, "000");
    expect_windows("\"model_type\":\"qwen2\",\"sliding_window\":8,\"max_window_layers\":1", 0, "000");
    expect_windows(
        "\"model_type\":\"qwen2\",\"use_sliding_window\":true,\"sliding_window\":8,\"max_window_layers\":1",
        8, "011");
    expect_windows("\"model_type\":\"qwen2\",\"use_sliding_window\":true,\"sliding_window\":8", 8, "000");
    expect_windows(
        "\"model_type\":\"qwen2\",\"use_sliding_window\":true,\"sliding_window\":8,\"max_window_layers\":0,"
        "\"layer_types\":[\"sliding_attention\",\"full_attention\",\"sliding_attention\"]",
        8, "101");
}

Test(model_config, end_ids_of_both_files_are_joined)
{
    struct lrc_model_config config =
        read_ok("{\"model_type\":\"llama\",\"bos_token_id\":1,\"eos_token_id\":[2,5]," SIZES "}",
                "{\"eos_token_id\":[5,7]}");
    cr_assert_eq(config.n_end_ids, 3);
    cr_expect(config.end_ids[0] == 2 && config.end_ids[1] == 5 && config.end_ids[2] == 7);
    cr_expect_eq(config.bos_id, 1);
    lrc_model_config_release(&config);
}

Test(model_config, quantization_is_recognised)
{
    struct lrc_model_config config = read_ok("{\"model_type\":\"llama\",\"quantization_config\":{\"quant_"
                                             "method\":\"bitsandbytes\",\"load_in_4bit\":true}," SIZES "}",
                                             NULL);
    cr_expect(config.is_bnb_4bit);
    lrc_model_config_release(&config);
    expect_refused("{\"model_type\":\"llama\",\"quantization_config\":{\"quant_method\":\"gptq\"}," SIZES "}",
                   LRC_STATUS_UNSUPPORTED, "'gptq'");
    expect_refused("{\"model_type\":\"llama\",\"quantization_config\":{\"load_in_8bit\":true}," SIZES "}",
                   LRC_STATUS_UNSUPPORTED, "8-bit");
}

Test(model_config, what_is_not_supported_is_named)
{
    expect_refused("{\"model_type\":\"gpt5\"}", LRC_STATUS_UNSUPPORTED, "llama, mistral, qwen2");
    expect_refused("{\"model_type\":\"llama\",\"hidden_act\":\"gelu\"," SIZES "}", LRC_STATUS_UNSUPPORTED,
                   "'gelu'");
    expect_refused("{\"model_type\":\"llama\",\"dtype\":\"float64\"," SIZES "}", LRC_STATUS_UNSUPPORTED,
                   "'float64'");
    expect_refused("{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}," SIZES
                   "}",
                   LRC_STATUS_UNSUPPORTED, "'dynamic'");
    expect_refused("{\"model_type\":\"llama\",\"rope_parameters\":{\"rope_type\":\"longrope\"}," SIZES "}",
                   LRC_STATUS_UNSUPPORTED, "'longrope'");
    expect_refused("{\"model_type\":\"llama\",\"rope_parameters\":{\"full_attention\":{}}," SIZES "}",
                   LRC_STATUS_UNSUPPORTED, "per layer type");
    expect_refused("{\"model_type\":\"llama\",\"partial_rotary_factor\":0.5," SIZES "}",
                   LRC_STATUS_UNSUPPORTED, "partial_rotary_factor");
}

Test(model_config, mistakes_are_listed_together)
{
    expect_refused("[]", LRC_STATUS_FORMAT, "want an object");
    expect_refused("{}", LRC_STATUS_FORMAT, "'model_type'");
    expect_refused("{\"model_type\":\"llama\"}", LRC_STATUS_FORMAT, "6 problems");
    expect_refused("{\"model_type\":\"llama\",\"num_key_value_heads\":3," SIZES "}", LRC_STATUS_FORMAT,
                   "want a divisor of num_attention_heads 4, got 3");
    expect_refused("{\"model_type\":\"llama\",\"head_dim\":3," SIZES "}", LRC_STATUS_FORMAT,
                   "want an even number");
    expect_refused("{\"model_type\":\"llama\",\"head_dim\":-2," SIZES "}", LRC_STATUS_FORMAT, "'head_dim'");
    expect_refused("{\"model_type\":\"llama\",\"head_dim\":1048576," SIZES "}", LRC_STATUS_FORMAT,
                   "num_attention_heads x head_dim");
    expect_refused("{\"model_type\":\"llama\",\"rms_norm_eps\":0," SIZES "}", LRC_STATUS_FORMAT,
                   "'rms_norm_eps'");
    expect_refused("{\"model_type\":\"llama\",\"rope_theta\":-1," SIZES "}", LRC_STATUS_FORMAT,
                   "'rope_theta'");
    expect_refused("{\"model_type\":\"llama\",\"rope_scaling\":[]," SIZES "}", LRC_STATUS_FORMAT,
                   "want an object, got an array");
    expect_refused("{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8}," SIZES "}",
                   LRC_STATUS_FORMAT, "'low_freq_factor'");
    expect_refused("{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"linear\"}," SIZES "}",
                   LRC_STATUS_FORMAT, "want 'factor'");
    expect_refused("{\"model_type\":\"llama\",\"eos_token_id\":-1," SIZES "}", LRC_STATUS_FORMAT,
                   "'eos_token_id'");
    expect_refused("{\"model_type\":\"llama\",\"tie_word_embeddings\":1," SIZES "}", LRC_STATUS_FORMAT,
                   "want true or false");
    expect_refused("{\"model_type\":\"qwen2\",\"use_sliding_window\":true,\"sliding_window\":8,\"layer_"
                   "types\":[\"x\"]," SIZES "}",
                   LRC_STATUS_FORMAT, "'layer_types'");
}

static void expect_same_config(const struct lrc_model_config *a, const struct lrc_model_config *b,
                               const char *name)
{
    cr_expect_eq(memcmp(&a->rope, &b->rope, sizeof a->rope), 0, "%s: rope", name);
    cr_expect(a->family == b->family && a->hidden_size == b->hidden_size && a->head_dim == b->head_dim, "%s",
              name);
    cr_expect(a->n_kv_heads == b->n_kv_heads && a->dtype == b->dtype && a->tied == b->tied, "%s", name);
    cr_expect(a->window == b->window &&
                  memcmp(a->layer_is_sliding, b->layer_is_sliding, (size_t)a->n_layers) == 0,
              "%s: windows", name);
}

Test(model_config, both_dialects_say_the_same)
{
    static const char *const families[] = { "llama", "llama_gqa_tied", "mistral", "qwen2", "qwen2_sliding" };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        struct lrc_model_config configs[2];
        for (int k = 0; k < 2; k++) {
            char                rest[256];
            struct lrc_error    err = { 0 };
            struct lrc_problems problems = { 0 };
            json_t             *json;
            (void)snprintf(rest, sizeof rest, "models/%s/model/%s", families[i],
                           k == 0 ? "config.json" : "config_v4.json");
            cr_assert_eq(lrc_json_load(&json, test_asset("LRC_FIXTURES", rest), &err), LRC_STATUS_OK, "%s",
                         err.message);
            cr_assert_eq(lrc_model_config_read(&configs[k], json, NULL, &problems, &err), LRC_STATUS_OK,
                         "%s: %s", rest, lrc_buf_text(&problems.text));
            json_decref(json);
        }
        expect_same_config(&configs[0], &configs[1], families[i]);
        lrc_model_config_release(&configs[0]);
        lrc_model_config_release(&configs[1]);
    }
}

/* Reads a case of the fixture's tables as a whole config, 0 when its type is one we refuse. */
static int read_case(struct lrc_model_config *config, const json_t *item)
{
    struct lrc_problems problems = { 0 };
    struct lrc_error    err = { 0 };
    json_t *json = json_pack("{s:s,s:i,s:i,s:i,s:i,s:i,s:O,s:O,s:O}", "model_type", "llama", "hidden_size",
                             64, "intermediate_size", 96, "num_hidden_layers", 1, "num_attention_heads", 4,
                             "vocab_size", 100, "head_dim", json_object_get(item, "head_dim"),
                             "max_position_embeddings", json_object_get(item, "max_position_embeddings"),
                             "rope_parameters", json_object_get(item, "rope_parameters"));
    cr_assert(json);
    const enum lrc_status status = lrc_model_config_read(config, json, NULL, &problems, &err);
    cr_assert(status == LRC_STATUS_OK || status == LRC_STATUS_UNSUPPORTED, "%s %s", err.message,
              lrc_buf_text(&problems.text));
    json_decref(json);
    lrc_problems_release(&problems);
    return status == LRC_STATUS_OK;
}

static const float *find_table(const struct lrc_safetensors *file, const char *name, const char *what,
                               int64_t *n)
{
    char full[128];
    (void)snprintf(full, sizeof full, "%s.%s", name, what);
    const struct lrc_safetensors_entry *entry = lrc_safetensors_find(file, full);
    cr_assert(entry && entry->dtype == LRC_DTYPE_F32, "%s", full);
    *n = entry->n_elems;
    return (const float *)(const void *)entry->data;
}

/* inv_freq: the fixture's 1e-6 relative. cos and sin: one unit in the last place of the reference's float32
 * power (2^-23 of the angle), the rounding of either angle (twice 2^-24), and 1e-6, all times the attention
 * scaling. */
static void check_tables(const struct lrc_safetensors *file, const char *name,
                         const struct lrc_model_config *config)
{
    enum { N_MAX = 100000 };
    const int64_t half = config->head_dim / 2;
    int64_t       n, n_rows;
    float         inv_freq[256], scaling;
    float *cosines = lrc_calloc(N_MAX * 64, sizeof(float)), *sines = lrc_calloc(N_MAX * 64, sizeof(float));
    cr_assert(cosines && sines && half <= 64);
    lrc_rope_frequencies(inv_freq, &scaling, &config->rope, config->head_dim);
    const float *want = find_table(file, name, "inv_freq", &n);
    cr_assert_eq(n, half);
    for (int64_t i = 0; i < half; i++)
        cr_expect(fabs((double)inv_freq[i] - (double)want[i]) <= 1e-6 * fabs((double)want[i]),
                  "%s inv_freq[%d]: %.9g, want %.9g", name, (int)i, (double)inv_freq[i], (double)want[i]);
    const struct lrc_safetensors_entry *positions = lrc_safetensors_find(file, "positions");
    const float *cos_want = find_table(file, name, "cos", &n_rows),
                *sin_want = find_table(file, name, "sin", &n_rows);
    cr_assert(positions && positions->dtype == LRC_DTYPE_I64);
    lrc_rope_tables(cosines, sines, N_MAX, &config->rope, config->head_dim);
    for (int64_t p = 0; p < positions->n_elems; p++) {
        const int64_t at = ((const int64_t *)(const void *)positions->data)[p];
        cr_assert_lt(at, N_MAX);
        for (int64_t i = 0; i < half; i++) {
            const double limit = (0x1p-22 * (double)at * (double)inv_freq[i] + 1e-6) * (double)scaling;
            cr_expect(fabs((double)cosines[at * half + i] - (double)cos_want[p * half + i]) <= limit,
                      "%s cos[%d][%d]", name, (int)at, (int)i);
            cr_expect(fabs((double)sines[at * half + i] - (double)sin_want[p * half + i]) <= limit,
                      "%s sin[%d][%d]", name, (int)at, (int)i);
        }
    }
    lrc_free(cosines);
    lrc_free(sines);
}

Test(model_config, rope_tables_equal_the_reference)
{
    struct lrc_safetensors file;
    struct lrc_error       err;
    json_t                *json, *item;
    const char            *name;
    int                    n_checked = 0;
    cr_assert_eq(
        lrc_safetensors_open(&file, test_asset("LRC_FIXTURES", "models/tables/rope.safetensors"), &err),
        LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_json_load(&json, test_asset("LRC_FIXTURES", "models/tables/rope.json"), &err),
                 LRC_STATUS_OK, "%s", err.message);
    json_object_foreach (json_object_get(json, "cases"), name, item) {
        struct lrc_model_config config;
        if (!read_case(&config, item))
            continue;
        check_tables(&file, name, &config);
        lrc_model_config_release(&config);
        n_checked++;
    }
    cr_expect_eq(n_checked, 8, "default, linear, two llama3, four yarn; got %d", n_checked);
    json_decref(json);
    lrc_safetensors_close(&file);
}

/* Llama 3.1 8B: indices up to 28 are kept, 29 to 34 blended, from 35 on divided by 8. */
Test(model_config, llama3_scaling_has_three_ranges)
{
    const struct lrc_rope_config scaled = { .type = LRC_ROPE_LLAMA3,
                                            .theta = 500000.0,
                                            .factor = 8.0,
                                            .low_freq_factor = 1.0,
                                            .high_freq_factor = 4.0,
                                            .original_max_positions = 8192.0 };
    const struct lrc_rope_config plain = { .type = LRC_ROPE_DEFAULT, .theta = 500000.0 };
    float                        a[64], b[64], scaling;
    lrc_rope_frequencies(a, &scaling, &scaled, 128);
    lrc_rope_frequencies(b, &scaling, &plain, 128);
    for (int i = 0; i < 64; i++) {
        if (i <= 28)
            cr_expect_eq(a[i], b[i]);
        else if (i >= 35)
            cr_expect_eq(a[i], b[i] / 8.0f);
        else
            cr_expect(a[i] < b[i] && a[i] > b[i] / 8.0f);
    }
    cr_expect(fabsf(a[29] / 0.00216657f - 1.0f) < 1e-5f);
    cr_expect(fabsf(a[34] / 0.000178508f - 1.0f) < 1e-5f);
}
