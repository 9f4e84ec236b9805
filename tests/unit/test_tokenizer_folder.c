/* Tokenizers of model folders: which file is read, and what tokenizer_config.json changes. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer/tokenizer.h"
#include "unit/write_sentencepiece.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEMO  LRC_SOURCE_DIR "/datasets/demo-base"
#define SPACE "\xE2\x96\x81" /* U+2581 */

/* ---- a folder of our own ---- */

static char folder[64];

static void folder_init(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/lrc_tokenizer_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void folder_release(void)
{
    struct lrc_error err;
    cr_expect_eq(lrc_dir_remove(folder, &err), LRC_STATUS_OK);
}

static void put(const char *name, const void *bytes, size_t n)
{
    struct lrc_error err;
    char            *path = lrc_path_join(folder, name);
    cr_assert_eq(lrc_file_write(path, bytes, n, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_free(path);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static struct lrc_tokenizer *load(const char *path)
{
    struct lrc_tokenizer *tokenizer;
    struct lrc_error      err;
    cr_assert_eq(lrc_tokenizer_load(&tokenizer, path, &err), LRC_STATUS_OK, "%s", err.message);
    return tokenizer;
}

static void expect_ids(const struct lrc_tokenizer *tokenizer, const char *text, const int32_t *want,
                       int64_t n_want)
{
    struct lrc_ids   ids = { 0 };
    struct lrc_error err;
    cr_assert_eq(lrc_tokenizer_encode(tokenizer, &ids, text, strlen(text), LRC_SPECIAL_ADD, &err),
                 LRC_STATUS_OK, "%s", err.message);
    cr_expect_eq(ids.len, n_want, "'%s': %lld ids", text, (long long)ids.len);
    for (int64_t i = 0; i < ids.len && i < n_want; i++)
        cr_expect_eq(ids.data[i], want[i], "'%s': id %lld is %d, want %d", text, (long long)i, ids.data[i],
                     want[i]);
    lrc_ids_release(&ids);
}
#define EXPECT_IDS(tokenizer, text, ...)                                                                     \
    expect_ids(tokenizer, text, (const int32_t[]){ __VA_ARGS__ },                                            \
               (int64_t)(sizeof((int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t)))

/* ---- files of the kinds ---- */

/* ids: 0 <unk>, 1 <s>, 2 </s>, 3 <0x0A>, 4 space, 5 a, 6 b, 7 aa, 8 ab, 9 space+a, 10 [X] (control). */
static void put_sentencepiece(void)
{
    struct lrc_buf model = { 0 }, spec = { 0 };
    put_piece(&model, "<unk>", 0, 2);
    put_piece(&model, "<s>", 0, 3);
    put_piece(&model, "</s>", 0, 3);
    put_piece(&model, "<0x0A>", 0, 6);
    put_piece(&model, SPACE, -9, 1);
    put_piece(&model, "a", -9, 1);
    put_piece(&model, "b", -9, 1);
    put_piece(&model, "aa", -1, 1);
    put_piece(&model, "ab", -2, 1);
    put_piece(&model, SPACE "a", -3, 1);
    put_piece(&model, "[X]", 0, 3);
    put_varint(&spec, 3 << 3); /* model_type: BPE */
    put_varint(&spec, 2);
    put_varint(&spec, 35 << 3); /* byte_fallback */
    put_varint(&spec, 1);
    put_message(&model, 2, &spec);
    lrc_buf_clear(&spec);
    put_varint(&spec, 4 << 3); /* remove_extra_whitespaces */
    put_varint(&spec, 0);
    put_message(&model, 3, &spec);
    put("tokenizer.model", model.data, model.len);
    lrc_buf_release(&model);
    lrc_buf_release(&spec);
}

/* ---- tests ---- */

Test(tokenizer_folder, the_demo_model_s_tokenizer_loads)
{
    if (!lrc_path_exists(DEMO "/tokenizer.json"))
        cr_skip_test("datasets/demo-base is not there");
    struct lrc_tokenizer *tokenizer = load(DEMO);
    cr_expect_eq(lrc_tokenizer_n_ids(tokenizer), 4096);
    cr_expect_str_eq(lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_EOS), "<|im_end|>");
    cr_expect_eq(lrc_tokenizer_role_id(tokenizer, LRC_TOKEN_EOS), 2);
    cr_expect_eq(lrc_tokenizer_role_id(tokenizer, LRC_TOKEN_PAD), 3);
    cr_expect_null(lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_BOS));
    cr_expect_eq(lrc_tokenizer_role_id(tokenizer, LRC_TOKEN_BOS), -1);
    cr_expect(lrc_tokenizer_is_special(tokenizer, 1));

    struct lrc_ids    ids = { 0 };
    struct lrc_buf    text = { 0 };
    struct lrc_error  err;
    static const char turn[] = "<|im_start|>user\nHow do I return a lämp?<|im_end|>\n";
    cr_assert_eq(lrc_tokenizer_encode(tokenizer, &ids, turn, sizeof turn - 1, LRC_SPECIAL_ADD, &err),
                 LRC_STATUS_OK);
    cr_expect_eq(ids.data[0], 1);
    cr_expect_eq(ids.data[ids.len - 2], 2);
    cr_assert_eq(lrc_tokenizer_decode(tokenizer, &text, ids.data, ids.len, LRC_SKIP_NONE, &err),
                 LRC_STATUS_OK);
    cr_expect_str_eq(text.data, turn);
    lrc_buf_clear(&text);
    cr_assert_eq(lrc_tokenizer_decode(tokenizer, &text, ids.data, ids.len, LRC_SKIP_SPECIAL, &err),
                 LRC_STATUS_OK);
    cr_expect_str_eq(text.data, "user\nHow do I return a lämp?\n");
    lrc_ids_release(&ids);
    lrc_buf_release(&text);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer_folder, a_folder_without_a_tokenizer_is_named, .init = folder_init, .fini = folder_release)
{
    struct lrc_tokenizer *tokenizer = NULL;
    struct lrc_error      err;
    cr_expect_eq(lrc_tokenizer_load(&tokenizer, folder, &err), LRC_STATUS_FORMAT);
    cr_expect_null(tokenizer);
    cr_expect_not_null(strstr(err.message, folder), "%s", err.message);
}

Test(tokenizer_folder, sentencepiece_adds_bos_unless_told_otherwise, .init = folder_init,
     .fini = folder_release)
{
    put_sentencepiece();
    struct lrc_tokenizer *tokenizer = load(folder);
    EXPECT_IDS(tokenizer, "aab\n", 1, 4, 7, 6, 3); /* aa has the best score */
    EXPECT_IDS(tokenizer, "b", 1, 4, 6);
    EXPECT_IDS(tokenizer, "", 1);
    cr_expect_str_eq(lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_UNK), "<unk>");
    cr_expect_null(lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_PAD));
    lrc_tokenizer_free(tokenizer);

    put_text("tokenizer_config.json",
             "{\"add_bos_token\": false, \"add_eos_token\": true, \"eos_token\": {\"content\": \"[X]\"}}");
    tokenizer = load(folder);
    EXPECT_IDS(tokenizer, "b", 4, 6, 10);
    cr_expect_str_eq(lrc_tokenizer_role_text(tokenizer, LRC_TOKEN_EOS), "[X]");
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer_folder, control_pieces_written_in_text_are_special, .init = folder_init,
     .fini = folder_release)
{
    put_sentencepiece();
    put_text("tokenizer_config.json",
             "{\"add_bos_token\": false, \"legacy\": true, \"added_tokens_decoder\":"
             " {\"11\": {\"content\": \"<new>\", \"special\": false, \"normalized\": false}}}");
    struct lrc_tokenizer *tokenizer = load(folder);
    EXPECT_IDS(tokenizer, "<s>ab<new>b", 1, 4, 8, 11, 4, 6);
    cr_expect_eq(lrc_tokenizer_n_ids(tokenizer), 12);
    cr_expect(lrc_tokenizer_is_special(tokenizer, 10));
    cr_expect_not(lrc_tokenizer_is_special(tokenizer, 11));
    lrc_tokenizer_free(tokenizer);

    put_text("tokenizer_config.json", "{\"add_bos_token\": false, \"legacy\": false}");
    tokenizer = load(folder);
    EXPECT_IDS(tokenizer, "<s>ab", 1, 8);
    EXPECT_IDS(tokenizer, "ab<s>ab", 4, 8, 1, 8);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer_folder, tokenizer_json_wins_and_its_post_processor_stands, .init = folder_init,
     .fini = folder_release)
{
    static const char json[] =
        "{\"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {\"<s>\": 0, \"a\": 1, "
        "\"</s>\": 2}}, \"post_processor\":"
        " {\"type\": \"RobertaProcessing\", \"cls\": [\"<s>\", 0], \"sep\": [\"</s>\", 2]}}";
    put_sentencepiece();
    put_text("tokenizer.json", json);
    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"add_bos_token\": "
                                      "false, \"bos_token\": \"<s>\"}");
    struct lrc_tokenizer *tokenizer = load(folder);
    EXPECT_IDS(tokenizer, "a<s>", 0, 1, 0, 2);
    cr_expect(lrc_tokenizer_is_special(tokenizer, 0), "a role's token is special");
    lrc_tokenizer_free(tokenizer);

    /* This class builds its post-processor from the switches. */
    put_text(
        "tokenizer_config.json",
        "{\"tokenizer_class\": \"LlamaTokenizerFast\", \"add_bos_token\": false, \"bos_token\": \"<s>\"}");
    tokenizer = load(folder);
    EXPECT_IDS(tokenizer, "a", 1);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer_folder, vocab_and_merges_are_read_by_class, .init = folder_init, .fini = folder_release)
{
    put_text("vocab.json", "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\u0120\": 3, \"1\": 4, \"11\": 5}");
    put_text("merges.txt", "#version: 0.2\na b\r\n1 1\n");
    put_text("added_tokens.json", "{\"<|x|>\": 9}");
    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"GPT2Tokenizer\"}");
    struct lrc_tokenizer *tokenizer = load(folder);
    EXPECT_IDS(tokenizer, "ab 11<|x|>", 2, 3, 5, 9);
    lrc_tokenizer_free(tokenizer);

    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"Qwen2Tokenizer\"}");
    tokenizer = load(folder);
    EXPECT_IDS(tokenizer, "ab 11<|x|>", 2, 3, 4, 4, 9); /* digits one by one */
    lrc_tokenizer_free(tokenizer);

    struct lrc_error err;
    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"OddTokenizer\"}");
    cr_expect_eq(lrc_tokenizer_load(&tokenizer, folder, &err), LRC_STATUS_UNSUPPORTED);
    cr_expect_not_null(strstr(err.message, "OddTokenizer"), "%s", err.message);
}

Test(tokenizer_folder, a_damaged_config_is_a_format_error, .init = folder_init, .fini = folder_release)
{
    static const char *const configs[] = { "[]",
                                           "{",
                                           "{\"bos_token\": 3}",
                                           "{\"add_bos_token\": \"yes\"}",
                                           "{\"added_tokens_decoder\": {\"x\": {\"content\": \"<new>\"}}}",
                                           "{\"added_tokens_decoder\": {\"5\": {\"content\": \"<new>\"}}}" };
    put_sentencepiece();
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        struct lrc_tokenizer *tokenizer = NULL;
        struct lrc_error      err = { 0 };
        put_text("tokenizer_config.json", configs[i]);
        cr_expect_eq(lrc_tokenizer_load(&tokenizer, folder, &err), LRC_STATUS_FORMAT, "%s: %s", configs[i],
                     err.message);
        cr_expect_null(tokenizer);
    }
}
