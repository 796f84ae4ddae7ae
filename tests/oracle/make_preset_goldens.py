#!/usr/bin/env python3
"""Makes tests/quant/snapshots/dryrun-*.txt: the type llama-quantize gives to every tensor of many model shapes.

Source: llama.cpp at commit 0c1e57098 (MIT licence), its program llama-quantize with --dry-run, run on header-only GGUF
files made here (the tensor data is a hole). Needs the Python packages numpy and gguf.

    make_preset_goldens.py LLAMA-QUANTIZE OUTPUT-FOLDER [MODEL...]

The files hold facts only: shapes, options, types. Their form is described in tests/quant/golden.h.
"""
import os
import re
import struct
import subprocess
import sys
import tempfile

import numpy as np
import gguf

PRESETS = ("F32 BF16 F16 Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS MXFP4_MOE Q3_K_L "
           "Q3_K_M Q3_K_S IQ3_M IQ3_S IQ3_XS IQ3_XXS Q2_K Q2_K_S IQ2_M IQ2_S IQ2_XS IQ2_XXS Q2_0 TQ2_0 TQ1_0 IQ1_M "
           "IQ1_S Q1_0 COPY").split()
FEW = "Q8_0 Q5_K_M Q4_K_M Q4_0 IQ4_XS Q3_K_M IQ3_XS Q2_K IQ2_M TQ1_0 F16 BF16 MXFP4_MOE".split()


class Model:
    def __init__(self, name, arch, **hp):
        self.name, self.arch, self.hp, self.tensors, self.runs = name, arch, hp, [], []
        self.extra = {}

    def t(self, name, *ne, type="F16"):
        self.tensors.append((name, type, list(ne)))

    def norm(self, name, n):
        self.t(name, n, type="F32")


def kv_of(m):
    """Metadata that the loaders insist on, beside what the shape says."""
    h = m.hp
    kv = {"context_length": 512, "embedding_length": h["embd"], "block_count": h["layers"],
          "attention.head_count": h["heads"], "attention.head_count_kv": h["kv"], "feed_forward_length": h["ff"],
          "attention.layer_norm_rms_epsilon": 1e-5, "attention.layer_norm_epsilon": 1e-5}
    if h.get("experts", 0):
        kv["expert_count"] = h["experts"]
        kv["expert_used_count"] = min(2, h["experts"])
    kv.update(m.extra)
    return {m.arch + "." + k: v for k, v in kv.items()}


def write_model(m, path):
    w = gguf.GGUFWriter(path, m.arch)
    for k, v in kv_of(m).items():
        (w.add_float32 if isinstance(v, float) else w.add_bool if isinstance(v, bool) else w.add_uint32)(k, v)
    size = 0
    for name, typ, ne in m.tensors:
        q = gguf.GGMLQuantizationType[typ]
        block, block_bytes = gguf.GGML_QUANT_SIZES[q]
        nbytes = ne[0] // block * block_bytes
        for d in ne[1:]:
            nbytes *= d
        shape = list(reversed(ne))
        dtype = np.float32 if typ == "F32" else np.float16
        if typ in ("F32", "F16"):
            w.add_tensor_info(name, shape, np.dtype(dtype), nbytes)
        else:
            shape[-1] = ne[0] // block * block_bytes
            w.add_tensor_info(name, shape, np.dtype(np.uint8), nbytes, raw_dtype=q)
        size += (nbytes + 31) // 32 * 32
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    w.close()
    with open(path, "r+b") as f:
        f.truncate(os.path.getsize(path) + size + 64)


def write_imatrix(path, m):
    """The older form, one entry: that there is a matrix at all is what the presets look at."""
    name, cols = b"blk.0.attn_q.weight", m.hp["embd"]
    with open(path, "wb") as f:
        f.write(struct.pack("<ii", 1, len(name)) + name + struct.pack("<ii", 1, cols))
        f.write(np.ones(cols, np.float32).tobytes())
        f.write(struct.pack("<ii", 1, 4) + b"none")


LINE = re.compile(r"^\[ *\d+/ *\d+\] (\S+) +- \[.*?\], type = +(\S+), size = .*?(?:\((\S+)\))?$")


def dry_run(tool, path, preset, options):
    cmd = [tool] + options + ["--dry-run", path, preset]
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    types, lines = {}, p.stdout.splitlines()
    for line in lines:
        hit = LINE.match(line)
        if hit:
            types[hit.group(1)] = (hit.group(3) or hit.group(2)).upper()
    if p.returncode:
        at = [x for x in lines if x.startswith("warning: ") and "ncols" in x]
        return None, (at[-1].split()[1] if at else "?"), lines
    return types, None, lines


