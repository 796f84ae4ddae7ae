#!/usr/bin/env python3
"""Writes tests/text/data/jinja.json: small templates and what Jinja2, set up as `transformers` does, makes of them.

    tests/oracle/make_jinja_goldens.py > tests/text/data/jinja.json

Each case is [template, text], or [template, null] where Jinja2 refuses. All see the variables of VARIABLES.
Needs the Python package jinja2 (3.1.6 when last used).
"""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from jinja_hf import render  # noqa: E402

NOW = 1768478400
VARIABLES = {
    "s": "Hello World", "u": "na\u00efve \u4e1c\u4eac \U0001f680", "e": "", "sp": "  two  words \n", "n": None, "t": True, "f": False,
    "i": 42, "neg": -7, "x": 3.25, "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "el": [], "d": {"b": 1, "a": 2, "C": [1, {"k": "v"}]},
    "m": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q1"}, {"role": "assistant", "content": "A1"},
          {"role": "user", "content": "Q2"}],
    "p": [{"n": "x", "v": 2, "o": {"k": [1, 2]}}, {"n": "y", "v": 1, "o": {"k": [3, 4]}}, {"n": "X", "v": 2, "o": {"k": []}}],
    "lines": "a\nb\r\nc\n\nd", "html": "<a href='x'>&\"</a>", "num": "12.50", "items": 5, "deep": {"items": [1], "keys": 2, "x": {"y": {"z": 1}}},
}

EXPRESSIONS = r"""
1 + 2 * 3 | (1 + 2) * 3 | 2 ** 3 ** 2 | -2 ** 2 | 7 // 2 | -7 // 2 | 7 % 3 | -7 % 3 | 7 % -3 | 7 / 2 | 6 / 2 | 7.5 // 2 | -7.5 // 2
-7.5 % 2 | 1e3 | 1.5e-7 | 1e16 | 123456789012345680.0 | 0.1 + 0.2 | 1 / 3 | 2 ** -1 | 2 ** 0.5 | 10 ** 15 | 1_000 | 0x1F | 0b101 | 0o17
1 ~ 2 | 'a' ~ 1 + 2 ~ n | 'a' ~ t ~ x | 1 + 1 ~ 1 | 'a' + 'b' 'c' | 'ab' * 3 | 3 * 'ab' | 'x' * -1 | [1] + [2] | [1, 2] * 2 | (1,) + (2,)
not t | not not t | t and f | t or f | e or 'x' | s and e | n or 0 | f and undefinedname.x | t or undefinedname.x | not 1 == 2
1 < 2 < 3 | 1 < 3 < 2 | 1 == 1.0 | t == 1 | '1' == 1 | n == f | [1, 2] == [1, 2] | [1] == (1,) | [1, 2] < [1, 3] | 'a' < 'b' | 'a' < 1
(1, 'a') < (1, 'b') | d == {'b': 1, 'a': 2, 'C': [1, {'k': 'v'}]} | 3 in l | 4 not in l | 'ell' in s | '' in s | 'a' in d | 'z' in d | 2 in (1, 2)
1 in s | 'x' in undefinedname | undefinedname in [1] | undefinedname == undefinedname | undefinedname == n | undefinedname | undefinedname.x
undefinedname + 1 | undefinedname ~ 'x' | undefinedname is defined | undefinedname['x'] | undefinedname() | d.nothing | d.nothing.more | s.nothing
'a' if t else 'b' | 'a' if f else 'b' | 'a' if f | ('a' if f) ~ 'x' | 1 if t else 2 if f else 3 | [1, 2, 3][0] | l[-1] | l[5] | l[-9] | s[0] | s[-1] | u[6]
u[-1] | l[1:] | l[:-1] | l[::-1] | l[::2] | s[::-1] | s[2:5] | s[-3:] | s[:-3] | s[5:2] | s[::-2] | u[1:8] | u[::-1] | l[10:] | l[::0] | s[1:100] | s[4:1:-1]
(1, 2, 3)[1:] | range(5)[1:3] | range(10)[::3]|list | range(3) | range(1, 8, 3) | range(5, 0, -2) | range(3)|list | range(0) | range(1000000) | range(3)[1] | range(1, 2, 0)
d['a'] | d.a | d['C'][1].k | d.C[1]['k'] | deep.items | deep['items'] | deep.keys | deep['keys'] | deep.x.y.z | d.get('a') | d.get('q') | d.get('q', 5) | d.keys() | d.values()
d.items() | d.keys()|list | d.items()|list | {} | {'a': 1, 2: 'b', none: t} | {'a': 1, 'a': 2} | {[1]: 2} | {1.0: 'x', 1: 'y'} | [] | () | (1,) | [1, 'a', 2.5, none, true, {'x': [()]}]
['it\'s', "q\"q", 'both\'"'] | 'tab\tnl\nback\\' | ['tab\tnl\nback\\', u] | 'é\x41\u0042\U00000043\101' | '\q' | "a\
b" | 'a' 'b' | 1.0 | 100.0 | 1e100 | 1.0e-5 | 0.0001 | -0.0 | 12345678.9 | 5e-324 | 1.7976931348623157e308
none | None | true | True | [true, false, none] | -x | +x | -t | - -1 | -s | 1 - -1 | 1 +1 | i.nothing | i.5 | l.0 | l.1 | d.0
""".replace("\\\nb", "\x00").split("\n")

