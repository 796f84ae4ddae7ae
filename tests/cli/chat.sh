#!/usr/bin/env bash
# `chat`: one message from an option or a pipe, two models side by side, lines on a terminal, replays, and every
# refusal.
. "$QS_SRCDIR/tests/cli/lib.sh"
prompt='Tell me a story about a king.'
greedy=(--temp 0 -n 40)

# ---- one model ----
run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" -q
expect_rc 0
expect_no_err
cp "$out" answer
if [ "$(wc -l < answer)" -ge 1 ] && [ "$(wc -c < answer)" -gt 20 ]; then
    ok 'an answer and the end of a line'
else
    fail 'no answer'
fi
for threads in 1 3; do
    run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" -q --threads $threads
    if cmp -s "$out" answer; then ok "the same with $threads threads"; else fail "other words with $threads threads"; fi
done
run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" -q --level ref --cache-type-k F16 --ctx 100
if cmp -s "$out" answer; then
    ok 'the same on the level ref, with less context'
else
    fail 'other words on the level ref'
fi
printf '%s\n' "$prompt" > message
what='chat from a pipe'
"$QS_BUILDDIR/src/quantscape" chat "$demo" "${greedy[@]}" -q < message > "$out" 2> "$err"; rc=$?
expect_rc 0
if cmp -s "$out" answer; then ok 'a pipe gives the same'; else fail 'a pipe gives other words'; fi
run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" --json
expect_rc 0
expect_json chat.mode single
expect_json 'sides[0].text' "$(cat answer)"
expect_json 'sides[0].stop' limit
expect_json 'sides[0].tokens' 40
expect_json 'tokens[39].kld' null
expect_json 'best[199].rank' 5
run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" --csv
expect_rc 0
expect_out '^side,index,id,piece,text,p,'
run quantscape chat "$demo" -p "$prompt" --seed 5 --temp 1 -n 30 -q
cp "$out" warm
run quantscape chat "$demo" -p "$prompt" --seed 5 --temp 1 -n 30 -q
if cmp -s "$out" warm; then ok 'the same seed, the same answer'; else fail 'the same seed gives another answer'; fi
run quantscape chat "$demo" -p "$prompt" --seed 6 --temp 1 -n 30 -q
if cmp -s "$out" warm; then fail 'another seed gives the same answer'; else ok 'another seed, another answer'; fi
run quantscape chat "$demo" -p 'Once upon a time' --no-template --ctx 20 -n 0 --temp 0
expect_rc 0
expect_err 'warning: the context of 20 tokens is full: nothing was dropped'
# The end of a chat's turn, as the model writes it after one.
ending='Once upon a time there was a boy. They lived happily ever after. The end.'
run quantscape chat "$demo" --no-template --temp 0 -p "<s><|user|>x<|end|><|assistant|>$ending"
expect_rc 0
expect_no_out
expect_err 'warning: the model ended its answer at once'
run quantscape chat "$demo" -p 'Once upon a time' "${greedy[@]}" --precision exact --cache-type-v Q8_0 --rotate-cache \
    --json
expect_rc 0
expect_json 'sides[0].precision' exact

# What the tokenizer lacks is said once, and what two models take before they are loaded.
sed 's/tokenizer\.ggml\.scores/tokenizer.ggml.scorex/' "$demo" > scoreless.gguf
run quantscape chat scoreless.gguf -p x -n 2
expect_err 'warning: scoreless.gguf: .*no scores'
run quantscape chat scoreless.gguf -c scoreless.gguf -p x -n 2
if [ "$(grep -c 'no scores' "$err")" = 1 ]; then ok 'one warning'; else fail 'not one warning of one file'; fi
if head -n 1 "$err" | grep -q 'both together take'; then ok 'what they take first'; else fail 'what they take comes late'; fi

# An id of the end that no token has.
cp "$demo" endless.gguf
at=$(grep -abo -m 1 'tokenizer\.ggml\.eos_token_id' endless.gguf | head -n 1 | cut -d : -f 1)
printf '\237\206\001\000' | dd of=endless.gguf bs=1 seek=$((at + 31)) conv=notrunc status=none
run quantscape chat endless.gguf -p x -n 2
expect_rc 0
expect_err 'warning: endless.gguf: .*eos_token_id is no id of the vocabulary'

run quantscape chat "$demo" -p x -n 2 --ctx 600
expect_rc 0
expect_err 'trained with a context of 512'
run quantscape chat "$demo" -p x -n 2 --ctx 1000000000
expect_rc 1
expect_err 'memory'

