#!/usr/bin/env bash
# What holds for all verbs: help, exit codes, JSON and CSV, a full disk behind standard output, files that are not
# there, not readable, or no models. A verb that is missing here is found by the list that --help prints.
. "$QS_SRCDIR/tests/cli/lib.sh"
make_model() { "$QS_BUILDDIR/tests/model/make_model" "$@"; }
chmod 755 "$scratch"
mkdir in && make_model in/m.gguf layers=2 embd=256 ff=256 vocab=128 &&
    make_model in/n.gguf layers=2 embd=256 ff=256 vocab=128 seed=1 ||
    exit 99
printf 'preset = Q4_K_M\npin blk.0.attn_q.weight = Q8_0\nrule ffn_down = Q6_K\n' > in/r.recipe
printf 'preset = Q5_K_M\n' > in/s.recipe
printf 'The quick brown fox jumps over the lazy dog.\n%.0s' 1 2 3 4 5 6 > in/text.gguf
: > in/empty.gguf
cp in/text.gguf words.txt

printf 'wait\nprint\n' > in/script.txt
cp "$QS_SRCDIR/tests/format/data/demo-imatrix.dat" i.dat

# VERB | ARGUMENTS (M, N: models; R, S: recipes; I: importance matrix) | name of the report | CSV: yes, no
verbs='info|M|info|yes
check|M|check|yes
tensors|M|tensors|yes
types||types|yes
tokenize|M Hello --no-bos|tokenize|yes
calibrate|M --text words.txt --windows 2 --ctx 16 --dry-run|calibrate|yes
eval|M --text words.txt --ctx 16 --chunks 2 --no-history|eval|yes
bench|--shape llama-tiny --only startup|bench|yes
chat|M -p Hello -n 2 --no-template|chat|yes
screen|M --play in/script.txt||no
models||models|yes
config||config|yes
survey|M --no-cache|survey|yes
map|M --no-cache|map|yes
inspect|M blk.0.attn_q.weight|inspect|yes
imatrix|I|imatrix|yes
recipe new|||no
recipe check|R||no
recipe show|R|recipe|yes
recipe resolve|R M|recipe_resolve|yes
recipe export|--llama R M||no
recipe diff|R S M||yes
fit|M 6bpw --no-cache -q|fit|yes
plan|M|plan|yes
quantize|M -o result.gguf --force|quantize|yes
diff|M N|diff|yes'

arguments() { # the words of the third column, with real names
    local word
    for word in $1; do
        case $word in
        M) printf '%s\n' in/m.gguf ;; N) printf '%s\n' in/n.gguf ;;
        R) printf '%s\n' in/r.recipe ;; S) printf '%s\n' in/s.recipe ;; I) echo i.dat ;;
        *) printf '%s\n' "$word" ;;
        esac
    done
}
expect_full() { # COMMAND...: its output goes to a disk that is full
    "$@" > /dev/full 2> "$err" < /dev/null
    rc=$? what="$* > /dev/full"
    : > "$out"
    expect_rc 1
    if [ "$(grep -vc -e ': warning: ' -e ': use it with: ' "$err")" = 1 ]; then
        ok "$what: one error"
    else
        fail "$what: not one error"
    fi
    expect_err 'standard output'
}

# Every verb that help names is tested here.
run quantscape --help
for verb in $(sed -n '/^Verbs:/,/^$/s/^  \([a-z]\{1,\}\) .*/\1/p' "$out"); do
    if [ "$verb" = recipe ]; then
        run quantscape recipe --help
        for sub in $(sed -n '/^Verbs:/,/^$/s/^  \([a-z]\{1,\}\) .*/\1/p' "$out"); do
            if grep -q "^recipe $sub|" <<< "$verbs"; then
                ok "recipe $sub is tested"
            else
                fail "recipe $sub is not tested here"
            fi
        done
    elif grep -q "^$verb|" <<< "$verbs"; then ok "$verb is tested"
    else fail "$verb is not tested here"
    fi
done

# Words of the manual's section on JSON.
sed -n '/^\.SH JSON/,/^\.SH [^J]/p' "$QS_SRCDIR/man/quantscape.1" | sed 's/\\f[BR]/ /g; s/\\//g' |
    tr -cs 'A-Za-z0-9_' '\n' |
    sort -u > manual_keys
if [ "$(wc -l < manual_keys)" -gt 50 ]; then
    ok "the manual has $(wc -l < manual_keys) keys"
