#!/usr/bin/env bash
# screen.sh [FILE [KEYS]] - times the screen at work: while a model (the demo) is measured and written, keys are pressed
# one after the other, each when the one before has been answered. Prints the longest time that the screen did not
# listen, frames, bytes sent to the terminal, and the mean time from a key to its answer (which waits for the next
# frame). COLS and ROWS: 200 and 50.
#
# Run from the build folder, or with QS_BUILDDIR. Needs script(1). The program tells when it has answered
# (QS_IDLE_FD) and its longest gap (QUANTSCAPE_GAP_FILE).
set -u
src=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${QS_BUILDDIR:-$PWD}/src/quantscape
model=${1:-$src/demo/storyteller-9m-f16.gguf} count=${2:-300}
[ -x "$program" ] || { echo "screen.sh: no program $program" >&2; exit 2; }
[ -e "$model" ] || { echo "screen.sh: no model $model" >&2; exit 2; }
model=$(realpath "$model")
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
mkfifo keys idle
exec 3<> keys 4<> idle
words=$(printf '%q ' "$program" screen "$model" --theme dark)
env -u NO_COLOR HOME="$tmp" XDG_CACHE_HOME="$tmp" XDG_CONFIG_HOME="$tmp" XDG_STATE_HOME="$tmp" LC_ALL=C.UTF-8 \
    TERM=xterm-256color COLORTERM=truecolor QS_IDLE_FD=4 QUANTSCAPE_GAP_FILE="$tmp/gap" \
    script -qefc "stty rows ${ROWS:-50} cols ${COLS:-200}; exec $words" /dev/null < keys > out 2> err &
sent=0 told=-1
answered() {
    while [ "$told" -lt "$sent" ]; do
        read -r -t 60 -u 4 told || { echo 'screen.sh: no answer within 60 s' >&2; kill %1; exit 1; }
    done
}
press() {
    printf '%s' "$1" >&3
    sent=$((sent + ${#1}))
    answered
}
answered
press 2
press $':write out.gguf\r'
keys=(l j + 3 j j 5 2 h u ']' 4 j w 1 2) start=$EPOCHREALTIME
for ((i = 0; i < count; i++)); do press "${keys[i % ${#keys[@]}]}"; done
end=$EPOCHREALTIME
for ((i = 0; i < 6000; i++)); do
    if [ -e out.gguf ]; then break; fi
    press j
done
printf ':quit!\r' >&3
wait %1 || { echo "screen.sh: it ended with $?" >&2; cat err >&2; exit 1; }
[ -e out.gguf ] || { echo 'screen.sh: nothing was written' >&2; exit 1; }
frames=$(grep -ao $'\033\[?2026h' out | wc -l) bytes=$(stat -c %s out)
awk -v gap="$(< gap)" -v frames="$frames" -v bytes="$bytes" -v n="$count" -v t0="$start" -v t1="$end" 'BEGIN {
    printf "largest gap   %8.1f ms\nkey to answer %8.1f ms, mean of %d\n", 1000 * gap, 1000 * (t1 - t0) / n, n
    printf "frames        %8d\n", frames
    printf "bytes         %8d, %.0f a frame\n", bytes, frames ? bytes / frames : 0 }'
