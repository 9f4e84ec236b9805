/* A model folder in 4 bits: the bits that load_in_4bit makes, and those that bitsandbytes stored. */
#include "base/alloc.h"
#include "convert/convert.h"
#include "model/model.h"
#include "support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#define OWN LRC_SOURCE_DIR "/tests/golden/data/"

static struct lrc_error          err;
static struct lrc_convert_report report;
static volatile sig_atomic_t     signal_now;
static int64_t                   signal_at; /* after so many tensors */

static void count_tensors(int64_t done, int64_t total, double rate, double loss)
{
    (void)total, (void)rate, (void)loss;
    if (done == signal_at)
        signal_now = SIGTERM;
}

static enum lrc_status convert(const char *model, const char *out, const char *type, int double_quant)
{
    struct lrc_problems              problems = { 0 };
    const struct lrc_convert_options options = { .model = model,
                                                 .out = out,
                                                 .type = lrc_quant_type_find(type),
                                                 .double_quant = double_quant,
                                                 .stop = &signal_now,
                                                 .progress = count_tensors };
    signal_now = 0;
    const enum lrc_status status = lrc_convert(&options, &report, &problems, &err);
    lrc_problems_release(&problems);
    return status;
}

static const char *in(const char *dir, const char *name)
{
    static char     paths[64][1200];
    static unsigned turn;
    char           *path = paths[turn++ % 64];
    cr_assert_lt(snprintf(path, sizeof paths[0], "%s/%s", dir, name), (int)sizeof paths[0]);
    return path;
}

static void open_weights(struct lrc_safetensors *file, const char *dir)
{
    cr_assert_eq(lrc_safetensors_open(file, in(dir, "model.safetensors"), &err), LRC_STATUS_OK, "%s",
                 err.message);
}

static void expect_nothing_left(const char *root)
{
    cr_expect_not(lrc_path_exists(in(root, "out")));
    cr_expect_not(lrc_path_exists(in(root, "out.tmp")));
}

/* ------------------------------------------------------------------ a base of another kind */

struct change {
    enum lrc_dtype dtype;
    int            n_files;
    const char    *with_nan; /* a tensor, or NULL */
};

/* Entries first .. first + n of a file in another element type. */
static void write_part(const char *path, const struct lrc_safetensors *file, int64_t first, int64_t n,
                       const struct change *change)
{
    static const char *const     metadata[] = { "format", "pt", "origin", "made here", NULL };
    struct lrc_safetensors_spec *specs = lrc_calloc(n, sizeof *specs);
    for (int64_t t = 0; t < n; t++) {
        const struct lrc_safetensors_entry *entry = &file->entries[first + t];
        float                              *values = lrc_calloc(entry->n_elems, sizeof *values);
        void                               *data = lrc_calloc(entry->n_elems, sizeof *values);
        lrc_dtype_to_f32(values, entry->data, entry->dtype, entry->n_elems);
        if (change->with_nan && strcmp(change->with_nan, entry->name) == 0)
            values[5] = NAN;
        lrc_dtype_from_f32(data, change->dtype, values, entry->n_elems);
        specs[t] = (struct lrc_safetensors_spec){
            .name = entry->name, .dtype = change->dtype, .n_dims = entry->n_dims, .data = data
        };
        memcpy(specs[t].shape, entry->shape, sizeof specs[t].shape);
        lrc_free(values);
    }
    cr_assert_eq(lrc_safetensors_write(path, specs, n, metadata, &err), LRC_STATUS_OK, "%s", err.message);
    for (int64_t t = 0; t < n; t++)
        lrc_free((void *)(uintptr_t)specs[t].data);
    lrc_free(specs);
}

