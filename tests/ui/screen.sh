#!/bin/bash
# screen.sh - the screen in a real terminal (tmux): pages, keys, searching, sizes, and the terminal left as it was found, or
# the program gone when the terminal goes.
. "$QS_SRCDIR/tests/cli/lib.sh"
command -v tmux >/dev/null 2>&1 || skip 'no tmux'
what='the screen'
socket=qs-test-$$ # a server of its own for every start: one that is killed takes a moment to go
starts=0
t() { tmux -L "$socket" -f /dev/null "$@"; }
trap 't kill-server 2>/dev/null; rm -rf "$scratch"' EXIT

# Waits until the screen shows a regular expression; says what it shows when it never does.
shows() {
    local i
    for i in $(seq 200); do
        t capture-pane -p > "$out" 2>"$err"
        if grep -qE -e "$1" "$out"; then ok "the screen shows $1"; return 0; fi
        sleep 0.05
    done
    fail "the screen does not show $1"
    return 1
}
press() { t send-keys "$@"; }
start() { # COLUMNS ROWS FILE [OPTION...]; $term: another type of terminal
    t kill-server 2>/dev/null
    starts=$((starts + 1))
    socket=qs-test-$$-$starts
    t new-session -d -x "$1" -y "$2" "TERM=${term-tmux-256color} '$QS_BUILDDIR/src/quantscape' ${*:4} '$3'; echo \"ended with \$?\"; sleep 1000"
}
# The process of the program that was started last.
program() { pgrep -P "$(t list-panes -F '#{pane_pid}')" quantscape; }
# Waits until a process is gone (a zombie is).
ends() {
    local i
    for i in $(seq 200); do
        if ! grep -qsE '^State:[[:space:]]+[^ZX]' "/proc/$1/status"; then ok "the program ends after $2"; return; fi
        sleep 0.05
    done
    fail "the program goes on after $2"
    kill -KILL "$1"
}
# The number in the title of the first line shown.
first_line() { t capture-pane -p | sed -nE '1s/.* ([0-9]+)-[0-9]+ of [0-9]+ *$/\1/p'; }
# Neither alternate screen nor a hidden cursor may be left behind.
terminal_is_sane() {
    local state
    state=$(t display -p '#{alternate_on} #{cursor_flag} #{mouse_any_flag}')
    if [ "$state" = '0 1 0' ]; then ok "after $1 the terminal is as it was"; else fail "after $1 the terminal is left '$state'"; fi
}

start 80 24 "$demo"
shows '^\[1 Overview\]|\[1 Overview\]'
shows 'storyteller'
shows 'q quit'
press 2
shows '\[2 Map\]'
shows 'ffn_down .*worst|ffn_down +~?[0-9]'
press 3
shows 'blk\.0\.attn_norm\.weight'
shows '^  blk\.0\.attn_output\.weight ' # a name is whole where there is room
press /
press -l 'blk\.7\.ffn_up'
press Enter
shows 'blk\.7\.ffn_up\.weight'
# Matches are marked, the one at hand in bold, and n and N go from one to the next, wherever they stand on the screen.
marked() { # TEXT: the line of the match at hand has it
    local i line
    for i in $(seq 100); do
        t capture-pane -e -p > "$out" 2>"$err"
        line=$(grep -P '\e\[(1;7|7;1)m' "$out" | sed 's/\x1b\[[0-9;]*m//g; s/\x0e\|\x0f//g')
        case $line in *"$1"*) ok "the match at hand is $1"; return ;; esac
        sleep 0.05
    done
    fail "the match at hand is '$line', not $1"
}
press g
press /
press -l 'attn_k'
press Enter
marked 'blk.0.attn_k.weight'
press n
marked 'blk.1.attn_k.weight'
for i in 2 3 4 5 6 7; do press n; done
marked 'blk.7.attn_k.weight' # on the last screenful: found by its line, not by the top of the screen
press n
shows 'no further match for attn_k'
press N
marked 'blk.6.attn_k.weight'
press g
press N
shows 'no earlier match for attn_k'
if [ "$(first_line)" = 1 ]; then ok 'a search in vain moves nothing'; else fail "a search in vain moves to line $(first_line)"; fi
press /
press -l 'nothing like this'
press Enter
shows 'no further match'
press /
press -l '('
press Enter
shows 'pattern|regular|missing|\('
press '?'
shows '\[\? Help\]'
shows 'Shift-Tab'
for size in '200 50' '20 5' '40 10'; do
    t resize-window -x "${size% *}" -y "${size#* }"
    sleep 0.2
done
# In 40 columns the other pages are keys alone, and nothing is drawn over the edge.
shows '^ 1  2  3 \[\? Help\] .*%$'
for page in 2:Map 3:Tensors 1:Overview; do
    press "${page%:*}"
    shows "\\[$page\\]|\\[${page/:/ }\\]"
    shows 'q quit *$'
    if [ "$(wc -l < "$out")" = 10 ] && ! grep -qE '.{41}' "$out"; then ok "$page fits 40x10"; else fail "$page does not fit 40x10"; fi
done
press 2
shows '^  attn_v +[0-9]{8} '
t resize-window -x 80 -y 24
press '?'
shows 'Shift-Tab'
press q
shows 'ended with 0'
terminal_is_sane 'quitting'

