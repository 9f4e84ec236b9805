"""Makes template_language.json and template_renderings.json with jinja2 3.1.6 in the environment transformers uses.

    pip install jinja2==3.1.6
    LRC_ASSETS=<assets> python scripts/golden/template.py tests/golden

language:   our own snippets and what jinja2 makes of them.
renderings: published chat templates of the assets folder, by file name, over the conversations below; and what jinja2
            makes of those language cases of huggingface.js whose expectation is JavaScript's ("true", lists as JSON).
"""
import hashlib
import json
import os
import sys
from datetime import datetime

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_write"), [], [], body).set_lineno(line)

    def _write(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def render(template, variables):
    """The text, or None when it fails."""
    date = datetime(2024, 7, 26)
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: date.strftime(form)
    full = dict(messages=None, tools=None, documents=None, add_generation_prompt=False)
    full.update(variables)
    try:
        return env.from_string(template).render(**full)
    except Exception:
        return None


VARIABLES = {'s': 'héllo wörld', 'l': [3, 1, 2], 'd': {'b': 1, 'a': {'x': None, 'y': [1, 2.5, True]}}, 'e': '', 'z': 0, 'f': 1.5, 'neg': -7, 'u': [{'n': 'Bob', 'a': 3, 'k': {'v': 'q'}}, {'n': 'alice', 'a': 1, 'k': {'v': 'p'}}, {'n': 'Carl', 'a': 2, 'k': {}}], 'q': 'it\'s "q" \n\t\u200b\x07 é', 'messages': [{'role': 'user', 'content': 'hi'}], 'nested': [[1, 2], [3, 4]], 'big': 12345678901234567, 'em': '👍🏽x', 'tr': True}

SNIPPETS = [
    '{{ s|length }} {{ em|length }} {{ s[1] }} {{ s[-1] }} {{ s[::-1] }} {{ s[1:5:2] }} {{ em[0:1] }} {{ s[20:] }} {{ s[-100:3] }}',
    '{{ l }} {{ (1,) }} {{ () }} {{ (1,2) }} {{ {} }} {{ d }} {{ q }} {{ [q] }} {{ ["a\'b"] }} {{ [\'a"b\'] }} {{ none }} {{ true }} {{ 1.0 }} {{ 1e20 }} {{ 1e16 }} {{ 123456789012345.0 }} {{ 0.1+0.2 }} {{ 1e-5 }} {{ 0.0001 }} {{ -0.0 }} {{ 1/3 }} {{ 7//2 }} {{ -7//2 }} {{ -7%3 }} {{ 7.5%2 }} {{ -7.5//2 }} {{ 2**10 }} {{ 2**-1 }} {{ 2**0.5 }} {{ 5/2 }} {{ 4/2 }}',
    "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1,2] < [1,3] }} {{ 1 in [true] }} {{ 'b' in d }} {{ 'x' not in 'abc' }} {{ none == undefinedx }} {{ not none }} {{ 1 and 0 or 'x' }}",
    "{{ 'a' if z else 'b' }}|{{ 'a' if z }}|{{ ('a' if z) is defined }}|{{ 'x' if tr else 'y' if z else 'w' }}",
    "{{ d|tojson }} {{ d|tojson(indent=2) }} {{ q|tojson }} {{ [1.0,1e100,none,true,'<&>']|tojson }} {{ {}|tojson(indent=4) }} {{ []|tojson(indent=4) }} {{ {1:2,none:3,true:4,1.5:5}|tojson }} {{ s|tojson(ensure_ascii=true) }} {{ em|tojson(true) }} {{ d|tojson(separators=(',',':')) }} {{ d|tojson(sort_keys=true, indent=1) }} {{ d|tojson(indent='--') }}",
    "{{ l|sort }} {{ l|sort(reverse=true) }} {{ u|sort(attribute='n')|map(attribute='n')|list }} {{ u|sort(attribute='a,n')|map(attribute='a')|join(',') }} {{ ['b','A','c']|sort }} {{ ['b','A','c']|sort(case_sensitive=true) }} {{ d|dictsort }} {{ {'b':2,'A':1}|dictsort }} {{ {'b':2,'A':1}|dictsort(true) }} {{ {'b':1,'a':2}|dictsort(by='value') }}",
    "{{ u|selectattr('a','gt',1)|map(attribute='n')|join(' ') }} {{ u|rejectattr('k.v')|map(attribute='n')|list }} {{ u|selectattr('k.v','defined')|list|length }} {{ [1,2,3,none]|select|list }} {{ [1,2,3,4]|reject('odd')|list }} {{ [1,2,3]|select('in',[1,3])|list }} {{ ['a','B']|map('upper')|list }} {{ u|map(attribute='zz',default='-')|join }} {{ [[1,2],[3]]|map('length')|list }} {{ ['a b','c']|map('replace',' ','_')|list }}",
    "{{ [1,2,2,1,3]|unique|list }} {{ ['a','A','b']|unique|list }} {{ [3,1,2]|min }} {{ [3,1,2]|max }} {{ [1,2,3]|sum }} {{ u|sum(attribute='a') }} {{ u|map(attribute='a')|sum }} {{ [1,2,3]|first }} {{ [1,2,3]|last }} {{ 'abc'|first }} {{ 'abc'|last }} {{ []|first }}| {{ [1,2]|reverse|list }} {{ 'abc'|reverse }} {{ 'abc'|list }} {{ d|list }}",
    '{{ \'hello world-foo (bar) x\'|title }} {{ "hello world\'s".title() }} {{ \'hELLO wORLD\'|capitalize }} {{ \'ÀÉß\'.lower() }} {{ \'àéß\'|upper }} {{ s.capitalize() }} {{ \'ǆ\'.title() }}',
    "[{{ '  a b '|trim }}] [{{ 'xxaxx'|trim('x') }}] [{{ ' a '.strip() }}] [{{ 'abcba'.strip('ab') }}] [{{ 'abc'.lstrip('a') }}] [{{ 'abc\\n\\n'.rstrip('\\n') }}] [{{ '\\u00a0\\u3000x\\u2003'.strip() }}]",
    "{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ',1) }} {{ 'a b c'.rsplit(' ',1) }} {{ ' a b  c '.rsplit(none,1) }} {{ ' a  b c'.split(none,1) }} {{ 'abc'.split('x')[-1] }} {{ 'a\\nb\\r\\nc'.splitlines() }} {{ 'aXbXc'.rsplit('X') }} {{ ''.split(',') }} {{ ''.split() }}",
    "{{ 'abc'.startswith('ab') }} {{ 'abc'.startswith(('x','a')) }} {{ 'abc'.endswith('bc') }} {{ 'aaa'.replace('a','b',2) }} {{ 'abc'.replace('','-') }} {{ 'abc'|replace('','-',2) }} {{ 'abcabc'.find('c') }} {{ 'héhé'.rfind('h') }} {{ 'abcabc'.count('bc') }} {{ 'abc'.index('b') }} {{ '-'.join(['a','b']) }} {{ '12'.isdigit() }} {{ 'ab1'.isalnum() }} {{ 'ab1'.isalpha() }} {{ 'AB'.isupper() }} {{ '{} and {}'.format(1,'b') }} {{ '{a}-{{}}'.format(a=2) }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }}",
    "{{ '%s is %d and %05.2f %r'|format('x',3,2.5,'y') }} {{ '%s-%s' % (1,'a') }} {{ '%5s|%-5s|' % ('ab','cd') }} {{ '%x' % 255 }} {{ '%d%%' % 5 }}",
    "{{ '3'|int }} {{ ' 42 '|int }} {{ '3.7'|int }} {{ 'x'|int(9) }} {{ 3.9|int }} {{ '1e3'|float }} {{ 'x'|float }} {{ '0x1f'|int(base=16) }} {{ '101'|int(0,2) }} {{ none|int }} {{ true|int }} {{ 2.567|round(2) }} {{ 2.5|round }} {{ 3.5|round }} {{ 2.1|round(0,'ceil') }} {{ 2.9|round(method='floor') }} {{ 7|round }} {{ -3|abs }} {{ -3.5|abs }}",
    "{{ 'a\\nb\\n\\nc'|indent }} {{ 'a\\nb'|indent(2,true) }} {{ 'a\\n\\nb'|indent(2,blank=true) }} {{ 'a\\nb\\n'|indent('>>') }}|{{ ''|indent(2,true) }}|",
    "{{ undef|default('x') }} {{ ''|default('x') }} {{ ''|default('x',true) }} {{ undef|d }}| {{ d.zz|default('q') }} {{ none|default('n') }} {{ undef|length }} {{ undef|upper }}| {{ undef|join(',') }}| {{ undef|list }} {{ undef ~ 'x' }} {% for x in undef %}n{% endfor %} {{ undef is defined }} {{ undef == undef2 }} {{ undef == none }} {{ [undef] }}",
    "{% for k,v in d.items() %}{{k}}={{v}};{% endfor %} {% for k in d %}{{k}}{% endfor %} {{ d.keys()|list }} {{ d.values()|list }} {{ d.get('zz') }} {{ d.get('zz',5) }} {{ d.get('b') }} {{ d.a.y[1] }} {{ d['a']['y'][-1] }} {{ d|items|list }} {{ d|length }} {{ d.copy() }}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a','b') }}{{ loop.depth }}{{ loop.changed(x) }};{% endfor %}",
    '{% for a in nested %}{% for b in a %}{{ loop.depth }}{{ b }}{% if b == 3 %}{% break %}{% endif %}{% endfor %}{% else %}none{% endfor %}|{% for x in [] %}{% else %}E{% endfor %}|{% for x in range(10) if x % 2 %}{% if x == 5 %}{% continue %}{% endif %}{{ x }}{{ loop.length }}{% endfor %}',
    "{% for a,(b,c) in [(1,(2,3))] %}{{ a }}{{ b }}{{ c }}{% endfor %} {% for i,c in [(0,'x')] %}{{ i }}{{ c }}{% endfor %}{% for c in 'hé' %}[{{ c }}]{% endfor %} {% set a, b = 1, [2] %}{{ a }}{{ b }}",
    '{% set x = 1 %}{% for i in [1] %}{{ x }}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 3 %}{% endif %}{{ x }}{% set ns = namespace(a=1) %}{% for i in [1,2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.zz }}|{{ ns.zz is defined }}',
    "{% set b %}a{{ x }}b{% set y = 5 %}{% endset %}[{{ b }}]{{ y }}{% set c | upper | trim %}  up {% endset %}[{{ c }}] {% filter upper %}x{{ s }}{% endfilter %} {% filter indent(2, first=true) | replace('a','b') %}a",
    'a{% endfilter %}',
    "{% macro m(a, b='B', c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }}{{ m(1,2,3,4,k=5) }}{{ m(b=1,a=2) }}{% set r = m('x') %}{{ r|length }}{{ m.name }}",
    '{% macro m(a) %}{{ x }}{{ a }}{% endmacro %}{% set x = 9 %}{{ m(1) }}{{ m() }}|{% macro rec(n) %}{{ n }}{% if n > 0 %}{{ rec(n-1) }}{% endif %}{% endmacro %}{{ rec(3) }}',
    '{% macro list(items) %}<{% for i in items %}{{ caller(i) }}{% endfor %}>{% endmacro %}{% call(x) list([1,2]) %}[{{ x }}]{% endcall %}',
    '{% with a=1, b=2 %}{{ a+b }}{% set a = 5 %}{{ a }}{% endwith %}{{ a }}|',
    "{{ 1 is number }}{{ true is number }}{{ true is integer }}{{ 1 is integer }}{{ 1.0 is float }}{{ 'a' is string }}{{ d is mapping }}{{ l is sequence }}{{ d is sequence }}{{ 'a' is sequence }}{{ 1 is iterable }}{{ l is iterable }}{{ none is none }}{{ true is true }}{{ 1 is true }}{{ 4 is even }}{{ 4 is odd }}{{ 9 is divisibleby 3 }}{{ 9 is divisibleby(2) }}{{ 1 is eq 1 }}{{ 1 is ne 2 }}{{ 2 is gt(1) }}{{ 1 is in [1] }}{{ 'A' is upper }}{{ 'a' is lower }}{{ l is sameas l }}{{ 1 is sameas true }}{{ range is callable }}{{ l is callable }}{{ x is not defined }}{{ namespace() is mapping }}{{ 'abc' is string and 1 is number }}{{ not 1 is string }}",
    "{{ range(5)|list }} {{ range(1,10,3)|list }} {{ range(5,0,-2)|list }} {{ dict(a=1,b=2) }} {{ dict([('x',1)]) }} {{ [1]*3 }} {{ 'ab'*2 }} {{ 2*'ab' }} {{ [1]+[2] }} {{ (1,)+(2,) }} {{ 'a' 'b' }} {{ 1 ~ 2 ~ none ~ 1.5 }} {{ -2**2 }} {{ 2**3**2 }} {{ 1+2*3-4/2 }} {{ 'a'~1+2 }} {{ 10 - 3 - 2 }} {{ -f }} {{ +f }} {{ --1 }} {{ not not 1 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1e3 }} {{ 1.5e-3 }}",
    '{{ \'\\x41\\u00e9\\n\\t\\\\\\\'\\"\\101\\q\' }}{{ "\\U0001f44d" }}',
    "{{ l[0:2] }} {{ l[::-1] }} {{ l[-2:] }} {{ l[5:] }} {{ l[:-1] }} {{ l[::2] }} {{ l[2:0:-1] }} {{ l.0 }} {{ l[10] }}| {{ (1,2,3)[1:] }} {{ messages[0].role }} {{ messages[0]['content'] }} {{ messages.0.content }} {{ d['zz'] }}| {{ 'abc'[5] }}|",
    '{#- c -#}  a {# b #}',
    '  {% if true %}',
    '  x',
    '  {%- endif %}',
    '',
    '  {%+ if true %}y{% endif +%}',
    '',
    '  z  {{- 1 -}}  w',
    '{% raw %}{{ x }}{% y %}{% endraw %} {%- raw -%}  {{ q }}  {%- endraw -%} e',
    ' a',
    '{% endraw %}',
    'b',
    'line1',
    '    {# comment alone #}',
    'line2',
    '    {{ 1 }}',
    '  {% set x = 1 -%}',
    '   end',
    "{{ strftime_now('%d %b %Y %H:%M %A %B %j %y %-d') }}",
    '{{ u|groupby(\'a\')|list|length }} {% for g, items in u|groupby(\'a\') %}{{ g }}:{{ items|length }};{% endfor %} {{ \'one two three\'|wordcount }} {{ \'<a href="x">&\\\'</a>\'|escape }} {{ \'<b>\'|safe }} {{ \'x\'|string }} {{ 5|string|length }}',
    '{{ undef.x }}',
    '{{ undef + 1 }}',
    "{{ 'a' + 1 }}",
    "{{ 1 + 'a' }}",
    '{{ none.x }}|{{ none.x is defined }}',
    '{{ none.x.y }}',
    '{{ none[0] }}|',
    "{{ 1 < 'a' }}",
    '{{ [] < 1 }}',
    '{{ undef() }}',
    '{{ 1|tojson(foo=1) }}',
    '{{ undef|tojson }}',
    '{{ 1/0 }}',
    '{{ 1 in 5 }}',
    "{{ 1 in 'abc' }}",
    '{{ none|length }}',
    "{{ none in [none] }} {{ none ~ 'x' }} {{ none|string }} {{ none|upper }} {{ none|trim }}",
    "{{ 'x'.nope() }}",
    "{{ 'x'.nope is defined }}",
    '{% for a, b in [1] %}{% endfor %}',
    '{% set x.y = 1 %}',
    "{{ raise_exception('boo') }}",
    "{{ [1,2]|join }} {{ [1,none,true]|join('-') }} {{ 'abc'|join('.') }} {{ u|join('+', attribute='n') }} {{ d|join(',') }}",
    "{{ {'a':1}.a }} {{ {'a':{'b':2}}.a.b }} {{ {1:'x'}[1] }} {{ {'items':5}['items'] }}x",
    "{{ 'é' < 'z' }} {{ 'Z' < 'a' }} {{ [1,'a'] == [1,'a'] }} {{ {'a':1} == {'a':1.0} }} {{ (1,) == [1] }} {{ true + true }} {{ big + 1 }} {{ big|string }} {{ 1e400 }} {{ big * 1.0 }}",
    '{{ loop }}',
    "{{ 'a' if true else undef.x }} {{ true or undef.x }} {{ false and undef.x }}",
    '{% if undef %}a{% elif z %}b{% elif l %}c{% else %}d{% endif %}',
    '{% if l and not z or e %}1{% endif %}{% if (l|length) > 2 %}2{% endif %}{% if l|length > 2 and s is string %}3{% endif %}',
    "{{ {'a': 1, 'b': [1,2,{'c': none}]} }} {{ [[[]]] }} {{ ['\\\\', '\\n', 'é', '\\x00', '\\u2028', '\\U0010ffff'] }}",
    "{{ 'x' * 0 }}|{{ 'x' * -1 }}| {{ [1,2,3][true] }} {{ 'ab' in ['ab'] }} {{ 5 // 0.3 }} {{ 5 % -3 }} {{ -5 % 3 }} {{ 5.5 // -2 }} {{ 1e308 * 10 }} {{ (1e308 * 10)|tojson }}",
    "{% filter indent(2, first=true) | replace('a','b') %}a\na{% endfilter %}",
    '{#- c -#}  a {# b #}\n  {% if true %}\n  x\n  {%- endif %}\n\n  {%+ if true %}y{% endif +%}\n\n  z  {{- 1 -}}  w\n',
    '{% raw %}{{ x }}{% y %}{% endraw %} {%- raw -%}  {{ q }}  {%- endraw -%} e\n{% raw %}\n a\n{% endraw %}\nb\n\n',
    'line1\n    {# comment alone #}\nline2\n    {{ 1 }}\n  {% set x = 1 -%}\n   end\n   {%- if true +%}\n  x{% endif %}\n\n',
    'a\r\nb\rc\n{% if 1 %}\r\nx{% endif %}\r\n',
    '\n',
    '',
    '{% if 1 %}\n',
    "{{ 'a' }\n}",
    "{{ {'a':{'b':1}} }}",
    "{{{'a':1}['a']}}",
    'a{#b',
    "{{ 'x",
    '{% for x in %}',
    '{% endif %}',
    '{{ }}',
    '{{ 1 + }}',
    '{% if %}x{% endif %}',
    '{{ (1 }}',
    '{{ 1) }}',
    '{% set x %}',
    '{% foo %}',
    '{{ x|nope }}',
    '{{ x is nope }}',
    '{% break %}',
    '{{ [1,2 }}',
    '{% macro m(a=1,b) %}{% endmacro %}',
    '{{ f(a=1, 2) }}',
    '{{ a.1.2 }}',
    "{{ 'a' 1 }}",
    '{{ ! }}',
    '{%- -%}',
    '{{- -}}',
    '{{ a b }}',
    '  {%- if true -%}  \n  a  \n {%- endif -%} \n b',
    '{% generation %}a{% set x = 1 %}{% endgeneration %}{{ x }}',
]

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a \"place\" <now>", "parameters": {
    "type": "object", "properties": {"place": {"type": "string", "description": "where"}, "days": {"type": "integer"}},
    "required": ["place"]}, "return": {"type": "string"}}}
