#!/usr/bin/env python3
"""Derives the polynomial coefficients of the vector math library, and prints them as Rust constants.

Each row of TABLES asks for the minimax polynomial p of a function g on an interval, found by the exchange algorithm of
Remez in 60-digit arithmetic: p minimizes the largest |w(t) (p(t) - g(t))|, where the weight w turns the error of p
into the relative error of the function that p is a part of. The degree is the least that meets the wanted accuracy,
of which each table states four: of binary64 and binary32, in the precisions standard and fast. The coefficients are then
rounded to the type.

Needs mpmath. Usage: coefficients.py > coefficients.rs && rustfmt coefficients.rs
"""

import struct
import sys

from mpmath import mp, mpf, lu_solve, matrix

mp.dps = 60


def remez(g, w, lo, hi, degree):
    """The minimax polynomial and its weighted error, on a grid of candidates around Chebyshev's points."""
    n = degree + 2
    grid_size = 40 * n
    grid = [(lo + hi) / 2 + (hi - lo) / 2 * mp.cos(mp.pi * i / grid_size) for i in range(grid_size, -1, -1)]
    heaviest = max(abs(w(t)) for t in grid)
    grid = [t for t in grid if abs(w(t)) > heaviest / 10**9]
    values = [(t, g(t), w(t)) for t in grid]
    picks = [round((len(grid) - 1) * i / (n - 1)) for i in range(n)]
    coefficients = []
    for _ in range(40):
        a, rhs = matrix(n, n), matrix(n, 1)
        for row, i in enumerate(picks):
            t, gt, wt = values[i]
            for j in range(degree + 1):
                a[row, j] = t**j
            a[row, n - 1] = (-1) ** row / wt
            rhs[row] = gt
        solution = lu_solve(a, rhs)
        coefficients = [solution[j] for j in range(degree + 1)]
        level = abs(solution[n - 1])
        errors = [wt * (mp.polyval(coefficients[::-1], t) - gt) for t, gt, wt in values]
        worst = max(abs(e) for e in errors)
        if worst <= level * mpf("1.02"):
            break
        # the largest error of each run of one sign
        runs, start = [], 0
        for i in range(1, len(errors) + 1):
            if i == len(errors) or (errors[i] > 0) != (errors[start] > 0):
                runs.append(max(range(start, i), key=lambda j: abs(errors[j])))
                start = i
        while len(runs) > n:  # drop the smaller end
            runs.pop(0 if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else -1)
        if len(runs) < n:
            break
        picks = runs
    return coefficients, worst


LN2_2 = mp.log(2) / 2 * mpf("1.0001")
PIO4_2 = (mp.pi / 4 * mpf("1.0001")) ** 2
S2 = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1) * mpf("1.0001")) ** 2  # the square of (m - 1) / (m + 1), m to sqrt(2)


def series(terms, z, count=60):
    """sum of terms(i) z^i: for quotients that cancel near zero"""
    return mp.fsum(terms(i) * z**i for i in range(count))


def atanh_tail(skip):
    """(2 atanh(s) / s - its first `skip` terms) / z^skip, z = s^2"""
    return lambda z: series(lambda i: mpf(2) / (2 * (i + skip) + 1), z)


def asin_tail(z):
    """(asin(s) - s) / s^3, z = s^2"""
    return series(lambda i: mp.binomial(2 * i + 2, i + 1) / (mpf(4) ** (i + 1) * (2 * i + 3)), z, 110)


def atan_tail(z):
    """(atan(s) - s) / s^3, z = s^2"""
    if z < mpf("0.1"):
        return series(lambda i: (-1) ** (i + 1) / mpf(2 * i + 3), z, 64)
    s = mp.sqrt(z)
    return (mp.atan(s) - s) / s**3


def erf_tail(z):
    """erf(s) / s - 1, z = s^2"""
    return series(lambda i: (-1) ** i / (mp.factorial(i) * (2 * i + 1)), z, 60) * 2 / mp.sqrt(mp.pi) - 1


def centered(center, top):
    """The interval of t = (x - c) / (x + c), for x from 1/2 to the top"""
    return tuple((x - mpf(center)) / (x + mpf(center)) for x in (mpf("0.5"), mpf(top)))


def erfc_scaled(center):
    """erfc(x) e^(x^2) (1 + 2 x) - 5/4, of that t"""

    def scaled(t):
        x = mpf(center) * (1 + t) / (1 - t)
        return mp.erfc(x) * mp.exp(x * x) * (1 + 2 * x) - mpf("1.25")

    return scaled


def log_tail(f):
    """(log(1 + f) - f + f^2/2) / f^3"""
    if abs(f) < mpf("0.05"):
        return series(lambda i: (-1) ** i / mpf(i + 3), f)
    return (mp.log(1 + f) - f + f * f / 2) / f**3


def pow_tail(z):
    """(2 / ln 2 atanh(s) / s - its first two terms) / z^2, z = s^2"""
    return atanh_tail(2)(z) / mp.log(2)


def exp_tail(r):
    """(e^r - 1 - r) / r^2"""
    return series(lambda i: 1 / mp.factorial(i + 2), r, 40)


def exp2_tail(r):
    """(2^r - 1 - r ln 2) / r^2"""
    return series(lambda i: mp.log(2) ** (i + 2) / mp.factorial(i + 2), r, 40)


