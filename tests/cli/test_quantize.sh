#!/usr/bin/env bash
# quantize on the demo model: every preset, what is refused, what the options do, requantizing.
. "$QS_SRCDIR/tests/cli/lib.sh"
make_model() { "$QS_BUILDDIR/tests/model/make_model" "$@"; }
imatrix=$QS_SRCDIR/tests/format/data/demo-imatrix
cp "$demo" model.gguf && chmod u+w model.gguf && cp model.gguf original || exit 99
before=$(stat -c '%Y %Z %s' model.gguf)

# Everything that `what` promises is there, and nothing else: no .part, no journal.
only_files() { # NAME...
    local found wanted
    found=$(ls | LC_ALL=C sort | tr '\n' ' ')
    wanted=$(printf '%s\n' model.gguf original home "$@" | LC_ALL=C sort | tr '\n' ' ')
    if [ "$found" = "$wanted" ]; then ok "$what: nothing else is left"; else fail "$what: files are $found, not $wanted"; fi
}
refused() { # REGEX: exit code 1, one line, nothing written
    expect_rc 1
    expect_one_error "$1"
    expect_no_out
    only_files
}
same_tensors() { # A B: all tensors of both files have the same bytes
    run quantscape diff --json "$1" "$2"
    for key in values shape only_a only_b; do expect_json diff.$key 0; done
    expect_json diff.same 74
}

# ---- every preset that completion offers ----
presets=$(sed -n "s/^    local presets='\(.*\)'$/\1/p" "$QS_SRCDIR/completions/bash/quantscape")
if [ "$(wc -w <<< "$presets")" -ge 38 ]; then ok "the presets are listed"; else fail "presets listed: $presets"; fi
needs_imatrix=' IQ3_XS IQ3_XXS Q2_K_S IQ2_M IQ2_S IQ2_XS IQ2_XXS IQ1_M IQ1_S '
make_one() { # PRESET FILE-TYPE-NAME [OPTION]...: writes out.gguf and opens it again
    local preset=$1 named=$2 bytes file_bytes
    shift 2
    run quantscape plan model.gguf -t "$preset" "$@" --json
    expect_rc 0
    bytes=$(json plan.bytes) file_bytes=$(json plan.file_bytes)
    run quantscape quantize model.gguf -t "$preset" "$@" -o out.gguf --json
    expect_rc 0
    case $preset in
    F32) expect_err 'warning: the result is larger than the source' ;;
    MXFP4_MOE) expect_err 'warning: MXFP4_MOE is made for models with experts' ;;
    *) expect_no_err ;;
    esac
    expect_json result.preset "$preset"
    expect_json result.bytes "$file_bytes"
    expect_json 'tensors.#' 74
    if [ "$(stat -c %s out.gguf)" = "$file_bytes" ]; then ok "$preset has the bytes that plan foretells"
    else fail "$preset has $(stat -c %s out.gguf) bytes; plan foretells $file_bytes"; fi
    run quantscape check out.gguf
    expect_rc 0
    expect_no_err
    run quantscape info --json out.gguf
    expect_rc 0
    expect_json model.file_type "$named"
    expect_json model.bytes "$bytes"
    expect_json model.tensors 74
    only_files out.gguf
}

turn=0
for preset in $presets; do
    with=()
    turn=$((turn + 1)) # reduced: every third
    if [ -n "${QS_REDUCED:-}" ] && [ $((turn % 3)) != 0 ]; then continue; fi
    case $needs_imatrix in *" $preset "*)
        run quantscape quantize model.gguf -t "$preset" -o out.gguf
        refused '--imatrix'
        run quantscape plan model.gguf -t "$preset"
        expect_rc 0 # the whole table, with what is in the way
        expect_out 'quantize would stop: .* needs importance weights.*--imatrix'
        expect_out '^  quantize would start +no$'
        run quantscape plan model.gguf -t "$preset" --json
        expect_json plan.writable false
        expect_json 'tensors.#' 74
        expect_json plan.preset "$preset"
        with=(--imatrix "$imatrix.gguf") ;;
    esac
    run quantscape plan model.gguf -t "$preset" "${with[@]}" --json
    name=$(json plan.preset)
    if [ "$name" != "$preset" ]; then # an alias
        if [[ $name == "${preset}"_M ]]; then ok "$preset is $name"; else fail "$preset is $name"; fi
        continue
    fi
    case $preset in
    COPY) make_one COPY F16 ;;
    *) make_one "$preset" "$preset" "${with[@]}" ;;
    esac
    rm -f out.gguf
