#!/usr/bin/env bash
# `imatrix`: what a file knows, both of llama.cpp's forms into each other, merging, experts that nobody saw, refusals that help.
. "$QS_SRCDIR/tests/cli/lib.sh"
data=$QS_SRCDIR/tests/format/data
experts=$QS_SRCDIR/tests/fuzz/corpus/imatrix/statistics # statistics of two inputs, one of two experts

# ---- looking ----
run quantscape imatrix "$data/demo-imatrix.gguf" --json
expect_rc 0
expect_json imatrix.form 'importance matrix (GGUF)'
expect_json imatrix.tokens 1530
expect_json imatrix.entries 56
expect_json 'entries[55].name' blk.7.ffn_up.weight
expect_json 'entries[0].rows' 1530
run quantscape imatrix "$data/demo-imatrix.dat"
expect_rc 0
expect_out 'calib.txt'
expect_out 'cannot tell experts'
run quantscape imatrix "$data/demo-imatrix.gguf" --csv --sort -mean_square
expect_rc 0
if [ "$(wc -l < "$out")" = 57 ]; then ok 'CSV has every entry'; else fail 'CSV of entries'; fi
sed -n '2,57p' "$out" | awk -F, '{ print $7 }' > squares
if sort -gr squares | cmp -s - squares; then ok 'sorted'; else fail '--sort -mean_square'; fi

# The largest of the means over columns, computed from the file by hand.
run quantscape imatrix "$experts" --json
expect_rc 0
expect_json imatrix.form 'statistics (GGUF)'
expect_json imatrix.unseen 1
expect_json imatrix.rare 1
expect_json imatrix.tokens_needed 16 # 3 columns, as if seen once in 8 tokens
expect_json 'entries[0].name' blk.0.attn_q.weight
expect_json 'entries[0].mean_square' 0.3125 # (1 + 2 + 3 + 4) / (4 * 8)
expect_json 'entries[0].mean' -0.1875
expect_json 'entries[0].largest' 3.0
expect_json 'entries[0].outlier_ratio' 1.5 # 1 2 3 are alive
expect_json 'entries[0].dead' 1
expect_json 'entries[0].sample' 3
expect_json 'massive[0].token' 3
expect_json 'errors[0].method' GPTQ
expect_json 'swaps[0].windows' 3
run quantscape imatrix "$experts" --csv --table errors
expect_out '^blk.0.attn_q.weight,Q4_K,GPTQ,0.1,'

# ---- with its model ----
run quantscape imatrix "$data/demo-imatrix.gguf" --model "$demo" --json
expect_rc 0
expect_json 'missing[0].name' token_embd.weight
expect_json imatrix.matrices 57
expect_json imatrix.missing 1
run quantscape imatrix "$experts" --model "$demo"
expect_rc 1
expect_err 'blk.0.attn_q.weight.*another model'

# ---- on the map and in the survey ----
run quantscape map "$demo" --measure activations --imatrix "$data/demo-imatrix.gguf" --csv
expect_rc 0
activations=$(awk -F, '$1 == "blk.4.ffn_down.weight"' "$out")
run quantscape imatrix "$data/demo-imatrix.gguf" --csv
ratio=$(awk -F, '$1 == "blk.4.ffn_down.weight" { print $10 }' "$out")
if [ -n "$ratio" ] && grep -qF -e "$ratio" <<< "$activations"; then ok "the map shows $ratio"; else fail "the map: $activations, not $ratio"; fi
run quantscape map "$demo" --measure output
expect_rc 2
expect_err '--imatrix'
run quantscape map "$demo" --measure output --imatrix "$data/demo-imatrix.gguf"
expect_rc 1
expect_err 'no activation rows'
run quantscape map "$demo" --measure kld --imatrix "$data/demo-imatrix.gguf"
expect_rc 1
expect_err 'no measured changes'
run quantscape map "$demo" --measure activations -t Q4_K_M --imatrix "$data/demo-imatrix.gguf"
expect_rc 2
run quantscape survey "$demo" -t Q4_K -m 'blk.0.attn_q' --no-stats --no-cache --imatrix "$data/demo-imatrix.gguf" --json
expect_rc 0
expect_json 'tensors[0].activation_ratio' '*'
expect_json 'cells[0].output_error' null

# ---- one form of the other ----
run quantscape imatrix "$data/demo-imatrix.gguf" -o a.dat
expect_rc 0
if cmp -s a.dat "$data/demo-imatrix.dat"; then ok "the .dat is llama-imatrix's own"; else fail "a.dat is not as llama-imatrix writes it"; fi
run quantscape imatrix a.dat -o b.gguf
expect_rc 0
run quantscape imatrix "$data/demo-imatrix.gguf" -o same.gguf
run quantscape imatrix same.gguf -o again.gguf
if cmp -s same.gguf again.gguf; then ok 'written again it is the same'; else fail 'writing changes the file'; fi
for t in IQ3_S Q4_K_M; do
    for f in "$data/demo-imatrix.gguf" same.gguf; do
        cp "$f" used.gguf
        quantscape quantize "$demo" -t $t --imatrix used.gguf -o "$(basename "$f").model" -q --force 2> /dev/null || fail "quantize $t"
    done
    if cmp -s demo-imatrix.gguf.model same.gguf.model; then ok "$t: the same model of both"; else fail "$t: another model"; fi
done
run quantscape imatrix "$experts" -o x.dat
expect_rc 0
expect_err 'never seen are written as 1'
expect_err 'importance alone'

# ---- merging ----
run quantscape imatrix "$data/demo-imatrix.gguf" "$data/demo-imatrix.gguf" -o twice.gguf --json
expect_rc 0
expect_json imatrix.tokens 3060
run quantscape imatrix twice.gguf --json
expect_json imatrix.dataset 'calib.txt, calib.txt'
expect_json 'entries[0].rows' 3060
run quantscape imatrix twice.gguf --csv
cut -d, -f1,7 "$out" > twice.csv
run quantscape imatrix same.gguf --csv
cut -d, -f1,7 "$out" > once.csv
if cmp -s once.csv twice.csv; then ok 'means of the same twice are the same'; else fail 'merging changes means'; fi
run quantscape imatrix "$experts" "$experts" -o e.gguf
expect_rc 0
run quantscape imatrix e.gguf --json
expect_json imatrix.unseen 1 # still
expect_json imatrix.errors 0
expect_json 'entries[0].sample' 6

# ---- refusals ----
run quantscape imatrix same.gguf twice.gguf
expect_rc 2
expect_err '-o'
run quantscape imatrix same.gguf -o twice.gguf
expect_rc 1
expect_err 'exists'
run quantscape imatrix same.gguf twice.gguf -o twice.gguf --force
expect_rc 1
expect_err 'that is read'
run quantscape imatrix "$demo"
expect_rc 1
expect_err 'no importance matrix'
run quantscape imatrix "$experts" same.gguf -o mixed.gguf
expect_rc 1
expect_err 'blk.0.attn_[qk].weight.*different models'
if [ -e mixed.gguf ]; then fail 'a file is left'; else ok 'no file is left'; fi
run quantscape imatrix same.gguf --sort nothing
expect_rc 2
finish
