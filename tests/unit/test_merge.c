#include "base/alloc.h"
#include "base/file.h"
#include "merge/merge.h"
#include "model/model.h"
#include "support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

/* ------------------------------------------------------------------ a small model and an adapter, made here
 */

enum {
    HIDDEN = 40,
    INNER = 48,
    /* 15 rows of down_proj are a step, in panels of 4, 4, 4 and 3; four are a panel and a step, 32 a piece */
    INNER_STEPS = 17001,
    INNER_MAX = 70001,
    LAYERS = 2,
    VOCAB = 20,
    RANK = 4,
    SPECS_MAX = 128
};

struct kind {
    const char    *name;
    enum lrc_dtype dtype;
    int            shards, tied, is_4bit, inner;
};

struct tiny {
    struct lrc_safetensors_spec specs[SPECS_MAX];
    char                        names[SPECS_MAX][120];
    char                        json[SPECS_MAX][120];
    float                      *values[SPECS_MAX]; /* what the weights are worth, also behind 4 bits */
    unsigned char              *bytes[SPECS_MAX];
    void                       *blocks[SPECS_MAX];
    int64_t                     n;
};

static struct lrc_error err;

static float number(int64_t tensor, int64_t i)
{
    const uint32_t h = (uint32_t)(tensor * 7919 + i) * 2654435761u;
    return (float)((int32_t)(h >> 8 & 0xffff) - 32768) * 0x1p-18f;
}

static struct lrc_safetensors_spec *add_spec(struct tiny *tiny, const char *name, enum lrc_dtype dtype,
                                             int64_t rows, int64_t cols, const void *data)
{
    cr_assert_lt(tiny->n, SPECS_MAX);
    struct lrc_safetensors_spec *spec = &tiny->specs[tiny->n];
    (void)snprintf(tiny->names[tiny->n], sizeof tiny->names[0], "%s", name);
    *spec = (struct lrc_safetensors_spec){ .name = tiny->names[tiny->n++],
                                           .dtype = dtype,
                                           .n_dims = cols > 0 ? 2 : 1,
                                           .shape = { rows, cols },
                                           .data = data };
    return spec;
}

static void fill(struct tiny *tiny, int64_t n)
{
    const int64_t at = tiny->n;
    tiny->values[at] = lrc_calloc(n, sizeof(float));
    tiny->bytes[at] = lrc_calloc(n, sizeof(float));
    cr_assert(tiny->values[at] && tiny->bytes[at]);
    for (int64_t i = 0; i < n; i++)
        tiny->values[at][i] = number(at, i);
}

static void add_dense(struct tiny *tiny, const struct kind *kind, const char *name, int64_t rows,
                      int64_t cols)
{
    const int64_t at = tiny->n, n = rows * (cols > 0 ? cols : 1);
    fill(tiny, n);
    lrc_dtype_from_f32(tiny->bytes[at], kind->dtype, tiny->values[at], n);
    lrc_dtype_to_f32(tiny->values[at], tiny->bytes[at], kind->dtype, n);
    (void)add_spec(tiny, name, kind->dtype, rows, cols, tiny->bytes[at]);
}

