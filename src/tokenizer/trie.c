#include "tokenizer/trie.h"

#include "base/alloc.h"

static int32_t new_node(struct lrc_trie *trie, unsigned char byte)
{
    if (trie->n_nodes == trie->cap) {
        const int64_t         cap = trie->cap ? trie->cap * 2 : 64;
        struct lrc_trie_node *nodes = cap < INT32_MAX ? lrc_realloc(trie->nodes, cap, sizeof *nodes) : NULL;
        if (!nodes)
            return -1;
        trie->nodes = nodes;
        trie->cap = cap;
    }
    trie->nodes[trie->n_nodes] = (struct lrc_trie_node){ -1, -1, -1, byte };
    return (int32_t)trie->n_nodes++;
}

int32_t lrc_trie_step(const struct lrc_trie *trie, int32_t node, unsigned char byte)
{
    if (node == 0)
        return trie->first[byte] ? trie->first[byte] : -1;
    int32_t at = trie->nodes[node].child;
    while (at >= 0 && trie->nodes[at].byte != byte)
        at = trie->nodes[at].sibling;
    return at;
}

/* Behind its siblings: vocabularies begin with what is frequent, which is then found first. */
static void append_child(struct lrc_trie *trie, int32_t parent, int32_t child)
{
    int32_t *link = &trie->nodes[parent].child;
    while (*link >= 0)
        link = &trie->nodes[*link].sibling;
    *link = child;
}

enum lrc_status lrc_trie_add(struct lrc_trie *trie, const char *string, size_t n, int32_t value,
                             struct lrc_error *err)
{
    int32_t node = 0;
    if (n == 0)
        return LRC_STATUS_OK;
    if (trie->n_nodes == 0 && new_node(trie, 0) < 0)
        return lrc_fail_nomem(err, "trie");
    for (size_t i = 0; i < n; i++) {
        const unsigned char byte = (unsigned char)string[i];
        int32_t             next = lrc_trie_step(trie, node, byte);
        if (next < 0) {
            next = new_node(trie, byte);
            if (next < 0)
                return lrc_fail_nomem(err, "trie");
            if (node > 0)
                append_child(trie, node, next);
            else
                trie->first[byte] = next;
        }
        node = next;
    }
    trie->nodes[node].value = value;
    return LRC_STATUS_OK;
}

int32_t lrc_trie_longest(const struct lrc_trie *trie, const char *text, size_t n, size_t *n_match)
{
    int32_t value = -1, node = 0;
    for (size_t i = 0; i < n; i++) {
        node = lrc_trie_step(trie, node, (unsigned char)text[i]);
        if (node < 0)
            break;
        if (trie->nodes[node].value >= 0) {
            value = trie->nodes[node].value;
            *n_match = i + 1;
        }
    }
    return value;
}

void lrc_trie_release(struct lrc_trie *trie)
{
    lrc_free(trie->nodes);
    *trie = (struct lrc_trie){ 0 };
}
