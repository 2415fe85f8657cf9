# Writes numpy_stored.npz and numpy_deflated.npz, which the readers are tested on, with NumPy 2.4.
# An array is named dtype-order-extents, and holds 0, 1, 2 ... in C order (bools: whether that is odd).
import numpy as np

arrays = {}
for code in ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]:
    for order in "<>":
        for layout in "CF":
            for shape in [(), (1,), (0,), (5,), (2, 3), (3, 0, 2), (2, 3, 4)]:
                if layout == "F" and len(shape) < 2 or order == ">" and code[1] == "1":
                    continue
                x = np.arange(int(np.prod(shape))).reshape(shape)
                x = (x % 2 if code == "b1" else x).astype(order + code)
                name = f"{x.dtype.name}-{order}{layout}-{'x'.join(map(str, shape))}"
                arrays[name] = np.asarray(x, order=layout)
np.savez("numpy_stored.npz", **arrays)
np.savez_compressed("numpy_deflated.npz", **arrays)
