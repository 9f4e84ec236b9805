#include "tokenizer/byte_level.h"

#include "base/alloc.h"

enum lrc_status lrc_tokenizer_set_byte_level(struct lrc_tokenizer        *tokenizer,
                                             const struct lrc_byte_level *options, const char *name,
                                             struct lrc_error *err)
{
    json_t *normalizer = json_pack("{s:s}", "type", "NFC");
    json_t *cuts = json_pack("{s:s, s:[{s:s, s:{s:s}, s:s}, {s:s, s:b, s:b}]}", "type", "Sequence",
                             "pretokenizers", "type", "Split", "pattern", "Regex", options->regex, "behavior",
                             "Isolated", "type", "ByteLevel", "add_prefix_space", 0, "use_regex", 0);
    json_t *decoder = json_pack("{s:s}", "type", "ByteLevel");

    enum lrc_status status =
        normalizer && cuts && decoder ? LRC_STATUS_OK : lrc_fail_nomem(err, "stages of a tokenizer");
    if (status == LRC_STATUS_OK && options->nfc)
        status = lrc_normalizer_read(&tokenizer->normalizer, normalizer, name, err);
    if (status == LRC_STATUS_OK)
        status = lrc_pre_tokenizer_read(&tokenizer->pre_tokenizer, cuts, name, err);
    if (status == LRC_STATUS_OK)
        status = lrc_decoder_read(&tokenizer->decoder, decoder, name, err);
    json_decref(normalizer);
    json_decref(cuts);
    json_decref(decoder);
    return status;
}
