#!/usr/bin/env bash
# Interrupted on the command line: killed, cancelled, run twice at once. The same command ends with the same bytes.
. "$QS_SRCDIR/tests/cli/lib.sh"
# Signals must reach the program itself, and a shell without job control starts background programs with SIGINT ignored.
set -m
cp "$demo" model.gguf && chmod u+w model.gguf || exit 99
imatrix=$QS_SRCDIR/tests/format/data/demo-imatrix.gguf
program=$QS_BUILDDIR/src/quantscape
# Slow enough to be met in the middle: half a second to some seconds.
work=(quantize model.gguf -t IQ2_XS --imatrix "$imatrix" --threads 1 -o out.gguf)

start() { "$program" "${work[@]}" "$@" > "$out" 2> "$err" < /dev/null & pid=$!; }
finish_it() { # a wait also ends when the program was stopped
    while wait "$pid" 2>/dev/null; rc=$?; [ "$rc" -gt 128 ] && kill -0 "$pid" 2>/dev/null; do :; done
    what="quantize (interrupted)"
}
# Waits until the part file is there; false when the program was faster.
met() {
    local i
    for ((i = 0; i < 400; i++)); do
        if [ -e out.gguf.part ]; then return 0; fi
        if ! kill -0 "$pid" 2>/dev/null; then return 1; fi
        sleep 0.005
    done
    return 1
}
left() { ls | grep '^out' | tr '\n' ' '; }

run "$program" "${work[@]}" --threads 2
expect_rc 0
expect_no_err
mv out.gguf want.gguf

# Killed several times at different places, then left alone.
killed=0 partly=0
for pause in 0 0.05 0.1 0.2 0.3; do
    start
    if met; then sleep "$pause"; fi
    kill -KILL "$pid" 2>/dev/null
    finish_it
    if [ "$rc" = 137 ]; then
        killed=$((killed + 1))
        if [ -e out.gguf ] && [ -e out.gguf.part ]; then fail "killed: out.gguf and its part are both there"; fi
        if [ -e out.gguf.part ]; then partly=$((partly + 1)); fi
        if [ -e out.gguf ] && ! cmp -s out.gguf want.gguf; then fail "killed: something else has the final name"; fi
    fi
    if [ -e out.gguf ] && [ ! -e out.gguf.part.journal ]; then rm -f out.gguf; fi # it got through: again
done
if [ "$partly" -gt 0 ]; then ok "killed $killed times, $partly times in the middle"; else fail "no kill met it in the middle"; fi
start
finish_it
expect_rc 0
expect_no_err
if cmp -s out.gguf want.gguf; then ok "killed: the same bytes"; else fail "killed: other bytes"; fi
if [ "$(left)" = 'out.gguf ' ]; then ok "killed: nothing else is left"; else fail "killed: left $(left)"; fi
rm -f out.gguf

# Cancelled: exit code 1, a message that says how to go on, and the next run goes on.
for signal in INT TERM; do
    if [ $signal = INT ]; then other='--level ref'; else other='--threads 3'; fi
    for try in 1 2 3 4 5; do
        start
        if met; then sleep 0.15; fi
        kill -"$signal" "$pid" 2>/dev/null
        finish_it
        if [ "$rc" -ne 0 ]; then break; fi
        rm -f out.gguf
    done
    what="quantize and SIG$signal"
    expect_rc 1
    expect_err 'cancelled.*out.gguf.part.*same command'
    expect_no_out
    if [ "$(left)" = 'out.gguf.part out.gguf.part.journal ' ]; then ok "$what: the part and its journal are kept"
    else fail "$what: left $(left)"; fi
    # Other work under the same name is refused, and nothing is lost by it.
    run "$program" quantize model.gguf -t Q8_0 -o out.gguf
    expect_rc 1
    expect_one_error '--restart'
    # Goes on with another level or number of threads.
    run "$program" "${work[@]:0:6}" -o out.gguf $other --json
    expect_rc 0
    expect_json result.resumed_bytes '*'
    if cmp -s out.gguf want.gguf; then ok "$what: the same bytes"; else fail "$what: other bytes"; fi
    if [ "$(left)" = 'out.gguf ' ]; then ok "$what: nothing else is left"; else fail "$what: left $(left)"; fi
    rm -f out.gguf
done

# --restart: begins anew, even with other work.
start
if met; then sleep 0.1; fi
kill -KILL "$pid" 2>/dev/null
finish_it
run "$program" quantize model.gguf -t Q8_0 -o out.gguf --restart --force
expect_rc 0
run "$program" info --json out.gguf
expect_json model.file_type Q8_0
rm -f out.gguf

# A second process keeps away while the first one runs, also with --restart and --force; the first one ends well.
start
if met; then
    kill -STOP "$pid"
    for words in '' '--restart --force'; do
        run "$program" "${work[@]}" $words
        expect_rc 1
        expect_one_error 'another process'
        run "$program" quantize model.gguf -t Q8_0 -o out.gguf $words
        expect_rc 1
        expect_one_error 'another process'
    done
    kill -CONT "$pid"
    finish_it
    expect_rc 0
    if cmp -s out.gguf want.gguf; then ok "the first process: the same bytes"; else fail "the first process: other bytes"; fi
else
    fail "the first process could not be met in the middle"
fi
rm -f out.gguf

# Killed and split: parts that are finished early do not have their final names before all are.
start --split-max-size 400KiB
for ((i = 0; i < 400; i++)); do
    if ls out-*.part > /dev/null 2>&1; then break; fi
    sleep 0.005
done
sleep 0.2
kill -KILL "$pid" 2>/dev/null
finish_it
if [ "$rc" = 137 ] && ls out-*.gguf > /dev/null 2>&1; then fail "split: a part has its final name: $(left)"; else ok "split: no final names"; fi
start --split-max-size 400KiB
finish_it
expect_rc 0
first=$(ls out-00001-of-*.gguf)
run "$program" diff --json "$first" want.gguf
expect_json diff.same 74
if ls out*.part* > /dev/null 2>&1; then fail "split: left $(left)"; else ok "split: nothing else is left"; fi
finish
