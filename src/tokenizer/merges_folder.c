/* vocab.json with merges.txt (and added_tokens.json): the files of GPT-2 and Qwen2 from before
 * tokenizer.json.
 *
 * merges.txt: an optional line "#version: ...", then one merge per line, "left right", by rank. */
#include "base/alloc.h"
#include "base/file.h"
#include "tokenizer/byte_level.h"
#include <string.h>

/* tokenizer_class to the stages its code makes. */
static const struct {
    const char *class;
    struct lrc_byte_level options;
} CLASSES[] = {
    { "GPT2Tokenizer", { LRC_REGEX_GPT2, 0 } },
    { "GPT2TokenizerFast", { LRC_REGEX_GPT2, 0 } },
    { "Qwen2Tokenizer", { LRC_REGEX_CL100K("\\p{N}"), 1 } },
    { "Qwen2TokenizerFast", { LRC_REGEX_CL100K("\\p{N}"), 1 } },
};

static enum lrc_status read_merge_lines(json_t *merges, const struct lrc_map *map, const char *path,
                                        struct lrc_error *err)
{
    const char *text = (const char *)map->data, *const end = text + map->size_bytes;
    for (int line = 1; text < end; line++) {
        const char  *stop = memchr(text, '\n', (size_t)(end - text));
        const size_t n_line = (size_t)((stop ? stop : end) - text);
        const size_t n = n_line > 0 && text[n_line - 1] == '\r' ? n_line - 1 : n_line;
        const int    skip = n == 0 || (line == 1 && n >= 8 && memcmp(text, "#version", 8) == 0);
        if (!skip) {
            json_t *merge = json_stringn(text, n); /* NULL when it is not UTF-8 */
            if (!merge || json_array_append_new(merges, merge) != 0)
                return lrc_fail(err, LRC_STATUS_FORMAT, "%s:%d: want two pieces in UTF-8, got other bytes",
                                path, line);
        }
        text += n_line + 1;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status load_merges(json_t *model, const char *path, struct lrc_error *err)
{
    struct lrc_map map;
    json_t        *merges = json_array();
    if (!merges || json_object_set_new(model, "merges", merges) != 0)
        return lrc_fail_nomem(err, "merges");
    LRC_TRY(lrc_map_open(&map, path, err));
    const enum lrc_status status = read_merge_lines(merges, &map, path, err);
    lrc_map_close(&map);
    return status;
}

static enum lrc_status load_vocab(json_t *model, const char *path, struct lrc_error *err)
{
    json_t *vocab = NULL;
    LRC_TRY(lrc_json_load(&vocab, path, err));
    if (json_object_set_new(model, "vocab", vocab) != 0 ||
        json_object_set_new(model, "type", json_string("BPE")) != 0)
        return lrc_fail_nomem(err, "vocabulary");
    return LRC_STATUS_OK;
}

/* {"<|im_end|>": 151645, ...}: plain tokens; what tokenizer_config.json says of the same contents comes later
 * and would lose, so those are left to it. */
static enum lrc_status add_added_tokens(struct lrc_tokenizer *tokenizer, const char *path,
                                        const json_t *config, struct lrc_error *err)
{
    json_t     *json = NULL, *id;
    const char *content;
    if (!lrc_path_exists(path) || json_object_get(config, "added_tokens_decoder"))
        return LRC_STATUS_OK;
    LRC_TRY(lrc_json_load(&json, path, err));
    enum lrc_status status = LRC_STATUS_OK;
    json_object_foreach(json, content, id)
    {
        json_t *token = json_pack("{s:s}", "content", content);
        status = token && json_is_integer(id)
                     ? lrc_added_tokens_read(&tokenizer->added, token, json_integer_value(id),
                                             &tokenizer->model->vocab, path, err)
                     : lrc_fail(err, LRC_STATUS_FORMAT, "%s: '%.60s': want an integer, got %s", path, content,
                                lrc_json_type_name(id));
        json_decref(token);
        if (status != LRC_STATUS_OK)
            break;
    }
    json_decref(json);
    return status;
}

static enum lrc_status set_stages(struct lrc_tokenizer *tokenizer, const json_t *config,
                                  const char *model_dir, struct lrc_error *err)
{
    const char *class = NULL;
    LRC_TRY(lrc_json_get_string(&class, config, "tokenizer_class", model_dir, err));
    for (size_t i = 0; i < sizeof CLASSES / sizeof *CLASSES; i++)
        if (class && strcmp(CLASSES[i].class, class) == 0)
            return lrc_tokenizer_set_byte_level(tokenizer, &CLASSES[i].options, model_dir, err);
    return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                    "%s: want tokenizer.json, or with merges.txt the tokenizer_class GPT2Tokenizer or "
                    "Qwen2Tokenizer, got '%.60s'",
                    model_dir, class ? class : "nothing");
}

enum lrc_status lrc_tokenizer_fill_merges(struct lrc_tokenizer *tokenizer, const char *model_dir,
                                          const json_t *config, struct lrc_error *err)
{
    static const char *const names[] = { "vocab.json", "merges.txt", "added_tokens.json" };
    char                    *paths[3] = { NULL, NULL, NULL };
    json_t                  *model = json_object();
    enum lrc_status          status =
        model ? set_stages(tokenizer, config, model_dir, err) : lrc_fail_nomem(err, "vocabulary");

    for (int i = 0; i < 3 && status == LRC_STATUS_OK; i++)
        if (!(paths[i] = lrc_path_join(model_dir, names[i])))
            status = lrc_fail_nomem(err, "path");
    if (status == LRC_STATUS_OK)
        status = load_vocab(model, paths[0], err);
    if (status == LRC_STATUS_OK)
        status = load_merges(model, paths[1], err);
    if (status == LRC_STATUS_OK)
        status = lrc_token_model_read(&tokenizer->model, model, model_dir, err);
    if (status == LRC_STATUS_OK)
        status = add_added_tokens(tokenizer, paths[2], config, err);
    json_decref(model);
    for (int i = 0; i < 3; i++)
        lrc_free(paths[i]);
    return status;
}
