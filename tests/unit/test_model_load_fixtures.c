/* Folders that the reference implementations wrote. */
#include "formats/safetensors.h"
#include "model/model.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void load_ok(struct lrc_model *model, const char *dir, const struct lrc_model_options *options)
{
    struct lrc_problems   problems = { 0 };
    struct lrc_error      err = { 0 };
    const enum lrc_status status = lrc_model_load(model, dir, options, &problems, &err);
    cr_assert_eq(status, LRC_STATUS_OK, "%s: %s %s", dir, err.message, lrc_buf_text(&problems.text));
    lrc_problems_release(&problems);
}

Test(model_load_fixtures, folders_of_the_reference_are_loaded)
{
    static const char *const folders[] = { "models/llama/model",
                                           "models/llama_gqa_tied/model",
                                           "models/mistral/model",
                                           "models/qwen2/model",
                                           "models/qwen2_sliding/model",
                                           "models/llama/model_bf16",
                                           "models/qwen2/model_bf16",
                                           "models/llama/qlora_nf4/model",
                                           "numerics/data/bnb_llama/base",
                                           "numerics/data/bnb_llama/nf4",
                                           "numerics/data/bnb_llama/nf4_dq",
                                           "numerics/data/bnb_llama/nf4_dq_bf16",
                                           "numerics/data/bnb_llama/fp4_f16" };
    const struct lrc_model_options options = { 0 };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct lrc_model        model;
        struct lrc_model_tensor tensor;
        load_ok(&model, test_asset("LRC_FIXTURES", folders[i]), &options);
        for (int64_t k = 0; lrc_model_tensor_at(&tensor, &model, k); k++)
            cr_expect(tensor.weight ? tensor.weight->data : tensor.vector->data, "%s: %s", folders[i],
                      tensor.name);
        lrc_model_release(&model);
    }
}

static float value_of(const struct lrc_weight *w, int64_t i)
{
    const uint8_t byte = ((const uint8_t *)w->data)[i / 2];
    const float   code = w->code[i % 2 == 0 ? byte >> 4 : byte & 15];
    const int64_t block = i / w->block_elems;
    if (!w->absmax_code)
        return code * w->absmax[block];
    const float product =
        w->nested_map[w->absmax_code[block]] * w->nested_absmax[block / w->nested_block_elems];
    return code * (product + w->nested_offset);
}

Test(model_load_fixtures, stored_blocks_have_the_values_of_the_reference)
{
    const struct lrc_model_options options = { 0 };
    struct lrc_model               model;
    struct lrc_model_tensor        tensor;
    struct lrc_safetensors         golden;
    struct lrc_error               err = { 0 };
    int                            n_compared = 0;
    cr_assert_eq(lrc_safetensors_open(
                     &golden, test_asset("LRC_FIXTURES", "models/llama/qlora_nf4/golden.safetensors"), &err),
                 LRC_STATUS_OK, "%s", err.message);
    load_ok(&model, test_asset("LRC_FIXTURES", "models/llama/qlora_nf4/model"), &options);
    cr_expect(model.config.is_bnb_4bit);
    for (int64_t k = 0; lrc_model_tensor_at(&tensor, &model, k); k++) {
        char name[LRC_MODULE_NAME_MAX + 16];
        (void)snprintf(name, sizeof name, "dequant.%s", tensor.name);
        const struct lrc_safetensors_entry *want = lrc_safetensors_find(&golden, name);
        if (!want || tensor.shape[1] % tensor.weight->block_elems != 0)
            continue; /* blocks that cross rows: bitsandbytes 0.50.2 on AVX-512 takes another absmax */
        cr_assert_eq(want->n_elems, tensor.shape[0] * tensor.shape[1]);
        for (int64_t i = 0; i < want->n_elems; i++) {
            float value;
            memcpy(&value, want->data + 4 * i, sizeof value);
            cr_assert_eq(value_of(tensor.weight, i), value, "%s[%d]", name, (int)i);
        }
        n_compared++;
    }
    cr_expect_eq(n_compared, 1);
    lrc_model_release(&model);
    lrc_safetensors_close(&golden);
}

