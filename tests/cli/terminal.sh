#!/usr/bin/env bash
# What depends on a terminal: progress on standard error only there, text fitted to its width, the overview where there
# is none, Ctrl-C.
. "$QS_SRCDIR/tests/cli/lib.sh"

# Without a terminal: the overview, as `info` prints it, and no progress.
run quantscape "$demo"
expect_rc 0
expect_no_err
cp "$out" overview
run quantscape info "$demo"
if cmp -s overview "$out"; then ok "quantscape FILE prints what info prints"; else fail "quantscape FILE and info differ"; fi
run quantscape "$demo" --json
expect_rc 0
expect_json report info
run quantscape --csv "$demo" -q
expect_rc 0
run quantscape survey "$demo" --whole --types Q4_K --no-cache
expect_rc 0
expect_no_err

command -v script >/dev/null || skip "no script(1) here"
# On a terminal: 80 columns at most, and progress that is wiped away again.
run_tty quantscape types
expect_rc 0
tr -d '\r' < "$out" | sed 's/…/./g' | awk 'length > 80' > wide
if [ -s wide ]; then fail "wider than the terminal: $(head -n 1 wide)"; else ok "types fits 80 columns"; fi
run_tty quantscape survey "$demo" --whole --no-cache
expect_rc 0
expect_out $'\r.*%.*/s'
expect_out $'\033\\[K'
QS_TERM=dumb run_tty quantscape survey "$demo" --whole --types Q4_K,Q5_K --no-cache
expect_rc 0
expect_not_out $'\033'
run_tty quantscape survey "$demo" --whole --types Q4_K --no-cache --quiet
expect_rc 0
expect_not_out '%.*/s'

# Ctrl-C: one line that says so, exit code 1, no result.
"$QS_BUILDDIR/src/quantscape" survey "$demo" --whole --no-cache --threads 1 > "$out" 2> "$err" &
pid=$!
sleep 0.05
kill -TERM $pid
wait $pid
rc=$? what='survey and SIGTERM'
case $rc in
1) expect_err 'cancelled' ;;
0) ok "survey was faster than the signal" ;;
143) ok "the signal came before the job" ;;
*) fail "exit code $rc after SIGTERM" ;;
esac
finish
