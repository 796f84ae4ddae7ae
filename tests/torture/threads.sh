#!/usr/bin/env bash
# Every preset on 1, 2, 3, 7 and 16 threads and on every level of this machine: the same file, byte for byte.
. "$QS_SRCDIR/tests/cli/lib.sh"
cp "$demo" model.gguf || exit 99
levels=ref
if quantscape types --level avx2 > /dev/null 2>&1; then levels='ref avx2'; fi
for preset in $(sed -n "s/^    local presets='\(.*\)'$/\1/p" "$QS_SRCDIR/completions/bash/quantscape"); do
    case $preset in Q3_K | Q4_K | Q5_K) continue ;; esac # aliases
    for with in '' "--imatrix $QS_SRCDIR/tests/format/data/demo-imatrix.gguf"; do
        rm -f ./*.out
        run quantscape quantize model.gguf -t "$preset" $with -o want.out -q
        if [ "$rc" -ne 0 ] && [ -z "$with" ] && grep -q -e '--imatrix' "$err"; then continue; fi
        expect_rc 0
        for how in '--threads 1' '--threads 2' '--threads 3' '--threads 7' '--threads 16' $(printf -- '--level=%s ' $levels); do
            run quantscape quantize model.gguf -t "$preset" $with $how -o other.out --force -q
            expect_rc 0
            if cmp -s want.out other.out; then ok "$preset ${with:+with imatrix }$how"
            else fail "$preset ${with:+with imatrix }$how: other bytes"; fi
        done
    done
done
finish
