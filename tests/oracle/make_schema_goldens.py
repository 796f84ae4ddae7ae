#!/usr/bin/env python3
"""Makes tests/quant/snapshots/schema-*.txt from llama.cpp's own snapshots of real models.

Source: tests/snapshots/*.schema of llama.cpp at commit 0c1e57098 (MIT licence). Those files list, for every file type,
the tensors whose type differs from the base. Row lengths are not in them (the test there fetches headers over the
network); they follow here from the published configurations, and the script stops where the snapshot contradicts them:
rows that are no multiple of 256 show as Q8_0 in the section of Q6_K.

    make_schema_goldens.py FOLDER-OF-SCHEMAS OUTPUT-FOLDER

Tensors that have the base type in every section are missing from a snapshot. For experts they are completed (a block
with ffn_down_exps has its siblings too); attn_v_b of DeepSeek is left out.
"""
import glob
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_preset_goldens import ranges, shuffled  # noqa: E402

# arch, head size, ff of an expert, of a shared expert, columns of ssm_out
CONFIG = {
    "deepseek-v3.1": ("deepseek2", 128, 2048, 2048, 0),
    "gemma-3-4b-it": ("gemma3", 256, 0, 0, 0),
    "glm-4.6v": ("glm4moe", 128, 1408, 1408, 0),
    "gpt-oss-120b": ("gpt-oss", 64, 2880, 0, 0),
    "meta-llama-3.1-70b-instruct": ("llama", 128, 0, 0, 0),
    "nvidia-nemotron-3-nano-30b-a3b": ("nemotron_h_moe", 128, 1856, 3712, 4096),
    "qwen3-0.6b": ("qwen3", 128, 0, 0, 0),
    "qwen3-14b": ("qwen3", 128, 0, 0, 0),
    "qwen3-coder-next": ("qwen3next", 256, 512, 512, 4096),
    "qwen3.5-397b-a17b": ("qwen35moe", 256, 1024, 1024, 8192),
    "qwen3.6-27b": ("qwen35", 256, 0, 0, 6144),
    "step-3.5-flash": ("step35", 128, 1280, 1280, 0),
}


def read_schema(path):
    hp, sections = {}, {}
    for line in open(path):
        line = line.rstrip("\n")
        if line.startswith("# n_embd"):
            hp = {k[2:]: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)}
        elif line.startswith("["):
            preset, base = re.match(r"\[(\w+)\] (\w+)", line).groups()
            sections[preset] = (base, {})
            current = sections[preset][1]
        elif line and line[0] != "#":
            name, typ = line.rsplit(" ", 1)
            current[name] = typ
    return hp, sections


def shape(name, hp, cfg):
    arch, head, ffx, ffs, ssm_out = cfg
    last = name.split(".")[2] if name.startswith("blk.") else name
    cols = {"ffn_down": hp["ff"], "ffn_down_exps": ffx, "ffn_down_shexp": ffs, "attn_output": hp["head"] * head,
            "ssm_out": ssm_out, "attn_q_b": 1536, "attn_k_b": 128}.get(last, hp["embd"])
    third = hp.get("expert", 0) if last.endswith("_exps") else 128 if last == "attn_k_b" else 0
    return [cols, 256] + ([third] if third else [])


def main():
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.schema"))):
        name = os.path.basename(path)[:-len(".schema")]
        hp, sections = read_schema(path)
        cfg = CONFIG[name]
        names = {n for _, s in sections.values() for n in s}
        for n in [n for n in names if n.endswith("ffn_down_exps.weight")]:
            names.add(n.replace("down", "up"))
            if any("ffn_gate_exps" in x for x in names):
                names.add(n.replace("down", "gate"))
        order = shuffled(sorted(names))
        for n in order:
            base, s = sections["Q6_K"]
            ragged = shape(n, hp, cfg)[0] % 256 != 0
            if (s.get(n, base) == "q8_0") != ragged:
                sys.exit("%s: %s: row length contradicts the snapshot" % (name, n))
        out = ["# Made by tests/oracle/make_schema_goldens.py from llama.cpp 0c1e57098 (tests/snapshots).",
               "model " + name, "arch " + cfg[0],
               "hparams embd=%d ff=%d layers=%d heads=%d kv=%d experts=%d" % (
                   hp["embd"], hp["ff"], hp["layer"], hp["head"], hp["head_kv"], hp.get("expert", 0))]
        out += ["tensor %s F32 %s" % (n, " ".join(map(str, shape(n, hp, cfg)))) for n in order]
        for preset, (base, s) in sections.items():
            by = {}
            for i, n in enumerate(order):
                by.setdefault(s.get(n, base).upper(), []).append(i)
            out.append("run " + preset + " :" + "".join(" %s=%s" % (t, ranges(ix)) for t, ix in sorted(by.items())))
        with open(os.path.join(sys.argv[2], "schema-" + name + ".txt"), "w") as f:
            f.write("\n".join(out) + "\n")
        print(name, len(order), "tensors,", len(sections), "file types")


if __name__ == "__main__":
    main()
