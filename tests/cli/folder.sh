#!/usr/bin/env bash
# Hugging Face folders on the command line: every verb takes them, what is written from them is what the GGUF file would
# give, and nothing in them is ever written over.
. "$QS_SRCDIR/tests/cli/lib.sh"
story=$QS_TEST_DATA/models/storyteller-hf gguf=$QS_TEST_DATA/models/storyteller-9m-f16.gguf
tiny=$QS_SRCDIR/tests/model/tiny

same_tensors() { # A B: as many as the JSON of the comparison says
    run quantscape diff --json "$1" "$2"
    for key in values shape only_a only_b; do expect_json diff.$key 0; done
}

# ---- every architecture: what is written as it is stored holds the same tensors and metadata ----
for name in llama llama-untied mistral mixtral smollm3 granite qwen2 qwen2moe qwen3 qwen3moe gemma2 gemma3 phi3 olmo2 \
    gpt-oss; do
    type=BF16
    if [ "$name" = qwen3 ]; then type=F16; fi
    rule=()
    if [ "$name" = gpt-oss ]; then rule=(--rule 'exps\.weight=MXFP4'); fi
    run quantscape quantize "$tiny/$name" -t $type "${rule[@]}" -o "$name.gguf"
    expect_rc 0
    same_tensors "$tiny/$name" "$name.gguf"
    run quantscape check "$name.gguf"
    expect_rc 0
    rm -f "$name.gguf"
done

# ---- the verbs ----
cp -r "$tiny/llama" model && chmod -R u+w model
for words in 'info model' 'info model/config.json' 'info model/' 'tensors model/model.safetensors' 'check model' \
    'plan model -t Q8_0' 'map model --uniform Q8_0' 'survey model -t Q8_0'; do
    run quantscape $words
    expect_rc 0
    expect_no_err
done
run quantscape info model
expect_out 'are made when the model is run: 0 B of them in scratch files'
run quantscape info model --json
expect_json model.format 'Hugging Face folder'
expect_json model.name Model
expect_json model.parts 1
expect_json model.tensors 21
expect_json tokenizer.tokens 320
run quantscape quantize model -t Q8_0
expect_rc 0
if [ -f model.Q8_0.gguf ]; then ok "written beside the folder"; else fail "no model.Q8_0.gguf"; fi
run quantscape info model.Q8_0.gguf --json
expect_json tokenizer.tokens 320
expect_json tokenizer.chat_template true

# ---- what is read is not written over ----
find model -type f -exec cksum {} + | sort > before
for file in config.json model.safetensors tokenizer.json tokenizer_config.json; do
    run quantscape quantize model -t Q8_0 -o "model/$file" --force
    expect_rc 1
    expect_one_error 'is the model that is read'
    expect_no_out
done
find model -type f -exec cksum {} + | sort > after
if cmp -s before after; then ok "the folder is as it was"; else fail "the folder was changed"; fi

# ---- refusals ----
run quantscape info "$QS_SRCDIR"
expect_rc 1
expect_one_error 'holds no config.json'
mkdir adapter && echo '{}' > adapter/adapter_config.json
run quantscape check adapter
expect_rc 1
expect_one_error 'an adapter'
sed 's/"LlamaForCausalLM"/"BertModel"/' "$tiny/llama/config.json" > model/config.json
run quantscape quantize model -t Q8_0 -o x.gguf
expect_rc 1
expect_one_error 'architecture BertModel cannot be opened yet'
if [ -e x.gguf ] || [ -e x.gguf.part ]; then fail "something was written"; else ok "nothing was written"; fi
run quantscape info nowhere/model.safetensors
expect_rc 1
expect_one_error 'nowhere'

# ---- a trained model: tensor by tensor what the GGUF file gives (its norms have more digits) ----
if [ -d "$story" ]; then
    for type in F16 Q4_K_M; do
        run quantscape quantize "$story" -t $type -o "hf-$type.gguf"
        expect_rc 0
        run quantscape quantize "$gguf" -t $type -o "gguf-$type.gguf"
        expect_rc 0
        run quantscape diff --json "hf-$type.gguf" "gguf-$type.gguf"
        expect_json diff.values 17
        expect_json diff.same 57
        expect_json diff.shape 0
    done
fi
finish
