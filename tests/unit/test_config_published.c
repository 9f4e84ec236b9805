#include "config/config.h"

#include "base/alloc.h"
#include "base/file.h"
#include <criterion/criterion.h>
#include <string.h>

static int64_t load_all(const char *dir)
{
    char           **names;
    int64_t          n_names, n_loaded = 0;
    struct lrc_error err;
    cr_assert_eq(lrc_dir_list(dir, &names, &n_names, &err), LRC_STATUS_OK, "%s", err.message);
    for (int64_t i = 0; i < n_names; i++) {
        char        *path = lrc_path_join(dir, names[i]);
        const size_t n = strlen(names[i]);
        cr_assert_not_null(path);
        if (lrc_path_is_dir(path)) {
            n_loaded += load_all(path);
        } else if (n > 5 && strcmp(names[i] + n - 5, ".yaml") == 0) {
            struct lrc_config   config = { 0 };
            struct lrc_problems problems = { 0 };
            cr_expect_eq(lrc_config_load(&config, path, NULL, 0, &problems, &err), LRC_STATUS_OK, "%s",
                         lrc_buf_text(&problems.text));
            lrc_config_release(&config);
            lrc_problems_release(&problems);
            n_loaded++;
        }
        lrc_free(path);
    }
    lrc_dir_list_free(names, n_names);
    return n_loaded;
}

Test(config_published, every_file_of_configs_loads)
{
    cr_expect_geq(load_all(LRC_SOURCE_DIR "/configs"), 6);
}
