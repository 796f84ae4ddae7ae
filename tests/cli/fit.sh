#!/usr/bin/env bash
# `fit`: a budget in, a recipe out that keeps it; pins, ties, swaps that are measured and kept, the frontier, the proof; and what
# is refused in one message.
. "$QS_SRCDIR/tests/cli/lib.sh"
need_data text/books.txt
head -c 12000 "$QS_TEST_DATA/text/books.txt" > held.txt
head -c 6000 "$QS_TEST_DATA/text/books-calibration.txt" > calibration.txt

less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a <= b) }'; }
at_most() { if less "$2" "$3"; then ok "$1: $2 is at most $3"; else fail "$1: $2 is more than $3"; fi; }

# Bits per weight: the recipe written gives what was told, tensor by tensor.
run quantscape fit "$demo" 4.5 bpw -o a.recipe --json -q
expect_rc 0
expect_no_err
at_most 'bits per weight' "$(json fit.bpw)" 4.5
expect_json fit.exact true
expect_json fit.kld false
bytes=$(json fit.bytes)
head -n 1 a.recipe > "$out"
expect_out '^# fitted to 4\.5 bits per weight'
run quantscape plan "$demo" --recipe a.recipe --json
expect_json plan.bytes "$bytes"
run quantscape fit "$demo" 4.5bpw --csv -q
cut -d, -f1,5 "$out" | tr -d '\r' | sort > fitted.csv
run quantscape plan "$demo" --recipe a.recipe --csv
cut -d, -f1,6 "$out" | tr -d '\r' | grep -v norm | sed 's/^name,to/name,type/' | sort > planned.csv
if cmp -s fitted.csv planned.csv; then ok 'the recipe gives the types of the table'; else fail 'the recipe gives other types'; fi

# A size is that of the file, header and all.
run quantscape fit "$demo" 5.5 MiB -o size.recipe -q
expect_rc 0
run quantscape quantize "$demo" --recipe size.recipe -o size.gguf -q
expect_rc 0
at_most 'bytes of the file' "$(stat -c %s size.gguf)" $((5632 * 1024))
at_most 'what is left over' $((5632 * 1024 - $(stat -c %s size.gguf))) 20000
run quantscape fit "$demo" fits in 24 MiB with 512 tokens of context and q8_0 cache --json -q
expect_rc 0
expect_json fit.kv_bytes '*'
at_most 'bytes in memory' $(($(json fit.bytes) + $(json fit.kv_bytes) + $(json fit.overhead_bytes))) $((24 * 1024 * 1024))

# What the recipe says already stays; what is tied has one type.
run quantscape fit "$demo" 4.5 bpw --pin blk.2.ffn_up.weight=Q8_0 --rule 'blk\.1\.attn_.=Q5_K' --tie --csv -q
expect_rc 0
expect_out '^blk\.2\.ffn_up\.weight,ffn_up,2,F16,Q8_0,.*,pinned,'
expect_out '^blk\.1\.attn_k\.weight,attn_k,1,F16,Q5_K,.*,pinned,'
for layer in 0 3 7; do
    n=$(grep -E "^blk\.$layer\.attn_[qkv]\.weight" "$out" | cut -d, -f5 | sort -u | wc -l)
    if [ "$n" = 1 ]; then ok "layer $layer: q, k, v have one type"; else fail "layer $layer: q, k, v have $n types"; fi
done
run quantscape fit "$demo" 6 bpw --allow Q4_K --allow Q8_0 --csv -q
if tail -n +2 "$out" | cut -d, -f5 | grep -qvE '^(Q4_K|Q8_0)$'; then fail 'other types than allowed'; else ok 'allowed types alone'; fi

# Swaps: measured once, kept with the statistics, and then known.
if [ -x "$QS_BUILDDIR/tests/real/make_imatrix" ]; then
    "$QS_BUILDDIR/tests/real/make_imatrix" "$demo" im.dat || fail make_imatrix
    run quantscape fit "$demo" 4.5 bpw --imatrix im.dat --text calibration.txt --ctx 32 --swap-windows 2 --statistics-out st.gguf --json -q
    expect_rc 0
    expect_json fit.kld true
    expect_json 'tensors[3].sensitivity_from' swap
    first=$(json fit.predicted)
    run quantscape fit "$demo" 4.5 bpw --imatrix st.gguf --json -q
    expect_json fit.predicted "$first"
    expect_json fit.kld true
fi
run quantscape fit "$demo" 4.5 bpw --text calibration.txt --ctx 32 --swap-windows 1 --frontier --json -q
expect_rc 0
expect_json fit.kld true
expect_json 'frontier[20].predicted' '*'
expect_json 'presets[3].predicted' '*'
run quantscape fit "$demo" 4.5 bpw --text calibration.txt --ctx 32 --swap-windows 1 --frontier -q
expect_out '@ this recipe'
expect_out 'predicted KL divergence'

# The proof: measured, beside what was predicted.
run quantscape fit "$demo" 5 bpw --text calibration.txt --ctx 64 --swap-windows 2 --prove --held-out held.txt --chunks 4 --rivals 2 --json -q
expect_rc 0
expect_json fit.better '*'
expect_json 'rivals[0].name' fitted
expect_json 'rivals[2].kld' '*'
at_most 'predicted over measured' "$(json fit.prediction_ratio)" 3
at_most 'measured over predicted' "$(awk -v x="$(json fit.prediction_ratio)" 'BEGIN { print 1 / x }')" 3
run quantscape fit "$demo" 5 bpw --prove --held-out held.txt --ctx 64 --chunks 2 --rivals 1 -q
expect_rc 0
expect_out '^ *The fitted recipe is'

# Refusals.
refused() { local code=$1 words=$2; shift 2; run quantscape fit "$@"; expect_rc "$code"; expect_one_error "$words"; expect_no_out; }
refused 1 'at least [0-9.]+ MiB' "$demo" 2 bpw -q
refused 1 "'small' is not a budget" "$demo" small
refused 1 'Q4_K' "$demo" fits in 24 MiB with Q4_K cache
refused 1 '4\.5 bpw.*4\.5 GiB' "$demo" 4.5
refused 1 'nothing is left' "$demo" 1KiB
refused 1 'exists' "$demo" 4.5 bpw -o a.recipe -q
refused 2 'go together' "$demo" 4.5 bpw --swap-windows 3
refused 2 'held-out' "$demo" 4.5 bpw --prove
refused 2 'no say' "$demo" 4.5 bpw -t Q4_K_M
refused 2 'pure' "$demo" 4.5 bpw --pure
refused 2 'statistics-out' "$demo" 4.5 bpw --statistics-out x.gguf
refused 1 'no.such' "$demo" 4.5 bpw --imatrix no.such.file
finish
