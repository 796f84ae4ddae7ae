#!/usr/bin/env python3
"""Makes the small tokenizers of tests/text/data/ and the ids that Hugging Face's own library gives for them.

Run:    pip install tokenizers==0.23.3; python3 tests/oracle/make_tokenizer_goldens.py tests/text/data
Made:   NAME/tokenizer.json, NAME/tokenizer_config.json (trained here, on the sentences below; nothing is taken from
        elsewhere) and NAME.ids: for each text of texts.json a line of ids, without special tokens added.
Kinds:  llama3 (one Split, ignore_merges), qwen2, gpt2 (ByteLevel alone), digits (Digits, ByteLevel), tekken, and spm
        (byte_fallback, blanks as U+2581: SentencePiece's kind without a tokenizer.model).
"""
import json, os, sys
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
ENDS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = SHORT + "|" + WORD + r"|\p{N}{1,3}" + ENDS
QWEN2 = SHORT + "|" + WORD + r"|\p{N}" + ENDS
CAPITAL, SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD = r"[^\r\n\p{L}\p{N}]?"
TEKKEN = (LEAD + CAPITAL + "*" + SMALL + "+|" + LEAD + CAPITAL + "+" + SMALL + r"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CORPUS = ["The quick brown fox jumps over the lazy dog, 1234567 times; the dog didn't mind.\n",
          "I'll say: it's the weather, they'd say. WE'RE HERE! Hello world, hello World.\n\n",
          "    for (int i = 0; i < 10; i++)\n\t\tsum += i * i;\n", "Größe, naïve, café, ñandú; Привет мир; 你好世界\n"] * 20
TEXTS = ["", " ", "  ", "\n", "\n\n \n\t", "Hello world", " Hello world", "Hello  world ", 
         "I'll, it'S, they'D, we've 'tis", "1234567 12 3.14159 ٣٤", "    for (int i = 0; i < 10; i++)\n\t\tsum;\n",
         "Größe café ñ Привет 你好世界 🦙🚀 \u200d\u00a0x",
         "HelloWorld camelCaseHTML XMLHttp", "<|im_start|>user\nHi<|im_end|>\n",
         "a<|end|>b <|end|> c", "the dog didn't\r\n\r\nmind"]


def bytes_kind(pattern, digits=False, use_regex=False, ignore_merges=False):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    steps = []
    if pattern:
        steps.append(pre_tokenizers.Split(Regex(pattern), "isolated"))
    if digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex))
    t.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=500, show_progress=False,
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def spm_kind():
    t = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    alphabet = sorted(set("".join(CORPUS[:3]).replace(" ", "\u2581")))
    t.train_from_iterator([c for c in CORPUS if c.isascii()],
                          trainers.BpeTrainer(vocab_size=400, show_progress=False, initial_alphabet=alphabet,
                                              special_tokens=["<unk>", "<s>", "</s>"] +
                                                             ["<0x%02X>" % i for i in range(256)]))
    data = json.loads(t.to_str())
    data["added_tokens"] = [a for a in data["added_tokens"] if not a["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(data))


KINDS = {"llama3": lambda: bytes_kind(LLAMA3, ignore_merges=True), "qwen2": lambda: bytes_kind(QWEN2),
         "gpt2": lambda: bytes_kind(None, use_regex=True), "digits": lambda: bytes_kind(None, True, True),
         "tekken": lambda: bytes_kind(TEKKEN, ignore_merges=True), "spm": spm_kind}


def main(out):
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "texts.json"), "w", encoding="utf-8") as f:
        json.dump({"texts": TEXTS}, f, ensure_ascii=True, indent=0)
        f.write("\n")
    for name, make in KINDS.items():
        t = make()
        t.add_special_tokens([AddedToken("<|im_start|>", special=True, normalized=False),
                              AddedToken("<|im_end|>", special=True, normalized=False)])
        t.add_tokens([AddedToken("<|end|>", special=False, normalized=False)])
        config = {"bos_token": "<s>" if name == "spm" else None, "eos_token": "<|im_end|>",
                  "add_bos_token": name == "spm",
                  "chat_template": "{{ bos_token }}" + name}
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        data = json.loads(t.to_str())
        if name == "gpt2":  # the older form of merges: texts, not pairs
            data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
            json.dump(data, f, ensure_ascii=True, separators=(",", ":"))
            f.write("\n")
        with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
            json.dump(config, f, indent=1)
            f.write("\n")
        with open(os.path.join(out, name + ".ids"), "w", encoding="utf-8") as f:
            for text in TEXTS:
                f.write(" ".join(map(str, t.encode(text, add_special_tokens=False).ids)) + "\n")


main(sys.argv[1])
