#!/usr/bin/env python3
"""Measures the error of the functions in F64, in fractions of a unit in the last place.

Reads what the ignored test `math::tests::dump` writes (rows of x, y, result) and compares with MPFR at 140 bits.
Needs numpy and gmpy2. Usage:

    LAZULI_MATH_DUMP=folder cargo test -p lazuli-jit --lib math::tests::dump -- --ignored
    ulp.py folder rows [name ...]
"""

import math
import pathlib
import sys

import gmpy2
import numpy as np

gmpy2.get_context().precision = 140
SPECIAL_NAMES = {"pow": lambda a, b: a**b}


def measure(path, rows):
    name = path.stem
    f = SPECIAL_NAMES.get(name) or getattr(gmpy2, name)
    two = name in ("atan2", "hypot", "pow")
    data = np.fromfile(path).reshape(-1, 3)
    data = data[np.isfinite(data).all(axis=1)]
    worst, count = [], 0
    for x, y, z in data[:: max(1, len(data) // rows)].tolist():
        if two and (x == 0 or y == 0) or name == "pow" and x < 0 and y != math.floor(y):
            continue
        exact = f(gmpy2.mpfr(x), gmpy2.mpfr(y)) if two else f(gmpy2.mpfr(x))
        if exact == 0 or not gmpy2.is_finite(exact):
            continue
        unit = max(gmpy2.get_exp(exact), -1021) - 53
        count += 1
        worst.append((float(gmpy2.mul(abs(gmpy2.mpfr(z) - exact), gmpy2.exp2(-unit))), x, y, z))
        if len(worst) > 10000:
            worst = sorted(worst, reverse=True)[:3]
    print(f"{name}: {count} arguments")
    for error, x, y, z in sorted(worst, reverse=True)[:3]:
        print(f"  {error:.4f} at {x!r}, {y!r} -> {z!r}", flush=True)


def main(folder, rows, *names):
    for path in sorted(pathlib.Path(folder).glob("*.f64")):
        if not names or path.stem in names:
            measure(path, int(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
