/* A YAML text as a tree of nodes with line numbers. Plain settings only: one document, no anchors, aliases or
 * tags. */
#ifndef LRC_CONFIG_YAML_TREE_H
#define LRC_CONFIG_YAML_TREE_H

#include "base/status.h"
#include <stddef.h>

enum { LRC_YAML_BYTES_MAX = 1 << 20, LRC_YAML_NODES_MAX = 20000, LRC_YAML_DEPTH_MAX = 8 };

/* Memory that is released all at once. Start from { 0 }. */
struct lrc_pool {
    struct lrc_pool_block *newest;
};
/* Zeroed; NULL when out of memory. */
void *lrc_pool_take(struct lrc_pool *pool, size_t size_bytes) LRC_MUST_CHECK;
char *lrc_pool_copy(struct lrc_pool *pool, const char *text, size_t n) LRC_MUST_CHECK; /* NUL-terminated */
void  lrc_pool_release(struct lrc_pool *pool);

enum lrc_node_kind { LRC_NODE_SCALAR, LRC_NODE_LIST, LRC_NODE_MAP };

struct lrc_node {
    enum lrc_node_kind kind;
    const char        *text;   /* of a scalar; without NUL inside */
    int                quoted; /* the scalar was written in quotes or as a block */
    int                line;   /* from 1 */
    int                n;      /* items of a list; pairs of a map */
    struct lrc_node   *first;  /* first item; of a map: key, value, key, value ... */
    struct lrc_node   *next;
};

/* *root is NULL for an empty text. *line is where the mistake is, 0 when it has no place.
 *
 * errors:    CONFIG, a sentence without file and line; NOMEM.
 * ownership: nodes and their texts live in pool. */
enum lrc_status lrc_yaml_tree_read(struct lrc_node **root, int *line, struct lrc_pool *pool,
                                   const char *bytes, size_t n, struct lrc_error *err) LRC_MUST_CHECK;

#endif