/* As bitsandbytes stores it, without double quantization. */
static void add_4bit(struct tiny *tiny, const char *name, int64_t rows, int64_t cols)
{
    const struct lrc_quant_options options = { lrc_quant_type_find("nf4"), 64, 0 };
    const int64_t                  at = tiny->n, n = rows * cols;
    struct lrc_weight              weight;
    char                           part[160];
    fill(tiny, n);
    const struct lrc_weight source = {
        .rows = rows, .cols = cols, .dtype = LRC_DTYPE_F32, .data = tiny->values[at]
    };
    tiny->blocks[at] = lrc_calloc((int64_t)lrc_quant_bytes(rows, cols, &options), 1);
    cr_assert_eq(lrc_quantize(&weight, tiny->blocks[at], &source, &options, &err), LRC_STATUS_OK, "%s",
                 err.message);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t byte = ((const uint8_t *)weight.data)[i / 2];
        tiny->values[at][i] = weight.code[i % 2 == 0 ? byte >> 4 : byte & 15] * weight.absmax[i / 64];
    }
    (void)add_spec(tiny, name, LRC_DTYPE_U8, (n + 1) / 2, 1, weight.data);
    (void)snprintf(part, sizeof part, "%s.absmax", name);
    (void)add_spec(tiny, part, LRC_DTYPE_F32, (n + 63) / 64, 0, weight.absmax);
    (void)snprintf(part, sizeof part, "%s.quant_map", name);
    (void)add_spec(tiny, part, LRC_DTYPE_F32, 16, 0, weight.code);
    (void)snprintf(
        tiny->json[at], sizeof tiny->json[0],
        "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", \"shape\": [%d, %d]}",
        (int)rows, (int)cols);
    (void)snprintf(part, sizeof part, "%s.quant_state.bitsandbytes__nf4", name);
    (void)add_spec(tiny, part, LRC_DTYPE_U8, (int64_t)strlen(tiny->json[at]), 0, tiny->json[at]);
}

static const struct {
    const char *name;
    int         rows, cols; /* 0 rows, -1 columns: as many as the feed-forward is wide */
} parts[] = { { "input_layernorm", HIDDEN, 0 },
              { "post_attention_layernorm", HIDDEN, 0 },
              { "self_attn.q_proj", HIDDEN, HIDDEN },
              { "self_attn.k_proj", HIDDEN / 2, HIDDEN },
              { "self_attn.v_proj", HIDDEN / 2, HIDDEN },
              { "self_attn.o_proj", HIDDEN, HIDDEN },
              { "mlp.gate_proj", 0, HIDDEN },
              { "mlp.up_proj", 0, HIDDEN },
              { "mlp.down_proj", HIDDEN, -1 } };

static struct tiny *make_model(const struct kind *kind)
{
    struct tiny *tiny = calloc(1, sizeof *tiny);
    add_dense(tiny, kind, "model.embed_tokens.weight", VOCAB, HIDDEN);
    for (int l = 0; l < LAYERS; l++)
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            char name[96];
            (void)snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, parts[k].name);
            const int rows = parts[k].rows ? parts[k].rows : kind->inner,
                      cols = parts[k].cols >= 0 ? parts[k].cols : kind->inner;
            if (kind->is_4bit && cols > 0)
                add_4bit(tiny, name, rows, cols);
            else
                add_dense(tiny, kind, name, rows, cols);
        }
    add_dense(tiny, kind, "model.norm.weight", HIDDEN, 0);
    if (!kind->tied)
        add_dense(tiny, kind, "lm_head.weight", VOCAB, HIDDEN);
    return tiny;
}

static void free_model(struct tiny *tiny)
{
    for (int64_t i = 0; i < tiny->n; i++) {
        lrc_free(tiny->blocks[i]);
        lrc_free(tiny->values[i]);
        lrc_free(tiny->bytes[i]);
    }
    free(tiny);
}

static const char *in(const char *dir, const char *name)
{
    static char     paths[256][1200]; /* more than a test asks for */
    static unsigned turn;
    char           *path = paths[turn++ % 256];
    cr_assert_lt(snprintf(path, sizeof paths[0], "%s/%s", dir, name), (int)sizeof paths[0]);
    return path;
}

static void write_text(const char *dir, const char *name, const char *text)
{
    cr_assert_eq(lrc_file_write(in(dir, name), text, strlen(text), &err), LRC_STATUS_OK, "%s", err.message);
}

static const char *const metadata[] = { "format", "pt", "origin", "made here", NULL };

#define CONFIG_START                                                                                         \
    "{\n  \"model_type\": \"llama\",\n  \"hidden_size\": %d, \"intermediate_size\": %d, "                    \
    "\"num_hidden_layers\": 2,\n"                                                                            \
    "  \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 20,\n  \"rms_norm_eps\": "    \
    "1e-05,"
#define CONFIG_QUANT                                                                                         \
    "\n  \"quantization_config\": {\"load_in_4bit\": true, \"quant_method\": \"bitsandbytes\", \"x\": "      \
    "\"}\\\"\"},"
