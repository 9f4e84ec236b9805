#include "base/alloc.h"
#include "formats/peft.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static enum lrc_status parse(struct lrc_peft_config *config, const char *text, struct lrc_error *err)
{
    json_t *json;
    cr_assert_eq(lrc_json_parse(&json, text, strlen(text), "test", err), LRC_STATUS_OK, "%s", err->message);
    const enum lrc_status status = lrc_peft_config_parse(config, json, "test", err);
    json_decref(json);
    return status;
}

static struct lrc_peft_config parse_ok(const char *text)
{
    struct lrc_peft_config config;
    struct lrc_error       err = { 0 };
    cr_assert_eq(parse(&config, text, &err), LRC_STATUS_OK, "%s: %s", text, err.message);
    return config;
}

static void expect_targets(const char *text, const char *module, int is_output, int want)
{
    struct lrc_peft_config config = parse_ok(text);
    struct lrc_error       err = { 0 };
    int                    targeted;
    cr_assert_eq(lrc_peft_targets(&targeted, &config, module, is_output, &err), LRC_STATUS_OK, "%s",
                 err.message);
    cr_expect_eq(targeted, want, "%s: %s", text, module);
    lrc_peft_config_release(&config);
}

#define LORA "{\"peft_type\":\"LORA\","
#define Q0 "model.layers.0.self_attn.q_proj"
#define Q11 "model.layers.11.self_attn.q_proj"

Test(peft, list_matches_whole_names_and_suffixes)
{
    expect_targets(LORA "\"target_modules\":[\"q_proj\"]}", Q0, 0, 1);
    expect_targets(LORA "\"target_modules\":[\"proj\"]}", Q0, 0, 0);
    expect_targets(LORA "\"target_modules\":[\"self_attn.q_proj\"]}", Q0, 0, 1);
    expect_targets(LORA "\"target_modules\":[\"" Q0 "\"]}", Q0, 0, 1);
    expect_targets(LORA "\"target_modules\":[\"q_proj\"]}", "q_proj", 0, 1);
    expect_targets(LORA "\"target_modules\":[]}", Q0, 0, 0);
    expect_targets(LORA "\"target_modules\":[\"q.proj\"]}", Q0, 0, 0);
}

Test(peft, string_matches_the_whole_name)
{
    expect_targets(LORA "\"target_modules\":\".*q_proj\"}", Q0, 0, 1);
    expect_targets(LORA "\"target_modules\":\"q_proj\"}", Q0, 0, 0);
    expect_targets(LORA "\"target_modules\":\".*q\"}", Q0, 0, 0);
    expect_targets(LORA "\"target_modules\":\"model|.*layers\\\\.(0|1)\\\\..*\"}", Q0, 0, 1);
    expect_targets(LORA "\"target_modules\":\".*layers\\\\.(0|1)\\\\..*\"}", Q11, 0, 0);
}

Test(peft, all_linear_leaves_the_output_layer_out)
{
    expect_targets(LORA "\"target_modules\":\"ALL-linear\"}", Q0, 0, 1);
    expect_targets(LORA "\"target_modules\":\"all-linear\"}", "lm_head", 1, 0);
    expect_targets(LORA "\"target_modules\":[\"lm_head\"]}", "lm_head", 1, 1);
}

Test(peft, exclusions_win)
{
    expect_targets(LORA "\"target_modules\":\"all-linear\",\"exclude_modules\":[\"q_proj\"]}", Q0, 0, 0);
    expect_targets(LORA "\"target_modules\":[\"q_proj\"],\"exclude_modules\":\".*layers\\\\.0\\\\..*\"}", Q0,
                   0, 0);
    expect_targets(LORA "\"target_modules\":[\"q_proj\"],\"exclude_modules\":\".*layers\\\\.0\\\\..*\"}", Q11,
                   0, 1);
}