METHODS = r"""
s.upper() | s.lower() | s.title() | 'they\'re bill\'s'.title() | s.swapcase() | s.capitalize() | sp.strip() | sp.lstrip() | sp.rstrip() | 'xxaxx'.strip('x') | 'xyaxy'.lstrip('yx') | 'xyaxy'.rstrip('xy')
s.split() | s.split('o') | s.split('o', 1) | sp.split() | ' a b  c '.split(none, 1) | 'a,b,,c'.split(',') | ''.split(',') | ''.split() | s.split('') | 'a b c'.rsplit(' ', 1) | 'a b c '.rsplit(none, 1) | 'a,b,c'.rsplit(',') | ' a b c '.rsplit()
lines.splitlines() | lines.splitlines(true) | ''.splitlines() | s.startswith('Hell') | s.startswith(('x', 'H')) | s.endswith('ld') | s.endswith(('x', 'y')) | s.startswith('World', 6) | s.endswith('lo', 0, 5) | s.startswith(1)
s.replace('o', '0') | s.replace('o', '0', 1) | 'abc'.replace('', '-') | 'aaa'.replace('aa', 'b') | s.find('o') | s.find('zz') | s.rfind('o') | s.find('o', 5) | u.find('京') | s.index('W') | s.index('zz') | s.count('l') | s.count('') | 'aaaa'.count('aa')
', '.join(w) | ''.join([]) | ','.join([1, 2]) | '-'.join('abc') | s.removeprefix('Hello ') | s.removesuffix('World') | s.removeprefix('x') | '123'.isdigit() | '12a'.isdigit() | ''.isdigit() | 'abc'.isalpha() | 'a1'.isalnum() | ' \n'.isspace() | 'ABC'.isupper() | 'abc'.islower() | 'Ab'.isupper()
'a-b-c'.partition('-') | 'a-b-c'.rpartition('-') | 'abc'.partition('-') | 'abc'.rpartition('-') | 'ab'.ljust(5, '.') | 'ab'.rjust(5) ~ '|' | 'ab'.center(5, '*') | 'abc'.center(6) ~ '|' | '42'.zfill(5) | '-42'.zfill(5) | 'abc'.isascii() | u.isascii() | '½'.isnumeric() | '²'.isdigit()
'{} and {}'.format(1, 'b') | '{0}{1}{0}'.format('a', 'b') | '{x}-{y}'.format(x=1, y=2) | '{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c') | '{:.2f}'.format(3.14159) | '{:05d}'.format(42) | '{:,}'.format(1234567) | '{:x}'.format(255) | '{{}}{}'.format(1) | '{}'.format() | '{!r}'.format('a') | '{:*^7}'.format('ab') | '{:+d}'.format(5) | '{:.3}'.format('abcdef') | '{:%}'.format(0.25) | '{:e}'.format(12345.678) | '{:5}|'.format(3) | '{}'.format(1.0) | '{:#x}'.format(255)
'%s and %d' % ('a', 5) | '%s' % s | '%5.2f|' % 3.14159 | '%05d' % 42 | '%-5s|' % 'a' | '%x' % 255 | '%(a)s %(b)d' % {'a': 1, 'b': 2} | '%%' % () | '%s' % () | '%s %s' % ('a',) | 'a' % 1 | '%r' % 'q' | '%d' % 3.9 | '%d' % 'a' | '%e' % 1234.5 | '%g' % 0.0001 | '%+d' % 3 | '%c' % 'a' | '%s' % [1, 2] | '%s' % (n,)
l.count(1) | l.index(2) | l.index(9) | l.append(4) | l.pop() | l.insert(0, 1) | l.extend([1]) | l.reverse() | l.sort() | l.clear() | l.remove(1) | l.copy() | (1, 2, 1).count(1) | (1, 2).index(2) | d.update({'x': 1}) | d.pop('a') | d.clear() | d.setdefault('x', 1) | d.copy() | s.nope() | l.nope() | s.__class__ | d.__class__ | l.append
s.upper().lower().title() | s.split()[0].upper() | (s ~ '!').upper() | ['a', 'b'].index('b') | s.upper | 'ß'.lower() | 'ÀÉ'.lower() | 'àé'.upper() | u.upper() | u.title() | s.encode
""".split("\n")

