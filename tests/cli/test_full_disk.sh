#!/usr/bin/env bash
# A disk without room: foretold before anything is written; met in the middle it loses nothing. Root only, because it
# mounts small disks, in a mount namespace of its own.
. "$QS_SRCDIR/tests/cli/lib.sh"
if [ -z "${QS_IN_NAMESPACE:-}" ]; then
    if [ "$(id -u)" -ne 0 ]; then skip "mounting a small disk takes root"; fi
    for tool in unshare mount; do command -v $tool > /dev/null || skip "no $tool here"; done
    unshare -m sh -c "mount --make-rprivate / 2>/dev/null; mount -t tmpfs -o size=64k tmpfs '$scratch'" 2>/dev/null ||
        skip "no mount namespace may be made here"
    cd / && rm -rf "$scratch"
    QS_IN_NAMESPACE=1 exec unshare -m bash "$0"
fi
mount --make-rprivate / 2>/dev/null
set -m
cp "$demo" model.gguf && chmod u+w model.gguf && mkdir disk || exit 99
program=$QS_BUILDDIR/src/quantscape
imatrix=$QS_SRCDIR/tests/format/data/demo-imatrix.gguf
mount -t tmpfs -o size=4m tmpfs disk || skip "no tmpfs here"
trap 'cd /; umount "$scratch/disk" 2>/dev/null; rm -rf "$scratch"' EXIT
# One error beside the plan's warnings.
told() {
    if [ "$(grep -vc '^quantscape: warning: ' "$err")" = 1 ]; then ok "$what: one error"; else fail "$what: not one error"; fi
    expect_err "^quantscape: $1"
}
left() { ls disk | tr '\n' ' '; }
used() { df --output=used disk | tail -n 1; }

run "$program" quantize model.gguf -t Q8_0 -o want.gguf
expect_rc 0
run "$program" quantize model.gguf -t IQ2_XS --imatrix "$imatrix" --threads 1 -o slow.gguf
expect_rc 0

