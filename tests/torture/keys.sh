#!/usr/bin/env bash
# The screen under 100,000 random keys, or QS_EVENTS, from another seed each time (QS_SEED chooses one). Best in a build with
# --enable-asan.
. "$QS_SRCDIR/tests/cli/lib.sh"
run "$QS_BUILDDIR/tests/ui/test_keys"
expect_rc 0
expect_out 'QS_SEED=[0-9]+ QS_EVENTS=[0-9]+'
grep -h QS_SEED "$out"
finish
