#include "adapter/adapter.h"

#include "base/buf.h"
#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static struct lrc_linear_adapter *module_at(const struct lrc_adapter *adapter, int64_t layer, int module)
{
    return &adapter->modules[layer * LRC_MODULE_COUNT + module];
}

const struct lrc_linear_adapter *lrc_adapter_at(const struct lrc_adapter *adapter, int64_t layer,
                                                enum lrc_module module)
{
    if (!adapter)
        return NULL;
    const struct lrc_linear_adapter *found = module_at(adapter, layer, (int)module);
    return found->a.data ? found : NULL;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Shapes and scales of the chosen linears; a.shape[0] > 0 marks them until the memory is there. */
static enum lrc_status choose_modules(struct lrc_adapter *adapter, const struct lrc_model *model,
                                      struct lrc_error *err)
{
    adapter->first_layer = adapter->n_layers;
    for (int64_t layer = 0; layer < adapter->n_layers; layer++) {
        int64_t before_down = 0;
        for (int m = 0; m < LRC_MODULE_COUNT; m++) {
            char name[LRC_MODULE_NAME_MAX];
            int  targeted = 0;
            lrc_model_module_name(name, model, layer, (enum lrc_module)m);
            LRC_TRY(lrc_peft_targets(&targeted, &adapter->config, name, 0, err));
            if (!targeted)
                continue;
            int64_t r;
            double  alpha;
            LRC_TRY(lrc_peft_rank(&r, &alpha, &adapter->config, name, err));
            const struct lrc_weight   *weight = &model->layers[layer].linear[m].weight;
            struct lrc_linear_adapter *module = module_at(adapter, layer, m);
            module->a = lrc_tensor_2d(NULL, LRC_DTYPE_F32, r, weight->cols);
            module->b = lrc_tensor_2d(NULL, LRC_DTYPE_F32, weight->rows, r);
            module->scale = (float)(alpha / (adapter->config.use_rslora ? sqrt((double)r) : (double)r));
            adapter->n_params += r * (weight->rows + weight->cols);
            adapter->n_adapted++;
            adapter->ranks.any = larger(adapter->ranks.any, r);
            if (m == LRC_MODULE_DOWN)
                adapter->ranks.down = larger(adapter->ranks.down, r);
            else
                before_down += r;
            if (layer < adapter->first_layer)
                adapter->first_layer = layer;
        }
        adapter->ranks.before_down = larger(adapter->ranks.before_down, before_down);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status fail_no_target(const struct lrc_model *model, enum lrc_adapter_use use,
                                      struct lrc_error *err)
{
    struct lrc_buf list = { 0 };
    for (int m = 0; m < LRC_MODULE_COUNT; m++) {
        char name[LRC_MODULE_NAME_MAX];
        lrc_model_module_name(name, model, 0, (enum lrc_module)m);
        lrc_buf_printf(&list, "%s%s", m ? ", " : "", name);
    }
    const enum lrc_status status = lrc_fail(
        err, use == LRC_ADAPTER_TRAINING ? LRC_STATUS_CONFIG : LRC_STATUS_FORMAT,
        "%s: want at least one linear of the model, got none; layer 0 has %s",
        use == LRC_ADAPTER_TRAINING ? "lora_target_modules" : "adapter_config.json: 'target_modules'",
        lrc_buf_text(&list));
    lrc_buf_release(&list);
    return status;
}

/* all-linear is written to disk as the short names: PEFT matches them by suffix in every layer. */
static enum lrc_status expand_all_linear(struct lrc_peft_config *config, const struct lrc_model *model,
                                         struct lrc_error *err)
{
    if (!config->target_regex || strcasecmp(config->target_regex, "all-linear") != 0)
        return LRC_STATUS_OK;
    config->target_modules = lrc_calloc(LRC_MODULE_COUNT, sizeof *config->target_modules);
    if (!config->target_modules)
        return lrc_fail_nomem(err, "adapter targets");
    for (int m = 0; m < LRC_MODULE_COUNT; m++) {
        char name[LRC_MODULE_NAME_MAX];
        lrc_model_module_name(name, model, 0, (enum lrc_module)m);
        config->target_modules[m] = lrc_strdup(strrchr(name, '.') + 1);
        if (!config->target_modules[m])
            return lrc_fail_nomem(err, "adapter targets");
        config->n_target_modules = m + 1;
    }
    lrc_free(config->target_regex);
    config->target_regex = NULL;
    return LRC_STATUS_OK;
}

static void bind_memory(struct lrc_adapter *adapter)
{
    int64_t at = 0;
    for (int64_t i = 0; i < adapter->n_layers * LRC_MODULE_COUNT; i++) {
        struct lrc_linear_adapter *module = &adapter->modules[i];
        if (module->a.shape[0] == 0)
            continue;
        const int64_t n_a = lrc_tensor_elems(&module->a), n_b = lrc_tensor_elems(&module->b);
        module->a.data = adapter->values + at;
        module->b.data = adapter->values + at + n_a;
        module->d_a = module->a;
        module->d_b = module->b;
        module->d_a.data = adapter->grads ? adapter->grads + at : NULL;
        module->d_b.data = adapter->grads ? adapter->grads + at + n_a : NULL;
        at += n_a + n_b;
    }
}

enum lrc_status lrc_adapter_plan(struct lrc_adapter *adapter, const struct lrc_model *model,
                                 struct lrc_peft_config *config, enum lrc_adapter_use use,
                                 struct lrc_error *err)
{
    *adapter = (struct lrc_adapter){ .config = *config,
                                     .n_layers = model->config.n_layers,
                                     .device = model->device };
    *config = (struct lrc_peft_config){ 0 };
    adapter->arena.memory = model->device ? model->device->memory : NULL;
    adapter->modules = lrc_calloc(adapter->n_layers * LRC_MODULE_COUNT, sizeof *adapter->modules);
    if (!adapter->modules)
        return lrc_fail_nomem(err, "adapter modules");
    LRC_TRY(choose_modules(adapter, model, err));
    if (adapter->n_adapted == 0)
        return fail_no_target(model, use, err);
    LRC_TRY(expand_all_linear(&adapter->config, model, err));
    LRC_TRY(
        lrc_arena_plan(&adapter->arena, "adapter", &adapter->values, adapter->n_params, sizeof(float), err));
    if (use == LRC_ADAPTER_TRAINING)
        LRC_TRY(lrc_arena_plan(&adapter->arena, "adapter gradients", &adapter->grads, adapter->n_params,
                               sizeof(float), err));
    return LRC_STATUS_OK;
}

enum lrc_status lrc_adapter_commit(struct lrc_adapter *adapter, struct lrc_error *err)
{
    LRC_TRY(lrc_arena_commit(&adapter->arena, err));
    bind_memory(adapter);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_adapter_init(struct lrc_adapter *adapter, const struct lrc_model *model,
                                 struct lrc_peft_config *config, enum lrc_adapter_use use,
                                 struct lrc_error *err)
{
    LRC_TRY(lrc_adapter_plan(adapter, model, config, use, err));
    return lrc_adapter_commit(adapter, err);
}

void lrc_adapter_release(struct lrc_adapter *adapter)
{
    lrc_arena_release(&adapter->arena);
    lrc_free(adapter->modules);
    lrc_peft_config_release(&adapter->config);
    *adapter = (struct lrc_adapter){ 0 };
}

/* Box and Muller, in double: the two words of a pair give one number, so that element i needs nothing of i -
 * 1. */
static float normal_of(uint32_t word_a, uint32_t word_b)
{
    const double u = ((double)word_a + 1.0) * 0x1p-32, v = (double)word_b * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.28318530717958647692 * v));
}

/* In +-1/sqrt(columns): PyTorch's own start of a linear. */
static void fill_uniform(float *out, const struct lrc_tensor *shape, uint64_t key, uint64_t stream)
{
    const float bound = (float)(1.0 / sqrt((double)shape->shape[1]));
    for (int64_t e = 0, n = lrc_tensor_elems(shape); e < n; e++)
        out[e] = bound * (2.0f * lrc_rng_unit(lrc_rng_philox(key, stream, (uint64_t)e).word[0]) - 1.0f);
}

void lrc_adapter_reset(const struct lrc_adapter *adapter, float *values, uint64_t seed,
                       enum lrc_adapter_init_kind kind)
{
    memset(values, 0, (size_t)adapter->n_params * sizeof *values);
    for (int64_t i = 0; i < adapter->n_layers * LRC_MODULE_COUNT; i++) {
        const struct lrc_linear_adapter *module = &adapter->modules[i];
        if (!module->a.data)
            continue;
        const uint64_t key = lrc_rng_key(seed, LRC_RNG_ADAPTER_INIT, (uint32_t)(i / LRC_MODULE_COUNT),
                                         (uint32_t)(i % LRC_MODULE_COUNT));
        float         *a = values + ((const float *)module->a.data - adapter->values);
        if (kind != LRC_ADAPTER_GAUSSIAN)
            fill_uniform(a, &module->a, key, 0);
        for (int64_t e = 0, n = lrc_tensor_elems(&module->a); kind == LRC_ADAPTER_GAUSSIAN && e < n; e++) {
            const struct lrc_rng_block block = lrc_rng_philox(key, 0, (uint64_t)e);
            a[e] = normal_of(block.word[0], block.word[1]) / (float)module->a.shape[0];
        }
        if (kind == LRC_ADAPTER_RANDOM)
            fill_uniform(a + lrc_tensor_elems(&module->a), &module->b, key, 1);
    }
}

/* Calls visit(context, name in the file, tensor) for every A and B. */
typedef enum lrc_status visit_fn(void *context, const char *name, const struct lrc_tensor *value,
                                 const struct lrc_tensor *grad, struct lrc_error *err);

static enum lrc_status each_tensor(const struct lrc_adapter *adapter, const struct lrc_model *model,
                                   visit_fn *visit, void *context, struct lrc_error *err)
{
    for (int64_t i = 0; i < adapter->n_layers * LRC_MODULE_COUNT; i++) {
        struct lrc_linear_adapter *module = &adapter->modules[i];
        if (!module->a.data)
            continue;
        char module_name[LRC_MODULE_NAME_MAX], name[192];
        lrc_model_module_name(module_name, model, i / LRC_MODULE_COUNT,
                              (enum lrc_module)(i % LRC_MODULE_COUNT));
        (void)snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", module_name);
        LRC_TRY(visit(context, name, &module->a, &module->d_a, err));
        (void)snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", module_name);
        LRC_TRY(visit(context, name, &module->b, &module->d_b, err));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status add_trainable(void *context, const char *name, const struct lrc_tensor *value,
                                     const struct lrc_tensor *grad, struct lrc_error *err)
{
    struct lrc_trainables *trainables = context;
    (void)err;
    struct lrc_trainable *row = &trainables->rows[trainables->n];
    (void)snprintf(row->name, sizeof row->name, "%s", name);
    row->value = *value;
    row->grad = *grad;
    row->decays = 1;
    trainables->grads[trainables->n++] = *grad;
    trainables->n_elems += lrc_tensor_elems(value);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_adapter_trainables(struct lrc_trainables *trainables, const struct lrc_adapter *adapter,
                                       const struct lrc_model *model, struct lrc_error *err)
{
    *trainables = (struct lrc_trainables){ 0 };
    trainables->rows = lrc_calloc(2 * adapter->n_adapted, sizeof *trainables->rows);
    trainables->grads = lrc_calloc(2 * adapter->n_adapted, sizeof *trainables->grads);
    if (!trainables->rows || !trainables->grads)
        return lrc_fail_nomem(err, "trainables");
    trainables->grad_memory = adapter->grads;
    trainables->grad_bytes = (size_t)adapter->n_params * sizeof(float);
    return each_tensor(adapter, model, add_trainable, trainables, err);
}

struct loading {
    const struct lrc_adapter     *adapter;
    float                        *values;
    const struct lrc_safetensors *file;
    struct lrc_problems          *problems;
    int64_t                       n_found;
};

static enum lrc_status load_tensor(void *context, const char *name, const struct lrc_tensor *value,
                                   const struct lrc_tensor *grad, struct lrc_error *err)
{
    struct loading *loading = context;
    (void)grad;
    (void)err;
    const struct lrc_safetensors_entry *entry = lrc_safetensors_find(loading->file, name);
    if (!entry) {
        lrc_problems_add(loading->problems, "adapter_model.safetensors: want tensor '%s', got none", name);
        return LRC_STATUS_OK;
    }
    loading->n_found++;
    if (entry->n_dims != 2 || entry->shape[0] != value->shape[0] || entry->shape[1] != value->shape[1])
        lrc_problems_add(
            loading->problems,
            "adapter_model.safetensors: '%s': want shape (%lld, %lld), got %d dimensions (%lld, %lld)", name,
            (long long)value->shape[0], (long long)value->shape[1], entry->n_dims,
            entry->n_dims > 0 ? (long long)entry->shape[0] : 0LL,
            entry->n_dims > 1 ? (long long)entry->shape[1] : 0LL);
    else if (!lrc_dtype_is_float(entry->dtype))
        lrc_problems_add(loading->problems, "adapter_model.safetensors: '%s': want F32, F16 or BF16, got %s",
                         name, lrc_dtype_info[entry->dtype].name);
    else
        lrc_dtype_to_f32(loading->values + ((const float *)value->data - loading->adapter->values),
                         entry->data, entry->dtype, entry->n_elems);
    return LRC_STATUS_OK;
}

static enum lrc_status check_base(const struct lrc_safetensors *file, struct lrc_model *model,
                                  struct lrc_error *err)
{
    const char *recorded = lrc_safetensors_metadata(file, "lorica.base_sha256");
    if (!recorded)
        return LRC_STATUS_OK; /* made elsewhere: shapes decide */
    LRC_TRY(lrc_model_hash(model, err));
    if (strcmp(recorded, model->hash) != 0)
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "adapter_model.safetensors: want the base it was trained on (weights' SHA-256 "
                        "%.12s...), got %s (%.12s...)",
                        recorded, model->dir.path, model->hash);
    return LRC_STATUS_OK;
}

static enum lrc_status load_weights(const struct lrc_adapter *adapter, float *values, struct lrc_model *model,
                                    const char *path, struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_safetensors file;
    LRC_TRY(lrc_safetensors_open(&file, path, err));
    struct loading  loading = { adapter, values, &file, problems, 0 };
    enum lrc_status status = check_base(&file, model, err);
    if (status == LRC_STATUS_OK)
        status = each_tensor(adapter, model, load_tensor, &loading, err);
    for (int64_t i = 0; status == LRC_STATUS_OK && loading.n_found != file.n_entries && i < file.n_entries;
         i++) {
        const char *name = file.entries[i].name;
        int         known = 0;
        for (int64_t j = 0; j < adapter->n_layers * LRC_MODULE_COUNT && !known; j++) {
            char module[LRC_MODULE_NAME_MAX], a[192], b[192];
            if (!adapter->modules[j].a.data)
                continue;
            lrc_model_module_name(module, model, j / LRC_MODULE_COUNT,
                                  (enum lrc_module)(j % LRC_MODULE_COUNT));
            (void)snprintf(a, sizeof a, "base_model.model.%s.lora_A.weight", module);
            (void)snprintf(b, sizeof b, "base_model.model.%s.lora_B.weight", module);
            known = strcmp(name, a) == 0 || strcmp(name, b) == 0;
        }
        if (!known)
            lrc_problems_add(problems, "%s: want only tensors of the adapter, got '%s'", path, name);
    }
    if (status == LRC_STATUS_OK)
        status = lrc_problems_fail(problems, LRC_STATUS_FORMAT, path, err);
    lrc_safetensors_close(&file);
    return status;
}

enum lrc_status lrc_adapter_read(const struct lrc_adapter *adapter, float *values, struct lrc_model *model,
                                 const char *dir, struct lrc_problems *problems, struct lrc_error *err)
{
    char *path = lrc_path_join(dir, "adapter_model.safetensors");
    if (!path)
        return lrc_fail_nomem(err, dir);
    const enum lrc_status status = load_weights(adapter, values, model, path, problems, err);
    lrc_free(path);
    return status;
}

/* By way of the host's memory. */
static enum lrc_status read_to_device(const struct lrc_adapter *adapter, struct lrc_model *model,
                                      const char *dir, struct lrc_problems *problems, struct lrc_error *err)
{
    float *values = lrc_calloc(adapter->n_params, sizeof *values);
    if (!values)
        return lrc_fail_nomem(err, dir);
    enum lrc_status status = lrc_adapter_read(adapter, values, model, dir, problems, err);
    if (status == LRC_STATUS_OK)
        status = adapter->device->upload(NULL, adapter->values, values,
                                         (size_t)adapter->n_params * sizeof *values, err);
    if (status == LRC_STATUS_OK)
        status = adapter->device->synchronize(NULL, err);
    lrc_free(values);
    return status;
}

enum lrc_status lrc_adapter_load(struct lrc_adapter *adapter, struct lrc_model *model, const char *dir,
                                 enum lrc_adapter_use use, struct lrc_problems *problems,
                                 struct lrc_error *err)
{
    struct lrc_peft_config config;
    *adapter = (struct lrc_adapter){ 0 };
    LRC_TRY(lrc_peft_config_read(&config, dir, err));
    LRC_TRY(lrc_adapter_init(adapter, model, &config, use, err));
    return adapter->device ? read_to_device(adapter, model, dir, problems, err)
                           : lrc_adapter_read(adapter, adapter->values, model, dir, problems, err);
}

struct saving {
    const struct lrc_adapter    *adapter;
    const float                 *values;
    struct lrc_safetensors_spec *specs;
    char (*names)[192];
    int64_t n;
};

static enum lrc_status add_spec(void *context, const char *name, const struct lrc_tensor *value,
                                const struct lrc_tensor *grad, struct lrc_error *err)
{
    struct saving *saving = context;
    (void)grad;
    (void)err;
    (void)snprintf(saving->names[saving->n], sizeof saving->names[0], "%s", name);
    saving->specs[saving->n] = (struct lrc_safetensors_spec){
        saving->names[saving->n],
        LRC_DTYPE_F32,
        2,
        { value->shape[0], value->shape[1] },
        saving->values + ((const float *)value->data - saving->adapter->values),
    };
    saving->n++;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_adapter_save(const struct lrc_adapter *adapter, const float *values,
                                 struct lrc_model *model, const char *dir, struct lrc_error *err)
{
    LRC_TRY(lrc_model_hash(model, err));
    LRC_TRY(lrc_peft_config_write(&adapter->config, dir, err));

    enum lrc_status status = LRC_STATUS_OK;
    struct saving   saving = { .adapter = adapter, .values = values };
    saving.specs = lrc_calloc(2 * adapter->n_adapted, sizeof *saving.specs);
    saving.names = lrc_calloc(2 * adapter->n_adapted, sizeof *saving.names);
    char *path = lrc_path_join(dir, "adapter_model.safetensors");
    if (!saving.specs || !saving.names || !path) {
        status = lrc_fail_nomem(err, dir);
        goto done;
    }
    status = each_tensor(adapter, model, add_spec, &saving, err);
    if (status != LRC_STATUS_OK)
        goto done;
    const char *const metadata[] = { "lorica.base_sha256", model->hash, NULL };
    status = lrc_safetensors_write(path, saving.specs, saving.n, metadata, err);
done:
    lrc_free(saving.specs);
    lrc_free(saving.names);
    lrc_free(path);
    return status;
}
