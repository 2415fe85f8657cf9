#!/usr/bin/env python3
"""Measures the error of the functions in F64, in fractions of a unit in the last place, and keeps the hard cases.

Reads what the ignored test `math::tests::dump` writes (rows of x, y, result) and compares with MPFR at 140 bits. Prints
the largest errors to standard error, and to standard output the rows of `reference.txt`: the arguments with the largest
errors and a few others, each with the nearest double to the exact result, and what that lacks in units in the last
place (all as bits, in hexadecimal).

Needs numpy and gmpy2. Usage:

    LAZULI_MATH_DUMP=folder cargo test -p lazuli-jit --lib math::tests::dump -- --ignored
    ulp.py folder rows [name ...] > reference.txt
"""

import heapq
import math
import pathlib
import struct
import sys

import gmpy2
import numpy as np

gmpy2.get_context().precision = 140
SPECIAL_NAMES = {"pow": lambda a, b: a**b, "sigmoid": lambda x: 1 / (1 + gmpy2.exp(-x))}
WORST, OTHERS = 50, 25


def bits(x):
    return f"{struct.unpack('<Q', struct.pack('<d', x))[0]:x}"


def measure(path, rows):
    name = path.stem
    f = SPECIAL_NAMES.get(name) or getattr(gmpy2, name)
    two = name in ("atan2", "hypot", "pow")
    data = np.fromfile(path).reshape(-1, 3)
    data = data[np.isfinite(data).all(axis=1)]
    data = data[:: max(1, len(data) // rows)]
    measured = []
    for x, y, z in data.tolist():
        if two and (x == 0 or y == 0) or name == "pow" and x < 0 and y != math.floor(y):
            continue
        exact = f(gmpy2.mpfr(x), gmpy2.mpfr(y)) if two else f(gmpy2.mpfr(x))
        if exact == 0 or not gmpy2.is_finite(exact) or abs(exact) > sys.float_info.max:
            continue
        unit = max(gmpy2.get_exp(exact), -1021) - 53
        hi = float(exact)
        if hi == 0:
            continue
        lo = float(gmpy2.mul(exact - hi, gmpy2.exp2(-unit)))
        error = float(gmpy2.mul(abs(gmpy2.mpfr(z) - exact), gmpy2.exp2(-unit)))
        measured.append((error, x, y, hi, lo))
    worst = heapq.nlargest(WORST, measured)
    print(f"{name}: {worst[0][0]:.4f} at {worst[0][1]!r}, {worst[0][2]!r} of {len(measured)}", file=sys.stderr, flush=True)
    for _, x, y, hi, lo in worst + measured[:: len(measured) // OTHERS]:
        print(name, bits(x), bits(y), bits(hi), bits(lo))


def main(folder, rows, *names):
    for path in sorted(pathlib.Path(folder).glob("*.f64")):
        if path.stem == "logaddexp":  # its sum may cancel
            continue
        if not names or path.stem in names:
            measure(path, int(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
