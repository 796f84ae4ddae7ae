#!/usr/bin/env bash
# presets_vs_llama.sh LLAMA-BIN QUANTSCAPE MODEL IMATRIX|- [PRESET[+pure]]... - whole files against llama-quantize.
#
# Writes MODEL with every preset (default: all of them) by both programs and compares them with `quantscape diff`: one
# line a preset with the tensors whose bytes are the same, the tensors that differ, what the other bytes amount to, and
# the seconds of both (two threads each). Exit code 1 when there is any difference. Presets that both refuse count as
# the same. With QS_TEXT=FILE it also lets llama-perplexity read both files (context QS_CTX, default 512), and with
# QS_COMPLETE=1 it lets llama-completion write 16 tokens from ours.
#
# LLAMA-BIN: folder with llama-quantize, llama-perplexity and llama-completion of llama.cpp, commit 0c1e57098 (MIT).
# QUANTSCAPE: the program. Files of both are made in $TMPDIR and removed. Needed by neither the program nor make check.
set -u
if [ $# -lt 4 ]; then sed -n 2p "$0" >&2; exit 2; fi
bin=$1 ours=$2 model=$3 imatrix=$4
shift 4
here=$(cd "$(dirname "$0")/../.." && pwd)
if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046
    set -- $(sed -n "s/^    local presets='\(.*\)'$/\1/p" "$here/completions/bash/quantscape")
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
with=() theirs_with=()
if [ "$imatrix" != - ]; then with=(--imatrix "$imatrix") theirs_with=(--imatrix "$imatrix"); fi
different=0
now() { date +%s.%N; }
number() { sed -n "s/^ *\"$1\": \([0-9.e+-]*\).*/\1/p" "$tmp/diff" | head -n 1; }
perplexity() { "$bin/llama-perplexity" -m "$1" -f "$QS_TEXT" -c "${QS_CTX:-512}" -t 2 2>&1 | sed -n 's/.*Final estimate: //p'; }

for word; do
    preset=${word%+pure} pure=() # Q4_K_M+pure: every tensor the base type
    if [ "$preset" != "$word" ]; then pure=(--pure); fi
    rm -f "$tmp"/*.gguf
    t0=$(now)
    "$bin/llama-quantize" --allow-requantize "${pure[@]}" "${theirs_with[@]}" "$model" "$tmp/theirs.gguf" "$preset" 2 > "$tmp/log" 2>&1
    theirs_rc=$?
    t1=$(now)
    "$ours" quantize "$model" -o "$tmp/ours.gguf" -t "$preset" "${pure[@]}" "${with[@]}" --allow-requantize -q -j 2 > "$tmp/out" 2> "$tmp/err"
    rc=$?
    t2=$(now)
    seconds=$(awk -v a="$t0" -v b="$t1" -v c="$t2" 'BEGIN { printf "%.1f s theirs, %.1f s ours", b - a, c - b }')
    if [ $rc -ne 0 ] || [ $theirs_rc -ne 0 ]; then
        if [ $rc -ne 0 ] && [ $theirs_rc -ne 0 ]; then echo "$word: refused by both: $(cut -c 1-120 "$tmp/err")"; continue; fi
        echo "$word: DIFFERENT: exit codes $theirs_rc theirs, $rc ours: $(tail -n 1 "$tmp/err")"
        different=$((different + 1))
        continue
    fi
    "$ours" diff --json "$tmp/theirs.gguf" "$tmp/ours.gguf" > "$tmp/diff" || { echo "$word: cannot be compared"; exit 1; }
    other=$(($(number values) + $(number shape) + $(number only_a) + $(number only_b)))
    state='same'
    if [ "$other" -ne 0 ]; then state=DIFFERENT different=$((different + 1)); fi
    echo "$word: $state: $(number same) tensors same, $other other, relative RMS $(number error); $seconds"
    if [ -n "${QS_TEXT:-}" ]; then
        echo "  theirs: $(perplexity "$tmp/theirs.gguf")"
        echo "  ours:   $(perplexity "$tmp/ours.gguf")"
    fi
    if [ -n "${QS_COMPLETE:-}" ]; then
        "$bin/llama-completion" -m "$tmp/ours.gguf" -p 'Once upon a time' -n 16 -no-cnv --temp 0 -t 2 < /dev/null 2> "$tmp/log" |
            tr '\n' ' ' | sed 's/^/  writes: /'
        echo
    fi
done
if [ "$different" -ne 0 ]; then echo "$different presets differ"; exit 1; fi
