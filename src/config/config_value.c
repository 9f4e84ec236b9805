#include "config/config_private.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/alloc.h"
#include "base/file.h"

static int is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(text, *words) == 0)
            return 1;
    }
    return 0;
}

int lrc_node_is_null(const struct lrc_node *node)
{
    static const char *const words[] = { "", "~", "null", "Null", "NULL", NULL };
    return node->kind == LRC_NODE_SCALAR && !node->quoted && is_one_of(node->text, words);
}

/* Unquoted true and false in the spellings of YAML 1.1, as PyYAML (and so Axolotl) reads them. */
static int node_bool(const struct lrc_node *node, int *value)
{
    static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", NULL };
    static const char *const no[] = {
        "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", NULL
    };
    if (node->kind != LRC_NODE_SCALAR || node->quoted)
        return 0;
    *value = is_one_of(node->text, yes);
    return *value || is_one_of(node->text, no);
}

/* Decimal without leading zeros (YAML 1.1 would read those as octal). */
static int node_int(const struct lrc_node *node, int64_t *value)
{
    if (node->kind != LRC_NODE_SCALAR || node->quoted)
        return 0;
    const char  *digits = node->text + (*node->text == '-' || *node->text == '+');
    const size_t n = strspn(digits, "0123456789");
    if (n == 0 || digits[n] != '\0' || (n > 1 && *digits == '0'))
        return 0;
    errno = 0;
    *value = strtoll(node->text, NULL, 10);
    return errno == 0;
}

/* Digits with optional sign, point and exponent; never inf, nan or hexadecimal. */
static int node_number(const struct lrc_node *node, double *value)
{
    if (node->kind != LRC_NODE_SCALAR || node->quoted)
        return 0;
    const char  *text = node->text + (*node->text == '-' || *node->text == '+');
    const size_t n_whole = strspn(text, "0123456789");
    text += n_whole;
    size_t n_part = 0;
    if (*text == '.') {
        n_part = strspn(text + 1, "0123456789");
        text += 1 + n_part;
    }
    if (n_whole + n_part == 0)
        return 0;
    if (*text == 'e' || *text == 'E') {
        text += 1 + (text[1] == '-' || text[1] == '+');
        const size_t n_exponent = strspn(text, "0123456789");
        if (n_exponent == 0)
            return 0;
        text += n_exponent;
    }
    if (*text != '\0')
        return 0;
    *value = strtod(node->text, NULL);
    return isfinite(*value);
}

int lrc_node_is_text(const struct lrc_node *node)
{
    int    truth;
    double number;
    return node->kind == LRC_NODE_SCALAR && !lrc_node_is_null(node) && !node_bool(node, &truth) &&
           !node_number(node, &number);
}

const char *lrc_config__place(char place[LRC_PLACE_MAX], const struct lrc_setting *setting, int line)
{
    if (setting->file)
        (void)snprintf(place, LRC_PLACE_MAX, "%.280s:%d", setting->file, line);
    else
        (void)snprintf(place, LRC_PLACE_MAX, "command line");
    return place;
}

void lrc_config__want(const struct lrc_setting *setting, const struct lrc_node *node, const char *want)
{
    char place[LRC_PLACE_MAX];
    (void)lrc_config__place(place, setting, node->line);
    if (node->kind == LRC_NODE_LIST)
        lrc_problems_add(setting->problems, "%s: '%s': want %s, got a list", place, setting->name, want);
    else if (node->kind == LRC_NODE_MAP)
        lrc_problems_add(setting->problems, "%s: '%s': want %s, got a mapping", place, setting->name, want);
    else if (lrc_node_is_null(node))
        lrc_problems_add(setting->problems, "%s: '%s': want %s, got nothing", place, setting->name, want);
    else
        lrc_problems_add(setting->problems, "%s: '%s': want %s, got %s'%.80s'", place, setting->name, want,
                         node->quoted ? "the text " : "", node->text);
}

static void *field(const struct lrc_setting *setting)
{
    return (char *)setting->config + setting->key->offset;
}

