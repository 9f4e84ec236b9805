/* tokenizer.model: the protobuf ModelProto of SentencePiece.
 *
 *   ModelProto       1 pieces (repeated), 2 trainer_spec, 3 normalizer_spec
 *   SentencePiece    1 piece, 2 score (float), 3 type (default NORMAL); its index is its id
 *   TrainerSpec      3 model_type, 24 treat_whitespace_as_suffix, 35 byte_fallback, 40-43 unk, bos, eos, pad
 * id NormalizerSpec   2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5
 * escape_whitespaces
 *
 * source: sentencepiece, sentencepiece_model.proto; protobuf encoding (varint, fixed, length-delimited) */
#include "base/alloc.h"
#include "tokenizer/tokenizer_parts.h"
#include "tokenizer/unicode.h"
#include <string.h>

/* ---- protobuf ---- */

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct cursor {
    const char *bytes;
    size_t      n, at;
    const char *name; /* for the error sentence */
};

struct field {
    uint64_t    number;
    unsigned    wire;
    uint64_t    value; /* varint and fixed */
    const char *bytes; /* length-delimited */
    size_t      n;
};

static enum lrc_status damaged(const struct cursor *cursor, const char *want, struct lrc_error *err)
{
    return lrc_fail(err, LRC_STATUS_FORMAT,
                    "%s: SentencePiece model: want %s at byte %zu of a message of %zu bytes, got none",
                    cursor->name, want, cursor->at, cursor->n);
}

static enum lrc_status read_varint(struct cursor *cursor, uint64_t *value, struct lrc_error *err)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (cursor->at == cursor->n)
            return damaged(cursor, "the rest of an integer", err);
        const unsigned char byte = (unsigned char)cursor->bytes[cursor->at++];
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return LRC_STATUS_OK;
    }
    return damaged(cursor, "an integer of at most ten bytes", err);
}

static enum lrc_status read_fixed(struct cursor *cursor, size_t n, uint64_t *value, struct lrc_error *err)
{
    if (cursor->n - cursor->at < n)
        return damaged(cursor, "a number of fixed size", err);
    *value = 0;
    for (size_t i = 0; i < n; i++)
        *value |= (uint64_t)(unsigned char)cursor->bytes[cursor->at + i] << 8 * i;
    cursor->at += n;
    return LRC_STATUS_OK;
}

static enum lrc_status next_field(struct cursor *cursor, struct field *field, struct lrc_error *err)
{
    uint64_t tag;
    LRC_TRY(read_varint(cursor, &tag, err));
    *field = (struct field){ .number = tag >> 3, .wire = (unsigned)(tag & 7) };
    switch (field->wire) {
    case WIRE_VARINT: return read_varint(cursor, &field->value, err);
    case WIRE_FIXED64: return read_fixed(cursor, 8, &field->value, err);
    case WIRE_FIXED32: return read_fixed(cursor, 4, &field->value, err);
    case WIRE_BYTES: break;
    default: return damaged(cursor, "a field of a known wire type", err);
    }
    LRC_TRY(read_varint(cursor, &field->value, err));
    if (field->value > cursor->n - cursor->at)
        return damaged(cursor, "as many bytes as the field says", err);
    field->bytes = cursor->bytes + cursor->at;
    field->n = (size_t)field->value;
    cursor->at += field->n;
    return LRC_STATUS_OK;
}

/* ---- the messages ---- */

enum model_type { MODEL_UNIGRAM = 1, MODEL_BPE = 2 };

struct proto {
    struct lrc_scored_piece    *pieces;
    int64_t                     n_pieces, cap_pieces;
    int64_t                     model_type;
    int                         byte_fallback;
    int64_t                     role_ids[LRC_TOKEN_ROLE_COUNT];
    struct lrc_sentence_options sentence;
    const char                 *charsmap;
    size_t                      n_charsmap;
};

static enum lrc_status new_piece(struct proto *proto, struct lrc_scored_piece **piece, struct lrc_error *err)
{
    if (proto->n_pieces == proto->cap_pieces) {
        const int64_t            cap = proto->cap_pieces ? proto->cap_pieces * 2 : 256;
        struct lrc_scored_piece *pieces = lrc_realloc(proto->pieces, cap, sizeof *pieces);
        if (!pieces)
            return lrc_fail_nomem(err, "pieces of a SentencePiece model");
        proto->pieces = pieces;
        proto->cap_pieces = cap;
    }
    *piece = &proto->pieces[proto->n_pieces++];
    **piece = (struct lrc_scored_piece){ .type = LRC_PIECE_NORMAL };
    return LRC_STATUS_OK;
}

