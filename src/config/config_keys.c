#include "config/config_private.h"

#include "base/nearest.h"
#include <string.h>

#define REQUIRED   LRC_KEY_REQUIRED
#define RESUME     LRC_KEY_RESUME
#define INTEGERS   LRC_KEY_INTEGERS
#define MAYBE_PATH LRC_KEY_MAYBE_PATH
#define AT(key)    offsetof(struct lrc_config, key)

const struct lrc_key lrc_config__keys[] = {
#define LRC_GROUP(title) { title, LRC_KIND_GROUP, 0, 0, 0, 0, 0, NULL, "", "", "" },
#define LRC_KEY_STRING(key, text, flags, aliases, help)                                                      \
    { #key, LRC_KIND_STRING, flags, AT(key), 0, 0, 0, text, "", aliases, help },
#define LRC_KEY_PATH(key, flags, aliases, help)                                                              \
    { #key, LRC_KIND_PATH, flags, AT(key), 0, 0, 0, NULL, "", aliases, help },
#define LRC_KEY_CHOICE(key, text, choices, flags, aliases, help)                                             \
    { #key, LRC_KIND_CHOICE, flags, AT(key), 0, 0, 0, text, choices, aliases, help },
#define LRC_KEY_INT(key, number, min, max, flags, aliases, help)                                             \
    { #key, LRC_KIND_INT, flags, AT(key), min, max, number, NULL, "", aliases, help },
#define LRC_KEY_BYTES(key, flags, aliases, help)                                                             \
    { #key, LRC_KIND_BYTES, flags, AT(key), 0, 0, 0, NULL, "", aliases, help },
#define LRC_KEY_NUMBER(key, number, min, max, flags, aliases, help)                                          \
    { #key, LRC_KIND_NUMBER, flags, AT(key), min, max, number, NULL, "", aliases, help },
#define LRC_KEY_BOOL(key, number, flags, aliases, help)                                                      \
    { #key, LRC_KIND_BOOL, flags, AT(key), 0, 1, number, NULL, "", aliases, help },
#define LRC_KEY_LIST(key, flags, aliases, help)                                                              \
    { #key, LRC_KIND_LIST, flags, AT(key), 0, 0, 0, NULL, "", aliases, help },
#define LRC_KEY_MAP(key, min, max, flags, aliases, help)                                                     \
    { #key, LRC_KIND_MAP, flags, AT(key), min, max, 0, NULL, "", aliases, help },
#define LRC_KEY_DATASETS(key, flags, aliases, help)                                                          \
    { #key, LRC_KIND_DATASETS, flags, AT(key), 0, 0, 0, NULL, "", aliases, help },
#define LRC_KEY_LATER(key, aliases, help) { #key, LRC_KIND_LATER, 0, 0, 0, 0, 0, NULL, "", aliases, help },
#include "config/schema.def"
};
const int lrc_config__n_keys = (int)(sizeof lrc_config__keys / sizeof lrc_config__keys[0]);

const char *lrc_config__part(const char *list, const char *part, size_t *n)
{
    const char *next = part ? part + *n : list;
    if (part && *next == '|')
        next++;
    if (*next == '\0')
        return NULL;
    *n = strcspn(next, "|");
    return next;
}

static int is_named(const struct lrc_key *key, const char *name)
{
    size_t n = 0;
    if (strcmp(key->name, name) == 0)
        return 1;
    for (const char *alias = lrc_config__part(key->aliases, NULL, &n); alias;
         alias = lrc_config__part(key->aliases, alias, &n)) {
        if (strlen(name) == n && strncmp(alias, name, n) == 0)
            return 1;
    }
    return 0;
}

int lrc_config__find(const char *name)
{
    for (int i = 0; i < lrc_config__n_keys; i++) {
        if (lrc_config__keys[i].kind != LRC_KIND_GROUP && is_named(&lrc_config__keys[i], name))
            return i;
    }
    return -1;
}

const char *lrc_config__nearest(const char *name)
{
    struct lrc_nearest nearest = { .word = name };
    for (int i = 0; i < lrc_config__n_keys; i++) {
        if (lrc_config__keys[i].kind != LRC_KIND_GROUP)
            lrc_nearest_offer(&nearest, lrc_config__keys[i].name);
    }
    /* An alias is compared as well, but its key is what is named. */
    for (int i = 0; i < lrc_config__n_keys; i++) {
        const struct lrc_key *key = &lrc_config__keys[i];
        size_t                n = 0;
        for (const char *part = lrc_config__part(key->aliases, NULL, &n); part;
             part = lrc_config__part(key->aliases, part, &n)) {
            char alias[64];
            if (n >= sizeof alias)
                continue;
            memcpy(alias, part, n);
            alias[n] = '\0';
            lrc_nearest_offer(&nearest, alias);
            if (nearest.best == alias)
                nearest.best = key->name;
        }
    }
    return nearest.best;
}

int lrc_config_resume_may_change(const char *key)
{
    const int i = lrc_config__find(key);
    return i >= 0 && (lrc_config__keys[i].flags & LRC_KEY_RESUME) != 0;
}
