/* Mistral 7B and Nemo: Llama with an optional window on every layer. */
#include "model/model_family.h"

const struct lrc_model_family lrc_model_family_mistral = {
    .model_type = "mistral",
    .architecture = "MistralForCausalLM",
    .source = "huggingface/transformers, models/mistral/modeling_mistral.py",
    .bias_qkv = LRC_BIAS_NEVER,
    .bias_o = LRC_BIAS_NEVER,
    .bias_mlp = LRC_BIAS_NEVER,
    .sliding = LRC_SLIDING_ALL,
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
