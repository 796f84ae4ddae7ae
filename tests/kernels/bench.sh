#!/usr/bin/env bash
# bench/codecs, bench/ops, bench/pool and bench/run work: a line for a type at every level, for each precision or piece
# of work, JSON, wrong words refused. Their figures are not judged.
bench=${QS_BUILDDIR:?run by make check}/bench/codecs ops=$QS_BUILDDIR/bench/ops failed=0
check() { if eval "$1"; then echo "ok: $1"; else echo "FAIL: $1"; failed=$((failed + 1)); fi; }
text=$("$bench" --million 1 Q4_K Q8_0) || failed=1
check '[ "$(grep -cE "^(Q4_K|Q8_0) +[0-9.]+  ref +[0-9]+ +[0-9]+%" <<< "$text")" = 2 ]'
check '[ "$(grep -c "^Q6_K" <<< "$text")" = 0 ]'
json=$("$bench" --million 1 --json q4_k) || failed=1
check 'grep -q "\"type\": \"Q4_K\", \"bpw\": 4.5000, \"level\": \"ref\", \"decode_ns\": [0-9]" <<< "$json"'
check '! grep -q Q8_0 <<< "$json"'
"$bench" Q9_K > /dev/null 2> /dev/null
check "[ $? = 2 ]"
"$bench" --million 0 > /dev/null 2> /dev/null
check "[ $? = 2 ]"
text=$("$ops" --million 1 --runs 1 --threads 2 Q4_K F16) || failed=1
check '[ "$(grep -cE "^Q4_K +(exact|fast) +ref +[0-9.]+ +[0-9]+% +[0-9.]+ +[0-9.]+% of (f32|int8)$" <<< "$text")" = 2 ]'
# Levels that have products of their own, where the machine has them.
for level in avx2 avx512; do
    if grep -q " $level " <<< "$text" || "$bench" --million 1 Q4_K | grep -q " $level "; then
        check 'grep -qE "^Q4_K +fast +$level " <<< "$text"'
    fi
done
check 'grep -qE "^F16 +exact +ref " <<< "$text"'
check '! grep -qE "^F16 +fast" <<< "$text"'
check '[ "$(grep -cE "^attention of .* over 4096 keys in (F32|F16|Q8_0|Q4_0): [0-9.]+ ms$" <<< "$text")" = 4 ]'
check '[ "$(grep -cE "^attention of the last .* in (F16|Q8_0): [0-9.]+ ms, [0-9]+ GFLOPS, [0-9]+% of" <<< "$text")" = 4 ]'
json=$("$ops" --million 1 --runs 1 --json q8_0) || failed=1
check 'grep -q "\"type\": \"Q8_0\", \"precision\": \"fast\", \"level\": \"[a-z0-9]*\", \"read_gb_s\": [0-9]" <<< "$json"'
check 'grep -q "\"attend\": \"Q4_0\", \"keys\": 4096" <<< "$json"'
"$ops" Q9_K > /dev/null 2> /dev/null
check "[ $? = 2 ]"
"$ops" --threads 0 > /dev/null 2> /dev/null
check "[ $? = 2 ]"
panels=$QS_BUILDDIR/bench/panels
if text=$("$panels" --seconds 0.001 --memory 8 --rows 32 --cols 256 q4_k) && [ "$(wc -l <<< "$text")" -gt 3 ]; then # this CPU has panels
    check 'grep -qE "^Q4_K( +[0-9]+%){5}( +[0-9]+%){2}( +[0-9.]+ +[0-9]+%){2} +[0-9]+ +[0-9]+$" <<< "$text"'
    json=$("$panels" --json --seconds 0.001 --memory 8 --rows 32 --cols 256 q4_k) || failed=1
    check 'grep -q "\"type\": \"Q4_K\", \"level\": \"[a-z0-9]*\", \"peak\": \[[0-9.]*, " <<< "$json"'
fi
"$panels" --rows 17 > /dev/null 2> /dev/null
check "[ $? = 2 ]"
text=$("$QS_BUILDDIR/bench/pool" --threads 2 --pieces 3 --runs 3) || failed=1
check 'grep -q "^2 threads, [0-9]* cores, 3 pieces a region$" <<< "$text"'
check '[ "$(grep -cE "^( +[0-9.]+){3} \( *-?[0-9.]+\) +[0-9.]+ \( *-?[0-9.]+\)$" <<< "$text")" = 3 ]'
"$QS_BUILDDIR/bench/pool" --pieces > /dev/null 2> /dev/null
check "[ $? = 2 ]"

bench=$QS_BUILDDIR/bench/run model=${QS_SRCDIR:?}/demo/storyteller-9m-f16.gguf
text=$("$bench" --threads 1 --prompt 8 --decode 2 --runs 1 "$model") || failed=1
check '[ "$(grep -cE "^(fast|exact) +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+%$" <<< "$text")" = 2 ]'
check 'grep -q "17.0 MiB of weights a token; 1 thread;" <<< "$text"'
json=$("$bench" --json --prompt 8 --decode 2 --runs 1 "$model") || failed=1
check 'grep -q "\"precision\": \"fast\", \"prefill_tokens_per_second\": [0-9]" <<< "$json"'
for words in '' "--runs 0 $model" "--runs" "--fast $model" "$model $model"; do
    # shellcheck disable=SC2086 # words
    "$bench" $words > /dev/null 2> /dev/null
    check "[ $? = 2 ]"
done
why=$("$bench" "$0" 2>&1 > /dev/null)
check '[ $? = 1 ] && [ "$(wc -l <<< "$why")" = 1 ]'
[ $failed = 0 ]
