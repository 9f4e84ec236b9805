/* The vocabulary of a GGUF file, for tests: its arrays of strings and numbers under "tokenizer.ggml.". */
#ifndef TESTS_UNIT_GGUF_VOCAB_H
#define TESTS_UNIT_GGUF_VOCAB_H

#include "base/json.h"

/* {"tokens": [...], "scores": [...], "token_type": [...], "merges": [...]}; asserts that the file is whole. */
json_t *gguf_vocab(const char *path);

#endif
