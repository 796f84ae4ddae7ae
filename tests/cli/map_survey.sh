#!/usr/bin/env bash
# map and survey through the program: what they print in every form, samples against whole tensors, the cache, refusals.
. "$QS_SRCDIR/tests/cli/lib.sh"
[ -e "$demo" ] || skip 'no demo model'
cache=$XDG_CACHE_HOME/quantscape/survey
cache_size() { stat -c %s "$cache"/*.survey 2> /dev/null | paste -sd ' '; }
expect_same() { if cmp -s "$1" "$2"; then ok "$3"; else fail "$3"; fi; }
rows() { tr -d '\r' < "$out"; }

# ---- survey as CSV, sampled and whole ----
some=(-t Q4_K,q8_0 --no-stats -m 'blk\.[01]\.(attn_q|ffn_)')
run quantscape survey "$demo" "${some[@]}" --no-cache --csv
expect_rc 0
expect_no_err
rows > sampled
if [ -e "$cache" ]; then fail '--no-cache makes a cache'; else ok '--no-cache makes no cache'; fi
if [ "$(head -n 1 sampled)" = 'name,type,bpw,bytes,error,error_se,error_how,max_error,weighted_error,measured,gap' ]; then ok 'columns of a survey'
else fail "columns of a survey: $(head -n 1 sampled)"; fi
# Two layers of attn_q and three matrices, and a norm; two types.
if [ "$(wc -l < sampled)" = 21 ]; then ok 'one row a tensor and type'; else fail "$(wc -l < sampled) rows of a survey"; fi
if [ "$(grep -c 'ffn_norm.*one-dimensional' sampled)" = 4 ]; then ok 'norms are not measured'; else fail 'norms in a survey'; fi
run quantscape survey "$demo" "${some[@]}" --no-cache --whole --csv
expect_rc 0
rows > whole
# Sampled values within five standard errors of the whole; those of small tensors are whole already. Without any sampled
# value there is no column error_se.
paste -d, sampled whole | awk -F, 'NR > 1 && $11 == "" {
    d = $5 - $16; d = d < 0 ? -d : d
    if ($1 != $12 || $2 != $13 || $17 != "whole" || $16 <= 0) bad++
    if ($7 == "sampled") { sampled++; if ($6 <= 0 || d > 5 * $6 || $10 >= $20) bad++ } else if (d != 0) bad++
} END { print sampled + 0, bad + 0 }' > verdict
if [ "$(cat verdict)" = '12 0' ]; then ok 'samples are within their stated error'; else fail "samples and whole tensors: $(cat verdict)"; fi
run quantscape survey "$demo" "${some[@]}" --no-cache --seed 7 --csv
rows > other
if cmp -s other sampled; then fail 'another seed takes the same sample'; else ok 'another seed takes another sample'; fi

# ---- the cache ----
run quantscape survey "$demo" "${some[@]}" --csv
rows > first
expect_same first sampled 'with a cache the numbers are the same'
size=$(cache_size)
if [ -n "$size" ] && [ "$size" -gt 64 ]; then ok 'a survey is kept'; else fail "the cache has '$size' bytes"; fi
run quantscape survey "$demo" "${some[@]}" --csv
rows > again
expect_same first again 'the second survey prints the same'
if [ "$(cache_size)" = "$size" ]; then ok 'the second survey measures nothing'; else fail "the cache grew from $size to $(cache_size)"; fi
run quantscape survey "$demo" "${some[@]}" --no-cache --csv
if [ "$(cache_size)" = "$size" ]; then ok '--no-cache stores nothing'; else fail '--no-cache stores'; fi
# A false number with its checksum unmended is not believed.
printf 'X' | dd of="$(ls "$cache"/*.survey)" bs=1 seek=120 conv=notrunc status=none
run quantscape survey "$demo" "${some[@]}" --csv
rows > again
expect_same first again 'a damaged cache changes no number'
if [ "$(cache_size)" = "$size" ]; then ok 'a damaged cache is mended'; else fail "the mended cache has $(cache_size) bytes, not $size"; fi
# The map takes what the survey has measured, and the other way round.
run quantscape map "$demo" --uniform Q8_0
expect_rc 0
size=$(cache_size)
run quantscape map "$demo" --uniform q8_0
if [ "$(cache_size)" = "$size" ]; then ok 'the second map measures nothing'; else fail 'the second map measures'; fi
run quantscape survey "$demo" -t Q8_0 --no-stats --csv
if [ "$(cache_size)" = "$size" ]; then ok 'a survey uses what the map has measured'; else fail 'a survey measures what the map has'; fi

# ---- survey as JSON, text, and refusals ----
run quantscape survey "$demo" -m 'blk\.0\.ffn_down' -t Q4_K --json
expect_rc 0
expect_json report survey
expect_json survey.sample_weights 65536
expect_json 'tensors.#' 1
expect_json 'tensors[0].weights' 262144
expect_json 'tensors[0].kurtosis' '*'
expect_json 'cells[0].error_how' sampled
run quantscape survey "$demo" --no-errors --csv -m attn_v
expect_rc 0
expect_out '^name,role,layer,type,shape,weights,bytes,mean,sd,min,max,'
run quantscape survey "$demo" --no-errors --worst 3
expect_rc 0
expect_out 'Distribution of the worst tensors'
run quantscape survey "$demo" --no-errors --sort zz
expect_rc 2
expect_one_error 'there are: name, sd, max_sigma'
expect_not_out error_
if grep -q error_ "$err"; then fail 'keys of errors without errors'; else ok 'no keys of errors without errors'; fi
run quantscape survey "$demo" -t Q8_0 -m attn_v --no-cache --sort zz
expect_rc 2
expect_one_error 'there are: name, error_q8_0, sd, max_sigma'
for key in $(sed 's/.*there are: //; s/,//g' "$err"); do
    run quantscape survey "$demo" -t Q8_0 -m attn_v --sort "-$key"
    expect_rc 0
done
run quantscape survey "$demo" --sample 5 --whole
expect_rc 2
expect_one_error '--sample and --whole exclude each other'

# ---- outliers: what is planted is named, nothing else, and weights too large for a type say so ----
cp "$demo" planted.gguf
at() { run quantscape tensors "$demo" -m "^$1\\.weight" --json; json 'tensors[0].offset'; }
base=$(at blk.0.attn_q)
for ((row = 0; row < 256; row += 3)); do # column 7
    printf '\000\114' | dd of=planted.gguf bs=1 seek=$((base + row * 512 + 14)) conv=notrunc status=none # 16.0
done
base=$(at blk.1.attn_q)
for ((col = 0; col < 256; col += 3)); do # row 33
    printf '\000\314' | dd of=planted.gguf bs=1 seek=$((base + 33 * 512 + col * 2)) conv=notrunc status=none # -16.0
done
run quantscape survey planted.gguf --no-errors --no-cache --outliers --csv -m 'blk\.[01]\.attn_q'
expect_rc 0
cut -d , -f 1-3 "$out" | tr -d '\r' > named
printf 'name,axis,index\nblk.0.attn_q.weight,column,7\nblk.1.attn_q.weight,row,33\n' > wanted
expect_same named wanted 'exactly the planted channels are named'
run quantscape survey planted.gguf --no-errors --no-cache --json -m 'blk\.[01]\.attn_q'
expect_json 'tensors[0].outlier_cols' 1
expect_json 'tensors[0].outlier_rows' 0
expect_json 'tensors[1].outlier_rows' 1
run quantscape survey "$demo" -m 'no such tensor'
expect_rc 1
expect_one_error "--match 'no such tensor' matches none of the 74 tensors"
run quantscape survey "$demo" -m '('
expect_rc 1
expect_one_error
run quantscape survey "$demo" -t Q8_K
expect_rc 2
expect_one_error "'Q8_K' is not a type that can be written"

# ---- map ----
run quantscape map "$demo" --csv
expect_rc 0
rows > sampled
if [ "$(head -n 1 sampled)" = 'name,row,layer,type,value,value_se,value_how,level' ]; then ok 'columns of a map'; else fail "columns of a map: $(head -n 1 sampled)"; fi
if [ "$(wc -l < sampled)" = 58 ]; then ok 'one row a matrix'; else fail "$(wc -l < sampled) rows of a map"; fi
if grep -qE '^blk\.0\.attn_v\.weight,attn_v,0,Q6_K,0\.01[0-9]+,0,whole,[0-9]$' sampled; then ok 'a row of a map'; else fail "a row of a map: $(grep blk.0.attn_v sampled)"; fi
run quantscape map "$demo" --whole
expect_rc 0
expect_out 'storyteller-9m-f16\.gguf under Q4_K_M'
expect_out '^  ffn_down '
expect_out 'over all 57 matrices: [0-9]'
expect_not_out '~'
run quantscape map "$demo" -t q4_k_m --json
expect_rc 0
expect_json map.under Q4_K_M
expect_json map.layers 8
expect_json map.not_drawn 17
expect_json 'tensors.#' 57
# Copied tensors are in the total: under a recipe that keeps all but one it is far below the error of that one.
printf 'preset = COPY\npin blk.0.attn_q.weight = Q4_K\n' > one.recipe
run quantscape map "$demo" --recipe one.recipe --json
expect_rc 0
total=$(json map.total)
if awk -v t="$total" 'BEGIN { exit !(t > 0 && t < 0.03) }'; then ok "copied tensors count: $total"; else fail "the total leaves out what is copied: $total"; fi
for measure in outliers kurtosis bits; do
    run quantscape map "$demo" --measure $measure --json
    expect_rc 0
    expect_json map.measure $measure
    expect_json 'tensors[0].value' '*'
done

# ---- SVG ----
run quantscape map "$demo" --svg map.svg
expect_rc 0
expect_no_out
if [ "$(grep -c '</svg>' map.svg)" = 1 ] && head -n 1 map.svg | grep -q '^<?xml'; then ok 'an SVG is written'; else fail 'no whole SVG'; fi
if command -v xmllint > /dev/null; then
    if xmllint --noout --nonet map.svg 2> "$err"; then ok 'the SVG is well-formed'; else fail 'the SVG is not well-formed'; fi
fi
if [ "$(grep -o '<title>' map.svg | wc -l)" -ge 57 ]; then ok 'each cell has its title'; else fail 'titles of cells'; fi
run quantscape map "$demo" --svg map.svg
expect_rc 1
expect_one_error 'map\.svg'
cp map.svg before.svg
run quantscape map "$demo" --svg map.svg --force
expect_rc 0
expect_same before.svg map.svg 'the same picture again'

# ---- refusals ----
for form in json csv; do
    run quantscape map "$demo" --svg none.svg --$form
    expect_rc 2
    expect_one_error "--svg and --$form exclude each other"
done
for type in I8 Q8_K q8_k Q8_1 F64; do
    run quantscape map "$demo" --uniform $type
    expect_rc 2
    expect_one_error "tensors cannot be written as ${type^^}"
done
run quantscape map "$demo" --uniform Q4_Q
expect_rc 2
expect_one_error 'Q4_'
run quantscape map "$demo" -t Q4_K_M --uniform Q4_K
expect_rc 2
expect_one_error 'exclude each other'
if [ -e none.svg ]; then fail 'a refused command writes'; else ok 'a refused command writes nothing'; fi

# ---- damage ----
head -c 4000000 "$demo" > cut.gguf
for verb in survey map; do
    run quantscape $verb cut.gguf
    expect_rc 1
    expect_one_error 'cut\.gguf.*beyond the end of the file'
    expect_no_out
    run quantscape $verb cut.gguf --json
    expect_rc 1
    expect_json error.code '*'
done

# ---- plan --measure: the errors of the map, the distributions of the survey, nothing without the option ----
run quantscape plan "$demo" -t Q4_K_M --csv
if grep -qE '^name,role,layer,shape,from,to,bytes,bpw,why,' "$out"; then ok 'nothing is measured unasked'
else fail "columns of a plan: $(head -n 1 "$out")"; fi
run quantscape map "$demo" -t Q4_K_M --csv
rows | awk -F, 'NR > 1 && $5 > 0 { print $1, $5 }' | sort > by_map
run quantscape survey "$demo" --no-errors --csv
rows | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
                { print $1, $at["kurtosis"], $at["outlier_rows"] + $at["outlier_cols"] }' | sort > by_survey
size=$(cache_size)
run quantscape plan "$demo" -t Q4_K_M --measure --csv
expect_rc 0
if [ "$(cache_size)" = "$size" ]; then ok 'a plan uses what map and survey have measured'; else fail 'a plan measures again'; fi
of_plan() { rows | awk -F, -v "keys=$*" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; n = split(keys, key, " "); next }
                                     $at[key[1]] != "" { printf "%s", $1; for (i = 1; i <= n; i++) printf " %s", $at[key[i]]; print "" }' |
            sort; }
of_plan error > by_plan
expect_same by_plan by_map 'errors of a plan are those of the map'
of_plan kurtosis outliers > by_plan
expect_same by_plan by_survey 'distributions of a plan are those of the survey'
run quantscape plan "$demo" -t COPY --measure --json
expect_rc 0
expect_json 'tensors[0].error' null
run quantscape plan "$demo" --no-cache
expect_rc 2
expect_one_error '--no-cache goes with --measure'

# ---- options that would have no effect are refused; a quantized model says what it shows ----
for words in '-f' '--measure outliers -t Q2_K' '--measure bits --whole' '--measure kurtosis --uniform Q4_K'; do
    # shellcheck disable=SC2086
    run quantscape map "$demo" $words
    expect_rc 2
    expect_one_error
done
quantscape quantize "$demo" -t Q8_0 -o q8.gguf -q 2> /dev/null || fail 'quantize'
run quantscape map q8.gguf
expect_rc 0
expect_out '^Bits per weight'
expect_err 'quantized already: these are its bits'
run quantscape map q8.gguf -t Q4_K_M --no-cache
expect_rc 0
expect_err 'errors are against this file, not the original'
run quantscape plan q8.gguf -t Q4_K_M --measure --no-cache
expect_rc 0
expect_err 'errors are against this file, not the original'
finish