FILTERS = r"""
sp|trim | 'xxaxx'|trim('x') | s|length | u|length | l|count | d|length | n|length | i|length | undefinedname|length | s|upper | s|lower | 'foo bar-baz (qux)'|title | "it's"|title | s|capitalize | i|string | i|upper
undefinedname|default('x') | undefinedname|d | e|default('x') | e|default('x', true) | n|default('x') | n|d('x', boolean=true) | d.q|default('z') | undefinedname.x|default('z') | l|join | l|join(', ') | p|join(',', attribute='n') | 'abc'|join('-') | undefinedname|join | i|join | w|join(d='+')
l|first | el|first | s|first | l|last | el|last | s|last | d|first | l|list | s|list | d|list | undefinedname|list | i|list | '12'|int | '12.7'|int | 'x'|int | 'x'|int(-1) | '0x1f'|int(base=16) | 'ff'|int(0, 16) | 3.9|int | t|int | n|int | undefinedname|int | ' 42 '|int | '1_000'|int | '1e3'|int | '-5'|int | 'inf'|int(3)
'1.5'|float | 'x'|float | 'x'|float(2.5) | 3|float | '1e3'|float | ' .5 '|float | '5.'|float | 'nan'|float | '-inf'|float | '1__0'|float | n|float | neg|abs | -1.5|abs | s|abs | 2.5|round | 3.5|round | 2.567|round(2) | 2.567|round(1, 'ceil') | 2.567|round(1, 'floor') | 42|round | 1234|round(-2) | 2.5|round(method='ceil') | 2.675|round(2) | -2.5|round | s|round
s|replace('o', '0') | s|replace('o', '0', 1) | 123|replace('2', 'x') | s|replace('l', '') | l|reverse|list | s|reverse | l|sort | l|sort(reverse=true) | w|sort | w|sort(case_sensitive=true) | w|sort(reverse=true) | p|sort(attribute='v')|map(attribute='n')|list | p|sort(attribute='v,n')|map(attribute='n')|list | [1, 'a']|sort | d|sort | [[2, 1], [1, 2]]|sort | p|sort(attribute='o.k')|map(attribute='n')|join
[1, 2, 1, 3]|unique|list | ['a', 'A', 'b']|unique|list | ['a', 'A']|unique(true)|list | p|unique(attribute='v')|map(attribute='n')|list | l|min | l|max | el|min | w|max | w|min(case_sensitive=true) | p|max(attribute='v') | p|min(attribute='v') | l|sum | p|sum(attribute='v') | l|sum(start=10) | el|sum | w|sum | [1.5, 2]|sum
p|map(attribute='n')|list | p|map(attribute='zz')|list | p|map(attribute='zz', default='-')|list | w|map('upper')|list | w|map('upper')|join(',') | p|map(attribute='o.k.0')|list | l|map('string')|list | ['a b', 'c']|map('replace', ' ', '_')|list | w|map('nosuch')|list | l|map|list | w|map('upper')|length | w|map('upper')[0] | w|map('upper')|first | w|map('upper')|last | p|map('attr', 'n')|list
l|select('odd')|list | l|reject('odd')|list | [0, 1, '', 'a']|select|list | [0, 1]|reject|list | p|selectattr('v', 'equalto', 2)|map(attribute='n')|list | p|selectattr('v')|list|length | p|rejectattr('v', '==', 2)|map(attribute='n')|list | m|selectattr('role', 'eq', 'user')|list|length | m|rejectattr('role', 'in', ['user', 'system'])|map(attribute='content')|list | p|selectattr('o.k')|map(attribute='n')|list | p|selectattr('q', 'defined')|list | l|select('gt', 1)|list | l|select('nosuch')|list | l|select('divisibleby', 3)|list
d|items|list | d.items()|list|length | undefinedname|items|list | l|items|list | d|dictsort | d|dictsort(true) | {'a': 2, 'b': 1}|dictsort(by='value') | d|dictsort(reverse=true) | 'a\nb\n\nc'|indent | 'a\nb'|indent(2) | 'a\nb'|indent(2, true) | 'a\n\nb'|indent(2, blank=true) | 'a\nb'|indent('> ') | 'a\nb'|indent(width=1, first=true) | ''|indent(2, true) | 'a\n'|indent
d|tojson | l|tojson | s|tojson | u|tojson | u|tojson(ensure_ascii=true) | n|tojson | t|tojson | x|tojson | 1.0|tojson | 1e22|tojson | html|tojson | d|tojson(indent=2) | d|tojson(indent=4, sort_keys=true) | {'b': 1, 'a': 2}|tojson(sort_keys=true) | d|tojson(separators=(',', ':')) | el|tojson(indent=2) | {}|tojson(indent=2) | {1: 2, none: 3, true: 4}|tojson | (1, 2)|tojson | undefinedname|tojson | 'a\tb\n\u0001\x7f\\'|tojson | [[], {}]|tojson(indent=1) | 'nan'|float|tojson | l|map('string')|tojson | {'a': [1, {'b': []}]}|tojson(indent='\t') | range(3)|tojson
html|e | html|escape | html|safe | (html|e) + '<' | '<' + (html|e) | (html|e) ~ '<' | html|e|e | html|forceescape | (html|e)|forceescape | [1, 2, 3, 4, 5]|batch(2)|list | [1, 2, 3]|batch(2, 'x')|list | [1, 2, 3, 4, 5]|slice(2)|list | [1, 2, 3]|slice(2, 'x')|list | [1, 2, 3, 4, 5, 6, 7]|slice(3)|list | p|groupby('v') | p|groupby('n')|map(attribute='grouper')|list | p|groupby('v')|map('last')|list|length
'one two  three'|wordcount | u|wordcount | 'Hello beautiful World'|truncate(10) | 'Hello beautiful World'|truncate(10, true) | 'Hello beautiful World'|truncate(10, true, '..', 0) | 'short'|truncate(10) | 'a b'|center(9) ~ '|' | 'ab'|center(5) ~ '|' | 'a b&c/é'|urlencode | {'a b': 1, 'c': 'd/e'}|urlencode | [('a', 1)]|urlencode | '%s-%s'|format(1, 'b') | '%(x)s'|format(x=3) | 1000|filesizeformat | 1|filesizeformat | 1500000|filesizeformat | 2048|filesizeformat(true) | d|attr('a') | s|attr('upper') | i|nosuch | -1|abs | neg|abs ~ 'x' | 1 + 2|string | [1, 2]|length > 1 | s|upper|lower|title | (1, 2)|join(',')
w|map('upper') is iterable | s|lower == 'hello world' | l|sort|first | 'a,b'|replace(',', ';')|upper | n|string | n|upper | x|string|length | l|string | d|string | undefinedname|string | undefinedname|upper | undefinedname|trim | undefinedname|first | undefinedname|sort | undefinedname|map('upper')|list | l|join(1, 2, 3, 4) | s|replace('a') | s|trim(nope=1)
""".split("\n")

