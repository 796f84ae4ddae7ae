#!/usr/bin/env bash
# The generated parts of the manual and the completions are those of the option tables; the pages are clean roff; the
# completions are valid shell.
. "$QS_SRCDIR/tests/build/lib.sh"
gen=$QS_BUILDDIR/src/gen_docs

same() { # GENERATED COMMITTED
    if cmp -s "$1" "$2"; then ok "$2 is current"; else
        fail "$2 is not what the option tables say; run: make update-docs"
        diff "$2" "$1" | head -n 20
    fi
}
for page in quantscape.1 recipe.5 quantscape-config.5 quantscape-theme.5; do
    "$gen" man "$QS_SRCDIR/man/$page" > "$scratch/$page" || fail "gen_docs man $page"
    same "$scratch/$page" "$QS_SRCDIR/man/$page"
done
for shell in bash:bash/quantscape zsh:zsh/_quantscape fish:fish/quantscape.fish; do
    "$gen" "${shell%%:*}" > "$scratch/${shell%%:*}" || fail "gen_docs ${shell%%:*}"
    same "$scratch/${shell%%:*}" "$QS_SRCDIR/completions/${shell#*:}"
    if command -v "${shell%%:*}" >/dev/null; then
        "${shell%%:*}" -n "$QS_SRCDIR/completions/${shell#*:}" || fail "${shell%%:*} does not read its completion"
    fi
done
"$gen" man /nonexistent > /dev/null 2>&1 && fail "gen_docs finds a page that is not there"

# Every verb of --help stands in the manual, and every option of every verb.
quantscape=$QS_BUILDDIR/src/quantscape
"$quantscape" --help > "$scratch/help" || fail "--help"
verbs=$(awk '/^Verbs:/ { on = 1; next } /^$/ { on = 0 } on && /^  [a-z]/ { print $1 }' "$scratch/help")
[ "$(echo "$verbs" | wc -w)" -ge 1 ] || fail "no verb in --help"
for verb in $verbs; do
    grep -q "^\.SS \"$verb" "$QS_SRCDIR/man/quantscape.1" || fail "$verb is not in the manual"
    "$quantscape" "$verb" --help > "$scratch/verb" || fail "$verb --help"
    awk 'length > 80' "$scratch/verb" | grep . && fail "$verb --help is wider than 80 columns"
    for option in $(grep -oE '^ +(-[a-zA-Z], )?--[a-z0-9-]+' "$scratch/verb" | grep -oE '\-\-[a-z0-9-]+'); do
        grep -qF -e "$(printf '%s' "$option" | sed 's/-/\\-/g')" "$QS_SRCDIR/man/quantscape.1" ||
            fail "$verb $option is not in the manual"
        grep -qF -e "$option" "$QS_SRCDIR/completions/bash/quantscape" || fail "$verb $option is not in the bash completion"
    done
done

# The example of recipe(5) is a recipe.
awk '/^\.nf/ { on = 1; next } /^\.fi/ { on = 0 } on' "$QS_SRCDIR/man/recipe.5" | sed 's/\\e/\\/g; s/\\-/-/g' > "$scratch/example"
[ "$(grep -cE '^(pin|rule) ' "$scratch/example")" -ge 3 ] || fail "no example in recipe.5"
"$quantscape" recipe check "$scratch/example" || fail "the example of recipe.5 is no recipe"

# So is that of quantscape-config(5) a file of settings.
mkdir -p "$scratch/config/quantscape"
awk '/^\.nf/ { on = 1; next } /^\.fi/ { on = 0 } on' "$QS_SRCDIR/man/quantscape-config.5" | sed 's/\\-/-/g' \
    > "$scratch/config/quantscape/config"
[ "$(grep -c ' = ' "$scratch/config/quantscape/config")" -ge 3 ] || fail "no example in quantscape-config.5"
XDG_CONFIG_HOME=$scratch/config "$quantscape" config > /dev/null 2> "$scratch/said" || fail "quantscape config"
if [ -s "$scratch/said" ]; then fail "the example of quantscape-config.5 is no file of settings:"; cat "$scratch/said"; fi

if command -v groff >/dev/null; then
    for page in quantscape.1 recipe.5 quantscape-config.5 quantscape-theme.5; do
        groff -ww -man -Tutf8 -z "$QS_SRCDIR/man/$page" 2> "$scratch/lint" || fail "groff refuses $page"
        if [ -s "$scratch/lint" ]; then fail "groff warns about $page:"; cat "$scratch/lint"; else ok "$page is clean"; fi
    done
else
    echo "note: no groff here, the pages were not linted"
fi
finish
