#!/usr/bin/env bash
# The frame of the command line: help, version, wrong usage, exit codes, JSON errors, output that cannot be written.
. "$QS_SRCDIR/tests/cli/lib.sh"

run quantscape --version
expect_rc 0
expect_out '^quantscape [0-9]+\.[0-9]+\.[0-9]+$'
expect_no_err
for words in --help -h help; do
    run quantscape $words
    expect_rc 0
    expect_out '^Usage: quantscape'
    expect_out '^  types '
    expect_no_err
done
run quantscape help types
expect_rc 0
expect_out '^Usage: quantscape types'
run quantscape --quiet types --help
expect_rc 0
expect_out '^Usage: quantscape types'

# Wrong usage: exit code 2, one line, and a guess where there is one.
run quantscape
expect_rc 2
expect_one_error 'no file and no verb'
run quantscape typs
expect_rc 2
expect_one_error 'did you mean "types"'
run quantscape types --josn
expect_rc 2
expect_one_error 'did you mean --json'
run quantscape types one
expect_rc 2
expect_one_error '"one" is one argument too many'
run quantscape types -Z
expect_rc 2
expect_one_error 'unknown option -Z'
for words in '--threads 0' '--threads many' '--threads' '--threads=2000' '--level sse9' '--json=1' '--json --csv'; do
    run quantscape types $words
    expect_rc 2
    expect_one_error
done
run quantscape types --level sse9
expect_one_error '--level .*ref.*avx2.*avx512bf16 neon'
run quantscape types --help
expect_out '\(ref avx2 .*avx512bf16 neon\)'
run quantscape nosuchverb --json
expect_rc 2
expect_json error.code usage
expect_json error.message '*'
expect_one_error
run quantscape "$(printf 'bad\033[31mname\n')"
expect_rc 2
expect_one_error
grep -q "$(printf '\033')" "$err" && fail "an escape sequence reaches the terminal"
run quantscape ./nosuchfile.gguf
[ "$rc" -ne 0 ] && ok "a missing file is an error" || fail "a missing file is no error"
expect_one_error 'nosuchfile'
run quantscape ./nosuchfile.gguf --json
expect_json error.message '*'

# The same facts in three forms.
run quantscape types
expect_rc 0
expect_no_err
expect_out 'Q4_K .*4\.5'
run quantscape types --json
expect_rc 0
expect_json report types
expect_json version '*'
expect_json 'types[0].type' '*'
rows=$(json 'types.#')
run quantscape --csv types
expect_rc 0
expect_out '^type,id,bpw'
if [ "$(wc -l < "$out")" = $((rows + 1)) ]; then ok "CSV has as many rows as JSON"; else fail "CSV and JSON differ in rows"; fi
run quantscape types --level ref --threads 1 -q
expect_rc 0

# Output that cannot be written, and a reader that goes away.
if [ -w /dev/full ]; then
    for form in '' --json --help; do
        quantscape types $form > /dev/full 2> "$err"
        rc=$? what="types $form to a full disk"
        : > "$out"
        expect_rc 1
        expect_one_error 'standard output'
    done
fi
: > "$out"
(quantscape types --json; echo $? > code) 2> "$err" | true
rc=$(cat code) what='types | true'
expect_rc 0
expect_no_err

# bash completes verbs, options and values.
complete_line() { # WORD...: what bash would offer for the last one
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _quantscape
    printf '%s\n' "${COMPREPLY[@]}" > "$out"
    what="completion of '$*'"
}
. "$QS_SRCDIR/completions/bash/quantscape"
complete_line quantscape ty
expect_out '^types$'
complete_line quantscape types --th
expect_out '^--threads$'
complete_line quantscape types --level r
expect_out '^ref$'
complete_line quantscape --threads 2 ty
expect_out '^types$'

# A size below what makes sense.
for verb in plan quantize; do
    run quantscape $verb "$demo" --split-max-size 0
    expect_rc 2
    expect_one_error '--split-max-size takes a size of at least 1 B, not "0"'
done

# Names are ASCII: a Turkish locale, where "i" is not the small "I", changes nothing. (Made here; where it cannot be
# made, tests/base/test_str is the check.)
if localedef -i tr_TR -f UTF-8 "$scratch/tr_TR.UTF-8" 2> /dev/null; then
    export LOCPATH=$scratch LC_ALL=tr_TR.UTF-8
    run quantscape plan "$demo" -t iq4_xs --split-max-size 800mib --json
    expect_rc 0
    expect_json plan.preset IQ4_XS
    run quantscape plan "$demo" --pin output_norm.weight=iq4_nl --json
    expect_rc 0
    expect_out 'quantize would stop: pin output_norm.weight: this tensor always stays'
    unset LOCPATH
    export LC_ALL=C.UTF-8
fi
finish