TESTS = r"""
s is defined | q is defined | q is undefined | q is not defined | not q is defined | n is none | s is none | n is not none | s is string | i is string | d is mapping | l is mapping | l is sequence | s is sequence | d is sequence | i is sequence | l is iterable | i is iterable | i is number | x is number | t is number | s is number | i is integer | t is integer | x is integer | x is float | i is float | t is boolean | i is boolean | t is true | i is true | f is false | 0 is false
3 is odd | 4 is odd | 4 is even | 9 is divisibleby 3 | 9 is divisibleby(2) | 'A' is upper | 'a' is upper | 'a' is lower | '1' is lower | s is callable | s.upper is callable | range is callable | 1 is sameas 1 | t is sameas true | t is sameas 1 | n is sameas none | 1 is eq 1 | 1 is equalto 1.0 | 1 is ne 2 | 1 is lt 2 | 1 is gt 2 | 1 is ge 1 | 1 is le 0 | 1 is lessthan 2 | 1 is greaterthan 2 | 1 is in [1, 2] | 1 is not in [1, 2] | 'a' is in 'abc'
'upper' is filter | 'nosuch' is filter | 'odd' is test | html|e is escaped | html is escaped | s is nosuch | 1 is odd and 2 is even | 1 is odd == true | not 1 is even | s is string and i is number | q is none | q is string | q is mapping | q is iterable | q is sequence | q is callable | d.a is defined | d.zz is defined | d.zz.y is defined | d['a'] is defined and d['a'] == 2 | 'x' is divisibleby 2 | 2 is divisibleby 0 | s is defined is true | 3 is not even | -1 is odd | s is string if t else f
""".split("\n")

