#!/usr/bin/env bash
# make.sh QUANTSCAPE - draws the pictures of the README anew, from the bundled model, without a terminal.
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")"
picture() { # NAME COLSxROWS, script on standard input
    { cat; echo ":save-screen! $1.svg"; } | "$program" screen ../storyteller-9m-f16.gguf --play - --size "$2" --theme dark --color truecolor
}
picture map 110x30 <<'END'
wait
:map
b
+
wait
Esc
:map
END
picture types 110x30 <<'END'
wait
:map
b
t
END
picture tensors 110x30 <<'END'
wait
:tensors
:distributions
wait
:sort -error
Space
Space
END
picture zoom 130x40 <<'END'
wait
:map
:search blk.3.ffn_down
Enter
wait
END
picture chat 120x34 <<'END'
wait
:preset Q2_K
wait
:chat
s
wait
l
wait
:chat-set max-tokens 110
:chat-set seed 3
:chat-send Once upon a time there was a king
wait
b
END
