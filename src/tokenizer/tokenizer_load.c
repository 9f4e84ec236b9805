/* Tokenizers out of files: which file of a model folder, tokenizer.json, tokenizer_config.json. */
#include "base/alloc.h"
#include "base/file.h"
#include "tokenizer/tokenizer_parts.h"
#include <stdlib.h>
#include <string.h>

static const char *const ROLE_KEYS[LRC_TOKEN_ROLE_COUNT] = { "bos_token", "eos_token", "pad_token",
                                                             "unk_token" };

enum lrc_status lrc_tokenizer_set_role(struct lrc_tokenizer *tokenizer, enum lrc_token_role role,
                                       const char *text, struct lrc_error *err)
{
    lrc_free(tokenizer->roles[role]);
    tokenizer->roles[role] = lrc_strdup(text);
    return tokenizer->roles[role] ? LRC_STATUS_OK : lrc_fail_nomem(err, "special token");
}

/* ---- tokenizer.json ---- */

enum lrc_status lrc_tokenizer_fill_json(struct lrc_tokenizer *tokenizer, const json_t *json, const char *name,
                                        struct lrc_error *err)
{
    size_t        i;
    const json_t *token;
    if (!json_is_object(json))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want an object, got %s", name, lrc_json_type_name(json));
    LRC_TRY(lrc_token_model_read(&tokenizer->model, json_object_get(json, "model"), name, err));
    LRC_TRY(lrc_normalizer_read(&tokenizer->normalizer, json_object_get(json, "normalizer"), name, err));
    LRC_TRY(
        lrc_pre_tokenizer_read(&tokenizer->pre_tokenizer, json_object_get(json, "pre_tokenizer"), name, err));
    LRC_TRY(lrc_post_processor_read(&tokenizer->post_processor, json_object_get(json, "post_processor"), name,
                                    err));
    LRC_TRY(lrc_decoder_read(&tokenizer->decoder, json_object_get(json, "decoder"), name, err));
    json_array_foreach(json_object_get(json, "added_tokens"), i, token)
    {
        int64_t id = -1;
        LRC_TRY(lrc_json_get_int(&id, token, "id", name, err));
        LRC_TRY(lrc_added_tokens_read(&tokenizer->added, token, id, &tokenizer->model->vocab, name, err));
    }
    return LRC_STATUS_OK;
}

/* ---- tokenizer_config.json ---- */

/* "<s>" or {"content": "<s>", ...}; NULL when absent or null. */
static enum lrc_status token_text(const char **text, const json_t *config, const char *key, const char *name,
                                  struct lrc_error *err)
{
    const json_t *member = json_object_get(config, key);
    *text = NULL;
    if (json_is_object(member))
        return lrc_json_get_string(text, member, "content", name, err);
    return lrc_json_get_string(text, config, key, name, err);
}

/* {"0": {"content": "<s>", ...}, ...} */
static enum lrc_status add_decoder_tokens(struct lrc_tokenizer *tokenizer, json_t *config, const char *name,
                                          struct lrc_error *err)
{
    const char *key;
    json_t     *token;
    json_object_foreach(json_object_get(config, "added_tokens_decoder"), key, token)
    {
        char           *end;
        const long long id = strtoll(key, &end, 10);
        const char     *content = NULL;
        LRC_TRY(lrc_json_get_string(&content, token, "content", name, err));
        if (end == key || *end != '\0')
            return lrc_fail(err, LRC_STATUS_FORMAT,
                            "%s: 'added_tokens_decoder': want ids as keys, got '%.60s'", name, key);
        if (content && lrc_vocab_find(&tokenizer->added.vocab, content, strlen(content)) >= 0)
            continue; /* tokenizer.json knows it already */
        LRC_TRY(lrc_added_tokens_read(&tokenizer->added, token, id, &tokenizer->model->vocab, name, err));
    }
    return LRC_STATUS_OK;
}

/* A role's token is special, also where only the model's vocabulary has it. */
static enum lrc_status add_role(struct lrc_tokenizer *tokenizer, enum lrc_token_role role, const char *text,
                                struct lrc_error *err)
{
    const struct lrc_added_token token = { .id = lrc_tokenizer_find(tokenizer, text, strlen(text)),
                                           .special = 1 };
    LRC_TRY(lrc_tokenizer_set_role(tokenizer, role, text, err));
    return token.id < 0 ? LRC_STATUS_OK
                        : lrc_added_tokens_add(&tokenizer->added, text, strlen(text), token, err);
}