STATEMENTS = [
    "{% if t %}a{% endif %}", "{% if f %}a{% else %}b{% endif %}", "{% if f %}a{% elif t %}b{% else %}c{% endif %}", "{% if n %}a{% elif e %}b{% elif f %}c{% else %}d{% endif %}",
    "{% for i in l %}{{ i }},{% endfor %}", "{% for i in el %}x{% else %}empty{% endfor %}", "{% for i in l %}x{% else %}empty{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for c in u %}[{{ c }}]{% endfor %}", "{% for i in undefinedname %}x{% else %}e{% endfor %}", "{% for i in 5 %}{% endfor %}", "{% for i in n %}{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in ['xy'] %}{{ b }}{{ a }}{% endfor %}",
    "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}", "{% for i in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }}{% endfor %}",
    "{% for i in l %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}", "{% for i in l if i > 1 %}{{ loop.index }}/{{ loop.length }}:{{ i }}{% if not loop.last %},{% endif %}{% endfor %}", "{% for i in l if i > 5 %}x{% else %}none{% endfor %}",
    "{% for i in range(10) %}{% if i == 3 %}{% continue %}{% endif %}{% if i == 6 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in l %}{% break %}{% else %}no{% endfor %}", "{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
    "{% for i in l %}{% for j in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{% for i in l %}{% set o = loop %}{% for j in [1] %}{{ o.index }}{% endfor %}{% endfor %}", "{% break %}", "{{ loop }}", "{{ loop.index }}", "{% for i in l %}{{ loop.nothing }}{% endfor %}",
    "{% set x = 1 %}{% for i in l %}{{ x }}{% set x = x + 1 %}{{ x }} {% endfor %}{{ x }}", "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}", "{% for i in l %}{% set y = i %}{% endfor %}{{ y is defined }}", "{% for i in l %}{% endfor %}{{ i }}",
    "{% set ns = namespace(c=0) %}{% for i in l %}{% set ns.c = ns.c + i %}{% endfor %}{{ ns.c }}", "{% set ns = namespace() %}{% set ns.x = 'a' %}{{ ns.x }}{{ ns.y }}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns['a'] }}", "{% set d.x = 1 %}", "{% set q.x = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = [1, 2, 3] %}", "{% set a = 1, 2 %}{{ a }}", "{% set (a, b) = (1, 2) %}{{ b }}", "{% set x %}hi {{ s }}{% endset %}[{{ x }}]", "{% set x | upper | replace('H', 'J') %}hi{% endset %}{{ x }}", "{% set x %}{% set y = 1 %}{% endset %}{{ y is defined }}",
    "{% macro f(a, b=2) %}{{ a }}-{{ b }};{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(b=5, a=4) }}{{ f() }}", "{% macro f(a, b=a) %}{{ b }}{% endmacro %}{{ f(7) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(z=2) }}", "{% macro f(a) %}{% endmacro %}{{ f(1, a=2) }}",
    "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, x=3) }}", "{% macro f(a) %}{{ a }}{{ varargs|length }}{% endmacro %}{{ f(1, 2, 3) }}", "{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}body{% endcall %}", "{% macro f() %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(x) f() %}<{{ x }}>{% endcall %}",
    "{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}", "{% macro f() %}x{% endmacro %}{% call f() %}b{% endcall %}", "{% set z = 5 %}{% macro f() %}{{ z }}{% endmacro %}{% set z = 6 %}{{ f() }}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro f() %}{% set q = 1 %}{% endmacro %}{{ f() }}{{ q is defined }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f.name }}",
    "{% macro f(x) %}{{ x|upper }}{% endmacro %}{{ f('a') ~ f('b') }}", "{% macro f(a, *b) %}{% endmacro %}", "{% macro f(a=1, b) %}{% endmacro %}", "{{ f() }}{% macro f() %}x{% endmacro %}", "{% for i in l %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}", "{% macro f(l) %}{{ l }}{% endmacro %}{{ f(*[1]) }}{{ f(**{'l': 2}) }}",
    "{% filter upper %}abc {{ s }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}banana{% endfilter %}", "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% with %}{% set q = 3 %}{{ q }}{% endwith %}{{ q }}", "{% set a = 1 %}{% with a = 2, b = a %}{{ b }}{% endwith %}", "{% generation %}gen {{ s }}{% endgeneration %}!", "{% for x in l %}{% generation %}{{ x }}{% endgeneration %}{% endfor %}", "{% set q = 1 %}{% generation %}{% set q = 2 %}{% endgeneration %}{{ q }}",
    "{% print 1, 'a' %}", "{% raw %}{{ x }}{% if %}{% endraw %}", "{%- raw -%}  {{ x }}  {%- endraw -%}  y", "a {% raw %}\n b{% endraw %}\n c", "{# comment #}x", "a{#- comment -#} b", "a {# {{ x }} #} b", "{# a\nb #}\nx",
    "  {% if t %}\n  a\n  {% endif %}\nb", "a\n  {%- if t %}\n  b\n  {%- endif %}\nc", "a  {{- ' b ' -}}  c", "a\n{%+ if t %} b{% endif %}", "  {%+ if t %}b{% endif %}", "{% if t +%}\n b{% endif %}", "{% if t -%}\n\n b{% endif %}", "a\n\n{% set x = 1 %}\n\nb", "x {% if t %}  y  {% endif %}  z", "\t{% if t %}x{% endif %}\t\n", "line\n", "line\n\n", "\n", "", "a\r\nb\rc", "  {# c #}\nx", "  {{ s }}\n", "{{ s }}\n{{ s }}\n", "a\n    {% for i in l %}\n    {{ i }}\n    {% endfor %}\nb\n", "{% if t %}\n\n\nx{% endif %}", "{{ '{{' }}{{ '}}' }}{{ '%}' }}", "{{ {'a': {'b': 1}}.a.b }}", "{{ {'a': {'b': 1}} }}", "{{-s-}}", "{%-if t-%}x{%-endif-%}", "{{ s -}}  \n  {{- s }}", "\u00a0{%- if t %}x{% endif %}", "a {%- set x = 1 +%}\nb",
    "{{ raise_exception('No way: ' ~ s) }}", "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}", "{{ strftime_now('%d %b %Y') }}", "{{ strftime_now('%A %B %-d %j %p %I %y %% %U %W %V %G %u %w') }}", "{{ strftime_now('%e|%a|%D|%F|%T|%R|%c|%x|%X|%f') }}", "{{ dict(a=1, b=2) }}", "{{ dict([('a', 1)], b=2) }}", "{{ dict({'x': 1}) }}", "{{ range(3)|join }}", "{{ namespace(a=1).a }}", "{{ joiner }}", "{{ nosuch() }}", "{{ range() }}", "{{ range('a') }}",
    "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% do l.append(1) %}", "{% nosuch %}", "{% if %}{% endif %}", "{% if t %}", "{% endif %}", "{% for %}{% endfor %}", "{% for i l %}{% endfor %}", "{{ }}", "{{ 1 + }}", "{{ (1 }}", "{{ 1) }}", "{{ 'a }}", "{{ a b }}", "{% set %}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{{ 1 | }}", "{{ a.'b' }}", "{{ f(a=1, 2) }}", "{% else %}", "{{", "{%", "{#", "{% raw %}", "{{ $ }}", "{{ a ? b }}", "{{ a[1 }}", "{{ [1, }}", "{{ {1} }}", "{% if t %}{% else %}{% elif %}{% endif %}", "{{ x is }}", "{{ not }}", "{{ 1 if }}", "}}", "%}", "#}", "{ {", "{{ '' }}{% if '' %}{% endif %}",
    "{% for m_ in m %}{% if m_.role == 'user' %}U:{{ m_.content }}{% elif m_['role'] == 'assistant' %}A:{{ m_['content'] }}{% endif %}{% endfor %}", "{{ m[0].role }}{{ m[-1]['content'] }}{{ (m|last).content }}", "{% for x in m[1:] %}{{ x.content }}{% endfor %}", "{% for x in m[::-1] %}{{ x.content }}{% endfor %}", "{% if m[0]['role'] == 'system' %}{% set sys = m[0]['content'] %}{% set rest = m[1:] %}{% else %}{% set rest = m %}{% endif %}{{ sys }}{{ rest|length }}",
    "{% set g = l|map('string') %}{% for x in g %}{{ x }}{% endfor %}{% for x in g %}{{ x }}{% endfor %}!", "{% set g = l|select %}{{ g|list }}{{ g|list }}", "{% set x = [] %}{% for i in l %}{% set x = x + [i * 2] %}{% endfor %}{{ x }}", "{% set ns = namespace(x=[]) %}{% for i in l %}{% set ns.x = ns.x + [i * 2] %}{% endfor %}{{ ns.x }}", "{% if l|length == 3 and (d.a == 2 or f) %}ok{% endif %}", "{% if s is string and 'Hello' in s %}ok{% endif %}", "{{ '\\n' }}|{{ \"\\\"\" }}", "{% if f %}{{ s|nosuch }}{% endif %}ok", "{% if t %}{{ s|nosuch }}{% endif %}", "{{ s|nosuch }}", "{% if f %}{{ s is nosuch }}{% endif %}ok",
    "{% for i in range(3) recursive %}{% endfor %}x" if False else "x", "{% for k, v in d|dictsort %}{{ k }}{{ v }};{% endfor %}", "{% for g, xs in p|groupby('v') %}{{ g }}:{{ xs|map(attribute='n')|join }} {% endfor %}", "{% for g in p|groupby('v') %}{{ g.grouper }}{{ g.list|length }}{% endfor %}", "{% for row in [1,2,3]|batch(2) %}{{ row }}{% endfor %}", "{% for i in l|sort %}{{ i }}{% endfor %}", "{% for i in l|reverse %}{{ i }}{% endfor %}", "{% for i in 'a', 'b' %}{{ i }}{% endfor %}", "{% for i in (1, 2) if t else [] %}{{ i }}{% endfor %}",
    "{%- set a = namespace(b=none) -%}{%- set a.b = {'x': 1} -%}{{ a.b.x }}", "{% set x = 'a' if f else 'b' %}{{ x }}", "{{ 'yes' if 'x' in undefinedname else 'no' }}", "{% if undefinedname %}a{% else %}b{% endif %}", "{% if not undefinedname %}a{% endif %}", "{% if undefinedname is defined and undefinedname.x %}a{% else %}b{% endif %}", "{% for i in l %}{{ i }}{{ ',' if not loop.last }}{% endfor %}", "{{ {'role': 'x'}['role'] }}", "{{ [{'a': 1}][0].a }}", "{{ (l|map('string')|list)[0] }}", "{{ l[0:2]|join('-') }}", "{% set k = 'a' %}{{ d[k] }}", "{{ d['C'][1]['k']|upper }}", "{{ 1 }}{{ 2 }}  {{ 3 }}", "{{ s }}{# c #}{{ s }}", "{% if t %}{% if f %}a{% else %}b{% endif %}{% endif %}",
    "{% for i in l %}{% continue %}{% else %}no{% endfor %}", "{% set ns = namespace(done=false) %}{% for i in l if not ns.done %}{{ i }}{% set ns.done = true %}{% endfor %}", "{% set ns = namespace(done=false) %}{% for i in l if not ns.done %}{{ i }}{{ loop.last }}{% set ns.done = true %}{% endfor %}",
    "{% for i in l if i > 1 and loop.index %}{{ i }}{% endfor %}", "{% for i in l %}{{ loop.index is odd }}{% endfor %}", "{{ l.append is defined }}", "{{ d.update }}x", "{% if l.append %}a{% else %}b{% endif %}", "{{ '%s' % undefinedname }}|{{ '{}'.format(undefinedname) }}", "{{ [undefinedname] }}", "{{ [undefinedname, 1]|join(',') }}", "{{ {'a': undefinedname}|tojson }}",
    "{{ u|tojson|length }}{{ html|tojson }}", "{{ 1.5|tojson }}{{ 100|tojson }}{{ -0.0|tojson }}", "{{ (1.0, 2)|list }}", "{{ x|int }}{{ '3'|int + 1 }}", "{{ ''.join(['a', 'b'])|upper }}", "{{ 'a' in ['a', 'b'] and not 'c' in 'abd' }}", "{{ 'a' not in d }}", "{{ 1 if l else 2 }}{{ 1 if el else 2 }}", "{{ l is sequence and l is not string }}", "{{ m|map(attribute='role')|unique|join(',') }}", "{{ m|map(attribute='content')|map('lower')|join }}",
    "{% macro a(x) -%}\n  {{ x }}\n{%- endmacro %}[{{ a(1) }}]", "{% macro a(x) %}\n  {{ x }}\n{% endmacro %}[{{ a(1) }}]", "{% set x -%}\n  a\n{%- endset %}[{{ x }}]", "{%- for i in l -%}\n  {{ i }}\n{%- endfor -%}", "{% for i in l -%}\n  {{ i }}\n{% endfor %}", "  {#- c -#}  x", "{{- '' }}  a", "a\n  {{ '' }}\n  {%- set x=1 %}\nb", "{%- macro z() %}{{ caller('q') }}{% endmacro %}{% call(a, b=2) z() %}{{ a }}{{ b }}{% endcall %}",
    "{{ s[:5] ~ s[5:] }}", "{{ s[none:3] }}", "{{ s['0'] }}", "{{ l['a'] }}", "{{ l[1.0] }}", "{{ d[l] }}", "{{ s[1:'a'] }}", "{{ (l, 1)[0][1] }}", "{{ {'a': 1}.items()|first }}", "{% for k in d.keys() %}{{ k }}{% endfor %}{{ d.keys()|length }}", "{{ d.values()|list|length }}", "{{ 'a' in d.keys() }}", "{{ ('a', 2) in d.items() }}", "{{ d.keys()[0] }}",
    "{{ 9007199254740993 }}{{ 2 ** 62 }}", "{{ 1e15 }} {{ 1e-4 }} {{ 123456789.123 }} {{ 1.0e10 }}", "{{ 5 // 0 }}", "{{ 5 % 0 }}", "{{ 5.0 / 0 }}", "{{ 0 ** -1 }}", "{{ 7 // -2 }}{{ -7 // -2 }}{{ 7.0 % -3 }}", "{{ true + true }}{{ true * 3 }}{{ -true }}", "{{ 3 > 2 > 1 }}{{ 3 > 2 == true }}", "{{ n == undefinedname }}", "{{ n ~ t ~ 1.0 ~ l }}", "{{ [1, 2, 3] | sum / 2 }}", "{{ 2 * 3 ~ 'a' }}", "{{ 'a' ~ 'b' if f else 'c' ~ 'd' }}", "{{ not s }}{{ not (s and f) }}", "{{ s|length > 3 and 'W' in s }}", "{{ -7|abs }}{{ (-7)|abs }}", "{{ -i|abs }}", "{{ 2 ** 3|string }}",
    "{{ s | replace('World', u) | upper | length }}", "{{ ['x', 'y'] | join(s) }}", "{{ 'a\\nb' | indent(2) | tojson }}", "{{ s|upper() }}", "{{ loop is defined }}", "{% for x in [1] %}{% endfor %}{{ loop is defined }}", "{{ true|string|lower }}{{ none|string }}", "{{ caller is defined }}", "{{ 1|e }}{{ none|e }}", "{{ '<' ~ '>'|e }}", "{{ 'x' if undefinedname.y is defined }}", "{{ undefinedname|int(3) }}",
]


def main():
    templates = []
    for group in (EXPRESSIONS, METHODS, FILTERS, TESTS):
        for line in group:
            templates += ["{{ " + x.strip() + " }}" for x in line.replace("\x00", "\\\nb").split(" | ") if x.strip()]
    seen, cases = set(), []
    for t in templates + STATEMENTS:
        text, error = render(t, VARIABLES, NOW)
        if t in seen or (text and (" at 0x" in text or "<Macro" in text or "<built-in" in text or "<bound" in text or "<class" in text)):
            continue
        seen.add(t)
        cases.append([t, text])
        if len(sys.argv) > 1:
            print(repr(t), error, file=sys.stderr)
    print('{"now": %d, "variables": %s,\n"cases": [' % (NOW, json.dumps(VARIABLES)))
    print(",\n".join(json.dumps(c) for c in cases))
    print("]}")


main()
