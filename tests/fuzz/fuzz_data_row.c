/* Bytes as a data file: its rows are found, parsed and encoded by every format. */
#include "data/dataset.h"
#include "data/row_file.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char tokenizer_json[] = "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":4,\"content\":\"</"
                                     "s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                                     "\"normalized\":false,\"special\":true}],\"normalizer\":null,\"pre_"
                                     "tokenizer\":null,\"decoder\":null,\"post_processor\":null,"
                                     "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
                                     "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
                                     "\"fuse_unk\":false,\"byte_fallback\":false,\"vocab\":{\"a\":0,\"b\":1,"
                                     "\"ab\":2,\" \":3},\"merges\":[\"a b\"]}}";
static const char template_text[] =
    "{% for m in messages %}[{{ m['role'] }} {{ m['content'] }}</s>\n{% endfor %}";

static void encode_by_all(const json_t *row, const struct lrc_data_context *context)
{
    struct lrc_encoded encoded = { 0 };
    struct lrc_error   err;
    for (const struct lrc_data_format *const *format = lrc_data_format_all; *format; format++) {
        lrc_encoded_clear(&encoded);
        (void)(*format)->claims(row, context->spec);
        if ((*format)->encode(&encoded, context, row, &err) == LRC_STATUS_OK &&
            (int64_t)encoded.trained.len != encoded.ids.len)
            abort();
    }
    lrc_encoded_release(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct lrc_dataset_spec spec = { .path = "fuzz" };
    struct lrc_data_context context = { .spec = &spec, .vocab_size = 1000, .train_on_inputs = size % 2 == 1 };
    struct lrc_row_file           file = { 0 };
    struct lrc_problems           problems = { 0 };
    struct lrc_tokenizer         *tokenizer = NULL;
    struct lrc_template          *template = NULL;
    struct lrc_error              err;
    if (lrc_tokenizer_read_json(&tokenizer, tokenizer_json, strlen(tokenizer_json), "fuzz", &err) !=
            LRC_STATUS_OK ||
        lrc_template_parse(&template, template_text, strlen(template_text), "fuzz", &err) != LRC_STATUS_OK)
        abort();
    context.tokenizer = tokenizer;
    context.template = template;
    if (lrc_row_file_scan(&file, (const char *)data, size, "fuzz", &problems, &err) == LRC_STATUS_OK) {
        for (int64_t i = 0; i < file.n_rows; i++) {
            json_t *row;
            if (lrc_row_file_parse(&row, &file, i, &err) != LRC_STATUS_OK)
                continue;
            encode_by_all(row, &context);
            json_decref(row);
        }
    }
    lrc_row_file_close(&file);
    lrc_problems_release(&problems);
    lrc_template_free(template);
    lrc_tokenizer_free(tokenizer);
    return 0;
}
