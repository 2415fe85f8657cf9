"""Writes test cases with NumPy's results: the oracle that tests/tests/oracle.rs compares with.

usage: generate.py --ops ops.json --out DIR        (cargo xtask oracle runs it)

ops.json is the op table, as `cargo xtask ops-json` prints it: no op is listed here, only what is special about some.
DIR gets two files:

cases.npz   arrays, stored without compression. bfloat16 is no dtype of the format: entries whose name ends in
            `_bf16` hold its bits as uint16.
cases.tsv   one case a line, fields separated by tabs:
    kind        map: an elementwise op on arrays that broadcast.   expr: an expression in NumPy's spelling.
                type: only the dtype of an elementwise op's result.
    what        the op's name, or the expression
    inputs      entries for map, NAME=entry for expr, dtypes for type; separated by commas, `-` for none
    expected    an entry (a dtype for type), or `!` where the case must be an error
    tolerance   0: the same bits, any NaN for NaN.   an integer n: at most n steps between neighbouring floats.
                @entry: at most this far away, an array of float64.
    flags       zeros: +0 and -0 count as equal.   -: none
"""

import argparse
import itertools
import json
import math
import pathlib
import warnings

import ml_dtypes
import numpy as np

BF16 = np.dtype(ml_dtypes.bfloat16)
PRECISION = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
# Bits of the significand of the type in which expected values of float64 functions are computed.
LONG_DOUBLE_IS_WIDER = np.finfo(np.longdouble).nmant > 52

# Every difference from NumPy that keeps cases out, with its reason. docs/numpy.md tells users the same.
EXCLUDED = {
    "integer power, negative exponent": "NumPy raises ValueError; Lazuli gives the truncated inverse",
    "float to integer, out of range": "undefined in C, so NumPy's result depends on the CPU; Lazuli saturates",
    "bfloat16 with 16-bit and wider integers or float16": "ml_dtypes defines no common dtype; Lazuli has one",
    "where with a literal out of range": "NumPy wraps it; Lazuli makes it an error, as both do in arithmetic",
    "reciprocal of an integer zero": "undefined in C, so NumPy's result depends on the CPU; Lazuli gives 0",
    "sum beyond bfloat16's whole numbers": "ml_dtypes adds one after the other in bfloat16 and stands still at 256 times the term",
    "round of bool": "NumPy gives float16; Lazuli keeps bool, as both do in floor, ceil and trunc",
    "bfloat16 with a Python float": "ml_dtypes gives float32; Lazuli treats bfloat16 as NumPy treats its own floats",
    "axis of a 0-d array": "NumPy's reductions and squeeze let axis 0 and -1 pass; Lazuli says that there is no such axis",
    "argmin and argmax over several axes": "NumPy takes one axis or all; Lazuli takes any",
}


def dtype(name):
    return BF16 if name == "bfloat16" else np.dtype(name)


def is_float(d):
    return d.name in PRECISION


class Cases:
    """Collects cases and arrays; equal arrays are stored once."""

    def __init__(self):
        self.arrays = {}
        self.names = {}
        self.rows = []
        self.left_out = dict.fromkeys(EXCLUDED, 0)

    def entry(self, a):
        a = np.asanyarray(a)
        suffix = ""
        if a.dtype == BF16:
            a, suffix = a.view(np.uint16), "_bf16"
        key = (a.dtype.str, suffix, a.shape, a.strides, a.tobytes())
        if key not in self.names:
            name = f"a{len(self.names):05}{suffix}"
            self.names[key] = name
            self.arrays[name] = a
        return self.names[key]

    def add(self, kind, what, inputs, expected, tolerance=0, flags="-"):
        if isinstance(inputs, dict):
            inputs = ",".join(f"{k}={self.entry(v)}" for k, v in inputs.items())
        elif kind == "map":
            inputs = ",".join(self.entry(v) for v in inputs)
        else:
            inputs = ",".join(inputs)
        if not isinstance(expected, str):
            expected = self.entry(expected)
        if not isinstance(tolerance, int):
            tolerance = "@" + self.entry(np.asarray(tolerance, np.float64))
        self.rows.append("\t".join([kind, what, inputs or "-", expected, str(tolerance), flags]))

    def exclude(self, why):
        self.left_out[why] += 1

    def write(self, out):
        np.savez(out / "cases.npz", **self.arrays)
        header = "kind\twhat\tinputs\texpected\ttolerance\tflags"
        (out / "cases.tsv").write_text("\n".join([header, *self.rows]) + "\n", encoding="utf-8")


