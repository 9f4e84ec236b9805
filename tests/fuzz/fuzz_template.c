/* Template text over a fixed conversation: any bytes give a text or a sentence. */
#include "template/template.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Spans come in order of their ends and lie in the text. */
static void check_spans(const struct lrc_buf *text, const struct lrc_buf *generation)
{
    for (size_t at = 0; at < generation->len; at += 2 * sizeof(int64_t)) {
        int64_t span[2];
        memcpy(span, generation->data + at, sizeof span);
        LRC_ASSERT(span[0] >= 0 && span[0] <= span[1] && span[1] <= (int64_t)text->len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char variables_text[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": "
        "\"h\\u00e9 <x>\\n\"},"
        " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", "
        "\"arguments\": {\"a\": [1, 2.5, true]}}}]}],"
        " \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\"}}], \"n\": 3, \"l\": [3, 1, "
        "2], \"s\": \"a b\"}";
    struct lrc_error err = {0};
    struct lrc_buf text = {0}, generation = {0};
    struct lrc_template *t = NULL;
    json_t *variables = NULL;
    struct lrc_template_input input = {
        .bos_token = "<s>", .eos_token = "</s>", .prompt = LRC_PROMPT_GENERATION};
    if (lrc_json_parse(&variables, variables_text, sizeof variables_text - 1, "variables", &err) ==
            LRC_STATUS_OK &&
        lrc_template_parse(&t, (const char *)data, size, "fuzz", &err) == LRC_STATUS_OK) {
        input.messages = json_object_get(variables, "messages");
        input.tools = json_object_get(variables, "tools");
        input.variables = variables;
        if (lrc_template_render(t, &text, &generation, &input, &err) == LRC_STATUS_OK)
            check_spans(&text, &generation);
        else
            LRC_ASSERT(text.len == 0 && err.message[0] != '\0');
    }
    lrc_template_free(t);
    lrc_buf_release(&text);
    lrc_buf_release(&generation);
    json_decref(variables);
    return 0;
}