SYSTEM, ASK = {"role": "system", "content": "S"}, {"role": "user", "content": " U1 "}
ANSWER, AGAIN = {"role": "assistant", "content": "A1"}, {"role": "user", "content": "U2"}
CALL = {"role": "assistant", "content": "", "tool_calls": [{"id": "abcdefghi", "type": "function", "function": {
    "name": "get_weather", "arguments": {"place": "Zürich", "days": 2}}}]}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi", "content": "{\"sun\": true}"}
THOUGHT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes"}
CONVERSATIONS = {
    "four turns": dict(messages=[SYSTEM, ASK, ANSWER, AGAIN], add_generation_prompt=True),
    "without system": dict(messages=[ASK, ANSWER], add_generation_prompt=False),
    "system first, then prompt": dict(messages=[SYSTEM, {"role": "user", "content": "héllo 👍🏽\n\n x "}], add_generation_prompt=True),
    "tools offered": dict(messages=[SYSTEM, ASK], tools=[WEATHER, WEATHER], add_generation_prompt=True),
    "tool called": dict(messages=[ASK, CALL, RESULT], tools=[WEATHER], add_generation_prompt=True),
    "tool called and answered": dict(messages=[SYSTEM, ASK, CALL, RESULT, ANSWER, AGAIN], tools=[WEATHER], add_generation_prompt=True),
    "tools in the system turn": dict(messages=[ASK], tools=[WEATHER], tools_in_user_message=False, date_string="1 Jan 2025"),
    "thinking": dict(messages=[ASK, THOUGHT, AGAIN, THOUGHT], enable_thinking=True),
    "no thinking": dict(messages=[ASK, THOUGHT, AGAIN], enable_thinking=False, add_generation_prompt=True),
    "turns out of order": dict(messages=[ANSWER, ASK, ASK], add_generation_prompt=True),
    "content in parts": dict(messages=[{"role": "user", "content": [{"type": "text", "text": "p"}]}], add_generation_prompt=True),
    "no messages": dict(messages=[]),
    "custom instructions": dict(messages=[ASK], xml_tools=["x"], python_tools=["def f(): pass"], custom_instructions="C", add_generation_prompt=True),
}