#define CONFIG_END "\n  \"max_position_embeddings\": 16, \"tie_word_embeddings\": %s\n}\n"

static void write_config(const char *dir, const struct kind *kind)
{
    char text[1000];
    (void)snprintf(text, sizeof text,
                   kind->is_4bit ? CONFIG_START CONFIG_QUANT CONFIG_END : CONFIG_START CONFIG_END, HIDDEN,
                   kind->inner, kind->tied ? "true" : "false");
    write_text(dir, "config.json", text);
    write_text(dir, "tokenizer.json", "{}");
    write_text(dir, "generation_config.json", "{\"eos_token_id\": 2}");
}

static void write_model(const char *dir, const struct tiny *tiny, const struct kind *kind)
{
    write_config(dir, kind);
    if (kind->shards == 1) {
        cr_assert_eq(
            lrc_safetensors_write(in(dir, "model.safetensors"), tiny->specs, tiny->n, metadata, &err),
            LRC_STATUS_OK);
        return;
    }
    struct lrc_buf index = { 0 };
    const int64_t  first = tiny->n / 2 + 1; /* cuts a 4-bit linear from its side tensors */
    lrc_buf_puts(&index,
                 "{\n  \"metadata\": {\"total_size\": 1, \"total_parameters\": 7},\n  \"weight_map\": {");
    for (int64_t i = 0; i < tiny->n; i++)
        lrc_buf_printf(&index, "%s\n    \"%s\": \"model-0000%d-of-00002.safetensors\"", i ? "," : "",
                       tiny->specs[i].name, i < first ? 1 : 2);
    lrc_buf_puts(&index, "\n  }\n}\n");
    write_text(dir, "model.safetensors.index.json", lrc_buf_text(&index));
    lrc_buf_release(&index);
    cr_assert_eq(lrc_safetensors_write(in(dir, "model-00001-of-00002.safetensors"), tiny->specs, first,
                                       metadata, &err),
                 LRC_STATUS_OK);
    cr_assert_eq(lrc_safetensors_write(in(dir, "model-00002-of-00002.safetensors"), tiny->specs + first,
                                       tiny->n - first, metadata, &err),
                 LRC_STATUS_OK);
}

struct pair {
    char  name[120];
    int   rows, cols;
    float a[RANK * INNER_MAX], b[HIDDEN * RANK];
};
struct tiny_adapter {
    struct pair pairs[2 * LAYERS];
};

/* On q_proj and down_proj. b_scale 0: B is zero. */
static void write_adapter(struct tiny_adapter *adapter, const char *dir, int inner, float b_scale,
                          const char *base_hash)
{
    struct lrc_safetensors_spec specs[4 * LAYERS];
    char                        names[4 * LAYERS][160];
    const char *const           base_metadata[] = { "format", "pt", "lorica.base_sha256", base_hash, NULL };
    for (int p = 0; p < 2 * LAYERS; p++) {
        struct pair *pair = &adapter->pairs[p];
        pair->rows = HIDDEN;
        pair->cols = p % 2 ? inner : HIDDEN;
        (void)snprintf(pair->name, sizeof pair->name, "model.layers.%d.%s", p / 2,
                       p % 2 ? "mlp.down_proj" : "self_attn.q_proj");
        for (int i = 0; i < RANK * pair->cols; i++)
            pair->a[i] = number(100 + p, i);
        for (int i = 0; i < pair->rows * RANK; i++)
            pair->b[i] = b_scale * number(200 + p, i);
        (void)snprintf(names[2 * p], sizeof names[0], "base_model.model.%s.lora_A.weight", pair->name);
        (void)snprintf(names[2 * p + 1], sizeof names[0], "base_model.model.%s.lora_B.weight", pair->name);
        specs[2 * p] =
            (struct lrc_safetensors_spec){ names[2 * p], LRC_DTYPE_F32, 2, { RANK, pair->cols }, pair->a };
        specs[2 * p + 1] = (struct lrc_safetensors_spec){
            names[2 * p + 1], LRC_DTYPE_F32, 2, { pair->rows, RANK }, pair->b
        };
    }
    write_text(dir, "adapter_config.json",
               "{\"peft_type\": \"LORA\", \"task_type\": \"CAUSAL_LM\", \"r\": 4, \"lora_alpha\": 8, "
               "\"lora_dropout\": 0.0, "
               "\"bias\": \"none\", \"target_modules\": [\"q_proj\", \"down_proj\"], "
               "\"base_model_name_or_path\": \"x\"}");
    cr_assert_eq(lrc_safetensors_write(in(dir, "adapter_model.safetensors"), specs, 4 * LAYERS,
                                       base_hash ? base_metadata : metadata, &err),
                 LRC_STATUS_OK);
}

