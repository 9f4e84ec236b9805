/* nst/JSONTestSuite through lrc_json_parse(): y_ files must be read, n_ files refused, i_ files only must
 * not crash. */
#include "base/file.h"
#include "base/alloc.h"
#include "base/json.h"
#include "support.h"

#include <criterion/criterion.h>
#include <string.h>

/* Valid JSON that we refuse on purpose: a key that comes twice, and NUL in a key. */
static int is_stricter_here(const char *name)
{
    static const char *const names[] = { "y_object_duplicated_key.json",
                                         "y_object_duplicated_key_and_value.json",
                                         "y_object_escaped_null_in_key.json" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return 1;
    return 0;
}

static void run_file(const char *path, const char *name)
{
    struct lrc_map   map;
    struct lrc_error err = { 0 };
    json_t          *json = NULL;
    cr_assert_eq(lrc_map_open(&map, path, &err), LRC_STATUS_OK, "%s", err.message);
    const enum lrc_status status = lrc_json_parse(&json, (const char *)map.data, map.size_bytes, name, &err);
    if (name[0] == 'y')
        cr_expect_eq(status, is_stricter_here(name) ? LRC_STATUS_FORMAT : LRC_STATUS_OK, "%s: %s", name,
                     err.message);
    if (name[0] == 'n')
        cr_expect_eq(status, LRC_STATUS_FORMAT, "%s was read", name);
    json_decref(json);
    lrc_map_close(&map);
}

Test(json_suite, published_cases_are_read_or_refused)
{
    char          **names;
    int64_t         n_names;
    struct lrc_error err;
    const char     *dir = test_asset("LRC_ASSETS", "nst+JSONTestSuite/test_parsing");
    cr_assert_eq(lrc_dir_list(dir, &names, &n_names, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_gt(n_names, 300);
    for (int64_t i = 0; i < n_names; i++) {
        char *path = lrc_path_join(dir, names[i]);
        run_file(path, names[i]);
        lrc_free(path);
    }
    lrc_dir_list_free(names, n_names);
}
