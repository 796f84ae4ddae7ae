#!/usr/bin/env bash
# bench: words it refuses, saved runs side by side, an interruption that shows what was measured and leaves nothing. How
# fast anything is is not judged.
. "$QS_SRCDIR/tests/cli/lib.sh"

refuse() { # PATTERN WORDS...: wrong usage
    local says=$1
    shift
    run quantscape bench "$@"
    expect_rc 2
    expect_err "$says"
}
refuse 'no part "fly"' --only fly
refuse 'no "llama-2b"' --shape llama-2b
refuse "'Q9_K' is no type" --shape llama-tiny --type Q9_K
refuse "'COPY' is no type" --type COPY
refuse "'F64' is not a type" --types Q4_K,F64
refuse '"x" is no number' --prefill 16,x
refuse '"0" is no number' --prefill 0
refuse 'a MODEL was named' "$demo" --shape llama-tiny
refuse 'needs two files' --compare one.json

run quantscape bench missing.gguf --only startup
expect_rc 1
expect_err 'missing.gguf'

# A model of ones own; tables for people.
run quantscape bench "$demo" --only startup,prefill --prefill 16 --seconds 1
expect_rc 0
expect_out '^What the machine can do'
expect_out "^ +$(basename "$demo") +first token +[0-9.e-]+ "
expect_out "^ +$(basename "$demo") +16 +[0-9.,]+ .* f32 +[0-9.]+%"

quantscape bench --shape llama-tiny -t Q8_0 --only decode --context 0,32 --seconds 1 --json -q > a.json || fail 'bench --json'
sed 's/"threads": [0-9]*,$/"threads": 77,/' a.json > threads.json
sed 's/"cache": "F16\/F16"/"cache": "Q8_0\/Q8_0"/' a.json > cache.json
sed 's/"size": 32/"size": 33/' a.json > size.json
run quantscape bench --compare a.json a.json
expect_rc 0
expect_out '^ +decode +Q8_0 +32 .* 1\.00 +tokens/s'
run quantscape bench --compare a.json size.json
expect_rc 0
expect_out '1 numbers stand in a alone, the first: decode, Q8_0  *32'
run quantscape bench --compare a.json threads.json
expect_rc 1
expect_err 'differ in threads'
run quantscape bench --compare a.json cache.json
expect_rc 1
expect_err 'type of the cache: F16/F16 and Q8_0/Q8_0'
run quantscape bench --compare a.json "$demo"
expect_rc 1
run quantscape bench --compare a.json nothing.json
expect_rc 1

# A signal: the report says that it was stopped, no scratch file is left.
"$QS_BUILDDIR/src/quantscape" bench --shape llama-tiny --only limits,decode --seconds 3600 --context 0 --json -q > "$out" 2> "$err" &
pid=$!
sleep 1
kill -TERM "$pid"
wait "$pid"
rc=$? what='bench, interrupted'
expect_rc 1
expect_json bench.stopped true
expect_json 'limits[0].limit' read
expect_err cancelled
if find . -name 'bench-*' | grep -q .; then fail 'a scratch file is left'; else ok 'no scratch file is left'; fi
finish
