/* What of a model's folder goes along with a result. */
#include "base/file.h"
#include "formats/model_dir.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const char *in(const char *dir, const char *name)
{
    static char path[2048];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put(const char *dir, const char *name)
{
    struct lrc_error err;
    cr_assert_eq(lrc_file_write(in(dir, name), name, strlen(name), &err), LRC_STATUS_OK, "%s", err.message);
}

Test(model_dir, templates_beside_the_default_one_go_along)
{
    static const char *const kept[] = { "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                                        "additional_chat_templates/tool_use.jinja",
                                        "additional_chat_templates/rag.jinja" },
                             *const left[] = { "model.safetensors", "config.json",
                                               "additional_chat_templates/notes.txt" };
    char                            from[1024], to[1024];
    struct lrc_error                err;
    (void)snprintf(from, sizeof from, "%s/from", test_folder("model-dir"));
    (void)snprintf(to, sizeof to, "%s/to", test_folder("model-dir-copy"));
    cr_assert_eq(lrc_dir_make(in(from, LRC_TEMPLATES_DIR), &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_dir_make(to, &err), LRC_STATUS_OK, "%s", err.message);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        put(from, kept[i]);
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        put(from, left[i]);
    cr_assert_eq(lrc_model_dir_copy_tokenizer(from, to, &err), LRC_STATUS_OK, "%s", err.message);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        struct lrc_buf text = { 0 };
        cr_assert_eq(lrc_file_read(&text, in(to, kept[i]), &err), LRC_STATUS_OK, "%s", err.message);
        cr_expect_str_eq(lrc_buf_text(&text), kept[i]);
        lrc_buf_release(&text);
    }
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        cr_expect_not(lrc_path_exists(in(to, left[i])), "%s went along", left[i]);
}
