/* Prompt formats in our own words: what the model families publish, without their tools. A run that wants the
 * model's own template takes it from the model's folder. Each marks what the assistant says with {%
 * generation %}. */
#include "template/builtin.h"

#include <stddef.h>

/* A system message joins the first user message; the rest must alternate. Sets system and turns. */
#define SPLIT_SYSTEM                                                                                         \
    "{%- set system = '' -%}{%- set turns = messages -%}\n"                                                  \
    "{%- if messages and messages[0].role == 'system' -%}\n"                                                 \
    "{%- set system = messages[0].content -%}{%- set turns = messages[1:] -%}\n"                             \
    "{%- endif -%}\n"

#define WANT_ALTERNATION                                                                                     \
    "{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}\n"                                              \
    "{{ raise_exception('want turns of user and assistant in alternation') }}\n"                             \
    "{%- endif -%}\n"

static const char chatml[] =
    "{%- for m in messages -%}\n"
    "{{ '<|im_start|>' + m.role + '\\n' }}\n"
    "{%- if m.role == 'assistant' -%}\n"
    "{%- generation -%}{{ m.content + '<|im_end|>' }}{%- endgeneration -%}{{ '\\n' }}\n"
    "{%- else -%}\n"
    "{{ m.content + '<|im_end|>\\n' }}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}\n";

static const char llama2[] =
    SPLIT_SYSTEM "{%- for m in turns -%}\n" WANT_ALTERNATION "{%- if m.role == 'user' -%}\n"
                 "{%- set text = m.content -%}\n"
                 "{%- if loop.first and system -%}{%- set text = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' "
                 "+ text -%}{%- endif -%}\n"
                 "{{ bos_token ~ '[INST] ' ~ text.strip() ~ ' [/INST]' }}\n"
                 "{%- else -%}\n"
                 "{{ ' ' }}{%- generation -%}{{ m.content.strip() ~ ' ' ~ eos_token }}{%- endgeneration -%}\n"
                 "{%- endif -%}\n"
                 "{%- endfor -%}\n";

static const char llama3[] = "{{- bos_token -}}\n"
                             "{%- for m in messages -%}\n"
                             "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' }}\n"
                             "{%- if m.role == 'assistant' -%}\n"
                             "{%- generation -%}{{ m.content | trim + '<|eot_id|>' }}{%- endgeneration -%}\n"
                             "{%- else -%}\n"
                             "{{ m.content | trim + '<|eot_id|>' }}\n"
                             "{%- endif -%}\n"
                             "{%- endfor -%}\n"
                             "{%- if add_generation_prompt -%}{{ "
                             "'<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}\n";

static const char mistral[] = SPLIT_SYSTEM
    "{{- bos_token -}}\n"
    "{%- for m in turns -%}\n" WANT_ALTERNATION "{%- if m.role == 'user' -%}\n"
    "{{ '[INST] ' ~ (system + '\\n\\n' if loop.last and system else '') ~ m.content ~ '[/INST]' }}\n"
    "{%- else -%}\n"
    "{{ ' ' }}{%- generation -%}{{ m.content | trim ~ eos_token }}{%- endgeneration -%}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n";

static const char zephyr[] = "{%- for m in messages -%}\n"
                             "{{ '<|' + m.role + '|>\\n' }}\n"
                             "{%- if m.role == 'assistant' -%}\n"
                             "{%- generation -%}{{ m.content ~ eos_token }}{%- endgeneration -%}{{ '\\n' }}\n"
                             "{%- else -%}\n"
                             "{{ m.content ~ eos_token ~ '\\n' }}\n"
                             "{%- endif -%}\n"
                             "{%- endfor -%}\n"
                             "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}\n";

static const char gemma[] = SPLIT_SYSTEM
    "{{- bos_token -}}\n"
    "{%- for m in turns -%}\n" WANT_ALTERNATION
    "{%- set text = (system + '\\n\\n' if loop.first and system else '') + m.content | trim -%}\n"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' }}\n"
    "{%- if m.role == 'assistant' -%}\n"
    "{%- generation -%}{{ text + '<end_of_turn>' }}{%- endgeneration -%}{{ '\\n' }}\n"
    "{%- else -%}\n"
    "{{ text + '<end_of_turn>\\n' }}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}\n";

static const char phi3[] =
    "{%- for m in messages -%}\n"
    "{{ '<|' + m.role + '|>\\n' }}\n"
    "{%- if m.role == 'assistant' -%}\n"
    "{%- generation -%}{{ m.content + '<|end|>' }}{%- endgeneration -%}{{ '\\n' }}\n"
    "{%- else -%}\n"
    "{{ m.content + '<|end|>\\n' }}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- else -%}{{ eos_token }}{%- endif -%}\n";

static const char alpaca[] =
    "{{- bos_token -}}\n"
    "{%- for m in messages -%}\n"
    "{%- if m.role == 'system' -%}\n"
    "{{ m.content }}\n"
    "{%- elif m.role == 'user' -%}\n"
    "{{ '### Instruction:\\n' + m.content }}\n"
    "{%- else -%}\n"
    "{{ '### Response:\\n' }}{%- generation -%}{{ m.content ~ eos_token }}{%- endgeneration -%}\n"
    "{%- endif -%}\n"
    "{%- if not loop.last -%}{{ '\\n\\n' }}{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{ '\\n\\n### Response:\\n' }}{%- endif -%}\n";

static const char phi4[] =
    "{%- for m in messages -%}\n"
    "{{ '<|im_start|>' + m.role + '<|im_sep|>' }}\n"
    "{%- if m.role == 'assistant' -%}\n"
    "{%- generation -%}{{ m.content + '<|im_end|>' }}{%- endgeneration -%}\n"
    "{%- else -%}\n"
    "{{ m.content + '<|im_end|>' }}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant<|im_sep|>' }}{%- endif -%}\n";

static const char vicuna[] =
    "{%- for m in messages -%}\n"
    "{%- if m.role == 'system' -%}\n"
    "{{ m.content + '\\n\\n' }}\n"
    "{%- elif m.role == 'user' -%}\n"
    "{{ 'USER: ' + m.content + '\\n' }}\n"
    "{%- else -%}\n"
    "{{ 'ASSISTANT:' }}{%- generation -%}{{ ' ' + m.content ~ eos_token }}{%- endgeneration -%}{{ '\\n' }}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}\n";

const struct lrc_builtin lrc_builtin_all[] = {
    { "alpaca", NULL, alpaca }, { "chatml", NULL, chatml }, { "gemma", NULL, gemma },
    { "llama2", NULL, llama2 }, { "llama3", NULL, llama3 }, { "mistral", "mistral_v2v3", mistral },
    { "phi3", "phi_3", phi3 },  { "phi4", "phi_4", phi4 },  { "vicuna", NULL, vicuna },
    { "zephyr", NULL, zephyr }, { NULL, NULL, NULL },
};
