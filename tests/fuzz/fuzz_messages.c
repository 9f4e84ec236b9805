/* Bytes as a conversation: the first chooses a template and settings, the rest is the row. Whatever it says,
 * it is refused in a sentence or every token is trained or not. */
#include "data/data_format.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char tokenizer_json[] = "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":5,\"content\":\"<s>\","
                                     "\"single_word\":false,\"lstrip\":false,"
                                     "\"rstrip\":false,\"normalized\":false,\"special\":true},{\"id\":4,"
                                     "\"content\":\"</s>\",\"single_word\":false,"
                                     "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":"
                                     "true}],\"normalizer\":null,\"pre_tokenizer\":"
                                     "null,\"decoder\":null,\"post_processor\":null,\"model\":{\"type\":"
                                     "\"BPE\",\"dropout\":null,\"unk_token\":null,"
                                     "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_"
                                     "unk\":false,\"byte_fallback\":false,"
                                     "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\" \":3},\"merges\":[\"a b\"]}}";

/* Plain; a thought in the last answer only; calls and their results inside the turn; parts; marked by itself;
 * a system message that moves. */
static const char *const templates[] = {
    "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt "
    "%}<s>assistant: "
    "{% endif %}",
    "{% for m in messages %}<s>{{ m.role }}{% if loop.last %}<{{ m.thinking }}>{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls %}({{ c.function.name }}{{ c.function.arguments | tojson }}){% endfor "
    "%}</s>\n{% endfor %}",
    "{% for m in messages %}{% if m.role != 'tool' %}<s>{% for c in m.tool_calls %}({{ c.function.name }})"
    "{% endfor %}{{ loop.nextitem.content }}{{ m.content }}</s>{% endif %}{% endfor %}",
    "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}</s>{% endfor %}",
    "{% for m in messages %}{{ m.role }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}</s>"
    "{% endgeneration %}{% else %}{{ m.content | trim }}{% endif %}{% endfor %}",
    "{% for m in messages %}{% if loop.last %}{{ messages[0].content }}{% endif %}{{ m.content }}</s> {% "
    "endfor %}",
};
enum { N_TEMPLATES = sizeof templates / sizeof templates[0] };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char            *names[] = { "user" };
    const struct lrc_string_list  roles = { .items = names, .n = 1 };
    const struct lrc_dataset_spec spec = { .path = "fuzz" };
    struct lrc_data_context       context = { .spec = &spec, .vocab_size = 1000 };
    struct lrc_encoded            encoded = { 0 };
    struct lrc_tokenizer         *tokenizer = NULL;
    struct lrc_template *template = NULL;
    struct lrc_error err = { 0 };
    json_t          *row = NULL;
    if (size == 0)
        return 0;
    const char *text = templates[data[0] % N_TEMPLATES];
    LRC_ASSERT(lrc_tokenizer_read_json(&tokenizer, tokenizer_json, strlen(tokenizer_json), "fuzz", &err) ==
                   LRC_STATUS_OK &&
               lrc_template_parse(&template, text, strlen(text), "fuzz", &err) == LRC_STATUS_OK);
    context.tokenizer = tokenizer;
    context.template = template;
    context.train_on_inputs = data[0] / N_TEMPLATES % 4 == 1;
    context.last_turn_only = data[0] / N_TEMPLATES % 4 == 2;
    context.roles_to_train = data[0] / N_TEMPLATES % 4 == 3 ? &roles : NULL;
    if (lrc_json_parse(&row, (const char *)data + 1, size - 1, "row", &err) == LRC_STATUS_OK) {
        const enum lrc_status status =
            lrc_data_format_find("chat_template")->encode(&encoded, &context, row, &err);
        LRC_ASSERT(status != LRC_STATUS_OK || (int64_t)encoded.trained.len == encoded.ids.len);
        LRC_ASSERT(status == LRC_STATUS_OK || err.message[0] != '\0');
    }
    json_decref(row);
    lrc_encoded_release(&encoded);
    lrc_template_free(template);
    lrc_tokenizer_free(tokenizer);
    return 0;
}