done

# Tensor bytes of the demo model with an importance matrix, where another program's rules are the same: its files of this
# model have 96,864 bytes more each, which is their header.
for pair in Q8_0=9487360 Q6_K=7328768 Q5_K_M=6440960 Q4_K_M=5605376 Q4_K_S=5350400 Q4_0=5317632 Q3_K_M=4647936 Q2_K=3750912; do
    run quantscape plan model.gguf -t "${pair%=*}" --imatrix "$imatrix.gguf" --json
    expect_json plan.bytes "${pair#*=}"
done

# The older form of an importance matrix; matrices that change presets that need none; the same types throughout.
cp "$imatrix.dat" home/demo.imatrix
make_one IQ2_XS IQ2_XS --imatrix home/demo.imatrix
run quantscape info --metadata out.gguf
expect_out '^  quantize.imatrix.file .* home/demo\.imatrix$'
expect_out '^  quantize.imatrix.entries_count .* 56'
mv out.gguf dat.gguf
what='the other form'
mv dat.gguf home/
make_one Q2_K_S Q2_K_S --imatrix "$imatrix.dat"
rm out.gguf
make_one Q4_K_M Q4_K_M --imatrix "$imatrix.gguf"
mv out.gguf home/weighted.gguf
make_one Q4_K_M Q4_K_M
run quantscape diff --json out.gguf home/weighted.gguf
if [ "$(json diff.values)" -gt 40 ]; then ok "importance weights change the bytes"; else fail "importance weights change nothing"; fi
mv out.gguf home/plain.gguf
make_one Q4_K_M Q4_K_M --pure
run quantscape tensors --json --match 'weight' out.gguf
if [ "$(grep -c '"type": "Q4_K"' "$out")" = 57 ]; then ok "pure: 57 tensors in Q4_K"; else fail "pure: not 57 tensors in Q4_K"; fi
mv out.gguf home/pure.gguf
make_one IQ4_NL IQ4_NL --pure
rm out.gguf

# ---- the same bytes on one thread, on three, and on the plain level ----
for how in '--threads 1' '--threads 3' '--level ref'; do
    run quantscape quantize model.gguf -t q4_k_m $how -o out.gguf
    expect_rc 0
    if cmp -s out.gguf home/plain.gguf; then ok "$how: the same bytes"; else fail "$how: other bytes"; fi
    rm -f out.gguf
done

# ---- names and what is in the way ----
run quantscape quantize model.gguf -q
expect_rc 0
expect_no_out
expect_no_err
only_files model.Q4_K_M.gguf
if cmp -s model.Q4_K_M.gguf home/plain.gguf; then ok "Q4_K_M is the default"; else fail "the default is not Q4_K_M"; fi
run quantscape quantize model.gguf
expect_rc 1
expect_one_error 'model.Q4_K_M.gguf exists: --force'
run quantscape plan model.gguf
expect_rc 0
expect_out 'quantize without -o would stop: .*model.Q4_K_M.gguf exists: --force overwrites it, -o names another output'
run quantscape quantize model.gguf --json
expect_rc 1
expect_json error.code exists
expect_json error.message './model.Q4_K_M.gguf exists: --force overwrites it, -o names another output'
echo precious > model.Q4_K_M.gguf
run quantscape quantize model.gguf
expect_rc 1
if [ "$(cat model.Q4_K_M.gguf)" = precious ]; then ok "an existing file is kept"; else fail "an existing file is lost"; fi
run quantscape quantize model.gguf --force
expect_rc 0
if cmp -s model.Q4_K_M.gguf home/plain.gguf; then ok "--force overwrites"; else fail "--force does not overwrite"; fi
rm model.Q4_K_M.gguf
run quantscape quantize model.gguf second.gguf -t 7
expect_rc 0
only_files second.gguf
mv second.gguf home/q8.gguf
run quantscape quantize model.gguf second.gguf -o third.gguf
expect_rc 2
expect_one_error 'named twice'
ln model.gguf home/alias.gguf
for out_name in model.gguf home/alias.gguf; do
    run quantscape quantize model.gguf -o $out_name --force
    refused 'is the model that is read'
