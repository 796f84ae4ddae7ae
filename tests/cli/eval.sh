#!/usr/bin/env bash
# `eval`: numbers beside llama.cpp's, a candidate in memory and the file written from the same recipe, block by block,
# the history, and what is refused in one message.
. "$QS_SRCDIR/tests/cli/lib.sh"
need_data text/books.txt
golden=$QS_SRCDIR/tests/oracle/perplexity_vs_llama.tsv
head -c 8000 "$QS_TEST_DATA/text/books.txt" > short.txt
head -c 3000 "$QS_TEST_DATA/text/books.txt" > tiny.txt

# near WHAT VALUE WANTED TOLERANCE (relative)
near() {
    if awk -v a="$2" -v b="$3" -v t="$4" \
        'BEGIN { d = a - b; if (d < 0) d = -d; if (b < 0) b = -b; exit !(a != "" && d <= t * b) }'
    then ok "$1: $2 is near $3"; else fail "$1: $2 is not within $4 of $3"; fi
}
column() { awk -F'\t' -v t="$1" -v p="$2" -v q="$3" -v c="$4" \
    '$1 == 8000 && $3 == t && $4 == p && $5 == q { print $c }' "$golden"; }

# Files against llama-perplexity's numbers for the same bytes: perplexity within 0.5 % (F16: 0.1 %), divergence alike.
quantscape quantize "$demo" -t Q4_K_M -o q4.gguf -q > /dev/null || fail quantize
run quantscape eval "$demo" --text short.txt --ctx 128 --no-history --json
expect_rc 0
near 'F16 perplexity' "$(json perplexity.ppl)" "$(column F16 llama.cpp fast 6)" 0.001
expect_json perplexity.ppl_reference null
expect_json divergence.kld null
expect_json eval.precision exact
run quantscape eval q4.gguf --against "$demo" --text short.txt --ctx 128 --precision fast --no-history --json
expect_rc 0
expect_json eval.precision fast
expect_json eval.scored 1323
near 'Q4_K_M perplexity' "$(json perplexity.ppl)" "$(column Q4_K_M llama.cpp fast 6)" 0.005
near 'Q4_K_M KLD' "$(json divergence.kld)" "$(column Q4_K_M llama.cpp fast 7)" 0.05
near 'Q4_K_M KLD 99 %' "$(json divergence.kld_99)" "$(column Q4_K_M llama.cpp fast 8)" 0.1
near 'Q4_K_M same top' "$(json probability.same_top)" 0.95 0.02

# The candidate in memory and the file written from the same recipe: every number, bit for bit; block by block too.
args=(--text tiny.txt --ctx 64 --no-noise --no-history --csv)
run quantscape eval q4.gguf --against "$demo" "${args[@]}"
expect_rc 0
cp "$out" file.csv
run quantscape eval "$demo" -t Q4_K_M "${args[@]}"
if cmp -s "$out" file.csv; then ok "$what: the same as of the file"; else fail "$what: not the same as of the file"; fi
run quantscape eval "$demo" -t Q4_K_M --by-layer "${args[@]}"
if cmp -s "$out" file.csv; then ok "$what: the same bits"; else fail "$what: other numbers"; fi
run quantscape eval "$demo" -t Q4_K_M --memory 2MiB -j 1 "${args[@]}"
if cmp -s "$out" file.csv; then ok "$what: the same bits"; else fail "$what: other numbers"; fi
expect_err 'run block by block'
run quantscape eval "$demo" -t Q4_K_M --memory 2MiB --text tiny.txt --ctx 64 --no-history --json
expect_json eval.way 'layer by layer, 18 windows at a time'

# A model against itself, in any precision and with any cache.
for more in '--precision fast' '--cache-type Q8_0 --rotate'; do
    # shellcheck disable=SC2086
    run quantscape eval "$demo" --against "$demo" --text tiny.txt --ctx 64 --chunks 2 --no-history --json $more
    expect_json divergence.kld_max 0.0
    expect_json probability.same_top 1.0
    expect_json perplexity.ratio 1.0
