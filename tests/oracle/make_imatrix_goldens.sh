#!/bin/sh
# make_imatrix_goldens.sh LLAMA_IMATRIX TEXT - makes tests/format/data/demo-imatrix.{dat,gguf} anew.
#
# LLAMA_IMATRIX: the program llama-imatrix of llama.cpp, commit 0c1e57098 (MIT licence); TEXT: a text of at least 30,000
# bytes (the committed files: books-calibration.txt of the shared test data, public-domain English books). The files hold
# statistics of the demo model (CC0). Run it in the source tree; 3 chunks of 512 tokens take a second.
set -eu
tool=$1 text=$2
here=$(pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
head -c 30000 "$text" > "$scratch/calib.txt"
cd "$scratch" # the file's name is stored: without a folder
for form in dat gguf; do
    "$tool" -m "$here/demo/storyteller-9m-f16.gguf" -f calib.txt -c 512 --chunks 3 --output-format "$form" -o "out.$form"
    cp "out.$form" "$here/tests/format/data/demo-imatrix.$form"
done