/* Quantizing the dense base gives the bytes that bitsandbytes stored. */
Test(model_load_fixtures, quantized_base_equals_the_stored_blocks)
{
    static const char *const folders[] = { "numerics/data/bnb_llama/nf4", "numerics/data/bnb_llama/nf4_dq" };
    const struct lrc_model_options stored_options = { 0 };
    for (int f = 0; f < 2; f++) {
        const struct lrc_model_options options = { .load_in_4bit = 1,
                                                   .quant = { lrc_quant_type_find("nf4"), 64, f } };
        struct lrc_model               made, stored;
        struct lrc_model_tensor        a, b;
        load_ok(&made, test_asset("LRC_FIXTURES", "numerics/data/bnb_llama/base"), &options);
        load_ok(&stored, test_asset("LRC_FIXTURES", folders[f]), &stored_options);
        for (int64_t k = 0; lrc_model_tensor_at(&a, &made, k); k++) {
            cr_assert(lrc_model_tensor_at(&b, &stored, k));
            if (!a.linear || !a.weight)
                continue;
            const size_t n = (size_t)(a.shape[0] * a.shape[1]), n_blocks = (n + 63) / 64;
            cr_expect_arr_eq(a.weight->data, b.weight->data, n / 2, "%s", a.name);
            if (f == 0)
                cr_expect_arr_eq(a.weight->absmax, b.weight->absmax, n_blocks * sizeof(float), "%s", a.name);
            else
                cr_expect_arr_eq(a.weight->absmax_code, b.weight->absmax_code, n_blocks, "%s", a.name);
            cr_expect_eq(a.weight->nested_offset, b.weight->nested_offset, "%s", a.name);
        }
        lrc_model_release(&made);
        lrc_model_release(&stored);
    }
}

Test(model_load_fixtures, cases_of_the_numeric_fixture_dequantize_exactly)
{
    struct lrc_safetensors file;
    struct lrc_error       err = { 0 };
    int                    n_compared = 0;
    static const char *const cases[] = { "w.f32.nf4.64", "w.f32.fp4.64", "wide.f32.nf4.64", "odd.f32.nf4.64",
                                         "n65.f32.fp4.64" };
    cr_assert_eq(
        lrc_safetensors_open(&file, test_asset("LRC_FIXTURES", "numerics/data/bnb_4bit.safetensors"), &err),
        LRC_STATUS_OK, "%s", err.message);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s.packed", cases[c]);
        const struct lrc_safetensors_entry *packed = lrc_safetensors_find(&file, name);
        (void)snprintf(name, sizeof name, "%s.absmax", cases[c]);
        const struct lrc_safetensors_entry *absmax = lrc_safetensors_find(&file, name);
        (void)snprintf(name, sizeof name, "%s.dequant", cases[c]);
        const struct lrc_safetensors_entry *want = lrc_safetensors_find(&file, name);
        cr_assert(packed && absmax && want, "%s", cases[c]);
        const struct lrc_quant_type *type = lrc_quant_type_find(strstr(cases[c], "nf4") ? "nf4" : "fp4");
        const struct lrc_weight w = { .type = type->type,
                                      .data = packed->data,
                                      .block_elems = 64,
                                      .code = type->code,
                                      .absmax = (const float *)(const void *)absmax->data };
        for (int64_t i = 0; i < want->n_elems; i++) {
            float value;
            memcpy(&value, want->data + 4 * i, sizeof value);
            cr_assert_eq(value_of(&w, i), value, "%s[%d]", cases[c], (int)i);
        }
        n_compared++;
    }
    cr_expect_eq(n_compared, 5);
    lrc_safetensors_close(&file);
}