static enum lrc_status set_end(struct lrc_ids *ids, const struct lrc_tokenizer *tokenizer,
                               enum lrc_token_role role, int wanted, struct lrc_error *err)
{
    const int32_t id = lrc_tokenizer_role_id(tokenizer, role);
    ids->len = 0;
    if (wanted && id >= 0)
        lrc_ids_append(ids, id);
    return lrc_ids_check(ids, err);
}

/* Which ends a tokenizer class adds when tokenizer_config.json does not say. Other classes: none of their own
 * doing. */
static const struct {
    const char *class;
    int add_bos, add_eos;
} CLASSES[] = {
    { "LlamaTokenizer", 1, 0 },     { "LlamaTokenizerFast", 1, 0 },
    { "CodeLlamaTokenizer", 1, 0 }, { "CodeLlamaTokenizerFast", 1, 0 },
    { "GemmaTokenizer", 1, 0 },     { "GemmaTokenizerFast", 1, 0 },
    { "T5Tokenizer", 0, 1 },        { "T5TokenizerFast", 0, 1 },
};

/* A SentencePiece model has no post-processor: BOS and EOS come by these switches, BOS by default. With a
 * tokenizer.json they count where they are written and the class rebuilds its post-processor from them. */
static enum lrc_status set_ends(struct lrc_tokenizer *tokenizer, const json_t *config, const char *name,
                                struct lrc_error *err)
{
    const char *class = NULL;
    int add_bos = 1, add_eos = 0, known = 0;
    LRC_TRY(lrc_json_get_string(&class, config, "tokenizer_class", name, err));
    for (size_t i = 0; class && i < sizeof CLASSES / sizeof *CLASSES; i++) {
        if (strcmp(CLASSES[i].class, class) == 0) {
            add_bos = CLASSES[i].add_bos;
            add_eos = CLASSES[i].add_eos;
            known = add_bos; /* T5 keeps the post-processor of its tokenizer.json */
        }
    }
    const int written = json_is_boolean(json_object_get(config, "add_bos_token")) ||
                        json_is_boolean(json_object_get(config, "add_eos_token"));
    if (!tokenizer->adds_ends && !(known && written))
        return LRC_STATUS_OK;
    LRC_TRY(lrc_json_get_bool(&add_bos, config, "add_bos_token", name, err));
    LRC_TRY(lrc_json_get_bool(&add_eos, config, "add_eos_token", name, err));
    if (!tokenizer->adds_ends && ((add_bos && lrc_tokenizer_role_id(tokenizer, LRC_TOKEN_BOS) < 0) ||
                                  (add_eos && lrc_tokenizer_role_id(tokenizer, LRC_TOKEN_EOS) < 0)))
        return LRC_STATUS_OK; /* asked for, but unnamed: what tokenizer.json says stands */
    LRC_TRY(set_end(&tokenizer->post_processor.before, tokenizer, LRC_TOKEN_BOS, add_bos, err));
    return set_end(&tokenizer->post_processor.after, tokenizer, LRC_TOKEN_EOS, add_eos, err);
}

enum lrc_status lrc_tokenizer_finish(struct lrc_tokenizer *tokenizer, const json_t *config, const char *name,
                                     struct lrc_error *err)
{
    json_t *mutable_config = (json_t *)(uintptr_t)config; /* jansson's iterators take no const */
    LRC_TRY(add_decoder_tokens(tokenizer, mutable_config, name, err));
    for (int role = 0; role < LRC_TOKEN_ROLE_COUNT; role++) {
        const char *text;
        LRC_TRY(token_text(&text, config, ROLE_KEYS[role], name, err));
        if (text)
            LRC_TRY(add_role(tokenizer, (enum lrc_token_role)role, text, err));
    }
    LRC_TRY(set_ends(tokenizer, config, name, err));
    return lrc_added_tokens_index(&tokenizer->added, &tokenizer->normalizer, err);
}

/* ---- from memory ---- */

/* Hand the tokenizer out when it was filled and could be finished, or release it. */
static enum lrc_status settle(struct lrc_tokenizer **out, struct lrc_tokenizer *tokenizer,
                              enum lrc_status status, const json_t *config, const char *name,
                              struct lrc_error *err)
{
    *out = NULL;
    if (status == LRC_STATUS_OK)
        status = lrc_tokenizer_finish(tokenizer, config, name, err);
    if (status == LRC_STATUS_OK)
        *out = tokenizer;
    else
        lrc_tokenizer_free(tokenizer);
    return status;
}

