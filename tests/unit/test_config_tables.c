/* A choice of the schema and the table of what is built in must be the same list. */
#include "config/config_private.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static int has_choice(const struct lrc_key *key, const char *name)
{
    size_t n = 0;
    for (const char *part = lrc_config__part(key->choices, NULL, &n); part;
         part = lrc_config__part(key->choices, part, &n)) {
        if (strlen(name) == n && strncmp(part, name, n) == 0)
            return 1;
    }
    return 0;
}

static int n_choices(const struct lrc_key *key)
{
    size_t n = 0;
    int    count = 0;
    for (const char *part = lrc_config__part(key->choices, NULL, &n); part;
         part = lrc_config__part(key->choices, part, &n))
        count += *part != '(';
    return count;
}

Test(config_tables, optimizers_are_the_choices_of_the_key)
{
    const struct lrc_key *key = &lrc_config__keys[lrc_config__find("optimizer")];
    int                   n = 0;
    for (; lrc_optimizer_all[n]; n++)
        cr_expect(has_choice(key, lrc_optimizer_all[n]->name), "%s", lrc_optimizer_all[n]->name);
    cr_expect_eq(n_choices(key), n);
}

Test(config_tables, schedules_are_the_choices_of_the_key)
{
    const struct lrc_key *key = &lrc_config__keys[lrc_config__find("lr_scheduler")];
    int                   n = 0;
    for (; lrc_schedule_all[n]; n++)
        cr_expect(has_choice(key, lrc_schedule_all[n]->name), "%s", lrc_schedule_all[n]->name);
    cr_expect_eq(n_choices(key), n);
}

Test(config_tables, no_name_or_alias_is_given_twice_in_the_schema)
{
    for (int i = 0; i < lrc_config__n_keys; i++) {
        const struct lrc_key *key = &lrc_config__keys[i];
        size_t                n = 0;
        if (key->kind == LRC_KIND_GROUP)
            continue;
        cr_expect_eq(lrc_config__find(key->name), i, "%s", key->name);
        for (const char *part = lrc_config__part(key->aliases, NULL, &n); part;
             part = lrc_config__part(key->aliases, part, &n)) {
            char alias[64];
            (void)snprintf(alias, sizeof alias, "%.*s", (int)n, part);
            cr_expect_eq(lrc_config__find(alias), i, "%s", alias);
        }
    }
}
