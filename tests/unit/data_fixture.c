#include "data_fixture.h"

#include "base/alloc.h"
#include "base/file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append_vocab(struct lrc_buf *json)
{
    lrc_buf_puts(json, "\"vocab\":{\"ab\":5,\"\\n\":6");
    for (char c = ' '; c <= '~'; c++) {
        lrc_buf_putc(json, ',');
        lrc_json_append_string(json, &c, 1);
        lrc_buf_printf(json, ":%d", c);
    }
    lrc_buf_puts(json, "}");
}

static void append_tokenizer(struct lrc_buf *json, int kind)
{
    static const char *const special[] = { "<s>", "</s>", "<|im_start|>", "<|im_end|>" };
    lrc_buf_puts(json, "{\"version\":\"1.0\",\"added_tokens\":[");
    for (int i = 0; i < 4; i++)
        lrc_buf_printf(
            json,
            "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
            "\"normalized\":false,\"special\":true}",
            i ? "," : "", i + 1, special[i]);
    lrc_buf_puts(json, "],\"normalizer\":");
    lrc_buf_puts(json, kind & FIXTURE_MARKED ? "{\"type\":\"Prepend\",\"prepend\":\"_\"}" : "null");
    lrc_buf_puts(json, ",\"pre_tokenizer\":null,\"decoder\":null,\"post_processor\":");
    lrc_buf_puts(
        json,
        kind & FIXTURE_BOS
            ? "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}}"
              ","
              "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"</"
              "s>\",\"type_id\":0}}],"
              "\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]},"
              "\"</s>\":{\"id\":\"</s>\",\"ids\":[2],\"tokens\":[\"</s>\"]}}}"
            : "null");
    lrc_buf_puts(
        json,
        ",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
        "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,");
    append_vocab(json);
    lrc_buf_puts(json, ",\"merges\":[\"a b\"]}}");
}

static void write_file(const char *dir, const char *name, const char *text)
{
    struct lrc_error err;
    char            *path = lrc_path_join(dir, name);
    cr_assert(path);
    cr_assert_eq(lrc_file_write(path, text, strlen(text), &err), LRC_STATUS_OK, "%s", err.message);
    lrc_free(path);
}

struct lrc_tokenizer *data_fixture_tokenizer(int kind)
{
    char                  dir[] = "/tmp/lrc_tokenizer_XXXXXX";
    struct lrc_buf        json = { 0 };
    struct lrc_tokenizer *tokenizer;
    struct lrc_error      err;
    cr_assert(mkdtemp(dir));
    append_tokenizer(&json, kind);
    write_file(dir, "tokenizer.json", json.data);
    write_file(dir, "tokenizer_config.json",
               kind & FIXTURE_NO_EOS ? "{\"bos_token\":\"<s>\"}"
                                     : "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}");
    cr_assert_eq(lrc_tokenizer_load(&tokenizer, dir, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_dir_remove(dir, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_buf_release(&json);
    return tokenizer;
}

static void show(struct lrc_buf *shown, const struct lrc_tokenizer *tokenizer,
                 const struct lrc_encoded *encoded)
{
    cr_assert_eq((int64_t)encoded->trained.len, encoded->ids.len);
    for (int64_t i = 0; i < encoded->ids.len; i++) {
        const char *piece = lrc_tokenizer_piece(tokenizer, encoded->ids.data[i]);
        lrc_buf_putc(shown, encoded->trained.data[i] ? '+' : '-');
        lrc_buf_puts(shown, strcmp(piece, "\n") == 0 ? "\\n" : piece);
    }
}

char *data_fixture_encode(const struct lrc_data_context *context, const char *format, const char *row)
{
    struct lrc_error               err = { 0 };
    struct lrc_encoded             encoded = { 0 };
    struct lrc_buf                 shown = { 0 };
    json_t                        *json;
    const struct lrc_dataset_spec  spec = { 0 };
    struct lrc_data_context        full = *context;
    const struct lrc_data_format  *found = lrc_data_format_find(format);
    full.spec = full.spec ? full.spec : &spec;
    cr_assert(found, "%s", format);
    cr_assert_eq(lrc_json_parse(&json, row, strlen(row), "row", &err), LRC_STATUS_OK, "%s", err.message);
    if (found->encode(&encoded, &full, json, &err) == LRC_STATUS_OK)
        show(&shown, context->tokenizer, &encoded);
    else
        lrc_buf_puts(&shown, err.message);
    char *text = lrc_strdup(lrc_buf_text(&shown));
    json_decref(json);
    lrc_encoded_release(&encoded);
    lrc_buf_release(&shown);
    return text;
}

void data_fixture_expect(const struct lrc_data_context *context, const char *format, const char *row,
                         const char *wanted)
{
    char *shown = data_fixture_encode(context, format, row);
    cr_expect_str_eq(shown, wanted, "%s\n  %s\n  got  %s\n  want %s", format, row, shown, wanted);
    lrc_free(shown);
}
