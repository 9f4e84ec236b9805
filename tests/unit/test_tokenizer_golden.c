/* Every tokenizer of data/ (tokenizer_golden.json and its neighbours) against what Hugging Face tokenizers,
 * SentencePiece, tiktoken and mistral-common made of the same texts. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer/tokenizer.h"

#include <criterion/criterion.h>
#include <string.h>

static json_t *golden(void)
{
    static const char *const files[] = { "tokenizer_golden.json", "rank_golden.json", "stage_golden.json" };
    json_t                  *all = json_array();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct lrc_error err;
        json_t          *records;
        char            *path = lrc_path_join(LRC_SOURCE_DIR "/tests/unit/data", files[i]);
        cr_assert_eq(lrc_json_load(&records, path, &err), LRC_STATUS_OK, "%s", err.message);
        cr_assert_eq(json_array_extend(all, records), 0);
        json_decref(records);
        lrc_free(path);
    }
    return all;
}

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* The bytes of the record's file. */
static void file_of(struct lrc_buf *bytes, const json_t *record)
{
    const char   *hex = json_string_value(json_object_get(record, "sentencepiece"));
    const char   *ranks = json_string_value(json_object_get(record, "tiktoken"));
    const json_t *json = json_object_get(record, "tokenizer"), *tekken = json_object_get(record, "tekken");
    for (; hex && hex[0] && hex[1]; hex += 2)
        lrc_buf_putc(bytes, (char)(hex_digit(hex[0]) * 16 + hex_digit(hex[1])));
    if (ranks)
        lrc_buf_puts(bytes, ranks);
    if (json || tekken) {
        char *text = json_dumps(json ? json : tekken, 0);
        lrc_buf_puts(bytes, text);
        free(text);
    }
    cr_assert_gt(bytes->len, 0);
}

static enum lrc_status read_record(struct lrc_tokenizer **tokenizer, const json_t *record,
                                   const struct lrc_buf *bytes, struct lrc_error *err)
{
    const char *name = json_string_value(json_object_get(record, "name"));
    const char *file = json_string_value(json_object_get(record, "file"));
    if (json_object_get(record, "sentencepiece"))
        return lrc_tokenizer_read_sentencepiece(tokenizer, bytes->data, bytes->len, name, err);
    if (json_object_get(record, "tiktoken"))
        return lrc_tokenizer_read_tiktoken(tokenizer, bytes->data, bytes->len, file, name, err);
    if (json_object_get(record, "tekken"))
        return lrc_tokenizer_read_tekken(tokenizer, bytes->data, bytes->len, name, err);
    return lrc_tokenizer_read_json(tokenizer, bytes->data, bytes->len, name, err);
}

