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
# A text for the evaluation: the kind of prose that the model was made for.
cat > story.txt <<'END'
Mia had a small red boat. Every morning she took it to the pond behind the house and let it float between the lilies.
One day the wind was strong. It pushed the boat far away, to the other side, where the reeds were high. Mia could not see it
any more. She was sad and sat down in the grass.
A frog came out of the water. "Why are you crying?" asked the frog. "My boat is gone," said Mia. "I want it back, but I
cannot swim that far." The frog thought for a moment. "I can swim," he said. "But the boat is heavy, and I am small. Let us
ask the duck."
The duck was sleeping under the old tree. They woke her up very gently. "Good morning, duck," said Mia. "Will you help us
to find my red boat?" The duck shook her wings and smiled. "Of course I will," she said. "I like to help my friends."
So the duck and the frog went into the reeds. They looked to the left and to the right. They found a ball, a stick and an
old shoe, but no boat. Then the frog heard a tiny voice. "Please do not take my house!" said the voice.
It was a little mouse. She had found the boat and put dry leaves in it. "It is so warm here," said the mouse. "I did not know
that it was yours." The frog and the duck did not know what to do. They swam back and told Mia about it.
Mia was quiet. She loved her boat, but she did not want the mouse to be cold. "I have an idea," she said. She ran home and
asked her father for a box. Together they cut a door into it and painted it blue. Then they put it under the tree.
The mouse came out of the reeds and looked at the new house. It was big and dry, and nothing in it was wet. "Is this for me?"
she asked. "Yes," said Mia. "It is for you." The mouse jumped up and down. She was so happy that she danced.
The duck pushed the red boat over the water with her beak, and the frog sat in it like a captain. Everybody laughed. From then
on Mia came to the pond every day. She brought some bread for the duck, a crumb for the mouse, and a song for the frog. And the
red boat floated between the lilies, and it was never alone again.
END
picture evaluate 140x56 <<'END'
wait
:evaluate
:preset Q3_K_M
:eval-text story.txt
:eval-set ctx 64
:eval-start
wait
:evaluate
END
# A calibration leaves files beside the model: on a copy.
mkdir calibrated
cp ../storyteller-9m-f16.gguf calibrated
{ cat; echo ":save-screen! calibrate.svg"; } <<'END' |
wait
:calibrate
:calib-text story.txt
:calib-set windows 16
:calib-set ctx 64
:calib-start
wait
:calibrate
:calib-view progress
END
    "$program" screen calibrated/storyteller-9m-f16.gguf --play - --size 110x30 --theme dark --color truecolor
rm -rf story.txt calibrated