def dump(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=True, indent=0)
        f.write("\n")


def digest(text):
    """The texts belong to the templates' authors: their hashes are enough to compare."""
    return None if text is None else hashlib.sha256(text.encode("utf-8")).hexdigest()


def main(folder):
    dump(os.path.join(folder, "template_language.json"), {
        "variables": VARIABLES, "cases": [{"template": s, "text": render(s, VARIABLES)} for s in SNIPPETS]})
    assets = os.environ["LRC_ASSETS"]
    templates = os.path.join(assets, "Raudbjorn+ggml-llama.cpp", "models", "templates")
    renderings = []
    for name in sorted(os.listdir(templates)):
        with open(os.path.join(templates, name), encoding="utf-8", newline="") as f:
            text = f.read()
        for title, variables in CONVERSATIONS.items():
            renderings.append({"template": name, "conversation": title,
                               "sha256": digest(render(text, dict(variables, bos_token="<BOS>", eos_token="<EOS>")))})
    with open(os.path.join(assets, "_derived", "huggingface.js_jinja_templates.json"), encoding="utf-8") as f:
        js = json.load(f)
    differ = {}
    for name, text in js["TEST_STRINGS"].items():
        ours = render(text, js["TEST_CONTEXT"].get(name, {}))
        if ours != js["EXPECTED_OUTPUTS"][name]:
            differ[name] = ours
    dump(os.path.join(folder, "template_renderings.json"), {
        "conversations": CONVERSATIONS, "renderings": renderings, "python_instead_of_javascript": differ})


main(sys.argv[1])
