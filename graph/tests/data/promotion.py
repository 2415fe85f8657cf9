"""Writes promotion.csv: the dtype in which NumPy lets two dtypes meet, and a dtype and a Python scalar.

Usage: python promotion.py > promotion.csv    (needs numpy >= 2 and ml_dtypes)
"""

import numpy
from ml_dtypes import bfloat16

NAMES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64".split()
WEAK = {"weak_bool": True, "weak_int": 1, "weak_float": 1.0}


def dtype(name):
    return numpy.dtype(bfloat16 if name == "bfloat16" else name)


def meet(a, b):
    try:
        return numpy.result_type(a, b)
    except numpy.exceptions.DTypePromotionError:
        # ml_dtypes gives bfloat16 no common dtype with the wider integers and float16, but arithmetic has one.
        return numpy.add(numpy.ones(1, a), numpy.ones(1, b)).dtype


print("left,right,result")
for left in NAMES:
    for right in NAMES:
        print(left, right, meet(dtype(left), dtype(right)).name, sep=",")
    for kind, scalar in WEAK.items():
        if (left, kind) == ("bfloat16", "weak_float"):
            # NumPy does not take scalars as weak beside dtypes it does not know; a float of any kind stays (NEP 50).
            print(left, kind, left, sep=",")
        else:
            print(left, kind, numpy.result_type(dtype(left), scalar).name, sep=",")
