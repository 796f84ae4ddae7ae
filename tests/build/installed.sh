#!/usr/bin/env bash
# installed.sh BIN DATA MAN - what "make install" left does its main work: the program starts, reads the demo model, quantizes
# it, finds nothing wrong with the result; manuals and completions lie where they belong. Run by "make installcheck".
set -u
program=$1/quantscape data=$2 man=$3 failed=0 dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
check() { if "$@" > "$dir/out" 2>&1; then echo "ok: $*"; else echo "FAIL: $*"; cat "$dir/out"; failed=1; fi; }
export XDG_CACHE_HOME=$dir XDG_CONFIG_HOME=$dir XDG_STATE_HOME=$dir XDG_DATA_HOME=$dir
model=$data/quantscape/demo/storyteller-9m-f16.gguf
check "$program" --version
check "$program" info "$model"
check "$program" quantize "$model" "$dir/small.gguf" -t Q4_K_M
check "$program" check "$dir/small.gguf"
check test -s "$man/man1/quantscape.1"
check test -s "$man/man5/recipe.5"
check test -s "$data/bash-completion/completions/quantscape"
exit $failed
