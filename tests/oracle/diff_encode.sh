#!/bin/sh
# Encodes random weights with ggml's own quantizers and with ours, at every level of this machine, and counts what
# differs.
#
# Source of the other side: llama.cpp commit 0c1e57098 (ggml, MIT licence), ggml/src/ggml-quants.c compiled alone as
# plain x86-64 code, as in make_goldens.sh. Takes minutes; neither the program nor "make check" need it.
#
# Usage: tests/oracle/diff_encode.sh PATH-OF-LLAMA.CPP MILLIONS FLOATS-FILE|- TYPE...
# from the source root, e.g. ... 20 - Q2_K Q3_K Q4_K Q5_K Q6_K   (CC is honoured)
set -eu
ggml=${1:?usage: diff_encode.sh PATH-OF-LLAMA.CPP MILLIONS FLOATS-FILE|- TYPE...}/ggml
shift
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
flags="-std=gnu17 -O2 -ffp-contract=off -DNDEBUG -D_GNU_SOURCE -w -I. -Itests/oracle"
for f in kernels/x86_avx2/*.c; do
    ${CC:-gcc} $flags -mavx2 -mf16c -mfma -c "$f" -o "$tmp/avx2_$(basename "$f" .c).o"
done
for f in kernels/format.c kernels/level.c kernels/ref/*.c tests/oracle/diff_encode.c; do
    ${CC:-gcc} $flags -DQS_HAVE_AVX2=1 -c "$f" -o "$tmp/$(basename "$f" .c).o"
done
for f in "$ggml/src/ggml-quants.c" tests/oracle/golden_ggml.c; do
    ${CC:-gcc} $flags -I"$ggml/include" -I"$ggml/src" -c "$f" -o "$tmp/$(basename "$f" .c).o"
done
${CC:-gcc} "$tmp"/*.o -o "$tmp/diff_encode" -lm -pthread
"$tmp/diff_encode" "$@"