Test(peft, layers_limit_suffix_matches)
{
    expect_targets(LORA "\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[0,11]}", Q11, 0, 1);
    expect_targets(LORA "\"target_modules\":[\"q_proj\"],\"layers_to_transform\":1}", Q11, 0, 0);
    expect_targets(
        LORA "\"target_modules\":[\"q_proj\"],\"layers_to_transform\":11,\"layers_pattern\":\"layers\"}", Q11,
        0, 1);
    expect_targets(
        LORA
        "\"target_modules\":[\"q_proj\"],\"layers_to_transform\":11,\"layers_pattern\":[\"h\",\"blocks\"]}",
        Q11, 0, 0);
    expect_targets(LORA "\"target_modules\":[\"q_proj\"],\"layers_to_transform\":1}", "q_proj", 0, 1);
    expect_targets(LORA "\"target_modules\":[\"q_proj\"],\"layers_to_transform\":0}", "x.q_proj", 0, 0);
}

Test(peft, a_pattern_that_cannot_be_compiled_or_runs_too_long_is_an_error)
{
    static const char *const texts[] = { LORA "\"target_modules\":\"(\"}",
                                         LORA "\"target_modules\":\"(((a?){30}){30}){30}(x+x+)+y\"}" };
    for (int i = 0; i < 2; i++) {
        struct lrc_peft_config config = parse_ok(texts[i]);
        struct lrc_error       err = { 0 };
        int                    targeted;
        cr_expect_eq(
            lrc_peft_targets(&targeted, &config, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0, &err),
            LRC_STATUS_CONFIG, "%s", texts[i]);
        cr_expect(strstr(err.message, "regular expression"), "%s", err.message);
        lrc_peft_config_release(&config);
    }
}