# ---- two models ----
quantscape quantize "$demo" -t Q2_K -o small.gguf -q > /dev/null || fail quantize
run quantscape chat "$demo" --compare "$demo" --follow -p "$prompt" "${greedy[@]}" --json
expect_rc 0
expect_json divergence.max_kld 0.0
expect_json divergence.same_top 1.0
expect_json divergence.tokens 40
run quantscape chat "$demo" -c small.gguf -p "$prompt" --temp 1 --seed 2 -n 40 --save free.json --json
expect_rc 0
expect_json chat.mode free
parted=$(json chat.parted)
if [ "$parted" -ge 0 ] 2>/dev/null && [ "$parted" -lt 40 ]; then
    ok "they part at $parted"
else
    fail "parted is $parted"
fi
expect_json divergence.tokens $((parted + 1))
if [ "$(json "tokens[$parted].id")" != "$(json "tokens[$((40 + parted))].id")" ]; then
    ok 'another token there'
else
    fail 'the same token there'
fi
run quantscape chat "$demo" -c small.gguf -p "$prompt" --temp 1 --seed 2 -n 40
expect_rc 0
expect_err 'both together take .*MiB of memory'
expect_out '^--- small.gguf ---$'
expect_out '\^'
expect_out "first token where they part *$((parted + 1))\$" # people count from 1
# The candidate in memory answers like the file written from the same preset.
run quantscape chat "$demo" -c small.gguf --follow -p "$prompt" "${greedy[@]}" --json
want=$(json divergence.mean_kld) text=$(json 'sides[1].text')
run quantscape chat "$demo" -t Q2_K --follow -p "$prompt" "${greedy[@]}" --json
expect_rc 0
expect_json divergence.mean_kld "$want"
expect_json 'sides[1].text' "$text"
expect_json 'sides[1].model' 'candidate Q2_K'
printf 'preset = Q2_K\n' > r.recipe
run quantscape chat "$demo" -r r.recipe --follow -p "$prompt" "${greedy[@]}"
expect_rc 0
expect_out '^[.:*#! ]*[.:*#!][.:*#! ]*$'
expect_out 'mean KL divergence'

# ---- replays ----
run quantscape chat --replay free.json --json
expect_rc 0
expect_json chat.parted "$parted"
run quantscape chat --replay free.json --speed 1000
expect_rc 0
expect_out '^--- small.gguf ---$'
run quantscape chat "$demo" -p "$prompt" --save free.json
expect_rc 1
expect_one_error 'free.json.*--force overwrites it'
run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" --save free.json --force -q
expect_rc 0
run quantscape chat --replay free.json
if cmp -s "$out" answer; then ok 'a replay prints what was printed'; else fail 'a replay prints something else'; fi
head -c 300 free.json > cut.json
run quantscape chat --replay cut.json
expect_rc 1
expect_one_error 'cut.json'
run quantscape chat --replay nowhere.json
expect_one_error 'nowhere.json'

# ---- guesses: the same answer ----
run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" -q --speculate off
if cmp -s "$out" answer; then ok 'the same without guesses'; else fail 'guesses change the answer'; fi
run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" -q --draft small.gguf
expect_rc 0
if cmp -s "$out" answer; then ok 'the same with a model that guesses'; else fail 'a draft changes the answer'; fi
for how in '--speculate off' '--speculate ngram' '--draft small.gguf' "-d $demo --speculate auto"; do
    # shellcheck disable=SC2086 # words
    run quantscape chat "$demo" -p "$prompt" --seed 5 --temp 1 -n 30 -q $how
    if cmp -s "$out" warm; then ok "the same words with $how"; else fail "other words with $how"; fi
done
run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" --json --draft "$demo"
expect_rc 0
expect_json 'sides[0].acceptance' 1.0
expect_err 'the model that guesses takes up to .* of memory and 17.0 MiB of files'
run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" --json --speculate off
expect_json 'sides[0].drafted' 0
expect_json 'sides[0].acceptance' null
run quantscape chat "$demo" -p "$prompt" "${greedy[@]}" --stats --draft "$demo" -q
expect_out 'guesses right'
expect_out ' 100%'

