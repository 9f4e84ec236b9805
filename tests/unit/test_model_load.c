#include "base/alloc.h"
#include "model/model.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ a small model made here, so that
 * nothing is needed from outside */

enum { HIDDEN = 32, INNER = 48, LAYERS = 2, VOCAB = 20, SPECS_MAX = 64 };

struct made {
    struct lrc_safetensors_spec specs[SPECS_MAX];
    char                        names[SPECS_MAX][96];
    int64_t                     n;
    float                       values[INNER * HIDDEN]; /* shared by all tensors: sizes are at most this */
    uint16_t                    halves[INNER * HIDDEN];
};

static void add(struct made *made, enum lrc_dtype dtype, int64_t rows, int64_t cols, const char *name)
{
    struct lrc_safetensors_spec *spec = &made->specs[made->n];
    (void)snprintf(made->names[made->n], sizeof made->names[0], "%s", name);
    spec->name = made->names[made->n++];
    spec->dtype = dtype;
    spec->n_dims = cols > 0 ? 2 : 1;
    spec->shape[0] = rows;
    spec->shape[1] = cols;
    spec->data = dtype == LRC_DTYPE_F32 ? (const void *)made->values : made->halves;
}

static struct made *make_tensors(enum lrc_dtype dtype)
{
    struct made *made = calloc(1, sizeof *made);
    for (int i = 0; i < INNER * HIDDEN; i++)
        made->values[i] = (float)(i * 37 % 101 - 50) / 64.0f;
    lrc_dtype_from_f32(made->halves, LRC_DTYPE_BF16, made->values, INNER * HIDDEN);
    add(made, dtype, VOCAB, HIDDEN, "model.embed_tokens.weight");
    for (int l = 0; l < LAYERS; l++) {
        static const struct {
            const char *name;
            int         rows, cols;
        } parts[] = { { "input_layernorm.weight", HIDDEN, 0 },
                      { "post_attention_layernorm.weight", HIDDEN, 0 },
                      { "self_attn.q_proj.weight", HIDDEN, HIDDEN },
                      { "self_attn.k_proj.weight", HIDDEN / 2, HIDDEN },
                      { "self_attn.v_proj.weight", HIDDEN / 2, HIDDEN },
                      { "self_attn.o_proj.weight", HIDDEN, HIDDEN },
                      { "mlp.gate_proj.weight", INNER, HIDDEN },
                      { "mlp.up_proj.weight", INNER, HIDDEN },
                      { "mlp.down_proj.weight", HIDDEN, INNER } };
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            char name[96];
            (void)snprintf(name, sizeof name, "model.layers.%d.%s", l, parts[k].name);
            add(made, dtype, parts[k].rows, parts[k].cols, name);
        }
    }
    add(made, dtype, HIDDEN, 0, "model.norm.weight");
    add(made, dtype, VOCAB, HIDDEN, "lm_head.weight");
    return made;
}

static const char config_text[] =
    "{\"model_type\":\"llama\",\"hidden_size\":32,\"intermediate_size\":48,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":20,\"max_position_embeddings\":16}";

static void write_text(const char *dir, const char *name, const char *text)
{
    struct lrc_error err = { 0 };
    char            *path = lrc_path_join(dir, name);
    cr_assert_eq(lrc_file_write(path, text, strlen(text), &err), LRC_STATUS_OK, "%s", err.message);
    lrc_free(path);
}