static void copy_base(const char *to, const char *from, const struct change *change)
{
    struct lrc_safetensors file;
    cr_assert_eq(lrc_dir_make(to, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_file_copy(in(to, "config.json"), in(from, "config.json"), &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_file_write(in(to, "tokenizer.json"), "{}", 2, &err), LRC_STATUS_OK);
    open_weights(&file, from);
    if (change->n_files == 1) {
        write_part(in(to, "model.safetensors"), &file, 0, file.n_entries, change);
        lrc_safetensors_close(&file);
        return;
    }
    json_t       *map = json_object();
    const int64_t first = file.n_entries / 2;
    write_part(in(to, "model-00001-of-00002.safetensors"), &file, 0, first, change);
    write_part(in(to, "model-00002-of-00002.safetensors"), &file, first, file.n_entries - first, change);
    for (int64_t i = 0; i < file.n_entries; i++)
        json_object_set_new(
            map, file.entries[i].name,
            json_string(i < first ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors"));
    json_t *index =
        json_pack("{s:{s:i,s:i},s:o}", "metadata", "total_size", 1, "total_parameters", 7, "weight_map", map);
    cr_assert_eq(lrc_json_save(in(to, "model.safetensors.index.json"), index, &err), LRC_STATUS_OK);
    json_decref(index);
    lrc_safetensors_close(&file);
}

/* ------------------------------------------------------------------ as load_in_4bit */

static void load(struct lrc_model *model, const char *dir, const struct lrc_model_options *options)
{
    struct lrc_problems problems = { 0 };
    cr_assert_eq(lrc_model_load(model, dir, options, &problems, &err), LRC_STATUS_OK, "%s: %s\n%s", dir,
                 err.message, lrc_buf_text(&problems.text));
    lrc_problems_release(&problems);
}

static void expect_same_weight(const struct lrc_weight *got, const struct lrc_weight *want, const char *name)
{
    const int64_t n = want->rows * want->cols, n_blocks = (n + 63) / 64, n_nested = (n_blocks + 255) / 256;
    cr_assert_eq(got->type, want->type, "%s", name);
    cr_assert_eq(got->dtype, want->dtype, "%s", name);
    cr_assert(got->rows == want->rows && got->cols == want->cols, "%s", name);
    if (want->type == LRC_BLOCK_DENSE) {
        cr_assert_arr_eq(got->data, want->data, (size_t)n * lrc_dtype_bytes(want->dtype), "%s", name);
        return;
    }
    cr_assert_eq(got->block_elems, want->block_elems, "%s", name);
    cr_assert_arr_eq(got->data, want->data, (size_t)(n + 1) / 2, "%s", name);
    cr_assert_arr_eq(got->code, want->code, 16 * sizeof(float), "%s", name);
    cr_assert_eq(!got->absmax, !want->absmax, "%s", name);
    if (want->absmax) {
        cr_assert_arr_eq(got->absmax, want->absmax, (size_t)n_blocks * sizeof(float), "%s", name);
        return;
    }
    cr_assert_arr_eq(got->absmax_code, want->absmax_code, (size_t)n_blocks, "%s", name);
    cr_assert_arr_eq(got->nested_absmax, want->nested_absmax, (size_t)n_nested * sizeof(float), "%s", name);
    cr_assert_arr_eq(got->nested_map, want->nested_map, 256 * sizeof(float), "%s", name);
    cr_assert_eq(got->nested_block_elems, want->nested_block_elems, "%s", name);
    cr_assert_arr_eq(&got->nested_offset, &want->nested_offset, sizeof(float), "%s", name);
}

/* The folder in 4 bits, loaded as it is, against the dense one, quantized while it is loaded. */
static void expect_as_loaded(const char *dense, const char *folder, const char *type, int double_quant)
{
    const struct lrc_model_options quantize = { .load_in_4bit = 1,
                                                .quant = { lrc_quant_type_find(type), 64, double_quant } },
                                   as_it_is = { .plan_only = 1 }; /* in two halves, as commands do */
    struct lrc_model        want, got;
    struct lrc_model_tensor a, b;
    int64_t                 n_quantized = 0;
    load(&want, dense, &quantize);
    load(&got, folder, &as_it_is);
    cr_assert_eq(lrc_model_commit(&got, &as_it_is, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect(got.config.is_bnb_4bit);
    for (int64_t i = 0; lrc_model_tensor_at(&a, &want, i); i++) {
        cr_assert(lrc_model_tensor_at(&b, &got, i));
        cr_assert_str_eq(a.name, b.name);
        if (a.weight)
            expect_same_weight(b.weight, a.weight, a.name);
        else
            cr_assert_arr_eq(b.vector->data, a.vector->data,
                             (size_t)a.shape[0] * lrc_dtype_bytes(a.vector->dtype), "%s", a.name);
        n_quantized += a.weight && a.weight->type != LRC_BLOCK_DENSE;
    }
    cr_expect_eq(n_quantized, 7 * want.config.n_layers);
    lrc_model_release(&got);
    lrc_model_release(&want);
}

static void check_base(const char *root, const char *dense, const char *type, int double_quant)
{
    cr_assert_eq(convert(dense, in(root, "out"), type, double_quant), LRC_STATUS_OK, "%s", err.message);
    cr_expect_not(lrc_path_exists(in(root, "out.tmp")));
    expect_as_loaded(dense, in(root, "out"), type, double_quant);
    cr_assert_eq(lrc_dir_remove(in(root, "out"), &err), LRC_STATUS_OK);
}

Test(convert, folder_has_the_bits_of_load_in_4bit)
{
    static const char *const own[] = { OWN "llama/model", OWN "llama_gqa_tied/model", OWN "mistral/model",
                                       OWN "qwen2/model" };
    const char              *root = test_folder("convert-own");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        for (int k = 0; k < 4; k++)
            check_base(root, own[i], k / 2 ? "fp4" : "nf4", k % 2);
}

Test(convert, every_element_type_and_a_base_in_several_files)
{
    static const struct change changes[] = { { LRC_DTYPE_BF16, 1, NULL },
                                             { LRC_DTYPE_F16, 2, NULL },
                                             { LRC_DTYPE_BF16, 2, NULL } };
    const char                *root = test_folder("convert-kinds");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        copy_base(in(root, "base"), OWN "llama/model", &changes[i]);
        check_base(root, in(root, "base"), "nf4", 0);
        check_base(root, in(root, "base"), "nf4", 1);
        cr_assert_eq(lrc_dir_remove(in(root, "base"), &err), LRC_STATUS_OK);
    }
}

static int64_t total_of(const char *path)
{
    struct lrc_safetensors file;
    int64_t                total = 0;
    cr_assert_eq(lrc_safetensors_open(&file, path, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_str_eq(lrc_safetensors_metadata(&file, "origin"), "made here");
    for (int64_t i = 0; i < file.n_entries; i++)
        total += (int64_t)file.entries[i].size_bytes;
    lrc_safetensors_close(&file);
    return total;
}

Test(convert, index_and_other_files_go_along)
{
    const struct change two = { LRC_DTYPE_BF16, 2, NULL };
    const char         *root = test_folder("convert-index"), *out = in(root, "out");
    json_t             *index, *config;
    copy_base(in(root, "base"), OWN "llama/model", &two);
    cr_assert_eq(convert(in(root, "base"), out, "fp4", 1), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_json_load(&index, in(out, "model.safetensors.index.json"), &err), LRC_STATUS_OK);
    const json_t *metadata = json_object_get(index, "metadata");
    cr_expect_eq(json_integer_value(json_object_get(metadata, "total_size")),
                 total_of(in(out, "model-00001-of-00002.safetensors")) +
                     total_of(in(out, "model-00002-of-00002.safetensors")));
    cr_expect_eq(json_integer_value(json_object_get(metadata, "total_parameters")), 7);
    cr_expect_eq((int64_t)json_object_size(json_object_get(index, "weight_map")), report.n_tensors);
    cr_assert_eq(lrc_json_load(&config, in(out, "config.json"), &err), LRC_STATUS_OK, "%s", err.message);
    const json_t *quantization = json_object_get(config, "quantization_config");
    cr_expect_eq(json_object_size(quantization), 13);
    cr_expect_str_eq(json_string_value(json_object_get(quantization, "bnb_4bit_quant_type")), "fp4");
    cr_expect_str_eq(json_string_value(json_object_get(quantization, "bnb_4bit_compute_dtype")), "bfloat16");
    cr_expect(json_is_true(json_object_get(quantization, "bnb_4bit_use_double_quant")));
    cr_expect(lrc_path_exists(in(out, "tokenizer.json")));
    cr_expect_eq(convert(out, in(root, "again"), "nf4", 1), LRC_STATUS_UNSUPPORTED);
    cr_expect(strstr(err.message, "not quantized yet"), "%s", err.message);
    json_decref(config);
    json_decref(index);
}

/* ------------------------------------------------------------------ as bitsandbytes stored it */

static int has_suffix(const char *name, const char *suffix)
{
    const size_t n = strlen(name), n_suffix = strlen(suffix);
    return n >= n_suffix && strcmp(name + n - n_suffix, suffix) == 0;
}

/* FP4 has two codes for zero: bitsandbytes' table says 0 for both, ours 0 and -0. */
static int is_same_table(const void *a, const void *b)
{
    for (int i = 0; i < 16; i++) {
        float x, y;
        memcpy(&x, (const char *)a + i * 4, sizeof x);
        memcpy(&y, (const char *)b + i * 4, sizeof y);
        if (!(x == y))
            return 0;
    }
    return 1;
}

/* Names, types, shapes and bytes. The order of summation in a mean is not promised: `any_mean` passes over
 * what follows from it. */
static void expect_stored(const char *got_dir, const char *want_dir, int any_mean)
{
    struct lrc_safetensors got, want;
    open_weights(&got, got_dir);
    open_weights(&want, want_dir);
    cr_assert_eq(got.n_entries, want.n_entries);
    for (int64_t i = 0; i < want.n_entries; i++) {
        const struct lrc_safetensors_entry *a = &got.entries[i], *b = &want.entries[i];
        cr_assert_str_eq(a->name, b->name);
        cr_assert_eq(a->dtype, b->dtype, "%s", a->name);
        cr_assert_eq(a->n_dims, b->n_dims, "%s", a->name);
        if (any_mean && (strstr(a->name, ".quant_state.") || has_suffix(a->name, ".nested_absmax")))
            continue;
        cr_assert_arr_eq(a->shape, b->shape, (size_t)b->n_dims * sizeof *b->shape, "%s", a->name);
        if (has_suffix(a->name, ".weight.quant_map"))
            cr_assert(is_same_table(a->data, b->data), "%s", a->name);
        else
            cr_assert_arr_eq(a->data, b->data, b->size_bytes, "%s", a->name);
    }
    lrc_safetensors_close(&want);
    lrc_safetensors_close(&got);
}

Test(convert, stored_bytes_are_those_of_bitsandbytes)
{
    const char *root = test_folder("convert-golden");
    cr_assert_eq(convert(OWN "llama/model", in(root, "out"), "nf4", 1), LRC_STATUS_OK, "%s", err.message);
    expect_stored(in(root, "out"), OWN "llama/qlora_nf4/model", 1);
}

/* In these the means come out the same as well. */
Test(convert, fixture_bytes_are_those_of_bitsandbytes)
{
    static const struct {
        const char   *name, *type;
        int           double_quant;
        struct change change;
    } kinds[] = { { "nf4_dq", "nf4", 1, { LRC_DTYPE_F32, 1, NULL } },
                  { "nf4", "nf4", 0, { LRC_DTYPE_F32, 1, NULL } },
                  { "nf4_dq_bf16", "nf4", 1, { LRC_DTYPE_BF16, 1, NULL } },
                  { "fp4_f16", "fp4", 0, { LRC_DTYPE_F16, 1, NULL } } };
    const char *stored = test_asset("LRC_FIXTURES", "numerics/data/bnb_llama"),
               *root = test_folder("convert-fixture");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *base = in(root, kinds[i].name), *out = in(base, "out");
        copy_base(base, in(stored, "base"), &kinds[i].change);
        cr_assert_eq(convert(base, out, kinds[i].type, kinds[i].double_quant), LRC_STATUS_OK, "%s",
                     err.message);
        expect_stored(out, in(stored, kinds[i].name), 0);
    }
}

/* ------------------------------------------------------------------ what goes wrong */

Test(convert, weight_that_is_not_finite_is_named)
{
    static const char   weight[] = "model.layers.1.mlp.up_proj.weight";
    const struct change nan = { LRC_DTYPE_BF16, 1, weight };
    const char         *root = test_folder("convert-nan");
    copy_base(in(root, "base"), OWN "llama/model", &nan);
    for (int double_quant = 0; double_quant < 2; double_quant++) {
        cr_expect_eq(convert(in(root, "base"), in(root, "out"), "nf4", double_quant), LRC_STATUS_NUMERIC);
        cr_expect(strstr(err.message, weight) && strstr(err.message, "element 5"), "%s", err.message);
        expect_nothing_left(root);
    }
}

Test(convert, signal_leaves_nothing)
{
    const char *root = test_folder("convert-signal");
    cr_assert_eq(convert(OWN "llama/model", in(root, "all"), "nf4", 1), LRC_STATUS_OK);
    struct lrc_safetensors base;
    open_weights(&base, OWN "llama/model");
    const int64_t n = base.n_entries + report.n_quantized; /* tensors, and each linear once more */
    lrc_safetensors_close(&base);
    for (signal_at = 1; signal_at <= n; signal_at++) {
        cr_assert_eq(convert(OWN "llama/model", in(root, "out"), "nf4", 1), LRC_STATUS_TERMINATED,
                     "after %d of %d", (int)signal_at, (int)n);
        expect_nothing_left(root);
    }
    cr_assert_eq(convert(OWN "llama/model", in(root, "out"), "nf4", 1), LRC_STATUS_OK, "no tensor is left");
}

Test(convert, full_disk_is_refused_before_anything_is_written_fault)
{
    const char *root = test_folder("convert-full");
    cr_assert_eq(lrc_dir_make(in(root, "small"), &err), LRC_STATUS_OK);
    if (mount("tmpfs", in(root, "small"), "tmpfs", 0, "size=64k") != 0)
        cr_skip_test("no tmpfs can be mounted here");
    cr_expect_eq(convert(OWN "llama/model", in(root, "small/out"), "nf4", 1), LRC_STATUS_NOSPACE);
    expect_nothing_left(in(root, "small"));
    cr_assert_eq(umount2(in(root, "small"), MNT_DETACH), 0);
}

Test(convert, allocation_that_fails_leaves_nothing_fault)
{
    const char     *root = test_folder("convert-nomem"), *out = in(root, "out");
    enum lrc_status status = LRC_STATUS_NOMEM;
    for (int64_t k = 0; status != LRC_STATUS_OK; k++) {
        cr_assert_lt(k, 3000);
        test_alloc_fail_at(k);
        status = convert(OWN "llama/model", out, "nf4", 1);
        test_alloc_restore();
        cr_assert(status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM, "%d: %s", (int)k, err.message);
        cr_assert_eq(test_alloc_live(), 0, "allocation %d", (int)k);
        if (status != LRC_STATUS_OK)
            expect_nothing_left(root);
    }
}

/* ------------------------------------------------------------------ a key of a text */

Test(convert, key_is_added_to_an_object_and_cut_from_it)
{
    static const char *const texts[][3] = {
        { "{}", "{\n  \"k\": 1\n}", "{\n  \n}" },
        { "{\"a\": {\"k\": 2}}\n", "{\"a\": {\"k\": 2},\n  \"k\": 1\n}\n", "{\"a\": {\"k\": 2}\n}\n" },
        { "{\n  \"a\": \"}\\\"\"\n}\n", "{\n  \"a\": \"}\\\"\",\n  \"k\": 1\n}\n",
          "{\n  \"a\": \"}\\\"\"\n}\n" },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct lrc_buf added = { 0 }, cut = { 0 };
        lrc_json_add_key(&added, texts[i][0], "k", "1");
        cr_expect_str_eq(lrc_buf_text(&added), texts[i][1]);
        lrc_json_cut_key(&cut, lrc_buf_text(&added), "k");
        cr_expect_str_eq(lrc_buf_text(&cut), texts[i][2]);
        lrc_buf_release(&cut);
        lrc_buf_release(&added);
    }
}
