/* Text to token ids and back, as the model's own tokenizer does it.
 *
 * Reads tokenizer.json (Hugging Face tokenizers), tokenizer.model (SentencePiece, or Llama 3's rank file),
 * tekken.json (Mistral), rank files of tiktoken, vocab.json with merges.txt. A loaded tokenizer is read-only: any number of threads may encode with it at the same time. */
#ifndef LRC_TOKENIZER_TOKENIZER_H
#define LRC_TOKENIZER_TOKENIZER_H

#include "base/buf.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

struct lrc_tokenizer; /* opaque */

/* A growable list of token ids; failure is sticky, as in lrc_buf. */
struct lrc_ids {
    int32_t *data;
    int64_t  len;
    int64_t  cap;
    int      failed;
};
void            lrc_ids_append(struct lrc_ids *ids, int32_t id);
void            lrc_ids_release(struct lrc_ids *ids);
enum lrc_status lrc_ids_check(const struct lrc_ids *ids, struct lrc_error *err) LRC_MUST_CHECK;

/* The tokenizer of a model folder, out of the first of those files that is there; the names of the special tokens and
 * add_bos_token/add_eos_token from tokenizer_config.json where it is there.
 *
 * errors:    FORMAT when there is none or one is damaged; UNSUPPORTED (a stage we do not know, named); IO;
 *            NOMEM.
 * ownership: lrc_tokenizer_free(). */
enum lrc_status lrc_tokenizer_load(struct lrc_tokenizer **tokenizer, const char *model_dir,
                                   struct lrc_error *err) LRC_MUST_CHECK;

/* The same from bytes in memory (what the fuzz targets call). name is used in error sentences. */
enum lrc_status lrc_tokenizer_read_json(struct lrc_tokenizer **tokenizer, const char *bytes, size_t n,
                                        const char *name, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_tokenizer_read_sentencepiece(struct lrc_tokenizer **tokenizer, const char *bytes,
                                                 size_t n, const char *name,
                                                 struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_tokenizer_read_tekken(struct lrc_tokenizer **tokenizer, const char *bytes, size_t n,
                                          const char *name, struct lrc_error *err) LRC_MUST_CHECK;
/* file: the published file whose way to cut text it shares ("qwen.tiktoken"); any number of ranks. */
enum lrc_status lrc_tokenizer_read_tiktoken(struct lrc_tokenizer **tokenizer, const char *bytes, size_t n,
                                            const char *file, const char *name,
                                            struct lrc_error *err) LRC_MUST_CHECK;

/* Whether a file of a model folder, by its name, belongs to the tokenizer. */
int lrc_tokenizer_is_file(const char *file);

void lrc_tokenizer_free(struct lrc_tokenizer *tokenizer); /* NULL is fine */

enum lrc_special { LRC_SPECIAL_NONE, LRC_SPECIAL_ADD };

/* Append the ids of text. Special tokens written in the text ("<|im_end|>") become their ids either way, as
 * Hugging Face does it; LRC_SPECIAL_ADD also runs the post-processor (BOS, EOS where the tokenizer adds
 * them).
 *
 * errors: DATA when text is not UTF-8; NOMEM. */
enum lrc_status lrc_tokenizer_encode(const struct lrc_tokenizer *tokenizer, struct lrc_ids *ids,
                                     const char *text, size_t n, enum lrc_special special,
                                     struct lrc_error *err) LRC_MUST_CHECK;

enum lrc_skip { LRC_SKIP_NONE, LRC_SKIP_SPECIAL };

/* Append the text of ids; LRC_SKIP_SPECIAL leaves special tokens out.
 * errors: DATA for an id outside the vocabulary; NOMEM. */
enum lrc_status lrc_tokenizer_decode(const struct lrc_tokenizer *tokenizer, struct lrc_buf *text,
                                     const int32_t *ids, int64_t n_ids, enum lrc_skip skip,
                                     struct lrc_error *err) LRC_MUST_CHECK;

/* Decoding one id at a time. The pieces put together equal lrc_tokenizer_decode() of all ids; a piece never
 * ends inside a UTF-8 character (bytes are held back until the character is whole; lrc_decode_finish() gives
 * what is left, broken bytes as U+FFFD). */
struct lrc_decode_stream {
    const struct lrc_tokenizer *tokenizer;
    enum lrc_skip               skip;
    struct lrc_ids              ids;       /* since the last clean cut */
    size_t                      n_written; /* bytes of their text given out */
};
void            lrc_decode_init(struct lrc_decode_stream *stream, const struct lrc_tokenizer *tokenizer,
                                enum lrc_skip skip);
enum lrc_status lrc_decode_push(struct lrc_decode_stream *stream, struct lrc_buf *text, int32_t id,
                                struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_decode_finish(struct lrc_decode_stream *stream, struct lrc_buf *text,
                                  struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_decode_release(struct lrc_decode_stream *stream);

/* One more than the largest id. */
int64_t lrc_tokenizer_n_ids(const struct lrc_tokenizer *tokenizer);
/* The vocabulary's own spelling of an id ("Ġthe", "▁the", "<0x0A>"), borrowed; NULL for an id that is not
 * there. */
const char *lrc_tokenizer_piece(const struct lrc_tokenizer *tokenizer, int32_t id);
/* Id of a piece or added token; -1 when there is none. */
int32_t lrc_tokenizer_find(const struct lrc_tokenizer *tokenizer, const char *piece, size_t n);
int     lrc_tokenizer_is_special(const struct lrc_tokenizer *tokenizer, int32_t id);

/* Named special tokens: "bos_token", "eos_token", "pad_token", "unk_token" of tokenizer_config.json (or of
 * the SentencePiece model). Text borrowed, NULL when not set; the id is -1 then. */
enum lrc_token_role { LRC_TOKEN_BOS, LRC_TOKEN_EOS, LRC_TOKEN_PAD, LRC_TOKEN_UNK, LRC_TOKEN_ROLE_COUNT };
const char *lrc_tokenizer_role_text(const struct lrc_tokenizer *tokenizer, enum lrc_token_role role);
int32_t     lrc_tokenizer_role_id(const struct lrc_tokenizer *tokenizer, enum lrc_token_role role);

#endif