def ranges(indices):
    out, i = [], 0
    while i < len(indices):
        j = i
        while j + 1 < len(indices) and indices[j + 1] == indices[j] + 1:
            j += 1
        out.append(str(indices[i]) if i == j else "%d-%d" % (indices[i], indices[j]))
        i = j + 1
    return ",".join(out)


def option_args(o, imatrix):
    a = []
    for k, v in o:
        if k == "imatrix":
            a += ["--imatrix", imatrix]
        elif k == "pure":
            a += ["--pure"]
        elif k == "leave-output":
            a += ["--leave-output-tensor"]
        elif k == "output-type":
            a += ["--output-tensor-type", v]
        elif k == "token-embd-type":
            a += ["--token-embedding-type", v]
        elif k == "rule":
            a += ["--tensor-type", v]
    return a


def write_golden(tool, m, folder):
    m.tensors = shuffled(m.tensors)
    with tempfile.TemporaryDirectory() as d:
        path, imatrix = os.path.join(d, "m.gguf"), os.path.join(d, "imatrix.dat")
        write_model(m, path)
        write_imatrix(imatrix, m)
        out = ["# Made by tests/oracle/make_preset_goldens.py from llama.cpp 0c1e57098 (llama-quantize --dry-run).",
               "model " + m.name,
               "arch " + m.arch,
               "hparams " + " ".join("%s=%d" % (k, v) for k, v in m.hp.items())]
        for name, typ, ne in m.tensors:
            out.append("tensor %s %s %s" % (name, typ, " ".join(map(str, ne))))
        index = {name: i for i, (name, _, _) in enumerate(m.tensors)}
        bodies = {}
        for options, presets in m.runs:
            for preset in presets:
                types, bad, lines = dry_run(tool, path, preset, option_args(options, imatrix))
                head = preset + "".join(" " + k + ("=" + v if v else "") for k, v in options)
                if types is None:
                    bodies.setdefault(" stops " + bad, []).append(head)
                    continue
                if set(types) != set(index):
                    sys.exit("%s %s: tensors missing in the output:\n%s" % (m.name, preset, "\n".join(lines[-20:])))
                by = {}
                for name, typ in types.items():
                    by.setdefault(typ, []).append(index[name])
                body = "".join(" %s=%s" % (t, ranges(sorted(ix))) for t, ix in sorted(by.items()))
                bodies.setdefault(body, []).append(head)
        out += ["run " + " | ".join(heads) + " :" + body for body, heads in bodies.items()]
        with open(os.path.join(folder, "dryrun-" + m.name + ".txt"), "w") as f:
            f.write("\n".join(out) + "\n")


def shuffled(ts):
    """Another order than the one llama-quantize visits (fixed, so that runs agree)."""
    return ts[1::2] + ts[0::2][::-1]


# ---- shapes ---------------------------------------------------------------------------------------------------------

def head(m, vocab, tied):
    m.t("token_embd.weight", m.hp["embd"], vocab)
    m.norm("output_norm.weight", m.hp["embd"])
    if not tied:
        m.t("output.weight", m.hp["embd"], vocab)


