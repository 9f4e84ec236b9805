#include "base/alloc.h"
#include "formats/safetensors.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* header length, header, data: a file in memory, with room for a wrong length. */
static size_t make_file(unsigned char *file, uint64_t header_bytes, const char *header, size_t n_data)
{
    const size_t n = strlen(header);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)(header_bytes >> (8 * i));
    memcpy(file + 8, header, n);
    memset(file + 8 + n, 7, n_data);
    return 8 + n + n_data;
}

/* Reads from a heap block of the exact size, so that a sanitizer sees any step beyond it. */
static enum lrc_status read_exact(const unsigned char *bytes, size_t n, struct lrc_error *err)
{
    struct lrc_safetensors file;
    unsigned char         *copy = malloc(n > 0 ? n : 1);
    memcpy(copy, bytes, n);
    const enum lrc_status status = lrc_safetensors_read(&file, copy, n, "file", err);
    if (status == LRC_STATUS_OK)
        lrc_safetensors_close(&file);
    free(copy);
    return status;
}

static void expect(const char *header, size_t n_data, enum lrc_status want, const char *message)
{
    unsigned char    file[2048];
    struct lrc_error err = { 0 };
    const size_t     n = make_file(file, strlen(header), header, n_data);
    cr_expect_eq(read_exact(file, n, &err), want, "%s: %s", header, err.message);
    cr_expect(strstr(err.message, message), "%s: want '%s' in '%s'", header, message, err.message);
}

Test(safetensors, valid_headers_are_read)
{
    expect("{}", 0, LRC_STATUS_OK, "");
    expect("{\"__metadata__\":{\"a\":\"b\"}}   ", 0, LRC_STATUS_OK, "");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, LRC_STATUS_OK, "");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[0,0]}}", 0, LRC_STATUS_OK, "");
    expect("{\"a\":{\"dtype\":\"F4\",\"shape\":[3,2],\"data_offsets\":[0,3]}}", 3, LRC_STATUS_OK, "");
    expect("{\"b\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[2,4]},\"a\":{\"dtype\":\"BF16\","
           "\"shape\":[1],\"data_offsets\":[0,2]}}",
           4, LRC_STATUS_OK, "");
    expect("{\"a\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]},\"z\":{\"dtype\":\"U8\","
           "\"shape\":[0],\"data_offsets\":[8,8]},"
           "\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
           8, LRC_STATUS_OK, "");
}

Test(safetensors, wrong_headers_are_refused)
{
    static const struct {
        const char *header;
        size_t      n_data;
        const char *message;
    } cases[] = {
        { "", 0, "begins with '{'" },
        { " {}", 0, "begins with '{'" },
        { "[]", 0, "begins with '{'" },
        { "{", 0, "want JSON" },
        { "{}x", 0, "want JSON" },
        { "{\"a\":1}", 0, "want an object" },
        { "{\"\xff\":{}}", 0, "want JSON" },
        { "{\"a\":{},\"a\":{}}", 0, "want JSON" },
        { "{\"__metadata__\":{\"a\":1}}", 0, "want a string" },
        { "{\"__metadata__\":[]}", 0, "want an object" },
        { "{\"a\":{}}", 0, "'dtype'" },
        { "{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "unknown dtype 'F33'" },
        { "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "'shape'" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "non-negative" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "non-negative" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", 4,
          "overflows" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,4]}}", 4,
          "want 4611686018427387904 elements" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "'data_offsets'" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "'data_offsets'" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "want offsets" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "want offsets" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "want offsets" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,18446744073709551615]}}", 4,
          "want JSON" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,3]}}", 3, "got 3 bytes" },
        { "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, "elements of 4 bits" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "a gap" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, "want 4 bytes of data" },
        { "{}", 1, "want 0 bytes of data" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\","
          "\"shape\":[1],\"data_offsets\":[0,4]}}",
          4, "an overlap" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\","
          "\"shape\":[1],\"data_offsets\":[5,9]}}",
          9, "a gap" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(cases[i].header, cases[i].n_data, LRC_STATUS_FORMAT, cases[i].message);
    expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
           LRC_STATUS_UNSUPPORTED, "at most 8");
}

Test(safetensors, wrong_header_lengths_are_refused)
{
    static const uint64_t lengths[] = { 3, 1000, 100000001, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63 };
    unsigned char         file[64];
    struct lrc_error      err;
    const size_t          n = make_file(file, 2, "{}", 0);
    for (size_t k = 0; k < n; k++)
        cr_expect_eq(read_exact(file, k, &err), LRC_STATUS_FORMAT, "%zu bytes", k);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        (void)make_file(file, lengths[i], "{}", 0);
        cr_expect_eq(read_exact(file, n, &err), LRC_STATUS_FORMAT, "length %llu",
                     (unsigned long long)lengths[i]);
    }
}

static const struct lrc_safetensors_spec *example(int64_t *n)
{
    static const float                       f32[6] = { 1, 2, 3, 4, 5, 6 };
    static const uint16_t                    bf16[2] = { 0x3f80, 0x4000 };
    static const uint8_t                     u8[3] = { 9, 8, 7 };
    static const struct lrc_safetensors_spec specs[] = {
        { "u", LRC_DTYPE_U8, 1, { 3 }, u8 },
        { "z.f", LRC_DTYPE_F32, 2, { 2, 3 }, f32 },
        { "h\"\n", LRC_DTYPE_BF16, 1, { 2 }, bf16 },
        { "a.f", LRC_DTYPE_F32, 0, { 0 }, f32 + 2 },
        { "none", LRC_DTYPE_F32, 1, { 0 }, f32 },
    };
    *n = 5;
    return specs;
}

