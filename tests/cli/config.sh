#!/usr/bin/env bash
# `config`: the settings in force and where they come from; one is changed and nothing else; what is wrong is a warning.
. "$QS_SRCDIR/tests/cli/lib.sh"
file=$XDG_CONFIG_HOME/quantscape/config
run quantscape config
expect_rc 0
expect_out '^ *preset +Q4_K_M +default'
expect_no_err
run quantscape config mouse off
expect_rc 0
expect_err 'mouse is off now'
run cat "$file"
expect_out '^mouse = off$'
run quantscape config mouse
expect_out '^off$'
run quantscape config --json
expect_json 'settings[3].key' mouse
expect_json 'settings[3].value' off
expect_json 'settings[3].from' file
expect_json 'settings[0].from' default
run quantscape config --default
expect_rc 0
expect_out '^frame-rate = 30$'
cp "$out" "$file"
run quantscape config
expect_no_err
expect_out '^ *frame-rate +30 +file'
printf 'theme = a\nwrong = 1\n# kept\n' > "$file"
run quantscape config theme b
expect_rc 0
expect_err "warning: .*config:2: there is no setting 'wrong'"
run cat "$file"
expect_out '^theme = b$'
expect_out '^wrong = 1$'
expect_out '^# kept$'
for wrong in 'theem x' 'frame-rate 99' 'color pink' 'theem'; do
    read -ra words <<< "$wrong"
    run quantscape config "${words[@]}" -q
    expect_rc 2
    expect_one_error "${words[0]}"
done
# A file that cannot be written: said, and as it was.
cp "$file" before
said=$( (ulimit -f 0; quantscape config theme dark -q 2>&1 > /dev/null) )
rc=$? what='config on a full disk'
expect_rc 1
[[ $said == quantscape:*config* ]] || fail "a full disk is told so: $said"
cmp -s before "$file" || fail 'a full disk changes the file'
[ "$(ls -A "$XDG_CONFIG_HOME/quantscape")" = config ] || fail 'a full disk leaves something behind'
finish
