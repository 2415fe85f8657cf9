# Writes numpy.txt, what the tests of printing expect: `python numpy_txt.py > numpy.txt`, with NumPy 2.4.
# One array a line: dtype|extents|elements as bits in hexadecimal, or iota a b|NumPy's text with ~ for a line break.
import numpy as np

rng = np.random.default_rng(7)
cases = []


def case(a):
    cases.append(np.asarray(a))


F = ["f2", "f4", "f8"]
for t in F:
    for v in [
        [0.0],
        [1.0],
        [-1.0, 1.0],
        [0.5, 0.25, -0.125],
        [1.0, np.nan],
        [np.nan],
        [np.inf, -np.inf],
        [np.nan, -np.inf, 1.0],
        [1e-5],
        [1e-4],
        [9.9e-5, 1.0],
        [1.0, 1000.0],
        [1.0, 1001.0],
        [0.1, 0.2, 0.3],
        [1 / 3, 2 / 3],
        [-0.0, 0.0],
        [123.456, -7.0],
        [999.0],
        [1000.0],
        [9999.5, 10.0],
        [1e4, 1.0, np.nan],
        [np.inf, 1e-7],
        [65504.0],
        [6e-8],
        [1.5, np.inf],
        [-1.5, -np.inf],
        [12345.678, np.inf],
        [np.pi, np.e, 100 * np.pi],
    ]:
        with np.errstate(all="ignore"):
            case(np.array(v).astype(t))
for t in ["f4", "f8"]:
    for v in [
        [1e6],
        [999999.0],
        [999999.5],
        [1e7, 1e7 + 1],
        [16777216.0, 1.0],
        [1e8],
        [99999999.0],
        [1e20, -1e-20],
        [1e-38],
        [3.4e38],
        [1.00000001, 1],
        [0.001953125, 0.00390625],
        [2.0**-44],
        [123456789.123, 0.1],
        [np.nan, 1e10, -1e-10],
    ]:
        case(np.array(v).astype(t))
for v in [
    [1e100, 1],
    [1e-300, 1e300],
    [5e-324],
    [1.7976931348623157e308],
    [0.123456785, 0.123456775],
    [1e-100, np.nan, -np.inf],
    [0.99999999999, 1],
]:
    case(np.array(v))
for t in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]:
    ii = np.iinfo(t)
    case(np.array([ii.min, 0, ii.max], dtype=t))
    case(np.arange(7, dtype=t))
    case(np.array(ii.max, dtype=t))
case([True, False])
case([[True], [False]])
case(np.array(True))
case(np.array(False))
case(np.zeros(1001, bool))
case(np.ones(30, bool))
for t in F:
    for v in [
        0.0,
        -0.0,
        1.0,
        0.1,
        1 / 3,
        1e-5,
        1.5e-5,
        1e-4,
        9.999e-5,
        100.0,
        1e16,
        1.5e16,
        9.9e15,
        123456.789,
        65504.0,
        6e-8,
        np.nan,
        np.inf,
        -np.inf,
        1e22,
        -2.5,
    ]:
        with np.errstate(all="ignore"):
            case(np.array(v).astype(t))
case(np.zeros((0,)))
case(np.zeros((2, 0, 3)))
case(np.arange(6).reshape(2, 3))
case(np.arange(24.0).reshape(2, 3, 4))
case(np.arange(16).reshape(2, 2, 2, 2))
case(np.arange(100))
case(np.arange(1000))
case(np.arange(1001))
case(np.arange(1001.0))
case(np.arange(10000.0).reshape(100, 100) / 7)
case(np.arange(30) / 7)
case(np.linspace(0, 1, 50, dtype="f4"))
case((np.arange(40) - 20.0) * 1e5)
case(np.arange(3000).reshape(2, 1500))
case(np.arange(3000).reshape(1500, 2))
case(np.arange(3000.0).reshape(3, 500, 2))
case(np.arange(8 * 8 * 20).reshape(8, 8, 20))
case(np.arange(6 * 200).reshape(6, 200))
case(np.arange(7 * 200).reshape(7, 200))
case(np.arange(60).reshape(3, 20) * 12345)
case(np.arange(60.0).reshape(1, 2, 1, 30) ** 3)
case(np.ones((1,) * 12))
case(np.arange(50).reshape((1,) * 12 + (50,)) * 10**9)
case(np.full((1,) * 30 + (3,), 1e-7 / 3))
case(np.arange(25).reshape(5, 5).T)
case(np.arange(2000)[::-1])
a = np.arange(2000.0)
a[1000] = 1e-9
case(a)
a = np.arange(2000.0)
a[1] = np.nan
case(a)
for t in F:
    for k in range(6):
        v = np.frombuffer(rng.bytes(np.dtype(t).itemsize * 5), dtype=t)
        case(v)
    for k in range(4):
        case((rng.standard_normal(rng.integers(1, 40)) * 10.0 ** rng.integers(-3, 4)).astype(t))
        case(rng.integers(-50, 50, size=(3, 4)).astype(t) / 4)
for t in ["i2", "i8"]:
    case(rng.integers(-30000, 30000, size=37).astype(t))
names = {
    "?": "Bool",
    "b": "I8",
    "h": "I16",
    "i": "I32",
    "l": "I64",
    "B": "U8",
    "H": "U16",
    "I": "U32",
    "L": "U64",
    "e": "F16",
    "f": "F32",
    "d": "F64",
}


def bits(a):
    u = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}[a.dtype.itemsize]
    f = np.ascontiguousarray(a).ravel().view(u)
    if f.size > 60:
        return None
    return " ".join("%x" % int(x) for x in f)


out = []
for a in cases:
    b = bits(a)
    if b is None:
        continue
    out.append(f"{names[a.dtype.char]}|{','.join(map(str, a.shape))}|{b}|" + str(a).replace("\n", "~"))


# large ones: iota * scale expressed as bits is too long: give them as 'iota' with step
def large(dt, shape, mul, div, s):
    out.append(f"{dt}|{','.join(map(str, shape))}|iota {mul} {div}|" + str(s).replace("\n", "~"))


for dt, npdt, shapes in [
    ("I64", "i8", [(100,), (1001,), (2, 1500), (1500, 2), (3, 500, 2), (7, 7, 7, 7), (2, 2, 2, 200)]),
    ("U16", "u2", [(61,), (999,), (6, 200), (7, 200)]),
    ("F32", "f4", [(61,), (1001,), (7, 200)]),
    ("F64", "f8", [(100,), (1001,), (2, 1500), (1500, 2), (8, 8, 20), (1, 1, 1, 1001)]),
]:
    for shape in shapes:
        for mul, div in [(1, 1), (3, 7), (1000, 1), (1, 100000)] if npdt[0] == "f" else [(1, 1), (13, 1)]:
            v = np.arange(int(np.prod(shape)), dtype="f8") * mul / div
            large(dt, shape, mul, div, v.astype(npdt).reshape(shape))
print("\n".join(out))
