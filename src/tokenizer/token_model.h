/* Pieces of text to ids: the "model" of a tokenizer.json. One file per kind in kinds/. */
#ifndef LRC_TOKENIZER_TOKEN_MODEL_H
#define LRC_TOKENIZER_TOKEN_MODEL_H

#include "base/json.h"
#include "base/status.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"
#include <stddef.h>
#include <stdint.h>

/* Memory of one encode call, kept from piece to piece. */
struct lrc_space {
    void  *data;
    size_t size_bytes;
};
struct lrc_model_scratch {
    struct lrc_space spaces[2];
};
void *lrc_space_reserve(struct lrc_space *space, int64_t n_elems,
                        size_t elem_bytes); /* content lost; NULL: out of memory */
void  lrc_model_scratch_release(struct lrc_model_scratch *scratch);

struct lrc_token_model;
struct lrc_token_model_kind {
    const char *type;
    enum lrc_status (*read)(struct lrc_token_model **model, const json_t *json, const char *name,
                            struct lrc_error *err);
    /* text (UTF-8), n >= 1. errors: NOMEM, DATA (a piece longer than 2^30 bytes). */
    enum lrc_status (*encode)(const struct lrc_token_model *model, struct lrc_ids *ids, const char *text,
                              size_t n, struct lrc_model_scratch *scratch, struct lrc_error *err);
    void (*free)(struct lrc_token_model *model);
    /* Length of the first part of text that can be encoded by itself: the ids of the parts one after the other are the
     * ids of the whole. NULL: only the whole. */
    size_t (*segment)(const struct lrc_token_model *model, const char *text, size_t n);
};

/* The first member of every kind's own struct. */
struct lrc_token_model {
    const struct lrc_token_model_kind *kind;
    struct lrc_vocab                   vocab;
    int32_t                            unk_id;        /* -1: none */
    int                                byte_fallback; /* unknown characters become <0xHH> pieces */
    int                                fuse_unk;      /* unknown characters side by side are one unk */
    int32_t                            byte_ids[256]; /* of "<0xHH>", -1: not there */
};

enum { LRC_PIECE_BYTES_MAX = 1 << 30 };

extern const struct lrc_token_model_kind lrc_token_model_bpe;
extern const struct lrc_token_model_kind lrc_token_model_unigram;

/* errors: FORMAT, UNSUPPORTED, NOMEM. ownership: model->kind->free(). */
enum lrc_status lrc_token_model_read(struct lrc_token_model **model, const json_t *json, const char *name,
                                     struct lrc_error *err) LRC_MUST_CHECK;

/* Fill byte_ids from the vocabulary. */
void lrc_token_model_index_bytes(struct lrc_token_model *model);

/* Whether byte_fallback can write text. */
int lrc_token_model_has_bytes(const struct lrc_token_model *model, const char *text, size_t n);

/* An unknown character: its bytes, else unk, else nothing. fused: the id before is an unk of this run of
 * text. */
void lrc_token_model_unknown(const struct lrc_token_model *model, struct lrc_ids *ids, const char *text,
                             size_t n, int fused);

/* ---- models out of a SentencePiece file: pieces with scores ---- */

enum lrc_piece_type {
    LRC_PIECE_NORMAL = 1,
    LRC_PIECE_UNKNOWN = 2,
    LRC_PIECE_CONTROL = 3,
    LRC_PIECE_USER_DEFINED = 4,
    LRC_PIECE_UNUSED = 5,
    LRC_PIECE_BYTE = 6,
};
struct lrc_scored_piece {
    const char         *text;
    size_t              n;
    float               score;
    enum lrc_piece_type type;
};
struct lrc_scored_pieces {
    const struct lrc_scored_piece *pieces; /* index is the id; an empty one: no piece has it */
    int64_t                        n;
    int32_t                        unk_id;
    int                            byte_fallback;
    int whole_first; /* BPE: a text that is a piece is that piece, whatever the scores */
};

/* BPE by score: the neighbours whose concatenation is the piece of the highest score merge first, leftmost on
 * ties. source: sentencepiece, bpe_model.cc. errors: FORMAT, NOMEM. */
enum lrc_status lrc_bpe_new_scored(struct lrc_token_model **model, const struct lrc_scored_pieces *pieces,
                                   struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_unigram_new_scored(struct lrc_token_model **model, const struct lrc_scored_pieces *pieces,
                                       struct lrc_error *err) LRC_MUST_CHECK;

#endif
