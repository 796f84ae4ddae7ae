#!/usr/bin/env bash
# Calls go down only: every #include of src, ui, core, kernels and base points to the same floor or a lower one; inside
# core too; foreign libraries are included by their one file; nothing below ui prints or exits.
. "$QS_SRCDIR/tests/build/lib.sh"
cd "$QS_SRCDIR" || exit 99

sources() { find "$@" -name '*.[ch]' | sort; }

# The floors, and the rooms of core from the lowest up. Chats stand above evaluations, whose arithmetic they use.
# Reports come last; their plain table may be used by all of core.
cat > "$scratch/rank.awk" <<'EOT'
function floor(path) {
    if (path ~ /^base\//) return 10
    if (path ~ /^kernels\//) return 20
    if (path ~ /^core\/(how\.[ch]|report\/table\.h)$/) return 30
    if (path ~ /^core\/(job|format|text)\//) return 30
    if (path ~ /^core\/model\//) return 31
    if (path ~ /^core\/(quant|eval)\//) return 32
    if (path ~ /^core\/calib\//) return 32.3
    if (path ~ /^core\/chat\//) return 32.5
    if (path ~ /^core\/report\//) return 33
    if (path ~ /^core\//) return 34
    if (path ~ /^ui\//) return 40
    if (path ~ /^src\//) return 50
    return 0
}
match($0, /^[^:]+:[ \t]*#[ \t]*include[ \t]*"[^"]+"/) {
    file = $0; sub(/:.*/, "", file)
    inc = $0; sub(/^[^"]*"/, "", inc); sub(/".*/, "", inc)
    seen++
    if (floor(inc) == 0) { print file ": \"" inc "\" is not named from the root of the source"; bad = 1 }
    else if (floor(inc) > floor(file)) { print file " includes " inc ", which lies above it"; bad = 1 }
}
END { print seen + 0 > "/dev/stderr"; exit bad }
EOT
existing=()
for room in src ui core kernels base; do [ -d "$room" ] && existing+=("$room"); done
check_directions() { # FOLDER...
    sources "$@" | xargs grep -HE '^[ \t]*#[ \t]*include[ \t]*"' | awk -f "$scratch/rank.awk"
}
check_directions "${existing[@]}" 2> "$scratch/count" || fail "an include points up"
[ "$(cat "$scratch/count")" -gt 50 ] || fail "only $(cat "$scratch/count") includes were read"

# The test must be able to fail.
mkdir -p "$scratch/tree/base"
printf '#include "core/model/model.h"\n' > "$scratch/tree/base/bad.c"
(cd "$scratch/tree" && sources base | xargs grep -HE '^#include "' |
    awk -f "$scratch/rank.awk") > "$scratch/bad" 2>/dev/null &&
    fail "an include from base to core was not noticed"

# LIBRARY-HEADER FILE-PATTERN: who may include it.
one_place() {
    local found
    found=$(sources "${existing[@]}" | xargs grep -lE "^[ \t]*#[ \t]*include[ \t]*[<\"]$1" | grep -vE "$2")
    if [ -n "$found" ]; then fail "<$1> belongs to $2 alone, and is included by:" $found; else ok "$1 only in $2"; fi
}
one_place '(ncursesw/)?(n?curses|term|panel|menu)\.h' '^ui/'
one_place 'err\.h>' '^none$'
one_place 'pcre2' '^base/regex\.c$'
one_place '(json-c/)?json' '^base/json[a-z_]*\.[ch]$'
one_place 'utf8proc' '^base/unicode\.c$'
one_place 'xxhash' '^base/hash\.c$'
one_place '(openblas/)?(cblas|f77blas|openblas_config|lapacke)' '^kernels/blas\.c$'
one_place '(immintrin|x86intrin|[a-z]mmintrin|arm_neon)\.h' '^kernels/(x86|arm)_[a-z0-9]+/'

# Nothing below ui speaks or exits.
below=()
for room in core kernels base; do [ -d "$room" ] && below+=("$room"); done
found=$(sources "${below[@]}" | grep '\.c$' |
    xargs grep -nE -e '(^|[^a-zA-Z0-9_.>"])(printf|puts|putchar|perror|exit|_exit|abort|verr|vwarn) *\(' \
        -e '\b(stdout|stderr)\b' |
    grep -vE '^[^:]+:[0-9]+: *(/?\*|//)')
if [ -n "$found" ]; then
    fail "something below ui prints or exits:"; printf '%s\n' "$found"
else
    ok "nothing below ui prints or exits"
fi

# Nothing below ui knows how a person asks for something: advice is a number (base/err.h), its words are src's and ui's.
# The export of recipes writes llama.cpp's command line.
# (survey.c and report_survey.c still speak of their options.)
option_words() { # FILE...
    grep -nHE '"([^"\\]|\\.)*(--[a-z]|[ :(]-o[ "])' "$@" | grep -vE '^[^:]+:[0-9]+: *(/?\*|//)'
}
words_allowed='^core/(quant/(recipe_export|survey)|report/report_survey)\.c:'
found=$(sources "${below[@]}" | { readarray -t files; option_words "${files[@]}"; } | grep -vE "$words_allowed")
if [ -n "$found" ]; then
    fail "command-line options in words below ui:"; printf '%s\n' "$found"
else
    ok "no options in words below ui"
fi
printf '%s\n' '    qs_fail(e, QS_EINVAL, "there it is: --force overwrites it");' '/* "a --word" */' \
    '    f("x", "name it with -o");' \
    '    int a = b --c;' > "$scratch/words.c"
[ "$(option_words "$scratch/words.c" | wc -l)" -eq 2 ] || fail "options in words were not noticed, or too many"

# Functions that invite mistakes are not used at all.
found=$(sources "${existing[@]}" | grep '\.c$' |
    xargs grep -nE '(^|[^a-zA-Z0-9_])(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|strtok|alloca) *\(')
if [ -n "$found" ]; then fail "banned functions:"; printf '%s\n' "$found"; else ok "no banned functions"; fi
# Allocation goes through base/mem.c, so that tests can make it fail.
found=$(sources "${existing[@]}" | grep '\.c$' | grep -v '^base/mem\.c$' |
    xargs grep -nE '(^|[^a-zA-Z0-9_.>])(malloc|calloc|realloc|free|strdup|aligned_alloc|posix_memalign) *\(')
if [ -n "$found" ]; then
    fail "allocation past base/mem.h:"; printf '%s\n' "$found"
else
    ok "all allocation through base/mem.h"
fi
finish