# ---- foretold ----
command=(quantize model.gguf -t Q8_0 -o disk/out.gguf)
run "$program" "${command[@]}"
expect_rc 1
told 'disk/out.gguf.part needs 9\.14 MiB more .*4\.00 MiB are free.*same command'
if [ -z "$(left)" ]; then ok "nothing is left on the small disk"; else fail "left on the small disk: $(left)"; fi
run "$program" "${command[@]}" --json
expect_rc 1
expect_json error.code no-space
cp model.gguf disk/model.gguf 2>/dev/null # fails half-way: the disk is full
rm -f disk/model.gguf
run "$program" plan model.gguf -t Q8_0 --json
expect_json plan.fits_disk true # of the folder that the model is in
mount -o remount,size=12m disk
run "$program" "${command[@]}"
expect_rc 0
if cmp -s disk/out.gguf want.gguf; then ok "with more room the same command completes"; else fail "with more room: other bytes"; fi
if [ "$(left)" = 'out.gguf ' ]; then ok "nothing else is left"; else fail "left: $(left)"; fi
# A folder that cannot be written is told, and nothing goes elsewhere.
mkdir ro && cp model.gguf ro/model.gguf && mount --bind ro ro && mount -o remount,ro,bind ro && {
    run "$program" quantize ro/model.gguf
    expect_rc 1
    told ".*no file can be made in the folder 'ro': .+; name another output with -o$"
    run "$program" plan ro/model.gguf
    expect_rc 0
    expect_out 'quantize without -o would stop'
    if ls model.Q4* > /dev/null 2>&1; then fail "something was written here instead"; else ok "nothing is written elsewhere"; fi
    umount ro
}
# Overwriting needs room for both at a time, and says so without touching the old file.
run "$program" "${command[@]}" --force
expect_rc 1
told 'disk/out.* needs .* more'
if cmp -s disk/out.gguf want.gguf && [ "$(left)" = 'out.gguf ' ]; then ok "the old file is kept"; else fail "the old file is lost: $(left)"; fi
rm disk/out.gguf
# Split: the parts together must fit.
mount -o remount,size=6m disk
run "$program" "${command[@]}" --split-max-size 3MiB
expect_rc 1
told 'disk/out.* needs .* more'
if [ -z "$(left)" ]; then ok "split: nothing is left on the small disk"; else fail "split: left on the small disk: $(left)"; fi
rm -f disk/*

# An unfinished part holds its room already: going on asks for no more, and warns of nothing.
"$program" quantize model.gguf -t IQ2_XS --imatrix "$imatrix" --threads 1 -o disk/half.gguf > "$out" 2> "$err" < /dev/null &
pid=$!
for ((i = 0; i < 1000; i++)); do
    # All of its room is claimed: the size is set when the last block is.
    if read -r blocks size < <(stat -c '%b %s' disk/half.gguf.part 2> /dev/null) && [ "$size" -gt 0 ] &&
        [ $((blocks * 512)) -ge "$size" ]; then break; fi
    sleep 0.002
done
kill -KILL "$pid"
wait "$pid" 2> /dev/null
what='a run that goes on'
if [ -e disk/half.gguf.part ]; then
    dd if=/dev/zero of=disk/other bs=4k status=none 2> /dev/null # some of what is left; the journal keeps its page
    truncate -s -16k disk/other
    run "$program" quantize model.gguf -t IQ2_XS --imatrix "$imatrix" -o disk/half.gguf
    expect_rc 0
    expect_no_err
else
    fail "the run could not be stopped in the middle"
fi
rm -f disk/other disk/half*

# ---- filled by others in the middle ----
# start_and_fill DISK: a slow run is stopped as soon as its part is there, then something else takes all that is free.
start_and_fill() {
    "$program" quantize model.gguf -t IQ2_XS --imatrix "$imatrix" --threads 1 -o disk/out.gguf > "$out" 2> "$err" < /dev/null &
    pid=$!
    local i
    for ((i = 0; i < 1000; i++)); do
        if [ -e disk/out.gguf.part ] && [ "$(stat -c %s disk/out.gguf.part)" -gt 0 ]; then break; fi
        sleep 0.002
    done
    kill -STOP "$pid"
    dd if=/dev/zero of=disk/other bs=4k status=none 2> /dev/null
    dd if=/dev/zero of=disk/other2 bs=512 status=none 2> /dev/null
    kill -CONT "$pid"
    while wait "$pid" 2>/dev/null; rc=$?; [ "$rc" -gt 128 ] && kill -0 "$pid" 2>/dev/null; do :; done
    what="a disk filled in the middle ($1)"
}
goes_on() { # after start_and_fill: done, or a message and the same command goes on when there is room
    if [ "$rc" = 0 ]; then
        ok "$what: completes, its room was claimed before"
    else
        expect_rc 1
        told 'no room left.*kept.*same command'
        sed 's/^/  /' "$err"
        expect_no_out
        if [ -e disk/out.gguf ]; then fail "$what: the final name is there"; else ok "$what: no final name"; fi
        run "$program" quantize model.gguf -t IQ2_XS --imatrix "$imatrix" -o disk/out.gguf
        expect_rc 1 # still no room
        told '(disk/out|no room left).*'
        rm -f disk/other disk/other2
        run "$program" quantize model.gguf -t IQ2_XS --imatrix "$imatrix" -o disk/out.gguf
        expect_rc 0
    fi
    if cmp -s disk/out.gguf slow.gguf; then ok "$what: the right bytes"; else fail "$what: other bytes"; fi
    rm -f disk/other disk/other2
    if [ "$(left)" = 'out.gguf ' ]; then ok "$what: nothing else is left"; else fail "$what: left $(left)"; fi
    rm -f disk/*
}
mount -o remount,size=6m disk
start_and_fill 'tmpfs'
goes_on

# A file system that cannot claim room beforehand (ext2), where this machine can mount one.
umount disk
if command -v mke2fs > /dev/null && truncate -s 6M image && mke2fs -q -F -t ext2 image > /dev/null 2>&1 &&
   mount -o loop image disk 2> /dev/null; then
    rm -rf disk/lost+found
    start_and_fill 'ext2'
    goes_on
    umount disk
fi
finish
