#!/usr/bin/env bash
# bench/screen.sh works: it drives the screen while it measures and writes. Its figures are not judged.
. "$QS_SRCDIR/tests/cli/lib.sh"
command -v script > /dev/null || skip 'no script(1)'
"$QS_BUILDDIR/tests/model/make_model" bench.gguf layers=2 embd=256 ff=512 heads=4 kv_heads=2 vocab=64 || exit 99
run bash "$QS_SRCDIR/bench/screen.sh" bench.gguf 20
expect_rc 0
expect_out '^largest gap +[0-9]+\.[0-9] ms$'
expect_out '^key to answer +[0-9]+\.[0-9] ms, mean of 20$'
expect_out '^frames +[1-9][0-9]*$'
expect_out '^bytes +[1-9][0-9]+, [0-9]+ a frame$'
run bash "$QS_SRCDIR/bench/screen.sh" nothing.gguf
expect_rc 2
expect_err 'no model'
finish