else
    fail "keys of the manual"
fi

while IFS='|' read -r verb args report csv; do
    mapfile -t words < <(arguments "$args")
    read -ra verb_words <<< "$verb"
    this=(quantscape "${verb_words[@]}" "${words[@]}")

    run quantscape "${verb_words[@]}" --help
    expect_rc 0
    expect_no_err
    expect_out "^Usage: quantscape $verb "
    expect_out '^  -h, --help'
    cp "$out" help
    run quantscape help "${verb_words[@]}"
    expect_rc 0
    if cmp -s "$out" help; then ok "help $verb is $verb --help"; else fail "help $verb is not $verb --help"; fi

    run "${this[@]}"
    expect_rc 0
    if [ "$verb" = 'recipe export' ]; then expect_err 'llama-quantize|--'; else expect_no_err; fi
    if [ -s "$out" ]; then ok "$what: prints something"; else fail "$what: prints nothing"; fi
    sed 's/ memory, .* free\./ memory/' "$out" > plain # other programs take and give it
    run "${this[@]}" -q --threads 1
    expect_rc 0
    expect_no_err
    # The memory that plan foretells and the time that others take depend on the threads; nothing else does.
    sed -i 's/ memory, .* free\./ memory/' "$out"
    case $verb in
    plan | quantize | eval | chat | calibrate | bench) ;;
    *) if ! cmp -s "$out" plain; then fail "$what: prints something else than without"; fi ;;
    esac

    # JSON: one value, its report named; or a clear refusal.
    run "${this[@]}" --json
    if grep -q -e '--json form' "$err"; then
        expect_rc 2
        expect_json error.code usage
    else
        expect_rc 0
        expect_json version 1
        expect_json report '*'
        if [ -n "$report" ]; then expect_json report "$report"; fi
        grep -oE '"[A-Za-z0-9_]+":' "$out" | sort -u | tr -d '":' > keys
        # Every key stands in the manual; NAME_how says how the number NAME was obtained, NAME_se its standard error.
        while read -r key; do
            case $key in report | version) continue ;; esac
            plain=${key%_how}
            if grep -qxF -e "$plain" -e "${plain%_se}" manual_keys; then continue; fi
            fail "$what: key $key is not in the manual"
        done < keys
        ok "$what: $(wc -l < keys) keys looked for in the manual"
    fi
    # CSV: a header and rows of as many fields; or a clear refusal.
    run "${this[@]}" --csv
    if [ "$csv" = yes ]; then
        expect_rc 0
        expect_no_err
        tr -d '\r' < "$out" > rows # lines end in CR LF, as RFC 4180 wants
        sed 's/"\([^"]\|""\)*"/x/g' rows | awk -F, '{ print NF }' | sort -u > widths
        if [ "$(wc -l < widths)" = 1 ] && [ "$(cat widths)" -gt 1 ]; then ok "$what: every row has $(cat widths) fields"
        else fail "$what: rows have $(tr '\n' ' ' < widths)fields"; fi
        if head -n 1 rows | grep -qE '^[a-z0-9_]+(,[a-z0-9_]+)*$'; then
            ok "$what: a header of keys"
        else
            fail "$what: header"
        fi
    else
        expect_rc 2
        expect_one_error '--csv form'
    fi

    # Output that cannot be written.
    if [ -w /dev/full ]; then
        expect_full "${this[@]}"
        expect_full quantscape "${verb_words[@]}" --help
        if [ "$csv" = yes ]; then expect_full "${this[@]}" --csv; fi
    fi

    # Wrong usage.
    run "${this[@]}" --no-such-option
    expect_rc 2
    expect_one_error
    expect_no_out
    run "${this[@]}" one two three four
    if [ "$verb" = fit ]; then expect_rc 1; else expect_rc 2; fi # a budget has several words; these are none
    expect_one_error
    if [ -n "$args" ] && [ "$verb" != bench ]; then # which takes a model of its own
        run quantscape "${verb_words[@]}"
        expect_rc 2
        expect_one_error 'usage: quantscape'
    fi
    rm -f result.gguf

    # Each file of the command line in turn: missing, a folder, empty, no model.
    for ((i = 0; i < ${#words[@]}; i++)); do
        case ${words[i]} in in/*) ;; *) continue ;; esac
        for bad in nowhere.gguf in in/empty.gguf in/text.gguf; do
            case $verb-${words[i]}-$bad in recipe*recipe-in/empty.gguf) continue ;; esac # an empty recipe is one
            broken=("${words[@]}")
            broken[i]=$bad
            run quantscape "${verb_words[@]}" "${broken[@]}"
            expect_rc 1
            case $verb-$bad in
            check-in/*) expect_no_err; expect_out 'error' ;;
            *) expect_one_error "${bad##*/}"; expect_no_out ;;
            esac
            run quantscape "${verb_words[@]}" "${broken[@]}" --json
            if grep -q -e '--json form' "$err"; then continue; fi
            expect_rc 1
            case $verb-$bad in
            check-in/*) expect_json summary.sound false ;;
            *) expect_json error.code '*'; expect_json error.message '*' ;;
            esac
        done
    done
    if [ -e result.gguf ] || ls result* > /dev/null 2>&1; then fail "$verb: a failed run leaves $(ls -d result*)"; fi
done <<< "$verbs"

# Nothing is written beside the models.
if [ "$(ls in | tr '\n' ' ')" = 'empty.gguf m.gguf n.gguf r.recipe s.recipe script.txt text.gguf ' ]; then
    ok "nothing is written beside the models"
else fail "beside the models: $(ls in)"; fi

# Files that may not be read: as another person where the tests run as root.
chmod 000 in/n.gguf in/s.recipe
as=()
if [ "$(id -u)" -eq 0 ]; then as=(setpriv --reuid=65534 --regid=65534 --clear-groups); fi
chmod -R a+rX home 2>/dev/null
if "${as[@]}" "$QS_BUILDDIR/src/quantscape" --version > /dev/null 2>&1; then
    for words in 'info in/n.gguf' 'check in/n.gguf' 'tensors in/n.gguf' 'survey in/n.gguf --no-cache' \
        'map in/n.gguf --no-cache' \
                 'plan in/n.gguf' 'quantize in/n.gguf' 'diff in/m.gguf in/n.gguf' 'recipe check in/s.recipe' \
                     'in/n.gguf' \
                 'plan in/m.gguf --recipe in/s.recipe' 'plan in/m.gguf --imatrix in/n.gguf'; do
        run "${as[@]}" "$QS_BUILDDIR/src/quantscape" $words
        expect_rc 1
        expect_one_error 'in/[ns]\.(gguf|recipe).*[Pp]ermission denied'
        expect_no_out
    done
    # A folder that may not be written: told, and nothing goes anywhere else.
    chmod 555 in
    mkdir mine && chmod 777 mine
    cd mine
    run "${as[@]}" "$QS_BUILDDIR/src/quantscape" quantize ../in/m.gguf -t Q8_0
    expect_rc 1
    expect_one_error "in/m.Q8_0.gguf.*[Pp]ermission denied; .* -o$"
    if [ -z "$(ls)" ]; then ok "nothing is written elsewhere"; else fail "written elsewhere: $(ls)"; fi
    run "${as[@]}" "$QS_BUILDDIR/src/quantscape" quantize ../in/m.gguf -t Q8_0 -o ../in/out.gguf
    expect_rc 1
    expect_one_error 'in/out.gguf.*[Pp]ermission denied'
    cd ..
    chmod 755 in
else
    echo 'not checked here: files without permission (the program cannot be run as another person)'
fi
chmod 644 in/n.gguf in/s.recipe

# Strange file names: nothing of them reaches a terminal as an escape sequence, and words after -- are no options.
odd=$(printf 'in/bad\033[31m\tname .gguf')
cp in/m.gguf "$odd"
cp in/m.gguf ./-j.gguf
for verb in info check tensors plan; do
    run quantscape $verb "$odd"
    expect_rc 0
    if grep -q "$(printf '\033')" "$out" "$err"; then
        fail "$verb: an escape sequence reaches the terminal"
    else
        ok "$verb: no escape sequences"
    fi
    run quantscape $verb -- -j.gguf
    expect_rc 0
    run quantscape $verb --json "$odd"
    expect_rc 0
    expect_json version 1
done
run quantscape info "$(printf 'bad\033[31m.gguf')"
expect_rc 1
expect_one_error
if grep -q "$(printf '\033')" "$err"; then
    fail "an escape sequence in a message"
else
    ok "no escape sequence in a message"
fi

# No standard output at all.
"$QS_BUILDDIR/src/quantscape" types >&- 2> "$err"
rc=$? what='types with standard output closed'
: > "$out"
expect_rc 1
expect_err 'standard output'
finish
