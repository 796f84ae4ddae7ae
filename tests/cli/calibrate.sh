#!/usr/bin/env bash
# `calibrate`: what it takes beforehand, statistics alone, a preset encoded, killed and gone on with, the same bytes in
# quantize, a budget, events line by line, and what is refused in one message.
. "$QS_SRCDIR/tests/cli/lib.sh"
"$QS_BUILDDIR/tests/model/make_model" m.gguf layers=4 ff=256 vocab=300 flags=byte_tokens || fail make_model
for i in {1..80}; do echo "Once upon a time there were $i little birds and $((i * 7 % 11)) cats in the park. They sang all day."; done > a.txt
for i in {1..80}; do echo "{\"text\": \"Lily had $i apples and gave $((i / 2)) of them to Tom, who was very happy.\"}"; done > b.jsonl
args=(--text a.txt:2 --text b.jsonl --windows 24 --ctx 32)

# Beforehand: nothing is written.
run quantscape calibrate m.gguf "${args[@]}" --dry-run
expect_rc 0
expect_out 'predicted time'
expect_out 'a\.txt +text +2\.'
expect_out 'b\.jsonl +JSON lines'
expect_out 'few'
expect_no_err
if [ -e m.imatrix.gguf ]; then fail 'a dry run writes'; else ok 'a dry run writes nothing'; fi

# Statistics alone: an importance matrix that quantize takes.
run quantscape calibrate m.gguf "${args[@]}" -q
expect_rc 0
expect_no_out
run quantscape quantize m.gguf -t IQ2_XS --imatrix m.imatrix.gguf -o i.gguf -q
expect_rc 0

# Their samples of rows tell output errors: a budget goes by these, without a table of them.
run quantscape fit m.gguf 4.6 bpw --imatrix m.imatrix.gguf --json -q
expect_rc 0
expect_out '"costs": *"output errors with importance weights'

# The precision that they were collected in is kept; another is no way to go on, and hardly another result.
run quantscape imatrix m.imatrix.gguf --json
expect_rc 0
expect_json imatrix.precision fast
run quantscape calibrate m.gguf "${args[@]}" --precision exact -q
expect_rc 1
expect_err 'with precision fast, and exact is asked for'
run quantscape calibrate m.gguf "${args[@]}" --precision exact --statistics-out exact.gguf -q
expect_rc 0
run quantscape imatrix exact.gguf --json
expect_json imatrix.precision exact
run quantscape calibrate m.gguf --text a.txt -t Q4_K_M --statistics exact.gguf --precision fast
expect_rc 2
expect_err 'for collecting'

# Statistics of other work: the difference is named.
run quantscape calibrate m.gguf "${args[@]}" --seed 5 -q
expect_rc 1
expect_err 'not of this text and model: .*(seed|are asked for)'
run quantscape calibrate m.gguf --text a.txt:2 --text b.jsonl --windows 24 --ctx 48 -q
expect_rc 1
expect_err 'windows have 32 tokens, and 48 are asked for'
run quantscape calibrate m.gguf --text a.txt --windows 24 --ctx 32 -q
expect_rc 1
expect_err 'it is of a\.txt 67%, b\.jsonl 33%, and a\.txt 100% is asked for'

# A preset, in lines: events, then the report.
run quantscape calibrate m.gguf "${args[@]}" -t Q4_K_M --held-out 25% --write cal.gguf --statistics-out s.gguf --json
expect_rc 0
while read -r line; do printf '%s\n' "$line" > line.json; "$QS_BUILDDIR/tests/cli/jsonq" line.json '' > /dev/null || fail "no JSON: $line"; done < "$out"
ok 'every line is an object'
if [ "$(grep -c '"event":"tensor"' "$out")" = 29 ]; then ok 'every tensor is an event'; else fail "$(grep -c '"event":"tensor"' "$out") tensors are events"; fi
expect_out '"event":"stage","stage":"encode"'
expect_out '"event":"layer","layer":3,"state":"done"'
tail -n 1 "$out" > last.json
cp last.json "$out"
expect_json report calibrate
expect_json calibration.recipe Q4_K_M
expect_json calibration.written cal.gguf
expect_json tensors.# 29
worse=0
for i in {0..28}; do
    awk -v a="$(json "tensors[$i].after")" -v b="$(json "tensors[$i].before")" 'BEGIN { exit !(a <= b) }' || worse=$((worse + 1))
done
if [ $worse = 0 ]; then ok 'no tensor is worse than its weighted fit'; else fail "$worse tensors are worse than the weighted fit"; fi

# The store by itself makes the same file.
run quantscape quantize m.gguf -t Q4_K_M --imatrix s.gguf --calibrated m.Q4_K_M.qscal -o again.gguf -q
expect_rc 0
if cmp -s cal.gguf again.gguf; then ok 'the same file'; else fail 'another file'; fi

# What exists is kept; the same again with --force is the same.
run quantscape calibrate m.gguf "${args[@]}" -t Q4_K_M --held-out 25% --statistics-out s.gguf -q
expect_rc 1
expect_err 'm\.Q4_K_M\.qscal.*--force'
cp m.Q4_K_M.qscal first.qscal

# Killed while it encodes: the same command goes on, to the same bytes.
"$QS_BUILDDIR/src/quantscape" calibrate m.gguf "${args[@]}" -t Q4_K_M --held-out 25% --statistics-out s2.gguf \
    -o k.qscal --json > events.txt 2> /dev/null &
