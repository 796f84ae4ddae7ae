#!/usr/bin/env bash
# bench/codecs works: a line for a type at every level, JSON, wrong words refused. Its figures are not judged.
bench=${QS_BUILDDIR:?run by make check}/bench/codecs failed=0
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
[ $failed = 0 ]
