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
    "{{ [1,2,3,4,5]|batch(2)|list }} {{ [1,2,3]|batch(2,'x')|list }} {{ []|batch(2)|list }}",
    "{{ [1,2,3,4,5,6,7]|slice(3)|list }} {{ [1,2,3,4]|slice(3,'-')|list }} {{ []|slice(2)|list }}",
    "{{ 'abc'|center(9) }}|{{ 'abc'|center }}|{{ 'abcd'|center(7) }}| {{ 'abc'.center(8,'*') }} {{ 'ab'.ljust(5,'.') }} {{ 'ab'.rjust(5) }} {{ '-42'.zfill(6) }} {{ '7'.zfill(3) }}",
    "{{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9,true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11,false,'...',0) }} {{ 'foo bar'|truncate(3,leeway=0,end='') }}",
    "{{ 'a b/c?d=é&f'|urlencode }} {{ {'a':1,'b c':'d/é'}|urlencode }} {{ [('x',1),('y','&')]|urlencode }} {{ 5|urlencode }}",
    "{{ 'the quick brown fox jumps'|wordwrap(10) }}",
    "{{ '<p>a <b>b</b>\\n  c &amp; d</p>'|striptags }} {{ '<!-- x -->y'|striptags }}",
    '{{ \'<x>\'|forceescape }} {{ {\'class\':\'a\',\'id\':none,\'x\':\'<"\'}|xmlattr }} {{ {\'a\':1}|xmlattr(false) }}',
    "{{ d|attr('b') }}|{{ 'x'|attr('upper') is callable }}|{{ s|attr('nope') is defined }}",
    "{{ 'x' is filter }} {{ 'upper' is filter }} {{ 'upper' is test }} {{ 'defined' is test }} {{ 'x' is escaped }}",
    "{% for x in [{'n':1,'c':[{'n':2,'c':[]}]},{'n':3,'c':[]}] recursive %}[{{ x.n }}@{{ loop.depth }}{{ loop.depth0 }}{{ loop(x.c) }}]{% endfor %}",
    '{% for x in [[1,[2]],[3]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{{ loop.index }}{% endif %}{% else %}E{% endfor %}',
    "{{ 'a\\nb\\r\\nc'.splitlines(true) }} {{ 'abcabc'.find('b',2) }} {{ 'abcabc'.find('b',2,4) }} {{ 'abcabc'.count('b',0,3) }} {{ 'abc'.startswith('b',1) }} {{ 'abc'.endswith('b',0,2) }} {{ 'abcabc'.rfind('b',0,-2) }} {{ 'abcabc'.index('b',2) }} {{ 'a\\tb'.expandtabs(4) }}",
    "{{ '{:>5}|{:<5}|{:^5}'.format('a','b','c') }} {{ '{:05d}'.format(42) }} {{ '{:.2f}'.format(3.14159) }} {{ '{0}{1}{0}'.format('x','y') }} {{ '{a.b}{c[0]}'.format(a=d,c=l) }} {{ '{!r}'.format('q') }} {{ '{:,}'.format(1234567) }} {{ '{:x}'.format(255) }} {{ '{:+.1e}'.format(12345.678) }} {{ '{:%}'.format(0.25) }} {{ '{:*^9}'.format('mid') }}",
    "{{ {'a':1}.setdefault('a') }}",
    "{{ 42.55|round(1) }} {{ 42.55|round(1,'floor') }} {{ 42.55|round(-1) }} {{ 1234|round(-2) }} {{ 0.5|round }} {{ 1.5|round }} {{ -0.5|round }} {{ 2.675|round(2) }} {{ 1e300|round(2) }}",
    "{{ [1,2,3]|sum(start=10) }} {{ ['a','b']|sum(start='') }}",
    "{{ ['b','A']|min }} {{ ['b','A']|max }} {{ ['b','A']|min(true) }} {{ u|max(attribute='a') }} {{ []|min }}|{{ []|max is defined }}",
    "{{ u|groupby('a')|list }}",
    "{{ [1,'1',1.0,true]|unique|list }} {{ u|unique(attribute='a')|map(attribute='n')|list }}",
    "{{ [3,1,2]|sort|reverse|list }} {{ ['B','a','C']|sort(true) }} {{ u|sort(attribute='k.v')|list|length }}",
    "{{ 'a,b'|replace(',',';')|upper|lower|title|capitalize|trim|length }} {{ 5|replace('5','6') }} {{ 'aaa'|replace('a','b',count=1) }}",
    "{{ 'line1\\nline2'|indent(width=2,first=true,blank=false) }}|{{ 'a\\n\\n b'|indent(4,false,true) }}",
    "{{ 'x=%s y=%(a)s'|format(1) }}",
    "{{ '%s' % none }} {{ '%s %s' % ('a', [1]) }} {{ '%r' % ['a'] }} {{ '%%' % () }}",
    "{{ '%d' % 'a' }}",
    "{{ '%s %s' % ('a',) }}",
    "{{ '%s' % ('a','b') }}",
    '{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 1e16 }} {{ 1e15 }} {{ 123456789.123456789 }} {{ 0.1+0.2 }} {{ 1e-5 }} {{ 0.0001 }} {{ 1.0 }} {{ -0.0 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }}',
    "{{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[-1] }} {{ l[-9] }}| {{ 'abc'[-1] }} {{ 'abc'[::-2] }} {{ l[5:1:-1] }} {{ 'héllo'[1:3] }} {{ l[none:2] }} {{ (1,2,3)[-2:] }}",
    "{{ 1 if false }}|{{ (1 if false) is undefined }}|{{ 'a' if 1 else 'b' if 2 else 'c' }}",
    "{{ 1 < 2 <= 2 != 3 }} {{ 3 > 2 > 1 == 1 }} {{ not 1 == 2 }} {{ 1 in [1] in [[1]] }} {{ 'a' not in ['b'] and not 'c' in 'abc' }}",
    "{{ 1 ~ 'a' ~ none ~ true ~ 1.0 ~ [1] }} {{ 'a' ~ 1 + 1 }} {{ 1 + 1 ~ 'b' }}",
    '{{ undef }}|{{ undef.x is defined }}',
    '{{ d.nope }}|{{ d.nope is undefined }}|{{ d.nope.x }}',
    "{{ d['nope']['x'] }}",
    '{{ undef[0] }}',
    "{{ undef|first }}|{{ undef|last }}|{{ undef|sort }}|{{ undef|sum }}|{{ undef|min }}|{{ undef|unique|list }}|{{ undef|map('upper')|list }}|{{ undef|select|list }}|{{ undef|reverse|list }}|{{ undef|trim }}|{{ undef|replace('a','b') }}|{{ undef|title }}|{{ undef|string }}|{{ undef|items|list }}|{{ undef|default('z') }}|{{ undef|wordcount }}|{{ undef|indent }}",
    '{{ undef|int }}',
    '{{ undef|float }}',
    '{{ undef|abs }}',
    '{{ undef|round }}',
    '{{ -undef }}',
    '{{ undef < 1 }}',
    '{{ undef in [1] }} {{ 1 in undef }}',
    "{{ 'a' in undef }}",
    '{{ undef ~ 1 }} {{ undef == undef }} {{ undef != 1 }} {{ undef and 1 }}|{{ undef or 1 }} {{ not undef }} {{ undef is none }} {{ undef is string }} {{ undef is iterable }} {{ undef is mapping }} {{ undef is sequence }} {{ undef is number }} {{ undef is callable }} {{ undef is boolean }}',
    "{% set ns = namespace(a=1, b='x') %}{% set ns.c = [1] %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.d }}{{ ns['a'] }}{{ ns is mapping }}",
    "{% set ns = namespace({'a':1}, b=2) %}{{ ns.a + ns.b }}",
    '{% macro m(a, b=2, *args) %}{% endmacro %}',
    "{% macro m(a, b=a ~ '!') %}{{ a }}{{ b }}{% endmacro %}{{ m('x') }}{{ m('x', b='y') }}{{ m.arguments }}{{ m.name }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}",
    "{% macro m() %}{{ kwargs.x }}{{ varargs[0] }}{{ caller() if caller else 'none' }}{% endmacro %}{{ m(1, x=2) }}{% call m(3, x=4) %}C{% endcall %}",
    '{% macro m(a) %}{{ caller(a, a+1) }}{% endmacro %}{% call(x, y=9) m(1) %}{{ x }}{{ y }}{% endcall %}',
    '{% macro a() %}[{{ b() }}]{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}',
    '{% macro m(x) %}{% set x = x + 1 %}{{ x }}{% endmacro %}{{ m(1) }}{{ m(1)|upper }}{{ m(1) ~ m(2) }}{{ [m(1)] }}',
    '{{ m(1) }}{% macro m(x) %}{% endmacro %}',
    '{% if false %}{% macro m() %}x{% endmacro %}{% endif %}{{ m is defined }}',
    '{% set x %}a{% endset %}{{ x }}{{ x is string }}{% set y | upper %}b{{ x }}{% endset %}{{ y }}',
    '{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d2) = [3, 4] %}{{ c }}{{ d2 }}',
    "{% for i in range(3) %}{{ loop.first }}{{ loop.last }}{{ loop.index }}{{ loop.revindex }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a','b') }}{{ loop.changed(i//2) }} {% endfor %}",
    '{% for i in l %}{% for j in l %}{{ loop.index }}{{ loop.depth }}{% endfor %}{{ loop.index }}{% endfor %}{{ loop is defined }}',
    '{% for k, v in d.items() if v is not mapping %}{{ k }}{{ v }}{{ loop.length }}{% else %}none{% endfor %}',
    '{% for i in range(10) %}{% if i == 3 %}{% continue %}{% elif i == 6 %}{% break %}{% endif %}{{ i }}{% endfor %}',
    "{% for x in 'abc'|list + ['d'] %}{{ x }}{% endfor %}{% for x in (1,2) %}{{ x }}{% endfor %}{% for x in {'a':1} %}{{ x }}{% endfor %}{% for x in none or [] %}{% endfor %}",
    '{% for x in none %}{% endfor %}',
    '{% for x in 5 %}{% endfor %}',
    "{% for a in [[1,2],[3,4]] %}{% for b in a %}{{ b }}{{ ',' if not loop.last }}{% endfor %}{{ ';' if not loop.last }}{% endfor %}",
    "{%- if true -%}  a  {%- endif -%}  b  {%+ if true %}  c  {% endif +%}\n  d\n{{- ' e ' -}}  f",
    '  {% if true %}\n    x\n  {% endif %}\ny\n  {# c #}\nz',
    'a {%- raw -%} {{ x }} {% endraw %} b {% raw %}\n x{% endraw -%}  c',
    '# line statement?\n## comment',
    "{{ {'a':1,'b':[1,2]}|tojson }} {{ 'é<>&\\''|tojson }} {{ 1.0|tojson }} {{ 1e400|tojson }} {{ (1,2)|tojson }} {{ none|tojson }} {{ {'b':1,'a':2}|tojson(sort_keys=true) }} {{ {'a':[{}, []]}|tojson(indent=2) }} {{ [1,[2]]|tojson(indent=0) }} {{ 'é'|tojson(ensure_ascii=true) }} {{ {'a':1}|tojson(separators=(',', ':')) }} {{ {'a':{'b':1}}|tojson(indent='\\t') }}",
    '{{ range|tojson }}',
    '{{ [1,undef]|tojson }}',
    "{{ {'a':1,'b':2}|dictsort(reverse=true) }} {{ {'a':2,'b':1}|dictsort(by='value') }} {{ {'b':1,'a':2}|items|list }} {{ {'x':1}|list }}",
    "{{ dict(a=1, **{'b':2}) }} {{ dict([['x',1]], y=2) }} {{ dict({'a':1}) }}",
    '{% with %}{% set q2 = 1 %}{{ q2 }}{% endwith %}{{ q2 }}|{% with a = 1, b = a %}{{ b }}{% endwith %}',
    '{% filter upper|replace(\'A\',\'x\') %}abc{% endfilter %}{% filter tojson %}a"b{% endfilter %}',
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    '{% do l.append(1) %}',
    "{{ ''.__class__ }}|{{ d.__class__.__mro__ }}",
    "{{ 'x'.format.__globals__ }}",
    "{{ [1,2,3] | map('string') | join('') }} {{ [1,2]|map('int')|sum }} {{ u|map(attribute='k')|map(attribute='v')|list }} {{ u|map(attribute='a')|select('gt',1)|list }} {{ [[1,2],[3]]|map('first')|list }} {{ ['a']|map('default','x')|list }} {{ [{'a':[5]}]|map(attribute='a.0')|list }} {{ [[1,2]]|map(attribute=1)|list }}",
    "{{ [1,2,3]|select('divisibleby',2)|list }} {{ [1,none,'']|select|list }} {{ [1,none,'']|reject('none')|list }} {{ u|selectattr('a','in',[1,2])|map(attribute='n')|list }} {{ u|selectattr('k.v','equalto','p')|list|length }} {{ u|rejectattr('a','>=',2)|list|length }} {{ ['a',1]|select('string')|list }} {{ u|selectattr('k.v')|list|length }}",
    "{{ messages|map(attribute='role')|join(',') }} {{ messages|selectattr('role','equalto','user')|list|length }} {{ (messages|selectattr('role','==','user')|first).content }} {{ (messages|last)['role'] }} {{ messages[-1].role }} {{ messages[1:]|length }} {{ messages|length - 1 }} {{ messages|reverse|list|first }}",
    "{{ 3 is divisibleby(3) }} {{ 3 is divisibleby 2 }} {{ 3 is gt 2 }} {{ 3 is not lt 2 }} {{ 'a' is in 'abc' }} {{ 'a' is not in ['a'] }} {{ none is not none }} {{ 1 is sameas 1 }} {{ [] is sameas [] }} {{ 1.0 is integer }} {{ true is boolean }} {{ 'x' is sequence and 'x' is iterable }}",
    '{{ l is mapping }} {{ loop is undefined }} {{ x is defined and x }}',
    '{{ "a" == \'a\' }} {{ 1 == \'1\' }} {{ [1] == (1,) }} {{ {} == {} }} {{ none == false }} {{ 0 == false }} {{ \'\' == false }} {{ 1.0 == 1 }}',
    "{{ [1,2] + [3] }} {{ [0]*2 }} {{ (1,)+(2,) }} {{ 'a'*3 }} {{ 'a' + 'b' ~ 1 }} {{ [] or 'e' }} {{ [0] and 'f' }} {{ {} and 1 }}",
    "{{ {'items':[1]}.items is callable }} {{ {'keys':1}['keys'] }} {{ {'values':2}.get('values') }}",
    "{{ strftime_now('%d %b %Y') }} {{ strftime_now('%B %-d, %Y') }} {{ strftime_now('%c|%x|%X|%U|%W|%u|%G|%V|%R|%C|%k|%l|%P|%r|%g') }}",
    '{{ raise_exception() }}',
    "{{ raise_exception('x' ~ 1) }}",
    "{{ [1,2,3][1] }} {{ [[1,2],[3,4]][1][0] }} {{ 'abc'[1]|upper }} {{ (1,2)[0] }} {{ {'a':[1,2]}.a[-1] }} {{ {'a':[1,2]}['a'].0 }}",
    "{{ -1|abs }} {{ (-1)|abs }} {{ 2-1|abs }} {{ 'a'|upper ~ 'b' }} {{ not true|string }} {{ 1 + 2|string|int }} {{ -2**2 }} {{ 2**-1 }} {{ -l[0] }} {{ -d.b }}",
    "{{ 'a'if true else'b' }}{{ 1if true else 2 }}{{ [1,2,] }}{{ (1,) }}{{ () }}{{ {'a':1,} }}",
    '{{ foo(}}',
    "{{ 'a' | default('b') | upper if true }} {{ 'x' if 'a' in 'abc' and not false else 'y' }}",
    '{% if a is defined and a %}A{% elif s|length > 3 and l[0] == 3 %}B{% else %}C{% endif %}{% if not (1 and 0) %}D{% endif %}',
    '{% set x = 5 %}{% if x > 3 %}{% set x = 6 %}{% endif %}{{ x }}{% for i in [1] %}{% set x = 7 %}{% endfor %}{{ x }}',
    "{% print 5 %}{% print('a', 1) %}",
    "{{ 'a\\\nb' }}",
    '{{ 0x1f }} {{ 0b11 }} {{ 0o17 }} {{ 1_000 }} {{ 1e2 }} {{ 1.5E-2 }} {{ 00 }}',
    "{{ 'a'.join(['x','y']) }} {{ ','.join('abc') }} {{ '-'.join(d) }} {{ ''.join([1]) }}",
    "{{ ' a '.strip() }}|{{ 'aXb'.split('X') }}|{{ 'a b'.title() }}|{{ 'abc'.upper().lower().capitalize() }}|{{ 'a,b,c'.rsplit(',', 1)[0] }}|{{ 'a,b,c'.split(',', maxsplit=1) }}|{{ 'abc'.replace('b', '') }}|{{ 'x'.encode is callable }}",
    "{{ '  lead'.lstrip() }}|{{ 'xyx'.strip('x') }}|{{ 'mississippi'.rstrip('ipz') }}|{{ '<think>\\nabc\\n</think>\\n\\ndef'.split('</think>')[-1].lstrip('\\n') }}|{{ 'abc</think>def'.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') }}",
    "{{ 'abc'.startswith(('x','ab')) }} {{ 'abc'.endswith(('bc','q')) }} {{ 'abc'.startswith('') }} {{ 'x'.startswith(1) }}",
    "{{ 'a%b' % () }}",
    "{{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('-') }} {{ 'abc'.rpartition('-') }} {{ 'aBc'.swapcase() }} {{ '²'.isdigit() }}{{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ '12'.isdecimal() }} {{ 'aé'.isascii() }} {{ ''.isascii() }} {{ 'a\\n'.isprintable() }} {{ 'abcabc'.rindex('b') }}",
    '{{ l.copy() }} {{ [3,1].index(1) }}',
    "{{ 5.5|int }} {{ '5.5'|int }} {{ '1_000'|int }} {{ '_1'|int(7) }} {{ '0b11'|int(base=0) }} {{ '0o17'|int(0,8) }} {{ '-0x1F'|int(0,16) }} {{ 'ff'|int(0,16) }} {{ 'z'|int(5,16) }} {{ '1_0.5'|float }}",
    "{{ 'y=%(a)s %(b)05d'|format(a=1,b=2) }} {{ '%(a)s' % {'a': 5} }} {{ '%+d % d %o %X %e %G %c %c' % (1,2,8,255,1.5,0.0001,65,'z') }} {{ '%10.3f|%-10s|%010d|%-5d|%+05d' % (3.14159,'ab',42,7,-7) }} {{ '%*d' % (5,3) }} {{ '%.2s' % 'abc' }} {{ '%5.1s|' % 'abc' }} {{ '%i %u' % (3.9, 4) }} {{ '%#x %#o' % (255, 8) }} {{ '%5c|' % 'x' }} {{ '%s' % {'a':1} }} {{ '%.0f %.3g %g %g' % (2.5, 1234.5, 1e20, 0.00001) }}",
    "{{ strftime_now('%A %a %B %b %d %-d %j %p %I %y %m %-m %U %W %w %u %G %V %c %x %X %Z|%z %% %e %D %F %T %R %C %k %l %P %r %g %h %n%t %^a %_m %0e') }}",
    "{{ '{:>5}{:^5}{:=+6d}{:_}{:#x}{:g}{:.3}{:.0f}{:e}'.format('é','b',3,1234567,255,1e10,2.0,2.5,0.0) }} {{ '{:b}{:o}{:X}{:c}'.format(5,8,255,97) }} {{ '{!s:>4}{a!r}'.format(1,a='x') }} {{ '{:10}|{:10}|'.format('a',1) }} {{ '{:,.2f} {:06.1f} {:+}'.format(1234567.891, 3.14159, 5) }}",
    "{{ '{}'.format() }}",
    "{{ '{x}'.format(1) }}",
    "{{ '{'.format(1) }}",
    "{{ '{:d}'.format('a') }}",
    "{{ '{:s}'.format(1) }}",
    '{% for x in [1,[2,[3]]] recursive %}{% if x is sequence %}<{{ loop(x) }}>{% else %}{{ x }}{% endif %}{{ loop.depth0 }}{% endfor %}',
    '{% for x in [1] %}{{ loop([2]) }}{% endfor %}',
    "{{ [1,2,3]|batch(2)|map('list')|list }} {% for row in range(7)|batch(3, '-') %}{{ row|join(',') }};{% endfor %} {% for col in range(7)|slice(3) %}{{ col|join(',') }};{% endfor %}",
    "{% for g, items in u|groupby('k.v', default='zz') %}{{ g }}={{ items|length }};{% endfor %} {% for g, items in ['b','A','a']|groupby(0) %}{{ g }}:{{ items|join }};{% endfor %}",
    "{{ 'a b\\nc d e'|wordwrap(3) }}|{{ 'abcdefgh ij'|wordwrap(4) }}|{{ 'abcdefgh ij'|wordwrap(4, false) }}|{{ 'a b c'|wordwrap(2, wrapstring='/') }}",
    "{{ 'hello'|first }}{{ 'hello'|last }}{{ {'a':1,'b':2}|first }}{{ 'hello'|reverse }}",
    '{{ \'ß\'|upper }} {{ \'é\'|title }} {{ "o\'neil mc-donald"|title }} {{ \'a.b c\'|title }}',
    "{{ 1 is number and true is not string or false }} {{ not d is mapping }} {{ (1 is odd) ~ '' }}",
    '{{ range(3)|list|string }} {{ range(3)|length }} {{ range(3)[1] }} {{ 2 in range(3) }} {{ range(5)|sum }}',
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
