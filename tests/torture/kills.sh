#!/usr/bin/env bash
# 200 seeded kills of a running writer (20 in make check), and 40 of the program itself, at any moment.
. "$QS_SRCDIR/tests/cli/lib.sh"
if [ -x "$QS_BUILDDIR/tests/quant/test_writer" ]; then
    run env QS_KILLS="${QS_KILLS:-200}" "$QS_BUILDDIR/tests/quant/test_writer"
    expect_rc 0
else
    echo 'not run: tests/quant/test_writer (built without cmocka)'
fi

imatrix=$QS_SRCDIR/tests/format/data/demo-imatrix.gguf
program=$QS_BUILDDIR/src/quantscape
cp "$demo" model.gguf || exit 99
work=(quantize model.gguf -t IQ2_XS --imatrix "$imatrix" --split-max-size 500KiB)
run "$program" "${work[@]}" -o want.gguf
expect_rc 0
killed=0 RANDOM=1
for ((i = 0; i < 40; i++)); do
    "$program" "${work[@]}" -o out.gguf --threads $((1 + i % 3)) > /dev/null 2>&1 < /dev/null &
    pid=$!
    sleep "0.$(printf '%03d' $((RANDOM % 900)))"
    kill -KILL $pid 2> /dev/null
    wait $pid 2> /dev/null
    rc=$?
    if [ $rc = 137 ]; then
        killed=$((killed + 1))
        # The first part is renamed last: while anything is unfinished, nobody finds it.
        if ls out-*.part > /dev/null 2>&1 && ls out-00001-of-*.gguf > /dev/null 2>&1; then fail "kill $i: the first part has its name too early"; fi
        if [ $((RANDOM % 2)) = 0 ]; then continue; fi
        if ! ls out*.part* > /dev/null 2>&1; then rm -f out-*; continue; fi # killed after the last rename, or before the first byte
        "$program" "${work[@]}" -o out.gguf > /dev/null 2> "$err" < /dev/null
        rc=$?
    fi
    what="kill $i"
    # A kill between the last rename and the removal of the journal leaves a whole output.
    if [ $rc -ne 0 ] && ! grep -q 'exists: --force' "$err"; then fail "kill $i: exit code $rc"; fi
    for want in want-*.gguf; do
        cmp -s "$want" "out${want#want}" || fail "kill $i: $want and out${want#want} differ"
    done
    if ls out*.part* > /dev/null 2>&1; then fail "kill $i: left $(ls out*.part*)"; fi
    rm -f out*
done
if [ "$killed" -gt 5 ]; then ok "$killed of 40 runs were killed"; else fail "only $killed of 40 runs were killed"; fi
finish