static void expect_rank(const char *text, const char *module, int64_t want_r, double want_alpha)
{
    struct lrc_peft_config config = parse_ok(text);
    struct lrc_error       err = { 0 };
    int64_t                r;
    double                 alpha;
    cr_assert_eq(lrc_peft_rank(&r, &alpha, &config, module, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect(r == want_r && alpha == want_alpha, "%s: %d, %g", text, (int)r, alpha);
    lrc_peft_config_release(&config);
}

Test(peft, patterns_change_rank_and_alpha)
{
    static const char text[] =
        LORA "\"r\":4,\"lora_alpha\":8.5,\"target_modules\":[\"q_proj\"],"
             "\"rank_pattern\":{\"down_proj\":8,\"layers.1.self_attn.q_proj\":2,\"q_pro\":9},"
             "\"alpha_pattern\":{\"^model\\\\.layers\\\\.0\\\\.self_attn\\\\.v_proj\":32,\"^self_attn.q_"
             "proj\":64}}";
    expect_rank(text, Q0, 4, 8.5);
    expect_rank(text, "model.layers.1.self_attn.q_proj", 2, 8.5);
    expect_rank(text, "model.layers.3.mlp.down_proj", 8, 8.5);
    expect_rank(text, "model.layers.0.self_attn.v_proj", 4, 32);
    expect_rank(text, "model.layers.1.self_attn.v_proj", 4, 8.5);
}

Test(peft, defaults_are_those_of_peft)
{
    struct lrc_peft_config config = parse_ok("{\"peft_type\":\"LORA\",\"unknown\":{}}");
    cr_expect(config.r == 8 && config.lora_alpha == 8.0 && config.lora_dropout == 0.0 && !config.use_rslora);
    cr_expect_str_eq(config.bias, "none");
    cr_expect_eq(config.n_target_modules, 2);
    cr_expect_null(config.base_model_name_or_path);
    lrc_peft_config_release(&config);
}

static void expect_refused(const char *text, enum lrc_status want, const char *message)
{
    struct lrc_peft_config config;
    struct lrc_error       err = { 0 };
    cr_expect_eq(parse(&config, text, &err), want, "%s", text);
    cr_expect(strstr(err.message, message), "%s: %s", text, err.message);
}

Test(peft, what_is_not_supported_or_wrong_is_named)
{
    expect_refused("[]", LRC_STATUS_FORMAT, "want an object");
    expect_refused("{}", LRC_STATUS_FORMAT, "peft_type");
    expect_refused("{\"peft_type\":\"IA3\"}", LRC_STATUS_UNSUPPORTED, "'IA3'");
    expect_refused(LORA "\"use_dora\":true}", LRC_STATUS_UNSUPPORTED, "use_dora");
    expect_refused(LORA "\"lora_bias\":true}", LRC_STATUS_UNSUPPORTED, "lora_bias");
    expect_refused(LORA "\"bias\":\"all\"}", LRC_STATUS_UNSUPPORTED, "'all'");
    expect_refused(LORA "\"modules_to_save\":[\"lm_head\"]}", LRC_STATUS_UNSUPPORTED, "modules_to_save");
    expect_refused(LORA "\"fan_in_fan_out\":true}", LRC_STATUS_UNSUPPORTED, "fan_in_fan_out");
    expect_refused(LORA "\"target_parameters\":[\"x\"]}", LRC_STATUS_UNSUPPORTED, "target_parameters");
    expect_refused(LORA "\"init_lora_weights\":\"pissa_niter_4\"}", LRC_STATUS_UNSUPPORTED, "pissa_niter_4");
    expect_refused(LORA "\"r\":0}", LRC_STATUS_FORMAT, "'r'");
    expect_refused(LORA "\"r\":\"8\"}", LRC_STATUS_FORMAT, "'r'");
    expect_refused(LORA "\"lora_alpha\":0}", LRC_STATUS_FORMAT, "lora_alpha");
    expect_refused(LORA "\"lora_dropout\":1.0}", LRC_STATUS_FORMAT, "lora_dropout");
    expect_refused(LORA "\"target_modules\":[1]}", LRC_STATUS_FORMAT, "target_modules");
    expect_refused(LORA "\"target_modules\":7}", LRC_STATUS_FORMAT, "target_modules");
    expect_refused(LORA "\"layers_to_transform\":[-1]}", LRC_STATUS_FORMAT, "layers_to_transform");
    expect_refused(LORA "\"target_modules\":\"x\",\"layers_to_transform\":1}", LRC_STATUS_FORMAT,
                   "want target_modules to be a list");
    expect_refused(LORA "\"rank_pattern\":{\"x\":0}}", LRC_STATUS_FORMAT, "rank_pattern");
    expect_refused(LORA "\"rank_pattern\":[]}", LRC_STATUS_FORMAT, "rank_pattern");
}

Test(peft, written_config_is_laid_out_as_by_python_and_reads_back)
{
    static const char want[] =
        "{\n  \"alpha_pattern\": {},\n  \"base_model_name_or_path\": \"/m\\\"\",\n  \"bias\": \"none\",\n  "
        "\"exclude_modules\": null,\n"
        "  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n  "
        "\"layers_pattern\": null,\n"
        "  \"layers_to_transform\": [\n    1\n  ],\n  \"lora_alpha\": 8,\n  \"lora_dropout\": 0.0,\n  "
        "\"modules_to_save\": null,\n"
        "  \"peft_type\": \"LORA\",\n  \"r\": 4,\n  \"rank_pattern\": {\n    \"q\": 2\n  },\n  "
        "\"target_modules\": [\n    \"q_proj\",\n    \"k_proj\"\n  ],\n"
        "  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": false,\n  \"use_rslora\": true\n}";
    const char            *dir = test_folder("peft");
    struct lrc_peft_config config =
        parse_ok(LORA "\"base_model_name_or_path\":\"/"
                      "m\\\"\",\"r\":4,\"use_rslora\":true,\"target_modules\":[\"q_proj\",\"k_proj\"],"
                      "\"layers_to_transform\":1,\"rank_pattern\":{\"q\":2.0}}");
    struct lrc_peft_config again;
    struct lrc_error       err = { 0 };
    struct lrc_buf         text = { 0 };
    char                  *path = lrc_path_join(dir, "adapter_config.json");
    cr_assert_eq(lrc_peft_config_write(&config, dir, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_file_read(&text, path, &err), LRC_STATUS_OK);
    cr_expect_str_eq(text.data, want);
    cr_assert_eq(lrc_peft_config_read(&again, dir, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect(again.r == 4 && again.n_target_modules == 2 && again.n_rank_pattern == 1 &&
              again.rank_pattern[0].value == 2);
    lrc_peft_config_release(&again);
    lrc_peft_config_release(&config);
    lrc_buf_release(&text);
    lrc_free(path);
}

Test(peft, every_failing_allocation_is_reported_fault)
{
    enum lrc_status status = LRC_STATUS_NOMEM;
    for (int64_t k = 0; status != LRC_STATUS_OK; k++) {
        struct lrc_peft_config config;
        struct lrc_error       err = { 0 };
        cr_assert_lt(k, 1000);
        test_alloc_fail_at(k);
        status =
            parse(&config,
                  LORA "\"base_model_name_or_path\":\"m\",\"target_modules\":[\"a\",\"b\"],\"exclude_"
                       "modules\":\"x\",\"layers_pattern\":\"l\","
                       "\"layers_to_transform\":[1],\"rank_pattern\":{\"q\":2},\"alpha_pattern\":{\"q\":2}}",
                  &err);
        if (status == LRC_STATUS_OK)
            lrc_peft_config_release(&config);
        test_alloc_restore();
        cr_assert(status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM, "%s", err.message);
        cr_assert_eq(test_alloc_live(), 0, "allocation %d", (int)k);
    }
}

static int is_in(const json_t *names, const char *name)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (strcmp(json_string_value(json_array_get(names, i)), name) == 0)
            return 1;
    return 0;
}

Test(peft, adapted_modules_equal_those_of_peft)
{
    static const char *const variants[] = { "target_regex", "exclude",         "layers_to_transform",
                                            "patterns",     "patterns_rslora", "rslora" };
    static const char *const modules[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                           "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                           "mlp.down_proj" };
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        char                   rest[256];
        struct lrc_peft_config config;
        struct lrc_error       err = { 0 };
        json_t                *golden;
        (void)snprintf(rest, sizeof rest, "models/llama/variants/%s/adapter_init", variants[v]);
        cr_assert_eq(lrc_peft_config_read(&config, test_asset("LRC_FIXTURES", rest), &err), LRC_STATUS_OK,
                     "%s", err.message);
        (void)snprintf(rest, sizeof rest, "models/llama/variants/%s/golden.json", variants[v]);
        cr_assert_eq(lrc_json_load(&golden, test_asset("LRC_FIXTURES", rest), &err), LRC_STATUS_OK, "%s",
                     err.message);
        cr_assert_gt(json_array_size(json_object_get(golden, "adapted")), 0);
        for (int i = 0; i < 15; i++) {
            char name[128] = "lm_head";
            int  targeted;
            if (i < 14)
                (void)snprintf(name, sizeof name, "model.layers.%d.%s", i / 7, modules[i % 7]);
            cr_assert_eq(lrc_peft_targets(&targeted, &config, name, i == 14, &err), LRC_STATUS_OK, "%s",
                         err.message);
            cr_expect_eq(targeted, is_in(json_object_get(golden, "adapted"), name), "%s: %s", variants[v],
                         name);
        }
        json_decref(golden);
        lrc_peft_config_release(&config);
    }
}

/* The rank that the patterns give is the one that the adapter's tensors have. */
Test(peft, ranks_equal_those_of_the_stored_tensors)
{
    static const char *const variants[] = { "patterns", "patterns_rslora", "rslora" };
    static const char        prefix[] = "base_model.model.", suffix[] = ".lora_A.weight";
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        char                   rest[256];
        struct lrc_peft_config config;
        struct lrc_safetensors file;
        struct lrc_error       err = { 0 };
        (void)snprintf(rest, sizeof rest, "models/llama/variants/%s/adapter_init", variants[v]);
        cr_assert_eq(lrc_peft_config_read(&config, test_asset("LRC_FIXTURES", rest), &err), LRC_STATUS_OK,
                     "%s", err.message);
        (void)snprintf(rest, sizeof rest, "models/llama/variants/%s/adapter_init/adapter_model.safetensors",
                       variants[v]);
        cr_assert_eq(lrc_safetensors_open(&file, test_asset("LRC_FIXTURES", rest), &err), LRC_STATUS_OK, "%s",
                     err.message);
        for (int64_t i = 0; i < file.n_entries; i++) {
            const char *name = file.entries[i].name, *end = strstr(name, suffix);
            char        module[256];
            int64_t     r;
            double      alpha;
            if (!end)
                continue;
            (void)snprintf(module, sizeof module, "%.*s", (int)(end - name - (long)sizeof prefix + 1),
                           name + sizeof prefix - 1);
            cr_assert_eq(lrc_peft_rank(&r, &alpha, &config, module, &err), LRC_STATUS_OK);
            cr_expect_eq(r, file.entries[i].shape[0], "%s: %s", variants[v], module);
        }
        lrc_safetensors_close(&file);
        lrc_peft_config_release(&config);
    }
}
