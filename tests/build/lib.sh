# lib.sh - what the shell tests of the build share. Sourced; needs QS_SRCDIR and QS_BUILDDIR.
set -u
export LC_ALL=C
: "${QS_SRCDIR:?run by make check}" "${QS_BUILDDIR:?run by make check}"
failures=0

# A folder of this test's own, removed at the end.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/quantscape-test.XXXXXX") || exit 99
trap 'rm -rf "$scratch"' EXIT

fail() { printf 'FAIL: %s\n' "$*"; failures=$((failures + 1)); }
ok() { printf 'ok: %s\n' "$*"; }
skip() { printf 'SKIP: %s\n' "$*"; exit 77; }
finish() {
    if [ "$failures" -ne 0 ]; then printf '%s failed\n' "$failures"; exit 1; fi
    printf 'all passed\n'
    exit 0
}
