# lib.sh - what the tests of the command line share. Sourced; make check sets QS_SRCDIR, QS_BUILDDIR, QS_TEST_DATA.
#
#   run quantscape info "$demo"      runs, sets $rc, $out and $err (files with what was printed)
#   expect_rc 0                      the exit code was
#   expect_out REGEX, expect_err REGEX, expect_no_err
#   expect_json PATH VALUE           in $out, "tensors[3].name"; VALUE "*": it is there
#   run_tty quantscape ...           the same on a terminal of 80x24 (skips nothing: script(1) is part of every Linux)
#
# Every check prints one line; finish at the end. Each test has $scratch, a folder of its own, as its working folder.
set -u
export LC_ALL=C.UTF-8
: "${QS_SRCDIR:?run by make check}" "${QS_BUILDDIR:?run by make check}"
: "${QS_TEST_DATA:=$QS_SRCDIR/../shared}"
failures=0 checks=0
demo=$QS_SRCDIR/demo/storyteller-9m-f16.gguf
scratch=$(mktemp -d "${TMPDIR:-/tmp}/quantscape-test.XXXXXX") || exit 99
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 99
# Nothing of the person who runs the tests is read or written.
export HOME=$scratch/home XDG_CACHE_HOME=$scratch/cache XDG_CONFIG_HOME=$scratch/config
export XDG_STATE_HOME=$scratch/state XDG_DATA_HOME=$scratch/data
mkdir -p "$HOME"
out=$scratch/.out err=$scratch/.err rc=0 what=''

quantscape() { "$QS_BUILDDIR/src/quantscape" "$@"; }

ok() { checks=$((checks + 1)); printf 'ok: %s\n' "$*"; }
fail() {
    failures=$((failures + 1))
    printf 'FAIL: %s\n' "$*"
    if [ -s "$out" ]; then echo '  standard output:'; head -n 12 "$out" | sed 's/^/    /'; fi
    if [ -s "$err" ]; then echo '  standard error:'; head -n 12 "$err" | sed 's/^/    /'; fi
}
skip() { printf 'SKIP: %s\n' "$*"; exit 77; }
# Built beside the C tests, without cmocka not at all.
if [ ! -x "$QS_BUILDDIR/tests/model/make_model" ]; then skip "the tests' helpers are not built"; fi
# Shared test data that may be absent: skipped, but a failure where CI=true.
need_data() {
    if [ -e "$QS_TEST_DATA/$1" ]; then return; fi
    if [ "${CI:-}" = true ]; then fail "test data $1 is missing"; finish; fi
    skip "no test data $1"
}

run() { what="$*"; "$@" > "$out" 2> "$err" < /dev/null; rc=$?; }

# What a person at a terminal would see, escape sequences included, in $out.
run_tty() {
    what="$* (terminal)"
    local words
    words=$(printf '%q ' "$QS_BUILDDIR/src/quantscape" "${@:2}")
    TERM=${QS_TERM:-xterm} script -qec "stty rows 24 cols 80; $words" /dev/null > "$out" 2> "$err" < /dev/null
    rc=$?
}

expect_rc() { if [ "$rc" = "$1" ]; then ok "$what: exit code $1"; else fail "$what: exit code $rc, not $1"; fi; }
expect_out() { if grep -qE -e "$1" "$out"; then ok "$what: prints $1"; else fail "$what: does not print $1"; fi; }
expect_not_out() { if grep -qE -e "$1" "$out"; then fail "$what: prints $1"; else ok "$what: does not print $1"; fi; }
expect_err() { if grep -qE -e "$1" "$err"; then ok "$what: says $1"; else fail "$what: does not say $1"; fi; }
expect_no_err() { if [ -s "$err" ]; then fail "$what: says something"; else ok "$what: is quiet"; fi; }
expect_no_out() { if [ -s "$out" ]; then fail "$what: prints something"; else ok "$what: prints nothing"; fi; }
# One message, one line, with the name of the program.
expect_one_error() {
    if [ "$(wc -l < "$err")" = 1 ] && grep -q '^quantscape: ' "$err"; then ok "$what: one line of error"
    else fail "$what: not exactly one line of error"; fi
    if [ $# -gt 0 ]; then expect_err "$1"; fi
}

json() { "$QS_BUILDDIR/tests/cli/jsonq" "$out" "$1"; } # the value as text
expect_json() {
    local value
    if ! value=$(json "$1"); then fail "$what: no JSON value at $1"
    elif [ "$2" = '*' ] || [ "$value" = "$2" ]; then ok "$what: $1 is $value"
    else fail "$what: $1 is $value, not $2"; fi
}

finish() {
    if [ "$failures" -ne 0 ]; then printf '%s of %s checks failed\n' "$failures" "$((checks + failures))"; exit 1; fi
    if [ "$checks" -eq 0 ]; then echo 'nothing was checked'; exit 1; fi
    printf 'all %s checks passed\n' "$checks"
    exit 0
}