void lrc_config__set_default(struct lrc_config *config, const struct lrc_key *key)
{
    char *const   at = (char *)config + key->offset;
    const int64_t integer = (int64_t)key->number;
    const int     truth = key->number != 0;
    switch (key->kind) {
    case LRC_KIND_STRING:
    case LRC_KIND_PATH:
    case LRC_KIND_CHOICE: memcpy(at, &key->text, sizeof key->text); break;
    case LRC_KIND_INT:
    case LRC_KIND_BYTES: memcpy(at, &integer, sizeof integer); break;
    case LRC_KIND_NUMBER: memcpy(at, &key->number, sizeof key->number); break;
    case LRC_KIND_BOOL: memcpy(at, &truth, sizeof truth); break;
    case LRC_KIND_LIST: memset(at, 0, sizeof(struct lrc_string_list)); break;
    case LRC_KIND_MAP: memset(at, 0, sizeof(struct lrc_int_map)); break;
    case LRC_KIND_DATASETS: memset(at, 0, sizeof(struct lrc_dataset_list)); break;
    case LRC_KIND_LATER:
    case LRC_KIND_GROUP: break;
    }
}

enum lrc_status lrc_config__copy_path(const char **path, const struct lrc_setting *setting,
                                      const struct lrc_node *node)
{
    struct lrc_pool *pool = &setting->config->internal->pool;
    if (strcmp(node->text, "-") == 0) { /* stdin is in no folder */
        *path = lrc_pool_copy(pool, node->text, 1);
        return *path ? LRC_STATUS_OK : lrc_fail_nomem(setting->err, "configuration");
    }
    char *joined = lrc_path_join(setting->dir, node->text);
    if (!joined)
        return lrc_fail_nomem(setting->err, "configuration");
    *path = lrc_pool_copy(pool, joined, strlen(joined));
    lrc_free(joined);
    return *path ? LRC_STATUS_OK : lrc_fail_nomem(setting->err, "configuration");
}

static int looks_like_path(const char *text)
{
    const size_t n = strlen(text);
    return strchr(text, '/') || (n > 6 && strcmp(text + n - 6, ".jinja") == 0);
}

static enum lrc_status set_text(const struct lrc_setting *setting, const struct lrc_node *node)
{
    const struct lrc_key *key = setting->key;
    const char          **value = field(setting);
    if (!lrc_node_is_text(node) || *node->text == '\0') {
        lrc_config__want(setting, node, key->kind == LRC_KIND_PATH ? "a path" : "text");
        return LRC_STATUS_OK;
    }
    if (key->kind == LRC_KIND_PATH || ((key->flags & LRC_KEY_MAYBE_PATH) && looks_like_path(node->text)))
        return lrc_config__copy_path(value, setting, node);
    *value = lrc_pool_copy(&setting->config->internal->pool, node->text, strlen(node->text));
    return *value ? LRC_STATUS_OK : lrc_fail_nomem(setting->err, "configuration");
}

static void append_choices(struct lrc_buf *buf, const char *choices)
{
    size_t n = 0;
    int    n_shown = 0;
    for (const char *part = lrc_config__part(choices, NULL, &n); part;
         part = lrc_config__part(choices, part, &n)) {
        if (*part == '(')
            continue;
        lrc_buf_puts(buf, n_shown++ ? ", " : "");
        lrc_buf_append(buf, part, n);
    }
}

static enum lrc_status set_choice(const struct lrc_setting *setting, const struct lrc_node *node)
{
    const char *choices = setting->key->choices, *text = node->kind == LRC_NODE_SCALAR ? node->text : "";
    char        place[LRC_PLACE_MAX];
    int         truth;
    size_t      n = 0;
    if (node_bool(node, &truth))
        text = truth ? "true" : "false";
    for (const char *part = lrc_config__part(choices, NULL, &n); part;
         part = lrc_config__part(choices, part, &n)) {
        const int later = *part == '(';
        if (strlen(text) != n - (later ? 2 : 0) || strncmp(part + later, text, strlen(text)) != 0)
            continue;
        if (later) {
            lrc_problems_add(setting->problems, "%s: '%s': '%s' is not yet in this version",
                             lrc_config__place(place, setting, node->line), setting->name, text);
            return LRC_STATUS_OK;
        }
        const char **value = field(setting);
        *value = lrc_pool_copy(&setting->config->internal->pool, text, n);
        return *value ? LRC_STATUS_OK : lrc_fail_nomem(setting->err, "configuration");
    }
    struct lrc_buf want = { 0 };
    lrc_buf_puts(&want, strchr(choices, '|') ? "one of " : "");
    append_choices(&want, choices);
    lrc_config__want(setting, node, lrc_buf_text(&want));
    lrc_buf_release(&want);
    return LRC_STATUS_OK;
}

