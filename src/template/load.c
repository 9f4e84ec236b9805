/* Where a template comes from: the model's folder, our own, a file. */
#include "template/ast.h"
#include "template/builtin.h"
#include "template/template.h"

#include "base/alloc.h"
#include "base/file.h"
#include "formats/model_dir.h"
#include <stdio.h>
#include <string.h>

static const char fallback_prefix[] = "tokenizer_default_fallback_";

static enum lrc_status load_file(struct lrc_template **out, const char *path, struct lrc_error *err)
{
    struct lrc_buf  text = { 0 };
    enum lrc_status status = lrc_file_read(&text, path, err);
    if (status == LRC_STATUS_OK)
        status = lrc_template_parse(out, lrc_buf_text(&text), text.len, lrc_path_base(path), err);
    lrc_buf_release(&text);
    return status;
}

/* chat_template.jinja is the default one; the others lie in a folder. *has: is there any file of the kind? */
static enum lrc_status load_from_files(struct lrc_template **out, int *has, const char *model_dir,
                                       const char *name, struct lrc_error *err)
{
    const int      is_default = strcmp(name, "default") == 0;
    struct lrc_buf other = { 0 };
    lrc_buf_printf(&other, LRC_TEMPLATES_DIR "/%s.jinja", name);
    char           *first = lrc_path_join(model_dir, "chat_template.jinja");
    char           *path = lrc_path_join(model_dir, lrc_buf_text(&other));
    enum lrc_status status = LRC_STATUS_OK;
    if (!first || !path || other.failed)
        status = lrc_fail_nomem(err, "path");
    *has = first && lrc_path_exists(first);
    if (status == LRC_STATUS_OK && is_default && *has)
        status = load_file(out, first, err);
    else if (status == LRC_STATUS_OK && !is_default && !strchr(name, '/') && lrc_path_exists(path))
        status = load_file(out, path, err);
    lrc_buf_release(&other);
    lrc_free(first);
    lrc_free(path);
    return status;
}

/* The template of that name in a "chat_template" member; NULL: none. */
static const json_t *find_text(const json_t *member, const char *name)
{
    if (json_is_string(member))
        return strcmp(name, "default") == 0 ? member : NULL;
    const json_t *text = json_object_get(member, name);
    for (size_t i = 0; i < json_array_size(member) && !text; i++) {
        const json_t *one = json_array_get(member, i);
        const char   *own = json_string_value(json_object_get(one, "name"));
        if (own && strcmp(own, name) == 0)
            text = json_object_get(one, "template");
    }
    return json_is_string(text) ? text : NULL;
}

static enum lrc_status load_from_json(struct lrc_template **out, int *has, const char *model_dir,
                                      const char *file, const char *name, struct lrc_error *err)
{
    json_t         *json = NULL;
    char           *path = lrc_path_join(model_dir, file);
    enum lrc_status status = path ? LRC_STATUS_OK : lrc_fail_nomem(err, "path");
    if (status == LRC_STATUS_OK && lrc_path_exists(path))
        status = lrc_json_load(&json, path, err);
    const json_t *member = json_object_get(json, "chat_template"), *text = find_text(member, name);
    *has = member && !json_is_null(member);
    if (status == LRC_STATUS_OK && text)
        status =
            lrc_template_parse(out, json_string_value(text), json_string_length(text), "chat_template", err);
    json_decref(json);
    lrc_free(path);
    return status;
}

/* *out stays NULL when the model has none of that name. */
static enum lrc_status load_named(struct lrc_template **out, const char *model_dir, const char *name,
                                  struct lrc_error *err)
{
    static const char *const files[] = { "tokenizer_config.json", "chat_template.json" };
    int                      has;
    *out = NULL;
    LRC_TRY(load_from_files(out, &has, model_dir, name, err));
    for (int i = 0; i < 2 && !has && !*out; i++)
        LRC_TRY(load_from_json(out, &has, model_dir, files[i], name, err));
    return LRC_STATUS_OK;
}

static enum lrc_status load_builtin(struct lrc_template **out, const char *name, struct lrc_error *err)
{
    *out = NULL;
    for (const struct lrc_builtin *builtin = lrc_builtin_all; builtin->name; builtin++)
        if (strcmp(name, builtin->name) == 0 || (builtin->also && strcmp(name, builtin->also) == 0))
            return lrc_template_parse(out, builtin->text, strlen(builtin->text), builtin->name, err);
    return LRC_STATUS_OK;
}

/* fallback: a built-in name, or NULL. */
static enum lrc_status load_default(struct lrc_template **out, const char *model_dir, const char *fallback,
                                    struct lrc_error *err)
{
    LRC_TRY(load_named(out, model_dir, "default", err));
    if (*out) {
        const enum lrc_status status = load_named(&(*out)->tool_use, model_dir, "tool_use", err);
        if (status == LRC_STATUS_OK)
            return LRC_STATUS_OK;
        lrc_template_free(*out);
        *out = NULL;
        return status;
    }
    if (fallback)
        LRC_TRY(load_builtin(out, fallback, err));
    if (*out)
        return LRC_STATUS_OK;
    return lrc_fail(
        err, LRC_STATUS_CONFIG,
        "chat_template: want chat_template.jinja, or 'chat_template' in tokenizer_config.json, in '%s', "
        "got neither; name a built-in one or a file",
        model_dir);
}

static enum lrc_status fail_choice(const char *choice, struct lrc_error *err)
{
    struct lrc_buf names = { 0 };
    for (const struct lrc_builtin *builtin = lrc_builtin_all; builtin->name; builtin++)
        lrc_buf_printf(&names, "%s%s", builtin == lrc_builtin_all ? "" : ", ", builtin->name);
    const enum lrc_status status = lrc_fail(
        err, LRC_STATUS_CONFIG, "chat_template: want tokenizer_default, a file or one of %s, got '%s'",
        lrc_buf_text(&names), choice);
    lrc_buf_release(&names);
    return status;
}

enum lrc_status lrc_template_load(struct lrc_template **out, const char *choice, const char *model_dir,
                                  struct lrc_error *err)
{
    const size_t n_prefix = sizeof fallback_prefix - 1;
    const char  *folder = model_dir ? model_dir : "";
    *out = NULL;
    if (!choice || strcmp(choice, "tokenizer_default") == 0)
        return load_default(out, folder, NULL, err);
    if (strncmp(choice, fallback_prefix, n_prefix) == 0)
        return load_default(out, folder, choice + n_prefix, err);
    LRC_TRY(load_builtin(out, choice, err));
    if (*out)
        return LRC_STATUS_OK;
    if (lrc_path_exists(choice) && !lrc_path_is_dir(choice))
        return load_file(out, choice, err);
    LRC_TRY(load_named(out, folder, choice, err));
    return *out ? LRC_STATUS_OK : fail_choice(choice, err);
}