# ---- refusals ----
refused() { # CODE REGEX ARGUMENT...
    local code=$1 words=$2
    shift 2
    run quantscape chat "$@"
    expect_rc "$code"
    expect_no_out
    expect_one_error "$words"
}
sed 's/<|user|>/<|usex|>/' "$demo" > other.gguf
sed 's/tokenizer\.ggml\.model/tokenizer.ggml.modex/' "$demo" > mute.gguf
sed 's/llama/lxama/g' "$demo" > strange.gguf
sed 's/tokenizer\.chat_template/tokenizer.chat_templatx/' "$demo" > plain.gguf
printf '{%% for i in range(99999) %%}{%% for k in range(99999) %%}x{%% endfor %%}{%% endfor %%}' > endless.jinja
printf 'a {{ b' > broken.jinja
refused 1 'empty' "$demo" -p ''
refused 1 'not valid UTF-8 at byte 3' "$demo" -p $'ab\xff'
refused 1 'the prompt has .* tokens, .* more than a context of 8 .* dropped: shorten the message or make the context' \
    "$demo" -p "$prompt" --ctx 8
printf '{"quantscape": "conversation", "version": 1, "messages": [{"role": "user", "content": "A"},
    {"role": "assistant", "content": "B"}]}' > short.json
refused 1 'shorten the message, take earlier ones back, or make the context longer .the model was trained with 512.$' \
    "$demo" --load short.json -p "$prompt" --ctx 8
many=$(printf 'word %.0s' {1..600})
refused 1 'shorten the message .the model was trained with a context of 512.$' "$demo" -p "$many"
refused 1 'shorten the message or take earlier ones back .the model' "$demo" --load short.json -p "$many"
refused 1 'no tokenizer' mute.gguf -p x
refused 1 'lxama' strange.gguf -p x
refused 1 "vocabularies differ .token 3 is '<.user.>' and '<.usex.>'" "$demo" -c other.gguf -p x -q
refused 1 'go on with a built-in form' "$demo" -p x --template ./endless.jinja
refused 1 'line 1' "$demo" -p x --template broken.jinja
refused 1 "cannot guess the tokens of .*vocabularies differ .token 3 is '<.user.>'" "$demo" -d other.gguf -p x -q
refused 1 'nowhere.gguf' "$demo" --draft nowhere.gguf -p x
refused 2 'does not ask it' "$demo" -p x --draft small.gguf --speculate ngram
refused 2 'takes a small model: --draft' "$demo" -p x --speculate draft
refused 2 'data has them in any case' "$demo" -p x --stats --csv
refused 2 'come with them in any case' "$demo" -c small.gguf -p x --stats
refused 2 '--replay and --draft exclude' --replay free.json --draft small.gguf
refused 1 'nowhere.gguf' nowhere.gguf -p x
refused 1 'nowhere.gguf' "$demo" -c nowhere.gguf -p x
refused 1 'nowhere.json' "$demo" --load nowhere.json -p x
refused 2 'no template form .*did you mean chatml.*built-in: harmony, .*, plain' "$demo" -p x --template chatmll
refused 2 '--temp: temperature' "$demo" -p x --temp warm
refused 2 '--cache-type-k' "$demo" -p x --cache-type-k Q4_K
refused 2 '--system: .*UTF-8' "$demo" -p x --system $'\xff'
refused 2 'takes a second model' "$demo" -p x --follow
refused 2 'exclude each other' "$demo" -p x -c small.gguf -t Q2_K
refused 2 'exclude each other' "$demo" -p x --template chatml --no-template
refused 2 'go with --type or --recipe' "$demo" -p x --allow-requantize
refused 2 'takes no model' "$demo" --replay free.json
refused 2 'goes with --replay' "$demo" -p x --speed 2
refused 2 'a number from 0' --replay free.json --speed fast
refused 2 'needs a model'
run quantscape chat plain.gguf -p x
expect_rc 1
expect_err 'has no chat template'
expect_err '--template .* takes the built-in form'
run quantscape chat plain.gguf -p "$prompt" "${greedy[@]}" --template chatml -q
expect_rc 0
run quantscape chat other.gguf -p "$prompt" -n 3 -q # alone it can be spoken to
expect_rc 0

# ---- an answer that a script keeps from Ctrl-C ----
for more in '' '-c small.gguf'; do
    what="chat with SIGINT ignored $more"
    trap '' INT
    "$QS_BUILDDIR/src/quantscape" chat "$demo" -p "$prompt" --temp 0 -n 200 --no-template -q $more > "$out" 2> "$err" &
    pid=$!
    trap - INT
    for ((i = 0; i < 5; i++)); do kill -INT $pid 2> /dev/null; sleep 0.1; done
    wait $pid
    rc=$?
    expect_rc 0
    expect_no_err
