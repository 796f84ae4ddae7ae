#!/usr/bin/env bash
# info, check and tensors on the demo model, on made models and on damaged ones.
. "$QS_SRCDIR/tests/cli/lib.sh"
make_model() { "$QS_BUILDDIR/tests/model/make_model" "$@"; }

make_model moe.gguf layers=3 embd=64 ff=96 experts=4 vocab=64 type=Q8_0 || fail "make_model"
make_model split layers=2 embd=64 vocab=64 parts=3 || fail "make_model parts"

if [ -e "$demo" ]; then
    run quantscape info "$demo"
    expect_rc 0
    expect_no_err
    expect_out 'storyteller 9M'
    expect_out '^  ffn_down '
    run quantscape info --json "$demo"
    expect_rc 0
    expect_json report info
    expect_json model.weights 8917248
    expect_json model.file_type F16
    expect_json model.file_bytes 17939808
    expect_json shape.layers 8
    expect_json shape.tied_embeddings true
    expect_json tokenizer.tokens 4096
    expect_json tokenizer.chat_template true
    expect_json 'memory[0].cache_bytes' 2097152
    run quantscape check "$demo"
    expect_rc 0
    expect_out 'Nothing is wrong with headers and weights'
    run quantscape tensors --json "$demo"
    expect_rc 0
    expect_json 'tensors.#' 74
fi

run quantscape info --metadata moe.gguf
expect_rc 0
expect_out '^  general.architecture +string +llama'
expect_out '^  tokenizer.ggml.tokens +array +64 x string \["<unk>", "<s>", "</s>", "t3"'
run quantscape info --metadata --csv moe.gguf
expect_rc 0
expect_out '^key,type,value'
run quantscape info --json moe.gguf
expect_json model.active_weights '*'
expect_json shape.experts 4
run quantscape info --csv moe.gguf
expect_out '^role,tensors,weights,bytes'

# whether it can be run, for people and for programs
make_model other.gguf arch=mamba embd=64 ff=96 vocab=64 || fail 'make_model arch'
make_model plain.gguf embd=64 ff=96 vocab=64 || fail make_model
run quantscape quantize plain.gguf -t COPY --override-kv llama.feed_forward_length=u32:97 -o shape.gguf
expect_rc 0
run quantscape info moe.gguf
expect_out '^  can be run +yes'
expect_not_out 'Cannot be run'
run quantscape info other.gguf
expect_rc 0
expect_out '^  can be run +no'
expect_out "Cannot be run: models of architecture 'mamba' can be looked at and quantized"
run quantscape info --json shape.gguf
expect_rc 0
expect_json model.can_run false
expect_json model.cannot_run 'tensor blk.0.ffn_gate.weight is 64 x 96 x 1, by the metadata it should be 64 x 97 x 1'

run quantscape tensors --role ffn_down_exps --sort -layer --json moe.gguf
expect_rc 0
expect_json 'tensors.#' 3
expect_json 'tensors[0].name' blk.2.ffn_down_exps.weight
expect_json 'tensors[0].shape' '96 x 64 x 4'
expect_json 'tensors[0].bpw' 8.5
run quantscape tensors --match 'blk\.1\.attn_[qk]\.' --csv moe.gguf
expect_rc 0
expect_out '^blk.1.attn_q.weight,attn_q,1,Q8_0'
expect_not_out 'attn_v'
run quantscape tensors --role ffn_dwn moe.gguf
expect_rc 2
expect_one_error "did you mean 'ffn_down'"
run quantscape tensors --match '(' moe.gguf
expect_rc 2
expect_one_error '--match'
run quantscape tensors --sort colour moe.gguf
expect_rc 2
expect_one_error '--sort'

run quantscape info --json split-00002-of-00003.gguf
expect_rc 0
expect_json model.parts 3
run quantscape check split-00001-of-00003.gguf
expect_rc 0
mv split-00003-of-00003.gguf away
run quantscape info split-00001-of-00003.gguf
expect_rc 1
expect_one_error 'part 3 of 3 is missing: split-00003-of-00003.gguf'
run quantscape check --json split-00001-of-00003.gguf
expect_rc 1
expect_json summary.sound false
expect_json 'findings[0].kind' error

# A pattern or role that finds nothing is an error, as for survey.
run quantscape tensors --match zzz moe.gguf
expect_rc 1
expect_one_error 'moe.gguf: none of the [0-9]+ tensors fits the pattern'
expect_no_out
run quantscape tensors --role output_norm --match zzz moe.gguf
expect_rc 1
expect_one_error
# One finding for one bad name, with field and place.
cp moe.gguf name.gguf
at=$(grep -obUa 'blk.1.attn_q.weight' name.gguf | head -n 1 | cut -d : -f 1)
printf '\377' | dd of=name.gguf bs=1 seek=$((at + 4)) conv=notrunc status=none
run quantscape check --json name.gguf
expect_rc 1
expect_json summary.errors 1
expect_json summary.warnings 0
expect_json summary.notes 0
expect_json 'findings[0].offset' "$at"
expect_json 'findings[0].field' 'tensor blk.\xFF.attn_q.weight'
expect_json 'findings[0].message' 'the name is not valid UTF-8 (byte 4)'
run quantscape info ''
expect_rc 1
expect_one_error 'empty word'
run quantscape diff moe.gguf
expect_rc 2
expect_one_error 'one argument more than "moe.gguf"; usage'
head -c 3 moe.gguf > three.gguf
run quantscape info three.gguf
expect_rc 1
expect_one_error 'three.gguf: magic: needs 4 bytes.*cut short'
head -c 1000 moe.gguf > head.gguf
run quantscape info head.gguf
expect_rc 1
expect_one_error 'head.gguf: .*cut short'

# Cut short, and a scale that is not a number.
head -c 20000 moe.gguf > cut.gguf
run quantscape info cut.gguf
expect_rc 1
expect_one_error 'cut.gguf: tensor .* beyond the end of the file'
run quantscape check cut.gguf
expect_rc 1
expect_no_err
expect_out 'error .* beyond the end of the file'
cp moe.gguf nan.gguf
run quantscape tensors --match '^blk.1.ffn_up_exps' --json nan.gguf
offset=$(json 'tensors[0].offset')
printf '\000\176' | dd of=nan.gguf bs=1 seek="$offset" conv=notrunc status=none
run quantscape check nan.gguf
expect_rc 1
expect_out 'blk.1.ffn_up_exps.weight: scales +1 of 768 blocks of Q8_0'
run quantscape check --quick nan.gguf
expect_rc 0
expect_out 'Nothing is wrong with the headers'

# No model at all.
: > empty.gguf
for file in empty.gguf nowhere.gguf .; do
    for verb in info tensors; do
        run quantscape $verb $file
        expect_rc 1
        expect_one_error
        expect_no_out
    done
done
run quantscape check empty.gguf
expect_rc 1
expect_out 'the file is empty'
run quantscape check nowhere.gguf
expect_rc 1
expect_one_error 'nowhere.gguf'
run quantscape info
expect_rc 2
run quantscape info --json nowhere.gguf
expect_rc 1
expect_out '"code"'
finish
