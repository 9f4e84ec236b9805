/* Rank files of tiktoken, one piece a line: its bytes in base64, a space, its rank; ranks rise.
 *
 * The file says neither how the text is cut nor which special tokens there are: that stands in the code of the model it
 * was made for. So only the published files are known, by their names and their number of ranks; special tokens of
 * tokenizer_config.json take the place of the list here.
 *
 * source: tiktoken, load.py and tiktoken_ext/openai_public.py; llama-models, llama3/tokenizer.py; Qwen-7B,
 * tokenization_qwen.py */
#include "tokenizer/base64.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/ranks.h"
#include <stdio.h>
#include <string.h>

/* Tokens text, or text<number>suffix for n numbers from number on; their ids follow one another from offset behind
 * the ranks. */
struct specials {
    const char *text, *suffix;
    int64_t     offset, number, n;
};

static const struct specials LLAMA3[] = {
    { "<|begin_of_text|>", NULL, 0, 0, 1 },
    { "<|end_of_text|>", NULL, 1, 0, 1 },
    { "<|reserved_special_token_", "|>", 2, 0, 2 },
    { "<|finetune_right_pad_id|>", NULL, 4, 0, 1 },
    { "<|step_id|>", NULL, 5, 0, 1 },
    { "<|start_header_id|>", NULL, 6, 0, 1 },
    { "<|end_header_id|>", NULL, 7, 0, 1 },
    { "<|eom_id|>", NULL, 8, 0, 1 },
    { "<|eot_id|>", NULL, 9, 0, 1 },
    { "<|python_tag|>", NULL, 10, 0, 1 },
    { "<|image|>", NULL, 11, 0, 1 },
    { "<|reserved_special_token_", "|>", 12, 2, 244 },
    { NULL, NULL, 0, 0, 0 },
};
static const struct specials QWEN[] = {
    { "<|endoftext|>", NULL, 0, 0, 1 }, { "<|im_start|>", NULL, 1, 0, 1 }, { "<|im_end|>", NULL, 2, 0, 1 },
    { "<|extra_", "|>", 3, 0, 205 },    { NULL, NULL, 0, 0, 0 },
};
static const struct specials CL100K[] = {
    { "<|endoftext|>", NULL, 1, 0, 1 },    { "<|fim_prefix|>", NULL, 2, 0, 1 },
    { "<|fim_middle|>", NULL, 3, 0, 1 },   { "<|fim_suffix|>", NULL, 4, 0, 1 },
    { "<|endofprompt|>", NULL, 20, 0, 1 }, { NULL, NULL, 0, 0, 0 },
};
static const struct specials O200K[] = {
    { "<|endoftext|>", NULL, 1, 0, 1 },
    { "<|endofprompt|>", NULL, 20, 0, 1 },
    { NULL, NULL, 0, 0, 0 },
};
static const struct specials R50K[] = {
    { "<|endoftext|>", NULL, 0, 0, 1 },
    { NULL, NULL, 0, 0, 0 },
};

static const struct encoding {
    const char            *file;
    int64_t                n_ranks; /* of the published file */
    struct lrc_byte_level  options;
    const struct specials *specials;
    const char            *bos, *eos, *pad;
} ENCODINGS[] = {
    { "tokenizer.model",
      128000,
      { LRC_REGEX_CL100K("\\p{N}{1,3}"), 0 },
      LLAMA3,
      "<|begin_of_text|>",
      "<|end_of_text|>",
      "<|finetune_right_pad_id|>" },
    { "qwen.tiktoken", 151643, { LRC_REGEX_CL100K("\\p{N}"), 1 }, QWEN, NULL, "<|endoftext|>", NULL },
    { "cl100k_base.tiktoken",
      100256,
      { LRC_REGEX_CL100K("\\p{N}{1,3}"), 0 },
      CL100K,
      NULL,
      "<|endoftext|>",
      NULL },
    { "o200k_base.tiktoken", 199998, { LRC_REGEX_O200K, 0 }, O200K, NULL, "<|endoftext|>", NULL },
    { "r50k_base.tiktoken", 50256, { LRC_REGEX_GPT2, 0 }, R50K, NULL, "<|endoftext|>", NULL },
    { "gpt2.tiktoken", 50256, { LRC_REGEX_GPT2, 0 }, R50K, NULL, "<|endoftext|>", NULL },
};

/* ---- lines ---- */

struct line {
    const char *text;
    size_t      n;
    int64_t     number;
};

/* The next line without its end and without blank lines; 0: no more. */
static int next_line(struct line *line, const char **at, const char *end)
{
    while (*at < end) {
        const char *stop = memchr(*at, '\n', (size_t)(end - *at));
        line->text = *at;
        line->n = (size_t)((stop ? stop : end) - *at);
        line->number++;
        *at = stop ? stop + 1 : end;
        line->n -= line->n > 0 && line->text[line->n - 1] == '\r';
        if (line->n > 0)
            return 1;
    }
    return 0;
}

/* Bytes of the piece and its rank; 0: not such a line. */
static int parse_line(const struct line *line, size_t *n_piece, int64_t *rank)
{
    const char *space = memchr(line->text, ' ', line->n);
    *n_piece = space ? (size_t)(space - line->text) : line->n;
    *rank = 0;
    for (size_t i = *n_piece + 1; i < line->n; i++) {
        const char c = line->text[i];
        if (c < '0' || c > '9' || *rank >= LRC_VOCAB_IDS_MAX)
            return 0;
        *rank = *rank * 10 + (c - '0');
    }
    return *n_piece > 0 && *n_piece + 1 < line->n && *rank < LRC_VOCAB_IDS_MAX;
}