done

# ---- lines on a terminal ----
command -v script >/dev/null || finish
script -qec true /dev/null > "$out" 2> "$err" < /dev/null || finish
# Two models: the first one's text and its marks, line by line, and what they came to; once each.
run_tty quantscape chat "$demo" -c small.gguf --follow -p "$prompt" "${greedy[@]}"
expect_rc 0
expect_out '^--- .*, followed by small.gguf ---'
expect_out '^[.:*#! ]*[.:*#!][.:*#! ]*.?$'
expect_out 'mean KL divergence'
run_tty quantscape chat "$demo" -c small.gguf -p "$prompt" --temp 1 --seed 2 -n 40
tr -d '\r' < "$out" | sed -n '/^--- /,/first token where/p' > shown
quantscape chat "$demo" -c small.gguf -p "$prompt" --temp 1 --seed 2 -n 40 -q |
    sed -n '/^--- /,/first token where/p' > piped
if [ -s shown ] && cmp -s shown piped; then
    ok 'a terminal shows what a pipe is given'
else
    fail 'a terminal shows something else'
fi
mkfifo keys
# Waits until the program has said more than $before bytes, and asks for a line.
asked() {
    local i
    for ((i = 0; i < 600; i++)); do
        if [ "$(wc -c < "$out")" -gt "$before" ] && [ "$(tail -c 2 "$out")" = '> ' ]; then return; fi
        if ! kill -0 $pid 2> /dev/null; then break; fi
        sleep 0.05
    done
    fail "$what: never asked for a line"
    return 1
}
say() { # LINE...: each one when the program asks for it
    local words pid before=0 line i
    words=$(printf '%q ' "$QS_BUILDDIR/src/quantscape" chat "$demo" --temp 0 "${options[@]}")
    what="chat on a terminal"
    TERM=xterm script -qefc "stty rows 24 cols 80 -echo; exec env --default-signal=INT $words" /dev/null < keys > \
        "$out" 2> "$err" &
    pid=$!
    exec 9> keys
    for line in "$@"; do
        if ! asked; then break; fi
        before=$(wc -c < "$out")
        printf '%s\n' "$line" >&9
        if [ "$line" != "$long" ]; then continue; fi
        for ((i = 0; i < 600; i++)); do # stopped when it writes
            if [ "$(wc -c < "$out")" -gt $((before + 40)) ]; then break; fi
            sleep 0.05
        done
        printf '\003' >&9
    done
    exec 9>&-
    wait $pid
    rc=$?
}
long='A very long story, please'
options=(-n 8)
say '/help' '/nonsense' '/set top-q 1' '/system Be brief.' "$prompt" '/regen' '/edit' '/edit Hello' '/stats' \
    '/save talk.json' \
    '/save talk.json' '/set temp 0.25' '/save! talk.json' '/set temp 0' '/clear' '/load talk.json' '/set temp 0' \
    '/set max-tokens 3' '/set' 'And then?' '/system' '/quit'
expect_rc 0
tr -d '\r' < "$out" > lines
expect_out '^/regen '
expect_out 'there is no command /nonsense'
expect_out 'no setting .top-q.; did you mean top-k'
expect_out "/edit $prompt"
expect_out 'talk.json exists already: /save! talk.json overwrites it'
if [ "$(grep -c 'saved talk.json: 2 messages' lines)" = 2 ]; then ok 'saved twice'; else fail 'not saved twice'; fi
expect_out '2 messages forgotten'
expect_out 'loaded talk.json: 2 messages'
expect_out 'temp is 0.25'
expect_out 'max-tokens is 3'
expect_out 'the system prompt is set'
expect_out 'no system prompt any more'
if grep -q '"temperature": *0.25' talk.json; then ok 'written over'; else fail "$(cat talk.json)"; fi
expect_out 'max-tokens +3'
expect_out 'context used'
if grep -q '"content": "Hello"' talk.json && ! grep -q 'king' talk.json; then
    ok 'the conversation was kept as it was edited'
else
    fail "$(cat talk.json)"
fi
expect_out 'stopped after 3 tokens'
options=(-n 0 --no-template --ctx 4096) # long enough to be stopped
say "$long" '/stats' '/quit'
expect_rc 0
expect_out ' cancelled '
finish
