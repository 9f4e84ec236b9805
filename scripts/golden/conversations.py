"""Makes conversations.json: our own chat templates over conversations of every shape, as transformers renders them.

    pip install transformers==5.24.0 jinja2==3.1.6
    python scripts/golden/conversations.py tests/golden

Each case is a template, a conversation, a prompt (0: none, 1: add_generation_prompt, 2: continue_final_message), the
text (null: an error) and the spans of {% generation %} in bytes.
"""
import copy
import datetime
import json
import logging
import os
import sys

from transformers.utils import chat_template_utils as utils

logging.disable(logging.CRITICAL)


class Fixed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


utils.datetime = Fixed

TEMPLATES = {
    "marked turns, tools in the system turn": """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- 'Tools:' }}
    {%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role in ['user', 'developer'] or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant' }}
        {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
        {%- for call in message.tool_calls %}
            {%- if call.function is defined %}{%- set call = call.function %}{%- endif %}
            {{- '\\n<call>{"name": "' ~ call.name ~ '", "arguments": ' }}
            {%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}
            {{- '}</call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<result>' ~ message.content ~ '</result>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
""",
    "thoughts behind the last question only": """\
{%- set ns = namespace(last=messages|length - 1, searching=true) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == 'user' and message.content is string and not message.content.startswith('<result>') %}
        {%- set ns.searching = false %}{%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role != 'assistant' %}
        {{- '<' ~ message.role ~ '>' ~ content ~ '</s>\\n' }}
    {%- else %}
        {%- set thought = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<assistant>' }}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- content ~ '</s>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<assistant>' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
""",
    "alternating, the system message in the first turn": """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}{% set turns = messages[1:] %}
{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}
{%- for m in turns %}
    {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate, got ' ~ m['role']) }}
    {%- endif %}
    {%- if m['role'] == 'user' %}
        {{- '[INST] ' + (system + '\\n\\n' if loop.first and system else '') + (m['content'] | trim) + ' [/INST]' }}
    {%- elif m['role'] == 'assistant' %}
        {{- ' ' + m['content'] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
""",
    "content as text or as parts": """\
{%- macro show(content) -%}
    {%- if content is string -%}{{ content }}
    {%- elif content is iterable and content is not mapping -%}
        {%- for part in content -%}
            {%- if part['type'] == 'image' -%}<image>
            {%- elif 'text' in part -%}{{ part.text }}{% endif -%}
            {%- if not loop.last %}|{% endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{% for message in messages %}<|{{ message.role | upper }}|>{{ show(message.content) }}{% if message.name %}({{ message.name }}){% endif %}<|end|>
{% endfor %}{% if documents %}{% for d in documents %}{{ loop.index }}. {{ d.title }}: {{ d.text }}
{% endfor %}{% endif %}{% if add_generation_prompt %}<|ASSISTANT|>{% endif -%}
""",
    "a date, tools printed wide, what is said is marked": """\
{{- bos_token -}}Today is {{ strftime_now('%d %b %Y') if date_string is not defined else date_string }}.
{% if tools is not none and tools | length > 0 %}{{ tools | tojson(indent=2) }}
{% endif %}
{%- for m in messages -%}
    {{- '<|' ~ m['role'] ~ '|>' -}}
    {%- if m['role'] == 'assistant' -%}
        {%- generation -%}
        {{- m['content'] -}}
        {%- if m.get('tool_calls') -%}{{- m['tool_calls'] | map(attribute='function.name') | join(', ') -}}{%- endif -%}
        {{- '<|eot|>' -}}
        {%- endgeneration -%}
    {%- else -%}
        {{- m['content'] ~ '<|eot|>' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
""",
    "thoughts under the other name, everything printed": """\
{% for m in messages %}{{ m.role }}{% if m.thinking is defined %} thinks {{ m.thinking }}{% endif %}: {{ m.content }}
{% for k, v in m.items() %}{{ k }}={{ v | tojson }} {% endfor %}{{ m | length }}
{% endfor %}{{ unknown_variable }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}
""",
}

