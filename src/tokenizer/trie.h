/* Byte strings with values, and all of them that a text begins with: added tokens, Unigram pieces. */
#ifndef LRC_TOKENIZER_TRIE_H
#define LRC_TOKENIZER_TRIE_H

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

struct lrc_trie_node {
    int32_t       child, sibling; /* -1: none */
    int32_t       value;          /* -1: no string ends here */
    unsigned char byte;
};

struct lrc_trie {
    struct lrc_trie_node *nodes; /* after the first add: node 0 is the root */
    int64_t               n_nodes, cap;
    int32_t               first[256]; /* the root's children by byte, 0: none */
};

/* A string added again gets the new value. Empty strings are not kept. errors: NOMEM. */
enum lrc_status lrc_trie_add(struct lrc_trie *trie, const char *string, size_t n, int32_t value,
                             struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_trie_release(struct lrc_trie *trie);

/* Walking: node 0, then lrc_trie_step() per byte until it gives -1. */
int32_t lrc_trie_step(const struct lrc_trie *trie, int32_t node, unsigned char byte);

/* Value of the longest string that text begins with, its length in *n_match; -1 when there is none. */
int32_t lrc_trie_longest(const struct lrc_trie *trie, const char *text, size_t n, size_t *n_match);

#endif
