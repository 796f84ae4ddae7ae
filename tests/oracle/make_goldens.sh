#!/bin/sh
# Makes tests/kernels/goldens/formats.bin from ggml's own quantizers.
#
# Source: llama.cpp commit 0c1e57098 (ggml, MIT licence), ggml/src/ggml-quants.c compiled alone as plain x86-64 code
# (no -march, no fused multiply-add, assertions off as in a release build). Needed only when formats are added or the
# reference commit moves; neither the program nor "make check" need llama.cpp.
#
# Usage: tests/oracle/make_goldens.sh PATH-OF-LLAMA.CPP   (from the source root; CC is honoured)
set -eu
ggml=${1:?usage: make_goldens.sh PATH-OF-LLAMA.CPP}/ggml
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
flags="-O2 -ffp-contract=off -DNDEBUG -D_GNU_SOURCE -w -I. -Itests/oracle -I$ggml/include -I$ggml/src"
for f in "$ggml/src/ggml-quants.c" tests/oracle/golden_ggml.c tests/oracle/golden_formats.c; do
    ${CC:-gcc} $flags -c "$f" -o "$tmp/$(basename "$f" .c).o"
done
${CC:-gcc} "$tmp"/*.o -o "$tmp/golden_formats" -lm
mkdir -p tests/kernels/goldens
"$tmp/golden_formats" tests/kernels/goldens/formats.bin
