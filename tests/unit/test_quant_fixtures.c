/* Against what bitsandbytes 0.50.2 stored on a CPU: every block size, dtype, tail and edge value of the
 * fixture. */
#include "base/alloc.h"
#include "formats/safetensors.h"
#include "quant/quant.h"
#include "support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct lrc_safetensors_entry *find(const struct lrc_safetensors *file, const char *name,
                                                const char *suffix)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s%s", name, suffix);
    return lrc_safetensors_find(file, full);
}

static void expect_same(const void *got, const struct lrc_safetensors_entry *want, const char *name,
                        const char *what)
{
    cr_assert(want, "%s%s", name, what);
    cr_expect_arr_eq(got, want->data, want->size_bytes, "%s%s", name, what);
}

/* A mean's last bit depends on the order of summation, which torch does not promise: within one unit of
 * float32. */
static int is_same_mean(float got, double want)
{
    return fabs((double)got - want) <= fabs(want) * 0x1p-23;
}

static void check_case(const struct lrc_safetensors *file, const json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    const struct lrc_safetensors_entry *in =
        find(file, json_string_value(json_object_get(json, "input")), "");
    const struct lrc_quant_options options = {
        lrc_quant_type_find(json_string_value(json_object_get(json, "quant_type"))),
        json_integer_value(json_object_get(json, "blocksize")), json_is_true(json_object_get(json, "nested"))
    };
    const struct lrc_weight source = { .rows = 1, .cols = in->n_elems, .dtype = in->dtype, .data = in->data };
    struct lrc_weight       w;
    struct lrc_error        err;
    void                   *storage = lrc_calloc((int64_t)lrc_quant_bytes(1, in->n_elems, &options), 1);
    const enum lrc_status   status = lrc_quantize(&w, storage, &source, &options, &err);
    if (strncmp(name, "nonfinite", 9) == 0) {
        cr_expect_eq(status, LRC_STATUS_NUMERIC);
        lrc_free(storage);
        return;
    }
    cr_assert_eq(status, LRC_STATUS_OK, "%s: %s", name, err.message);
    expect_same(w.data, find(file, name, ".packed"), name, ".packed");
    if (options.double_quant) {
        const double offset = json_number_value(json_object_get(json, "nested_offset"));
        cr_expect(is_same_mean(w.nested_offset, offset), "%s: offset %.9g, want %.9g", name,
                  (double)w.nested_offset, offset);
        if ((double)w.nested_offset == offset) {
            expect_same(w.nested_absmax, find(file, name, ".nested_absmax"), name, ".nested_absmax");
            expect_same(w.absmax_code, find(file, name, ".absmax"), name, ".absmax");
        } else {
            printf("%s: the mean differs in its last bit\n", name);
        }
    } else {
        expect_same(w.absmax, find(file, name, ".absmax"), name, ".absmax");
    }
    lrc_free(storage);
}

Test(quant_fixtures, blocks_equal_bitsandbytes)
{
    struct lrc_safetensors file;
    struct lrc_error       err;
    json_t                *json, *value;
    size_t                 i;
    const char            *tensors = test_asset("LRC_FIXTURES", "numerics/data/bnb_4bit.safetensors");
    cr_assert_eq(lrc_safetensors_open(&file, tensors, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_json_load(&json, test_asset("LRC_FIXTURES", "numerics/data/bnb_4bit.json"), &err),
                 LRC_STATUS_OK, "%s", err.message);
    cr_assert_gt(json_array_size(json_object_get(json, "cases")), 0);
    json_array_foreach (json_object_get(json, "cases"), i, value)
        check_case(&file, value);
    json_decref(json);
    lrc_safetensors_close(&file);
}