static enum lrc_status read_piece(struct proto *proto, const struct field *message, const char *name,
                                  struct lrc_error *err)
{
    struct cursor            cursor = { message->bytes, message->n, 0, name };
    struct lrc_scored_piece *piece = NULL;
    LRC_TRY(new_piece(proto, &piece, err));
    while (cursor.at < cursor.n) {
        struct field field;
        LRC_TRY(next_field(&cursor, &field, err));
        if (field.number == 1 && field.wire == WIRE_BYTES) {
            piece->text = field.bytes;
            piece->n = field.n;
        } else if (field.number == 2 && field.wire == WIRE_FIXED32) {
            const uint32_t bits = (uint32_t)field.value;
            memcpy(&piece->score, &bits, sizeof piece->score);
        } else if (field.number == 3 && field.wire == WIRE_VARINT) {
            if (field.value < LRC_PIECE_NORMAL || field.value > LRC_PIECE_BYTE)
                return damaged(&cursor, "a piece type from 1 to 6", err);
            piece->type = (enum lrc_piece_type)field.value;
        }
    }
    if (piece->n == 0 || lrc_utf8_valid(piece->text, piece->n) != piece->n)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: piece %lld: want UTF-8 of at least one byte, got %s",
                        name, (long long)proto->n_pieces - 1, piece->n ? "other bytes" : "nothing");
    if (piece->score != piece->score)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: piece %lld: want a number as score, got NaN", name,
                        (long long)proto->n_pieces - 1);
    return LRC_STATUS_OK;
}

/* int32 fields are sign-extended varints. */
static int64_t as_int(const struct field *field)
{
    return (int32_t)(uint32_t)field->value;
}

static enum lrc_status read_trainer(struct proto *proto, const struct field *message, const char *name,
                                    struct lrc_error *err)
{
    struct cursor cursor = { message->bytes, message->n, 0, name };
    while (cursor.at < cursor.n) {
        struct field field;
        LRC_TRY(next_field(&cursor, &field, err));
        if (field.wire != WIRE_VARINT)
            continue;
        switch (field.number) {
        case 3: proto->model_type = as_int(&field); break;
        case 24: proto->sentence.whitespace_as_suffix = field.value != 0; break;
        case 35: proto->byte_fallback = field.value != 0; break;
        case 40: proto->role_ids[LRC_TOKEN_UNK] = as_int(&field); break;
        case 41: proto->role_ids[LRC_TOKEN_BOS] = as_int(&field); break;
        case 42: proto->role_ids[LRC_TOKEN_EOS] = as_int(&field); break;
        case 43: proto->role_ids[LRC_TOKEN_PAD] = as_int(&field); break;
        default: break;
        }
    }
    return LRC_STATUS_OK;
}

static enum lrc_status read_normalizer(struct proto *proto, const struct field *message, const char *name,
                                       struct lrc_error *err)
{
    struct cursor cursor = { message->bytes, message->n, 0, name };
    while (cursor.at < cursor.n) {
        struct field field;
        LRC_TRY(next_field(&cursor, &field, err));
        if (field.number == 2 && field.wire == WIRE_BYTES) {
            proto->charsmap = field.bytes;
            proto->n_charsmap = field.n;
        } else if (field.wire == WIRE_VARINT && field.number == 3) {
            proto->sentence.add_dummy_prefix = field.value != 0;
        } else if (field.wire == WIRE_VARINT && field.number == 4) {
            proto->sentence.remove_extra_whitespaces = field.value != 0;
        } else if (field.wire == WIRE_VARINT && field.number == 5) {
            proto->sentence.escape_whitespaces = field.value != 0;
        }
    }
    return LRC_STATUS_OK;
}

static enum lrc_status read_proto(struct proto *proto, const char *bytes, size_t n, const char *name,
                                  struct lrc_error *err)
{
    struct cursor cursor = { bytes, n, 0, name };
    while (cursor.at < cursor.n) {
        struct field field;
        LRC_TRY(next_field(&cursor, &field, err));
        if (field.wire != WIRE_BYTES)
            continue;
        switch (field.number) {
        case 1: LRC_TRY(read_piece(proto, &field, name, err)); break;
        case 2: LRC_TRY(read_trainer(proto, &field, name, err)); break;
        case 3: LRC_TRY(read_normalizer(proto, &field, name, err)); break;
        default: break;
        }
    }
    if (proto->n_pieces == 0 || proto->n_pieces > LRC_VOCAB_IDS_MAX)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: SentencePiece model: want 1 to %d pieces, got %lld",
                        name, LRC_VOCAB_IDS_MAX, (long long)proto->n_pieces);
    return LRC_STATUS_OK;
}

/* ---- to a tokenizer ---- */

static enum lrc_status make_model(struct lrc_tokenizer *tokenizer, const struct proto *proto,
                                  const char *name, struct lrc_error *err)
{
    struct lrc_scored_pieces pieces = {
        .pieces = proto->pieces, .n = proto->n_pieces, .unk_id = -1, .byte_fallback = proto->byte_fallback
    };
    for (int32_t id = 0; id < proto->n_pieces; id++)
        if (proto->pieces[id].type == LRC_PIECE_UNKNOWN && pieces.unk_id < 0)
            pieces.unk_id = id;
    if (proto->model_type == MODEL_BPE)
        return lrc_bpe_new_scored(&tokenizer->model, &pieces, err);
    if (proto->model_type == MODEL_UNIGRAM)
        return lrc_unigram_new_scored(&tokenizer->model, &pieces, err);
    return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                    "%s: SentencePiece model: want type 1 (unigram) or 2 (BPE), got %lld", name,
                    (long long)proto->model_type);
}