done
ln -sf ../model.gguf home/alias.gguf
run quantscape quantize model.gguf -o home/alias.gguf --force
refused 'is the model that is read'
rm home/alias.gguf
# Nothing that is read is written over, nothing but a regular file is replaced: by any verb.
input() { # WHAT FILE COMMAND...
    local sum
    sum=$(cksum < "$2")
    run quantscape "${@:3}" --force
    refused "is $1 that is read"
    if [ "$(cksum < "$2")" = "$sum" ]; then ok "$2 is as it was"; else fail "$2 was written over"; fi
}
cp "$imatrix.gguf" home/i.gguf
printf 'preset = Q4_K_M\n' > home/in.recipe
ln home/in.recipe home/hard.recipe
ln -s in.recipe home/soft.recipe
for name in in hard soft; do
    input 'the recipe' home/in.recipe quantize model.gguf --recipe home/in.recipe -o home/$name.recipe
    input 'the recipe' home/in.recipe map model.gguf --recipe home/in.recipe --svg home/$name.recipe
    input 'the recipe' home/in.recipe recipe export --llama home/in.recipe model.gguf -o home/$name.recipe
done
input 'the importance matrix' home/i.gguf quantize model.gguf --imatrix home/i.gguf -o home/i.gguf
input 'the importance matrix' home/i.gguf map model.gguf --imatrix home/i.gguf --svg home/i.gguf
input 'the model' model.gguf map model.gguf --svg model.gguf
input 'the model' model.gguf recipe export --llama home/in.recipe model.gguf -o model.gguf
mkfifo home/pipe
for words in 'quantize model.gguf -o home/pipe' 'map model.gguf --svg home/pipe' 'recipe new -o home/pipe' \
    'recipe export --llama home/in.recipe model.gguf -o home/pipe'; do
    run quantscape $words --force
    refused "'home/pipe' is not a regular file"
    if [ -p home/pipe ]; then ok "the pipe is still one"; else fail "the pipe is gone"; fi