ROOT_2 = mp.sqrt(2)
# name: g, weight, interval, bits of accuracy in binary64 (standard, fast) and binary32 (None: there is none)
TABLES = {
    "EXP": (exp_tail, lambda r: r * r, (-LN2_2, LN2_2), (57.5, 51.5), (30, 23.5)),
    "EXPM1": (exp_tail, lambda r: abs(r), (-LN2_2, LN2_2), (57.5, 51.5), (28, 24)),
    "EXP2": (exp2_tail, lambda r: r * r, (-mpf("0.5"), mpf("0.5")), (57.5, 51.5), (28, 23.5)),
    "SINH": (lambda z: series(lambda i: 1 / mp.factorial(2 * i + 3), z, 30), lambda z: z, (0, LN2_2**2), (57.5, 52), (28, 24)),
    "COSH": (lambda z: series(lambda i: 1 / mp.factorial(2 * i + 2), z, 30), lambda z: z, (0, LN2_2**2), (57.5, 52), (28, 24)),
    "LOG": (lambda z: -atanh_tail(1)(z), lambda z: z / 2, (0, S2), (57.5, 52), None),
    "LOG_F": (log_tail, lambda f: f * f, (1 / ROOT_2 - mpf("1.0001"), ROOT_2 - mpf("0.9999")), None, (28, 24)),
    "POW": (pow_tail, lambda z: z ** mpf("2.5"), (0, S2), (66, 62), (36, 32)),
    "SIN": (
        lambda z: series(lambda i: (-1) ** (i + 1) / mp.factorial(2 * i + 3), z, 30),
        lambda z: z, (0, PIO4_2), (57.5, 52), (28, 24)),
    "COS": (
        lambda z: series(lambda i: (-1) ** i / mp.factorial(2 * i + 4), z, 30),
        lambda z: z * z, (0, PIO4_2), (57.5, 52), (28, 24)),
    "ASIN": (asin_tail, lambda z: z, (0, mpf("0.25")), (57.5, 52), (28, 24)),
    "ERF": (erf_tail, lambda z: mpf(1), (0, mpf("0.5626")), (56.5, 52), (28, 24)),
    # in binary32 with another center; the weights are the errors that count beside 5/4
    "ERFC": ((erfc_scaled("3.5"), erfc_scaled("2.5")), lambda t: mpf(1), (centered("3.5", 27.5), centered("2.5", 10.5)), (57, 52), (28.5, 24)),
    "ATAN": (atan_tail, lambda z: z, (0, mpf("0.25")), (57.5, 52), (28, 24)),
}

# name: value, parts in binary64, parts in binary32; each part of so many bits
CONSTANTS = {
    "LN2": (mp.log(2), (53, 53), (24, 24)),
    # the first part's products with exponents are exact
    "LN2_SHORT": (mp.log(2), (42, 53), (16, 24)),
    "LOG2_E": (1 / mp.log(2), (53, 53), (24, 24)),
    "LOG10_E": (1 / mp.log(10), (53, 53), (24, 24)),
    # both parts positive
    "LOG10_2": (mp.log(2, 10), (52, 53), (23, 24)),
    # the products of the short parts with multiples are exact, up to 2^23 and 2^17
    "PI_2": (mp.pi / 2, (53, 30, 53), (24, 7, 7, 24)),
    "PI_2_FAST": (mp.pi / 2, (53, 53, 53), (24, 24, 24)),
    "HALF_PI": (mp.pi / 2, (53, 53), (24, 24)),
    # the first terms of log2 x = 2 / ln 2 (s + s^3 / 3 + ...)
    "POW_1": (2 / mp.log(2), (53, 53), (24, 24)),
    "POW_3": (2 / mp.log(2) / 3, (53, 53), (24, 24)),
}


def to_single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def split(value, bits):
    """The constant as a sum of floats of so many bits."""
    parts, rest = [], value
    for n in bits:
        unit = mpf(2) ** (mp.frexp(rest)[1] - n)
        parts.append(float(mp.nint(rest / unit) * unit))
        rest -= parts[-1]
    return parts


def polynomial(g, w, interval, bits):
    """The coefficients of the least degree that is accurate to so many bits, and the bits it has."""
    lo, hi = map(mpf, interval)
    degree = 1
    while True:
        coefficients, error = remez(g, w, lo, hi, degree)
        missing = bits + float(mp.log(error, 2))
        if missing <= 0:
            return coefficients, bits - missing
        # Two bits a degree at least are gained; far from the goal, some degrees need no trial.
        degree += max(1, int(missing / 9))


HEADER = """//! Coefficients and constants of the math library. Printed by `coefficients.py`: do not edit.
//!
//! Polynomials stand lowest coefficient first. A constant of several parts is the sum of them, the largest first.

#![allow(clippy::approx_constant, clippy::excessive_precision)] // the first parts of sums; digits as printed

use super::lanes::Polynomial;
"""


def main(names):
    print(HEADER)
    for name, (g, w, interval, *accuracies) in TABLES.items():
        if names and name not in names:
            continue
        fields, notes = [], []
        for which, (kind, accuracy) in enumerate(zip(("long", "short"), accuracies)):
            function, ends = (g[which], interval[which]) if isinstance(g, tuple) else (g, interval)
            for suffix, bits in zip(("", "_fast"), accuracy or (None, None)):
                coefficients = []
                if bits is not None:
                    coefficients, reached = polynomial(function, w, ends, bits)
                    notes.append(f"2^-{reached:.1f}")
                    coefficients = [float(c) if kind == "long" else to_single(float(c)) for c in coefficients]
                fields.append(f"{kind}{suffix}: &{coefficients!r},")
        print(f"/// Relative errors {', '.join(notes)}.")
        print(f"pub(super) const {name}: Polynomial = Polynomial {{ {' '.join(fields)} }};", flush=True)
    if names:
        return
    for name, (value, long, short) in CONSTANTS.items():
        for suffix, bits in ("", long), ("_F32", short):
            print(f"pub(super) const {name}{suffix}: [f64; {len(bits)}] = {split(value, bits)};")


if __name__ == "__main__":
    main(sys.argv[1:])