/* Control pieces are never made from text by the model; written in a text they are special tokens, as in
 * transformers. */
static enum lrc_status add_tokens(struct lrc_tokenizer *tokenizer, const struct proto *proto,
                                  struct lrc_error *err)
{
    for (int32_t id = 0; id < proto->n_pieces; id++) {
        const struct lrc_scored_piece *piece = &proto->pieces[id];
        const int special = piece->type == LRC_PIECE_CONTROL || piece->type == LRC_PIECE_UNKNOWN;
        const int defined = piece->type == LRC_PIECE_USER_DEFINED;
        const struct lrc_added_token token = {
            .id = id, .special = special, .normalized = defined, .verbatim = defined
        };
        if (special || defined)
            LRC_TRY(lrc_added_tokens_add(&tokenizer->added, piece->text, piece->n, token, err));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status set_roles(struct lrc_tokenizer *tokenizer, const struct proto *proto,
                                 struct lrc_error *err)
{
    for (int role = 0; role < LRC_TOKEN_ROLE_COUNT; role++) {
        const char *piece = lrc_vocab_piece(&tokenizer->model->vocab, proto->role_ids[role], NULL);
        if (piece)
            LRC_TRY(lrc_tokenizer_set_role(tokenizer, (enum lrc_token_role)role, piece, err));
    }
    return LRC_STATUS_OK;
}

/* As transformers' converter writes it for such a model. */
static enum lrc_status make_decoder(struct lrc_tokenizer *tokenizer, const struct proto *proto,
                                    const char *name, struct lrc_error *err)
{
    static const char spaced[] =
        "{\"type\": \"Sequence\", \"decoders\": ["
        "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\xE2\x96\x81\"}, \"content\": \" \"},"
        "{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}";
    static const char strip[] = ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}";
    struct lrc_buf    text = { 0 };
    json_t           *json = NULL;
    lrc_buf_puts(&text, spaced);
    if (proto->sentence.add_dummy_prefix && !proto->sentence.whitespace_as_suffix)
        lrc_buf_puts(&text, strip);
    lrc_buf_puts(&text, "]}");
    enum lrc_status status = lrc_buf_check(&text, err);
    if (status == LRC_STATUS_OK)
        status = lrc_json_parse(&json, text.data, text.len, name, err);
    if (status == LRC_STATUS_OK)
        status = lrc_decoder_read(&tokenizer->decoder, json, name, err);
    json_decref(json);
    lrc_buf_release(&text);
    return status;
}

static enum lrc_status make_normalizer(struct lrc_tokenizer *tokenizer, struct proto *proto,
                                       const json_t *config, const char *name, struct lrc_error *err)
{
    struct lrc_charsmap charsmap = { 0 };
    int                 legacy = 1;
    LRC_TRY(lrc_json_get_bool(&legacy, config, "legacy", name, err));
    proto->sentence.first_only = !legacy;
    const enum lrc_status status =
        lrc_charsmap_read(&charsmap, proto->charsmap, proto->n_charsmap, name, err);
    if (status == LRC_STATUS_OK)
        lrc_normalizer_add_sentence(&tokenizer->normalizer, &proto->sentence, &charsmap);
    lrc_charsmap_release(&charsmap);
    return status;
}

enum lrc_status lrc_tokenizer_fill_sentencepiece(struct lrc_tokenizer *tokenizer, const char *bytes, size_t n,
                                                 const json_t *config, const char *name,
                                                 struct lrc_error *err)
{
    struct proto proto = {
        .model_type = MODEL_UNIGRAM,
        .role_ids = { [LRC_TOKEN_UNK] = 0, [LRC_TOKEN_BOS] = 1, [LRC_TOKEN_EOS] = 2, [LRC_TOKEN_PAD] = -1 },
        .sentence = { .add_dummy_prefix = 1, .remove_extra_whitespaces = 1, .escape_whitespaces = 1 },
    };
    enum lrc_status status = read_proto(&proto, bytes, n, name, err);
    if (status == LRC_STATUS_OK)
        status = make_model(tokenizer, &proto, name, err);
    if (status == LRC_STATUS_OK)
        status = add_tokens(tokenizer, &proto, err);
    if (status == LRC_STATUS_OK)
        status = set_roles(tokenizer, &proto, err);
    if (status == LRC_STATUS_OK)
        status = make_normalizer(tokenizer, &proto, config, name, err);
    if (status == LRC_STATUS_OK)
        status = make_decoder(tokenizer, &proto, name, err);
    tokenizer->adds_ends = 1;
    lrc_free(proto.pieces);
    return status;
}
