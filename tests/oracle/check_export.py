#!/usr/bin/env python3
"""Checks `recipe export --llama` against llama.cpp itself: random recipes on many model shapes, exported, read by
llama-quantize --dry-run, and compared tensor by tensor with `recipe resolve`.

Source of llama-quantize: llama.cpp at commit 0c1e57098 (MIT licence). Needs the Python packages numpy and gguf.

    check_export.py QUANTSCAPE LLAMA-QUANTIZE [RECIPES-PER-MODEL]
"""
import json
import os
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from make_preset_goldens import dry_run, models, write_model  # noqa: E402

TYPES = "Q8_0 Q6_K Q5_K Q4_K Q4_0 Q4_1 Q5_0 Q5_1 IQ4_NL IQ4_XS F16 BF16 MXFP4".split()
PRESETS = "Q4_K_M Q5_K_M Q3_K_L Q2_K IQ4_XS IQ3_M Q4_0 Q8_0 IQ2_M TQ1_0".split()
ATOMS = (r"attn ffn_ \. \d+ \w+ [0-9] [a-f] [^x] (q|k) (?:up|gate) weight $ ^blk . _ v down? [0-3]+ blk\.1 (1|2)\. "
         r"\b output .* .+? (?!z) {2} e{1,2} [.] [\w.] \s? ( ) | ^ n* [q-v] \- - token_embd").split()


def recipe(rng, names):
    lines = ["preset = " + rng.choice(PRESETS)]
    for key, chance in (("pure = yes", .15), ("leave-output = yes", .1), ("steady = yes", .5)):
        if rng.random() < chance:
            lines.append(key)
    for key in ("output-type", "token-embd-type"):
        if rng.random() < .2:
            lines.append("%s = %s" % (key, rng.choice(["Q8_0", "F16", "Q5_0"])))
    for name in rng.sample(names, min(len(names), rng.randrange(0, 4))):
        lines.append("pin %s = %s" % (name, rng.choice(TYPES)))
    for _ in range(rng.randrange(0, 4)):
        pattern = "".join(rng.choice(ATOMS) for _ in range(rng.randrange(1, 6)))
        lines.append("rule %s = %s" % (pattern, rng.choice(TYPES)))
    return "\n".join(lines) + "\n"


def ours(tool, args):
    p = subprocess.run([tool, "recipe"] + args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return p.returncode, p.stdout, p.stderr


def main():
    tool, quantize, each = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 60
    rng, done, refused, bad = random.Random(7), 0, {}, 0
    for m in models():
        with tempfile.TemporaryDirectory() as d:
            path, rec, rules = (os.path.join(d, x) for x in ("m.gguf", "r.recipe", "rules.txt"))
            write_model(m, path)
            names = [n for n, _, _ in m.tensors]
            matrices = [n for n, t, ne in m.tensors if len(ne) > 1 and "norm" not in n and "_inp" not in n]
            before = done
            for _ in range(25 * each):
                if done - before == each:
                    break
                text = recipe(rng, matrices)
                open(rec, "w").write(text)
                code, out, err = ours(tool, ["resolve", "--json", rec, path])
                if code:
                    key = re.sub(r".*: ", "", err.strip())[:40] if "llama" in err else "recipe refused"
                    refused[key] = refused.get(key, 0) + 1
                    continue
                want = {t["name"]: t["to"] for t in json.loads(out)["tensors"]}
                code, out, err = ours(tool, ["export", "--llama", "--json", "-f", "-o", rules, rec, path])
                if code:
                    key = re.sub(r".*: ", "", err.strip())[:60]
                    refused[key] = refused.get(key, 0) + 1
                    continue
                exported, _ = json.JSONDecoder().raw_decode(out)
                args = exported["export"]["arguments"].split()
                preset = args[-1]
                options = [rules if a == "RULES" else a for a in args[:-3]]
                got, at, lines = dry_run(quantize, path, preset, options)
                done += 1
                if got is None:
                    bad += 1
                    print("stops: %s\n%s\n%s" % (m.name, text, "\n".join(lines[-5:])))
                    continue
                for n in names:
                    if got[n].upper() != want[n].upper():
                        bad += 1
                        print("%s: %s: %s here, %s there\n%s" % (m.name, n, want[n], got[n], text))
                        break
    print("%d recipes compared, %d differ; not compared: %s" % (done, bad, refused))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
