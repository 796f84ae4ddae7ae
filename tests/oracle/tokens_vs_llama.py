#!/usr/bin/env python3
"""Compares `quantscape tokenize` with llama-tokenize of llama.cpp 0c1e57098 (MIT): by hand, nothing is made of it.

    tests/oracle/tokens_vs_llama.py LLAMA.CPP LLAMA-TOKENIZE QUANTSCAPE [TEXT...]

LLAMA.CPP is its source (models/ggml-vocab-*.gguf, gguf-py). Compared are: every vocabulary there over its own
.inp/.out, over each TEXT file (UTF-8, some 100 KB), with and without special tokens; and every
pre-tokenizer's name, put into the gpt-2 vocabulary,
over a text of 6,000 odd bits in a fixed random order. Prints what differs, and the number that agree.
"""
import glob, os, random, re, subprocess, sys, tempfile

source, theirs, ours, texts = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
sys.path.insert(0, os.path.join(source, "gguf-py"))
import gguf  # noqa: E402

BITS = (" |  |   |\n|\r\n|\n\n|\t|a|b|Hello|WORLD|camelCase|it's|I'LL|'s|'|1|12|123|12345|1234567|١٢٣|٣|½|é|"
        "e\u0301|ß|Ä|你好|世界|カタ|ひら|한국|กขค|ទ្រ|.|..|!|?!|…|。|，|—|«|$|+|=>|^|~|`|_|/|//|\\|@|#|🦙|"
        "👩\u200d💻|\u00a0|\u2003|\x85|\u200b|"
        "\u3000|ǅ|ʰ|ª|Ⅷ|①|<|<s|\u180e|\u2028|\v|(|)|[|]|{|}|&|%|*|:|;|\"|ſ|'ſ|'S|'rE|'Ll|K|Ω|Ж|жЖ|ა|Ა|ʔ|ƻ|ﬀ|Ａ|！"
        ).split("|") + ["|"]
agree = differ = 0


def check(what, want, got):
    global agree, differ
    if want == got:
        agree += 1
    else:
        differ += 1
        at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
        print("%s: differs at %d: %s, here %s" % (what, at, want[max(0, at - 3):at + 5], got[max(0, at - 3):at + 5]))


def ids(command):
    out = subprocess.run(command, capture_output=True, text=True).stdout.strip().strip("[]")
    return [int(x) for x in out.split(",")] if out else []


def both(what, model, path, special):
    plain = [] if special else ["--no-parse-special"]
    check(what, ids([theirs, "-m", model, "-f", path, "--no-bos", "--ids", "--no-escape", "--log-disable"] + plain),
          ids([ours, "tokenize", model, "-q", "-f", path, "--no-bos", "--ids"] + plain))


def expected(model, folder):
    if not os.path.exists(model + ".out"):
        return
    parts = open(model + ".inp", encoding="utf-8", newline="").read().split("\n__ggml_vocab_test__\n")
    for n, (text, line) in enumerate(zip(parts, open(model + ".out", encoding="utf-8").read().split("\n"))):
        path = os.path.join(folder, "part")
        open(path, "w", encoding="utf-8", newline="").write(text)
        got = ids([ours, "tokenize", model, "-q", "-f", path, "--no-bos", "--ids", "--no-parse-special"])
        check("%s, text %d" % (model, n), [int(x) for x in line.split()], got)


def with_pre(reader, name, path):
    w = gguf.GGUFWriter(path, "gpt2")
    for key, f in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        array = f.types[0] == gguf.GGUFValueType.ARRAY
        value = name if key == "tokenizer.ggml.pre" else f.contents()
        w.add_key_value(key, value, f.types[0], sub_type=f.types[-1] if array else None)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def main(folder):
    for model in sorted(glob.glob(os.path.join(source, "models", "ggml-vocab-*.gguf"))):
        if "bert" in model:
            continue  # another kind of tokenizer
        expected(model, folder)
        for text in texts:
            for special in (False, True):
                both("%s, %s" % (model, text), model, text, special)
    table = os.path.join(os.path.dirname(__file__), "..", "..", "core", "text", "pre_table.c")
    names = re.findall(r'^    \{ "([^"]+)", &', open(table, encoding="utf-8").read(), re.M)
    reader = gguf.GGUFReader(os.path.join(source, "models", "ggml-vocab-gpt-2.gguf"))
    random.seed(5)
    odd, model = os.path.join(folder, "odd"), os.path.join(folder, "model.gguf")
    open(odd, "w", encoding="utf-8", newline="").write("".join(random.choice(BITS) for _ in range(6000)))
    for name in names:
        with_pre(reader, name, model)
        both("pre-tokenizer " + name, model, odd, False)
    print("%d agree, %d differ" % (agree, differ))


with tempfile.TemporaryDirectory() as scratch:
    main(scratch)
sys.exit(differ != 0)
