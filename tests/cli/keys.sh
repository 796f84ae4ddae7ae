#!/usr/bin/env bash
# The JSON of every verb and the manual agree: no key that is not documented, none documented that never comes. Keys are
# compared with their place ("tensors[].name"), as `gen_docs keys` lists what the manual says.
. "$QS_SRCDIR/tests/cli/lib.sh"
imatrix=$QS_SRCDIR/tests/format/data/demo-imatrix.gguf
"$QS_BUILDDIR/src/gen_docs" keys > documented || fail 'gen_docs keys'
printf 'preset = Q4_K_M\npin blk.0.ffn_down.weight = Q6_K\nrule attn_q = Q8_0\n' > r.recipe
printf 'preset = Q5_K_M\n' > s.recipe
head -c 17000000 "$demo" > cut.gguf
quantscape quantize "$demo" -t Q4_K_M -o small.gguf -q > /dev/null || fail 'quantize'
# Two metadata entries and a tensor type differ; one that only the other has.
quantscape quantize "$demo" -t Q8_0 -o other.gguf --set general.name=str:other -q > /dev/null 2>&1 ||
    quantscape quantize "$demo" -t Q8_0 -o other.gguf -q > /dev/null || fail 'quantize'

# For eval: texts long enough for a window, a prompt, a task.
for i in 1 2 3 4 5 6 7 8; do echo 'Once upon a time there was a captain who looked at the sea.'; done > short.txt
sed 's/captain/lady/' short.txt > more.txt
echo 'The sun rose and' > p.txt
echo '{"question": "The sun rose and the birds began to", "choices": ["sing", "tax"], "answer": 0}' > t.jsonl

# For bench: two runs to compare.
quantscape bench --shape llama-tiny --only decode --context 0 --seconds 1 --json -q > before.json || fail 'bench'
cp before.json after.json

# For calibrate: its last line is the report. A model of its own, which is done soon.
"$QS_BUILDDIR/tests/model/make_model" made.gguf ff=256 vocab=300 flags=byte_tokens || fail make_model
cp "$QS_SRCDIR/README.md" long.txt
left='--statistics-out left.gguf --force'
sets='--prompts p.txt --answer 3 --tasks t.jsonl'

# VERB | ARGUMENTS: what a verb prints in all its lines together has to hold all documented keys
runs="info|$demo --metadata
check|cut.gguf
tensors|$demo
types|
tokenize|$demo Hello
tokenize|$demo Hello --chat
models|--folder .
config|
survey|$demo -t Q8_0,Q4_K --no-cache -m token_embd|ffn_down --imatrix $imatrix
survey|outliers.gguf -t Q8_0 --no-cache
map|$demo --no-cache
inspect|$demo blk.0.ffn_down.weight -t Q2_K --imatrix $imatrix
recipe check|r.recipe
recipe show|r.recipe
recipe resolve|r.recipe $demo
recipe export|--llama s.recipe $demo
recipe diff|r.recipe s.recipe $demo
plan|$demo -t Q4_K_M --imatrix $imatrix --measure --no-cache
plan|small.gguf -t Q8_0 --allow-requantize
calibrate|made.gguf --text long.txt --windows 6 --ctx 64 --fit 5bpw --errors --swap-windows 1 --tensors $left -o c.qscal --write c.gguf
calibrate|made.gguf --text long.txt --windows 6 --ctx 64 -t Q4_K_M --effort quick --tensors $left -o p.qscal
imatrix|left.gguf --model made.gguf
imatrix|$imatrix --model $demo
plan|made.gguf -t Q4_K_M --calibrated p.qscal
quantize|made.gguf -t Q4_K_M -o result.gguf --force --calibrated p.qscal
fit|$demo fits in 40 MiB with 512 context --no-cache
fit|$demo 5bpw --no-cache --frontier --imatrix $imatrix -o fit.recipe --prove --held-out more.txt --ctx 32 --chunks 2 --rivals 2
quantize|$demo -t Q4_K_M -o result.gguf --force --imatrix $imatrix
quantize|small.gguf -t Q8_0 --allow-requantize -o parts.gguf --split-max-size 4MiB
eval|$demo -t Q4_K_M --text short.txt --ctx 32 --chunks 2 --layers --tokens --held-out more.txt $sets
eval|--history
eval|--compare 1 last
bench|--shape llama-tiny --only limits,decode,encode --context 0 --types Q8_0 --seconds 1
bench|--compare before.json after.json
chat|$demo --compare small.gguf -p Hello -n 4
chat|$demo --draft small.gguf -p Hello -n 4
chat|$demo --compare small.gguf -p Hello -n 4 --follow
diff|$demo small.gguf
diff|$demo other.gguf --headers-only"

# One column of a tensor made larger: halves written over the file, so that there are outliers to be listed.
cp "$demo" outliers.gguf
run quantscape tensors "$demo" -m '^blk.0.attn_k.weight' --json
offset=$(json 'tensors[0].offset')
for ((row = 0; row < 128; row += 5)); do
    printf '\000\114' | dd of=outliers.gguf bs=1 seek=$((offset + row * 512 + 14)) conv=notrunc status=none # 16.0
done

: > seen
while IFS='|' read -r verb args; do
    read -ra verb_words <<< "$verb"
    read -ra words <<< "$args"
    run quantscape "${verb_words[@]}" "${words[@]}" --json
    if [ "$verb" = calibrate ]; then tail -n 1 "$out" > last && mv last "$out"; fi
    "$QS_BUILDDIR/tests/cli/jsonq" "$out" @ | sort -u > paths || fail "$what: no JSON"
    while read -r path; do
        case $path in report | version | 'notes[]') continue ;; esac
        printf '%s\t%s\n' "$verb" "$path" >> seen
        plain=${path%_how}
        if grep -qxF -e "$verb"$'\t'"$path" -e "$verb"$'\t'"$plain" -e "$verb"$'\t'"${plain%_se}" documented; then
            continue
        fi
        fail "$what: key $path is not documented"
    done < paths
    ok "$what: $(wc -l < paths) keys"
done <<< "$runs"
while IFS=$'\t' read -r verb path; do
    case $verb:$path in
    quantize:result.resumed_bytes) continue ;; # only where a run goes on
    'imatrix:massive['*) continue ;;           # only where a token stands out (tests/calib/test_collect.c)
    'map:folded['*) continue ;;                # only where experts are stored one by one (tests/report/test_map.c)
    esac
    case $'\n'$runs in *$'\n'"$verb|"*) ;; *) fail "$verb is not tested here"; continue ;; esac
    if ! grep -qxF -e "$verb"$'\t'"$path" seen; then fail "$verb: documented key $path never comes"; fi
done < documented
ok "$(wc -l < documented) documented keys"

# What is not measured is null, not left out.
run quantscape diff "$demo" small.gguf --headers-only --json
for key in diff.error diff.max_error 'tensors[0].error' 'tensors[0].cosine_distance' 'tensors[0].max_error'; do
    expect_json "$key" null
done
finish
