#!/usr/bin/env bash
# quickstart installs what configure asks for: the two lists of packages name the same libraries.
. "$QS_SRCDIR/tests/build/lib.sh"
list() { # NAME: the words of an array in quickstart
    sed -n "/^$1=(/,/)/p" "$QS_SRCDIR/quickstart" | tr '\n' ' ' | sed 's/^[a-z_]*=(//; s/).*//'
}
column() { # N: the N-th argument of the QS_LIBRARY lines of configure.ac
    sed -n 's/^ *QS_LIBRARY(\(.*\))$/\1/p' "$QS_SRCDIR/configure.ac" | tr -d '[] ' | cut -d , -f "$1"
}
[ "$(column 1 | wc -l)" -ge 6 ] || fail "configure.ac asks for fewer libraries than known"
compare() { # COLUMN LIST
    local name words
    words=" $(list "$2") "
    for name in $(column "$1"); do
        case $words in *" $name "*) ok "$name in $2" ;; *) fail "$name is needed by configure and not in $2" ;; esac
    done
}
compare 3 build_packages
compare 4 dnf_packages
compare 5 pacman_packages
compare 6 brew_packages
compare 2 modules
for name in $(list build_packages | tr ' ' '\n' | grep '^lib.*-dev$'); do
    [ "$name" = libc6-dev ] || column 3 | grep -qx "$name" || fail "$name is installed by quickstart and used by nothing"
done
finish