/* ------------------------------------------------------------------ what is checked */

static struct lrc_merge_report report;

static enum lrc_status merge(const char *base, const char *adapter, const char *out, int any_base)
{
    struct lrc_problems            problems = { 0 };
    const struct lrc_merge_options options = { base, adapter, out, any_base, NULL };
    const enum lrc_status          status = lrc_merge(&options, &report, &problems, &err);
    lrc_problems_release(&problems);
    return status;
}

static const struct pair *pair_of(const struct tiny_adapter *adapter, const char *name)
{
    for (int p = 0; p < 2 * LAYERS; p++) {
        const size_t n = strlen(adapter->pairs[p].name);
        if (strncmp(name, adapter->pairs[p].name, n) == 0 && strcmp(name + n, ".weight") == 0)
            return &adapter->pairs[p];
    }
    return NULL;
}

/* W + 2 B A in double, and the float32 error that is allowed before the one rounding. */
static double expected(double *slack, const struct pair *pair, const float *w, int64_t i)
{
    const int64_t r = i / pair->cols, c = i % pair->cols;
    double        delta = 0.0, size = fabs((double)w[i]);
    for (int k = 0; k < RANK; k++) {
        const double product = 2.0 * (double)pair->b[r * RANK + k] * (double)pair->a[k * pair->cols + c];
        delta += product;
        size += fabs(product);
    }
    *slack = (RANK + 3) * 0x1p-24 * size;
    return (double)w[i] + delta;
}

static double unit_of(enum lrc_dtype dtype)
{
    return dtype == LRC_DTYPE_BF16 ? 0x1p-8 : dtype == LRC_DTYPE_F16 ? 0x1p-11 : 0x1p-24;
}

static void check_tensor(const struct lrc_safetensors_entry *entry, const float *w, int64_t n,
                         const struct pair *pair)
{
    float *got = lrc_calloc(n, sizeof *got);
    cr_assert_eq(entry->n_elems, n, "%s", entry->name);
    lrc_dtype_to_f32(got, entry->data, entry->dtype, n);
    for (int64_t i = 0; i < n; i++) {
        double       slack = 0.0;
        const double want = pair ? expected(&slack, pair, w, i) : (double)w[i];
        const double allowed =
            slack +
            (pair || entry->dtype == LRC_DTYPE_BF16 ? unit_of(entry->dtype) * fabs(want) * 1.01 : 0.0);
        cr_assert(fabs((double)got[i] - want) <= allowed, "%s[%d]: want %.9g, got %.9g", entry->name, (int)i,
                  want, (double)got[i]);
    }
    lrc_free(got);
}

static int is_side_tensor(const char *name)
{
    const char *weight = strstr(name, ".weight");
    return weight && strlen(weight) > sizeof ".weight" - 1;
}

