#!/usr/bin/env python3
"""Makes tests/model/tiny/NAME: per architecture a tiny model as a Hugging Face folder, and the logits it must give.

Source of truth: the models of Hugging Face transformers (4.57.6, Apache 2.0 licence) with PyTorch on the CPU, run in
float32 with eager attention on the stored weights. The weights are random numbers from a fixed seed, drawn here.
Needs the Python packages torch, transformers, safetensors, tokenizers, sentencepiece, protobuf, jinja2.

    make_tiny_models.py OUTPUT-FOLDER [NAME...]

In the table below a model is what its kind and its numbers make of SMALL; `features` says what can be left out of it.
Each folder gets config.json, model.safetensors (or shards with their index), in some cases a tokenizer, and

  golden.bin    little-endian: "QSLOGIT1", then uint32 n, vocab, layers, width; int32 ids[n]; float32 logits[n][vocab];
                float32 hidden[layers + 1][width]: the residual stream at the last position, before the first block
                (embedding with its multiplier) and after each block, never normalized at the end
  cases.json    where there is a tokenizer: texts and chats with their ids
  features.txt  how far the logits of this very model move when a feature is left out: relative RMS of the difference

What is printed beside it: deviation of the logits, entropy of the attention against uniform attention, and the
difference between float32 and float64 arithmetic (the noise of the golden itself).
"""
import contextlib
import json
import os
import shutil
import struct
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

N = 96
WINDOW = 16
VOCAB = 96
SMALL = dict(vocab_size=VOCAB, hidden_size=64, intermediate_size=32, num_attention_heads=4, num_key_value_heads=2,
             head_dim=16, num_hidden_layers=3, max_position_embeddings=128, rms_norm_eps=1e-5, bos_token_id=1,
             eos_token_id=2, pad_token_id=0, rope_theta=10000.0, initializer_range=0.02)
MODELS = {}


class Spec:
    def __init__(self, name, kind, features, *, dtype=torch.bfloat16, shards=None, extra=None, short=0, gain=None,
                 plus_one=False, float_norms=False, **config):
        self.name, self.kind, self.features, self.dtype, self.shards = name, kind, features, dtype, shards
        self.extra, self.short, self.gain, self.plus_one = extra, short, gain or {}, plus_one
        self.float_norms = float_norms
        self.config = {k: v for k, v in {**SMALL, **config}.items() if v is not None or k != "head_dim"}
        MODELS[name] = self


# --- what can be left out: each is a function of (model, module of its code), run on a fresh copy ---------------------

def conf(**changes):
    """The same weights under another configuration."""
    def make(spec, folder):
        return load(folder, **changes)
    make.how = ", ".join(f"{k} = {v}" for k, v in changes.items())
    return make


def fill(pattern, value, how):
    """Parameters whose name holds the pattern set to one value."""
    def make(spec, folder):
        model = load(folder)
        hit = [p for n, p in model.named_parameters() if pattern in n]
        assert hit, pattern
        for p in hit:
            p.data.fill_(value)
        return model
    make.how = how
    return make


def drop(names, how):
    """Modules of these names replaced by one that does nothing."""
    def make(spec, folder):
        model = load(folder)
        hit = 0
        for module in list(model.modules()):
            for name in names:
                if hasattr(module, name):
                    setattr(module, name, torch.nn.Identity())
                    hit += 1
        assert hit, names
        return model
    make.how = how
    return make


def scale_output(suffix, factor, how):
    """The output of each module whose name ends so, multiplied by factor(module, input, output)."""
    def make(spec, folder):
        model = load(folder)
        hit = 0
        for name, module in model.named_modules():
            if name.endswith(suffix):
                def hook(m, args, out):
                    if isinstance(out, tuple):
                        return (out[0] * factor(m, args[0], out), *out[1:])
                    return out * factor(m, args[0], out)
                module.register_forward_hook(hook)
                hit += 1
        assert hit, suffix
        return model
    make.how = how
    return make


def patch(change, how):
    """Anything else: change(model) edits the model in place."""
    def make(spec, folder):
        model = load(folder)
        change(model)
        return model
    make.how = how
    return make


def code_of(model):
    return sys.modules[type(model).__module__]


