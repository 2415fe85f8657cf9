#!/usr/bin/env python3
"""Derives the polynomial coefficients of the vector math library, and prints them as Rust constants.

Each row of TABLES asks for the minimax polynomial p of a function g on an interval, found by the exchange algorithm of
Remez in 60-digit arithmetic: p minimizes the largest |w(t) (p(t) - g(t))|, where the weight w turns the error of p
into the relative error of the function that p is a part of. The degree is the least that meets the wanted accuracy.
The coefficients are then rounded to binary64, lowest first.

Needs mpmath. Usage: coefficients.py > coefficients.rs && rustfmt coefficients.rs
"""

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


def exp_tail(r):
    """(e^r - 1 - r) / r^2"""
    return series(lambda i: 1 / mp.factorial(i + 2), r, 40)


def exp2_tail(r):
    """(2^r - 1 - r ln 2) / r^2"""
    return series(lambda i: mp.log(2) ** (i + 2) / mp.factorial(i + 2), r, 40)


# name: g, weight, interval, bits of accuracy in binary64 and of the binary32 version (None: there is none)
TABLES = {
    "EXP": (exp_tail, lambda r: r * r, (-LN2_2, LN2_2), 57.5, 33),
    "EXPM1": (exp_tail, lambda r: abs(r), (-LN2_2, LN2_2), 57.5, 32),
    "EXP2": (exp2_tail, lambda r: r * r, (-mpf("0.5"), mpf("0.5")), 57.5, 33),
    "SINH": (lambda z: series(lambda i: 1 / mp.factorial(2 * i + 3), z, 30), lambda z: z, (0, LN2_2**2), 57.5, None),
    "COSH": (lambda z: series(lambda i: 1 / mp.factorial(2 * i + 2), z, 30), lambda z: z, (0, LN2_2**2), 57.5, None),
    "LOG": (atanh_tail(1), lambda z: z / 2, (0, S2), 58, 34),
    "POW": (atanh_tail(3), lambda z: z**3 / 2, (0, S2), 70, None),
    "SIN": (
        lambda z: series(lambda i: (-1) ** (i + 1) / mp.factorial(2 * i + 3), z, 30), lambda z: z, (0, PIO4_2), 57.5, 31),
    "COS": (
        lambda z: series(lambda i: (-1) ** i / mp.factorial(2 * i + 4), z, 30), lambda z: z * z, (0, PIO4_2), 57.5, 31),
    "ASIN": (asin_tail, lambda z: z, (0, mpf("0.25")), 57.5, 32),
    "ATAN": (atan_tail, lambda z: z, (0, mpf("0.1717")), 57.5, None),  # to tan(pi/8), squared
    "ATAN_UNIT": (atan_tail, lambda z: z, (0, mpf(1)), 32, None),
}


def split(name, value, bits=(53, 53, 53)):
    """The constant as a sum of doubles of so many bits."""
    parts, rest = [], value
    for n in bits:
        unit = mpf(2) ** (mp.frexp(rest)[1] - n)
        parts.append(float(mp.nint(rest / unit) * unit))
        rest -= parts[-1]
    print(f"/// As a sum.\npub(super) const {name}: [f64; 3] = {parts};")


HEADER = """//! Coefficients and constants of the math library, for use in `F64`. Printed by `coefficients.py`: do not edit.
//!
//! Polynomials stand lowest coefficient first. A constant of three parts is the sum of them, the largest first; those of
//! ln 2 and log10 2 begin with one of 42 bits, whose products with exponents are exact; the second of pi/2 has 30.

#![allow(clippy::approx_constant)] // the first parts of sums
"""


def main(names):
    print(HEADER)
    for name, (g, w, (lo, hi), bits64, bits32) in TABLES.items():
        if names and name not in names:
            continue
        for suffix, bits in (("", bits64), ("_F32", bits32)):
            if bits is None:
                continue
            for degree in range(1, 30):
                coefficients, error = remez(g, w, mpf(lo), mpf(hi), degree)
                if error < mpf(2) ** -bits:
                    break
            print(f"/// Relative error 2^{float(mp.log(error, 2)):.1f}.")
            print(f"pub(super) const {name}{suffix}: [f64; {degree + 1}] = [")
            for c in coefficients:
                print(f"    {float(c)!r},")
            print("];", flush=True)
    if not names:
        split("LN2", mp.log(2), (42, 53, 53))
        split("LOG2_E", 1 / mp.log(2))
        split("LOG10_E", 1 / mp.log(10))
        split("LOG10_2", mp.log(2, 10), (42, 53, 53))
        split("PI_2", mp.pi / 2, (53, 30, 53))
        split("TWO_THIRDS", mpf(2) / 3)
        split("TWO_FIFTHS", mpf(2) / 5)


if __name__ == "__main__":
    main(sys.argv[1:])
