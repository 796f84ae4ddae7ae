#!/usr/bin/env bash
# `inspect`: the same error as the survey's, pictures that fit, every table, experts, refusals that help.
. "$QS_SRCDIR/tests/cli/lib.sh"
down=blk.0.ffn_down.weight

# ---- numbers ----
run quantscape survey "$demo" -t Q4_K --whole --no-stats --no-cache -m "^$down" --json
expect_rc 0
surveyed=$(json 'cells[0].error')
run quantscape inspect "$demo" $down -t Q4_K --json -j 1
expect_rc 0
expect_json zoom.type Q4_K
expect_json zoom.reason 'asked for'
expect_json zoom.bytes 147456 # 262,144 weights of 4.5 bits
inspected=$(json zoom.error)
if awk -v a="$surveyed" -v b="$inspected" 'BEGIN { d = a - b; exit !(a > 0.01 && d * d <= a * a * 1e-20) }'
then ok "the survey's error: $inspected"; else fail "the survey has $surveyed, not $inspected"; fi
expect_json 'histogram[1].from' '*'
expect_json 'tiles[1535].last_row' 255 # 48 x 32: the columns are 32 blocks of 32
expect_json 'tiles[1535].last_col' 1023
expect_json 'channels[1279].index' 1023
expect_json 'worst[31].axis' column
cp "$out" one.json
run quantscape inspect "$demo" $down -t Q4_K --json -j 2
if cmp -s one.json "$out"; then ok 'the same for two threads'; else fail 'two threads give other numbers'; fi

run quantscape inspect "$demo" $down -t Q4_K --csv --table histogram
expect_rc 0
sums=$(awk -F, 'NR > 1 { w += $3; d += $4 } END { print w, d, NR - 1 }' "$out")
if [ "$sums" = '262144 262144 191' ]; then ok 'the histograms have all weights'; else fail "histograms: $sums"; fi
run quantscape inspect "$demo" $down -t Q4_K --csv
if [ "$(wc -l < "$out")" = 1281 ]; then ok 'CSV lists every channel'; else fail 'CSV of channels'; fi
for table in tiles histogram_sd largest worst; do
    run quantscape inspect "$demo" $down -t Q4_K --csv --table $table
    expect_rc 0
    if [ "$(wc -l < "$out")" -gt 16 ]; then ok "--table $table"; else fail "--table $table is short"; fi
done

# ---- types from presets and recipes ----
run quantscape inspect "$demo" blk.0.attn_v.weight -t Q4_K_M --json
expect_rc 0
expect_json zoom.type Q6_K
printf 'preset = Q4_K_M\npin blk.0.attn_v.weight = Q8_0\n' > my.recipe
run quantscape inspect "$demo" blk.0.attn_v.weight --recipe my.recipe --json
expect_json zoom.type Q8_0
run quantscape inspect "$demo" output_norm.weight --json
expect_rc 0
expect_json zoom.type F32
expect_json zoom.error 0.0
run quantscape inspect "$demo" $down --as-stored --json
expect_json zoom.type F16
expect_json zoom.error 0.0
quantscape quantize "$demo" -t Q8_0 -o q8.gguf -q 2> /dev/null || fail 'quantize'
run quantscape inspect q8.gguf $down
expect_rc 0
expect_err 'quantized already'
expect_out 'Mean \|w\| of each'

# ---- pictures ----
fits() { # COLUMNS
    local widest
    widest=$(tr -d '\r' < "$out" | wc -L)
    if [ "$widest" -le "$1" ]; then ok "$what: $1 columns"; else fail "$what: lines of $widest"; fi
}
for words in '' '--log' '--sd' '--log --sd' '--ascii'; do
    # shellcheck disable=SC2086
    run_tty quantscape inspect "$demo" $down -t Q2_K -q --color never $words
    expect_rc 0
    fits 80
    expect_out '^ +24[0-9] [0-9]{32}'
    expect_out 'After Q2_K'
done
run quantscape inspect "$demo" token_embd.weight -t Q4_K -q --width 60
fits 60
expect_out '█'
run quantscape inspect "$demo" $down -q --width 205
expect_out '^ +\+-{189}$'
LC_ALL=C run quantscape inspect "$demo" $down -q
if LC_ALL=C grep -q '[^ -~]' "$out"; then fail 'not only ASCII'; else ok 'nothing but ASCII without UTF-8'; fi
expect_out '#####'
run quantscape inspect "$demo" $down -q --color always
expect_out $'\x1b\\[48;'
run quantscape inspect "$demo" $down -q
expect_not_out $'\x1b'

# ---- experts ----
"$QS_BUILDDIR/tests/model/make_model" moe.gguf layers=1 experts=4 > /dev/null || fail 'make_model'
run quantscape inspect moe.gguf blk.0.ffn_up_exps.weight -t Q4_0 --expert 2 --json
expect_rc 0
expect_json zoom.expert 2
one=$(json zoom.weights)
run quantscape inspect moe.gguf blk.0.ffn_up_exps.weight -t Q4_0 --json
expect_json zoom.expert all
expect_json zoom.weights $((4 * one))
run quantscape inspect moe.gguf blk.0.ffn_up_exps.weight -t Q4_0 --expert 4
expect_rc 1
expect_one_error 'no expert 4: there are 4'

# ---- refusals ----
run quantscape inspect "$demo" blk.0.ffn_dwon.weight
expect_rc 1
expect_one_error 'did you mean blk\.0\.ffn_down\.weight'
run quantscape inspect "$demo" nothing.like.it
expect_rc 1
expect_one_error 'quantscape tensors lists'
run quantscape inspect "$demo" $'bad\x1b[31m'
expect_rc 1
if grep -q $'\x1b' "$err"; then fail 'a name reaches the terminal raw'; else ok 'names are made harmless'; fi
run quantscape inspect "$demo" output_norm.weight -t Q4_K
expect_rc 1
expect_one_error 'one-dimensional'
run quantscape inspect "$demo" $down -t Q4_Q
expect_rc 2
expect_one_error 'Q4_'
run quantscape inspect "$demo" $down -t I8
expect_rc 2
expect_one_error 'cannot be written as I8'
for words in '-t Q4_K --as-stored' '-t Q4_K --recipe my.recipe' '--table tiles' '--json --log' '--csv --width 90'; do
    # shellcheck disable=SC2086
    run quantscape inspect "$demo" $down $words
    expect_rc 2
done
run quantscape inspect "$demo"
expect_rc 2
finish