struct json_reader {
    enum lrc_status (*fill)(struct lrc_tokenizer *tokenizer, const json_t *json, const char *name,
                            struct lrc_error *err);
};
static const struct json_reader TOKENIZER_JSON = { lrc_tokenizer_fill_json };
static const struct json_reader TEKKEN_JSON = { lrc_tokenizer_fill_tekken };

static enum lrc_status read_json(struct lrc_tokenizer **tokenizer, const struct json_reader *reader,
                                 const char *bytes, size_t n, const char *name, struct lrc_error *err)
{
    json_t *json = NULL;
    *tokenizer = NULL;
    LRC_TRY(lrc_json_parse(&json, bytes, n, name, err));
    struct lrc_tokenizer *made = lrc_tokenizer_new();
    const enum lrc_status status =
        made ? reader->fill(made, json, name, err) : lrc_fail_nomem(err, "tokenizer");
    json_decref(json);
    return settle(tokenizer, made, status, NULL, name, err);
}

enum lrc_status lrc_tokenizer_read_json(struct lrc_tokenizer **tokenizer, const char *bytes, size_t n,
                                        const char *name, struct lrc_error *err)
{
    return read_json(tokenizer, &TOKENIZER_JSON, bytes, n, name, err);
}

enum lrc_status lrc_tokenizer_read_tekken(struct lrc_tokenizer **tokenizer, const char *bytes, size_t n,
                                          const char *name, struct lrc_error *err)
{
    return read_json(tokenizer, &TEKKEN_JSON, bytes, n, name, err);
}

enum lrc_status lrc_tokenizer_read_sentencepiece(struct lrc_tokenizer **tokenizer, const char *bytes,
                                                 size_t n, const char *name, struct lrc_error *err)
{
    struct lrc_tokenizer *made = lrc_tokenizer_new();
    const enum lrc_status status = made ? lrc_tokenizer_fill_sentencepiece(made, bytes, n, NULL, name, err)
                                        : lrc_fail_nomem(err, "tokenizer");
    return settle(tokenizer, made, status, NULL, name, err);
}

enum lrc_status lrc_tokenizer_read_tiktoken(struct lrc_tokenizer **tokenizer, const char *bytes, size_t n,
                                            const char *file, const char *name, struct lrc_error *err)
{
    const struct lrc_rank_source source = { .file = file, .name = name, .count = LRC_RANK_COUNT_ANY };
    struct lrc_tokenizer        *made = lrc_tokenizer_new();
    const enum lrc_status        status =
        made ? lrc_tokenizer_fill_tiktoken(made, bytes, n, &source, err) : lrc_fail_nomem(err, "tokenizer");
    return settle(tokenizer, made, status, NULL, name, err);
}

/* ---- from a model folder ---- */

#define RANKS ".tiktoken"

static int ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end);
    return n > n_end && strcmp(text + n - n_end, end) == 0;
}

struct source {
    const char   *model_dir, *file, *path;
    const json_t *config;
};

static enum lrc_status fill_from_json(struct lrc_tokenizer *tokenizer, const struct json_reader *reader,
                                      const char *path, struct lrc_error *err)
{
    json_t *json = NULL;
    LRC_TRY(lrc_json_load(&json, path, err));
    const enum lrc_status status = reader->fill(tokenizer, json, path, err);
    json_decref(json);
    return status;
}

static enum lrc_status json_file(struct lrc_tokenizer *tokenizer, const struct source *source,
                                 struct lrc_error *err)
{
    return fill_from_json(tokenizer, &TOKENIZER_JSON, source->path, err);
}

static enum lrc_status tekken_file(struct lrc_tokenizer *tokenizer, const struct source *source,
                                   struct lrc_error *err)
{
    return fill_from_json(tokenizer, &TEKKEN_JSON, source->path, err);
}

