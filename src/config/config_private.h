/* What the files of this folder share. */
#ifndef LRC_CONFIG_CONFIG_PRIVATE_H
#define LRC_CONFIG_CONFIG_PRIVATE_H

#include "config/config.h"
#include "config/yaml_tree.h"
#include <stddef.h>

enum lrc_key_kind {
    LRC_KIND_STRING,
    LRC_KIND_PATH,
    LRC_KIND_CHOICE,
    LRC_KIND_INT,
    LRC_KIND_BYTES,
    LRC_KIND_NUMBER,
    LRC_KIND_BOOL,
    LRC_KIND_LIST,
    LRC_KIND_MAP,
    LRC_KIND_DATASETS,
    LRC_KIND_LATER,
    LRC_KIND_GROUP
};
enum lrc_key_flags { LRC_KEY_REQUIRED = 1, LRC_KEY_RESUME = 2, LRC_KEY_INTEGERS = 4, LRC_KEY_MAYBE_PATH = 8 };

/* One line of schema.def. */
struct lrc_key {
    const char       *name; /* of a group: its title */
    enum lrc_key_kind kind;
    int               flags;
    size_t            offset; /* of the field in struct lrc_config */
    double            min, max, number;
    const char       *text; /* default of a string or choice */
    const char       *choices, *aliases, *help;
};
extern const struct lrc_key lrc_config__keys[];
extern const int            lrc_config__n_keys;

int         lrc_config__find(const char *name); /* index of a key by name or alias; -1 */
const char *lrc_config__nearest(const char *name);
/* Next part of a list separated by '|': its length in *n; NULL at the end. Start with *n = 0. */
const char *lrc_config__part(const char *list, const char *part, size_t *n);

struct lrc_config_private {
    struct lrc_pool pool;
    const char     *path;
    const char    **where;      /* per key; NULL: default */
    const char    **given_as;   /* per key: the name in the file, NULL when not given there */
    int            *given_line; /* per key: where that was */
};

/* One value on its way into the struct. */
struct lrc_setting {
    struct lrc_config    *config;
    struct lrc_problems  *problems;
    struct lrc_error     *err;
    const char           *dir;  /* "" or the folder that paths are relative to */
    const char           *file; /* NULL on the command line */
    const char           *name; /* the key as it was written */
    const struct lrc_key *key;
};

/* Add "<file>:<line>: '<name>': want <want>, got <what node is>". */
void lrc_config__want(const struct lrc_setting *setting, const struct lrc_node *node, const char *want);
/* "<file>:<line>: " or "command line: "; buffer of 300 bytes. */
enum { LRC_PLACE_MAX = 300 };
const char *lrc_config__place(char place[LRC_PLACE_MAX], const struct lrc_setting *setting, int line);

/* Convert node into the key's field; mistakes go to problems. errors: NOMEM. */
enum lrc_status lrc_config__set(const struct lrc_setting *setting,
                                const struct lrc_node    *node) LRC_MUST_CHECK;
enum lrc_status lrc_config__set_datasets(const struct lrc_setting *setting,
                                         const struct lrc_node    *node) LRC_MUST_CHECK;
enum lrc_status lrc_config__copy_path(const char **path, const struct lrc_setting *setting,
                                      const struct lrc_node *node) LRC_MUST_CHECK;
void            lrc_config__set_default(struct lrc_config *config, const struct lrc_key *key);

int lrc_node_is_null(const struct lrc_node *node);
int lrc_node_is_text(const struct lrc_node *node); /* a scalar that is not null, a boolean or a number */

/* What follows from several keys together: required keys, contradictions, defaults that depend on others. */
void lrc_config__check(struct lrc_config *config, struct lrc_problems *problems);

/* Dataset fields by name, for reader and writers. */
struct lrc_dataset_field {
    const char *name;
    size_t      offset;
};
extern const struct lrc_dataset_field lrc_dataset__fields[]; /* ends with { NULL } */

#endif