done
run quantscape eval "$demo" --against "$demo" --reference q8_0 --text tiny.txt --ctx 64 --chunks 4 --no-history --json
expect_json eval.stand_in Q8_0
near 'against the stand-in' "$(json divergence.kld)" 0.00005 0.9
expect_out 'stand-in in Q8_0'

# Tokens, layers, warnings.
run quantscape eval "$demo" -t Q2_K --text tiny.txt --ctx 32 --chunks 3 --tokens --layers --calibration short.txt \
    --no-history --json
expect_json 'tokens[14].at' 31
expect_json 'tokens[15].at' 49
expect_json 'layers[8].layer' 'block 7'
expect_out 'stands in the calibration text'
expect_out 'too few'
run quantscape eval "$demo" -t Q2_K --text tiny.txt --ctx 32 --chunks 3 --tokens --no-history --csv
expect_out '^at,token,text,ln_p,ln_p_reference,kld,'

# The history: two recipes on two texts, listed, compared, exported.
for type in Q4_K_M Q2_K; do
    run quantscape eval "$demo" -t "$type" --text tiny.txt --held-out short.txt --ctx 64 --chunks 2 -q --json
    expect_rc 0
done
expect_json 'held_out[1].text' short.txt
run quantscape eval --history --json
expect_json 'runs[0].recipe' Q4_K_M
expect_json 'runs[3].recipe' Q2_K
expect_json 'runs[3].text' short.txt
run quantscape eval --history
expect_out 'Q2_K .*tiny.txt'
run quantscape eval --history --csv
expect_out '^id,date,model,recipe,'
run quantscape eval --compare 1 last --json
expect_json a.recipe Q4_K_M
expect_json 'numbers[13].number' kld
run quantscape eval --compare 1 last
expect_out 'differ in the text'
run quantscape eval --compare 1 9
expect_rc 1
expect_one_error "no run is called '9'"

# What cannot be done is said at once, in one line.
refused() { # REGEX CODE ARGUMENT...
    run quantscape eval "${@:3}"
    expect_rc "$2"
    expect_one_error "$1"
    expect_no_out
}
: > empty.txt
printf 'abc\377def and so on\n' > latin.txt
printf '{"question": "q", "choices": ["a"], "answer": 0}\n' > bad.jsonl
"$QS_BUILDDIR/tests/model/make_model" other.gguf layers=1 vocab=300 || fail make_model
"$QS_BUILDDIR/tests/model/make_model" mamba.gguf layers=1 arch=mamba || fail make_model
refused 'nothing to measure on' 2 "$demo"
refused 'one MODEL is expected' 2 --text tiny.txt
refused 'nothing in it' 1 "$demo" --text empty.txt
refused 'latin.txt: .*UTF-8' 1 "$demo" --text latin.txt
refused 'missing.txt' 1 "$demo" --text missing.txt
refused 'one window takes 4096' 1 "$demo" --text tiny.txt --ctx 4096
refused 'bad.jsonl, line 1: needs "choices"' 1 "$demo" --tasks bad.jsonl
refused 'compares two models' 2 "$demo" --text tiny.txt --layers
refused 'compares two models' 2 "$demo" --prompts tiny.txt
refused 'NAME=VALUE' 2 "$demo" -t Q8_0 --prompts tiny.txt --sample heat
refused 'vocabularies of .* differ' 1 "$demo" --against other.gguf --text tiny.txt
refused 'mamba' 1 mamba.gguf --text tiny.txt
refused 'importance' 1 "$demo" -t IQ2_XXS --text tiny.txt
refused 'for a candidate' 2 "$demo" --imatrix tiny.txt --text tiny.txt
refused 'lists them' 2 --compare 1
# A history that cannot be written is a warning, and the numbers are there.
rm -rf "$XDG_STATE_HOME"
: > "$XDG_STATE_HOME"
run quantscape eval "$demo" --text tiny.txt --ctx 64 --chunks 1 --json
expect_rc 0
expect_err 'history was not written'
expect_json perplexity.ppl '*'
finish
