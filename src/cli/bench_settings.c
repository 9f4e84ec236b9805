#include "cli/bench_settings.h"

#include "base/file.h"
#include "base/json.h"
#include "config/config.h"
#include "model/model_config.h"

#include <string.h>

static enum lrc_status read_base(struct lrc_model_shape *shape, const char *base,
                                 struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_model_config model = { 0 };
    json_t                 *json = NULL;
    char                   *path = lrc_path_join(base, "config.json");
    if (!path)
        return lrc_fail_nomem(err, base);
    enum lrc_status status = lrc_json_load(&json, path, err);
    if (status == LRC_STATUS_OK)
        status = lrc_model_config_read(&model, json, NULL, problems, err);
    if (status == LRC_STATUS_OK)
        *shape = (struct lrc_model_shape){ .name = "config",
                                           .hidden = model.hidden_size,
                                           .n_layers = model.n_layers,
                                           .intermediate = model.intermediate_size,
                                           .n_heads = model.n_heads,
                                           .n_kv_heads = model.n_kv_heads,
                                           .head_dim = model.head_dim,
                                           .vocab = model.vocab_size,
                                           .tied = model.tied,
                                           .rope_theta = model.rope.theta };
    lrc_model_config_release(&model);
    json_decref(json);
    lrc_free(path);
    return status;
}

const char *const lrc_bench_ckpt_words[] = { [LRC_BENCH_CKPT_OFF] = "off",
                                             [LRC_BENCH_CKPT_ON] = "on",
                                             [LRC_BENCH_CKPT_OFFLOAD] = "offload",
                                             [LRC_BENCH_CKPT_OFFLOAD_ALL] = "offload-all" };

static enum lrc_status read_ckpt(enum lrc_bench_ckpt *ckpt, const char *word, struct lrc_error *err)
{
    for (int i = LRC_BENCH_CKPT_OFF; i <= LRC_BENCH_CKPT_OFFLOAD_ALL; i++)
        if (strcmp(word, lrc_bench_ckpt_words[i]) == 0) {
            *ckpt = (enum lrc_bench_ckpt)i;
            return LRC_STATUS_OK;
        }
    return lrc_fail(err, LRC_STATUS_USAGE, "--ckpt: want off, on, offload or offload-all, got '%s'", word);
}

static enum lrc_bench_ckpt ckpt_of(const struct lrc_config *config)
{
    if (strcmp(config->gradient_checkpointing, "true") != 0)
        return LRC_BENCH_CKPT_OFF;
    if (!config->activation_offloading)
        return LRC_BENCH_CKPT_ON;
    return config->embedding_offloading && config->optimizer_offloading ? LRC_BENCH_CKPT_OFFLOAD_ALL
                                                                        : LRC_BENCH_CKPT_OFFLOAD;
}

static enum lrc_status read_config(struct lrc_bench_settings *s, const char *path,
                                   struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_config config = { 0 };
    enum lrc_status   status = lrc_config_load(&config, path, NULL, 0, problems, err);
    if (status == LRC_STATUS_OK && strcmp(config.adapter, "full") == 0)
        status = lrc_fail(err, LRC_STATUS_CONFIG,
                          "%s: adapter: want lora or qlora, got full: bench trains adapters", path);
    if (status == LRC_STATUS_OK)
        status = read_base(&s->shape, config.base_model, problems, err);
    if (status == LRC_STATUS_OK) {
        const int is_4bit = config.load_in_4bit || strcmp(config.adapter, "qlora") == 0;
        s->mode = is_4bit ? "nf4" : strcmp(config.bf16, "false") == 0 ? "f32" : "bf16";
        s->batch = config.micro_batch_size;
        s->seq = config.sequence_len;
        s->rank = config.lora_r > 0 ? config.lora_r : s->rank;
        s->ckpt = ckpt_of(&config);
    }
    lrc_config_release(&config);
    return status;
}

enum lrc_status lrc_bench_settings_read(struct lrc_bench_settings *s, const struct lrc_cli *cli,
                                        struct lrc_problems *problems, struct lrc_error *err)
{
    const char *shape = lrc_cli_option(cli, "shape"), *ckpt = lrc_cli_option(cli, "ckpt");
    const char *mode = lrc_cli_option(cli, "mode"), *label = lrc_cli_option(cli, "label");
    const char *targets = lrc_cli_option(cli, "targets");
    *s = (struct lrc_bench_settings){ .mode = "bf16",
                                      .label = label ? label : "",
                                      .targets = targets ? targets : "all",
                                      .shape = *lrc_model_shape_find("p1"),
                                      .batch = 4,
                                      .seq = 512,
                                      .rank = 16,
                                      .steps = 5,
                                      .warmup = 2 };
    if (cli->n_arguments > 0)
        LRC_TRY(read_config(s, cli->arguments[0], problems, err));
    const struct lrc_model_shape *found = shape ? lrc_model_shape_find(shape) : &s->shape;
    if (!found)
        lrc_problems_add(problems, "--shape: want p1, 1b, 3b, 8b, small or tiny, got '%.80s'", shape);
    else
        s->shape = *found;
    s->mode = mode ? mode : s->mode;
    if (ckpt)
        LRC_TRY(read_ckpt(&s->ckpt, ckpt, err));
    if (strcmp(s->mode, "bf16") != 0 && strcmp(s->mode, "nf4") != 0 && strcmp(s->mode, "f32") != 0)
        lrc_problems_add(problems, "--mode: want bf16, nf4 or f32, got '%.80s'", s->mode);
    LRC_TRY(lrc_cli_note(problems, lrc_cli_int(cli, "batch", &s->batch, 1, 1024, err), err));
    LRC_TRY(lrc_cli_note(problems, lrc_cli_int(cli, "seq", &s->seq, 2, 1 << 20, err), err));
    LRC_TRY(lrc_cli_note(problems, lrc_cli_int(cli, "rank", &s->rank, 1, 4096, err), err));
    LRC_TRY(lrc_cli_note(problems, lrc_cli_int(cli, "steps", &s->steps, 1, LRC_BENCH_STEPS_MAX, err), err));
    LRC_TRY(lrc_cli_note(problems, lrc_cli_int(cli, "warmup", &s->warmup, 0, LRC_BENCH_STEPS_MAX, err), err));
    return lrc_problems_fail(problems, LRC_STATUS_USAGE, "command line", err);
}

enum lrc_status lrc_bench_targets(struct lrc_peft_config *peft, const char *name, struct lrc_error *err)
{
    static const struct {
        const char *name, *regex;
    } sets[] = {
        { "all", "all-linear" },
        { "attn", ".*\\.(q_proj|k_proj|v_proj|o_proj)" },
        { "mlp", ".*\\.(gate_proj|up_proj|down_proj)" },
        { "qv", ".*\\.(q_proj|v_proj)" },
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (strcmp(sets[i].name, name) == 0) {
            peft->target_regex = lrc_strdup(sets[i].regex);
            return peft->target_regex ? LRC_STATUS_OK : lrc_fail_nomem(err, "bench");
        }
    return lrc_fail(err, LRC_STATUS_USAGE, "--targets: want all, attn, mlp or qv, got '%s'", name);
}
