/* A model family: how one published architecture maps onto the one forward and backward walk. A
 * description, not code. */
#ifndef LRC_MODEL_MODEL_FAMILY_H
#define LRC_MODEL_MODEL_FAMILY_H

/* The linear layers of a block, in the order they are loaded, adapted and stored. */
enum lrc_module {
    LRC_MODULE_Q,
    LRC_MODULE_K,
    LRC_MODULE_V,
    LRC_MODULE_O,
    LRC_MODULE_GATE,
    LRC_MODULE_UP,
    LRC_MODULE_DOWN,
    LRC_MODULE_COUNT
};

enum lrc_bias_rule {
    LRC_BIAS_NEVER,
    LRC_BIAS_ALWAYS,
    LRC_BIAS_CONFIG
}; /* CONFIG: attention_bias, mlp_bias in config.json */

/* Which layers look back at most sliding_window rows. */
enum lrc_sliding_rule {
    LRC_SLIDING_NONE,
    LRC_SLIDING_ALL,        /* every layer, when sliding_window is set */
    LRC_SLIDING_FROM_LAYER, /* when use_sliding_window: layers from max_window_layers on, or by layer_types */
};

struct lrc_model_family {
    const char *model_type;   /* `model_type` in config.json */
    const char *architecture; /* first of `architectures` */
    const char *source;       /* where layer order and tensor names were read */

    enum lrc_bias_rule    bias_qkv, bias_o, bias_mlp;
    enum lrc_sliding_rule sliding;

    /* Tensor names; %d is the layer. Module names are without ".weight". */
    const char *name_embedding;
    const char *name_final_norm;
    const char *name_output; /* absent from the file when tied */
    const char *name_norm_attention;
    const char *name_norm_mlp;
    const char *name_module[LRC_MODULE_COUNT];
};

/* Tensor names of Llama, which most families keep. */
#define LRC_MODEL_LLAMA_NAMES                                            \
    .name_embedding = "model.embed_tokens.weight",                       \
    .name_final_norm = "model.norm.weight",                              \
    .name_output = "lm_head.weight",                                     \
    .name_norm_attention = "model.layers.%d.input_layernorm.weight",     \
    .name_norm_mlp = "model.layers.%d.post_attention_layernorm.weight",  \
    .name_module = {                                                     \
        [LRC_MODULE_Q] = "model.layers.%d.self_attn.q_proj",             \
        [LRC_MODULE_K] = "model.layers.%d.self_attn.k_proj",             \
        [LRC_MODULE_V] = "model.layers.%d.self_attn.v_proj",             \
        [LRC_MODULE_O] = "model.layers.%d.self_attn.o_proj",             \
        [LRC_MODULE_GATE] = "model.layers.%d.mlp.gate_proj",             \
        [LRC_MODULE_UP] = "model.layers.%d.mlp.up_proj",                 \
        [LRC_MODULE_DOWN] = "model.layers.%d.mlp.down_proj",             \
    }

extern const struct lrc_model_family *const lrc_model_family_all[]; /* generated; NULL-terminated */

/* NULL when no family claims model_type. */
const struct lrc_model_family *lrc_model_family_find(const char *model_type);

#endif
