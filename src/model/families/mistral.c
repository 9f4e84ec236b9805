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
    LRC_MODEL_LLAMA_NAMES,
};
