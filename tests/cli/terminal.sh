#!/usr/bin/env bash
# What depends on a terminal: progress on standard error only there, text fitted to its width, the overview where there
# is none, Ctrl-C.
. "$QS_SRCDIR/tests/cli/lib.sh"

# Without a terminal: the overview, as `info` prints it, and no progress.
run quantscape "$demo"
expect_rc 0
expect_no_err
free_memory() { sed -E 's/, [0-9.]+ [KMGT]iB of it free//' "$1"; } # which moves
free_memory "$out" > overview
run quantscape info "$demo"
if cmp -s overview <(free_memory "$out"); then ok "quantscape FILE prints what info prints"; else fail "quantscape FILE and info differ"; fi
run quantscape "$demo" --json
expect_rc 0
expect_json report info
run quantscape --csv "$demo" -q
expect_rc 0
run quantscape survey "$demo" --whole --types Q4_K --no-cache
expect_rc 0
expect_no_err

command -v script >/dev/null || skip "no script(1) here"
script -qec true /dev/null > "$out" 2> "$err" < /dev/null || skip "no terminal can be made here: $(head -n 1 "$err")"
# On a terminal: 80 columns at most, and progress that is wiped away again.
run_tty quantscape types
expect_rc 0
tr -d '\r' < "$out" | sed 's/…/./g' | awk 'length > 80' > wide
if [ -s wide ]; then fail "wider than the terminal: $(head -n 1 wide)"; else ok "types fits 80 columns"; fi
run_tty quantscape survey "$demo" --whole --no-cache
expect_rc 0
expect_out $'\r.*%.*weights/s'
tr '\r' '\n' < "$out" | grep 'weights/s' > progress_lines
if grep -q $'…\(\033\[K\)\?$' progress_lines || awk 'length > 84' progress_lines | grep -q .; then # 80 and an escape sequence
    fail "progress is cut, or wider than the terminal: $(grep -m 1 '…' progress_lines)"
else
    ok 'progress fits 80 columns'
fi
expect_out $'\033\\[K'
QS_TERM=dumb run_tty quantscape survey "$demo" --whole --types Q4_K,Q5_K --no-cache
expect_rc 0
expect_not_out $'\033'
run_tty quantscape survey "$demo" --whole --types Q4_K --no-cache --quiet
expect_rc 0
expect_not_out '%.*/s'

# Messages are broken between words on a terminal, and one line where there is none.
run_tty quantscape recipe resolve
expect_rc 2
expect_out 'usage: quantscape recipe resolve'
expect_out '^  RECIPE MODEL'
run quantscape recipe resolve
expect_one_error 'usage: quantscape recipe resolve RECIPE MODEL'
# No column of a table is cut: names are whole, reasons are wrapped.
run_tty quantscape plan "$demo" -t Q4_K_M
expect_rc 0
expect_out '^  blk\.0\.attn_output\.weight '
expect_not_out '…'
tr -d '\r' < "$out" | awk 'length > 80' > wide
if [ -s wide ]; then fail "wider than the terminal: $(head -n 1 wide)"; else ok 'plan fits 80 columns'; fi
# Eight colours, and none where the type of the terminal has none.
QS_TERM=screen run_tty quantscape map "$demo"
expect_out $'\033\\[37;40m'
QS_TERM=xterm-256color run_tty quantscape map "$demo"
expect_out $'\033\\[48;5;17m'
QS_TERM=vt100 run_tty quantscape map "$demo"
expect_not_out $'\033\\[[0-9;]*m'
# Where the locale has no UTF-8, text is ASCII.
odd="$scratch/$(printf 'mod\303\250le\342\200\246').gguf"
cp "$demo" "$odd" || exit 99
for verb in info 'plan -t Q4_K_M' map tensors survey; do
    LC_ALL=C run quantscape $verb "$odd"
    expect_rc 0
    if LC_ALL=C grep -q '[^ -~]' "$out" "$err"; then fail "not ASCII: $(LC_ALL=C grep -m 1 '[^ -~]' "$out")"; else ok "$verb: ASCII in the C locale"; fi
done
LC_ALL=C run quantscape info "$odd.none"
expect_one_error 'mod.u.E8.le\.\.\.gguf\.none'
# A locale that is not installed still says, by its name, whether the terminal takes UTF-8.
for locale in xx_XX.UTF-8:1 xx_XX.utf8:1 xx_XX:0 xx_XX.ISO-8859-1:0; do
    LC_ALL=${locale%:*} run quantscape info "$odd"
    if LC_ALL=C grep -q '[^ -~]' "$out"; then utf8=1; else utf8=0; fi
    if [ "$utf8" = "${locale#*:}" ]; then ok "the locale $locale"; else fail "the locale ${locale%:*} gives UTF-8: $utf8"; fi
done

# Ctrl-C, typed on a terminal when the work has begun: said at once, one message at the end, exit code 1.
"$QS_BUILDDIR/tests/model/make_model" big.gguf layers=8 embd=2048 ff=8192 heads=16 kv_heads=4 vocab=8192 type=F32 \
    fill=sparse || exit 99
mkfifo keys || exit 99
begun=: # a command that holds once the work can be interrupted
interrupt() {
    what="$* (Ctrl-C)"
    local words pid i
    words=$(printf '%q ' "$QS_BUILDDIR/src/quantscape" "${@:2}")
    TERM=xterm script -qefc "stty rows 24 cols 80; exec env --default-signal=INT $words" /dev/null < keys > "$out" 2> "$err" &
    pid=$!
    exec 9> keys
    for ((i = 0; i < 1200; i++)); do
        if $begun || ! kill -0 $pid 2> /dev/null; then break; fi
        sleep 0.05
    done
    if ! $begun; then fail "$what: the work was never met in the middle"; fi
    printf '\003' >&9
    wait $pid
    rc=$?
    exec 9>&-
}
progress() { grep -q '%.*/s' "$out"; }
first_size=
record() { # a first record stands behind the header of the journal
    local size
    size=$(stat -c %s out.gguf.part.journal 2> /dev/null) || return 1
    if [ -z "$first_size" ]; then first_size=$size; fi
    [ "$size" -gt "$first_size" ] && [ "$first_size" -gt 0 ]
}
one_message() {
    tr '\r' '\n' < "$out" > lines
    expect_out 'quantscape: cancelling; press Ctrl-C again to stop at once'
    if [ "$(grep 'quantscape: ' lines | grep -vc 'quantscape: cancelling;')" = 1 ]; then ok "$what: one message"; else fail "$what: not exactly one message"; fi
}

begun=progress
interrupt quantscape survey big.gguf --whole --no-cache --threads 1
expect_rc 1
one_message
expect_out 'quantscape: cancelled'
expect_not_out 'Q4_K' # no half of a result

begun=record
interrupt quantscape quantize big.gguf -t Q4_K_M --level ref --threads 1 -o out.gguf
expect_rc 1
one_message
expect_out 'quantscape: cancelled; what is done is kept in out\.gguf\.part and the same'
expect_out '^  command goes on from there'
if [ -s out.gguf.part ] && [ -s out.gguf.part.journal ] && [ ! -e out.gguf ]; then ok "$what: the part is kept"
else fail "$what: left $(ls | grep '^out' | tr '\n' ' ')"; fi
finish