static void check_merged(const char *out, const struct tiny *tiny, const struct tiny_adapter *adapter,
                         const struct kind *kind)
{
    struct lrc_model_dir dir;
    struct lrc_problems  problems = { 0 };
    int64_t              n_tensors = 0;
    cr_assert_eq(lrc_model_dir_open(&dir, out, &problems, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(problems.count, 0, "%s", lrc_buf_text(&problems.text));
    for (int64_t i = 0; i < tiny->n; i++) {
        const struct lrc_safetensors_spec  *spec = &tiny->specs[i];
        const struct lrc_safetensors_entry *entry = lrc_model_dir_find(&dir, spec->name);
        if (is_side_tensor(spec->name)) {
            cr_expect_null(entry, "%s", spec->name);
            continue;
        }
        cr_assert(entry, "%s", spec->name);
        n_tensors++;
        const int was_4bit = spec->dtype == LRC_DTYPE_U8;
        cr_expect_eq(entry->dtype, was_4bit ? LRC_DTYPE_BF16 : kind->dtype, "%s", spec->name);
        check_tensor(entry, tiny->values[i],
                     was_4bit ? entry->n_elems : spec->shape[0] * (spec->n_dims == 2 ? spec->shape[1] : 1),
                     pair_of(adapter, spec->name));
    }
    cr_expect_eq(dir.n_tensors, n_tensors);
    cr_expect_eq(report.n_tensors, n_tensors);
    for (int s = 0; s < dir.n_shards; s++)
        cr_expect_str_eq(lrc_safetensors_metadata(&dir.shards[s], "origin"), "made here");
    lrc_model_dir_close(&dir);
}

static void expect_text(const char *path, const char *want)
{
    struct lrc_buf text = { 0 };
    cr_assert_eq(lrc_file_read(&text, path, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_str_eq(lrc_buf_text(&text), want);
    lrc_buf_release(&text);
}

static void expect_same_file(const char *a, const char *b, const char *name)
{
    struct lrc_map x, y;
    cr_assert_eq(lrc_map_open(&x, in(a, name), &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_map_open(&y, in(b, name), &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect(x.size_bytes == y.size_bytes && memcmp(x.data, y.data, x.size_bytes) == 0, "%s", name);
    lrc_map_close(&x);
    lrc_map_close(&y);
}

/* The index lists what is there, with its size. */
static void check_index(const char *base, const char *out, const struct kind *kind)
{
    json_t *index;
    if (!kind->is_4bit) {
        expect_same_file(base, out, "model.safetensors.index.json");
        return;
    }
    cr_assert_eq(lrc_json_load(&index, in(out, "model.safetensors.index.json"), &err), LRC_STATUS_OK);
    json_t *meta = json_object_get(index, "metadata");
    cr_expect_eq(json_object_size(json_object_get(index, "weight_map")), (size_t)report.n_tensors);
    cr_expect_eq(json_integer_value(json_object_get(meta, "total_parameters")), 7);
    const int64_t elems =
        2 * VOCAB * HIDDEN + 5 * HIDDEN + LAYERS * (3 * HIDDEN * HIDDEN + 3 * HIDDEN * kind->inner);
    cr_expect_eq(json_integer_value(json_object_get(meta, "total_size")), 2 * elems);
    json_decref(index);
}

static void run_kind(const struct kind *kind)
{
    static struct tiny_adapter adapter;
    char                       dir[64], out[1200];
    (void)snprintf(dir, sizeof dir, "merge-%s", kind->name);
    const char  *root = test_folder(dir), *base = in(root, "base"), *adapter_dir = in(root, "adapter");
    struct tiny *tiny = make_model(kind);
    cr_assert_eq(lrc_dir_make(base, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_dir_make(adapter_dir, &err), LRC_STATUS_OK);
    write_model(base, tiny, kind);
    write_adapter(&adapter, adapter_dir, kind->inner, 4.0f, NULL);
    (void)snprintf(out, sizeof out, "%s/deep/merged/", root);
    cr_assert_eq(merge(base, adapter_dir, out, 0), LRC_STATUS_OK, "%s: %s", kind->name, err.message);
    check_merged(out, tiny, &adapter, kind);
    cr_expect_eq(report.n_merged, 2 * LAYERS);
    cr_expect_eq(report.n_weights, LAYERS * (HIDDEN * HIDDEN + HIDDEN * kind->inner));
    cr_expect_gt(report.n_changed, report.n_weights / 2);
    cr_expect(report.proof_max > 0.0 && report.proof_max < 1.0, "%g", report.proof_max);
    cr_expect_not(lrc_path_exists(in(root, "deep/merged.tmp")));
    expect_text(in(out, "tokenizer.json"), "{}");
    expect_text(in(out, "generation_config.json"), "{\"eos_token_id\": 2}");
    struct kind plain = *kind;
    plain.is_4bit = 0;
    write_config(base, &plain); /* what is left of it without quantization_config, to the byte */
    expect_same_file(base, out, "config.json");
    if (kind->shards > 1)
        check_index(base, out, kind);
    free_model(tiny);
}

Test(merge, float32_weights)
{
    run_kind(&(struct kind){ "f32", LRC_DTYPE_F32, 1, 0, 0, INNER });
}

Test(merge, bf16_weights_tied)
{
    run_kind(&(struct kind){ "bf16-tied", LRC_DTYPE_BF16, 1, 1, 0, INNER });
}

Test(merge, f16_weights_in_two_shards)
{
    run_kind(&(struct kind){ "f16-shards", LRC_DTYPE_F16, 2, 0, 0, INNER });
}

Test(merge, four_bit_weights_become_bf16)
{
    run_kind(&(struct kind){ "nf4", LRC_DTYPE_BF16, 1, 0, 1, INNER });
}

Test(merge, four_bit_weights_in_two_shards)
{
    run_kind(&(struct kind){ "nf4-shards", LRC_DTYPE_BF16, 2, 0, 1, INNER });
}

Test(merge, steps_of_a_wide_model)
{
    run_kind(&(struct kind){ "steps", LRC_DTYPE_BF16, 1, 0, 0, INNER_STEPS });
    run_kind(&(struct kind){ "steps-nf4", LRC_DTYPE_BF16, 1, 1, 1, INNER_STEPS });
}

Test(merge, pieces_of_a_wide_model)
{
    run_kind(&(struct kind){ "pieces", LRC_DTYPE_F16, 1, 0, 0, INNER_MAX });
    run_kind(&(struct kind){ "pieces-nf4", LRC_DTYPE_BF16, 1, 1, 1, INNER_MAX });
}

/* Wherever the key stands, the rest of config.json stays as it is. */
Test(merge, quantization_config_is_cut_out_of_the_text)
{
#define REST                                                                                                 \
    "\"model_type\": \"llama\", \"hidden_size\": 40, \"intermediate_size\": 48, \"num_hidden_layers\": 2, "  \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 20, "                           \
    "\"max_position_embeddings\": 16, "                                                                      \
    "\"rope_theta\": 1e4, \"note\": \"\\\"quantization_config\\\": {\""
#define QUANT                                                                                                \
    "\"quantization_config\" : {\"load_in_4bit\": true, \"quant_method\": \"bitsandbytes\", \"a\": "         \
    "[\"]}\\\",\", {}]}"
    static const char *const configs[][2] = {
        { "{" QUANT ",\n  " REST "\n}\n", "{" REST "\n}\n" },
        { "{\n  " REST ",\n  " QUANT "\n}\n", "{\n  " REST "\n}\n" },
        { " { " REST " , " QUANT "}", " { " REST " }" },
    };
    static const struct kind   kind = { "", LRC_DTYPE_BF16, 1, 0, 1, INNER };
    static struct tiny_adapter pairs;
    struct tiny               *tiny = make_model(&kind);
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        const char *root = test_folder("merge-config"), *base = in(root, "base"),
                   *adapter = in(root, "adapter");
        cr_assert_eq(lrc_dir_make(base, &err), LRC_STATUS_OK);
        cr_assert_eq(lrc_dir_make(adapter, &err), LRC_STATUS_OK);
        write_model(base, tiny, &kind);
        write_adapter(&pairs, adapter, INNER, 1.0f, NULL);
        write_text(base, "config.json", configs[i][0]);
        cr_assert_eq(merge(base, adapter, in(root, "out"), 0), LRC_STATUS_OK, "%s", err.message);
        expect_text(in(root, "out/config.json"), configs[i][1]);
    }
    free_model(tiny);
}

/* A base in bf16 and an adapter in a fresh folder; their paths in *base and *adapter. */
static const char *prepare(const char *name, const char **base, const char **adapter, float b_scale,
                           const char *hash)
{
    static const struct kind   kind = { "bf16", LRC_DTYPE_BF16, 1, 0, 0, INNER };
    static struct tiny_adapter pairs;
    const char                *root = test_folder(name);
    struct tiny               *tiny = make_model(&kind);
    *base = in(root, "base");
    *adapter = in(root, "adapter");
    cr_assert_eq(lrc_dir_make(*base, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_dir_make(*adapter, &err), LRC_STATUS_OK);
    write_model(*base, tiny, &kind);
    write_adapter(&pairs, *adapter, INNER, b_scale, hash);
    free_model(tiny);
    return root;
}

static void expect_nothing_left(const char *root, const char *out)
{
    char aside[1300];
    (void)snprintf(aside, sizeof aside, "%s.tmp", in(root, out));
    cr_expect_not(lrc_path_exists(in(root, out)));
    cr_expect_not(lrc_path_exists(aside));
}

Test(merge, adapter_that_changes_nothing_is_refused)
{
    const char *base, *adapter, *root = prepare("merge-zero", &base, &adapter, 0.0f, NULL);
    cr_expect_eq(merge(base, adapter, in(root, "out"), 0), LRC_STATUS_NUMERIC);
    cr_expect(strstr(err.message, "want an adapter that changes a weight"), "%s", err.message);
    expect_nothing_left(root, "out");
    root = prepare("merge-below", &base, &adapter, 1e-9f, NULL);
    cr_expect_eq(merge(base, adapter, in(root, "out"), 0), LRC_STATUS_NUMERIC,
                 "every change below the rounding of bf16");
    expect_nothing_left(root, "out");
}

Test(merge, infinite_sum_is_refused_with_the_tensors_name)
{
    const char *base, *adapter, *root = prepare("merge-inf", &base, &adapter, 0x1p127f, NULL);
    cr_expect_eq(merge(base, adapter, in(root, "out"), 0), LRC_STATUS_OK, "as large as it gets: %s",
                 err.message);
    root = prepare("merge-inf", &base, &adapter, INFINITY, NULL);
    cr_expect_eq(merge(base, adapter, in(root, "out"), 0), LRC_STATUS_NUMERIC);
    cr_expect(strstr(err.message, "q_proj.weight: want finite") ||
                  strstr(err.message, "down_proj.weight: want finite"),
              "%s", err.message);
    expect_nothing_left(root, "out");
}

Test(merge, folder_that_is_not_empty_is_refused)
{
    const char *base, *adapter, *root = prepare("merge-busy", &base, &adapter, 1.0f, NULL);
    cr_assert_eq(lrc_dir_make(in(root, "out"), &err), LRC_STATUS_OK);
    write_text(in(root, "out"), "mine", "x");
    cr_expect_eq(merge(base, adapter, in(root, "out"), 0), LRC_STATUS_USAGE);
    expect_text(in(root, "out/mine"), "x");
    cr_expect_eq(merge(base, adapter, base, 0), LRC_STATUS_USAGE, "into the base itself");
    cr_expect_eq(merge(base, adapter, in(base, "config.json"), 0), LRC_STATUS_USAGE, "into a file");
    cr_assert_eq(lrc_dir_make(in(root, "empty"), &err), LRC_STATUS_OK);
    cr_expect_eq(merge(base, adapter, in(root, "empty"), 0), LRC_STATUS_OK, "%s", err.message);
}

Test(merge, adapter_of_another_base_is_refused)
{
    const char *base, *adapter;
    const char *root = prepare("merge-other", &base, &adapter, 1.0f,
                               "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    cr_expect_eq(merge(base, adapter, in(root, "out"), 0), LRC_STATUS_FORMAT);
    cr_expect(strstr(err.message, "--any-base"), "%s", err.message);
    expect_nothing_left(root, "out");
    cr_expect_eq(merge(base, adapter, in(root, "out"), 1), LRC_STATUS_OK, "%s", err.message);
}

Test(merge, full_disk_is_refused_before_anything_is_written_fault)
{
    const char *base, *adapter, *root = prepare("merge-full", &base, &adapter, 1.0f, NULL);
    cr_assert_eq(lrc_dir_make(in(root, "small"), &err), LRC_STATUS_OK);
    if (mount("tmpfs", in(root, "small"), "tmpfs", 0, "size=64k") != 0)
        cr_skip_test("no tmpfs can be mounted here");
    const enum lrc_status status = merge(base, adapter, in(root, "small/out"), 0);
    cr_expect_eq(status, LRC_STATUS_NOSPACE);
    cr_expect(strstr(err.message, "MiB"), "%s", err.message);
    expect_nothing_left(root, "small/out");
    cr_assert_eq(umount2(in(root, "small"), MNT_DETACH), 0);
}

Test(merge, merging_twice_gives_the_same_bytes)
{
    const char *base, *adapter, *root = prepare("merge-twice", &base, &adapter, 1.0f, NULL);
    cr_assert_eq(merge(base, adapter, in(root, "a"), 0), LRC_STATUS_OK);
    cr_assert_eq(merge(base, adapter, in(root, "b"), 0), LRC_STATUS_OK);
    expect_same_file(in(root, "a"), in(root, "b"), "model.safetensors");
}

/* PEFT's own adapter into its own base: every weight against W + s B A in double. */
Test(merge, fixture_agrees_with_double_precision)
{
    const char *model = test_asset("LRC_FIXTURES", "models/llama/model"),
               *adapter = test_asset("LRC_FIXTURES", "models/llama/adapter_final");
    const char            *out = in(test_folder("merge-fixture"), "out");
    struct lrc_safetensors base, merged, pairs;
    int                    n_merged = 0;
    cr_assert_eq(merge(model, adapter, out, 0), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_safetensors_open(&base, in(model, "model.safetensors"), &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_safetensors_open(&merged, in(out, "model.safetensors"), &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_safetensors_open(&pairs, in(adapter, "adapter_model.safetensors"), &err), LRC_STATUS_OK);
    cr_assert_eq(base.n_entries, merged.n_entries);
    for (int64_t t = 0; t < base.n_entries; t++) {
        const struct lrc_safetensors_entry *w = &base.entries[t], *got = &merged.entries[t];
        char                                name[300];
        const int                           n_stem = (int)(strlen(w->name) - (sizeof ".weight" - 1));
        cr_assert_str_eq(w->name, got->name);
        (void)snprintf(name, sizeof name, "base_model.model.%.*s.lora_A.weight", n_stem, w->name);
        const struct lrc_safetensors_entry *a = lrc_safetensors_find(&pairs, name);
        (void)snprintf(name, sizeof name, "base_model.model.%.*s.lora_B.weight", n_stem, w->name);
        const struct lrc_safetensors_entry *b = lrc_safetensors_find(&pairs, name);
        if (!a) {
            cr_expect_arr_eq(w->data, got->data, w->size_bytes, "%s", w->name);
            continue;
        }
        n_merged++;
        for (int64_t i = 0; i < w->n_elems; i++) {
            const int64_t rank = a->shape[0], r = i / w->shape[1], c = i % w->shape[1];
            float         wi, gi, x, y;
            memcpy(&wi, w->data + 4 * i, 4);
            memcpy(&gi, got->data + 4 * i, 4);
            double want = (double)wi, size = fabs(want);
            for (int64_t k = 0; k < rank; k++) {
                memcpy(&x, b->data + 4 * (r * rank + k), 4);
                memcpy(&y, a->data + 4 * (k * w->shape[1] + c), 4);
                want += 2.0 * (double)x * (double)y; /* lora_alpha 8, r 4 */
                size += fabs(2.0 * (double)x * (double)y);
            }
            cr_assert(fabs((double)gi - want) <= (double)(rank + 4) * 0x1p-24 * size,
                      "%s[%d]: want %.9g, got %.9g", w->name, (int)i, want, (double)gi);
        }
    }
    cr_expect_eq(2 * n_merged, (int)pairs.n_entries);
    lrc_safetensors_close(&base);
    lrc_safetensors_close(&merged);
    lrc_safetensors_close(&pairs);
}