def no_rope(model):
    code_of(model).apply_rotary_pos_emb = lambda q, k, *rest, **named: (q, k)


def pairs_rope(model):
    """Rotates neighbours (0,1), (2,3) ... instead of halves: what a forgotten row permutation amounts to."""
    def turned(x):
        return torch.stack((-x[..., 1::2], x[..., 0::2]), dim=-1).flatten(-2)

    def apply(q, k, cos, sin, position_ids=None, unsqueeze_dim=1):
        half = cos.shape[-1] // 2
        c, s = (t[..., :half].repeat_interleave(2, -1).unsqueeze(unsqueeze_dim) for t in (cos, sin))
        rot = 2 * half
        out = []
        for x in (q, k):
            a, b = x[..., :rot], x[..., rot:]
            out.append(torch.cat((a * c + turned(a) * s, b), -1))
        return tuple(out)
    code_of(model).apply_rotary_pos_emb = apply


NO_ROPE = {"rope": patch(no_rope, "no rotation at all")}
PAIRS = {"rope halves": patch(pairs_rope, "neighbours rotated instead of halves")}
PLAIN_ROPE = {"rope scaling": conf(rope_scaling=None)}


def norms(value, *names):
    return {n + " weights": fill(n, value, f"{n}.weight as if 1") for n in names}


# --- weights ------------------------------------------------------------------------------------------------------

GAINS = {"embed_tokens": 1.0, "lm_head": 2.0, "q_proj": 1.6, "k_proj": 1.6, "v_proj": 1.5, "o_proj": 1.5,
         "qkv_proj": 1.6, "gate_proj": 1.8, "up_proj": 1.5, "gate_up_proj": 1.6, "down_proj": 1.5, "gate": 2.5,
         "shared_expert_gate": 1.5, "router": 2.5, "w1": 1.8, "w3": 1.5, "w2": 1.5}


def draw(spec, name, shape, g):
    """One parameter. Norms in a broad range, biases and sinks that matter, matrices by gain / sqrt(columns)."""
    parts = name.split(".")
    key = parts[-2] if parts[-1] in ("weight", "bias") else parts[-1]
    if "norm" in key:
        low, high = spec.gain.get(key, (0.5, 1.6))
        w = torch.rand(shape, generator=g) * (high - low) + low
        return w - 1 if spec.plus_one else w
    if parts[-1] == "bias" or key.endswith("_bias"):
        return torch.randn(shape, generator=g) * spec.gain.get("bias", 0.5)
    if key == "sinks":
        return torch.randn(shape, generator=g) * 1.0 + spec.gain.get("sinks", 3.0)
    if key == "embed_tokens":
        return torch.randn(shape, generator=g) * spec.gain.get(key, 0.25 if spec.config["tie_word_embeddings"] else 1.0)
    return torch.randn(shape, generator=g) * spec.gain.get(key, GAINS[key]) / shape[-1] ** 0.5


def make_folder(spec, folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    torch.manual_seed(1)
    config = AutoConfig.for_model(spec.kind, **spec.config)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    g = torch.Generator().manual_seed(20 + sum(map(ord, spec.name)))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(draw(spec, name, p.shape, g))
    for name, p in model.named_parameters():
        p.data = p.data.to(torch.float32 if spec.float_norms and "norm" in name else spec.dtype)
    model.save_pretrained(folder, max_shard_size=spec.shards or "1GB")
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(folder, "generation_config.json"))
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o644)


def load(folder, **changes):
    config = AutoConfig.from_pretrained(folder)
    for k, v in changes.items():
        assert hasattr(config, k), k
        setattr(config, k, v)
    if getattr(config, "quantization_config", None):
        return load_mxfp4(folder, config)
    model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32,
                                                 attn_implementation="eager")
    return model.eval()


def unpack_mxfp4(blocks, scales):
    """[..., G, 16] bytes and [..., G] exponents -> [..., 32 G] floats: low nibble first, 2^(scale - 127)."""
    half = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    table = torch.cat((half, -half))
    x = torch.stack((table[(blocks & 15).long()], table[(blocks >> 4).long()]), -1).flatten(-2)
    return torch.ldexp(x, scales.int().unsqueeze(-1) - 127).flatten(-2)


