/* A 4-bit folder of bitsandbytes with one part damaged: named, never read past its end. */
#include "base/alloc.h"
#include "formats/safetensors.h"
#include "model/model.h"
#include "support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define P "model.layers.0.self_attn.q_proj.weight"
#define NF4 "{\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"float32\",\"shape\":[64,64]"
#define STATE ".quant_state.bitsandbytes__nf4"

enum damage { DROP, SHORTEN, AS_I8, NOT_FINITE, JSON };

struct damaged_part {
    const char *suffix;
    enum damage damage;
    const char *json;
    const char *message;
};

static const struct damaged_part parts[] = {
    { "", DROP, NULL, "the packed tensor is missing" },
    { "", SHORTEN, NULL, "want half a byte per element" },
    { ".absmax", DROP, NULL, "'.absmax' is missing" },
    { ".absmax", SHORTEN, NULL, "'.absmax': want one F32 or U8 value per block" },
    { ".absmax", AS_I8, NULL, "'.absmax': want one F32 or U8 value per block" },
    { ".quant_map", DROP, NULL, "'.quant_map': want 16" },
    { ".quant_map", SHORTEN, NULL, "'.quant_map': want 16" },
    { ".quant_map", NOT_FINITE, NULL, "'.quant_map': want 16" },
    { ".nested_absmax", DROP, NULL, "'.nested_absmax': want one" },
    { ".nested_absmax", NOT_FINITE, NULL, "'.nested_absmax': want one" },
    { ".nested_quant_map", DROP, NULL, "'.nested_quant_map': want 256" },
    { ".nested_quant_map", SHORTEN, NULL, "'.nested_quant_map': want 256" },
    { STATE, DROP, NULL, "want F32, F16 or BF16, got U8" },
    { STATE, JSON, "{", "want JSON" },
    { STATE, JSON, "[]", "'quant_type'" },
    { STATE, JSON, "{\"quant_type\":\"fp4\"}", "'quant_type'" },
    { STATE, JSON, "{\"quant_type\":\"nf4\",\"blocksize\":0}", "'blocksize'" },
    { STATE, JSON, "{\"quant_type\":\"nf4\",\"blocksize\":48}", "'blocksize'" },
    { STATE, JSON, "{\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"int8\"}", "'dtype'" },
    { STATE, JSON, "{\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"float32\",\"shape\":[64]}",
      "'shape'" },
    { STATE, JSON, "{\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"float32\",\"shape\":[32,128]}",
      "'shape'" },
    { STATE, JSON, NF4 "}", "'nested_blocksize'" },
    { STATE, JSON, NF4 ",\"nested_blocksize\":256,\"nested_dtype\":\"float16\"}", "'nested_dtype'" },
    { STATE, JSON, NF4 ",\"nested_blocksize\":256,\"nested_dtype\":\"float32\",\"nested_offset\":1e300}",
      "'nested_offset'" },
    { STATE, JSON,
      "{\"quant_type\":\"nf4\",\"blocksize\":32,\"dtype\":\"float32\",\"shape\":[64,64],"
      "\"nested_blocksize\":256,\"nested_dtype\":\"float32\",\"nested_offset\":0}",
      "'.absmax'" },
};

/* The spec of an entry, with the damage done; 0 when it is to be left out. */
static int describe(struct lrc_safetensors_spec *spec, const struct lrc_safetensors_entry *entry,
                    const struct damaged_part *part)
{
    static const float infinite[256] = { [0] = INFINITY };
    char               name[256] = P;
    *spec = (struct lrc_safetensors_spec){
        .name = entry->name, .dtype = entry->dtype, .n_dims = entry->n_dims, .data = entry->data
    };
    memcpy(spec->shape, entry->shape, sizeof spec->shape);
    strcat(name, part->suffix);
    if (strcmp(name, entry->name) != 0)
        return 1;
    switch (part->damage) {
    case DROP: return 0;
    case SHORTEN: spec->shape[0]--; break;
    case AS_I8: spec->dtype = LRC_DTYPE_I8; break;
    case NOT_FINITE: spec->data = infinite; break;
    case JSON:
        spec->shape[0] = (int64_t)strlen(part->json);
        spec->data = part->json;
        break;
    }
    return 1;
}

static void expect_named(const struct lrc_safetensors *file, const char *dir, const struct damaged_part *part)
{
    const struct lrc_model_options options = { 0 };
    struct lrc_safetensors_spec   *specs = lrc_calloc(file->n_entries, sizeof *specs);
    int64_t                        n = 0;
    struct lrc_model               model;
    struct lrc_problems            problems = { 0 };
    struct lrc_error               err = { 0 };
    char                          *path = lrc_path_join(dir, "model.safetensors");
    for (int64_t i = 0; i < file->n_entries; i++)
        n += describe(&specs[n], &file->entries[i], part);
    cr_assert_eq(lrc_safetensors_write(path, specs, n, NULL, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_eq(lrc_model_load(&model, dir, &options, &problems, &err), LRC_STATUS_FORMAT, "%s: loaded",
                 part->message);
    cr_expect(strstr(lrc_buf_text(&problems.text), part->message), "%s: want '%s' in: %s", part->suffix,
              part->message, lrc_buf_text(&problems.text));
    cr_expect(strstr(lrc_buf_text(&problems.text), P), "%s", lrc_buf_text(&problems.text));
    lrc_problems_release(&problems);
    lrc_free(path);
    lrc_free(specs);
}

Test(model_bnb, damaged_part_is_named)
{
    struct lrc_safetensors file;
    struct lrc_error       err = { 0 };
    const char *from = test_asset("LRC_FIXTURES", "models/llama/qlora_nf4/model"),
               *dir = test_folder("model-bnb");
    char *weights = lrc_path_join(from, "model.safetensors"), *config = lrc_path_join(from, "config.json");
    char       *copy = lrc_path_join(dir, "config.json");
    cr_assert_eq(lrc_safetensors_open(&file, weights, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_file_copy(copy, config, &err), LRC_STATUS_OK, "%s", err.message);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        expect_named(&file, dir, &parts[i]);
    lrc_safetensors_close(&file);
    lrc_free(weights);
    lrc_free(config);
    lrc_free(copy);
}
