#!/usr/bin/env python3
"""Compares our interpreter with Jinja2 on whole chat templates and many conversations, by hand.

    check_templates.py TEST_CHAT FOLDER-OF-JINJA-FILES      (TEST_CHAT: the built test program tests/text/test_chat)

The program is run as `test_chat render`, with one JSON object per line on its input: {"template", "args"}; it answers
with {"text"} or {"error"} per line. Tells the share of cases that agree byte for byte (both refusing counts as
agreeing).
"""
import glob
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from jinja_hf import render  # noqa: E402

NOW = 1768478400
USER = {"role": "user", "content": "What's the weather in Paris & \"Rome\"? \u00e9\u4e1c\U0001f680"}
SYSTEM = {"role": "system", "content": "You are  terse.\n"}
ANSWER = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nSunny. "}
CALL = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "id": "call00001", "function": {
    "name": "weather", "arguments": {"city": "Paris", "days": 3, "x": [1.5, None, True]}}}]}
CALL_TEXT = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "id": "call00001", "function": {
    "name": "weather", "arguments": "{\"city\": \"Paris\"}"}}]}
RESULT = {"role": "tool", "name": "weather", "tool_call_id": "call00001", "content": "{\"t\": 21}"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "text", "text": "this."}]}
REASON = {"role": "assistant", "content": "Yes.", "reasoning_content": "Let me see."}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Tells the weather.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "Where"},
                                     "days": {"type": "integer", "enum": [1, 3], "default": 1},
                                     "opt": {"type": ["string", "null"]}, "list": {"type": "array", "items": {
                                         "type": "object", "properties": {"a": {"type": "number"}}}}},
    "required": ["city"]}, "return": {"type": "string"}}}]

CASES = {
    "user": dict(messages=[USER]), "system": dict(messages=[SYSTEM, USER]),
    "turns": dict(messages=[USER, ANSWER, USER]),
    "no prompt": dict(messages=[USER, ANSWER], add_generation_prompt=False),
    "system turns": dict(messages=[SYSTEM, USER, ANSWER, USER, REASON, USER]), "parts": dict(messages=[PARTS]),
    "tools": dict(messages=[USER], tools=TOOLS), "system tools": dict(messages=[SYSTEM, USER], tools=TOOLS),
    "call": dict(messages=[USER, CALL, RESULT], tools=TOOLS),
    "call text": dict(messages=[USER, CALL_TEXT, RESULT], tools=TOOLS),
    "call and on": dict(messages=[SYSTEM, USER, CALL, RESULT, ANSWER, USER], tools=TOOLS),
    "thinking": dict(messages=[USER], enable_thinking=True),
    "no thinking": dict(messages=[SYSTEM, USER], enable_thinking=False),
    "assistant first": dict(messages=[ANSWER, USER]),
    "two users": dict(messages=[USER, USER]), "none": dict(messages=[]),
    "odd role": dict(messages=[{"role": "robot", "content": "hi"}]),
    "documents": dict(messages=[USER], documents=[{"title": "T", "text": "Some <b>text</b>", "doc_id": 1}]),
}


def main():
    jobs = []
    for path in sorted(glob.glob(os.path.join(sys.argv[2], "*.jinja"))):
        source = open(path, encoding="utf-8", newline="").read()
        for name, args in CASES.items():
            v = dict(add_generation_prompt=True, tools=None, documents=None, bos_token="<s>", eos_token="</s>")
            v.update(args)
            jobs.append((os.path.basename(path), name, source, v))
    lines = "".join(json.dumps({"template": s, "args": v, "now": NOW}) + "\n" for _, _, s, v in jobs)
    out = subprocess.run([sys.argv[1], "render"], input=lines, capture_output=True, text=True, check=True).stdout
    same, bad, refused = 0, {}, 0
    for (path, name, source, v), line in zip(jobs, out.split("\n")):
        got = json.loads(line)
        want, error = render(source, v, NOW)
        if got.get("text") == want:
            same += 1
            refused += want is None
        else:
            bad.setdefault(path, []).append((name, want, error, got))
    for path, cases in bad.items():
        name, want, error, got = cases[0]
        print(f"{path}: {len(cases)} differ, first '{name}': {error or 'text'} / {got.get('error', 'text')}")
        if want is not None and "text" in got:
            pairs = enumerate(zip(want, got["text"]))
            at = next((i for i, (a, b) in pairs if a != b), min(len(want), len(got["text"])))
            print(f"    at {at}: {want[max(0, at - 30):at + 40]!r}\n        {got['text'][max(0, at - 30):at + 40]!r}")
    print(f"{same} of {len(jobs)} cases agree ({refused} of them refused by both); "
          f"{len(bad)} templates with differences")


main()
