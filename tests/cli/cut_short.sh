#!/usr/bin/env bash
# A model that is cut short while it is run: one message that names the file, and no numbers made of what was lost.
. "$QS_SRCDIR/tests/cli/lib.sh"
need_data text/books.txt

# mapped PID FILE: waits until the program has the file's bytes in reach
mapped() {
    for _ in $(seq 2000); do
        if grep -q "/$2\$" "/proc/$1/maps" 2> /dev/null; then return 0; fi
        kill -0 "$1" 2> /dev/null || return 1
        sleep 0.01
    done
    return 1
}

cp "$demo" cut.gguf && chmod u+w cut.gguf
what='eval of a file that is cut short meanwhile'
"$QS_BUILDDIR/src/quantscape" eval cut.gguf --text "$QS_TEST_DATA/text/books.txt" --ctx 128 --no-history -q > "$out" 2> "$err" &
pid=$!
if mapped $pid cut.gguf; then ok "$what: it runs"; else fail "$what: it does not run"; fi
truncate -s 500000 cut.gguf
wait $pid
rc=$?
expect_rc 1
expect_one_error 'cut.gguf.* (was cut short|was changed)'
expect_no_out
finish
