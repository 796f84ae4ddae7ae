#!/bin/bash
# screen.sh - the screen in a real terminal (tmux): pages, keys, sizes, and the terminal left as it was found.
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
start() { # COLUMNS ROWS FILE
    t kill-server 2>/dev/null
    starts=$((starts + 1))
    socket=qs-test-$$-$starts
    t new-session -d -x "$1" -y "$2" "TERM=tmux-256color '$QS_BUILDDIR/src/quantscape' '$3'; echo \"ended with \$?\"; sleep 1000"
}
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
press /
press -l 'blk\.7\.ffn_up'
press Enter
shows 'blk\.7\.ffn_up\.weight'
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
for size in '40 10' '20 5' '200 50' '80 24'; do
    t resize-window -x "${size% *}" -y "${size#* }"
    sleep 0.2
done
shows 'Shift-Tab'
press q
shows 'ended with 0'
terminal_is_sane 'quitting'

for signal in TERM HUP SEGV ABRT; do
    start 80 24 "$demo"
    shows 'q quit' || continue
    pid=$(t list-panes -F '#{pane_pid}')
    pkill "-$signal" -P "$pid" quantscape
    shows 'ended with [1-9]'
    terminal_is_sane "SIG$signal"
done

start 80 24 "$scratch/none.gguf"
shows 'quantscape: .*none\.gguf'
shows 'ended with 1'
terminal_is_sane 'a file that does not exist'
finish