# The numbers of function keys are those of letters too: typed letters do nothing but what the table says.
start 40 10 "$demo"
shows 'q quit'
press 3
press G
shows 'Tensors. .* 100%'
press h h h h h h h h l
shows '^ .* 100%'
sed 1,9!d "$out" > before
for letter in 'ą:the right arrow' 'š:Shift-Tab' 'œ:Page Up' 'ă:the up arrow'; do
    press -l "${letter%%:*}"
    press / # shown when what was typed before has been read
    shows '^/_'
    if sed 1,9!d "$out" | cmp -s before -; then ok "${letter%%:*} is not ${letter#*:}"; else fail "${letter%%:*} acts as ${letter#*:}"; fi
    press Enter
    shows 'q quit'
done

# Paused, nothing is written. (Many tensors, so that the work lasts.)
"$QS_BUILDDIR/tests/model/make_model" many.gguf layers=200 embd=256 ff=1024 heads=4 kv_heads=4 vocab=512 type=F32 \
    fill=sparse || exit 99
start 80 24 "$scratch/many.gguf" --threads 1 --level ref
if shows 'measuring .*%'; then
    press p
    shows 'paused .*%'
    t pipe-pane 'cat > piped'
    sleep 0.5
    t pipe-pane
    if [ -s "$scratch/piped" ]; then fail "paused: $(wc -c < "$scratch/piped") bytes are written"; else ok 'paused, nothing is written'; fi
    press p
    shows 'measuring .*%'
fi

for signal in TERM HUP SEGV ABRT; do
    start 80 24 "$demo"
    shows 'q quit' || continue
    kill "-$signal" "$(program)"
    shows 'ended with [1-9]'
    terminal_is_sane "SIG$signal"
done

# The map is coloured as the terminal can do it; the numbers are there with and without.
escape=$(printf '\033')
cells() { # TERM [VARIABLE=VALUE]: the line of attn_v with its escape sequences
    term="$1" start 80 24 "$demo"
    what="the map on ${*:1}"
    shows 'q quit' || return 1
    press 2
    shows '^  attn_v +1\.7[0-9] +7\.'
    t capture-pane -e -p | grep '^  attn_v' > "$out"
}
colored() { # PATTERN
    if grep -qE "$escape\\[$1" "$out"; then ok "$what: colours"; else fail "$what: no colours $1: $(head -n 1 "$out" | cat -v)"; fi
}
if cells xterm-256color; then colored '48;5;17m'; colored '48;5;228m'; fi
if cells screen; then colored '44m'; colored '(30;)?47m'; fi
for plain in vt100 'xterm-256color NO_COLOR=1'; do
    if cells "$plain"; then
        if grep -q "$escape" "$out"; then fail "$what: colours"; else ok "$what: no colours"; fi
    fi
done
# Without UTF-8 nothing but ASCII is drawn.
cp "$demo" "$scratch/$(printf 'mod\303\250le').gguf"
term='xterm LC_ALL=C' start 80 24 "$scratch/$(printf 'mod\303\250le').gguf"
if shows 'mod.u.E8.le\.gguf'; then
    if LC_ALL=C grep -q '[^ -~]' "$out"; then fail "the screen in the C locale: $(LC_ALL=C grep -m 1 '[^ -~]' "$out")"
    else ok 'the screen in the C locale is ASCII'; fi
fi

# Threads: as many compute as were asked for, the job's own among them. Nothing is in the cache, or nobody would compute.
threads_of() { ls "/proc/$1/task" 2> /dev/null | wc -l; }
for n in 1 3; do
    rm -rf "$XDG_CACHE_HOME"
    start 80 24 "$demo" --threads "$n"
    shows 'q quit' || continue
    press 2
    shows 'over all 57 matrices' # the job has ended
    counted[n]=$(threads_of "$(program)")
    press q
    shows 'ended with 0'
done
if [ "$((counted[3] - counted[1]))" = 2 ]; then ok '--threads reaches the screen'; else fail "threads: ${counted[*]}"; fi

# The terminal goes: with its server, or with what else holds the other end, and no signal comes.
start 80 24 "$demo"
if shows 'q quit'; then
    pid=$(program)
    t kill-server
    ends "$pid" 'the end of its terminal'
fi
start 80 24 "$demo"
if shows 'q quit'; then
    pid=$(program)
    kill -KILL "$(t display -p '#{pid}')"
    ends "$pid" 'the death of its terminal'
fi
if command -v script > /dev/null; then
    # nohup: the hang-up signal is ignored, so the end of the input has to be noticed.
    mkfifo keys
    TERM=xterm script -qec "stty rows 24 cols 80; trap '' HUP; echo \$\$ > pid; exec '$QS_BUILDDIR/src/quantscape' '$demo'" \
        /dev/null < keys > screen 2>&1 &
    exec 9> keys
    holder=$!
    for i in $(seq 200); do
        if grep -q 'q quit' screen; then break; fi
        sleep 0.05
    done
    if grep -q 'q quit' screen && kill -0 "$(cat pid)"; then ok 'nohup: the screen is up'; else fail 'nohup: there is no screen'; fi
    kill -KILL "$holder"
    wait "$holder" 2> /dev/null
    exec 9>&-
    ends "$(cat pid)" 'the end of its terminal with SIGHUP ignored'
fi

# Terminals that no screen can be drawn on.
for term in dumb '' no-such-terminal; do
    start 80 24 "$demo"
    shows 'quantscape: .*(terminal|TERM).*'
    shows 'ended with 1'
    terminal_is_sane "TERM=$term"
done
unset term

start 80 24 "$scratch/none.gguf"
shows 'quantscape: .*none\.gguf'
shows 'ended with 1'
terminal_is_sane 'a file that does not exist'
finish
