#!/usr/bin/env bash
# `tokenize`: text from everywhere, every form of output, special tokens or not, one message for what is wrong.
. "$QS_SRCDIR/tests/cli/lib.sh"

run quantscape tokenize "$demo" 'Once upon a time'
expect_rc 0
expect_no_err
expect_out 'tokenizer +llama'
expect_out '<s> +control'
run quantscape tokenize "$demo" 'Once upon a time' --ids
expect_rc 0
cp "$out" ids
expect_out '^\[1, [0-9]+(, [0-9]+)*\]$'

# The same from a file, from standard input, and from "-".
printf 'Once upon a time' > text
run quantscape tokenize "$demo" --ids --file text
cmp -s ids "$out" && ok 'the same from a file' || fail 'from a file'
for how in '' '--file -'; do
    quantscape tokenize "$demo" --ids $how < text > "$out" 2> "$err"
    if cmp -s ids "$out"; then ok "the same from standard input ($how)"; else fail "from standard input ($how)"; fi
done

run quantscape tokenize "$demo" 'Once upon a time' --ids --no-bos
sed 's/^\[1, /[/' ids > without
cmp -s without "$out" && ok 'no BOS' || fail 'no BOS'

run quantscape tokenize "$demo" '<s>x<|end|>' --json --no-bos
expect_rc 0
expect_json summary.bytes 11
expect_json summary.tokens 3
expect_json 'tokens[0].id' 1
expect_json 'tokens[0].kind' control
expect_json 'tokens[2].kind' end
expect_json 'tokens[2].piece' '<|end|>'
run quantscape tokenize "$demo" '<s>x' --json --no-bos --no-parse-special
expect_json 'tokens[0].kind' ''
run quantscape tokenize "$demo" $'\xf0\x9f\xa6\x99' --csv --no-bos # a llama, byte by byte
expect_rc 0
expect_out '^index,id,piece,kind,hex'
expect_out ',byte,f0'
expect_out ',byte,99'
run quantscape tokenize "$demo" '' --ids --no-bos
expect_out '^\[\]$'

# Chats.
run quantscape tokenize "$demo" --chat 'Tell me a story.' --json
expect_rc 0
expect_json summary.chat '<s><|user|>Tell me a story.<|end|><|assistant|>'
expect_json 'tokens[0].id' 1
expect_json 'tokens[1].piece' '<|user|>'
cp "$out" prompt.json
printf '[{"role": "user", "content": "Tell me a story."}]' > chat.json
run quantscape tokenize "$demo" --messages chat.json --json
if cmp -s prompt.json "$out"; then ok 'the same from a file of messages'; else fail 'from a file of messages'; fi
printf '{"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"},
    {"role": "user", "content": "C"}]}' > chat.json
run quantscape tokenize "$demo" --messages chat.json --json
expect_json summary.chat '<s><|user|>A<|end|><|assistant|>B<|end|><|user|>C<|end|><|assistant|>'
run quantscape tokenize "$demo" --chat --template chatml --system S U --json
expect_json summary.chat $'<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant'
run quantscape tokenize "$demo" --chat --template nothing x
expect_rc 2
expect_one_error "no built-in chat template is named 'nothing' .harmony, .*, plain"
run quantscape tokenize "$demo" --chat --template chatmll x
expect_rc 2
expect_one_error 'did you mean chatml'
run quantscape tokenize --help
tr -s ' \n' ' ' < "$out" > flat && cp flat "$out"
expect_out 'harmony, phi4, chatml, llama3, gemma, .* vicuna, plain '
run quantscape tokenize "$demo" --messages text
expect_rc 1
expect_one_error '^quantscape: text: '
printf '[{"content": "A"}]' > chat.json
run quantscape tokenize "$demo" --messages chat.json
expect_rc 1
expect_one_error 'message 1 is no object with a "role"'
printf '[{"role": "user", "content": "A"}, {"role": "assistant"}]' > chat.json
run quantscape tokenize "$demo" --messages chat.json
expect_rc 1
expect_one_error 'chat.json: content of message 2 is missing'
printf '[{"role": "user", "parts": []}]' > chat.json # a template may need less, or other things; this one does not
run quantscape tokenize "$demo" --messages chat.json
expect_rc 1
expect_one_error "chat template: .*no attribute 'content'"
for empty in '[]' '{"messages": []}'; do
    printf '%s' "$empty" > chat.json
    run quantscape tokenize "$demo" --messages chat.json
    expect_rc 1
    expect_one_error 'chat.json: the array of messages is empty'
done
run quantscape tokenize "$demo" --system S x
expect_rc 2
run quantscape tokenize "$demo" --template chatml x
expect_rc 2
run quantscape tokenize "$demo" --messages chat.json x
expect_rc 2

# What is wrong.
run quantscape tokenize "$demo" $'ab\xff'
expect_rc 1
expect_one_error 'not valid UTF-8: byte 0xFF at offset 2'
run quantscape tokenize "$demo" text --file text
expect_rc 2
run quantscape tokenize "$demo" text --ids --json
expect_rc 2
run quantscape tokenize "$demo" --file nowhere
expect_rc 1
run quantscape tokenize
expect_rc 2
# Another kind of tokenizer: the five bytes "llama" of tokenizer.ggml.model written over.
cp "$demo" other.gguf
at=$(grep -abo -m 1 'tokenizer\.ggml\.model' other.gguf | head -n 1 | cut -d : -f 1)
printf 'rwkvx' | dd of=other.gguf bs=1 seek=$((at + 32)) conv=notrunc status=none
run quantscape tokenize other.gguf x
expect_rc 1
expect_one_error "other.gguf: a tokenizer of the kind 'rwkvx'"
finish
