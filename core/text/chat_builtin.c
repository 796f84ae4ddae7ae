/* chat_builtin.c - the chat forms that are built in: short templates in our own words, run like any other.
 *
 * For models that come without a template, or with one that cannot be run. Each takes content as a text or as parts of
 * which the texts count; roles it does not know are written as the user's. Order matters to qs_chat_template_guess: of
 * two forms that share a token, the one with a token of its own comes first.
 */
#include "core/text/chat.h"

/* The text of a message's content. */
#define TEXT \
    "{%- macro text(c) -%}{%- if c is string -%}{{ c }}{%- elif c -%}{%- for p in c if p.type == 'text' -%}" \
    "{{ p.text }}{%- endfor -%}{%- endif -%}{%- endmacro -%}"

/* `system`: the first message's content when it is the system's; `turns`: what is left. */
#define SYSTEM_APART \
    TEXT "{%- set system = '' -%}{%- set turns = messages -%}" \
    "{%- if messages and messages[0].role == 'system' -%}" \
    "{%- set system = text(messages[0].content) -%}{%- set turns = messages[1:] -%}{%- endif -%}"

static const struct qs_chat_builtin forms[] = {
    { "harmony", "gpt-oss", "<|channel|>", "<|return|>",
      TEXT "{%- for m in messages -%}"
      "{%- set role = 'developer' if m.role == 'system' else m.role -%}"
      "{{ '<|start|>' ~ role ~ ('<|channel|>final' if role == 'assistant' else '') ~ '<|message|>' ~ text(m.content) ~"
      " '<|end|>' }}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|start|>assistant' }}{%- endif -%}" },
    { "phi4", "Phi 4", "<|im_sep|>", "<|im_end|>",
      TEXT "{%- for m in messages -%}{{ '<|im_start|>' ~ m.role ~ '<|im_sep|>' ~ text(m.content) ~ '<|im_end|>' }}"
      "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant<|im_sep|>' }}{%- endif -%}" },
    { "chatml", "Qwen, SmolLM, Hermes, Yi and many others", "<|im_start|>", "<|im_end|>",
      TEXT "{%- for m in messages -%}{{ '<|im_start|>' ~ m.role ~ '\\n' ~ text(m.content) ~ '<|im_end|>\\n' }}"
      "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}" },
    { "llama3", "Llama 3, 3.1, 3.2, 3.3", "<|start_header_id|>", "<|eot_id|>",
      TEXT "{{ bos_token }}{%- for m in messages -%}"
      "{{ '<|start_header_id|>' ~ m.role ~ '<|end_header_id|>\\n\\n' ~ text(m.content).strip() ~ '<|eot_id|>' }}"
      "{%- endfor -%}"
      "{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}" },
    { "gemma", "Gemma 1, 2 and 3 (a system message goes before the first of the user)", "<start_of_turn>",
      "<end_of_turn>",
      SYSTEM_APART "{{ bos_token }}{%- for m in turns -%}"
      "{{ '<start_of_turn>' ~ ('model' if m.role == 'assistant' else 'user') ~ '\\n' ~"
      " (system ~ '\\n\\n' if loop.first and system else '') ~ text(m.content).strip() ~ '<end_of_turn>\\n' }}"
      "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}" },
    { "granite", "Granite 3 and 4", "<|start_of_role|>", "<|end_of_text|>",
      TEXT "{%- for m in messages -%}"
      "{{ '<|start_of_role|>' ~ m.role ~ '<|end_of_role|>' ~ text(m.content) ~ '<|end_of_text|>\\n' }}"
      "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif -%}" },
    { "deepseek", "DeepSeek V3, R1 and what was distilled from them", "<\uFF5CUser\uFF5C>",
      "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
      SYSTEM_APART "{{ bos_token ~ system }}{%- for m in turns -%}"
      "{%- if m.role == 'assistant' -%}"
      "{{ '<\uFF5CAssistant\uFF5C>' ~ text(m.content) ~ '<\uFF5Cend\u2581of\u2581sentence\uFF5C>' }}"
      "{%- else -%}{{ '<\uFF5CUser\uFF5C>' ~ text(m.content) }}{%- endif -%}{%- endfor -%}"
      "{%- if add_generation_prompt -%}{{ '<\uFF5CAssistant\uFF5C>' }}{%- endif -%}" },
    { "command-r", "Command R", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>",
      TEXT "{{ bos_token }}{%- for m in messages -%}"
      "{%- set who = {'system': 'SYSTEM', 'assistant': 'CHATBOT'}.get(m.role, 'USER') -%}"
      "{{ '<|START_OF_TURN_TOKEN|><|' ~ who ~ '_TOKEN|>' ~ text(m.content) ~ '<|END_OF_TURN_TOKEN|>' }}{%- endfor -%}"
      "{%- if add_generation_prompt -%}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{%- endif -%}" },
    { "phi3", "Phi 3 and 3.5", "<|end|>", "<|end|>",
      TEXT "{%- for m in messages -%}{{ '<|' ~ m.role ~ '|>\\n' ~ text(m.content) ~ '<|end|>\\n' }}{%- endfor -%}"
      "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}" },
    { "mistral", "Mistral and Mixtral Instruct (a system message goes before the last of the user)", "[INST]", NULL,
      SYSTEM_APART "{{ bos_token }}{%- for m in turns -%}{%- if m.role == 'assistant' -%}"
      "{{ ' ' ~ text(m.content) ~ eos_token }}{%- else -%}"
      "{{ '[INST] ' ~ (system ~ '\\n\\n' if loop.revindex0 < 1 and system else '') ~ text(m.content) ~ '[/INST]' }}"
      "{%- endif -%}{%- endfor -%}" },
    { "llama2", "Llama 2 Chat", NULL, NULL,
      SYSTEM_APART "{%- for m in turns -%}{%- if m.role == 'assistant' -%}"
      "{{ ' ' ~ text(m.content).strip() ~ ' ' ~ eos_token }}{%- else -%}"
      "{{ bos_token ~ '[INST] ' ~ ('<<SYS>>\\n' ~ system ~ '\\n<</SYS>>\\n\\n' if loop.first and system else '') ~"
      " text(m.content).strip() ~ ' [/INST]' }}{%- endif -%}{%- endfor -%}" },
    { "zephyr", "Zephyr, TinyLlama Chat, StableLM", NULL, NULL,
      TEXT "{%- for m in messages -%}{{ '<|' ~ m.role ~ '|>\\n' ~ text(m.content) ~ eos_token ~ '\\n' }}{%- endfor -%}"
      "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}" },
    { "tulu", "OLMo 2, Tulu", NULL, NULL,
      TEXT "{{ bos_token }}{%- for m in messages -%}"
      "{{ '<|' ~ m.role ~ '|>\\n' ~ text(m.content) ~ (eos_token if m.role == 'assistant' else '') ~ '\\n' }}"
      "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}" },
    { "vicuna", "Vicuna", NULL, NULL,
      SYSTEM_APART "{{ bos_token ~ (system ~ ' ' if system else '') }}{%- for m in turns -%}"
      "{%- if m.role == 'assistant' -%}{{ ' ASSISTANT: ' ~ text(m.content) ~ eos_token }}"
      "{%- else -%}{{ 'USER: ' ~ text(m.content) }}{%- endif -%}{%- endfor -%}"
      "{%- if add_generation_prompt -%}{{ ' ASSISTANT:' }}{%- endif -%}" },
    { "plain", "models that know no chat: names before the texts", NULL, NULL,
      TEXT "{{ bos_token }}{%- for m in messages -%}"
      "{{ m.role.capitalize() ~ ': ' ~ text(m.content) ~ '\\n\\n' }}{%- endfor -%}"
      "{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}" },
};

const struct qs_chat_builtin *qs_chat_builtins(size_t *n)
{
    *n = sizeof forms / sizeof *forms;
    return forms;
}
