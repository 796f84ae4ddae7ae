"""Jinja2 set up as the Python package `transformers` sets it up for chat templates
(its utils/chat_template_utils.py), for the scripts beside this file. Needs the Python package jinja2 (3.1.6 when last
used)."""
import datetime
import json

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """The block `generation`: its text is written as it is."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


def environment(now):
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    clock = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).replace(tzinfo=None)
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: clock.strftime(f)
    return env


def render(source, variables, now):
    """(text, None) or (None, kind of error)."""
    try:
        return environment(now).from_string(source).render(**variables), None
    except Exception as e:  # noqa: BLE001: whatever Python raises is a refusal
        return None, f"{type(e).__name__}: {e}"
