/* A tokenizer whose ids can be read: for the tests of data formats. */
#ifndef LRC_TESTS_DATA_FIXTURE_H
#define LRC_TESTS_DATA_FIXTURE_H

#include "data/data_format.h"

/* Every printable ASCII character and newline is a token, "ab" merges into one; special are <s>, </s> (EOS),
 * <|im_start|>,
 * <|im_end|>. */
enum {
    FIXTURE_PLAIN = 0,
    FIXTURE_BOS = 1,    /* the post-processor puts <s> before a text and </s> after it */
    FIXTURE_NO_EOS = 2, /* no eos_token is named */
    FIXTURE_MARKED = 4  /* a text starts with a "_" of its own, as SentencePiece marks it */
};
struct lrc_tokenizer *data_fixture_tokenizer(int kind);

/* Encode a row given as JSON by a format and return its tokens, each after '+' (trained) or '-', newline as
 * "\n"; or the error's sentence. lrc_free() it. */
char *data_fixture_encode(const struct lrc_data_context *context, const char *format, const char *row);

/* One assertion of it. */
void data_fixture_expect(const struct lrc_data_context *context, const char *format, const char *row,
                         const char *wanted);

#endif