done
rm home/pipe home/*.recipe home/i.gguf
for words in 'map model.gguf --svg nowhere/x.svg' 'recipe new -o nowhere/x'; do
    run quantscape $words
    refused "the folder 'nowhere' does not exist"
done
echo mine > home/x
for words in 'map model.gguf --svg home/x' 'recipe new -o home/x'; do
    run quantscape $words
    refused 'exists already: --force'
done
rm home/x
run quantscape quantize model.gguf -o home
refused "'home' is a folder"
run quantscape quantize model.gguf -o nowhere/out.gguf
refused "the folder 'nowhere' does not exist"
mkdir home/split
run quantscape quantize model.gguf -o home/split/out.gguf -t Q8_0 --split-max-size 3MiB --json
expect_rc 0
expect_no_err
expect_json 'files.#' 4
expect_json result.files 4
run quantscape plan model.gguf -t Q8_0 --split-max-size 3MiB --json
expect_json plan.files 4
expect_json plan.file_bytes "$(cat home/split/* | wc -c)"
run quantscape check home/split/out-00003-of-00004.gguf
expect_rc 0
expect_out 'parts +4'
same_tensors home/split/out-00001-of-00004.gguf home/q8.gguf
run quantscape quantize home/split/out-00001-of-00004.gguf -t Q4_0 -o home/split/out-00003-of-00004.gguf --force -q
refused 'is the model that is read'
run quantscape map home/split/out-00001-of-00004.gguf --svg home/split/out-00003-of-00004.gguf --force
refused 'is the model that is read'
run quantscape quantize home/split/out-00001-of-00004.gguf -t Q4_0 -q
expect_rc 0
if [ -e home/split/out.Q4_0.gguf ]; then ok "the default name leaves the part out"; else fail "default name: $(ls home/split)"; fi
run quantscape quantize model.gguf -o out.gguf -t Q8_0 --split-max-size 3MiB --modelfile
refused 'no Modelfile can be made for split output'

# ---- metadata ----
run quantscape quantize model.gguf -o out.gguf -t Q8_0 --override-kv general.name=str:another --override-kv x.y=int:7 \
    --remove-kv general.license --modelfile
expect_rc 0
only_files out.gguf out.Modelfile
if grep -qx 'FROM ./out.gguf' out.Modelfile; then ok "the Modelfile names the file"; else fail "the Modelfile: $(cat out.Modelfile)"; fi
run quantscape info --metadata out.gguf
expect_out '^  general.name .*another'
expect_out '^  x.y .* 7'
expect_out '^  general.quantization_version .* 2'
expect_out '^  quantscape.recipe .*preset = Q8_0'
expect_out '^  quantscape.version '
expect_not_out 'general.license'
same_tensors out.gguf home/q8.gguf
echo mine > out.Modelfile
rm out.gguf
run quantscape quantize model.gguf -o out.gguf -t Q8_0 --modelfile
expect_rc 1
expect_one_error 'Modelfile'
if [ "$(cat out.Modelfile)" = mine ]; then ok "an existing Modelfile is kept"; else fail "an existing Modelfile is lost"; fi
only_files out.Modelfile
rm -f out.Modelfile out.gguf out.gguf.part*
for words in '--override-kv general.alignment=u32:64' '--remove-kv no.such' '--override-kv split.count=u16:9' \
    '--override-kv split.no=u16:1' '--override-kv split.tensors.count=i32:1' '--override-kv general.architecture=int:3' \
    '--remove-kv general.architecture' '--override-kv tokenizer.ggml.tokens=str:a' \
    '--override-kv general.quantization_version=u32:77' '--override-kv general.type=str:imatrix' \
    '--override-kv general.file_type=int:1' '--remove-kv split.count' '--override-kv general.architecture=str:qwen2' \
    '--override-kv general.architecture=str:' '--override-kv general.architecture=string:llama2' \
    '--remove-kv llama.block_count' '--remove-kv llama.context_length' '--remove-kv llama.embedding_length' \
    '--remove-kv llama.attention.head_count' '--remove-kv llama.attention.layer_norm_rms_epsilon' \
    '--remove-kv llama.feed_forward_length' '--remove-kv tokenizer.ggml.model' '--remove-kv tokenizer.ggml.tokens'; do
    run quantscape quantize model.gguf -o out.gguf $words
    name=${words#* }
    if [ "${words%% *}" = --remove-kv ]; then how='left out'; else how=set; fi
    refused "metadata ${name%%=*} cannot be $how: "
done
# Wrong usage: not well-formed, or against itself.
for words in '--override-kv|a|--override-kv a: ' '--override-kv|a=int:zz|--override-kv a=int:zz: ' \
    '--override-kv|a.b=f32:nan|--override-kv a.b=f32:nan: ' '--override-kv|a=int:1|--remove-kv|a|a is both set' \
    '--override-kv|a=int:1|--override-kv|a=int:2|sets a twice' '--leave-output|--output-type|Q8_0|exclude each other' \
    '--pin|token_embd.weight=Q8_0|--pin|token_embd.weight=Q6_K|token_embd.weight two types: Q8_0 and Q6_K' \
    $'--override-kv|general.name=str:a\xff|no valid UTF-8 at byte 19' $'--override-kv|a\xc3=int:1|no valid UTF-8 at byte 2' \
    $'--remove-kv|\xff|--remove-kv: no valid UTF-8 at byte 1' \
    '-t|COPY|--pure|exclude each other'; do
    IFS='|' read -r -a word <<< "$words"
    run quantscape quantize model.gguf -o out.gguf "${word[@]:0:${#word[@]}-1}"
    expect_rc 2
    expect_one_error "${word[-1]}"
    only_files
done
run quantscape quantize model.gguf -o out.gguf -t COPY --override-kv general.architecture=str:llama # what it is already
expect_rc 0
rm -f out.gguf
# The same in a recipe file, by every verb that reads one.
printf 'leave-output = yes\n# so\noutput-type = Q8_0\n' > home/both.recipe
printf 'pure = yes\npreset = COPY\n' > home/pure.recipe
for words in 'recipe check' 'recipe show' 'plan model.gguf --recipe' 'quantize model.gguf -o out.gguf --recipe'; do
    run quantscape $words home/both.recipe
    refused 'home/both.recipe:3: leave-output .* \(line 1\): they exclude each other'
    run quantscape $words home/pure.recipe
    refused 'home/pure.recipe:2: pure .* \(line 1\): they exclude each other'
done
printf 'leave-output = no\noutput-type = Q8_0\npure = no\npreset = COPY\n' > home/both.recipe
run quantscape recipe check home/both.recipe
expect_rc 0
rm home/both.recipe home/pure.recipe
run quantscape plan model.gguf --pin token_embd.weight=Q8_0 --pin token_embd.weight=q8_0
expect_rc 0

# ---- recipes ----
printf 'preset = Q4_K_M # a comment\npin blk.0.attn_q.weight = Q8_0\nrule ffn_up = Q6_K\n' > home/r.recipe
run quantscape recipe check home/r.recipe
expect_rc 0
run quantscape quantize model.gguf -o out.gguf --recipe home/r.recipe --pin blk.1.attn_q.weight=F16 --output-type Q5_K --csv
expect_rc 0
expect_out '^blk.0.attn_q.weight,F16,Q8_0,'
expect_out '^blk.1.attn_q.weight,F16,F16,'
expect_out '^blk.7.ffn_up.weight,F16,Q6_K,'
expect_out '^token_embd.weight,F16,Q5_K,'
rm -f out.gguf
run quantscape quantize model.gguf -o out.gguf --recipe home/r.recipe -t Q8_0
expect_rc 2
expect_one_error 'exclude each other'
run quantscape quantize model.gguf -o out.gguf -t Q4_K_N
expect_rc 2
expect_one_error 'Q4_K_N'
run quantscape quantize model.gguf -o out.gguf --rule 'no_such=Q4_K'
refused 'no_such'
run quantscape quantize model.gguf -o out.gguf --pin 'blk.9.attn_q.weight=Q4_K'
refused 'blk.9.attn_q.weight'

# ---- importance matrices that do not fit ----
run quantscape quantize model.gguf -o out.gguf -t IQ2_XS --imatrix nowhere.imatrix
refused 'nowhere.imatrix'
run quantscape quantize model.gguf -o out.gguf -t IQ2_XS --imatrix model.gguf
refused 'no importance matrix'
make_model home/wide.gguf layers=1 embd=512 ff=512 || fail "make_model"
run quantscape quantize home/wide.gguf -o out.gguf -t IQ2_XS --imatrix "$imatrix.gguf"
refused 'blk.0.attn'
make_model home/odd.gguf layers=1 embd=192 ff=512 heads=3 kv_heads=3 || fail "make_model"
run quantscape quantize home/odd.gguf -o out.gguf -t Q4_K_M --strict
refused 'no multiple of 256'
run quantscape quantize home/odd.gguf -o out.gguf -t Q4_K_M
expect_rc 0
expect_err 'warning: .* cannot be Q4_K: .*no multiple of 256: Q5_0 instead'
run quantscape quantize home/odd.gguf -o out.gguf -t Q4_K_M --force --quiet
expect_rc 0
expect_no_err
rm -f out.gguf

# ---- what matches nothing, and what is not used ----
run quantscape diff model.gguf original -m no.such
expect_rc 1
expect_one_error "'no.such' matches none of the 74 tensors"
expect_no_out
run quantscape diff model.gguf original -m attn_q
expect_rc 0
run quantscape quantize model.gguf -o out.gguf -t COPY --imatrix "$imatrix.gguf"
expect_rc 0
expect_err 'warning: the importance matrix is not used: every tensor is copied'
rm -f out.gguf
for verb in 'plan' 'quantize -o out.gguf'; do
    run quantscape $verb model.gguf --rule 'norm=Q4_K'
    expect_rc 0
    cat "$out" >> "$err"
    expect_err 'rule norm decides nothing: it matches 17 tensors'
done
rm -f out.gguf

# ---- a source that is quantized already ----
run quantscape quantize home/q8.gguf -o home/q4.gguf -t Q4_0
expect_rc 0
expect_err 'warning: 57 tensors are converted from Q8_0 .*against this file'
run quantscape quantize home/q4.gguf -o out.gguf -t Q4_K_M
refused 'is Q4_0 already.*--allow-requantize'
run quantscape plan home/q4.gguf -t Q4_K_M
expect_rc 0
expect_out 'quantize would stop: .* is Q4_0 already'
run quantscape quantize home/q4.gguf -o out.gguf -t Q4_K_M --allow-requantize
expect_rc 0
expect_err 'warning: .*quantized already.*against this file'
run quantscape check out.gguf
expect_rc 0
rm -f out.gguf
data() { # FILE: its tensor bytes
    local offset
    "$QS_BUILDDIR/src/quantscape" tensors --json "$1" > "$out"
    offset=$(grep -o '"offset": [0-9]*' "$out" | cut -d ' ' -f 2 | sort -n | head -n 1)
    tail -c +$((offset + 1)) "$1"
}
run quantscape quantize home/q4.gguf -o out.gguf -t Q4_0 --json
expect_rc 0
expect_no_err
if grep -q '"copied": false' "$out"; then fail "Q4_0 from Q4_0: a tensor is not copied"; else ok "Q4_0 from Q4_0: every tensor is copied"; fi
same_tensors home/q4.gguf out.gguf
data home/q4.gguf > home/a
data out.gguf > home/b
if [ -s home/a ] && cmp -s home/a home/b; then ok "byte for byte"; else fail "the tensor bytes are not the source's"; fi
rm -f out.gguf
run quantscape quantize home/weighted.gguf -o out.gguf -t COPY --override-kv general.name=str:copy
expect_rc 0
same_tensors home/weighted.gguf out.gguf
run quantscape info --json out.gguf
expect_json model.file_type Q4_K_M
run quantscape info --metadata out.gguf
expect_out '^  quantscape.recipe .*preset = Q4_K_M' # how it was made, not that it was copied since
rm -f out.gguf

# ---- weights that are no numbers ----
spoil() { # FILE TENSOR BYTE HEX...: other bytes in a tensor of a copy of the model
    cp model.gguf "$1"
    "$QS_BUILDDIR/src/quantscape" tensors --json "$1" --match "^$2\$" > "$out"
    local offset
    offset=$(grep -o '"offset": [0-9]*' "$out" | cut -d ' ' -f 2)
    printf "$4" | dd of="$1" bs=1 seek=$((offset + $3)) conv=notrunc status=none
}
spoil home/nan.gguf blk.3.ffn_up.weight 1030 '\x00\x7e' # F16, rows of 512 bytes
spoil home/norm.gguf blk.2.ffn_norm.weight 12 '\x00\x00\x80\x7f'
for preset in Q4_K_M COPY; do
    run quantscape quantize home/nan.gguf -o out.gguf -t $preset
    refused 'blk\.3\.ffn_up\.weight: 1 of .* NaN or infinite, the first at row '
    run quantscape quantize home/norm.gguf -o out.gguf -t $preset
    refused 'blk\.2\.ffn_norm\.weight: 1 of .* NaN or infinite, the first at row 0, column 3 '
done
run quantscape quantize model.gguf -o home/f32.gguf -t F32 -q
expect_rc 0
cp model.gguf home/keep.gguf
"$QS_BUILDDIR/src/quantscape" tensors --json home/f32.gguf --match '^blk.5.attn_q.weight$' > "$out"
offset=$(grep -o '"offset": [0-9]*' "$out" | cut -d ' ' -f 2)
printf '\xc2\xbd\xf0\x7c' | dd of=home/f32.gguf bs=1 seek=$((offset + 40)) conv=notrunc status=none # 1e37
for preset in Q4_K_M Q8_0 F16 Q2_K Q6_K IQ4_XS; do
    run quantscape quantize home/f32.gguf -o out.gguf -t $preset
    refused 'blk\.5\.attn_q\.weight: .* weights would be (NaN or infinite|lost) as .*1e\+37'
done
run quantscape quantize home/f32.gguf -o out.gguf --pin blk.5.attn_q.weight=BF16
expect_rc 0
run quantscape check out.gguf
expect_rc 0
rm -f out.gguf home/*.gguf

# ---- a limit on the size of files ----
what='ulimit -f'
(ulimit -f 2000; exec "$QS_BUILDDIR/src/quantscape" quantize model.gguf -o out.gguf) > "$out" 2> "$err"
rc=$?
refused 'out\.gguf\.part.* needs 5\.44 MiB, .*1\.95 MiB at most: raise the limit \(ulimit -f\) and run the same command again'
(ulimit -f 2000; exec "$QS_BUILDDIR/src/quantscape" quantize model.gguf -o out.gguf --split-max-size 1900KiB) > "$out" 2> "$err"
rc=$?
expect_rc 0
rm -f out*.gguf

# ---- the source is as it was ----
what='after all this'
if cmp -s model.gguf original && [ "$(stat -c '%Y %s' model.gguf)" = "$(cut -d ' ' -f 1,3 <<< "$before")" ]; then
    ok "the source is as it was"
else
    fail "the source has changed"
fi
only_files
finish