SCHEMA = {"type": "object", "properties": {"place": {"type": "string", "description": "where \"x\" <\u00e9>"},
                                           "days": {"type": ["integer", "null"], "default": 3}}, "required": ["place"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather of a place.", "parameters": SCHEMA}}


def user(content, **more):
    return {"role": "user", "content": content, **more}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def call(arguments, **more):
    function = {"name": "weather", "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "a1", "type": "function", "function": function}], **more}


SYSTEM, RESULT = {"role": "system", "content": " Be brief. "}, {"role": "tool", "name": "weather", "content": "{\"sun\": true}"}
PARTS = [{"type": "text", "text": "p1"}, {"type": "image"}, {"type": "text", "text": "p2"}]
CONVERSATIONS = {
    "question": dict(messages=[user(" Q ")]),
    "system, question": dict(messages=[SYSTEM, user("Q")]),
    "one turn": dict(messages=[user("Q"), assistant("A")]),
    "two turns": dict(messages=[SYSTEM, user("Q1"), assistant("A1"), user("Q2"), assistant(" A2 \n")]),
    "open": dict(messages=[SYSTEM, user("Q1"), assistant("A1"), user("Q2")]),
    "answer first": dict(messages=[assistant("A"), user("Q")]),
    "developer": dict(messages=[{"role": "developer", "content": "D"}, user("Q")]),
    "empty contents": dict(messages=[user(""), assistant("")]),
    "null contents": dict(messages=[user(None), assistant(None)]),
    "no contents": dict(messages=[{"role": "user"}, {"role": "assistant"}]),
    "unicode": dict(messages=[user("h\u00e9llo \U0001f44d\U0001f3fd \u2028\u00a0\u65e5\u672c \x07\t"), assistant("ok\u200b")]),
    "names": dict(messages=[user("Q", name="bob", extra=[1, {"x": None}]), assistant("A", prefix=True)]),
    "tools offered": dict(messages=[SYSTEM, user("Q")], tools=[TOOL, TOOL]),
    "no tools offered": dict(messages=[user("Q")], tools=[]),
    "called": dict(messages=[user("Q"), call({"place": "Z\u00fcrich", "days": 2}), RESULT, RESULT, assistant("A")], tools=[TOOL]),
    "called with a text": dict(messages=[user("Q"), call("{\"place\": \"Z\"}"), RESULT, assistant("A"), user("R")], tools=[TOOL]),
    "called without words": dict(messages=[user("Q"), dict(call({}), content=None), RESULT], tools=[TOOL]),
    "thoughts": dict(messages=[user("Q"), assistant("A", reasoning_content="hm"), user("R"), assistant("B", reasoning_content="ah")]),
    "thoughts by other names": dict(messages=[user("Q"), assistant("A", thinking="hm"), assistant("B", reasoning="ah", thinking=None)]),
    "thoughts in the text": dict(messages=[user("Q"), assistant("<think>\nhm\n</think>\n\nA"), user("R"), assistant("<think>\nah\n</think>\n\nB")]),
    "thoughts and calls": dict(messages=[user("Q"), call({"place": "x"}, reasoning_content="w1"), RESULT, assistant("A", reasoning_content="w2"), user("R")], tools=[TOOL]),
    "no thinking": dict(messages=[user("Q")], enable_thinking=False),
    "parts": dict(messages=[user(PARTS), assistant([{"type": "text", "text": "A"}])]),
    "documents": dict(messages=[user("Q")], documents=[{"title": "t", "text": "x\n"}, {"title": "u", "text": "y"}]),
    "date given": dict(messages=[user("Q")], date_string="1 Jan 2025"),
}
TOKENS = dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


def render(template, conversation, prompt):
    """The text and the spans in bytes; None, [] when it fails."""
    more = {k: v for k, v in conversation.items() if k not in ("messages", "tools")}
    marked = "endgeneration" in template and prompt != 2
    try:
        messages = utils._normalize_chat_messages(copy.deepcopy(conversation["messages"]))
        texts, spans = utils.render_jinja_template(
            conversations=[messages], tools=conversation.get("tools"), chat_template=template, return_assistant_tokens_mask=marked,
            add_generation_prompt=prompt == 1, continue_final_message=prompt == 2, **{**TOKENS, **more})
    except Exception:
        return None, []
    return texts[0], [len(texts[0][:at].encode()) for span in (spans[0] if marked else []) for at in span]


def main(folder):
    cases = []
    for name, template in TEMPLATES.items():
        for title, conversation in CONVERSATIONS.items():
            for prompt in (0, 1, 2):
                text, spans = render(template, conversation, prompt)
                cases.append({"template": name, "conversation": title, "prompt": prompt, "text": text, "spans": spans})
    with open(os.path.join(folder, "conversations.json"), "w", encoding="utf-8") as f:
        json.dump({"tokens": TOKENS, "templates": TEMPLATES, "conversations": CONVERSATIONS, "cases": cases}, f, indent=0)
        f.write("\n")


main(sys.argv[1])
