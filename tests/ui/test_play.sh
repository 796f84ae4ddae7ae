#!/bin/bash
# test_play.sh - the screen without a terminal: every script of play/ at each of its sizes, what the scripts write, and
# screens compared cell by cell with golden/ (QS_UPDATE_GOLDENS=1 writes those anew).
#
# The head of a script says "# file: NAME" (none: no document), "# sizes: COLSxROWS ..." and "# options: ...".
. "$QS_SRCDIR/tests/cli/lib.sh"
scripts=$QS_SRCDIR/tests/ui/play goldens=$QS_SRCDIR/tests/ui/golden
export TZ=UTC
cp "$demo" story.gguf
"$QS_BUILDDIR/tests/model/make_model" small.gguf layers=2 embd=64 ff=128 heads=2 kv_heads=1 vocab=64 type=F32 || exit 99
head -c 100000 story.gguf > broken.gguf
echo 'not a model' > text.gguf
echo 'Too short.' > short.txt
for _ in 1 2 3 4 5 6 7 8 9 10; do
    echo 'Once upon a time there was a little girl named Lily. She loved to play in the park with her dog.'
done > story.txt

head_of() { sed -n "s/^# $2: *//p" "$scripts/$1.txt"; }
play() { # NAME SIZE [OPTION...]: all that a script writes is left in a folder of that name
    local name=$1 size=$2 file
    file=$(head_of "$name" file)
    mkdir -p "$name-$size"
    ln -f story.gguf small.gguf broken.gguf text.gguf story.txt short.txt "$name-$size"
    (cd "$name-$size" && quantscape screen ${file:+"$file"} --play "$scripts/$name.txt" --size "$size" "${@:3}") \
        > "$out" 2> "$err" < /dev/null
    rc=$?
    what="$name at $size"
}

# Each script, at each size.
for script in "$scripts"/*.txt; do
    name=${script##*/} name=${name%.txt}
    for size in $(head_of "$name" sizes); do
        # shellcheck disable=SC2046 # options are words
        play "$name" "$size" $(head_of "$name" options)
        if [ "$rc" = 0 ]; then ok "$what"; else
            fail "$what"
            tail -n +13 "$out" | sed 's/^/    /' # the rest of the screen
        fi
        if [ "$name" = ascii ]; then
            if [ -s "$out" ] && ! LC_ALL=C grep -q '[^ -~]' "$out"; then ok "$what: nothing but ASCII"
            else fail "$what: $(LC_ALL=C grep -m 1 '[^ -~]' "$out")"; fi
        fi
    done
done

same() { if cmp -s "$1" "$2"; then ok "$1 is $2"; else fail "$1 is not $2: $(diff "$1" "$2" | head -n 5)"; fi; }
differ() { if [ -s "$1" ] && ! cmp -s "$1" "$2"; then ok "$1 is not $2"; else fail "$1 is $2"; fi; }

# Undo gives the exact text back, redo the other one.
for size in 80x24 200x50; do
    same "choose-$size/undone.recipe" "choose-$size/before.recipe"
    same "choose-$size/redone.recipe" "choose-$size/changed.recipe"
    differ "choose-$size/changed.recipe" "choose-$size/before.recipe"
done

# What the screen wrote is what the command line writes with the recipe that was saved.
w=write-80x24
run quantscape quantize story.gguf direct.gguf --recipe "$w/chosen.recipe"
expect_rc 0
same "$w/screen.gguf" direct.gguf
run quantscape quantize story.gguf "direct-parts.gguf" --recipe "$w/chosen.recipe" --split-max-size 2MiB
expect_rc 0
for part in direct-parts-*.gguf; do same "$w/${part#direct-}" "$part"; done
run quantscape check "$w/screen.gguf"
expect_rc 0
# The picture of the screen is whole, and names the one command that was typed.
run tail -n 1 words-80x24/picture.svg
expect_out '</svg>'
# llama-quantize's file of rules has one line for each.
run cat recipe-80x24/rules.txt
expect_out '^attn_k=Q5_K$'

# Cells: glyphs and colours. Numbers do not depend on threads, level or machine, but on what else was measured before.
export XDG_CACHE_HOME=$scratch/golden-cache
for color in truecolor mono; do
    rm -rf goldens-80x24
    play goldens 80x24 --color "$color" --theme dark
    expect_rc 0
    for file in goldens-80x24/*.cells; do
        golden=${file##*/} golden=$goldens/${golden%.cells}-$color.cells
        if [ "${QS_UPDATE_GOLDENS:-}" = 1 ]; then cp "$file" "$golden"; fi
        same "$file" "$golden"
    done
done

# A script that is wrong, and one whose expectation fails, say where.
printf 'j\nexpect no such thing is shown\n' | quantscape screen story.gguf --play - > "$out" 2> "$err"
rc=$? what='an expectation that fails'
expect_rc 1
expect_err ':2: the screen does not show no such thing is shown'
expect_out 'Overview'
for script in 'Nokey' '"open' 'size 0x5' 'click here' 'expect ('; do
    printf '%s\n' "$script" | quantscape screen story.gguf --play - > "$out" 2> "$err"
    rc=$? what="script '$script'"
    if [ "$rc" != 0 ]; then ok "$what is refused"; else fail "$what is taken"; fi
done
finish
