"""Writes results.csv: the dtype of the result of NumPy's ufuncs on operands of one dtype; `none` where there is none.

Usage: python results.py > results.csv    (needs numpy >= 2.1)
"""

import warnings

import numpy

warnings.simplefilter("ignore")
DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()
# By number of operands. `rint` is not in the list: `round` leaves integers alone, as NumPy's function of that name.
OPS = {
    1: """negative abs sign square reciprocal round floor ceil trunc sqrt exp exp2 expm1 log log2 log10 log1p cbrt sin
        cos tan asin acos atan sinh cosh tanh asinh acosh atanh isnan isinf isfinite signbit logical_not
        invert""".split(),
    2: """add subtract multiply divide floor_divide remainder pow minimum maximum fmin fmax copysign hypot atan2 logaddexp
        equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or
        bitwise_xor left_shift right_shift""".split(),
    3: ["where"],
}

print("op,dtype,result")
for arity, names in OPS.items():
    for name in names:
        for dtype in DTYPES:
            x = numpy.ones(1, dtype)
            operands = (numpy.ones(1, bool), x, x) if name == "where" else (x,) * arity
            try:
                result = getattr(numpy, name)(*operands).dtype.name
            except TypeError:
                result = "none"
            print(name, dtype, result, sep=",")
