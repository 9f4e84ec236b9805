/* Llama 2, 3, 3.1, 3.2 and what shares their code (TinyLlama, SmolLM). */
#include "model/model_family.h"

const struct lrc_model_family lrc_model_family_llama = {
    .model_type = "llama",
    .architecture = "LlamaForCausalLM",
    .source = "huggingface/transformers, models/llama/modeling_llama.py",
    .bias_qkv = LRC_BIAS_CONFIG,
    .bias_o = LRC_BIAS_CONFIG,
    .bias_mlp = LRC_BIAS_CONFIG,
    .sliding = LRC_SLIDING_NONE,
    .name_embedding = "model.embed_tokens.weight",
    .name_final_norm = "model.norm.weight",
    .name_output = "lm_head.weight",
    .name_norm_attention = "model.layers.%d.input_layernorm.weight",
    .name_norm_mlp = "model.layers.%d.post_attention_layernorm.weight",
    .name_module = {
        [LRC_MODULE_Q] = "model.layers.%d.self_attn.q_proj",
        [LRC_MODULE_K] = "model.layers.%d.self_attn.k_proj",
        [LRC_MODULE_V] = "model.layers.%d.self_attn.v_proj",
        [LRC_MODULE_O] = "model.layers.%d.self_attn.o_proj",
        [LRC_MODULE_GATE] = "model.layers.%d.mlp.gate_proj",
        [LRC_MODULE_UP] = "model.layers.%d.mlp.up_proj",
        [LRC_MODULE_DOWN] = "model.layers.%d.mlp.down_proj",
    },
};
