#include "config/config.h"

#include "base/alloc.h"
#include "base/file.h"
#include "config/config_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum lrc_status init(struct lrc_config *config, const char *path, struct lrc_error *err)
{
    const size_t               n = (size_t)lrc_config__n_keys;
    struct lrc_config_private *internal = lrc_calloc(1, sizeof *internal);
    *config = (struct lrc_config){ .internal = internal };
    if (!internal)
        return lrc_fail_nomem(err, "configuration");
    internal->path = lrc_pool_copy(&internal->pool, path, strlen(path));
    internal->where = lrc_pool_take(&internal->pool, n * sizeof *internal->where);
    internal->given_as = lrc_pool_take(&internal->pool, n * sizeof *internal->given_as);
    internal->given_line = lrc_pool_take(&internal->pool, n * sizeof *internal->given_line);
    if (!internal->path || !internal->where || !internal->given_as || !internal->given_line)
        return lrc_fail_nomem(err, "configuration");
    for (int i = 0; i < lrc_config__n_keys; i++)
        lrc_config__set_default(config, &lrc_config__keys[i]);
    return LRC_STATUS_OK;
}

void lrc_config_release(struct lrc_config *config)
{
    if (config->internal)
        lrc_pool_release(&config->internal->pool);
    lrc_free(config->internal);
    *config = (struct lrc_config){ 0 };
}

/* Index of the key, or -1 after naming the nearest one. */
static int find_or_tell(const struct lrc_setting *setting, int line)
{
    const int index = lrc_config__find(setting->name);
    char      place[LRC_PLACE_MAX];
    if (index >= 0)
        return index;
    const char *nearest = lrc_config__nearest(setting->name);
    (void)lrc_config__place(place, setting, line);
    if (nearest)
        lrc_problems_add(setting->problems, "%s: unknown key '%.80s' (did you mean '%s'?)", place,
                         setting->name, nearest);
    else
        lrc_problems_add(setting->problems, "%s: unknown key '%.80s'", place, setting->name);
    return -1;
}

/* A key given twice, or together with its alias. */
static int is_repeated(const struct lrc_setting *setting, int index, int line)
{
    const struct lrc_config_private *internal = setting->config->internal;
    const char                      *before = internal->given_as[index];
    char                             place[LRC_PLACE_MAX];
    if (!setting->file || !before)
        return 0;
    (void)lrc_config__place(place, setting, line);
    if (strcmp(before, setting->name) == 0)
        lrc_problems_add(setting->problems, "%s: repeated key '%s', first given in line %d", place, before,
                         internal->given_line[index]);
    else
        lrc_problems_add(setting->problems, "%s: repeated key '%s', first given as '%s' in line %d", place,
                         setting->name, before, internal->given_line[index]);
    return 1;
}

static enum lrc_status apply(struct lrc_setting *setting, const struct lrc_node *node, int line)
{
    struct lrc_config_private *internal = setting->config->internal;
    const int                  index = find_or_tell(setting, line);
    if (index < 0 || is_repeated(setting, index, line))
        return LRC_STATUS_OK;
    setting->key = &lrc_config__keys[index];
    LRC_TRY(lrc_config__set(setting, node));
    if (setting->file) {
        internal->given_as[index] = setting->name;
        internal->given_line[index] = line;
    }
    internal->where[index] = NULL;
    if (lrc_node_is_null(node)) /* nothing given: the default */
        return LRC_STATUS_OK;
    char place[LRC_PLACE_MAX];
    (void)lrc_config__place(place, setting, line);
    internal->where[index] = lrc_pool_copy(&internal->pool, place, strlen(place));
    return internal->where[index] ? LRC_STATUS_OK : lrc_fail_nomem(setting->err, "configuration");
}

static enum lrc_status apply_tree(struct lrc_setting *setting, const struct lrc_node *root)
{
    char place[LRC_PLACE_MAX];
    if (root->kind != LRC_NODE_MAP) {
        lrc_problems_add(setting->problems, "%s: want 'key: value' lines, got %s",
                         lrc_config__place(place, setting, root->line),
                         root->kind == LRC_NODE_LIST ? "a list" : "text");
        return LRC_STATUS_OK;
    }
    for (const struct lrc_node *name = root->first; name; name = name->next->next) {
        if (name->kind != LRC_NODE_SCALAR) {
            lrc_problems_add(setting->problems, "%s: want a key, got a %s",
                             lrc_config__place(place, setting, name->line),
                             name->kind == LRC_NODE_LIST ? "list" : "mapping");
            continue;
        }
        setting->name = name->text;
        LRC_TRY(apply(setting, name->next, name->line));
    }
    return LRC_STATUS_OK;
}

