#!/usr/bin/env bash
# The tests on a pseudo-terminal are built where libvterm is; where everything has to be tested, its absence is a failure.
. "$QS_SRCDIR/tests/build/lib.sh"
if [ ! -x "$QS_BUILDDIR/tests/ui/test_term" ]; then
    [ "${CI:-}" = true ] || skip 'no libvterm (Debian: libvterm-dev): the terminal is not tested'
    fail 'no libvterm (Debian: libvterm-dev): the terminal is not tested'
fi
finish