/* The wanted range, in words. */
static void want_number(const struct lrc_setting *setting, const struct lrc_node *node, const char *what)
{
    char want[128];
    (void)snprintf(want, sizeof want, "%s from %.10g to %.10g", what, setting->key->min, setting->key->max);
    lrc_config__want(setting, node, want);
}

static enum lrc_status set_scalar(const struct lrc_setting *setting, const struct lrc_node *node)
{
    const struct lrc_key *key = setting->key;
    int64_t               integer;
    double                number;
    int                   truth;
    if (key->kind == LRC_KIND_BOOL) {
        if (node_bool(node, &truth))
            memcpy(field(setting), &truth, sizeof truth);
        else
            lrc_config__want(setting, node, "true or false");
    } else if (key->kind == LRC_KIND_INT) {
        if (node_int(node, &integer) && (double)integer >= key->min && (double)integer <= key->max)
            memcpy(field(setting), &integer, sizeof integer);
        else
            want_number(setting, node, "an integer");
    } else {
        if (node_number(node, &number) && number >= key->min && number <= key->max)
            memcpy(field(setting), &number, sizeof number);
        else
            want_number(setting, node, "a number");
    }
    return LRC_STATUS_OK;
}

/* A number, and perhaps a unit: GB is 10^9, GiB and G are 2^30. */
static int read_bytes(int64_t *bytes, const struct lrc_node *node)
{
    static const struct {
        const char *unit;
        double      factor;
    } units[] = { { "", 1 },       { "B", 1 },        { "KB", 1e3 },     { "MB", 1e6 },     { "GB", 1e9 },
                  { "TB", 1e12 },  { "KiB", 0x1p10 }, { "MiB", 0x1p20 }, { "GiB", 0x1p30 }, { "TiB", 0x1p40 },
                  { "K", 0x1p10 }, { "M", 0x1p20 },   { "G", 0x1p30 },   { "T", 0x1p40 } };
    if (node->kind != LRC_NODE_SCALAR || node->text[0] < '0' || node->text[0] > '9')
        return 0;
    const size_t n = strspn(node->text, "0123456789.");
    char        *end;
    const double number = strtod(node->text, &end);
    const char  *unit = node->text + n + strspn(node->text + n, " ");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (end == node->text + n && strcasecmp(unit, units[i].unit) == 0 &&
            number * units[i].factor < 0x1p62) {
            *bytes = (int64_t)(number * units[i].factor);
            return 1;
        }
    return 0;
}

static enum lrc_status set_bytes(const struct lrc_setting *setting, const struct lrc_node *node)
{
    int64_t bytes;
    if (read_bytes(&bytes, node))
        memcpy(field(setting), &bytes, sizeof bytes);
    else
        lrc_config__want(setting, node, "bytes, as 8GB or 7.5GiB");
    return LRC_STATUS_OK;
}

static int is_item(const struct lrc_setting *setting, const struct lrc_node *node)
{
    int64_t integer;
    if (setting->key->flags & LRC_KEY_INTEGERS)
        return node_int(node, &integer) && integer >= 0 && integer <= INT32_MAX;
    return lrc_node_is_text(node) && *node->text != '\0';
}

