#!/usr/bin/env bash
# Perplexity and KL divergence of the same files, by llama.cpp's llama-perplexity and by `quantscape eval`.
#
#     perplexity_vs_llama.sh LLAMA-PERPLEXITY QUANTSCAPE MODEL.gguf TEXT > perplexity_vs_llama.tsv
#
# Made with llama.cpp 0c1e57098 (CPU, one thread), the bundled storyteller-9m-f16.gguf and books.txt of the shared test
# data. Writes the presets with our own `quantize`, saves llama.cpp's logits of the original once, and prints a line for
# each file, length of text, program and precision: the numbers as llama-perplexity --kl-divergence prints them. Files
# go to a temporary folder (about 400 MB). tests/cli/eval.sh compares the lines of the short text with what eval says
# today; the long text is the figure that the README of the models has.
# Fails where a perplexity is more than 0.5 % (F16: 0.1 %) off llama.cpp's, fast precision.
set -eu
export LC_ALL=C
llama=$1 qs=$2 model=$3 text=$4
dir=$(mktemp -d "${TMPDIR:-/tmp}/perplexity.XXXXXX")
trap 'rm -rf "$dir"' EXIT
printf 'bytes\tctx\ttype\tprogram\tprecision\tppl\tkld\tkld_99\tkld_median\tdp_rms\tsame_top\n'

# The number behind a label in llama-perplexity's output.
number() { sed -nE "s/^$2 *: *(-?[0-9.]+).*/\1/p" "$1" | head -n 1; }
# llama-perplexity's log is written by a thread that its exit may cut short: until it is whole.
compare() { # FILE ARGUMENT...
    local try
    for try in 1 2 3 4 5 6; do
        "$llama" -m "$1" "${@:2}" --kl-divergence --kl-divergence-base "$dir/base" > "$dir/log" 2>&1
        if grep -qa '^Same top p' "$dir/log"; then return; fi
    done
    echo "llama-perplexity does not tell all of $1 in $try runs" >&2
    exit 1
}
theirs() { # LOG BYTES CTX TYPE
    printf '%s\t%s\t%s\tllama.cpp\tfast\t%s\t%s\t%s\t%s\t%s\t%s\n' "$2" "$3" "$4" "$(number "$1" 'Mean PPL\(Q\)')" \
        "$(number "$1" 'Mean    KLD')" "$(number "$1" '99\.0%   KLD')" "$(number "$1" 'Median  KLD')" \
        "$(number "$1" 'RMS Δp   ')" "$(number "$1" 'Same top p')"
}
ours() { # BYTES CTX TYPE PRECISION FILE
    "$qs" eval "$5" --against "$model" --text "$dir/text" --ctx "$2" --precision "$4" --no-noise --no-history --csv -q \
        > "$dir/csv"
    awk -F, -v OFS='\t' -v a="$1" -v b="$2" -v c="$3" -v d="$4" '{ sub(/\r/, "", $2); v[$1] = $2 }
        END { printf "%s\t%s\t%s\tquantscape\t%s\t%.6f\t%.6f\t%.6f\t%.6f\t%.3f\t%.3f\n", a, b, c, d, v["ppl"], v["kld"],
              v["kld_99"], v["kld_median"], 100 * v["dp_rms"], 100 * v["same_top"] }' "$dir/csv"
}

for type in F16 Q8_0 Q6_K Q4_K_M Q4_0 IQ4_XS Q2_K; do
    file=$dir/$type.gguf
    if [ "$type" = F16 ]; then
        cp "$model" "$file"
    else
        "$qs" quantize "$model" -t "$type" -o "$file" -q > /dev/null
    fi
done
for size in '8000 128 F16 Q8_0 Q6_K Q4_K_M Q4_0 IQ4_XS Q2_K' '300000 512 F16 Q4_K_M'; do
    read -r bytes ctx types <<< "$size"
    head -c "$bytes" "$text" > "$dir/text"
    args=(-f "$dir/text" -c "$ctx" -b "$ctx" -t 1)
    "$llama" -m "$model" "${args[@]}" --kl-divergence-base "$dir/base" > "$dir/log" 2>&1
    for type in $types; do
        compare "$dir/$type.gguf" "${args[@]}"
        theirs "$dir/log" "$bytes" "$ctx" "$type"
        ours "$bytes" "$ctx" "$type" fast "$dir/$type.gguf"
        if [ "$bytes" = 8000 ]; then ours "$bytes" "$ctx" "$type" exact "$dir/$type.gguf"; fi
    done
done | tee "$dir/lines"
awk -F'\t' '$4 == "llama.cpp" { ppl = $6 } $4 == "quantscape" && $5 == "fast" {
    off = $6 / ppl - 1; if (off < 0) off = -off
    if (off > ($3 == "F16" ? 0.001 : 0.005)) { print $0 ": " 100 * off "% off" > "/dev/stderr"; bad = 1 } }
    END { exit bad }' "$dir/lines"
