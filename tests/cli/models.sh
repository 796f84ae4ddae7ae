#!/usr/bin/env bash
# `models`: what is found is told, what cannot be looked through is a note, and names cannot act on the terminal.
. "$QS_SRCDIR/tests/cli/lib.sh"
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HOME OLLAMA_MODELS LLAMA_CACHE
mkdir -p work/below far/a/b "$XDG_CACHE_HOME/huggingface/hub/models--org--name/snapshots/r"
cp "$demo" work/demo.gguf
cd work || exit 99
run quantscape models
expect_rc 0
expect_out '^ *Folder +demo\.gguf +17\.1 MiB +F16 +llama'
run quantscape models --json
expect_json 'models[0].group' folder
expect_json 'models[0].path' "$PWD/demo.gguf"
expect_json 'models[0].openable' true
run quantscape models --csv
expect_out '^folder,demo\.gguf,,17'

ln -s "$PWD/demo.gguf" "$XDG_CACHE_HOME/huggingface/hub/models--org--name/snapshots/r/x-F16.gguf"
cp "$demo" $'below/a\033[2Jb.gguf'
run quantscape models
expect_not_out $'\033'
expect_out 'below/a'
expect_not_out 'org/name' # the same file as demo.gguf
cd "$scratch/far" || exit 99
run quantscape models
expect_out '^ *Hugging Face cache +org/name +x-F16\.gguf +17\.1 MiB +F16'

cp "$demo" a/b/deep.gguf
run quantscape models --folder . --folder "$scratch/work" --json
expect_json 'models[0].name' a/b/deep.gguf
expect_json 'models[1].name' demo.gguf
run quantscape models --folder nowhere
expect_rc 1
expect_one_error 'nowhere'
run quantscape models --recent
expect_rc 0
expect_out 'No model was found'
mkdir -p "$XDG_STATE_HOME/quantscape"
printf '5 %s\n4 /gone/model.gguf\n' "$scratch/work/demo.gguf" > "$XDG_STATE_HOME/quantscape/recent"
run quantscape models --recent --json
expect_json 'models[0].name' demo.gguf
expect_json 'models[1].missing' true
expect_json 'models[1].bytes' null
expect_no_err
OLLAMA_MODELS=/nonexistent/place run quantscape models
expect_rc 0
expect_out '/nonexistent/place: there is no such folder'
HOME='' XDG_STATE_HOME='' XDG_CACHE_HOME='' run quantscape models
expect_rc 0
finish
