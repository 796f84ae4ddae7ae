#!/usr/bin/env python3
"""Makes tests/model/tiny/NAME/gguf.txt: what llama.cpp's own converter makes of each of the tiny folders.

Source: convert_hf_to_gguf.py and its modules in llama.cpp at commit 0c1e57098 (MIT licence), run as they are but for
two things: the pre-tokenizer, which it recognises by a hash of real vocabularies only, is named here, and a folder
without a tokenizer gets a made-up one (its keys are left out of the listing). Needs torch, transformers, safetensors,
sentencepiece, numpy, pyyaml, requests, tqdm; gguf comes from llama.cpp's source.

    convert_tiny.py LLAMA.CPP-SOURCE TINY-FOLDER GGUF-OUTPUT-FOLDER [NAME...]

writes NAME-f32.gguf and NAME-f16.gguf to the output folder, and NAME/gguf.txt in the tiny folder:

    key = value                              one line for each number or string of the metadata
    key = [n] HASH                           for each array: FNV-1a 64 over its elements
    name type ne0 ne1 ne2 ne3 HASH type16    one line for each tensor of the F32 file: FNV-1a 64 of its bytes as they
                                             lie in the file, and the type that this tensor has in the F16 file

Hashed arrays: strings as their bytes and a zero byte, numbers as they lie in the file. Of general.* only architecture
and file_type are listed: the others are guesses at the folder's name.
"""
import pathlib
import sys

import numpy as np

PRE = {"llama": "llama-bpe"}


def fnv1a(data):
    h = 0xcbf29ce484222325
    for b in data:
        h = ((h ^ b) * 0x100000001b3) & 0xffffffffffffffff
    return f"{h:016x}"


def dummy_vocab(model):
    import gguf
    n = model.hparams["vocab_size"]
    w = model.gguf_writer
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list(["<unk>", "<s>", "</s>", "<|endoftext|>"] + [f"t{i}" for i in range(4, n)])
    w.add_token_scores([0.0] * n)
    w.add_token_types([gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (n - 3))


def convert(folder, out, ftype, has_tokenizer):
    import gguf
    import torch
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
    with torch.inference_mode():
        hparams = ModelBase.load_hparams(folder, False)
        cls = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
        changes = {"get_vocab_base_pre": lambda self, tokenizer: PRE[folder.name]}
        if not has_tokenizer:
            changes["set_vocab"] = dummy_vocab
        # not a subclass: that would have to be registered too
        kept = {k: cls.__dict__.get(k) for k in changes}
        for k, v in changes.items():
            setattr(cls, k, v)
        try:
            cls(folder, getattr(gguf.LlamaFileType, ftype), out, eager=True).write()
        finally:
            for k, v in kept.items():
                if v is None:
                    delattr(cls, k)
                else:
                    setattr(cls, k, v)


def value_of(field):
    from gguf import GGUFValueType
    kind = field.types[0]
    if kind == GGUFValueType.ARRAY:
        parts = [bytes(field.parts[i]) + (b"\0" if field.types[1] == GGUFValueType.STRING else b"")
                 for i in field.data]
        return f"[{len(parts)}] {fnv1a(b''.join(parts))}"
    if kind == GGUFValueType.STRING:
        return bytes(field.parts[-1]).decode().replace("\\", "\\\\").replace("\n", "\\n")
    v = field.parts[-1][0]
    return ("true" if v else "false") if kind == GGUFValueType.BOOL else f"{v:.9g}" \
        if isinstance(v, np.floating) else str(v)


def listing(path, path16, has_tokenizer):
    from gguf import GGUFReader
    r, r16 = GGUFReader(path), GGUFReader(path16)
    types16 = {t.name: t.tensor_type.name for t in r16.tensors}
    lines = []
    for key, field in r.fields.items():
        if key.startswith("GGUF.") or (key.startswith("tokenizer.") and not has_tokenizer):
            continue
        if key.startswith("general.") and key not in ("general.architecture", "general.file_type"):
            continue
        lines.append(f"{key} = {value_of(field)}")
    for t in r.tensors:
        ne = [int(x) for x in t.shape] + [1] * (4 - len(t.shape))
        lines.append(f"{t.name} {t.tensor_type.name} {' '.join(map(str, ne))} {fnv1a(t.data.tobytes())} "
                     f"{types16[t.name]}")
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    source, tiny, out = map(pathlib.Path, sys.argv[1:4])
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    for name in sys.argv[4:] or sorted(d.name for d in tiny.iterdir() if d.is_dir()):
        folder = tiny / name
        has_tokenizer = any((folder / f).exists() for f in ("tokenizer.json", "tokenizer.model"))
        for ftype, end in (("ALL_F32", "f32"), ("MOSTLY_F16", "f16")):
            convert(folder, out / f"{name}-{end}.gguf", ftype, has_tokenizer)
        text = listing(out / f"{name}-f32.gguf", out / f"{name}-f16.gguf", has_tokenizer)
        (folder / "gguf.txt").write_text(text)
        print(name, len(text.splitlines()), "lines")


if __name__ == "__main__":
    main()