pid=$!
until [ "$(grep -c '"event":"tensor"' events.txt)" -gt 2 ] || ! kill -0 $pid 2> /dev/null; do sleep 0.01; done
kill -KILL $pid
wait $pid 2> /dev/null
if [ -e k.qscal.part ]; then ok 'it was killed on its way'; else fail 'nothing is left of the killed run'; fi
run quantscape calibrate m.gguf "${args[@]}" -t Q3_K_M --held-out 25% --statistics-out s2.gguf -o k.qscal -q
expect_rc 1
expect_err 'preset was "Q4_K_M" and is now "Q3_K_M"'
run quantscape calibrate m.gguf "${args[@]}" -t Q4_K_M --pin blk.1.attn_q.weight=Q8_0 --held-out 25% --statistics-out s2.gguf -o k.qscal -q
expect_rc 1
expect_err 'types\.blk\.1\.attn_q\.weight was "Q4_K" and is now "Q8_0"'
run quantscape calibrate m.gguf "${args[@]}" -t Q4_K_M --held-out 25% --statistics-out s2.gguf -o k.qscal -q
expect_rc 0
if cmp -s k.qscal first.qscal && cmp -s s.gguf s2.gguf; then ok 'the same bytes'; else fail 'other bytes'; fi

# A budget, from the statistics that are there: a recipe, encoded and written.
run quantscape calibrate m.gguf "${args[@]}" --fit '4.6 bpw' --recipe-out found.recipe --swap-windows 2 \
    --statistics-out f.gguf -o f.qscal --methods imatrix --json
expect_rc 0
expect_out '"event":"fit".*"kld":true'
tail -n 1 "$out" > last.json
cp last.json "$out"
awk -v b="$(json calibration.fit_bpw)" 'BEGIN { exit !(b <= 4.6 && b > 4.2) }' && ok 'within the budget' || fail 'not within the budget'
run quantscape plan m.gguf --recipe found.recipe --imatrix f.gguf --json
expect_rc 0

# What has no place of its own goes to one of its recipe or budget.
run quantscape calibrate m.gguf "${args[@]}" --fit '5 bpw' --statistics f.gguf --methods imatrix -q
expect_rc 0
run quantscape calibrate m.gguf "${args[@]}" -t Q4_K_M --pin blk.1.attn_q.weight=Q8_0 --statistics f.gguf --methods imatrix -q
expect_rc 0
if [ -e m.fit-5bpw.qscal ] && ls m.Q4_K_M-????????.qscal > /dev/null; then ok 'places are told apart'; else fail "places: $(ls ./*.qscal)"; fi

# Less effort, and no correction: other settings, told by the unfinished and the finished store alike.
run quantscape calibrate m.gguf "${args[@]}" -t Q4_K_M --held-out 25% --statistics-out s.gguf -o quick.qscal --effort quick -q
expect_rc 0
if grep -aq '"sweeps":2,"refits":0,"correct":true' quick.qscal; then ok 'quick'; else fail 'not quick'; fi
run quantscape calibrate m.gguf "${args[@]}" -t Q4_K_M --held-out 25% --statistics-out s.gguf -o plain.qscal --effort quick --no-correct -q
expect_rc 0
if grep -aq '"refits":0,"correct":false,"strength":0.0,"pull":0.0' plain.qscal; then ok 'no correction'; else fail 'corrected'; fi

# Refused.
run quantscape calibrate m.gguf --text a.txt -t Q4_K_M --effort much; expect_rc 2; expect_err 'much is none of'
run quantscape calibrate m.gguf; expect_rc 2; expect_err 'nothing to learn from'
run quantscape calibrate m.gguf --text missing.txt; expect_rc 1; expect_err 'missing\.txt'
run quantscape calibrate m.gguf --text a.txt:0; expect_rc 2; expect_err 'above 0'
run quantscape calibrate m.gguf --text a.txt -t Q4_K_M --methods gptq,magic; expect_rc 2; expect_err 'magic is none of'
run quantscape calibrate m.gguf --text a.txt --held-out 2; expect_rc 2; expect_err 'share'
run quantscape calibrate m.gguf --text a.txt --write x.gguf; expect_rc 2; expect_err 'name a preset'
run quantscape calibrate m.gguf --text a.txt --tie; expect_rc 2; expect_err 'goes with --fit'
rm -f m.imatrix.gguf
run quantscape calibrate m.gguf --text a.txt --ctx 32 --windows 12 --fit '2 bpw'; expect_rc 1; expect_err 'at least .*bpw'
if [ -e m.imatrix.gguf ]; then fail 'a budget that cannot be is found after collecting'; else ok 'nothing was collected for it'; fi
run quantscape calibrate m.gguf --text a.txt --fit 4.5; expect_rc 1; expect_err '4\.5 bpw.*4\.5 GiB'
run quantscape calibrate m.gguf --text a.txt --methods gptq; expect_rc 2; expect_err 'encoded tensors'
run quantscape calibrate m.gguf --text a.txt --effort best; expect_rc 2; expect_err 'nothing is encoded'
run quantscape calibrate m.gguf --text a.txt -t Q4_K_M --fit '5 bpw'; expect_rc 2; expect_err 'no say'
run quantscape calibrate m.gguf --text a.txt -t Q4_K_M --statistics s.gguf --errors; expect_rc 2; expect_err 'for collecting'
printf '{"text": "good"\n{"text": oh}\n' > broken.jsonl
run quantscape calibrate m.gguf --text broken.jsonl; expect_rc 1; expect_err 'broken\.jsonl: line 1 is not JSON'
run quantscape calibrate m.gguf --text a.txt --fit 'lots'; expect_rc 1; expect_err 'lots'
run quantscape calibrate m.gguf --text a.txt -t Q4_K_M -o m.gguf --force; expect_rc 1; expect_err 'the model'
finish
