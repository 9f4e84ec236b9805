/* tekken.json, as mistral-common publishes it:
 *
 *   config         pattern (regular expression); default_vocab_size, of which default_num_special_tokens are special
 *                  tokens and come first; version "v3", "v7", ...
 *   vocab          [{"rank": 0, "token_bytes": "AA==", "token_str": ...}, ...] in order of rank; only as many count as
 *                  the sizes leave room for; the id is the rank plus the number of special tokens
 *   special_tokens [{"rank": 0, "token_str": "<unk>", "is_control": true}, ...]; the rank is the id. Absent up to v7:
 *                  a fixed list. The ids left over are <SPECIAL_n>.
 *
 * Written in a text they are special tokens here, as in every other vocabulary; mistral-common itself reads them as
 * text and places them by id.
 *
 * source: mistral-common, tokens/tokenizers/tekken.py */
#include "tokenizer/byte_level.h"
#include "tokenizer/ranks.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const OLD_SPECIALS[] = {
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
};
enum { N_OLD_SPECIALS = sizeof OLD_SPECIALS / sizeof *OLD_SPECIALS, OLD_VERSION_MAX = 7 };

static const char *const ROLES[LRC_TOKEN_ROLE_COUNT] = {
    [LRC_TOKEN_BOS] = "<s>", [LRC_TOKEN_EOS] = "</s>", [LRC_TOKEN_PAD] = "<pad>", [LRC_TOKEN_UNK] = "<unk>"
};

struct tekken {
    const char *pattern, *version;
    int64_t     n_ids, n_specials;
};

static enum lrc_status read_config(struct tekken *tekken, const json_t *json, const char *name,
                                   struct lrc_error *err)
{
    const json_t *config = json_object_get(json, "config");
    const int64_t n_vocab = (int64_t)json_array_size(json_object_get(json, "vocab"));
    *tekken = (struct tekken){ .n_ids = -1, .n_specials = -1 };
    LRC_TRY(lrc_json_get_string(&tekken->pattern, config, "pattern", name, err));
    LRC_TRY(lrc_json_get_string(&tekken->version, config, "version", name, err));
    LRC_TRY(lrc_json_get_int(&tekken->n_ids, config, "default_vocab_size", name, err));
    LRC_TRY(lrc_json_get_int(&tekken->n_specials, config, "default_num_special_tokens", name, err));
    if (!tekken->pattern)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: 'config': 'pattern': want a string, got nothing", name);
    if (tekken->n_specials < 0 || tekken->n_ids <= tekken->n_specials || tekken->n_ids > LRC_VOCAB_IDS_MAX ||
        tekken->n_ids - tekken->n_specials > n_vocab)
        return lrc_fail(
            err, LRC_STATUS_FORMAT,
            "%s: 'config': want 'default_vocab_size' from 1 to %d more than "
            "'default_num_special_tokens' by at most the %lld pieces of 'vocab', got %lld and %lld",
            name, LRC_VOCAB_IDS_MAX, (long long)n_vocab, (long long)tekken->n_ids,
            (long long)tekken->n_specials);
    return LRC_STATUS_OK;
}

static enum lrc_status read_piece(struct lrc_ranks *ranks, const json_t *json, int64_t want, const char *name,
                                  struct lrc_error *err)
{
    const char *base64 = NULL;
    char        where[400];
    int64_t     rank = -1;
    (void)snprintf(where, sizeof where, "%.300s: 'vocab'[%lld]", name, (long long)want);
    LRC_TRY(lrc_json_get_int(&rank, json, "rank", where, err));
    LRC_TRY(lrc_json_get_string(&base64, json, "token_bytes", where, err));
    if (rank != want || !base64)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want 'token_bytes' and the rank %lld, got %s and %lld",
                        where, (long long)want, base64 ? "them" : "nothing", (long long)rank);
    return lrc_ranks_append(ranks, base64, strlen(base64), where, err);
}

static enum lrc_status read_vocab(struct lrc_tokenizer *tokenizer, const struct tekken *tekken,
                                  const json_t *json, const char *name, struct lrc_error *err)
{
    const json_t    *vocab = json_object_get(json, "vocab");
    struct lrc_ranks ranks = { .first_id = tekken->n_specials };
    enum lrc_status  status = LRC_STATUS_OK;
    for (int64_t rank = 0; rank < tekken->n_ids - tekken->n_specials && status == LRC_STATUS_OK; rank++)
        status = read_piece(&ranks, json_array_get(vocab, (size_t)rank), rank, name, err);
    if (status == LRC_STATUS_OK)
        status = lrc_ranks_set_model(tokenizer, &ranks, name, err);
    lrc_splits_release(&ranks.spelled);
    return status;
}

static enum lrc_status read_special(struct lrc_tokenizer *tokenizer, const struct tekken *tekken,
                                    const json_t *json, const char *name, struct lrc_error *err)
{
    const char *text = NULL;
    int64_t     id = -1;
    LRC_TRY(lrc_json_get_int(&id, json, "rank", name, err));
    LRC_TRY(lrc_json_get_string(&text, json, "token_str", name, err));
    if (!text || id < 0 || id >= tekken->n_specials)
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: 'special_tokens': want 'token_str' and a rank below %lld, got '%.60s' and %lld",
                        name, (long long)tekken->n_specials, text ? text : "", (long long)id);
    return lrc_ranks_add_special(tokenizer, (struct lrc_special_name){ .text = text }, id, err);
}

static int is_old(const char *version)
{
    return version && version[0] == 'v' && strtol(version + 1, NULL, 10) <= OLD_VERSION_MAX;
}

static enum lrc_status read_specials(struct lrc_tokenizer *tokenizer, const struct tekken *tekken,
                                     const json_t *json, const char *name, struct lrc_error *err)
{
    const json_t *specials = json_object_get(json, "special_tokens"), *special;
    size_t        i;
    if (json_is_array(specials)) {
        json_array_foreach(specials, i, special) LRC_TRY(read_special(tokenizer, tekken, special, name, err));
    } else if (!is_old(tekken->version)) {
        return lrc_fail(
            err, LRC_STATUS_FORMAT,
            "%s: 'special_tokens': want an array (only up to version v%d it may be missing), got %s", name,
            OLD_VERSION_MAX, lrc_json_type_name(specials));
    } else {
        for (int64_t id = 0; id < N_OLD_SPECIALS && id < tekken->n_specials; id++)
            LRC_TRY(lrc_ranks_add_special(tokenizer, (struct lrc_special_name){ .text = OLD_SPECIALS[id] },
                                          id, err));
    }
    for (int64_t id = 0; id < tekken->n_specials; id++)
        if (!lrc_vocab_piece(&tokenizer->added.vocab, id, NULL))
            LRC_TRY(
                lrc_ranks_add_special(tokenizer, (struct lrc_special_name){ "<SPECIAL_", ">", id }, id, err));
    return LRC_STATUS_OK;
}

enum lrc_status lrc_tokenizer_fill_tekken(struct lrc_tokenizer *tokenizer, const json_t *json,
                                          const char *name, struct lrc_error *err)
{
    struct tekken tekken;
    LRC_TRY(read_config(&tekken, json, name, err));
    LRC_TRY(read_vocab(tokenizer, &tekken, json, name, err));
    LRC_TRY(read_specials(tokenizer, &tekken, json, name, err));
    LRC_TRY(lrc_ranks_set_roles(tokenizer, ROLES, err));
    tokenizer->adds_ends = 1;
    const struct lrc_byte_level options = { .regex = tekken.pattern };
    return lrc_tokenizer_set_byte_level(tokenizer, &options, name, err);
}