static struct lrc_tokenizer *tokenizer_of(const json_t *record)
{
    struct lrc_tokenizer *tokenizer = NULL;
    struct lrc_error      err;
    struct lrc_buf        bytes = { 0 };
    file_of(&bytes, record);
    cr_assert_eq(read_record(&tokenizer, record, &bytes, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_buf_release(&bytes);
    return tokenizer;
}

static void check_ids(const struct lrc_tokenizer *tokenizer, const json_t *text, const json_t *want,
                      enum lrc_special special, const char *name)
{
    struct lrc_error      err;
    struct lrc_ids        ids = { 0 };
    const enum lrc_status status = lrc_tokenizer_encode(tokenizer, &ids, json_string_value(text),
                                                        json_string_length(text), special, &err);
    cr_assert_eq(status, LRC_STATUS_OK, "%s", err.message);
    cr_expect_eq(ids.len, (int64_t)json_array_size(want), "%s: '%s': %lld ids, want %zu", name,
                 json_string_value(text), (long long)ids.len, json_array_size(want));
    for (int64_t i = 0; i < ids.len && i < (int64_t)json_array_size(want); i++)
        cr_expect_eq(ids.data[i], json_integer_value(json_array_get(want, (size_t)i)),
                     "%s: '%s': id %lld is %d", name, json_string_value(text), (long long)i, ids.data[i]);
    lrc_ids_release(&ids);
}

/* At once, and id by id. */
static void check_text(const struct lrc_tokenizer *tokenizer, const json_t *json_ids, const json_t *want,
                       enum lrc_skip skip, const char *name)
{
    struct lrc_error         err;
    struct lrc_ids           ids = { 0 };
    struct lrc_buf           whole = { 0 }, pieces = { 0 };
    struct lrc_decode_stream stream;
    const json_t            *id;
    size_t                   i;
    json_array_foreach(json_ids, i, id) lrc_ids_append(&ids, (int32_t)json_integer_value(id));
    cr_assert_eq(lrc_tokenizer_decode(tokenizer, &whole, ids.data, ids.len, skip, &err), LRC_STATUS_OK, "%s",
                 err.message);
    if (want)
        cr_expect_str_eq(lrc_buf_text(&whole), json_string_value(want), "%s", name);
    lrc_decode_init(&stream, tokenizer, skip);
    for (int64_t k = 0; k < ids.len; k++)
        cr_assert_eq(lrc_decode_push(&stream, &pieces, ids.data[k], &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_decode_finish(&stream, &pieces, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_str_eq(lrc_buf_text(&pieces), lrc_buf_text(&whole), "%s, streamed", name);
    lrc_ids_release(&ids);
    lrc_buf_release(&whole);
    lrc_buf_release(&pieces);
}

Test(tokenizer_golden, gives_the_reference_s_ids_and_text)
{
    json_t       *records = golden();
    const json_t *record, *item;
    size_t        i, k;
    int           n_cases = 0;
    json_array_foreach(records, i, record)
    {
        const char           *name = json_string_value(json_object_get(record, "name"));
        struct lrc_tokenizer *tokenizer = tokenizer_of(record);
        json_array_foreach(json_object_get(record, "cases"), k, item)
        {
            const json_t *text = json_object_get(item, "text"), *ids = json_object_get(item, "ids");
            check_ids(tokenizer, text, ids, LRC_SPECIAL_NONE, name);
            if (json_object_get(item, "with_special"))
                check_ids(tokenizer, text, json_object_get(item, "with_special"), LRC_SPECIAL_ADD, name);
            check_text(tokenizer, ids, json_object_get(item, "decoded"), LRC_SKIP_NONE, name);
            check_text(tokenizer, ids, json_object_get(item, "skipped"), LRC_SKIP_SPECIAL, name);
            n_cases++;
        }
        lrc_tokenizer_free(tokenizer);
    }
    cr_expect_gt(n_cases, 1600);
    json_decref(records);
}

/* ---- the n-th allocation fails ---- */

static int allocations_left;

static void *failing_allocate(size_t size_bytes)
{
    return allocations_left-- > 0 ? malloc(size_bytes) : NULL;
}

static void *failing_reallocate(void *memory, size_t size_bytes)
{
    return allocations_left-- > 0 ? realloc(memory, size_bytes) : NULL;
}

static enum lrc_status round_trip(const json_t *record, const struct lrc_buf *bytes)
{
    static const char        text[] = "Hello [L] wörld tok 12<s>";
    struct lrc_tokenizer    *tokenizer;
    struct lrc_error         err;
    struct lrc_ids           ids = { 0 };
    struct lrc_buf           out = { 0 };
    struct lrc_decode_stream stream;
    enum lrc_status          status = read_record(&tokenizer, record, bytes, &err);
    if (status != LRC_STATUS_OK)
        return status;
    lrc_decode_init(&stream, tokenizer, LRC_SKIP_NONE);
    status = lrc_tokenizer_encode(tokenizer, &ids, text, sizeof text - 1, LRC_SPECIAL_ADD, &err);
    for (int64_t i = 0; i < ids.len && status == LRC_STATUS_OK; i++)
        status = lrc_decode_push(&stream, &out, ids.data[i], &err);
    if (status == LRC_STATUS_OK)
        status = lrc_decode_finish(&stream, &out, &err);
    lrc_decode_release(&stream);
    lrc_ids_release(&ids);
    lrc_buf_release(&out);
    lrc_tokenizer_free(tokenizer);
    return status;
}

Test(tokenizer_golden, every_failed_allocation_is_a_status_fault)
{
    json_t                    *records = golden();
    const json_t              *record;
    size_t                     i;
    const struct lrc_allocator usual = lrc_allocator;
    json_array_foreach(records, i, record)
    {
        struct lrc_buf bytes = { 0 };
        file_of(&bytes, record);
        enum lrc_status status = LRC_STATUS_NOMEM;
        int             n = 0;
        lrc_allocator.allocate = failing_allocate;
        lrc_allocator.reallocate = failing_reallocate;
        for (; status == LRC_STATUS_NOMEM && n < 100000; n++) {
            allocations_left = n;
            status = round_trip(record, &bytes);
        }
        lrc_allocator = usual;
        cr_expect_eq(status, LRC_STATUS_OK, "%s: %s after %d",
                     json_string_value(json_object_get(record, "name")), lrc_status_text(status), n);
        cr_expect_gt(n, 20);
        lrc_buf_release(&bytes);
    }
    json_decref(records);
}