int lrc_tiktoken_looks_like(const char *bytes, size_t n)
{
    struct line    line = { 0 };
    const char    *at = bytes;
    size_t         n_piece;
    int64_t        rank;
    struct lrc_buf piece = { 0 };
    const int      is = next_line(&line, &at, bytes + n) && parse_line(&line, &n_piece, &rank) &&
                   lrc_base64_decode(&piece, line.text, n_piece) == n_piece;
    lrc_buf_release(&piece);
    return is;
}

static enum lrc_status read_line(struct lrc_ranks *ranks, const struct line *line, const char *name,
                                 struct lrc_error *err)
{
    char    where[400];
    size_t  n_piece;
    int64_t rank;
    (void)snprintf(where, sizeof where, "%.300s:%lld", name, (long long)line->number);
    if (!parse_line(line, &n_piece, &rank) || rank < ranks->spelled.n)
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: want a piece in base64 and a rank from %lld to %d, got '%.*s'", where,
                        (long long)ranks->spelled.n, LRC_VOCAB_IDS_MAX - 1,
                        (int)(line->n < 60 ? line->n : 60), line->text);
    while (ranks->spelled.n < rank && !ranks->spelled.failed)
        lrc_splits_close(&ranks->spelled); /* p50k_base leaves one out */
    return lrc_ranks_append(ranks, line->text, n_piece, where, err);
}

static enum lrc_status read_lines(struct lrc_ranks *ranks, const char *bytes, size_t n, const char *name,
                                  struct lrc_error *err)
{
    struct line line = { 0 };
    for (const char *at = bytes; next_line(&line, &at, bytes + n);)
        LRC_TRY(read_line(ranks, &line, name, err));
    if (ranks->spelled.n == 0)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a piece and its rank on each line, got nothing",
                        name);
    return LRC_STATUS_OK;
}

/* ---- to a tokenizer ---- */

static enum lrc_status add_specials(struct lrc_tokenizer *tokenizer, const struct specials *specials,
                                    int64_t n_ranks, struct lrc_error *err)
{
    for (; specials->text; specials++)
        for (int64_t i = 0; i < specials->n; i++)
            LRC_TRY(lrc_ranks_add_special(
                tokenizer,
                (struct lrc_special_name){ specials->text, specials->suffix, specials->number + i },
                n_ranks + specials->offset + i, err));
    return LRC_STATUS_OK;
}

static enum lrc_status find_encoding(const struct encoding **encoding, const char *file, int64_t n_ranks,
                                     enum lrc_rank_count count, const char *name, struct lrc_error *err)
{
    for (size_t i = 0; i < sizeof ENCODINGS / sizeof *ENCODINGS; i++) {
        *encoding = &ENCODINGS[i];
        if (strcmp(ENCODINGS[i].file, file) != 0)
            continue;
        if (count == LRC_RANK_COUNT_ANY || ENCODINGS[i].n_ranks == n_ranks)
            return LRC_STATUS_OK;
        return lrc_fail(
            err, LRC_STATUS_UNSUPPORTED,
            "%s: want the %lld ranks of the published %s, got %lld (how another vocabulary cuts its text "
            "does not stand in a rank file: a tokenizer.json beside it would say)",
            name, (long long)ENCODINGS[i].n_ranks, file, (long long)n_ranks);
    }
    return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                    "%s: want the name of a rank file whose way to cut text is known (qwen.tiktoken, "
                    "tokenizer.model of Llama 3, ...), got '%.60s' (a tokenizer.json beside it would say)",
                    name, file);
}

/* What the ranks alone do not say. */
static enum lrc_status fill(struct lrc_tokenizer *tokenizer, const struct encoding *encoding, int64_t n_ranks,
                            const json_t *config, const char *name, struct lrc_error *err)
{
    const char *const roles[LRC_TOKEN_ROLE_COUNT] = {
        [LRC_TOKEN_BOS] = encoding->bos, [LRC_TOKEN_EOS] = encoding->eos, [LRC_TOKEN_PAD] = encoding->pad
    };
    if (!json_object_get(config, "added_tokens_decoder"))
        LRC_TRY(add_specials(tokenizer, encoding->specials, n_ranks, err));
    LRC_TRY(lrc_ranks_set_roles(tokenizer, roles, err));
    tokenizer->adds_ends = encoding->bos != NULL;
    return lrc_tokenizer_set_byte_level(tokenizer, &encoding->options, name, err);
}

enum lrc_status lrc_tokenizer_fill_tiktoken(struct lrc_tokenizer *tokenizer, const char *bytes, size_t n,
                                            const struct lrc_rank_source *source, struct lrc_error *err)
{
    const struct encoding *encoding = NULL;
    struct lrc_ranks       ranks = { .first_id = 0 };
    const char            *name = source->name;
    enum lrc_status        status = read_lines(&ranks, bytes, n, name, err);
    if (status == LRC_STATUS_OK)
        status = find_encoding(&encoding, source->file, ranks.spelled.n, source->count, name, err);
    if (status == LRC_STATUS_OK)
        status = lrc_ranks_set_model(tokenizer, &ranks, name, err);
    if (status == LRC_STATUS_OK)
        status = fill(tokenizer, encoding, ranks.spelled.n, source->config, name, err);
    lrc_splits_release(&ranks.spelled);
    return status;
}