def pack_experts(spec, folder):
    """gpt-oss: the experts' matrices replaced by random MXFP4 blocks, stored as openai publishes them."""
    path = os.path.join(folder, "model.safetensors")
    tensors = load_file(path)
    g = torch.Generator().manual_seed(99)
    for name in [n for n in tensors if n.endswith("_proj") and ".experts." in n]:
        experts, columns, rows = tensors.pop(name).shape
        low, high = (124, 126) if "gate_up" in name else (118, 120)
        shape = (experts, rows, columns // 32)
        tensors[name + "_blocks"] = torch.randint(0, 256, (*shape, 16), generator=g, dtype=torch.uint8)
        tensors[name + "_scales"] = torch.randint(low, high, shape, generator=g, dtype=torch.uint8)
    save_file(tensors, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    path = os.path.join(folder, "config.json")
    with open(path) as f:
        config = json.load(f)
    config["quantization_config"] = {"modules_to_not_convert": [
        "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"],
        "quant_method": "mxfp4"}
    with open(path, "w") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")


def load_mxfp4(folder, config):
    """transformers turns MXFP4 into bfloat16 on a CPU; here into float32, which holds the same values."""
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    tensors = load_file(os.path.join(folder, "model.safetensors"))
    for name in [n for n in tensors if n.endswith("_blocks")]:
        blocks, scales = tensors.pop(name), tensors.pop(name.replace("_blocks", "_scales"))
        tensors[name.replace("_blocks", "")] = unpack_mxfp4(blocks, scales).transpose(-1, -2)
    model.load_state_dict({n: t.float() for n, t in tensors.items()}, strict=True)
    return model.eval()


# --- tokenizers -------------------------------------------------------------------------------------------------------

TEXT = """A model is a long list of numbers, and a smaller file is a shorter list of smaller numbers. When a weight is
rounded, something is lost; the question is how much, and where. The map shows the layers from the first to the last,
and each cell tells what the rounding costs. Some layers forgive everything, others forgive nothing at all.
The answer is written beside the other answer, word by word, so that the first place where they part can be seen.
It is 12 degrees in the morning, 21 at noon, and 3.5 at night; the train leaves at 10:45 and arrives before 11.
"Where are you going?" she asked. "To the sea," he said, "and then, if there is time, to the other side of it."
Wer langsam liest, liest besser; über Größe lässt sich streiten. Une idée, déjà née l'été, reste là où elle était.
int main(void) { for (int i = 0; i < 10; i++) { total += values[i]; } return total; }
"""
CHAT = ("{%- if messages[0]['role'] == 'system' %}{%- set first = messages[0]['content'] + '\n\n' %}"
        "{%- set rest = messages[1:] %}{%- else %}{%- set first = '' %}{%- set rest = messages %}{%- endif %}")


def llama_tokenizer(spec, folder):
    """Byte-level BPE in the form of Llama 3: its splitting pattern, ignore_merges, special tokens at the end."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TEXT.splitlines(True), trainers.BpeTrainer(
        vocab_size=304, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    assert t.get_vocab_size() == 304
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
        special_tokens=[("<|begin_of_text|>", spec.config["bos_token_id"])])])
    t.save(os.path.join(folder, "tokenizer.json"))
    assert t.encode("a b").ids[0] == spec.config["bos_token_id"]
    assert t.token_to_id("<|eot_id|>") == spec.config["eos_token_id"]
    write_json(folder, "tokenizer_config.json", {
        "bos_token": specials[0], "eos_token": specials[4], "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False, "model_max_length": 128, "chat_template":
        "{{- bos_token }}{%- for m in messages %}{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' "
        "+ m['content'] | trim + '<|eot_id|>' }}{%- endfor %}{%- if add_generation_prompt %}"
        "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"})


def gemma_tokenizer(spec, folder):
    """SentencePiece BPE in the form of Gemma: byte fallback, no space put before the text, turns as own pieces."""
    import io
    import sentencepiece
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()), model_writer=out, model_type="bpe", vocab_size=316,
        byte_fallback=True, character_coverage=0.98, add_dummy_prefix=False, remove_extra_whitespaces=False,
        normalization_rule_name="identity", split_digits=True, allow_whitespace_only_pieces=True, num_threads=1,
        pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>",
        unk_piece="<unk>", user_defined_symbols=["<start_of_turn>", "<end_of_turn>"], minloglevel=2)
    with open(os.path.join(folder, "tokenizer.model"), "wb") as f:
        f.write(out.getvalue())
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    write_json(folder, "tokenizer_config.json", {
        "added_tokens_decoder": {str(i): {"content": s, "lstrip": False, "normalized": False, "rstrip": False,
                                          "single_word": False, "special": True} for i, s in enumerate(special)},
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<bos>", "eos_token": "<eos>",
        "pad_token": "<pad>", "unk_token": "<unk>", "tokenizer_class": "GemmaTokenizer",
        "clean_up_tokenization_spaces": False, "chat_template": "{{ bos_token }}" + CHAT +
        "{%- for m in rest %}{%- set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
        "{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') + m['content'] | trim "
        "+ '<end_of_turn>\n' }}{%- endfor %}{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}"
        "{%- endif %}"})


TEXTS = ["", " ", "a b", "A smaller file.", "  two  spaces\n\n\tand a tab ", "It's 12:45, 3.14 and 100000!",
         "Größe, déjà",
         "\u4f60\u597d \U0001f642", "the<|eot_id|>end", "<start_of_turn>user\nhi<end_of_turn>\n", "x\u0000y",
         "for (int i = 0; i < 10; i++) {\r\n}"]
CHATS = [[("user", "Where are you going?")],
         [("system", "Be brief."), ("user", "  Hello \n"), ("assistant", "Yes."), ("user", "1 < 2?")]]


def write_cases(folder):
    """cases.json: what the folder's tokenizer makes of texts, without and with the token that begins, and of chats."""
    t = transformers.AutoTokenizer.from_pretrained(folder)
    texts = [{"text": x, "ids": t.encode(x, add_special_tokens=False), "ids_begun": t.encode(x)} for x in TEXTS]
    chats = []
    for chat in CHATS:
        messages = [{"role": role, "content": content} for role, content in chat]
        text = t.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        chats.append({"messages": messages, "text": text, "ids": t.encode(text, add_special_tokens=False)})
    with open(os.path.join(folder, "cases.json"), "w") as f:
        f.write('{"texts": [\n' + ",\n".join(map(json.dumps, texts)) + '],\n"chats": [\n'
                + ",\n".join(map(json.dumps, chats)) + "]}\n")


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


# --- running -------------------------------------------------------------------------------------------------------

@torch.no_grad()
def run(model, ids, taps=False):
    """Logits [n][vocab]; with taps also the residual stream at the last position and the mean entropy ratio."""
    hidden, handles = [], []
    if taps:
        layers = model.model.layers
        handles.append(layers[0].register_forward_pre_hook(
            lambda m, args, kw: hidden.append((args[0] if args else kw["hidden_states"])[0, -1].clone()),
            with_kwargs=True))
        for layer in layers:
            handles.append(layer.register_forward_hook(
                lambda m, args, out: hidden.append((out[0] if isinstance(out, tuple) else out)[0, -1].clone())))
    out = model(torch.tensor([ids]), use_cache=False, output_attentions=taps)
    for h in handles:
        h.remove()
    logits = out.logits[0].numpy()
    if not taps:
        return logits
    ratios = []
    for a in out.attentions:
        a = a[0].double()
        entropy = -(a * torch.log(a.clamp_min(1e-30))).sum(-1)[:, 1:]
        seen = (a > 0).sum(-1).double()[:, 1:]
        ratios.append(float((entropy / torch.log(seen.clamp_min(2))).mean()))
    return logits, np.stack([h.numpy() for h in hidden]), float(np.mean(ratios))


def rel_rms(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.sqrt(((a - b) ** 2).mean() / (b ** 2).mean()))


def write_golden(path, ids, logits, hidden):
    with open(path, "wb") as f:
        f.write(b"QSLOGIT1")
        f.write(struct.pack("<4I", len(ids), logits.shape[1], hidden.shape[0] - 1, hidden.shape[1]))
        f.write(np.asarray(ids, "<i4").tobytes())
        f.write(logits.astype("<f4").tobytes())
        f.write(hidden.astype("<f4").tobytes())


def make(spec, out):
    folder = os.path.join(out, spec.name)
    make_folder(spec, folder)
    if spec.extra:
        spec.extra(spec, folder)
    if os.path.exists(os.path.join(folder, "tokenizer_config.json")):
        write_cases(folder)
    model = load(folder)
    code, rope = code_of(model), code_of(model).apply_rotary_pos_emb
    rng = np.random.default_rng(7)
    ids = rng.integers(3, spec.config["vocab_size"], N).tolist()
    ids[0] = spec.config["bos_token_id"]
    logits, hidden, entropy = run(model, ids, taps=True)
    assert np.isfinite(logits).all()
    write_golden(os.path.join(folder, "golden.bin"), ids, logits, hidden)
    noise = rel_rms(run(load(folder).double(), ids), logits)
    if spec.short:
        write_golden(os.path.join(folder, "golden-short.bin"), ids[:spec.short],
                     *run(load(folder), ids[:spec.short], taps=True)[:2])
    spread = float(logits.std(axis=1).mean())
    print(f"{spec.name}: deviation {spread:.2f}, entropy {entropy:.2f} of uniform, float64 differs by {noise:.1e}")
    assert spread >= 1 and entropy < 0.9
    lines = [f"# {spec.name}: relative RMS of the change in the logits when a feature is left out",
             f"# logits: deviation {spread:.2f}; attention: entropy {entropy:.2f} of uniform; "
             f"float64 arithmetic differs by {noise:.1e}"]
    bad = []
    for what, how in spec.features.items():
        off = how(spec, folder)
        moved = rel_rms(run(off, ids), logits)
        code.apply_rotary_pos_emb = rope
        lines.append(f"{what:34} {moved:8.4f}  {how.how}")
        print("   " + lines[-1])
        if not moved > 1e-2:
            bad.append(what)
    with open(os.path.join(folder, "features.txt"), "w") as f:
        f.write("\n".join(lines) + "\n")
    assert not bad, (spec.name, bad)


# --- the models -----------------------------------------------------------------------------------------------------

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
QK = dict(q_norm=(1.0, 2.5), k_norm=(1.0, 2.5))
QK_OFF = {"QK norm": drop(["q_norm", "k_norm"], "q_norm and k_norm left out"), **norms(1, "q_norm", "k_norm")}
PRE = norms(1, "input_layernorm", "post_attention_layernorm", "model.norm")
QKV = {f"{x} bias": fill(f"{x}_proj.bias", 0, "zero") for x in "qkv"}
OUT = {"o bias": fill("o_proj.bias", 0, "zero")}

Spec("llama", "llama", {**PLAIN_ROPE, **NO_ROPE, **PAIRS, **PRE}, tie_word_embeddings=True, rope_scaling=LLAMA3,
     num_hidden_layers=2, vocab_size=320, bos_token_id=304, eos_token_id=308, pad_token_id=None, extra=llama_tokenizer)

Spec("llama-untied", "llama", {**NO_ROPE, **PAIRS, **PRE, **QKV, **OUT,
                               **{f"{x} bias": fill(f"{x}_proj.bias", 0, "zero") for x in ("gate", "up", "down")}},
     tie_word_embeddings=False, attention_bias=True, mlp_bias=True, num_hidden_layers=2)

Spec("qwen2", "qwen2", {**QKV, **NO_ROPE, **PAIRS, **PRE}, tie_word_embeddings=True, rms_norm_eps=1e-6, rope_theta=1e6,
     num_hidden_layers=2, head_dim=None, shards="50KB")

Spec("qwen3", "qwen3", {**QK_OFF, **NO_ROPE, **PAIRS}, tie_word_embeddings=False, dtype=torch.float16, gain=QK,
     rms_norm_eps=1e-6, rope_theta=1e6, num_hidden_layers=2)

GEMMA = dict(plus_one=True, tie_word_embeddings=True, rms_norm_eps=1e-6, sliding_window=WINDOW,
             query_pre_attn_scalar=16)
POST = {"post norms": drop(["post_attention_layernorm", "post_feedforward_layernorm"], "both post norms left out")}


def plain_embedding(model):
    model.model.config.hidden_size = 1                  # gemma 2 takes the root of this when it runs
    if hasattr(model.model.embed_tokens, "embed_scale"):
        model.model.embed_tokens.embed_scale.fill_(1)   # gemma 3 took it when it was made


EMBED = {"embedding scale": patch(plain_embedding, "not multiplied by sqrt(width)")}
SANDWICH = norms(0, "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                 "post_feedforward_layernorm", "model.norm")

Spec("gemma2", "gemma2", {"attention cap": conf(attn_logit_softcapping=None),
                          "final cap": conf(final_logit_softcapping=None), "window": conf(sliding_window=4096),
                          "full layers": conf(layer_types=["sliding_attention"] * 4), **POST, **EMBED, **NO_ROPE,
                          **PAIRS, **SANDWICH, "gelu": conf(hidden_activation="silu")},
     hidden_size=32, num_hidden_layers=4, attn_logit_softcapping=6.0, final_logit_softcapping=5.0, **GEMMA)

Spec("gemma3", "gemma3_text", {"window": conf(sliding_window=4096), "local rope base": conf(rope_local_base_freq=1e6),
                               "global rope base": conf(rope_theta=10000.0), **PLAIN_ROPE,
                               "QK norm": drop(["q_norm", "k_norm"], "q_norm and k_norm left out"), **POST, **EMBED,
                               **NO_ROPE, **PAIRS, **norms(0, "q_norm", "k_norm"), **SANDWICH},
     hidden_size=32, num_hidden_layers=6, rope_theta=1e6, rope_local_base_freq=10000.0,
     rope_scaling={"rope_type": "linear", "factor": 8.0}, gain=QK, vocab_size=320, bos_token_id=2, eos_token_id=1,
     extra=gemma_tokenizer, **GEMMA)

Spec("mistral", "mistral", {"window": conf(sliding_window=None), **NO_ROPE, **PAIRS, **PRE}, tie_word_embeddings=False,
     sliding_window=WINDOW, num_hidden_layers=2)

LONG = {"type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5],
        "long_factor": [1.2, 1.7, 2.4, 3.3, 4.5, 6.0]}


def no_attention_factor(model):
    model.model.rotary_emb.register_forward_hook(lambda m, args, out: tuple(t / m.attention_scaling for t in out))


Spec("phi3", "phi3", {"long factors": conf(rope_scaling={**LONG, "long_factor": LONG["short_factor"]}),
                      "rope factors": conf(rope_scaling={**LONG, "long_factor": [1.0] * 6}),
                      "attention factor": patch(no_attention_factor, "cos and sin not multiplied"),
                      "partial rotation": conf(partial_rotary_factor=1.0, rope_scaling={
                          "type": "longrope", "short_factor": LONG["short_factor"] + [2.5, 2.5],
                          "long_factor": LONG["long_factor"] + [6.0, 6.0]}), **NO_ROPE, **PAIRS, **PRE},
     tie_word_embeddings=False, rope_scaling=LONG, partial_rotary_factor=0.75, original_max_position_embeddings=32,
     num_hidden_layers=2, head_dim=None, short=24)

Spec("smollm3", "smollm3", {"layer without rope": conf(no_rope_layers=[1, 1, 1, 1]), **NO_ROPE, **PAIRS, **PRE},
     tie_word_embeddings=True, num_hidden_layers=4, head_dim=None, rope_theta=5e6, rms_norm_eps=1e-6,
     use_sliding_window=False)

Spec("olmo2", "olmo2", {**QK_OFF, **POST, **norms(1, "post_attention_layernorm", "post_feedforward_layernorm",
                                                  "model.norm"), **NO_ROPE, **PAIRS},
     tie_word_embeddings=False, float_norms=True, num_hidden_layers=2, head_dim=None, rms_norm_eps=1e-6,
     rope_theta=500000.0, gain=QK)

Spec("granite", "granite", {"embedding multiplier": conf(embedding_multiplier=1.0),
                            "attention multiplier": conf(attention_multiplier=0.25),
                            "residual multiplier": conf(residual_multiplier=1.0),
                            "logits scaling": conf(logits_scaling=1.0), **NO_ROPE, **PAIRS, **PRE},
     tie_word_embeddings=True, num_hidden_layers=2, head_dim=None, embedding_multiplier=3.0, attention_multiplier=0.4,
     residual_multiplier=0.6, logits_scaling=1.5, gain=dict(embed_tokens=0.35))


def chosen_sum(logits):
    """What the two best probabilities sum to, [1][n][1]."""
    return torch.softmax(logits, -1).topk(2, -1).values.sum(-1).reshape(1, -1, 1)


def swapped_experts(names):
    def change(model):
        for module in model.modules():
            for name in names:
                if hasattr(module, name) and isinstance(getattr(module, name), torch.nn.Linear):
                    w = getattr(module, name).weight
                    if w.shape[0] == 4:
                        w.data = w.data.flip(0)
    return patch(change, "the rows of the router reversed")


Spec("mixtral", "mixtral", {"router normalisation": scale_output("block_sparse_moe", lambda m, x, o: chosen_sum(o[1]),
                                                                 "probabilities of the two not divided by their sum"),
                            "second expert": conf(num_experts_per_tok=1), "router": swapped_experts(["gate"]),
                            **NO_ROPE, **PAIRS, **PRE},
     tie_word_embeddings=False, num_hidden_layers=2, num_local_experts=4, num_experts_per_tok=2, sliding_window=None,
     rope_theta=1e6, head_dim=None)

MOE = dict(tie_word_embeddings=False, num_hidden_layers=2, num_experts=4, num_experts_per_tok=2,
           moe_intermediate_size=32, decoder_sparse_step=1, rms_norm_eps=1e-6, rope_theta=1e6)

Spec("qwen2moe", "qwen2_moe", {"router not normalized": conf(norm_topk_prob=True),
                               "shared expert": scale_output("shared_expert", lambda m, x, o: 0.0, "left out"),
                               "shared expert gate": fill("shared_expert_gate", 0, "always one half"),
                               "second expert": conf(num_experts_per_tok=1), "router": swapped_experts(["gate"]),
                               **QKV, **NO_ROPE, **PAIRS, **PRE},
     shared_expert_intermediate_size=32, norm_topk_prob=False, head_dim=None, **MOE)

Spec("qwen3moe", "qwen3_moe", {"router normalisation": conf(norm_topk_prob=False),
                               "second expert": conf(num_experts_per_tok=1), "router": swapped_experts(["gate"]),
                               **QK_OFF, **NO_ROPE, **PAIRS, **PRE},
     hidden_size=32, norm_topk_prob=True, gain=QK, **MOE)

YARN = {"rope_type": "yarn", "factor": 4.0, "beta_fast": 4.0, "beta_slow": 0.5, "truncate": False,
        "original_max_position_embeddings": 32}


def no_clamp(model):
    for layer in model.model.layers:
        layer.mlp.experts.limit = 1e30


def all_softmax(m, x, out):
    logits = torch.nn.functional.linear(x.reshape(-1, x.shape[-1]), m.router.weight, m.router.bias)
    return chosen_sum(logits)


Spec("gpt-oss", "gpt_oss", {"sinks": fill("sinks", -1e4, "as if there were none"), "window": conf(sliding_window=4096),
                            "full layers": conf(layer_types=["sliding_attention"] * 2), **PLAIN_ROPE,
                            "yarn attention factor": patch(no_attention_factor, "cos and sin not multiplied"),
                            "yarn not truncated": conf(rope_scaling={**YARN, "truncate": True}),
                            "swiglu limit": patch(no_clamp, "no clamp"),
                            "router normalisation": scale_output(".mlp", all_softmax, "softmax over all experts"),
                            "second expert": conf(num_experts_per_tok=1),
                            "router bias": fill("router.bias", 0, "zero"),
                            "gate and up bias": fill("gate_up_proj_bias", 0, "zero"),
                            "down bias": fill("down_proj_bias", 0, "zero"), **QKV, **OUT, **NO_ROPE, **PAIRS, **PRE},
     tie_word_embeddings=False, num_hidden_layers=2, num_local_experts=4, num_experts_per_tok=2, sliding_window=WINDOW,
     rope_scaling=YARN, rope_theta=150000.0, extra=pack_experts)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in sys.argv[2:] or MODELS:
        make(MODELS[name], sys.argv[1])


if __name__ == "__main__":
    main()
