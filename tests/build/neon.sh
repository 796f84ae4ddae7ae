#!/usr/bin/env bash
# The level neon on a machine that has none: base, kernels and the engine built for 64-bit ARM by a cross compiler, and the tests
# of the kernels under qemu; with a CPU that has no dot product of bytes only plain C may run. Not a part of make check:
# it builds and tests for a minute each. QS_BUILDDIR/neon is made anew.
. "$QS_SRCDIR/tests/build/lib.sh"
host=aarch64-linux-gnu
emulator=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || skip "qemu-aarch64 is missing (Debian: qemu-user)"
command -v $host-gcc >/dev/null || skip "$host-gcc is missing (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross)"
echo 'int main(void) { return 0; }' > "$scratch/empty.c"
$host-gcc -static "$scratch/empty.c" -o "$scratch/empty" 2>/dev/null && "$emulator" "$scratch/empty" ||
    skip "$host-gcc does not link, or $emulator does not run what it made (Debian: libc6-dev-arm64-cross)"

build=$QS_BUILDDIR/neon
rm -rf "$build"
mkdir -p "$build" && cd "$build" || exit 99
"$QS_SRCDIR/configure" --quiet --host=$host --enable-kernels-only --enable-werror CC=$host-gcc LDFLAGS=-static \
    PKG_CONFIG=/bin/false > configured 2>&1 || { cat configured; exit 1; }
cat configured
grep -q '^ *levels  *ref neon$' configured || fail "configure finds no intrinsics of NEON with dot products"

tests=
for name in half format levels kquant dot panels attend codes rows limits fuse experts; do tests+=" tests/kernels/test_$name"; done
make -j2 -s $tests || exit 1
check() { # CPU PROGRAM...
    local cpu=$1
    shift
    QEMU_CPU=$cpu QS_REDUCED=1 make -j2 -s check check_PROGRAMS= TESTS="$*" LOG_FLAGS="$emulator" && return
    fail "tests on the CPU $cpu"
    grep -v '^# [A-Z]*:' test-suite.log
}
check cortex-a72 tests/kernels/test_levels
grep -q 'only plain C' tests/kernels/test_levels.log || fail "neon runs where the CPU has no dot product"
check max $tests
grep -q 'only plain C' tests/kernels/test_levels.log && fail "neon is not found where the CPU has it"
finish