/* tokenizer.model is a SentencePiece model, or for Llama 3 a rank file; *.tiktoken is always one. */
static enum lrc_status model_file(struct lrc_tokenizer *tokenizer, const struct source *source,
                                  struct lrc_error *err)
{
    const struct lrc_rank_source ranks = { source->file, source->path, source->config,
                                           LRC_RANK_COUNT_PUBLISHED };
    struct lrc_map               map;
    LRC_TRY(lrc_map_open(&map, source->path, err));
    const char *bytes = (const char *)map.data;
    const int   has_ranks = ends_with(source->file, RANKS) || lrc_tiktoken_looks_like(bytes, map.size_bytes);
    const enum lrc_status status =
        has_ranks ? lrc_tokenizer_fill_tiktoken(tokenizer, bytes, map.size_bytes, &ranks, err)
                  : lrc_tokenizer_fill_sentencepiece(tokenizer, bytes, map.size_bytes, source->config,
                                                     source->path, err);
    lrc_map_close(&map);
    return status;
}

static enum lrc_status merges_file(struct lrc_tokenizer *tokenizer, const struct source *source,
                                   struct lrc_error *err)
{
    return lrc_tokenizer_fill_merges(tokenizer, source->model_dir, source->config, err);
}

/* The first that is there is read. */
static const struct {
    const char *file; /* one that begins with a dot: any name that ends so */
    enum lrc_status (*fill)(struct lrc_tokenizer *tokenizer, const struct source *source,
                            struct lrc_error *err);
} FILES[] = {
    { "tokenizer.json", json_file }, { "tokenizer.model", model_file },
    { "tekken.json", tekken_file },  { "merges.txt", merges_file },
    { RANKS, model_file },
};

static int is_named(const char *file, const char *name)
{
    return name[0] == '.' ? ends_with(file, name) : strcmp(file, name) == 0;
}

int lrc_tokenizer_is_file(const char *file)
{
    static const char *const beside[] = { "tokenizer_config.json", "special_tokens_map.json",
                                          "added_tokens.json", "vocab.json" };
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        if (is_named(file, FILES[i].file))
            return 1;
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        if (strcmp(file, beside[i]) == 0)
            return 1;
    return 0;
}

static enum lrc_status fill_folder(struct lrc_tokenizer *tokenizer, const char *model_dir,
                                   const json_t *config, struct lrc_error *err)
{
    char  **names;
    int64_t n_names;
    LRC_TRY(lrc_dir_list(model_dir, &names, &n_names, err));
    struct source source = { .model_dir = model_dir, .config = config };
    size_t        kind = 0;
    for (; kind < sizeof FILES / sizeof *FILES && !source.file; kind++)
        for (int64_t i = 0; i < n_names && !source.file; i++)
            if (is_named(names[i], FILES[kind].file))
                source.file = names[i];
    char           *path = source.file ? lrc_path_join(model_dir, source.file) : NULL;
    enum lrc_status status;
    source.path = path;
    if (!source.file)
        status =
            lrc_fail(err, LRC_STATUS_FORMAT,
                     "%s: want tokenizer.json, tokenizer.model, tekken.json, a .tiktoken file, or vocab.json "
                     "with merges.txt, got none of them",
                     model_dir);
    else
        status = path ? FILES[kind - 1].fill(tokenizer, &source, err) : lrc_fail_nomem(err, "path");
    lrc_free(path);
    lrc_dir_list_free(names, n_names);
    return status;
}

static enum lrc_status load_config(json_t **config, char **path, const char *model_dir, struct lrc_error *err)
{
    *path = lrc_path_join(model_dir, "tokenizer_config.json");
    if (!*path)
        return lrc_fail_nomem(err, "path");
    if (!lrc_path_exists(*path))
        return LRC_STATUS_OK;
    LRC_TRY(lrc_json_load(config, *path, err));
    if (!json_is_object(*config))
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want an object, got %s", *path,
                        lrc_json_type_name(*config));
    return LRC_STATUS_OK;
}

enum lrc_status lrc_tokenizer_load(struct lrc_tokenizer **tokenizer, const char *model_dir,
                                   struct lrc_error *err)
{
    json_t               *config = NULL;
    char                 *config_path = NULL;
    struct lrc_tokenizer *made = lrc_tokenizer_new();
    enum lrc_status       status =
        made ? load_config(&config, &config_path, model_dir, err) : lrc_fail_nomem(err, "tokenizer");

    if (status == LRC_STATUS_OK)
        status = fill_folder(made, model_dir, config, err);
    status = settle(tokenizer, made, status, config, config_path ? config_path : model_dir, err);
    json_decref(config);
    lrc_free(config_path);
    return status;
}
