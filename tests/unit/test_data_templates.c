/* Published templates of the optional assets folder, with a tokenizer that adds BOS by itself: a conversation
 * begins with one BOS at most, and what is trained is the answers. */
#include "base/alloc.h"
#include "base/file.h"
#include "data_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counts {
    int n_templates, n_encoded, n_with_bos;
};

static const char row[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Q-1\"}, {\"role\": \"assistant\", "
    "\"content\": \"A-1\"}, {\"role\": \"user\", \"content\": \"Q-2\"}, {\"role\": "
    "\"assistant\", \"content\": \"A-2\"}]}";

/* Every answer is trained, no question is. shown: tokens behind '+' and '-'. */
static void check_shown(const char *name, const char *shown, struct counts *counts)
{
    static const char *const trained[] = { "+A+-+1", "+A+-+2" }, *const untrained[] = { "+Q", "+<s>" };
    counts->n_encoded++;
    counts->n_with_bos += strncmp(shown, "-<s>", 4) == 0;
    cr_expect_neq(strncmp(shown, "-<s>-<s>", 8), 0, "%s: two BOS: %.80s", name, shown);
    for (int i = 0; i < 2; i++) {
        cr_expect(strstr(shown, trained[i]), "%s: want '%s' in %s", name, trained[i], shown);
        cr_expect_null(strstr(shown, untrained[i]), "%s: want no '%s' in %s", name, untrained[i], shown);
    }
}

static void check_template(const char *name, const char *text, struct counts *counts)
{
    struct lrc_error err;
    struct lrc_template *template;
    counts->n_templates++;
    cr_assert_eq(lrc_template_parse(&template, text, strlen(text), name, &err), LRC_STATUS_OK, "%s",
                 err.message);
    struct lrc_tokenizer         *tokenizer = data_fixture_tokenizer(FIXTURE_BOS);
    const struct lrc_data_context context = { .tokenizer = tokenizer,
                                              .template = template,
                                              .vocab_size = 128 };
    char                         *shown = data_fixture_encode(&context, "chat_template", row);
    if (shown[0] == '-' || shown[0] == '+')
        check_shown(name, shown, counts);
    else
        printf("%s: %.150s\n", name, shown);
    lrc_free(shown);
    lrc_template_free(template);
    lrc_tokenizer_free(tokenizer);
}

static json_t *load(const char *folder, const char *name)
{
    struct lrc_error err;
    json_t          *json;
    char            *path = lrc_path_join(folder, name);
    cr_assert_eq(lrc_json_load(&json, path, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_free(path);
    return json;
}

Test(data_templates, one_bos_and_the_answers_trained)
{
    const char *folder = getenv("LRC_ASSETS");
    if (!folder || !*folder) {
        printf("skipped: LRC_ASSETS is not set\n");
        return;
    }
    static const char *const sections[] = { "default_templates", "custom_templates" };
    struct counts            counts = { 0 };
    json_t                  *llama = load(folder, "_derived/llama.cpp_chat_template_expected.json");
    json_t                  *js = load(folder, "_derived/huggingface.js_jinja_e2e.json"), *one;
    const char              *name;
    size_t                   i;
    json_array_foreach(json_object_get(llama, "cases"), i, one)
        check_template(json_string_value(json_object_get(one, "name")),
                       json_string_value(json_object_get(one, "template_str")), &counts);
    for (int k = 0; k < 2; k++)
        json_object_foreach(json_object_get(js, sections[k]), name, one)
            check_template(name, json_string_value(json_object_get(one, "chat_template")), &counts);
    printf("published templates: %d, of which %d encode the conversation, %d with BOS\n", counts.n_templates,
           counts.n_encoded, counts.n_with_bos);
    cr_expect_gt(counts.n_encoded, 35);
    cr_expect_gt(counts.n_with_bos, 5);
    json_decref(llama);
    json_decref(js);
}