def dense(name, arch="llama", vocab=320, tied=False, fused=False, gate=True, bias=False, **hp):
    m = Model(name, arch, **hp)
    e, ff, hd = hp["embd"], hp["ff"], hp.get("head_dim", hp["embd"] // hp["heads"])
    m.hp.pop("head_dim", None)
    head(m, vocab, tied)
    for i in range(hp["layers"]):
        b = "blk.%d." % i
        m.norm(b + "attn_norm.weight", e)
        if fused:
            m.t(b + "attn_qkv.weight", e, (hp["heads"] + 2 * hp["kv"]) * hd)
        else:
            m.t(b + "attn_q.weight", e, hp["heads"] * hd)
            m.t(b + "attn_k.weight", e, hp["kv"] * hd)
            m.t(b + "attn_v.weight", e, hp["kv"] * hd)
        if bias:
            m.norm(b + "attn_q.bias", hp["heads"] * hd)
        m.t(b + "attn_output.weight", hp["heads"] * hd, e)
        m.norm(b + "ffn_norm.weight", e)
        if hp.get("experts", 0) > 1:
            experts(m, b, i, e, ff)
            continue
        if gate:
            m.t(b + "ffn_gate.weight", e, ff)
        m.t(b + "ffn_up.weight", e, ff)
        m.t(b + "ffn_down.weight", ff, e)
    if hd * hp["heads"] != e:
        m.extra["attention.key_length"] = hd
        m.extra["attention.value_length"] = hd
    return m


def experts(m, b, i, e, ff):
    n = m.hp["experts"]
    m.t(b + "ffn_gate_inp.weight", e, n, type="F32")
    if m.name.endswith("-split") and i % 2 == 0:  # one tensor per expert, as early conversions had
        for x in range(n):
            m.t(b + "ffn_gate.%d.weight" % x, e, ff)
            m.t(b + "ffn_up.%d.weight" % x, e, ff)
            m.t(b + "ffn_down.%d.weight" % x, ff, e)
    else:
        m.t(b + "ffn_gate_exps.weight", e, ff, n)
        m.t(b + "ffn_up_exps.weight", e, ff, n)
        m.t(b + "ffn_down_exps.weight", ff, e, n)


def gemma(name, arch, layers, tied=True):
    m = dense(name, arch, tied=tied, embd=640, ff=2048, layers=layers, heads=4, kv=1, head_dim=256)
    m.extra["attention.sliding_window"] = 512
    for i in range(layers):
        for x in ("post_attention_norm", "post_ffw_norm", "attn_q_norm", "attn_k_norm"):
            m.norm("blk.%d.%s.weight" % (i, x), 256)
    return m


def deepseek2(name, layers, experts_):
    m = Model(name, "deepseek2", embd=512, ff=1024, layers=layers, heads=16, kv=1, experts=experts_)
    m.extra.update({"attention.q_lora_rank": 384, "attention.kv_lora_rank": 256, "leading_dense_block_count": 1,
                    "expert_feed_forward_length": 256, "expert_shared_count": 1, "expert_weights_scale": 2.5,
                    "expert_weights_norm": True, "expert_gating_func": 2, "rope.dimension_count": 64,
                    "attention.key_length": 320, "attention.value_length": 256, "attention.key_length_mla": 192,
                    "attention.value_length_mla": 128, "rope.scaling.yarn_log_multiplier": 0.1})
    head(m, 400, False)
    for i in range(layers):
        b = "blk.%d." % i
        m.norm(b + "attn_norm.weight", 512)
        m.t(b + "attn_q_a.weight", 512, 384)
        m.norm(b + "attn_q_a_norm.weight", 384)
        m.t(b + "attn_q_b.weight", 384, 16 * 192)
        m.t(b + "attn_kv_a_mqa.weight", 512, 320)
        m.norm(b + "attn_kv_a_norm.weight", 256)
        if i % 2:
            m.t(b + "attn_kv_b.weight", 256, 16 * 256)
        else:
            m.t(b + "attn_k_b.weight", 128, 256, 16)
            m.t(b + "attn_v_b.weight", 256, 128, 16)
        m.t(b + "attn_output.weight", 2048, 512)
        m.norm(b + "ffn_norm.weight", 512)
        if i == 0:
            m.t(b + "ffn_gate.weight", 512, 1024)
            m.t(b + "ffn_up.weight", 512, 1024)
            m.t(b + "ffn_down.weight", 1024, 512)
            continue
        experts(m, b, i, 512, 256)
        for x in ("gate", "up"):
            m.t(b + "ffn_%s_shexp.weight" % x, 512, 256)
        m.t(b + "ffn_down_shexp.weight", 256, 512)
        m.norm(b + "exp_probs_b.bias", experts_)
    return m


def gptoss(name, layers, experts_):
    m = dense(name, "gpt-oss", vocab=320, embd=2880, ff=2880, layers=layers, heads=16, kv=2, head_dim=64,
              experts=experts_)
    m.extra.update({"attention.sliding_window": 128, "expert_feed_forward_length": 2880})
    for i in range(layers):
        m.norm("blk.%d.attn_sinks.weight" % i, 16)
        for x in ("gate", "up", "down"):
            m.t("blk.%d.ffn_%s_exps.bias" % (i, x), 2880, experts_, type="F32")
    m.tensors = [(n, "MXFP4" if n.endswith("_exps.weight") else t, ne) for n, t, ne in m.tensors]
    return m


def models():
    all_ = []

    def add(m, *runs):
        m.runs = list(runs) if runs else [((), PRESETS), ((("imatrix", ""),), PRESETS)]
        all_.append(m)

    add(dense("llama-1", embd=256, ff=512, layers=1, heads=4, kv=4))
    add(dense("llama-2-tied", embd=256, ff=512, layers=2, heads=4, kv=1, tied=True))
    m = dense("llama-8-gqa4", embd=512, ff=1024, layers=8, heads=8, kv=2)
    m.tensors.append(("rope_freqs.weight", "F32", [32]))
    every = [((), PRESETS), ((("imatrix", ""),), PRESETS), ((("pure", ""),), PRESETS),
             ((("output-type", "q8_0"),), PRESETS), ((("token-embd-type", "iq4_nl"),), PRESETS),
             ((("output-type", "q5_0"), ("token-embd-type", "q4_1"), ("pure", "")), FEW),
             ((("leave-output", ""),), FEW), ((("leave-output", ""), ("output-type", "q5_K")), FEW)]
    rules = [((("rule", r"blk\.(0|1)\.ffn_down=q8_0"),), FEW),
             ((("rule", r"attn_v=q5_0"), ("rule", r"ffn_down\.weight=iq4_nl")), FEW),
             ((("rule", r"^blk\.[0-3]\.attn_v\.weight$=q4_0"), ("rule", r"attn_v=q4_k"), ("imatrix", "")), FEW),
             ((("rule", r"output=q4_k"), ("rule", r"token_embd=q5_k"), ("rule", r"norm=q8_0")), FEW),
             ((("rule", r"token_embd=q5_k"), ("output-type", "q8_0"), ("token-embd-type", "q6_k")), FEW),
             ((("rule", r"ffn=q3_k"), ("pure", "")), FEW),
             ((("rule", r".*=nvfp4"), ("rule", r"attn_q=q8_0")), FEW)]
    add(m, *every, *rules)
    m = dense("llama-9-tied", embd=512, ff=768, layers=9, heads=8, kv=8, tied=True)
    add(m, *every, *rules)
    add(dense("llama-30-smol", embd=576, ff=1536, layers=30, heads=9, kv=3, tied=True),
        ((), PRESETS), ((("imatrix", ""),), PRESETS), ((("pure", ""),), PRESETS),
        ((("rule", r"ffn_up=q4_k"), ("rule", r"attn_q=mxfp4")), FEW))
    add(dense("llama-17-width320", embd=320, ff=864, layers=17, heads=5, kv=5))
    add(dense("llama-4-width100", embd=100, ff=256, layers=4, heads=5, kv=5),
        ((), PRESETS), ((("pure", ""),), PRESETS))
    add(dense("llama-33-gqa8", embd=256, ff=512, layers=33, heads=8, kv=1))
    add(dense("llama-80-70b", embd=256, ff=512, layers=80, heads=8, kv=1),
        ((), PRESETS), ((("imatrix", ""),), FEW))
    add(dense("llama-80-mha", embd=256, ff=512, layers=80, heads=8, kv=8), ((), FEW))
    add(dense("qwen2-24", "qwen2", embd=896, ff=4864, layers=24, heads=14, kv=2, tied=True, bias=True))
    add(dense("qwen2-80", "qwen2", embd=256, ff=512, layers=80, heads=4, kv=4, bias=True), ((), PRESETS))
    add(dense("qwen3-28", "qwen3", embd=1024, ff=3072, layers=28, heads=16, kv=8, head_dim=128, tied=True))
    add(gemma("gemma2-26", "gemma2", 26))
    m = gemma("gemma3-34", "gemma3", 34)
    add(m, *every[:6])
    add(dense("phi3-32", "phi3", embd=768, ff=2048, layers=32, heads=12, kv=12, fused=True))
    add(dense("falcon-32", "falcon", embd=512, ff=2048, layers=32, heads=8, kv=1, fused=True, gate=False))
    add(dense("falcon-16-tied", "falcon", embd=576, ff=2048, layers=16, heads=9, kv=1, fused=True, gate=False, tied=True))
    m = dense("mixtral-32x8", embd=512, ff=1024, layers=32, heads=8, kv=2, experts=8)
    add(m, *every[:3], *rules[:2])
    add(dense("mixtral-12x8-split", embd=256, ff=512, layers=12, heads=8, kv=2, experts=8))
    add(dense("mixtral-16x4", embd=256, ff=512, layers=16, heads=4, kv=4, experts=4, tied=True))
    add(dense("llama-10x1", embd=256, ff=512, layers=10, heads=4, kv=2, experts=1))
    m = dense("qwen3moe-24x128", "qwen3moe", embd=512, ff=256, layers=24, heads=8, kv=2, experts=128)
    m.extra["expert_feed_forward_length"] = 256
    add(m, *every[:3], *rules[:2])
    add(gptoss("gptoss-24x32", 24, 32))
    add(deepseek2("deepseek2-27x64", 27, 64))
    m = dense("llama-8-from-q8", embd=512, ff=1024, layers=8, heads=8, kv=2)
    m.tensors = [(n, "Q8_0" if t == "F16" else t, ne) for n, t, ne in m.tensors]
    add(m, ((), PRESETS), ((("output-type", "q8_0"),), FEW))
    m = dense("starcoder2-like", "starcoder2", embd=768, ff=3072, layers=12, heads=12, kv=2, gate=False, tied=True)
    m.t("position_embd.weight", 768, 512)
    add(m, ((), FEW))
    return all_


def main():
    tool, folder, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    for m in models():
        if not names or m.name in names:
            write_golden(tool, m, folder)
            print(m.name, flush=True)


if __name__ == "__main__":
    main()
