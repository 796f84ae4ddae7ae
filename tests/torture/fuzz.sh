#!/usr/bin/env bash
# Every fuzz entry point at length: QS_FUZZ_RUNS (default 1,000,000) mutations of its corpus, from a seed that QS_FUZZ_SEED
# may change. Best in a build with --enable-asan or --enable-fuzzing.
. "$QS_SRCDIR/tests/cli/lib.sh"
export QS_FUZZ_RUNS=${QS_FUZZ_RUNS:-1000000} QS_TEST_SECONDS=${QS_TEST_SECONDS:-14400}
for program in "$QS_BUILDDIR"/tests/fuzz/fuzz_*; do
    if [ ! -x "$program" ] || [ -d "$program" ]; then continue; fi
    start=$SECONDS
    run sh "$QS_SRCDIR/tests/build/run-test" "$program"
    what="${program##*/}, $QS_FUZZ_RUNS runs, $((SECONDS - start)) s"
    expect_rc 0
done
finish
