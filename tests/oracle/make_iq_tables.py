#!/usr/bin/env python3
"""Writes kernels/ref/tables_iq.c, the codebooks of the IQ formats.

Source:   ggml/src/ggml-common.h of llama.cpp at commit 0c1e57098 (https://github.com/ggml-org/llama.cpp), MIT licence,
          Copyright (c) 2023-2026 The ggml authors. Only the numbers are taken.
Run:      tests/oracle/make_iq_tables.py PATH/TO/ggml-common.h > kernels/ref/tables_iq.c

The source stores each point of a codebook as 4 or 8 bytes, one per weight. All points of a codebook draw their
coordinates from the same 3 (or 8) values, so we store the number of the value instead: 8 numbers of 2 bits, or 4
numbers of 3 bits, in one uint16_t, first weight in the lowest bits. The values stand beside the table.
"""
import re
import sys

BOOKS = [  # name in the source, our name, weights per point, bits per number, signed bytes
    ("iq2xxs_grid", "qs_iq2_xxs_points", 8, 2, False),
    ("iq2xs_grid", "qs_iq2_xs_points", 8, 2, False),
    ("iq2s_grid", "qs_iq2_s_points", 8, 2, False),
    ("iq3xxs_grid", "qs_iq3_xxs_points", 4, 3, False),
    ("iq3s_grid", "qs_iq3_s_points", 4, 3, False),
    ("iq1s_grid", "qs_iq1_points", 8, 2, True),
]
VALUES = {"qs_iq2_xxs_points": "qs_iq2_values", "qs_iq2_xs_points": None, "qs_iq2_s_points": None,
          "qs_iq3_xxs_points": "qs_iq3_xxs_values", "qs_iq3_s_points": "qs_iq3_s_values", "qs_iq1_points": None}


def table(text, name):
    """The numbers between GGML_TABLE_BEGIN(type, name, size) and the next GGML_TABLE_END()."""
    m = re.search(r"GGML_TABLE_BEGIN\(\s*\w+\s*,\s*%s\s*,[^)]*\)(.*?)GGML_TABLE_END" % re.escape(name), text, re.S)
    if not m:
        sys.exit(f"no table {name}")
    body = re.sub(r"//.*", "", m.group(1))
    return [int(s, 0) for s in re.findall(r"-?(?:0[xX][0-9a-fA-F]+|\d+)", body)]


def emit(ctype, name, numbers, width):
    print(f"const {ctype} {name}[{len(numbers)}] = {{")
    line = "   "
    for n in numbers:
        item = f" {n:>{width}},"
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};\n")


def main():
    text = open(sys.argv[1], encoding="utf-8").read()
    print("/* tables_iq.c - codebooks of the IQ formats; made by tests/oracle/make_iq_tables.py, not edited by hand.\n"
          " *\n"
          " * Numbers from ggml/src/ggml-common.h of llama.cpp at commit 0c1e57098, MIT licence,\n"
          " * Copyright (c) 2023-2026 The ggml authors; layout as described in tables_iq.h.\n"
          " */\n"
          '#include "kernels/ref/tables_iq.h"\n')
    iq2_values = None
    for source, name, dim, bits, signed in BOOKS:
        points = []
        for n in table(text, source):
            raw = n.to_bytes(dim, "little")
            points.append([b - 256 if signed and b > 127 else b for b in raw])
        values = sorted({v for p in points for v in p})
        if len(values) != (3 if bits == 2 else 8):
            sys.exit(f"{source}: {len(values)} values")
        if name.startswith("qs_iq2"):
            if iq2_values is not None and values != iq2_values:
                sys.exit("the IQ2 codebooks differ in values")
            iq2_values = values
        if name == "qs_iq1_points" and values != [-1, 0, 1]:
            sys.exit("IQ1 is not ternary")
        if VALUES[name]:
            emit("uint8_t", VALUES[name], values, 2)
        packed = [sum(values.index(v) << (bits * i) for i, v in enumerate(p)) for p in points]
        if len(set(packed)) != len(packed):
            sys.exit(f"{source}: a point occurs twice")
        emit("uint16_t", name, packed, 5)
    emit("int8_t", "qs_iq4_values", table(text, "kvalues_iq4nl"), 4)


if __name__ == "__main__":
    main()
