#!/usr/bin/env python3
"""Compares the decoders of kernels/ref with the Python package `gguf` (llama.cpp project, MIT) on random blocks.

A second opinion beside the goldens: gguf's dequantizers are written in numpy, independently of ggml's C code.
Run by hand from the source root, with numpy and gguf (0.18 when last used):  python3 tests/oracle/check_decode.py
Needs a C compiler (CC, default cc); leaves nothing behind.
"""
import ctypes
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

BLOCKS = 2000


class Parts(ctypes.Structure):
    _fields_ = [("p", ctypes.c_void_p * 4)]


def build(folder):
    lib = os.path.join(folder, "ref.so")
    sources = ["kernels/format.c", "kernels/level.c"] + sorted(glob.glob("kernels/ref/*.c"))
    subprocess.run([os.environ.get("CC", "cc"), "-std=c17", "-D_GNU_SOURCE", "-O2", "-ffp-contract=off", "-shared",
                    "-fPIC", "-I.", *sources, "-o", lib, "-lm"], check=True)
    return ctypes.CDLL(lib)


def ours(lib, name, data, n):
    out = np.zeros(n, np.float32)
    parts = Parts()
    parts.p[0] = data.ctypes.data
    fn = getattr(lib, "qs_ref_%s_decode" % name.lower())
    fn(ctypes.byref(parts), ctypes.c_size_t(1), ctypes.c_size_t(n), out.ctypes.data_as(ctypes.c_void_p),
       ctypes.c_size_t(n))
    return out


def main():
    rng = np.random.default_rng(1)
    failures, unknown = 0, []
    with tempfile.TemporaryDirectory() as folder:
        lib = build(folder)
        for kind in GGMLQuantizationType:
            block, size = GGML_QUANT_SIZES[kind]
            if not hasattr(lib, "qs_ref_%s_decode" % kind.name.lower()):
                unknown.append(kind.name)
                continue
            data = rng.integers(0, 256, BLOCKS * size, dtype=np.uint8)
            try:
                with np.errstate(all="ignore"):
                    theirs = quants.dequantize(data.reshape(1, -1), kind).reshape(-1)
            except (NotImplementedError, KeyError):
                unknown.append(kind.name)
                continue
            mine = ours(lib, kind.name, data, BLOCKS * block)
            a, b = mine.view(np.uint32), np.ascontiguousarray(theirs, np.float32).view(np.uint32)
            bad = int(np.count_nonzero((a != b) & ~(np.isnan(mine) & np.isnan(theirs))))
            failures += bad > 0
            print("%-8s %7d weights, %d differ" % (kind.name, mine.size, bad))
    print("not compared:", ", ".join(unknown))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