Test(safetensors, written_file_is_laid_out_as_by_the_reference_writer)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"base\":\"x\"},"
        "\"a.f\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
        "\"none\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]},"
        "\"z.f\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[4,28]},"
        "\"h\\\"\\n\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[28,32]},"
        "\"u\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[32,35]}}";
    static const char *const           metadata[] = { "base", "x", NULL };
    int64_t                            n;
    const struct lrc_safetensors_spec *specs = example(&n);
    struct lrc_error                   err;
    struct lrc_map                     map;
    char *path = lrc_path_join(test_folder("safetensors-layout"), "a.safetensors");
    cr_assert_eq(lrc_safetensors_write(path, specs, n, metadata, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_map_open(&map, path, &err), LRC_STATUS_OK);
    const size_t n_header = sizeof header - 1, padded = (n_header + 7) / 8 * 8;
    cr_assert_eq(map.size_bytes, 8 + padded + 35);
    cr_expect_eq(map.data[0] | map.data[1] << 8, (int)padded);
    cr_expect_arr_eq(map.data + 8, header, n_header);
    for (size_t i = n_header; i < padded; i++)
        cr_expect_eq(map.data[8 + i], ' ');
    lrc_map_close(&map);
    lrc_free(path);
}

Test(safetensors, written_file_reads_back)
{
    int64_t                            n;
    const struct lrc_safetensors_spec *specs = example(&n);
    struct lrc_safetensors             file;
    struct lrc_error                   err;
    char                              *path = lrc_path_join(test_folder("safetensors-back"), "a.safetensors");
    cr_assert_eq(lrc_safetensors_write(path, specs, n, NULL, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_safetensors_open(&file, path, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_eq(file.n_entries, n);
    cr_expect_str_eq(lrc_safetensors_metadata(&file, "format"), "pt");
    cr_expect_null(lrc_safetensors_metadata(&file, "base"));
    cr_expect_null(lrc_safetensors_find(&file, "b"));
    for (int64_t i = 0; i < n; i++) {
        const struct lrc_safetensors_entry *entry = lrc_safetensors_find(&file, specs[i].name);
        cr_assert(entry, "%s", specs[i].name);
        cr_expect_eq(entry->dtype, specs[i].dtype);
        cr_expect_eq(entry->n_dims, specs[i].n_dims);
        cr_expect_arr_eq(entry->data, specs[i].data, entry->size_bytes);
    }
    lrc_safetensors_close(&file);
    lrc_free(path);
}

Test(safetensors, the_same_name_twice_is_not_written)
{
    static const struct lrc_safetensors_spec specs[] = { { "a", LRC_DTYPE_U8, 1, { 0 }, "" },
                                                         { "a", LRC_DTYPE_F32, 1, { 0 }, "" } };
    char *path = lrc_path_join(test_folder("safetensors-twice"), "a.safetensors");
    struct lrc_error                         err;
    cr_expect_eq(lrc_safetensors_write(path, specs, 2, NULL, &err), LRC_STATUS_FORMAT);
    cr_expect_not(lrc_path_exists(path));
    lrc_free(path);
}

Test(safetensors, every_failing_allocation_is_reported_fault)
{
    int64_t                            n;
    const struct lrc_safetensors_spec *specs = example(&n);
    char *path = lrc_path_join(test_folder("safetensors-fault"), "a.safetensors");
    struct lrc_error                   err;
    struct lrc_safetensors             file;
    enum lrc_status                    status = LRC_STATUS_NOMEM;
    for (int64_t k = 0; status != LRC_STATUS_OK; k++) {
        cr_assert_lt(k, 1000);
        test_alloc_fail_at(k);
        status = lrc_safetensors_write(path, specs, n, NULL, &err);
        test_alloc_restore();
        cr_assert(status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM, "%s", err.message);
        cr_assert_eq(test_alloc_live(), 0, "allocation %d", (int)k);
    }
    status = LRC_STATUS_NOMEM;
    for (int64_t k = 0; status != LRC_STATUS_OK; k++) {
        cr_assert_lt(k, 1000);
        test_alloc_fail_at(k);
        status = lrc_safetensors_open(&file, path, &err);
        if (status == LRC_STATUS_OK)
            lrc_safetensors_close(&file);
        test_alloc_restore();
        cr_assert(status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM, "%s", err.message);
        cr_assert_eq(test_alloc_live(), 0, "allocation %d", (int)k);
    }
    lrc_free(path);
}

Test(safetensors, samples_of_the_format_are_read)
{
    char          **names;
    int64_t         n_names, n_read = 0;
    struct lrc_error err;
    const char     *dir = test_asset("LRC_ASSETS", "huggingface+safetensors/samples");
    cr_assert_eq(lrc_dir_list(dir, &names, &n_names, &err), LRC_STATUS_OK, "%s", err.message);
    for (int64_t i = 0; i < n_names; i++) {
        struct lrc_safetensors file;
        if (!strstr(names[i], ".safetensors"))
            continue;
        char *path = lrc_path_join(dir, names[i]);
        cr_expect_eq(lrc_safetensors_open(&file, path, &err), LRC_STATUS_OK, "%s", err.message);
        cr_expect_gt(file.n_entries, 0);
        lrc_safetensors_close(&file);
        lrc_free(path);
        n_read++;
    }
    cr_expect_eq(n_read, 10);
    lrc_dir_list_free(names, n_names);
}
