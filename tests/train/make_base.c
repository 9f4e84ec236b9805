/* A base model with random weights in bf16, for the runs of a test: make_base DIR SHAPE, where SHAPE is
 * "hidden layers intermediate heads kv_heads head_dim vocabulary tied positions". */
#include "base/alloc.h"
#include "formats/safetensors.h"
#include "model/synthetic.h"

#include <stdio.h>
#include <string.h>

static enum lrc_status write_config(const char *dir, const struct lrc_model *model, struct lrc_error *err)
{
    const struct lrc_model_config *c = &model->config;
    struct lrc_buf                 text = { 0 };
    lrc_buf_printf(
        &text,
        "{\"model_type\": \"llama\", \"hidden_size\": %lld, \"num_hidden_layers\": %lld, "
        "\"intermediate_size\": %lld, \"num_attention_heads\": %lld, \"num_key_value_heads\": %lld, "
        "\"head_dim\": %lld, \"vocab_size\": %lld, \"tie_word_embeddings\": %s, "
        "\"max_position_embeddings\": %lld, \"rms_norm_eps\": 1e-05, \"hidden_act\": \"silu\", "
        "\"dtype\": \"bfloat16\"}\n",
        (long long)c->hidden_size, (long long)c->n_layers, (long long)c->intermediate_size,
        (long long)c->n_heads, (long long)c->n_kv_heads, (long long)c->head_dim, (long long)c->vocab_size,
        c->tied ? "true" : "false", (long long)c->max_positions);
    char           *path = lrc_path_join(dir, "config.json");
    enum lrc_status status = path ? lrc_buf_check(&text, err) : lrc_fail_nomem(err, dir);
    if (status == LRC_STATUS_OK)
        status = lrc_file_write(path, text.data, text.len, err);
    lrc_free(path);
    lrc_buf_release(&text);
    return status;
}

static int64_t count_tensors(struct lrc_model *model)
{
    struct lrc_model_tensor tensor;
    int64_t                 n = 0;
    while (lrc_model_tensor_at(&tensor, model, n))
        n++;
    return n;
}

static enum lrc_status write_weights(const char *dir, struct lrc_model *model, struct lrc_error *err)
{
    const int64_t                n = count_tensors(model);
    struct lrc_model_tensor     *tensors = lrc_calloc(n, sizeof *tensors);
    struct lrc_safetensors_spec *specs = lrc_calloc(n, sizeof *specs);
    char                        *path = lrc_path_join(dir, "model.safetensors");
    enum lrc_status              status = tensors && specs && path ? LRC_STATUS_OK : lrc_fail_nomem(err, dir);
    for (int64_t i = 0; status == LRC_STATUS_OK && i < n; i++) {
        (void)lrc_model_tensor_at(&tensors[i], model, i);
        specs[i] = (struct lrc_safetensors_spec){
            .name = tensors[i].name,
            .dtype = LRC_DTYPE_BF16,
            .n_dims = tensors[i].n_dims,
            .shape = { tensors[i].shape[0], tensors[i].shape[1] },
            .data = tensors[i].weight ? tensors[i].weight->data : tensors[i].vector->data,
        };
    }
    if (status == LRC_STATUS_OK)
        status = lrc_safetensors_write(path, specs, n, NULL, err);
    lrc_free(path);
    lrc_free(specs);
    lrc_free(tensors);
    return status;
}

static enum lrc_status make(const char *dir, const char *text, struct lrc_error *err)
{
    struct lrc_model_shape shape = { .name = "base", .rope_theta = 1e4 };
    struct lrc_model       model = { 0 };
    long long              v[9];
    if (sscanf(text, "%lld %lld %lld %lld %lld %lld %lld %lld %lld", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5],
               &v[6], &v[7], &v[8]) != 9)
        return lrc_fail(err, LRC_STATUS_USAGE, "shape: want nine numbers, got '%s'", text);
    shape.hidden = v[0], shape.n_layers = v[1], shape.intermediate = v[2], shape.n_heads = v[3];
    shape.n_kv_heads = v[4], shape.head_dim = v[5], shape.vocab = v[6], shape.tied = v[7] != 0;
    const struct lrc_synthetic_options options = { .dtype = LRC_DTYPE_BF16, .n_positions = v[8] };
    enum lrc_status                    status = lrc_model_synthetic(&model, &shape, &options, err);
    if (status == LRC_STATUS_OK)
        status = lrc_dir_make(dir, err);
    if (status == LRC_STATUS_OK)
        status = write_config(dir, &model, err);
    if (status == LRC_STATUS_OK)
        status = write_weights(dir, &model, err);
    lrc_model_release(&model);
    return status;
}

int main(int n_arguments, char **arguments)
{
    struct lrc_error err = { 0 };
    if (n_arguments == 3 && make(arguments[1], arguments[2], &err) == LRC_STATUS_OK)
        return 0;
    (void)fprintf(stderr, "make_base DIR SHAPE: %s\n", err.message);
    return 1;
}
