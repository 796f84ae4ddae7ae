#!/usr/bin/env bash
# quickstart with every outside program replaced by one that only writes down that it was called: the first run installs
# and builds, the second run of either form calls neither compiler nor package manager; a changed source is built again.
. "$QS_SRCDIR/tests/build/lib.sh"
tree=$scratch/tree shims=$scratch/shims log=$scratch/log
mkdir -p "$tree" "$shims"
for name in configure.ac Makefile.am m4 base src ui core kernels bench tests man completions themes quickstart; do
    if [ -e "$QS_SRCDIR/$name" ]; then cp -R "$QS_SRCDIR/$name" "$tree/" || exit 99; fi
done
chmod -R u+w "$tree"
mkdir -p "$tree/demo"

shim() { # NAME [COMMAND]...
    local name=$1
    shift
    { echo '#!/bin/bash'; echo "echo \"$name \$*\" >> '$log'"; printf '%s\n' "$@"; } > "$shims/$name"
    chmod +x "$shims/$name"
}
shim apt-get "[ \"\$1\" != install ] || touch '$scratch/installed'"
shim sudo 'exec "$@"'
# Nothing is installed until apt-get was asked to.
shim dpkg-query "[ -e '$scratch/installed' ] || exit 1" 'shift 3; for p; do printf "installed:%s " "$p"; done'
# The first configure meets no library for tests.
cat > "$scratch/configure" << END
#!/bin/sh
echo "configure \$*" >> '$log'
if [ -e '$scratch/met' ]; then echo 'CMOCKA_LIBS = -lcmocka'; else echo 'CMOCKA_LIBS = '; fi > Makefile
touch '$scratch/met'
END
chmod +x "$scratch/configure"
shim autoreconf "cp '$scratch/configure' configure; touch configure Makefile.in"
shim make 'mkdir -p build/src' \
    'printf "#!/bin/sh\necho overview of \"\$@\"\necho locale \${LC_ALL-none}\n" > build/src/quantscape' \
    'chmod +x build/src/quantscape'
for name in cc gcc clang ld as ar dnf pacman brew; do shim "$name"; done

run() { # NAME ARGUMENT...: quickstart with the shims in front; what was called is in $log
    local name=$1
    shift
    rm -f "$log"
    touch "$log"
    (cd "$tree" && QS_PATH_FIRST=$shims ./quickstart "$@") < /dev/null > "$scratch/out" 2>&1 ||
        { fail "$name: quickstart $* failed"; cat "$scratch/out"; }
}
called() { grep -qE "^($1) " "$log" || fail "$2: none of $1 was called"; }
not_called() {
    if grep -E "^($1)( |$)" "$log"; then fail "$2: called what it should not have"; else ok "$2: no $1"; fi
}
build='autoreconf|make|cc|gcc|clang|ld|as|ar'
managers='apt-get|sudo|dnf|pacman|brew'

run first
called apt-get first
called autoreconf first
called configure first
called make first
grep -q 'installing with apt-get.*libjson-c-dev' "$scratch/out" || fail "it does not say what it installs"
grep -q '^overview of info demo/' "$scratch/out" || fail "without a terminal the overview is missing"

run second
not_called "$build|$managers" second
grep -q '^overview of info demo/' "$scratch/out" || fail "the second run shows nothing"

# The program starts in the person's own locale, though the script itself reads packages in C.
LC_ALL=xx_YY.UTF-8 run 'a locale'
grep -q '^locale xx_YY.UTF-8$' "$scratch/out" || fail "the program does not start in the person's locale"
(unset LC_ALL; run 'no locale'; grep -q '^locale none$' "$scratch/out") ||
    fail "the program starts in a locale that nobody chose"

run check check
called configure 'check after a build without tests'
called make check
not_called "$managers" check
run 'second check' check
grep -E '^make ' "$log" | grep -v ' check$' && fail "the second check builds"
not_called "autoreconf|configure|cc|gcc|clang|ld|as|ar|$managers" 'second check'
called make 'second check'

touch "$tree/src/main.c"
run touched
not_called "$build" 'a source that is only newer'
echo '/* changed */' >> "$tree/src/main.c"
run changed
called make 'a changed source'

(cd "$tree" && QS_PATH_FIRST=$shims ./quickstart nonsense) > "$scratch/out" 2>&1
[ $? -eq 2 ] || fail "a wrong word is not exit code 2"
(cd "$tree" && QS_PATH_FIRST=$shims ./quickstart --verify) > "$scratch/out" 2>&1
[ $? -eq 2 ] || fail "--verify without check is not exit code 2"
finish
