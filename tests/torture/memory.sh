#!/usr/bin/env bash
# A model of 20 GB that is a hole, under a limit of 1 GiB on private memory: plan, survey and quantize carry on, and plan
# has foretold the memory. Needs 6 GB of disk; skipped where there is less.
. "$QS_SRCDIR/tests/cli/lib.sh"
if [ "$(df --output=avail -k . | tail -n 1)" -lt 8000000 ]; then skip "less than 8 GB of disk are free"; fi
"$QS_BUILDDIR/tests/model/make_model" big.gguf layers=40 embd=4608 ff=12288 heads=36 kv_heads=9 vocab=32000 type=F16 fill=sparse \
    flags=untied || fail "make_model"
bytes=$(stat -c %s big.gguf)
if [ "$bytes" -gt 18000000000 ]; then ok "the model has $bytes bytes"; else fail "the model has only $bytes bytes"; fi
ulimit -d 1048576 || skip "RLIMIT_DATA cannot be set"
run quantscape plan big.gguf -t Q4_K_M --json
expect_rc 0
if [ "$(json plan.peak_memory)" -lt 1073741824 ]; then ok "plan foretells less than 1 GiB"; else fail "plan foretells more than 1 GiB"; fi
file_bytes=$(json plan.file_bytes)
run quantscape survey big.gguf --types Q4_K --no-stats --no-cache
expect_rc 0
run quantscape quantize big.gguf -t Q4_K_M -o out.gguf
expect_rc 0
expect_no_err
grep -E '^  time' "$out"
if [ "$(stat -c %s out.gguf)" = "$file_bytes" ]; then ok "the size that plan foretells"; else fail "another size than plan foretells"; fi
run quantscape check out.gguf
expect_rc 0
finish