static void write_tensors(const char *dir, const char *name, const struct lrc_safetensors_spec *specs,
                          int64_t n)
{
    struct lrc_error err = { 0 };
    char            *path = lrc_path_join(dir, name);
    cr_assert_eq(lrc_safetensors_write(path, specs, n, NULL, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_free(path);
}

static const char *write_model(const char *name, const struct made *made)
{
    const char *dir = test_folder(name);
    write_text(dir, "config.json", config_text);
    write_tensors(dir, "model.safetensors", made->specs, made->n);
    return dir;
}

static enum lrc_status load(struct lrc_model *model, const char *dir, const struct lrc_model_options *options,
                            struct lrc_buf *text)
{
    struct lrc_problems   problems = { 0 };
    struct lrc_error      err = { 0 };
    const enum lrc_status status = lrc_model_load(model, dir, options, &problems, &err);
    lrc_buf_clear(text);
    lrc_buf_printf(text, "%s%s", lrc_buf_text(&problems.text), err.message);
    lrc_problems_release(&problems);
    return status;
}

static void load_ok(struct lrc_model *model, const char *dir, const struct lrc_model_options *options)
{
    struct lrc_buf text = { 0 };
    cr_assert_eq(load(model, dir, options, &text), LRC_STATUS_OK, "%s: %s", dir, lrc_buf_text(&text));
    lrc_buf_release(&text);
}

static void expect_refused(const char *dir, enum lrc_status want, const char *const *messages, int n)
{
    const struct lrc_model_options options = { 0 };
    struct lrc_model               model;
    struct lrc_buf                 text = { 0 };
    cr_expect_eq(load(&model, dir, &options, &text), want, "%s", lrc_buf_text(&text));
    for (int i = 0; i < n; i++)
        cr_expect(strstr(lrc_buf_text(&text), messages[i]), "want '%s' in: %s", messages[i],
                  lrc_buf_text(&text));
    lrc_buf_release(&text);
}

static int is_in_map(const struct lrc_model *model, const void *data)
{
    for (int i = 0; i < model->dir.n_shards; i++) {
        const struct lrc_map *map = &model->dir.shards[i].map;
        if ((const unsigned char *)data >= map->data &&
            (const unsigned char *)data < map->data + map->size_bytes)
            return 1;
    }
    return 0;
}

Test(model_load, dense_weights_stay_in_the_map)
{
    const struct lrc_model_options options = { .n_positions = 9 };
    struct made                   *made = make_tensors(LRC_DTYPE_BF16);
    struct lrc_model               model;
    load_ok(&model, write_model("model-dense", made), &options);
    cr_expect(is_in_map(&model, model.embedding.data) && is_in_map(&model, model.output.data));
    cr_expect_neq(model.embedding.data, model.output.data);
    cr_expect(is_in_map(&model, model.layers[1].norm_mlp.data));
    cr_expect_eq(model.layers[1].linear[LRC_MODULE_DOWN].weight.cols, INNER);
    cr_expect_eq(model.layers[0].linear[LRC_MODULE_K].weight.rows, HIDDEN / 2);
    cr_expect_null(model.layers[0].linear[LRC_MODULE_K].bias.data);
    cr_expect_arr_eq(model.layers[1].linear[LRC_MODULE_UP].weight.data, made->halves, sizeof made->halves);
    cr_expect_eq(model.n_positions, 9);
    cr_expect_eq(model.copies, NULL);
    lrc_model_release(&model);
    lrc_model_release(&model);
    free(made);
}

/* One byte before the tensors makes every one of them unaligned. */
Test(model_load, unaligned_weights_are_copied)
{
    const struct lrc_model_options options = { 0 };
    struct made                   *made = make_tensors(LRC_DTYPE_BF16);
    struct lrc_model               model;
    const char                    *dir = write_model("model-unaligned", made);
    struct lrc_buf                 file = { 0 };
    struct lrc_error               err = { 0 };
    char                          *path = lrc_path_join(dir, "model.safetensors");
    cr_assert_eq(lrc_file_read(&file, path, &err), LRC_STATUS_OK);
    lrc_buf_append(&file, "", 1); /* grow by one, then open a gap behind the header */
    const size_t n_header = (size_t)(unsigned char)file.data[0] | (size_t)(unsigned char)file.data[1] << 8;
    memmove(file.data + 8 + n_header + 1, file.data + 8 + n_header, file.len - 1 - 8 - n_header);
    file.data[8 + n_header] = ' ';
    file.data[0] = (char)((n_header + 1) & 255);
    file.data[1] = (char)((n_header + 1) >> 8);
    cr_assert_eq(lrc_file_write(path, file.data, file.len, &err), LRC_STATUS_OK);
    load_ok(&model, dir, &options);
    cr_expect_not(is_in_map(&model, model.embedding.data));
    cr_expect_eq((uintptr_t)model.layers[0].linear[LRC_MODULE_UP].weight.data % 64, 0);
    cr_expect_arr_eq(model.layers[1].linear[LRC_MODULE_UP].weight.data, made->halves, sizeof made->halves);
    lrc_model_release(&model);
    lrc_buf_release(&file);
    lrc_free(path);
    free(made);
}

Test(model_load, trainable_weights_are_float32_copies)
{
    const struct lrc_model_options options = { .trainable = 1 };
    struct made                   *made = make_tensors(LRC_DTYPE_BF16);
    struct lrc_model               model;
    float                          want[INNER * HIDDEN];
    load_ok(&model, write_model("model-trainable", made), &options);
    lrc_dtype_to_f32(want, made->halves, LRC_DTYPE_BF16, INNER * HIDDEN);
    const struct lrc_weight *up = &model.layers[1].linear[LRC_MODULE_UP].weight;
    cr_expect_eq(up->dtype, LRC_DTYPE_F32);
    cr_expect_not(is_in_map(&model, up->data));
    cr_expect_arr_eq(up->data, want, sizeof want);
    cr_expect_eq(model.final_norm.dtype, LRC_DTYPE_F32);
    lrc_model_release(&model);
    free(made);
}

Test(model_load, four_bit_touches_the_linears_alone)
{
    struct lrc_model_options options = { .load_in_4bit = 1, .quant = { lrc_quant_type_find("nf4"), 64, 1 } };
    struct made             *made = make_tensors(LRC_DTYPE_BF16);
    struct lrc_model         model;
    const char              *dir = write_model("model-4bit", made);
    struct lrc_buf           text = { 0 };
    load_ok(&model, dir, &options);
    for (int l = 0; l < LAYERS; l++)
        for (int k = 0; k < LRC_MODULE_COUNT; k++)
            cr_expect_eq(model.layers[l].linear[k].weight.type, LRC_BLOCK_NF4);
    cr_expect_eq(model.embedding.type, LRC_BLOCK_DENSE);
    cr_expect(is_in_map(&model, model.output.data));
    lrc_model_release(&model);
    options.trainable = 1;
    cr_expect_eq(load(&model, dir, &options, &text), LRC_STATUS_CONFIG);
    lrc_buf_release(&text);
    free(made);
}

Test(model_load, absent_output_layer_means_tied)
{
    const struct lrc_model_options options = { 0 };
    struct made                   *made = make_tensors(LRC_DTYPE_F32);
    struct lrc_model               model;
    struct lrc_model_tensor        tensor;
    int64_t                        n = 0;
    made->n--;
    load_ok(&model, write_model("model-tied", made), &options);
    cr_expect(model.config.tied);
    cr_expect_eq(model.output.data, model.embedding.data);
    while (lrc_model_tensor_at(&tensor, &model, n)) {
        cr_expect_str_eq(tensor.name, made->names[n] /* the same order as here: norms, linears */);
        n++;
    }
    cr_expect_eq(n, made->n);
    lrc_model_release(&model);
    free(made);
}

Test(model_load, every_wrong_tensor_is_listed)
{
    static const char *const messages[] = {
        "'model.layers.0.self_attn.q_proj.weight': want shape (32, 32), got (16, 32)",
        "'model.layers.1.mlp.up_proj.weight': want F32, F16 or BF16, got U16",
        "'model.norm.weight' is missing", "'surprise.weight' belongs to no part", "4 problems"
    };
    struct made *made = make_tensors(LRC_DTYPE_F32);
    add(made, LRC_DTYPE_F32, 4, 0, "model.layers.0.self_attn.rotary_emb.inv_freq");
    for (int64_t i = 0; i < made->n; i++) {
        if (strcmp(made->names[i], "model.layers.0.self_attn.q_proj.weight") == 0)
            made->specs[i].shape[0] = 16;
        if (strcmp(made->names[i], "model.layers.1.mlp.up_proj.weight") == 0)
            made->specs[i].dtype = LRC_DTYPE_U16;
        if (strcmp(made->names[i], "model.norm.weight") == 0)
            (void)snprintf(made->names[i], sizeof made->names[0], "surprise.weight");
    }
    expect_refused(write_model("model-wrong", made), LRC_STATUS_FORMAT, messages, 5);
    free(made);
}

Test(model_load, non_finite_weight_is_named_when_quantizing)
{
    const struct lrc_model_options options = { .load_in_4bit = 1,
                                               .quant = { lrc_quant_type_find("nf4"), 64, 0 } };
    struct made                   *made = make_tensors(LRC_DTYPE_BF16);
    struct lrc_model               model;
    struct lrc_buf                 text = { 0 };
    made->halves[5] = 0x7fc0;
    cr_expect_eq(load(&model, write_model("model-nan", made), &options, &text), LRC_STATUS_NUMERIC);
    cr_expect(strstr(lrc_buf_text(&text), "'model.layers.0.self_attn.q_proj.weight': element 5"), "%s",
              lrc_buf_text(&text));
    lrc_buf_release(&text);
    free(made);
}

/* ------------------------------------------------------------------ shards */

static const char *write_sharded(const char *name, const struct made *made, int64_t n_first,
                                 const char *index)
{
    const char *dir = test_folder(name);
    write_text(dir, "config.json", config_text);
    write_tensors(dir, "a.safetensors", made->specs, n_first);
    write_tensors(dir, "b.safetensors", made->specs + n_first, made->n - n_first);
    struct lrc_buf text = { 0 };
    lrc_buf_puts(&text, "{\"weight_map\":{");
    for (int64_t i = 0; i < made->n; i++)
        lrc_buf_printf(&text, "%s\"%s\":\"%s\"", i > 0 ? "," : "", made->names[i],
                       i < n_first ? "a.safetensors" : "b.safetensors");
    lrc_buf_puts(&text, "}}");
    write_text(dir, "model.safetensors.index.json", index ? index : text.data);
    lrc_buf_release(&text);
    return dir;
}

Test(model_load, hash_does_not_depend_on_sharding)
{
    const struct lrc_model_options options = { 0 };
    struct made                   *made = make_tensors(LRC_DTYPE_F32);
    struct lrc_model               whole, parts;
    struct lrc_error               err = { 0 };
    load_ok(&whole, write_model("model-whole", made), &options);
    load_ok(&parts, write_sharded("model-parts", made, 7, NULL), &options);
    cr_expect_eq(parts.dir.n_shards, 2);
    cr_assert_eq(lrc_model_hash(&whole, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_model_hash(&parts, &err), LRC_STATUS_OK);
    cr_expect_str_eq(whole.hash, parts.hash);
    cr_expect_eq(strlen(whole.hash), 64);
    lrc_model_release(&whole);
    lrc_model_release(&parts);
    free(made);
}

Test(model_load, what_is_wrong_with_shards_is_listed)
{
    static const char index[] = "{\"weight_map\":{\"model.norm.weight\":\"a.safetensors\",\"model.embed_"
                                "tokens.weight\":\"a.safetensors\","
                                "\"x\":\"missing.safetensors\",\"lm_head.weight\":\"b.safetensors\"}}";
    static const char *const messages[] = { "missing.safetensors: the index names this file",
                                            "'model.norm.weight': want it in a.safetensors" };
    static const char *const outside[] = { "want the name of a file in this folder" }, *const map[] = {
        "'weight_map'"
    };
    static const char *const twice[] = {
        "tensor 'model.embed_tokens.weight' is in a.safetensors and in b.safetensors"
    };
    struct made             *made = make_tensors(LRC_DTYPE_F32);
    expect_refused(write_sharded("model-shards", made, 7, index), LRC_STATUS_FORMAT, messages, 2);
    expect_refused(write_sharded("model-outside", made, 7, "{\"weight_map\":{\"x\":\"../x.safetensors\"}}"),
                   LRC_STATUS_FORMAT, outside, 1);
    expect_refused(write_sharded("model-map", made, 7, "{\"weight_map\":{}}"), LRC_STATUS_FORMAT, map, 1);
    const char *dir = write_sharded("model-twice", made, 7, NULL);
    write_tensors(dir, "b.safetensors", made->specs, made->n);
    expect_refused(dir, LRC_STATUS_FORMAT, twice, 1);
    free(made);
}

Test(model_load, what_is_no_model_folder_is_said)
{
    static const char *const config[] = { "with config.json" }, *const weights[] = { "found neither" },
                             *const pickle[] = { "pickle" };
    static const char *const nothing[] = { "nothing here" };
    const char              *dir = test_folder("model-empty");
    expect_refused("/nonexistent/model", LRC_STATUS_IO, nothing, 1);
    expect_refused(dir, LRC_STATUS_FORMAT, config, 1);
    write_text(dir, "config.json", config_text);
    expect_refused(dir, LRC_STATUS_FORMAT, weights, 1);
    write_text(dir, "pytorch_model.bin", "x");
    expect_refused(dir, LRC_STATUS_UNSUPPORTED, pickle, 1);
}

Test(model_load, rest_of_the_folder_is_copied_without_weights)
{
    static const char *const names[] = { "LICENSE", "generation_config.json", "tokenizer.json", "x.jinja",
                                         "y.bin",   "z.safetensors",          ".hidden" };
    char *from = lrc_strdup(test_folder("model-from")), *to = lrc_strdup(test_folder("model-to"));
    struct made             *made = make_tensors(LRC_DTYPE_F32);
    struct lrc_model_dir     dir;
    struct lrc_problems      problems = { 0 };
    struct lrc_error         err = { 0 };
    char                   **found;
    int64_t                  n_found;
    write_text(from, "config.json", config_text);
    write_tensors(from, "model.safetensors", made->specs, made->n);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        write_text(from, names[i], "{}");
    cr_assert_eq(lrc_model_dir_open(&dir, from, &problems, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_model_dir_copy_rest(&dir, to, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_dir_list(to, &found, &n_found, &err), LRC_STATUS_OK);
    cr_expect_eq(n_found, 4);
    lrc_dir_list_free(found, n_found);
    cr_assert_eq(lrc_dir_remove(to, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_dir_make(to, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_model_dir_copy_tokenizer(from, to, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_dir_list(to, &found, &n_found, &err), LRC_STATUS_OK);
    cr_expect_eq(n_found, 2);
    lrc_dir_list_free(found, n_found);
    lrc_model_dir_close(&dir);
    lrc_free(from);
    lrc_free(to);
    free(made);
}

Test(model_load, every_failing_allocation_is_reported_fault)
{
    const struct lrc_model_options options = { .load_in_4bit = 1,
                                               .quant = { lrc_quant_type_find("nf4"), 64, 1 } };
    struct made                   *made = make_tensors(LRC_DTYPE_BF16);
    const char                    *dir = write_sharded("model-fault", made, 7, NULL);
    enum lrc_status                status = LRC_STATUS_NOMEM;
    for (int64_t k = 0; status != LRC_STATUS_OK; k++) {
        struct lrc_model    model;
        struct lrc_problems problems = { 0 };
        struct lrc_error    err = { 0 };
        cr_assert_lt(k, 1000);
        test_alloc_fail_at(k);
        status = lrc_model_load(&model, dir, &options, &problems, &err);
        if (status == LRC_STATUS_OK)
            lrc_model_release(&model);
        lrc_problems_release(&problems);
        test_alloc_restore();
        cr_assert(status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM, "allocation %d: %s", (int)k,
                  err.message);
        cr_assert_eq(test_alloc_live(), 0, "allocation %d", (int)k);
    }
    free(made);
}