static enum lrc_status set_list(const struct lrc_setting *setting, const struct lrc_node *node)
{
    const int of_integers = (setting->key->flags & LRC_KEY_INTEGERS) != 0,
              is_list = node->kind == LRC_NODE_LIST;
    struct lrc_pool        *pool = &setting->config->internal->pool;
    struct lrc_string_list *list = field(setting);
    const int               n = is_list ? node->n : 1;
    struct lrc_string_list  made = { .from_scalar = !is_list };
    made.items = lrc_pool_take(pool, (size_t)n * sizeof *made.items);
    if (!made.items)
        return lrc_fail_nomem(setting->err, "configuration");
    for (const struct lrc_node *item = is_list ? node->first : node; item;
         item = is_list ? item->next : NULL) {
        if (!is_item(setting, item)) {
            lrc_config__want(setting, item,
                             of_integers ? "integers from 0"
                             : is_list   ? "a list of names"
                                         : "a name or a list of names");
            return LRC_STATUS_OK;
        }
        made.items[made.n] = lrc_pool_copy(pool, item->text, strlen(item->text));
        if (!made.items[made.n++])
            return lrc_fail_nomem(setting->err, "configuration");
    }
    if (n == 0)
        lrc_config__want(setting, node, "at least one item");
    *list = made;
    return LRC_STATUS_OK;
}

static enum lrc_status set_map(const struct lrc_setting *setting, const struct lrc_node *node)
{
    const struct lrc_key *key = setting->key;
    struct lrc_pool      *pool = &setting->config->internal->pool;
    struct lrc_int_map   *map = field(setting), made = { 0 };
    if (node->kind != LRC_NODE_MAP) {
        lrc_config__want(setting, node, "a mapping of names to integers");
        return LRC_STATUS_OK;
    }
    made.keys = lrc_pool_take(pool, (size_t)node->n * sizeof *made.keys);
    made.values = lrc_pool_take(pool, (size_t)node->n * sizeof *made.values);
    if (!made.keys || !made.values)
        return lrc_fail_nomem(setting->err, "configuration");
    for (const struct lrc_node *name = node->first; name; name = name->next->next) {
        int64_t value;
        if (!lrc_node_is_text(name) || *name->text == '\0') {
            lrc_config__want(setting, name, "names of modules");
            continue;
        }
        for (int i = 0; i < made.n; i++) {
            if (strcmp(made.keys[i], name->text) == 0)
                lrc_config__want(setting, name, "every name once");
        }
        if (!node_int(name->next, &value) || (double)value < key->min || (double)value > key->max) {
            want_number(setting, name->next, "an integer");
            continue;
        }
        made.values[made.n] = value;
        made.keys[made.n] = lrc_pool_copy(pool, name->text, strlen(name->text));
        if (!made.keys[made.n++])
            return lrc_fail_nomem(setting->err, "configuration");
    }
    *map = made;
    return LRC_STATUS_OK;
}

/* A key that is not there yet may say that it is not wanted. */
static enum lrc_status set_later(const struct lrc_setting *setting, const struct lrc_node *node)
{
    char      place[LRC_PLACE_MAX];
    int       truth = 0;
    double    number;
    const int is_empty = node->kind != LRC_NODE_SCALAR && node->n == 0;
    if (is_empty || (node_bool(node, &truth) && !truth) ||
        (node_number(node, &number) && number == 0))
        return LRC_STATUS_OK;
    lrc_problems_add(setting->problems, "%s: '%s': not yet in this version",
                     lrc_config__place(place, setting, node->line), setting->name);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_config__set(const struct lrc_setting *setting, const struct lrc_node *node)
{
    lrc_config__set_default(setting->config, setting->key);
    if (lrc_node_is_null(node))
        return LRC_STATUS_OK;
    switch (setting->key->kind) {
    case LRC_KIND_STRING:
    case LRC_KIND_PATH: return set_text(setting, node);
    case LRC_KIND_CHOICE: return set_choice(setting, node);
    case LRC_KIND_INT:
    case LRC_KIND_NUMBER:
    case LRC_KIND_BOOL: return set_scalar(setting, node);
    case LRC_KIND_BYTES: return set_bytes(setting, node);
    case LRC_KIND_LIST: return set_list(setting, node);
    case LRC_KIND_MAP: return set_map(setting, node);
    case LRC_KIND_DATASETS: return lrc_config__set_datasets(setting, node);
    case LRC_KIND_LATER: return set_later(setting, node);
    case LRC_KIND_GROUP: break;
    }
    return LRC_STATUS_OK;
}