# --- values -----------------------------------------------------------------------------------------------------


def every_value(d):
    """All values of an 8-bit dtype, or of a 16-bit float."""
    if d == np.bool_:
        return np.array([False, True])
    return np.arange(1 << 8 * d.itemsize, dtype=f"u{d.itemsize}").view(d)


def edges(d):
    """The values at which implementations go wrong."""
    if d == np.bool_ or d.itemsize == 1:
        return every_value(d)
    if is_float(d):
        info = ml_dtypes.finfo(d) if d == BF16 else np.finfo(d)
        eps = float(info.eps)
        small = [float(info.smallest_subnormal), float(info.tiny), eps, 0.1, 0.5, 1 - eps / 2, 1.0, 1 + eps]
        big = [1.5, 2.0, 2.5, 3.0, 7.0, 10.0, 100.5, float(info.max), np.inf]
        values = [0.0, *small, *big]
        return np.array([*values, *(-v for v in values), np.nan]).astype(d)
    info = np.iinfo(d)
    bits = 8 * d.itemsize
    values = [0, 1, 2, 3, 5, 7, 10, 100, bits - 1, bits, info.max, info.max - 1, info.max // 2]
    values += [-1, -2, -3, -7, -100, info.min, info.min + 1, info.min // 2]
    return np.array(sorted({v for v in values if info.min <= v <= info.max}), d)


def random(rng, d, n, lo, hi):
    """n values in [lo, hi], as far as d has them; over all of d's range where the interval is that of most ops."""
    if d == np.bool_:
        return rng.integers(0, 2, n).astype(bool)
    if is_float(d):
        return rng.uniform(lo, hi, n).astype(d)
    info = np.iinfo(d)
    if (lo, hi) == (-1000.0, 1000.0):
        half = rng.integers(info.min, info.max, n // 2, d, endpoint=True)
        n -= n // 2
    else:
        half = np.empty(0, d)
    lo, hi = max(int(np.ceil(lo)), info.min), min(int(hi), info.max)
    return np.concatenate([half, rng.integers(lo, hi, n, d, endpoint=True)])


# --- elementwise ops --------------------------------------------------------------------------------------------


def to_bf16(x):
    """Rounds once; a detour through float32 would round twice."""
    x = np.asarray(x, np.float64)
    f = x.astype(np.float32)
    f = np.where(np.abs(f.astype(np.float64)) > np.abs(x), np.nextafter(f, np.float32(0)), f)
    odd = (f.astype(np.float64) != x) & np.isfinite(f)
    return (f.view(np.uint32) | odd.astype(np.uint32)).view(np.float32).astype(BF16)


# Of what NumPy has no function: from a float's value.
OWN = {
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "erfc": np.vectorize(math.erfc, otypes=[np.float64]),
    "sigmoid": lambda x: 1 / (1 + 1 / np.exp(x)),
}


def call(name, operands):
    """NumPy's result; None where it has none."""
    try:
        if name in OWN:
            return OWN[name](*operands).astype(np.exp(*operands).dtype)
        return getattr(np, name)(*operands)
    except TypeError:
        return None


def function(name, operands):
    """A function's result, rounded once from a wider type, and the steps it may be away from a correctly rounded one."""
    small = [np.asarray(x.flat[:1]) for x in operands]
    probe = call(name, small)
    if probe is None or not is_float(probe.dtype):
        return call(name, operands), 0
    result = probe.dtype
    wide = np.longdouble if result == np.float64 else np.float64
    value = OWN.get(name, getattr(np, name, None))(*(x.astype(result).astype(wide) for x in operands))
    value = to_bf16(value) if result == BF16 else value.astype(result)
    slack = 1 if result == np.float64 and (not LONG_DOUBLE_IS_WIDER or name in ("erf", "erfc")) else 0
    return value, slack


def elementwise(cases, ops, rng):
    for row in ops["map"]:
        name, arity = row["name"], row["arity"]
        lo, hi = row["domain"]
        # Which zero comes of two zeros of different sign depends on NumPy's code path.
        either_zero = name in ("minimum", "maximum", "fmin", "fmax")
        for d in map(dtype, ops["dtypes"]):
            # The sign of -0 is +0 in NumPy, and -0 in ml_dtypes.
            flags = "zeros" if either_zero or (name == "sign" and d == BF16) else "-"
            edge = every_value(d) if arity == 1 and d.itemsize <= 2 and (is_float(d) or d.itemsize == 1) else edges(d)
            values = [edge] * arity
            samples = [random(rng, d, 257, lo, hi) for _ in range(arity)]
            if name == "round" and d == np.bool_:
                cases.exclude("round of bool")
                continue
            if row["rule"] == "Select":
                values[0], samples[0] = every_value(np.dtype(bool)), samples[0].astype(bool)
            if name == "pow" and not is_float(d) and d.kind == "i":
                cases.exclude("integer power, negative exponent")
                values[1] = values[1][values[1] >= 0]
            if name == "reciprocal" and not is_float(d):
                cases.exclude("reciprocal of an integer zero")
                values[0], samples[0] = values[0][values[0] != 0], samples[0][samples[0] != 0]
            if arity == 1:
                sets = [[np.concatenate([values[0], samples[0]])]]
            else:
                crossed = [v.reshape([-1 if j == i else 1 for j in range(arity)]) for i, v in enumerate(values)]
                sets = [crossed, samples]
            for operands in sets:
                if row["ulp"] == 0:
                    expected, slack = call(name, operands), 0
                else:
                    expected, slack = function(name, operands)
                if expected is None:
                    cases.add("map", name, operands, "!")
                    break
                steps = int(np.ceil(row["ulp"])) + slack if is_float(expected.dtype) and row["ulp"] else 0
                if name == "logaddexp":
                    steps = sum_tolerance(operands, expected)
                cases.add("map", name, operands, expected, steps, flags)


def sum_tolerance(operands, result):
    """Where a sum cancels, its error is in units of what is added."""
    info = ml_dtypes.finfo(result.dtype) if result.dtype == BF16 else np.finfo(result.dtype)
    sizes = [np.abs(np.asarray(x, np.float64)) for x in (*operands, result)]
    largest = np.maximum(np.maximum(sizes[0], sizes[1]), np.maximum(sizes[2], 1.0))
    return np.where(np.isfinite(largest), largest * float(info.eps), 0.0)


def lacks_common_dtype(a, b):
    wide = lambda d: d == np.float16 or (d.kind in "iu" and d.itemsize > 1)
    return (a == BF16 and wide(b)) or (b == BF16 and wide(a))


def mixed(cases, ops, rng):
    """Binary ops on each pair of dtypes: the result's dtype of all, the values of some."""
    with_values = {"add", "subtract", "multiply", "divide", "remainder", "minimum", "where"}
    dtypes = [dtype(n) for n in ops["dtypes"]]
    short = {d: np.concatenate([edges(d)[:: 1 + edges(d).size // 24], random(rng, d, 8, -1000.0, 1000.0)]) for d in dtypes}
    for row in ops["map"]:
        if row["arity"] == 1:
            continue
        name = row["name"]
        condition = [np.array([True, False])] if row["rule"] == "Select" else []
        for a, b in itertools.product(dtypes, dtypes):
            if lacks_common_dtype(a, b):
                cases.exclude("bfloat16 with 16-bit and wider integers or float16")
                continue
            operands = [*condition, np.ones(2, a), np.ones(2, b)]
            result = call(name, operands)
            cases.add("type", name, [x.dtype.name for x in operands], "!" if result is None else result.dtype.name)
            if a != b and result is not None and (name in with_values or row["rule"] == "Compare"):
                condition_ = [np.array([True, False]).reshape(2, 1, 1)] if condition else []
                operands = [*condition_, short[a].reshape(-1, 1), short[b]]
                flags = "zeros" if name == "minimum" else "-"
                cases.add("map", name, operands, call(name, operands), flags=flags)


# --- expressions ------------------------------------------------------------------------------------------------

NAMES = {n: getattr(np, n) for n in """
    sum prod min max mean var std any all count_nonzero argmin argmax cumsum cumprod transpose reshape broadcast_to
    flip squeeze expand_dims where matmul add multiply minimum less abs bool int8 int16 int32 int64 uint8 uint16 uint32
    uint64 float16 float32 float64 ptp clip round diff deg2rad rad2deg ravel swapaxes moveaxis flipud fliplr dot outer
    array arange linspace zeros ones full eye identity zeros_like ones_like full_like pi e inf nan
    """.split()} | {"bfloat16": BF16}


def evaluate(text, inputs):
    """NumPy's value of an expression; None where it raises."""
    try:
        return np.asarray(eval(text, NAMES.copy(), inputs))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def expression(cases, text, inputs, tolerance=0, flags="-"):
    value = evaluate(text, inputs)
    cases.add("expr", text, inputs, "!" if value is None else value, tolerance if value is not None else 0, flags)


def casts(cases, ops, rng):
    for a, b in itertools.product(map(dtype, ops["dtypes"]), repeat=2):
        x = np.concatenate([edges(a), random(rng, a, 65, -1000.0, 1000.0)])
        if a == np.float64:
            # Between two neighbours of float16 and of bfloat16, a hair off the middle: rounding twice goes wrong.
            x = np.concatenate([x, [1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-8 + 2.0**-40, 1 + 3 * 2.0**-8 - 2.0**-40]])
        if is_float(a) and b.kind in "iu":
            cases.exclude("float to integer, out of range")
            info = np.iinfo(b)
            whole = np.trunc(x.astype(np.longdouble))
            x = x[np.isfinite(x) & (whole >= info.min) & (whole <= info.max)]
        text = f"x.astype({b.name})"
        if a == np.float64 and b == BF16:
            cases.add("expr", text, {"x": x}, to_bf16(x))
        else:
            expression(cases, text, {"x": x})


def literals(cases, ops):
    """Python's numbers beside arrays: weak, and out of range an error, but for comparisons."""
    for d in map(dtype, ops["dtypes"]):
        x = edges(d)
        x = x[:: 1 + x.size // 16]
        for literal in ["True", "0", "1", "-1", "3", "100", "300", "-40000", "70000", "3000000000", "2.5", "1e300"]:
            if d == BF16 and literal in ("2.5", "1e300"):
                cases.exclude("bfloat16 with a Python float")
                continue
            for op in ["+", "-", "*", "<", "==", ">="]:
                expression(cases, f"x {op} {literal}", {"x": x})
            expression(cases, f"{literal} - x", {"x": x})
            if d.kind in "iu" and literal.lstrip("-").isdigit() and int(literal) != int(np.array(int(literal)).astype(d)):
                cases.exclude("where with a literal out of range")
            else:
                expression(cases, f"where(x < x, x, {literal})", {"x": x})


INDEXABLE = [(), (1,), (9,), (5, 7), (4, 1, 6), (3, 5, 2, 4), (0, 3)]


def random_index(rng, shape):
    """An index of slices, integers, None and an ellipsis; now and then out of range."""
    parts = []
    for n in shape[: rng.integers(0, len(shape) + 1)]:
        kind = rng.integers(0, 6)
        if kind == 0 and n:
            parts.append(str(rng.integers(-n, n) if rng.random() < 0.95 else n))
        elif kind == 1:
            parts.append(":")
        else:
            bound = lambda: str(rng.integers(-n - 2, n + 3)) if rng.random() < 0.6 else ""
            step = ":" + str(rng.choice([-3, -2, -1, 1, 2, 3])) if rng.random() < 0.5 else ""
            parts.append(f"{bound()}:{bound()}{step}")
    while rng.random() < 0.25:
        parts.insert(rng.integers(0, len(parts) + 1), "None")
    if rng.random() < 0.3:
        parts.insert(rng.integers(0, len(parts) + 1), "...")
    return ", ".join(parts) or "..."


def indices(cases, rng):
    for shape in INDEXABLE:
        size = int(np.prod(shape))
        # The values say where an element came from.
        x = np.arange(size, dtype=np.int32).reshape(shape)
        for _ in range(24 if len(shape) > 1 else 12):
            index = random_index(rng, shape)
            expression(cases, f"x[{index}]", {"x": x})
            expression(cases, f"x[{index}][::-1]", {"x": np.asfortranarray(x)})
            expression(cases, f"transpose(x)[{index}]", {"x": x})
        for axis in range(-len(shape) - 1, len(shape) + 2):
            for f in ("flip", "squeeze", "expand_dims"):
                if f == "squeeze" and not shape:
                    cases.exclude("axis of a 0-d array")
                    continue
                expression(cases, f"{f}(x, axis={axis})", {"x": x})
        for text in ("x[::-1, ...]", "x[None]", "x[..., None]", "x[:, 99]", "transpose(x)", "squeeze(x)", "flip(x)",
                     "reshape(x, -1)", "reshape(x, (1, -1, 1))", "reshape(transpose(x), -1)", "reshape(x, (2, 99))",
                     "transpose(x)[None] + transpose(x)"):
            expression(cases, text, {"x": x})
        if len(shape) > 1:
            axes = tuple(int(i) for i in rng.permutation(len(shape)))
            expression(cases, f"transpose(x, {axes})", {"x": x})
            expression(cases, f"broadcast_to(x[:, :1], {shape})", {"x": x})
            expression(cases, f"reshape(transpose(x, {axes}), {shape})[1:]", {"x": x})
    small, row = np.arange(3, dtype=np.int16), np.arange(4, dtype=np.int16).reshape(4, 1)
    for text in ("a + b", "broadcast_to(a, (4, 3)) - b", "broadcast_to(b, (2, 4, 3))", "broadcast_to(a, (3, 4))",
                 "a[1:] + b[:, 0]", "a[:2] + a", "a[0] + b[1]"):
        expression(cases, text, {"a": small, "b": row})


REDUCED = [(1,), (17,), (1000,), (5, 7), (3, 1), (4, 3, 6), (2, 3, 4, 5), (0,), (0, 3), (3, 0, 2), ()]


def axes_of(rank):
    yield None
    yield from range(-1 if rank else 0, rank)
    if rank > 1:
        yield (0, rank - 1)
    if rank > 2:
        yield from [(0, 1), (-1, -2)]


def bound(name, x, axis, keepdims, value):
    """How far a floating point reduction may be from the exact value, whatever the order it is made in."""
    u = 2.0 ** -PRECISION[value.dtype.name]
    # A reduction's operand already carries the rounding of its dtype; integers are exact in float64 here.
    wide = x.astype(np.longdouble)
    n = x.size / max(value.size, 1)
    depth = np.log2(max(n, 1)) + 16
    how = dict(axis=axis, keepdims=keepdims)
    tiny = float(ml_dtypes.finfo(value.dtype).smallest_subnormal if value.dtype == BF16 else np.finfo(value.dtype).smallest_subnormal)
    if name == "sum":
        limit = u * depth * np.abs(wide).sum(**how)
    elif name == "prod":
        limit = u * (n + 4) * np.abs(wide.prod(**how))
    elif name == "mean":
        limit = u * depth * np.abs(wide).mean(**how)
    else:
        # The mean's own rounding moves the variance by its square.
        off = (u * depth * np.abs(wide).mean(**how)) ** 2
        variance = wide.var(**how)
        limit = 4 * u * depth * variance + off
        if name == "std":
            root = np.sqrt(variance)
            limit = np.where(root > 0, limit / np.where(root > 0, root, 1) + u * root, np.sqrt(off))
    return np.asarray(limit + tiny, np.float64)


def exact_value(name, x, axis, keepdims, result):
    """A floating point reduction computed wide and rounded once."""
    wide = x.astype(np.longdouble)
    value = np.asarray(getattr(np, name)(wide, axis=axis, keepdims=keepdims))
    return to_bf16(value) if result == BF16 else value.astype(result)


def reductions(cases, ops, rng):
    inexact = {"sum", "prod", "mean", "var", "std"}
    names = [r["name"] for r in ops["reduce"]] + ["mean", "var", "std", "count_nonzero"]
    for d, name in itertools.product(map(dtype, ops["dtypes"]), names):
        for shape in REDUCED:
            size = int(np.prod(shape))
            lo, hi = (0.5, 1.5) if name == "prod" else (-3.0, 3.0)
            random_x = random(rng, d, size, lo, hi).reshape(shape)
            # Small whole numbers: every order of adding gives the same bits.
            whole_x = rng.integers(0, 2 if name == "prod" or d.itemsize == 1 else 4, size).astype(d).reshape(shape)
            layouts = {"x": random_x}
            if len(shape) > 1:
                layouts |= {"transpose(x)": random_x, "x[::-1, ::2]": random_x}
                layouts |= {"broadcast_to(x[:1], (3, %d))" % shape[1]: random_x} if len(shape) == 2 and shape[0] else {}
            if not shape:
                cases.exclude("axis of a 0-d array")
            for layout, x in layouts.items():
                seen = evaluate(layout, {"x": x})
                for axis in axes_of(seen.ndim):
                    if isinstance(axis, tuple) and name.startswith("arg"):
                        cases.exclude("argmin and argmax over several axes")
                        continue
                    keepdims = bool(rng.integers(0, 2))
                    text = f"{name}({layout}, axis={axis}, keepdims={keepdims})"
                    value = evaluate(text, {"x": x})
                    if value is None or not is_float(value.dtype) or name not in inexact:
                        flags = "zeros" if name in ("min", "max") else "-"
                        cases.add("expr", text, {"x": x}, "!" if value is None else value, 0, flags)
                        continue
                    limit = bound(name, seen, axis, keepdims, value)
                    value = exact_value(name, seen, axis, keepdims, value.dtype)
                    cases.add("expr", text, {"x": x}, value, 0 if seen.size == 0 else limit)
            if is_float(d) and name in ("sum", "prod", "min", "max") and size:
                if d == BF16 and whole_x.astype(float).sum() > 256:
                    cases.exclude("sum beyond bfloat16's whole numbers")
                else:
                    expression(cases, f"{name}(x)", {"x": whole_x}, flags="zeros")
                with_nan = whole_x.copy()
                with_nan.flat[size // 2] = np.nan
                expression(cases, f"{name}(x, axis=0)" if shape else f"{name}(x)", {"x": with_nan})
        special = np.array([1, np.nan, -np.inf, np.inf, 0, -0.0, np.nan]).astype(d) if is_float(d) else edges(d)
        if name not in inexact:
            for text in (f"{name}(x)", f"{name}(x[::-1])", f"{name}(x[2:])"):
                expression(cases, text, {"x": special}, flags="zeros")
    x = np.arange(12.0).reshape(3, 4)
    for text in ("x.sum()", "x.mean(axis=0, keepdims=True)", "x.var(ddof=1)", "x.std(axis=1, ddof=1)", "x.max(axis=-1)",
                 "x.sum(axis=2)", "x.sum(axis=(0, 0))", "(x > 5).any(axis=1)", "x.argmax(axis=0)", "x.all()"):
        exact = "ddof" not in text
        expression(cases, text, {"x": x}, 0 if exact else 2)


def scans(cases, ops, rng):
    for d, row in itertools.product(map(dtype, ops["dtypes"]), ops["scan"]):
        name = row["name"]
        for shape in [(17,), (5, 7), (2, 3, 4), (0, 3), (1,)]:
            lo, hi = (0.5, 1.5) if name == "cumprod" else (-3.0, 3.0)
            x = random(rng, d, int(np.prod(shape)), lo, hi).reshape(shape)
            for axis in range(-1, len(shape)):
                text = f"{name}(x, axis={axis})" if axis else f"{name}(x[::-1], axis=0)"
                seen = x if axis else x[::-1]
                value = evaluate(text, {"x": x})
                if not is_float(value.dtype):
                    expression(cases, text, {"x": x})
                    continue
                wide = seen.astype(np.longdouble)
                exact = getattr(np, name)(wide, axis=axis)
                size = np.abs(exact) if name == "cumprod" else np.cumsum(np.abs(wide), axis=axis)
                limit = 2.0 ** -PRECISION[d.name] * (shape[axis] + 8) * size
                exact = to_bf16(exact) if d == BF16 else exact.astype(d)
                cases.add("expr", text, {"x": x}, exact, limit if value.size else 0)


def products(cases, ops, rng):
    shapes = [((3, 4), (4, 5)), ((1, 1), (1, 1)), ((17, 33), (33, 9)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (3, 4, 2)),
              ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((3, 4), (3, 4))]
    for d in map(dtype, ops["dtypes"]):
        for left, right in shapes:
            a = random(rng, d, int(np.prod(left)), -3.0, 3.0).reshape(left)
            b = random(rng, d, int(np.prod(right)), -3.0, 3.0).reshape(right)
            inputs = {"a": a, "b": b}
            wide = evaluate("matmul(a, b)", {k: v.astype(np.longdouble) for k, v in inputs.items()})
            if not is_float(d) or wide is None:
                expression(cases, "a @ b", inputs)
                continue
            size = np.matmul(np.abs(a.astype(np.longdouble)), np.abs(b.astype(np.longdouble)))
            limit = 2.0 ** -PRECISION[d.name] * (left[-1] + 8) * size
            value = to_bf16(wide) if d == BF16 else wide.astype(d)
            cases.add("expr", "a @ b", inputs, value, limit)
            if len(left) == len(right) == 2:
                flipped = {"a": np.ascontiguousarray(a.T), "b": np.asfortranarray(b)}
                cases.add("expr", "transpose(a) @ b", flipped, value, limit)


# What is made of other operations: (expression, tolerance in steps). Of the arrays below, x has a dtype of each kind.
FUNCTIONS = [
    *[(f"round(x, decimals={n})", 0) for n in (0, 1, 2, -1, -2)], ("x.round(1)", 0),
    *[(f"clip(x, {a}, {b})", 0) for a, b in ((-1, 1), (None, 2), (0, None), (1, -1), ("y", "y + 2"))],
    *[(f"diff(x, n={n}, axis={a})", 0) for n in (0, 1, 2, 5) for a in (0, -1)],
    ("ptp(x)", 0), ("ptp(x, axis=0)", 0), ("ptp(x, axis=1, keepdims=True)", 0),
    ("deg2rad(x)", 1), ("rad2deg(x)", 1), ("ravel(x)", 0), ("x.ravel()", 0), ("x.T", 0), ("x.T.ravel()", 0),
    ("swapaxes(x, 0, 1)", 0), ("swapaxes(x, 0, 2)", 0), ("moveaxis(x, 0, -1)", 0), ("flipud(x)", 0), ("fliplr(x)", 0),
    ("x.astype(float32).sum(axis=0, dtype=float64)", 0), ("x.sum(dtype=int64)", 0), ("x.mean(dtype=float64)", 1),
    ("x.cumsum()", 0), ("cumprod(x, dtype=float64)", 4), ("zeros_like(x)", 0), ("ones_like(x, dtype=int8)", 0),
    ("full_like(x, 2)", 0), ("full_like(x, 2.75)", 0), ("x.shape[0] * x", 0), ("x * x.size", 0), ("x + x.ndim", 0),
    ("abs(x - 1)", 0), ("x ** 2", 0), ("x ** 0.5", 1), ("2 ** abs(x)", 1), ("x // 2 % 3", 0),
    ("where(x > 1, x, 0)", 0), ("where(x > 1, 1, 0)", 0), ("where(x > 1, 1.5, 0)", 0), ("(x > 0) & (x < 2)", 0),
    ("~(x > 0)", 0), ("dot(x, y.T)", 0), ("dot(x[0], x[1])", 0), ("outer(x[0], x[:, 0])", 0), ("x @ y.T", 0), ("x @ y", 0),
]
MADE = [
    "arange(5)", "arange(2, 11, 3)", "arange(10, 0, -3)", "arange(0.0, 1.0, 0.125)", "arange(3.5)", "arange(5, dtype=float32)",
    "arange(5, 1)", "arange(10) * 0.5", "linspace(0, 1, 5)", "linspace(-1.0, 1.0, 8, endpoint=False)", "linspace(0, 1, 1)",
    "linspace(0, 1, 0)", "linspace(2, 3)", "linspace(0, 10, 4, dtype=int32)", "zeros(3)", "zeros((2, 3), dtype=int8)",
    "ones((2, 1))", "full((2, 2), 7)", "full(3, 2.5)", "full(2, True)", "eye(3)", "eye(2, 4)", "eye(4, 3, k=-1)",
    "eye(3, k=1, dtype=bool)", "identity(2)", "array([1, 2, 3])", "array([[1.5, 2], [3, 4]])", "array([True, False])",
    "array([1, 2], dtype=float16)", "array(3)", "arange(6).reshape(2, 3)", "arange(6).reshape((3, -1)).T", "pi * ones(2)",
    "2 ** 10", "2 ** -1", "7 // -2", "-7 % 3", "1e308 * 10", "True + True", "3 / 2", "1 << 4 | 1", "arange(4)[::-1][1]",
]


def functions(cases):
    y = np.linspace(-2, 2, 12).reshape(3, 4)
    for d in (np.int16, np.uint8, np.float32, np.float64):
        # Halves and quarters: sums and means of them are exact in any order.
        x = (np.arange(12) * 0.75 - 3).astype(d) if d in (np.float32, np.float64) else np.arange(12).astype(d)
        for text, tolerance in FUNCTIONS:
            inputs = {"x": x.reshape(3, 4), "y": np.round(y * 4).astype(d)}
            expression(cases, text, {k: v for k, v in inputs.items() if k in text}, tolerance)
    for text in MADE:
        expression(cases, text, {})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ops", required=True, type=pathlib.Path, help="the op table, as JSON")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="the folder to write to")
    args = parser.parse_args()
    ops = json.loads(args.ops.read_text(encoding="utf-8"))
    cases = Cases()
    warnings.simplefilter("ignore")
    # One generator a group, so that a change in one leaves the others' values alone.
    with np.errstate(all="ignore"):
        elementwise(cases, ops, np.random.default_rng(1))
        mixed(cases, ops, np.random.default_rng(2))
        casts(cases, ops, np.random.default_rng(3))
        literals(cases, ops)
        indices(cases, np.random.default_rng(4))
        reductions(cases, ops, np.random.default_rng(5))
        scans(cases, ops, np.random.default_rng(6))
        products(cases, ops, np.random.default_rng(7))
        functions(cases)
    cases.write(args.out)
    print(f"oracle: {len(cases.rows)} cases, {len(cases.arrays)} arrays, NumPy {np.__version__}")
    for why, count in cases.left_out.items():
        print(f"oracle: left out {count} times: {why}: {EXCLUDED[why]}")


if __name__ == "__main__":
    main()