/* A mistake of the text is a problem among others; anything else ends the reading. */
static enum lrc_status read_tree(struct lrc_setting *setting, struct lrc_node **root, const char *bytes,
                                 size_t n)
{
    struct lrc_error err = { .status = LRC_STATUS_OK };
    char             place[LRC_PLACE_MAX];
    int              line;
    const enum lrc_status status =
        lrc_yaml_tree_read(root, &line, &setting->config->internal->pool, bytes, n, &err);
    if (status == LRC_STATUS_OK)
        return LRC_STATUS_OK;
    *root = NULL;
    if (status != LRC_STATUS_CONFIG)
        return lrc_fail(setting->err, status, "%s", err.message);
    if (setting->file && line == 0)
        lrc_problems_add(setting->problems, "%s: %s", setting->file, err.message);
    else if (setting->file)
        lrc_problems_add(setting->problems, "%s: %s", lrc_config__place(place, setting, line), err.message);
    else
        lrc_problems_add(setting->problems, "command line: '%.80s': %s", setting->name, err.message);
    return LRC_STATUS_OK;
}

static enum lrc_status read_file(struct lrc_setting *setting, const char *path, int *is_read)
{
    struct lrc_map   map;
    struct lrc_node *root;
    const int        count = setting->problems->count;
    char            *dir = lrc_path_dir(path);
    if (!dir)
        return lrc_fail_nomem(setting->err, "configuration");
    setting->dir = strcmp(dir, ".") == 0 ? "" : dir;
    setting->file = path;
    enum lrc_status status = lrc_map_open(&map, path, setting->err);
    if (status == LRC_STATUS_OK) {
        status = read_tree(setting, &root, (const char *)map.data, map.size_bytes);
        lrc_map_close(&map);
        *is_read = setting->problems->count == count &&
                   (status != LRC_STATUS_OK || !root || root->kind == LRC_NODE_MAP);
        if (status == LRC_STATUS_OK && root)
            status = apply_tree(setting, root);
    }
    lrc_free(dir);
    return status;
}

static enum lrc_status read_override(struct lrc_setting *setting, const char *text)
{
    static const struct lrc_node nothing = { .kind = LRC_NODE_SCALAR, .text = "" };
    const char                  *equals = strchr(text, '=');
    struct lrc_node             *root;
    const int                    count = setting->problems->count;
    setting->dir = "";
    setting->file = NULL;
    if (!equals || equals == text) {
        lrc_problems_add(setting->problems, "command line: want key=value, got '%.80s'", text);
        return LRC_STATUS_OK;
    }
    setting->name = lrc_pool_copy(&setting->config->internal->pool, text, (size_t)(equals - text));
    if (!setting->name)
        return lrc_fail_nomem(setting->err, "configuration");
    LRC_TRY(read_tree(setting, &root, equals + 1, strlen(equals + 1)));
    if (setting->problems->count > count)
        return LRC_STATUS_OK;
    return apply(setting, root ? root : &nothing, 0);
}

enum lrc_status lrc_config_load(struct lrc_config *config, const char *path, const char *const *overrides,
                                int n_overrides, struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_setting setting = { .config = config, .problems = problems, .err = err };
    const int          count = problems->count;
    int                is_read = 0;
    enum lrc_status    status = init(config, path, err);
    if (status == LRC_STATUS_OK)
        status = read_file(&setting, path, &is_read);
    for (int i = 0; i < n_overrides && status == LRC_STATUS_OK; i++)
        status = read_override(&setting, overrides[i]);
    if (status == LRC_STATUS_OK && is_read) /* an unreadable file is not also short of keys */
        lrc_config__check(config, problems);
    if (status == LRC_STATUS_OK && problems->count > count)
        status = lrc_problems_fail(problems, LRC_STATUS_CONFIG, path, err);
    if (status != LRC_STATUS_OK)
        lrc_config_release(config);
    return status;
}

int lrc_config_is_set(const struct lrc_config *config, const char *key)
{
    const int index = lrc_config__find(key);
    return index >= 0 && config->internal && config->internal->where[index] != NULL;
}

const char *lrc_config_where(const struct lrc_config *config, const char *key)
{
    const int   index = lrc_config__find(key);
    const char *where = index >= 0 && config->internal ? config->internal->where[index] : NULL;
    return where ? where : "default";
}
